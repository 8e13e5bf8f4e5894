# What the program of the image may do in a container: `docs/containers.md' says the same. An engine makes namespaces, a root
# directory and a set of capabilities. Here unshare, chroot and setpriv make them. $root is what the image has.

# The capabilities of a container that is given none, as engines have them.
usual=chown,dac_override,fowner,fsetid,kill,setgid,setuid,setpcap,net_bind_service,net_raw,sys_chroot,mknod,audit_write,setfcap

# Runs a program of the image with these capabilities.
contained() {
    local capabilities=-all,+${1//,/,+}
    shift
    setpriv --bounding-set="$capabilities" --inh-caps="$capabilities" chroot $root "/usr/sbin/$1" "${@:2}"
}

# Runs it, and expects that it fails with these words and this status.
refused() {
    local words=$1 status=0
    shift
    "$@" >/tmp/said 2>&1 || status=$?
    [ $status != 0 ] || fail "$* is not refused"
    grep -q "$words" /tmp/said || fail "$* says $(cat /tmp/said)"
}

mount --bind $root $root
mount -o remount,bind,ro $root

echo '== the network of the host, and CAP_NET_ADMIN'
contained net_admin,sys_chroot ipvsadm -A -t 192.0.2.1:80 -s rr
contained net_admin,sys_chroot ipvsadm -a -t 192.0.2.1:80 -r 10.0.0.1 -m
same 'the table' "$(contained net_admin,sys_chroot ipvsadm -S -n | tr '\n' ' ')" \
    '-A -t 192.0.2.1:80 -s rr -a -t 192.0.2.1:80 -r 10.0.0.1:80 -m -w 1 '
same 'the table with the usual capabilities beside it' "$(contained $usual,net_admin ipvsadm -S -n | wc -l)" 2

echo '== the usual capabilities'
refused 'Permission denied (you must be root)' contained $usual ipvsadm -L -n
refused 'Permission denied (you must be root)' contained $usual ipvsadm -C

echo '== a network of its own, and CAP_NET_ADMIN: another table'
same 'its table' "$(unshare --net bash -c "$(declare -f contained); root=$root; contained net_admin,sys_chroot ipvsadm -S -n")" ''
unshare --net sleep 1000 &
inner=$!
until [ "$(readlink /proc/$inner/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
echo '== nsenter: the table of a container, from the host'
nsenter --net=/proc/$inner/ns/net chroot $root /usr/sbin/ipvsadm -A -f 5 -s rr
same 'the container' "$(nsenter --net=/proc/$inner/ns/net chroot $root /usr/sbin/ipvsadm -S -n)" '-A -f 5 -s rr'
same 'the host' "$(chroot $root /usr/sbin/ipvsadm -S -n | wc -l)" 2
echo '== and the table of the host, from a container that sees its processes'
same 'the host' "$(nsenter --net=/proc/$inner/ns/net nsenter --net=/proc/$$/ns/net chroot $root /usr/sbin/ipvsadm -S -n | wc -l)" 2
kill $inner

echo '== rootless: root of a user namespace'
refused 'Permission denied (you must be root)' \
    unshare --user --map-root-user --net chroot $root /usr/sbin/ipvsadm -A -t 192.0.2.2:80 -s rr
refused 'Permission denied (you must be root)' \
    unshare --user --map-root-user chroot $root /usr/sbin/ipvsadm -C
same 'the host' "$(chroot $root /usr/sbin/ipvsadm -S -n | wc -l)" 2

echo '== names'
chroot $root /usr/sbin/ipvsadm -A -t nowhere.example:80 -s rr 2>/tmp/said && fail 'a name was found'
same 'what it says of a name' "$(head -1 /tmp/said)" 'illegal virtual server address[:port] specified'

echo '== the subcommands that keep notes: they need /run'
printf -- '-A -t 192.0.2.1:80 -s wrr\n-a -t 192.0.2.1:80 -r 10.0.0.1 -m\n' >/tmp/rules
mkdir /tmp/run
mount --bind /tmp/run $root/run 2>/dev/null || fail 'the image has no /run to mount something on'
contained net_admin,sys_chroot ipvs-cli apply --yes - </tmp/rules
same 'the table' "$(contained net_admin,sys_chroot ipvsadm -S -n | head -1)" '-A -t 192.0.2.1:80 -s wrr'
