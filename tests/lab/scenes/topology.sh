# The network of the scenes: four machines (network namespaces) on one wire.
#
#   client 172.16.2.1    director 172.16.2.13    rs1 172.16.2.12    rs2 172.16.2.14
#        └───────────────────┴──────── wire ────────┴──────────────────┘
#
# The virtual address 172.16.2.100 is on the director's wire and, unseen from it, on both real servers' loopback: with
# direct routing they answer the client themselves.
# Source this, then call build_network. client, director, rs1 and rs2 run a command on that machine.

VIP=172.16.2.100
DIP=172.16.2.13
RIP1=172.16.2.12
RIP2=172.16.2.14
CIP=172.16.2.1

client()   { ip netns exec client "$@"; }
director() { ip netns exec director "$@"; }
rs1()      { ip netns exec rs1 "$@"; }
rs2()      { ip netns exec rs2 "$@"; }

# machine NAME ADDRESS: a namespace with an interface eth1 on the wire.
machine() {
  ip netns add "$1"
  ip link add "$1" type veth peer name eth1 netns "$1"
  ip link set "$1" master wire up
  ip -n "$1" link set lo up
  ip -n "$1" address add "$2/24" broadcast + dev eth1
  ip -n "$1" link set eth1 up
}

# real_server NAME: has the virtual address, but doesn't answer who asks for it on the wire; serves HTTP under its name.
real_server() {
  ip netns exec "$1" sh -c '
    echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore
    echo 1 >/proc/sys/net/ipv4/conf/lo/arp_ignore
    echo 2 >/proc/sys/net/ipv4/conf/all/arp_announce
    echo 2 >/proc/sys/net/ipv4/conf/lo/arp_announce'
  ip -n "$1" address add "$VIP/32" dev lo
  ip netns exec "$1" lab http-serve 0.0.0.0:80 "$2" &
}

build_network() {
  ip link add wire type bridge
  ip link set wire up
  machine client "$CIP"
  machine director "$DIP"
  machine rs1 "$RIP1"
  machine rs2 "$RIP2"
  director sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
  ip -n director address add "$VIP/32" dev eth1
  real_server rs1 "RS1 ($RIP1)"
  real_server rs2 "RS2 ($RIP2)"
  local address
  for address in "$RIP1" "$RIP2"; do wait_for "$address:80" || return; done
}

# wait_for ADDRESS:PORT [https-get SITE DIRECTORY]: until the client gets an answer from there.
wait_for() {
  local try
  for try in {1..50}; do
    client lab "${2:-http-get}" "$1" "${@:3}" >/dev/null 2>&1 && return
    sleep 0.1
  done
  echo "no answer from $1 after $try tries" >&2
  return 1
}
