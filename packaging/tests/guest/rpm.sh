# The package for Red Hat's distributions, on a Debian whose rpm installs it: installed, used, upgraded, removed; alone and beside
# a package ipvsadm. Debian's update-alternatives stands in for alternatives, which has the same options.
. "${0%/*}/system.sh"

new_system
# What rpm needs and the system has not installed.
files=("$system"/packages/12/libpopt0_*.deb)
package --install "${files[@]#"$system"}"
nothing=$(inside find /etc /usr -xdev ! -type d ! -path '/usr/lib/sysimage/*' | sort)

# What Debian's rpm does not know: the packages that dpkg has installed. And it warns that this is no RPM system.
rpm_do() {
    inside rpm --nodeps --force-debian "$@" >/tmp/rpm.log 2>&1 || {
        cat /tmp/rpm.log
        fail "rpm $*"
    }
}

ipvs_cli_rpm() {
    local files=("$packages/ipvs-cli-"*"-$1".*.rpm)
    echo "/built/${files[0]##*/}"
}

run() {
    local line
    line=$(sed -n "s/^Exec$1=//p" "$system/usr/lib/systemd/system/ipvs-cli.service")
    inside $line
}

echo '== installed and used'
rpm_do --install "$(ipvs_cli_rpm 1)"
same 'ipvsadm is' "$(inside readlink -f /usr/sbin/ipvsadm)" /usr/sbin/ipvs-cli
same 'what it provides' "$(inside rpm --query --provides ipvs-cli | grep '^ipvsadm')" 'ipvsadm = 1.31'
same 'changed files' "$(inside rpm --verify --nodeps ipvs-cli)" ''
inside /usr/sbin/ipvsadm -A -t 192.0.2.1:80 -s rr
inside /usr/sbin/ipvsadm -a -t 192.0.2.1:80 -r 10.0.0.1 -m
inside /usr/sbin/ipvsadm -L -n | grep -q '^TCP  192.0.2.1:80 rr$' || fail 'the service is not listed'
same 'its manual page' "$(inside readlink -f /usr/share/man/man8/ipvsadm.8.gz)" /usr/share/man/man8/ipvsadm.ipvs-cli.8.gz

echo '== the unit'
same 'what systemd-analyze says' "$(inside systemd-analyze verify --man=no /usr/lib/systemd/system/ipvs-cli.service 2>&1)" ''
inside sh -c 'ipvsadm-save -n >/etc/sysconfig/ipvsadm'
inside ipvsadm -C
run Start
same 'the loaded table' "$(inside ipvsadm-save -n | head -1)" '-A -t 192.0.2.1:80 -s rr'
inside ipvsadm -A -f 7 -s rr
inside sh -c 'echo IPVS_SAVE_ON_STOP=yes >/etc/sysconfig/ipvsadm-config'
run Stop
same 'the table after the stop' "$(inside ipvsadm-save -n)" ''
inside grep -q '^-A -f 7 -s rr' /etc/sysconfig/ipvsadm || fail 'the table is not saved'

echo '== upgraded'
inside sh -c 'echo SYNCID=3 >>/etc/sysconfig/ipvs-cli'
inside ipvsadm -A -f 8 -s rr
rpm_do --upgrade "$(ipvs_cli_rpm 2)"
same 'the version' "$(inside rpm --query --queryformat '%{RELEASE}' ipvs-cli)" 2
same 'the table of the running director' "$(inside ipvsadm-save -n)" '-A -f 8 -s rr'
same 'a setting' "$(inside tail -1 /etc/sysconfig/ipvs-cli)" SYNCID=3
same 'ipvsadm is' "$(inside readlink -f /usr/sbin/ipvsadm)" /usr/sbin/ipvs-cli

echo '== removed'
rpm_do --erase ipvs-cli
inside sh -c '! command -v ipvsadm' || fail 'ipvsadm is still there'
same 'the table of the running director' "$(cat /proc/net/ip_vs | grep -c FWM)" 1
# What is left is what was written here: changed settings, and the rules.
rm "$system"/etc/sysconfig/{ipvsadm,ipvsadm-config,ipvs-cli.rpmsave}
same 'what is left' "$(inside find /etc /usr -xdev ! -type d ! -path '/usr/lib/sysimage/*' | sort)" "$nothing"
same 'directories that are left' "$(inside find /usr -xdev -name '*ipvs-cli*')" ''

echo '== beside a package ipvsadm'
install_ipvsadm
rpm_do --install "$(ipvs_cli_rpm 1)"
ipvsadm_works
same 'the other one' "$(inside /usr/libexec/ipvs-cli/ipvsadm --version | cut -d' ' -f1)" ipvsadm
rpm_do --erase ipvs-cli
ipvsadm_works
