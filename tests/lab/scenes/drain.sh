# The picture of `ipvs-cli drain`: a real server goes out of service while a client downloads from it, and comes back.
# Ends with an error if the download is cut, or if a new client reaches the drained server.

cd "$(dirname "$0")" || exit
. ./topology.sh
. ./steps.sh
build_network || exit

# sed gives the first connection to the server of the higher weight.
director ipvsadm -R <<RULES || exit
-A -t $VIP:80 -s sed
-a -t $VIP:80 -r $RIP1 -g -w 3
-a -t $VIP:80 -r $RIP2 -g -w 1
RULES
# A connection that has ended counts for a second, not for two minutes.
director ipvsadm --set 0 1 0

# The download: a connection to the first server, until the scene closes its end of the FIFO.
mkfifo /tmp/download
client bash -c "exec 3<>/dev/tcp/$VIP/80; read -r </tmp/download" &
exec 4>/tmp/download
for try in {1..100}; do
  director ipvs-cli conns --server "$RIP1" --state ESTABLISHED | grep -q "$RIP1" && break
  sleep 0.1
done

echo "# A client downloads from RS1."
printf '[root@Director ~]# %s\n' "ipvs-cli drain tcp:$VIP:80 $RIP1 --timeout 2"
director ipvs-cli drain "tcp:$VIP:80" "$RIP1" --timeout 2 2>&1 && wrong "the download should keep it"
say "New clients go to the other server."
on client lab http-get "$VIP:80"
on client lab http-get "$VIP:80"
expect "the answer" "RS2 ($RIP2)"

say "The download ends."
echo >&4
on director ipvs-cli drain "tcp:$VIP:80" "$RIP1"
on director ipvs-cli undrain "tcp:$VIP:80" "$RIP1"
exit $failed
