# The service: what it does at boot, at shutdown, and which settings it reads. There is no init in the guest, so its own
# command lines are run.
. "${0%/*}/system.sh"

new_system
if [ "${2-}" = without-marks ]; then
    # The parts about rules that mark packets are left out.
    toml_group='' json_group=''
    marks() { :; }
else
    # There is no modprobe inside.
    modprobe -a ip_tables iptable_mangle ip6_tables ip6table_mangle xt_mark xt_multiport xt_tcpudp
    toml_group='group = [{ address = "192.0.2.1", protocol = "tcp", ports = [80, 443] }]'
    json_group=', "group": [{"address": "192.0.2.1", "protocol": "tcp", "ports": [80, 443]}]'
    marks() { same "$1" "$(inside ipvs-cli mark list)" "$2"; }
fi
# As the package's scripts would, which have not been run here.
for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
    ln -sf xtables-legacy-multi "$system/usr/sbin/$name"
done
install_ipvsadm
install_ipvs_cli

unit=/usr/lib/systemd/system/ipvs-cli.service
same 'what systemd-analyze says' "$(inside systemd-analyze verify --man=no "$unit" 2>&1)" ''
metrics=/usr/lib/systemd/system/ipvs-metrics.service
same 'what systemd-analyze says of the other one' "$(inside systemd-analyze verify --man=no "$metrics" 2>&1)" ''
same 'whether metrics are served unasked' "$(inside systemctl is-enabled ipvs-metrics.service || true)" disabled
same 'whether it is enabled' "$(inside systemctl is-enabled ipvs-cli.service)" enabled
same 'the service by its other name' "$(inside readlink /etc/systemd/system/ipvsadm.service)" \
    /lib/systemd/system/ipvs-cli.service

# What the unit runs, as systemd would.
run() {
    local line
    line=$(sed -n "s/^Exec$1=//p" "$system$unit")
    inside $line
}

table() {
    inside ipvsadm -S -n
}

daemons() {
    inside ipvsadm -L --daemon | cut -d, -f1,2
}

settings() {
    printf '%s\n' "$@" >"$system/etc/default/ipvs-cli"
}

rules=$system/etc/ipvsadm.rules

echo '== as installed, it changes nothing'
inside ipvsadm -A -f 1 -s rr
before=$(cat "$rules")
run Start
same 'the table' "$(table)" '-A -f 1 -s rr'
run Stop
same 'the table' "$(table)" '-A -f 1 -s rr'
same 'the rules file' "$(cat "$rules")" "$before"

echo '== AUTO: the rules are loaded at boot, and cleared in the end'
sed -i 's/^AUTO=.*/AUTO="true"/' "$system/etc/default/ipvsadm"
printf '# by hand\n-A -f 2 -s rr\n-a -f 2 -r 10.0.0.1:0 -g -w 3\n' >"$rules"
by_hand=$(cat "$rules")
run Start
same 'the table: what was there is left alone' "$(table)" "-A -f 1 -s rr
$(tail -2 "$rules")"
run Reload
same 'the table: a reload is the whole file' "$(table)" "$(tail -2 "$rules")"
inside ipvsadm -A -f 3 -s rr
settings RELOAD_OPTIONS="'--no-deletions --keep-weights'"
inside ipvsadm -e -f 2 -r 10.0.0.1:0 -g -w 9
run Reload
same 'the table' "$(table)" "$(printf -- '-A -f 2 -s rr\n-a -f 2 -r 10.0.0.1:0 -g -w 9\n-A -f 3 -s rr')"
settings
run Stop
same 'the table' "$(table)" ''
same 'the rules file' "$(cat "$rules")" "$by_hand"

echo '== SAVE: the rules become the table'
settings SAVE=true
chmod 640 "$rules"
run Start
inside ipvsadm -A -t '[2001:db8::1]:80' -s wlc -p 600
inside ipvsadm -a -t '[2001:db8::1]:80' -r '[2001:db8::2]:8080' -m -x 10 -y 5
wanted=$(table)
run Stop
same 'the table' "$(table)" ''
same 'the rules file' "$(tail -n +2 "$rules")" "$wanted"
same 'other files beside it' "$(cd "$system/etc" && echo ipvsadm*)" ipvsadm.rules
run Start
same 'the table after a boot' "$(table)" "$wanted"

echo '== SAVE of a drained real server: weight 0, and its weight in the journal and in the file'
inside ipvsadm -C
inside ipvsadm -A -f 4 -s rr
inside ipvsadm -a -f 4 -r 10.0.0.1 -w 3
inside ipvsadm -a -f 4 -r 10.0.0.2 -w 3
inside ipvs-cli drain --quiet mark:4 10.0.0.1
server='10.0.0.1:0 at mark 4 had weight 3'
saved=$(printf -- '-A -f 4 -s rr\n-a -f 4 -r 10.0.0.1:0 -g -w 0\n-a -f 4 -r 10.0.0.2:0 -g -w 3')
run Stop 2>/tmp/said
same 'what it says' "$(cat /tmp/said)" "ipvs-cli: /etc/ipvsadm.rules has weight 0 for a real server that is drained: $server"
same 'the rules file' "$(tail -n +2 "$rules")" "# drained: $server
$saved"
# As after a boot.
rm -f /run/ipvs-cli/*.drained "$system"/run/ipvs-cli/*.drained
run Start 2>/tmp/said
same 'the table after a boot' "$(table)" "$saved"
same 'what it says' "$(cat /tmp/said)" "ipvs-cli: real servers that were drained when /etc/ipvsadm.rules was saved have weight 0: \
grep -e '# drained' -e weight_before /etc/ipvsadm.rules"

echo '== SAVE keeps the notation, and never replaces good rules by less'
inside ipvsadm -C
settings SAVE=true RULES=/etc/shop.toml
cat >"$system/etc/shop.toml" <<TOML
# by hand
version = 1
[[services]]
mark = 10
scheduler = "rr"
$toml_group
destinations = [{ address = "10.0.0.1" }]
TOML
run Start
run Stop
same 'the table' "$(table)" ''
marks 'the mark rules' ''
run Start
same 'the table after a boot' "$(table)" "$(printf -- '-A -f 10 -s rr\n-a -f 10 -r 10.0.0.1:0 -g -w 1')"
marks 'the mark rules after a boot' '10 tcp:192.0.2.1:80,443'
same 'what a reload changes' "$(run Reload)" 'nothing to change'
inside ipvsadm -C
saved=$(cat "$system/etc/shop.toml")
run Stop 2>/tmp/said
same 'what it says of an empty table' "$(cat /tmp/said)" 'ipvs-cli: the table is empty: /etc/shop.toml stays as it is'
same 'the rules file' "$(cat "$system/etc/shop.toml")" "$saved"
setpriv --bounding-set=-net_admin --inh-caps=-net_admin \
    chroot "$system" /usr/libexec/ipvs-cli/rules stop >/tmp/said 2>&1 && fail 'a table that cannot be read is no error'
same 'the rules file, when the table cannot be read' "$(cat "$system/etc/shop.toml")" "$saved"
same 'other files beside it' "$(cd "$system/etc" && echo shop.toml*)" shop.toml
settings

echo '== the sync daemons'
both=$(printf 'master sync daemon (mcast=lo, syncid=7\nbackup sync daemon (mcast=lo, syncid=7')
settings AUTO=false DAEMON=both IFACE=lo SYNCID=7
run Start
same 'the daemons' "$(daemons)" "$both"
run Start >/tmp/said 2>&1 || fail 'a daemon that runs already is an error'
same 'what it says' "$(cat /tmp/said)" "$(printf 'nothing to change\nnothing to change')"
settings AUTO=false DAEMON=both IFACE=lo SYNCID=8
run Start || fail 'a daemon that runs with other settings is an error'
same 'the daemons' "$(daemons)" "$both"
# On old kernels a daemon can be stopped only after its thread has run.
sleep 1
run Stop
same 'the daemons' "$(daemons)" ''
run Stop || fail 'a daemon that does not run is an error'
settings AUTO=false DAEMON=master IFACE=nowhere0
run Start >/tmp/said 2>&1 && fail 'an interface that is missing is no error'
same 'what it says' "$(cat /tmp/said)" 'standard input:1: there is no network interface nowhere0
ipvs-cli: the sync daemon master is not started (IFACE=nowhere0, SYNCID=0)'

echo '== what is wrong with the rules leaves the table as it is, and the daemon is started all the same'
# wrong NAME FILE WHAT-THE-JOURNAL-HAS: at boot, then as a reload.
wrong() {
    local way
    for way in Start Reload; do
        settings AUTO=true DAEMON=backup IFACE=lo SYNCID=7 RULES="$2"
        inside ipvsadm -C
        inside ipvsadm -A -f 1 -s rr
        inside ipvsadm --stop-daemon backup 2>/dev/null || true
        [ $way = Start ] || inside ipvsadm --start-daemon backup --mcast-interface lo --syncid 7
        run $way >/tmp/journal 2>&1 && fail "$1: $way ends well"
        grep -qF -- "$3" /tmp/journal || fail "$1: in the journal is no '$3' but $(cat /tmp/journal)"
        grep -qF "the rules of $2 are not loaded: the table stays as it is" /tmp/journal || fail "$1: $(cat /tmp/journal)"
        same "$1: $way: the table" "$(table)" '-A -f 1 -s rr'
        same "$1: $way: the daemon" "$(daemons)" 'backup sync daemon (mcast=lo, syncid=7'
        # On old kernels a thread that has not run yet can't be stopped.
        sleep 1
    done
}
etc=$system/etc
printf -- '-A -t 192.0.2.1:80 -s rr\n-a -t 192.0.2.1:80 -r 10.0.0.1:80 -w x\n' >"$etc/typo.rules"
wrong 'a typo' /etc/typo.rules '/etc/typo.rules:2: '
printf -- '-A -t 192.0.2.1:80 -s rr\n-a -t www.example.invalid:80 -r 10.0.0.1:80\n' >"$etc/name.rules"
wrong 'a name that does not resolve' /etc/name.rules '/etc/name.rules:2: '
: >"$etc/empty.rules"
wrong 'an empty file' /etc/empty.rules '/etc/empty.rules:1:1: The file is empty. For a director without services write `-C`'
printf '# nothing yet\n' >"$etc/comment.rules"
wrong 'a file of comments' /etc/comment.rules '/etc/comment.rules:1:1: The file is empty.'
sed 's/^mark = 10/mark = ten/' "$etc/shop.toml" >"$etc/typo.toml"
wrong 'a typo in TOML' /etc/typo.toml "/etc/typo.toml:$(grep -n 'mark = ten' "$etc/typo.toml" | cut -d: -f1):"
printf 'virtual_server 192.0.2.1 80 {\n    lb_algo rr\n}\n' >"$etc/keepalived.conf"
wrong 'the file of another program' /etc/keepalived.conf '/etc/keepalived.conf:1:'
settings AUTO=true DAEMON=backup IFACE=lo SYNCID=7 RULES=/etc/nothing.here
run Start >/tmp/said 2>&1 && fail 'a rules file that is missing is no error'
same 'what it says' "$(cat /tmp/said)" 'ipvs-cli: AUTO is true, but /etc/nothing.here cannot be read: the table stays as it is
nothing to change'
same 'the table' "$(table)" '-A -f 1 -s rr'
inside ipvsadm --stop-daemon backup
inside ipvsadm -C

echo '== every notation is loaded'
settings AUTO=true RULES=/etc/shop.json
cat >"$etc/shop.json" <<JSON
{"version": 1, "services": [{"mark": 10, "scheduler": "rr", "destinations": [{"address": "10.0.0.1"}]$json_group}]}
JSON
run Start
same 'the table' "$(table)" "$(printf -- '-A -f 10 -s rr\n-a -f 10 -r 10.0.0.1:0 -g -w 1')"
marks 'the mark rules' '10 tcp:192.0.2.1:80,443'
run Stop
marks 'the mark rules' ''

echo '== without the real package'
package --purge ipvsadm
rm -f "$system/etc/default/ipvsadm"
settings AUTO=true
echo '-A -f 9 -s rr' >"$rules"
run Start
same 'the table' "$(table)" '-A -f 9 -s rr'
package --purge ipvs-cli
same 'links to the service' "$(inside find /etc/systemd -name '*ipvs*')" ''
