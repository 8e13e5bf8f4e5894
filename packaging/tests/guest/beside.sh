# ipvs-cli and Debian's ipvsadm, installed in every order on one system. $2: `unmerged' gives /sbin a directory of its own.
. "${0%/*}/system.sh"

new_system
if [ "${2-}" = unmerged ]; then unmerge_sbin; fi

nothing=$(snapshot)
echo '== ipvs-cli alone, then removed'
install_ipvs_cli
ipvs_cli_works
inside sh -c 'echo SAVE=true >>/etc/default/ipvs-cli'
package --remove ipvs-cli
inside sh -c '! command -v ipvsadm' || fail 'ipvsadm is still there'
same 'a setting after removal' "$(inside tail -1 /etc/default/ipvs-cli)" SAVE=true
package --purge ipvs-cli
same 'what is left of ipvs-cli' "$(snapshot)" "$nothing"
same 'diversions left' "$(inside dpkg-divert --list '*ipvsadm*')" ''

echo '== ipvs-cli beside ipvsadm'
install_ipvsadm
with_ipvsadm=$(snapshot)
ipvsadm_works
install_ipvs_cli
ipvs_cli_works
same 'the alternatives' "$(inside update-alternatives --list ipvsadm)" \
    "$(printf '/sbin/ipvsadm.distrib.usr-is-merged\n/usr/libexec/ipvs-cli/ipvsadm')"
inside update-alternatives --quiet --set ipvsadm /sbin/ipvsadm.distrib.usr-is-merged
same 'ipvsadm by choice' "$(who_is_ipvsadm)" ipvsadm
same 'its manual page by choice' "$(inside readlink -f /usr/share/man/man8/ipvsadm.8.gz)" /usr/share/man/man8/ipvsadm.distrib.8.gz
install_ipvs_cli 2
same 'ipvsadm by choice, after an upgrade of ipvs-cli' "$(who_is_ipvsadm)" ipvsadm
inside update-alternatives --quiet --auto ipvsadm
ipvs_cli_works
package --purge ipvs-cli
ipvsadm_works
same 'what ipvs-cli changed' "$(snapshot)" "$with_ipvsadm"
package --purge ipvsadm

echo '== ipvsadm comes, changes and goes; ipvs-cli stays'
install_ipvs_cli
install_ipvsadm
ipvs_cli_works
install_ipvsadm
ipvs_cli_works
inside update-alternatives --quiet --set ipvsadm /sbin/ipvsadm.distrib.usr-is-merged
package --remove ipvsadm
ipvs_cli_works
package --purge ipvsadm
ipvs_cli_works
same 'the alternatives' "$(inside update-alternatives --list ipvsadm)" /usr/libexec/ipvs-cli/ipvsadm
install_ipvsadm
package --remove ipvs-cli
ipvsadm_works
package --purge ipvs-cli
same 'what ipvs-cli changed' "$(snapshot)" "$with_ipvsadm"

if [ "${2-}" != unmerged ]; then
    echo '== ipvsadm becomes that of Debian 13, which is in /usr/sbin'
    install_ipvs_cli
    install_ipvsadm 13
    ipvs_cli_works
    same 'the alternatives' "$(inside update-alternatives --list ipvsadm)" \
        "$(printf '/usr/libexec/ipvs-cli/ipvsadm\n/usr/sbin/ipvsadm.distrib')"
    package --remove ipvs-cli
    ipvsadm_works
    install_ipvs_cli
    ipvs_cli_works
    package --purge ipvsadm ipvs-cli
    same 'what is left' "$(inside find /usr /etc -name '*ipvs*' ! -name libxt_ipvs.so)" ''
fi
