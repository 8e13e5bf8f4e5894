# Persistence by firewall mark (PFWM): HTTP and HTTPS of a shop are one service, so a customer pays where the cart is.
# Run it with: cargo lab run docs/guides/pfwm.sh

cd "$(dirname "$0")/../../tests/lab/scenes" || exit
. ./topology.sh
. ./steps.sh
build_network || exit
site=www.example.net
keys=/tmp/$site
machine client2 172.16.2.2
client2() { ip netns exec client2 "$@"; }

# mark PORT MARK: as everybody writes it; where the kernel has no iptables, the interface's filter does the same.
mark() {
  if director iptables -t mangle -L -n >/dev/null 2>&1; then
    on director iptables -t mangle -A PREROUTING -d "$VIP" -p tcp --dport "$1" -j MARK --set-mark "$2"
    return
  fi
  director tc qdisc show dev eth1 | grep -q clsact || on director tc qdisc add dev eth1 clsact
  on director tc filter add dev eth1 ingress protocol ip flower dst_ip "$VIP" ip_proto tcp dst_port "$1" \
    action skbedit mark "$2"
}

say "Both real servers have the same certificate; clients trust who signed it."
mkdir -p "$keys"
on rs1 lab site-make "$site" "$keys"
rs1 lab https-serve 0.0.0.0:443 "RS1 ($RIP1)" "$site" "$keys" &
rs2 lab https-serve 0.0.0.0:443 "RS2 ($RIP2)" "$site" "$keys" &
for address in "$RIP1" "$RIP2"; do wait_for "$address:443" https-get "$site" "$keys" || exit; done

say "Both ports get the mark 10, and the mark is the service."
mark 80 10
mark 443 10
on director ipvsadm -A -f 10 -s rr
on director ipvsadm -a -f 10 -r "$RIP1" -g
on director ipvsadm -a -f 10 -r "$RIP2" -g

# shop CLIENT: puts something into the cart over HTTP, then pays over HTTPS.
shop() {
  on "$1" lab http-get "$VIP:80"
  cart=$shown
  on "$1" lab https-get "$VIP:443" "$site" "$keys"
  till=$shown
}

say "Without persistence the servers take turns, whatever the port: the cart is on one, the till on the other."
shop client
not_equal "the till" "$till" "$cart"
first=$cart
shop client
not_equal "the till" "$till" "$cart"
all_equal "the turns" "$cart" "$first"

say "With persistence, the whole visit is on one server."
on director ipvsadm -E -f 10 -s rr -p 600
on director ipvsadm -L -n
shop client
all_equal "the visit" "$cart" "$till"
ann=$cart
shop client
all_equal "the visit" "$ann" "$cart" "$till"

say "So is another customer's, on the other server."
shop client2
all_equal "the other visit" "$cart" "$till"
not_equal "the other customer" "$cart" "$ann"
on director ipvsadm -L -n --persistent-conn
[[ $(awk '/->/ { print $4 }' <<<"$shown" | tail -n 2 | tr '\n' ' ') == "1 1 " ]] || wrong "PersistConn should be 1 for each"

# Not beside the original alone, and not where ipvs-cli has no back end.
if command -v ipvs-cli >/dev/null && director iptables -t mangle -L -n >/dev/null 2>&1; then
  say "The same marks by ipvs-cli, in place of the rules above."
  on director iptables -t mangle -F PREROUTING
  on director ipvs-cli mark add 10 "tcp:$VIP:80,443"
  on director ipvs-cli mark list
  on director ipvs-cli mark check
  shop client
  all_equal "the visit" "$ann" "$cart" "$till"
fi
exit $failed
