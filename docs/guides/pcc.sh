# Persistence by client (PCC): all that one client asks for, on any port, comes from one real server.
# Run it with: cargo lab run docs/guides/pcc.sh

cd "$(dirname "$0")/../../tests/lab/scenes" || exit
. ./topology.sh
. ./steps.sh
build_network || exit
# A second port on both real servers: a web server in place of telnet's.
rs1 lab http-serve 0.0.0.0:23 "RS1 ($RIP1)" &
rs2 lab http-serve 0.0.0.0:23 "RS2 ($RIP2)" &
for address in "$RIP1" "$RIP2"; do wait_for "$address:23" || exit; done
machine client2 172.16.2.2
client2() { ip netns exec client2 "$@"; }

say "One virtual service for all ports: port 0, which needs -p."
on director ipvsadm -A -t "$VIP:0" -s rr -p 300
on director ipvsadm -a -t "$VIP:0" -r "$RIP1" -g
on director ipvsadm -a -t "$VIP:0" -r "$RIP2" -g
on director ipvsadm -L -n

say "The first client, on two ports: always the same server."
answers=()
for port in 80 23 80 23; do
  on client lab http-get "$VIP:$port"
  answers+=("$shown")
done
all_equal "one client" "${answers[@]}"

say "Another client has its own server."
on client2 lab http-get "$VIP:23"
not_equal "another client" "$shown" "${answers[0]}"
other=$shown
on client2 lab http-get "$VIP:80"
all_equal "another client" "$shown" "$other"

say "The director remembers one client for each server (PersistConn)."
on director ipvsadm -L -n --persistent-conn
[[ $(awk '/->/ { print $4 }' <<<"$shown" | tail -n 2 | tr '\n' ' ') == "1 1 " ]] || wrong "PersistConn should be 1 for each"

say "When the time is over, the scheduler decides again. With 3 seconds, it need not be long."
machine client3 172.16.2.3
client3() { ip netns exec client3 "$@"; }
on director ipvsadm -E -t "$VIP:0" -s rr -p 3
# A connection that has ended counts for two minutes, and keeps its client remembered: here one second.
on director ipvsadm --set 0 1 0
on client3 lab http-get "$VIP:80"
before=$shown
remembered() { director ipvsadm -L -n -c | grep -q "172\.16\.2\.3:0 "; }
for try in {1..600}; do
  remembered || break
  sleep 0.2
done
! remembered || wrong "the third client should be forgotten"
on client3 lab http-get "$VIP:80"
not_equal "after its time" "$shown" "$before"
exit $failed
