# While packages come and go there is an ipvsadm at every moment: somebody's script calls it once a second.
. "${0%/*}/system.sh"

new_system
install_ipvsadm

# Asks for it without pause, and counts when it was not there.
(
    missing=0 asked=0
    while [ ! -e /tmp/enough ]; do
        chroot "$system" /sbin/ipvsadm -L -n >/dev/null 2>&1 || missing=$((missing + 1))
        asked=$((asked + 1))
    done
    echo "$missing of $asked" >/tmp/counted
) &
install_ipvs_cli
install_ipvs_cli 2
package --remove ipvs-cli
install_ipvs_cli
install_ipvsadm
package --remove ipvs-cli
touch /tmp/enough
wait
cat /tmp/counted
case $(cat /tmp/counted) in
    '0 of 0') fail 'nobody asked' ;;
    '0 of '*) ;;
    *) fail "ipvsadm was missing: $(cat /tmp/counted)" ;;
esac
ipvsadm_works
