# What the scripts beside this one share: a throwaway Debian, and how to ask it things.
# They run as root in a guest of the lab. $1 is the directory with the packages that were built.
set -euo pipefail

packages=$1
system=/tmp/system/root

# A new, empty upper layer over the lab's Debian, which itself cannot be written to.
new_system() {
    mkdir -p /tmp/system
    mount -t tmpfs tmpfs /tmp/system
    mkdir /tmp/system/{upper,work,root}
    mount -t overlay overlay -o "lowerdir=$LAB_DEBIAN,upperdir=/tmp/system/upper,workdir=/tmp/system/work" "$system"
    mount -t proc proc "$system/proc"
    mount -t sysfs sysfs "$system/sys"
    mount --rbind /dev "$system/dev"
    # dpkg reads all of its database each time: from memory that is faster than through the guest's way to the host.
    cp -a "$LAB_DEBIAN/var/lib/dpkg" /tmp/system/dpkg
    mount --bind /tmp/system/dpkg "$system/var/lib/dpkg"
    mkdir "$system/built"
    mount --bind "$packages" "$system/built"
    # Not for services: there is no init, and packages ask this file.
    printf '#!/bin/sh\nexit 101\n' >"$system/usr/sbin/policy-rc.d"
    chmod 755 "$system/usr/sbin/policy-rc.d"
}

# Gives /sbin a directory of its own, as on machines installed before Debian merged it into /usr.
unmerge_sbin() {
    rm "$system/sbin"
    mkdir "$system/sbin"
    local path
    for path in $(cat "$system"/var/lib/dpkg/info/*.list | grep '^/sbin/' | sort -u); do
        mv "$system/usr$path" "$system$path"
    done
}

# Runs a command in the system.
inside() {
    chroot "$system" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
        TERM=dumb LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

# dpkg, without waiting for disks, and quiet unless it fails.
package() {
    inside dpkg --force-unsafe-io "$@" >/tmp/dpkg.log 2>&1 </dev/null || {
        cat /tmp/dpkg.log
        fail "dpkg $*"
    }
}

# The package ipvs-cli, revision 1 unless another is given.
install_ipvs_cli() {
    package --install "$(our_file "${1:-1}")"
}

# Where a revision is in the system.
our_file() {
    local files=("$packages/ipvs-cli_"*"-$1"_*.deb)
    echo "/built/${files[0]##*/}"
}

# The real package of a release of Debian: of 12, unless another is named.
install_ipvsadm() {
    local files=("$system/packages/${1:-12}"/*.deb)
    package --install "${files[@]#"$system"}"
}

fail() {
    echo "FAILED: $*"
    exit 1
}

# same WHAT IS SHOULD-BE
same() {
    [ "$2" = "$3" ] || fail "$1: it is
$2
and should be
$3"
}

# All that packages may have put somewhere, with its owner, mode, size and time, and the content of what has ipvs in its name.
# Not which services are enabled: that is init's to keep, and the real package leaves some of it when it goes.
snapshot() {
    inside find /etc /sbin/ /usr /var/lib/dpkg/alternatives/ -xdev \( -path '/etc/systemd*' -o -path '/etc/rc?.d*' \) -prune -o \
        ! -type d -printf '%p %m %U:%G %s %T@ %l\n' -type f -path '*ipvs*' -exec md5sum {} + | sort
}

# Which program `ipvsadm' is: the two print a firewall mark above 2^31 differently.
who_is_ipvsadm() {
    inside ipvsadm -C
    inside ipvsadm -A -f 4294967295 -s rr
    case $(inside ipvsadm -L -n) in
        *'FWM  4294967295 rr'*) echo ipvs-cli ;;
        *'FWM  -1 rr'*) echo ipvsadm ;;
        *) echo nobody ;;
    esac
}

no_package_is_stuck() {
    local state
    state=$(inside dpkg-query --show --showformat '${Package}: ${Status}\n' '*ipvs*')
    state=$(grep -v -e 'ok installed$' -e 'ok config-files$' -e 'ok not-installed$' <<<"$state" || true)
    same 'packages that are stuck' "$state" ''
}

ipvs_cli_works() {
    same 'ipvsadm is' "$(who_is_ipvsadm)" ipvs-cli
    same 'what is saved' "$(inside ipvsadm-save -n)" '-A -f 4294967295 -s rr'
    printf -- '# comment\n-A -f 7 -s rr\n' | inside ipvsadm-restore
    same 'what was restored' "$(inside /sbin/ipvsadm -S -n)" '-A -f 7 -s rr'
    same 'the manual page' "$(inside readlink -f /usr/share/man/man8/ipvsadm.8.gz)" /usr/share/man/man8/ipvsadm.ipvs-cli.8.gz
    no_package_is_stuck
}

ipvsadm_works() {
    same 'ipvsadm is' "$(who_is_ipvsadm)" ipvsadm
    same 'changed files of the real package' "$(inside dpkg --verify ipvsadm)" ''
    no_package_is_stuck
}
