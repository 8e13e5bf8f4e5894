# Ours and the real package, in every order, on one system. $2: `unmerged' gives /sbin a directory of its own.
. "${0%/*}/system.sh"

new_system
if [ "${2-}" = unmerged ]; then unmerge_sbin; fi

nothing=$(snapshot)
echo '== ours alone, and gone again'
install_ours
ours_works
inside sh -c 'echo SAVE=true >>/etc/default/ipvs-cli'
package --remove ipvs-cli
inside sh -c '! command -v ipvsadm' || fail 'ipvsadm is still there'
same 'a setting after removal' "$(inside tail -1 /etc/default/ipvs-cli)" SAVE=true
package --purge ipvs-cli
same 'what is left of ours' "$(snapshot)" "$nothing"
same 'diversions left' "$(inside dpkg-divert --list '*ipvsadm*')" ''

echo '== ours beside theirs'
install_theirs
with_theirs=$(snapshot)
theirs_works
install_ours
ours_works
same 'the alternatives' "$(inside update-alternatives --list ipvsadm)" \
    "$(printf '/sbin/ipvsadm.distrib.usr-is-merged\n/usr/libexec/ipvs-cli/ipvsadm')"
inside update-alternatives --quiet --set ipvsadm /sbin/ipvsadm.distrib.usr-is-merged
same 'ipvsadm by choice' "$(who_is_ipvsadm)" theirs
same 'its manual page by choice' "$(inside readlink -f /usr/share/man/man8/ipvsadm.8.gz)" /usr/share/man/man8/ipvsadm.distrib.8.gz
install_ours 2
same 'ipvsadm by choice, after an upgrade of ours' "$(who_is_ipvsadm)" theirs
inside update-alternatives --quiet --auto ipvsadm
ours_works
package --purge ipvs-cli
theirs_works
same 'what ours changed' "$(snapshot)" "$with_theirs"
package --purge ipvsadm

echo '== theirs comes, changes and goes, and ours stays'
install_ours
install_theirs
ours_works
install_theirs
ours_works
inside update-alternatives --quiet --set ipvsadm /sbin/ipvsadm.distrib.usr-is-merged
package --remove ipvsadm
ours_works
package --purge ipvsadm
ours_works
same 'the alternatives' "$(inside update-alternatives --list ipvsadm)" /usr/libexec/ipvs-cli/ipvsadm
install_theirs
package --remove ipvs-cli
theirs_works
package --purge ipvs-cli
same 'what ours changed' "$(snapshot)" "$with_theirs"

if [ "${2-}" != unmerged ]; then
    echo '== theirs becomes that of Debian 13, which is in /usr/sbin'
    install_ours
    install_theirs 13
    ours_works
    same 'the alternatives' "$(inside update-alternatives --list ipvsadm)" \
        "$(printf '/usr/libexec/ipvs-cli/ipvsadm\n/usr/sbin/ipvsadm.distrib')"
    package --remove ipvs-cli
    theirs_works
    install_ours
    ours_works
    package --purge ipvsadm ipvs-cli
    same 'what is left' "$(inside find /usr /etc -name '*ipvs*' ! -name libxt_ipvs.so)" ''
fi
