# The program in a root directory with nothing else in it but /proc: no libraries, no shell, no getent, no name service.
. "${0%/*}/system.sh"

new_system
install_ipvs_cli
alone=/tmp/alone
mkdir -p $alone/proc
mount -t proc proc $alone/proc
cp "$system/usr/sbin/ipvs-cli" $alone/ipvsadm
ln $alone/ipvsadm $alone/ipvsadm-save
ln $alone/ipvsadm $alone/ipvsadm-restore
same 'what is there' "$(cd $alone && echo *)" 'ipvsadm ipvsadm-restore ipvsadm-save proc'

alone() {
    chroot $alone "$@" 2>/tmp/errors
    same "what $* says of errors" "$(cat /tmp/errors)" ''
}

alone /ipvsadm -h | grep -q '^Usage:' || fail 'no help'
alone /ipvsadm -A -t 192.0.2.1:80 -s rr
alone /ipvsadm -a -t 192.0.2.1:80 -r 10.0.0.1:8080 -m
alone /ipvsadm -A -t '[2001:db8::1]:443' -s wlc -p 60
alone /ipvsadm-save -n >/tmp/saved
same 'the saved table' "$(cat /tmp/saved)" "$(inside ipvsadm -S -n)"
# There is nobody to ask for names: numbers, and no word about it.
same 'the listing with names' "$(alone /ipvsadm -L)" "$(alone /ipvsadm -L -n)"
same 'the saved table with names' "$(alone /ipvsadm-save)" "$(cat /tmp/saved)"
alone /ipvsadm -L -c -n >/dev/null
alone /ipvsadm-restore </tmp/saved
same 'the restored table' "$(alone /ipvsadm -S -n)" "$(cat /tmp/saved)"
# A given name that can't be found is reported as ever.
chroot $alone /ipvsadm -A -t nowhere.example:80 -s rr 2>/tmp/errors && fail 'a name was found'
same 'what it says of a name' "$(head -1 /tmp/errors)" 'illegal virtual server address[:port] specified'
same 'what the program asks of others' "$(strace -f -e trace=execve -o /tmp/calls chroot $alone /ipvsadm -L -n >/dev/null; grep -c execve /tmp/calls)" 2
