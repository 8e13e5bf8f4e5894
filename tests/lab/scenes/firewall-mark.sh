# The example of many tutorials: iptables on the director marks the web traffic to the virtual address with 6, and a
# virtual service of that firewall mark shares it out to two real servers, round robin, by direct routing.
# Ends with an error if a table or an answer is not what it should be.

cd "$(dirname "$0")" || exit
. ./topology.sh
. ./steps.sh

# expect_table INACTIVE: $shown must be the table as the tutorial shows it, with this number of ended connections on each real
# server. ipvsadm pads the last column with spaces.
expect_table() {
  expect "the table" "$(
    printf '%s\n' "IP Virtual Server version 1.2.1 (size=$size)" 'Prot LocalAddress:Port Scheduler Flags' \
      '  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn' 'FWM  6 rr'
    printf '  -> %-28s %-7s %-6s %-10s %-10s\n' "$RIP1:0" Route 1 0 "$1" "$RIP2:0" Route 1 0 "$1"
  )"
}

build_network || exit
echo "A director ($DIP, virtual address $VIP), real servers RS1 ($RIP1) and RS2 ($RIP2), a client ($CIP); Linux $(uname -r)."
echo

on director iptables -t mangle -A PREROUTING -d "$VIP" -p tcp --dport 80 -j MARK --set-mark 6
on director ipvsadm -A -f 6 -s rr
on director ipvsadm -a -f 6 -r "$RIP1" -g -w 1
on director ipvsadm -a -f 6 -r "$RIP2" -g -w 1
on director ipvsadm -L -n
size=$(sed -n 's/.*(size=\([0-9]*\)).*/\1/p' <<<"$shown")
expect_table 0

answers=()
for request in 1 2 3 4 5 6; do
  on client lab http-get "$VIP:80"
  answers+=("$shown")
done
for request in 2 3 4 5; do
  all_equal "round robin, answer $((request + 1))" "${answers[request]}" "${answers[request - 2]}"
  not_equal "round robin, answer $((request + 1))" "${answers[request]}" "${answers[request - 1]}"
done

on director ipvsadm -L -n
expect_table 3
exit $failed
