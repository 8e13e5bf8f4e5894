# The manual pages: nothing in them that man warns of, and what one reads.
. "${0%/*}/system.sh"

new_system
install_ipvsadm
install_ipvs_cli
for page in ipvsadm ipvsadm-save ipvsadm-restore ipvs-cli ipvs-follow; do
    inside sh -c "man --warnings=w --local-file \$(readlink -f /usr/share/man/man8/$page.8.gz) 2>/tmp/warnings | col -b >/tmp/page"
    same "warnings about $page(8)" "$(cat "$system/tmp/warnings")" ''
    grep -q 'ipvs-cli 0' "$system/tmp/page" || fail "$page(8) is not of ipvs-cli"
    # The whole page stands within the columns of a terminal.
    same "lines of $page(8) that are too long" "$(grep -E '.{81}' "$system/tmp/page" || true)" ''
done
# By its name, as a user asks for it, and in the index.
inside mandb --quiet --create 2>/dev/null || fail 'mandb'
inside man 8 ipvsadm 2>/dev/null | grep -q 'Goes with -A and -E' || fail 'ipvsadm(8) does not say which commands take -s'
inside whatis ipvsadm | grep -q 'load balancer' || fail "whatis says: $(inside whatis ipvsadm)"
# The pages that its services name.
for page in $(sed -n 's/^Documentation=//p' "$system"/usr/lib/systemd/system/ipvs-*.service); do
    name=${page#man:}
    inside man --where 8 "${name%(8)}" >/dev/null 2>&1 || fail "a service names $page, which is not in the package"
done
