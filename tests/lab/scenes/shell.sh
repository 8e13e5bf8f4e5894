# A shell on the director of the scenes' network.

cd "$(dirname "$0")" || exit
. ./topology.sh
build_network || exit

# What the shell reads at its start, whether or not somebody types into it.
cat >/tmp/home/bashrc <<RC
. $(printf %q "$PWD/topology.sh")
unset -f machine real_server build_network wait_for director
PS1='[root@Director ~]# '
RC
cat <<HELLO
This shell is the director ($DIP, and the virtual address $VIP), kernel $(uname -r).
  client COMMAND, rs1 COMMAND, rs2 COMMAND   run there ($CIP, $RIP1, $RIP2)
Real servers serve HTTP on port 80 and have the virtual address: direct routing (-g) works. Try:
  ipvsadm -A -t $VIP:80 -s rr
  ipvsadm -a -t $VIP:80 -r $RIP1 -g
  ipvsadm -a -t $VIP:80 -r $RIP2 -g
  client lab http-get $VIP:80
  ipvsadm -L -n
Nothing here touches this machine. exit or Ctrl-D ends it, Ctrl-] also when it hangs.
HELLO
cd /tmp/home || exit
if [[ -t 0 ]]; then
  director bash --rcfile /tmp/home/bashrc -i
else
  director env BASH_ENV=/tmp/home/bashrc bash -s
fi
