# The service: what it does at boot, at shutdown, and which settings it reads. There is no init in the guest, so its own
# command lines are run.
. "${0%/*}/system.sh"

new_system
install_theirs
install_ours

unit=/usr/lib/systemd/system/ipvs-cli.service
same 'what systemd-analyze says' "$(inside systemd-analyze verify --man=no "$unit" 2>&1)" ''
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

echo '== AUTO, as the real package has it: the table becomes the rules, and is cleared in the end'
sed -i 's/^AUTO=.*/AUTO="true"/' "$system/etc/default/ipvsadm"
printf '# by hand\n-A -f 2 -s rr\n-a -f 2 -r 10.0.0.1:0 -g -w 3\n' >"$rules"
by_hand=$(cat "$rules")
run Start
same 'the table' "$(table)" "$(tail -2 "$rules")"
inside ipvsadm -A -f 3 -s rr
run Reload
same 'the table' "$(table)" "$(tail -2 "$rules")"
inside ipvsadm -A -f 3 -s rr
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

echo '== what goes wrong leaves things as they are'
same 'the rules file, when the table cannot be read' "$(
    settings SAVE=true RULES=/etc/keep.rules
    cp "$rules" "$system/etc/keep.rules"
    setpriv --bounding-set=-net_admin --inh-caps=-net_admin \
        chroot "$system" /usr/libexec/ipvs-cli/rules stop >/dev/null 2>&1 && fail 'it did not tell'
    cat "$system/etc/keep.rules"
)" "$(cat "$rules")"
settings AUTO=true RULES=/etc/nothing.here
run Start >/tmp/said 2>&1 && fail 'a rules file that is missing is no error'
same 'what it says' "$(cat /tmp/said)" \
    'ipvs-cli: AUTO is true, but /etc/nothing.here cannot be read: the table stays as it is'
same 'the table' "$(table)" "$wanted"
inside ipvsadm -C

echo '== the sync daemons'
settings AUTO=false DAEMON=both IFACE=lo SYNCID=7
run Start
same 'the daemons' "$(daemons)" "$(printf 'master sync daemon (mcast=lo, syncid=7\nbackup sync daemon (mcast=lo, syncid=7')"
# A daemon whose thread has not run yet may not be told to stop on old kernels; one that sleeps may.
sleep 1
run Stop
same 'the daemons' "$(daemons)" ''

echo '== without the real package'
package --purge ipvsadm
rm -f "$system/etc/default/ipvsadm"
settings AUTO=true
echo '-A -f 9 -s rr' >"$rules"
run Start
same 'the table' "$(table)" '-A -f 9 -s rr'
package --purge ipvs-cli
same 'links to the service' "$(inside find /etc/systemd -name '*ipvs*')" ''
