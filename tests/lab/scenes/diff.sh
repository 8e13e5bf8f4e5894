# The picture of `ipvs-cli diff`: a desired state of a shop, and how the director differs from it. The colours are those of a
# terminal. Ends with an error if the director is not as the file says at the end.

cd "$(dirname "$0")" || exit
. ./topology.sh
. ./steps.sh
build_network || exit
cd /tmp || exit

director ipvsadm -R <<RULES || exit
-A -t $VIP:80 -s wlc
-a -t $VIP:80 -r $RIP1 -g -w 1
-a -t $VIP:80 -r 172.16.2.15 -g -w 1
RULES
cat >shop.toml <<TOML
version = 1

[[services]]
address = "$VIP:80"
protocol = "tcp"
scheduler = "wlc"

[[services.destinations]]
address = "$RIP1"
weight = 3

[[services.destinations]]
address = "$RIP2"
TOML

on director cat shop.toml
echo
# A pipe has no colours unless they are asked for.
echo '[root@Director ~]# ipvs-cli diff shop.toml'
director ipvs-cli diff --color always shop.toml
on director ipvs-cli apply shop.toml
on director ipvs-cli diff shop.toml
exit $failed
