# Persistence by port (PPC): each virtual service remembers its own clients, and knows nothing of the others.
# Run it with: cargo lab run docs/guides/ppc.sh

cd "$(dirname "$0")/../../tests/lab/scenes" || exit
. ./topology.sh
. ./steps.sh
build_network || exit
# A second port on both real servers: a web server in place of SSH's.
rs1 lab http-serve 0.0.0.0:22 "RS1 ($RIP1)" &
rs2 lab http-serve 0.0.0.0:22 "RS2 ($RIP2)" &
for address in "$RIP1" "$RIP2"; do wait_for "$address:22" || exit; done
machine client2 172.16.2.2
client2() { ip netns exec client2 "$@"; }

say "A virtual service for each port."
for port in 80 22; do
  on director ipvsadm -A -t "$VIP:$port" -s rr -p 300
  on director ipvsadm -a -t "$VIP:$port" -r "$RIP1" -g
  on director ipvsadm -a -t "$VIP:$port" -r "$RIP2" -g
done
on director ipvsadm -L -n

say "Somebody else comes first on port 80, so there it is the other server's turn."
on client2 lab http-get "$VIP:80"
somebody=$shown

say "The client stays where it is, on each port by itself; the ports differ."
on client lab http-get "$VIP:80"
web=$shown
not_equal "port 80" "$web" "$somebody"
on client lab http-get "$VIP:22"
ssh=$shown
not_equal "port 22, which has turns of its own" "$ssh" "$web"
for again in 1 2; do
  on client lab http-get "$VIP:80"
  all_equal "port 80 again" "$web" "$shown"
  on client lab http-get "$VIP:22"
  all_equal "port 22 again" "$ssh" "$shown"
done

say "A whole network can be one client: -M."
on director ipvsadm -A -t "$VIP:8080" -s rr -p 300 -M 255.255.255.0
on director ipvsadm -a -t "$VIP:8080" -r "$RIP1" -g
on director ipvsadm -a -t "$VIP:8080" -r "$RIP2" -g
rs1 lab http-serve 0.0.0.0:8080 "RS1 ($RIP1)" &
rs2 lab http-serve 0.0.0.0:8080 "RS2 ($RIP2)" &
for address in "$RIP1" "$RIP2"; do wait_for "$address:8080" || exit; done
on client lab http-get "$VIP:8080"
one=$shown
on client2 lab http-get "$VIP:8080"
all_equal "a neighbour" "$one" "$shown"
exit $failed
