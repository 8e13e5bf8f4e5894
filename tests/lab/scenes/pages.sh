# Plays the commands of the pages in docs/ on a small site, and prints each with its output. tests/lab/tests/pages.rs compares the
# pages with it.
#
#   client 203.0.113.9 ── 203.0.113.1 director 10.0.0.1 ──┬── rs1 10.0.0.11
#                         192.0.2.1 (virtual address)     └── rs2 10.0.0.12        by NAT

for name in client director rs1 rs2; do
  ip netns add $name
  ip -n $name link set lo up
done
for wire in out in; do
  ip link add $wire type bridge
  ip link set $wire up
done

# port MACHINE WIRE INTERFACE ADDRESS
port() {
  ip link add "$1-$2" type veth peer name "$3" netns "$1"
  ip link set "$1-$2" master "$2" up
  ip -n "$1" address add "$4" dev "$3"
  ip -n "$1" link set "$3" up
}
port client out eth0 203.0.113.9/24
port director out eth0 203.0.113.1/24
port director in eth1 10.0.0.1/24
port rs1 in eth0 10.0.0.11/24
port rs2 in eth0 10.0.0.12/24
ip -n director address add 192.0.2.1/32 dev eth0
ip -n client route add default via 203.0.113.1
for server in rs1 rs2; do
  ip -n $server route add default via 10.0.0.1
  ip netns exec $server lab http-serve 0.0.0.0:80 $server &
done
director() { ip netns exec director "$@"; }
director sysctl -qw net.ipv4.ip_forward=1
request() { ip netns exec client lab http-get 192.0.2.1:80 >/dev/null; }
for try in {1..50}; do
  director lab http-get 10.0.0.11:80 >/dev/null 2>&1 && director lab http-get 10.0.0.12:80 >/dev/null 2>&1 && break
  sleep 0.1
done

# The pages write to /etc.
cp -a /etc /tmp/etc
mount --bind /tmp/etc /etc
mkdir /tmp/work
cd /tmp/work || exit

# play COMMAND: as root on the director, in the words of the pages.
play() {
  printf '> %s\n' "$1"
  director bash -c "$1" 2>&1
}
# user COMMAND: as an unprivileged user.
user() {
  printf '> %s\n' "$1"
  director setpriv --reuid 65534 --regid 65534 --clear-groups bash -c "$1" 2>&1
}
real_server() {
  printf '> %s\n' "$1"
  ip netns exec rs1 bash -c "$1" 2>&1
}
# file NAME [SERVER WEIGHT]...: a service at port 80 with these real servers.
file() {
  local name=$1
  shift
  printf 'version = 1\n\n[[services]]\naddress = "192.0.2.1:80"\nprotocol = "tcp"\nscheduler = "wlc"\n' >"$name"
  while (($#)); do
    printf '\n[[services.destinations]]\naddress = "%s"\nforwarding = "masquerade"\nweight = %s\n' "$1" "$2" >>"$name"
    shift 2
  done
}
# second NAME PORT: adds a service at another port.
second() {
  printf '\n[[services]]\naddress = "192.0.2.1:%s"\nprotocol = "tcp"\ndestinations = [\n' "$2" >>"$1"
  printf '  { address = "%s", forwarding = "masquerade" },\n' 10.0.0.11 10.0.0.12 >>"$1"
  echo ']' >>"$1"
}

# apply.md, README.md
file shop.toml 10.0.0.11 1 10.0.0.12 1
user 'ipvs-cli check shop.toml'
director ipvs-cli apply --quiet shop.toml
printf 'version = 1\nservices = []\n' >none.toml
play 'ipvs-cli apply --max-deletions 1 none.toml'
file shop.toml 10.0.0.11 1 10.0.0.12 3 10.0.0.13 1
play 'ipvs-cli diff shop.toml'
play 'ipvs-cli apply shop.toml'
play 'ipvs-cli apply shop.toml'
play 'ipvs-cli doctor'
# drain.md, watch.md
play 'ipvs-cli drain tcp:192.0.2.1:80 10.0.0.13'
play 'ipvs-cli apply shop.toml'
for try in 1 2 3; do request; done
play 'ipvs-cli show'
play 'ipvs-cli watch --count 2'
play 'ipvs-cli watch --count 2 tcp:192.0.2.1:80'
# troubleshooting.md: a real server whose replies go nowhere.
ip -n rs2 route del default
for try in 1 2 3; do timeout 1 ip netns exec client lab http-get 192.0.2.1:80 >/dev/null 2>&1; done
play 'ipvs-cli conns --state SYN_RECV --by server'
ip -n rs2 route add default via 10.0.0.1
play 'ipvs-cli undrain tcp:192.0.2.1:80 10.0.0.13'
play 'ipvs-cli drain --all 10.0.0.13 --delete'
file shop.toml 10.0.0.11 1 10.0.0.12 3
play 'ipvs-cli weight tcp:192.0.2.1:80 10.0.0.11 10.0.0.12 5'
play 'ipvs-cli weight --all 10.0.0.0/24 1'
director ipvsadm -E -t 192.0.2.1:80 -s mh
play 'ipvs-cli drain tcp:192.0.2.1:80 10.0.0.11'
# A service that remembers its client.
director ipvsadm -E -t 192.0.2.1:80 -s wlc -p 300
director ipvs-cli weight --quiet tcp:192.0.2.1:80 10.0.0.11 0
for try in 1 2; do request; done
director ipvs-cli weight --quiet tcp:192.0.2.1:80 10.0.0.11 1
play 'ipvs-cli conns'
play 'ipvs-cli conns --client 203.0.113.9'
play 'ipvs-cli conns --by client'
play 'ipvs-cli conns --count'
printf '> %s\n' 'ipvs-cli drain tcp:192.0.2.1:80 10.0.0.12 --timeout 60'
director ipvs-cli drain tcp:192.0.2.1:80 10.0.0.12 --timeout 1 2>&1
# unprivileged.md
user 'ipvs-cli show'
user 'ipvs-cli diff shop.toml'
# More of apply.md
director ipvsadm -C
second shop.toml 443
director ipvs-cli apply --quiet shop.toml
sed 's/weight = 3/weight = 5/' shop.toml >new.toml
user 'ipvs-cli diff shop.toml new.toml'
# fleet.md
user 'ipvs-cli check shop.toml'
printf '> %s\n' 'git show main:shop.toml | ipvs-cli diff - shop.toml'
ipvs-cli diff - new.toml <shop.toml
printf -- '-A -t 192.0.2.1:80\n-a -t 192.0.2.1:80 -r 10.0.0.300 -m\n' >broken.rules
user 'ipvs-cli check broken.rules'
sed 's/^scheduler/schedler/' shop.toml >bad.toml
play 'ipvs-cli apply bad.toml'
play 'ipvsadm-save -n > before.rules'
director ipvsadm -C
director ipvsadm -A -t 192.0.2.1:8080
director ipvsadm -a -t 192.0.2.1:8080 -r 10.0.0.11 -m
play 'ipvs-cli restore before.rules'
# operate.md
play 'ipvs-cli --dry-run -D -t 192.0.2.1:443'
# boot.md, from-ipvsadm.md
play 'ipvs-cli show --toml > /etc/ipvs.toml'
play 'ipvs-cli check /etc/ipvs.toml'
play 'ipvs-cli diff /etc/ipvs.toml'
play 'ipvsadm-save -n > /etc/ipvsadm.rules'
play 'ipvs-cli check /etc/ipvsadm.rules'
play 'ipvs-cli convert --toml /etc/ipvsadm.rules > /etc/ipvs.toml'
play 'ipvs-cli diff /etc/ipvs.toml'
# from-keepalived.md
director ipvsadm -C
play 'ipvs-cli apply /etc/ipvs.toml'
# owners.md
director ipvsadm -C
echo 'version = 1' >mail.toml
second mail.toml 25
play 'ipvs-cli apply --owner shop shop.toml'
play 'ipvs-cli apply --owner mail mail.toml'
play 'ipvs-cli owners'
play 'ipvs-cli apply --owner shop mail.toml'
play 'ipvs-cli apply --owner mail --take shop.toml'
director ipvsadm -C
# forwarding.md
real_server 'ipvs-cli doctor --real-server 192.0.2.1 --forwarding masquerade --director 10.0.0.1 --client 203.0.113.9'
real_server 'sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2'
real_server 'ip address add 192.0.2.1/32 dev lo'
real_server 'ipvs-cli doctor --real-server 192.0.2.1'
# marks.md
play 'ipvs-cli mark add 10 tcp:192.0.2.1:80,443'
play 'ipvsadm -A -f 10 -s rr -p 600'
play 'ipvsadm -a -f 10 -r 192.0.2.11 -g'
play 'ipvsadm -a -f 10 -r 192.0.2.12 -g'
play 'ipvs-cli mark list'
play 'ipvs-cli mark check'
director iptables -t mangle -A PREROUTING -p tcp --dport 80 -j MARK --set-mark 5
play 'ipvs-cli mark check'
play 'ipvs-cli mark delete 10'
director ipvsadm -C
cat >shop.toml <<'TOML'
version = 1

[[services]]
mark = 10
scheduler = "rr"
persistence = 600
group = [{ address = "192.0.2.1", protocol = "tcp", ports = [80, 443] }]
destinations = [{ address = "192.0.2.11" }, { address = "192.0.2.12" }]
TOML
play 'ipvs-cli diff shop.toml'
play 'ipvs-cli apply shop.toml'
exit 0
