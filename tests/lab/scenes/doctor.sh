# The picture of `ipvs-cli doctor`: a real server of direct routing that answers ARP requests for the virtual address, and a director that
# has lost it. Ends with an error if the commands that the doctor prints do not bring the service back.

cd "$(dirname "$0")" || exit
. ./topology.sh
. ./steps.sh
build_network || exit

director ipvsadm -R <<RULES || exit
-A -t $VIP:80 -s rr
-a -t $VIP:80 -r $RIP1 -g -w 1
-a -t $VIP:80 -r $RIP2 -g -w 1
RULES
# The doctor has a hint about its default, 0.
director sysctl -qw net.ipv4.vs.expire_nodest_conn=1
ip -n director address del "$VIP/32" dev eth1
rs1 sysctl -qw net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.lo.arp_ignore=0

# finds MACHINE OPTIONS...: runs the doctor there, which must find a problem, and then the commands that it prints.
finds() {
  local machine=$1
  shift
  printf '[root@%s ~]# ipvs-cli doctor%s\n' "${machine^}" "${*:+ $*}"
  shown=$("$machine" ipvs-cli doctor "$@" 2>&1) && wrong "the doctor should find a problem on $machine"
  printf '%s\n\n' "$shown"
  while read -r command; do
    "$machine" sh -c "$command" >/dev/null || wrong "this command should work: $command"
  done < <(sed -n 's/^  # //p' <<<"$shown")
}

finds director
finds rs1 --real-server "$VIP"
on director ipvs-cli doctor
on rs1 ipvs-cli doctor --real-server "$VIP"
on client lab http-get "$VIP:80"
exit $failed
