#!/usr/bin/env bash
# Shows that `cargo lab test` does not depend on the machine: runs it on two made-up Debians and compares each test's result.
#
#     tests/lab/machines.sh [OPTIONS AND FILTER OF cargo lab test]
#
# As root, with debootstrap. The one machine has what CONTRIBUTING.md asks for and no more; the other is full of programs, settings,
# dotfiles and another language. Both have this checkout, its target directory, Rust and the lab's cache at their paths. They are
# kept in $MACHINES (else /var/tmp/ipvs-lab-machines; 4 GB), with the output of each run beside them.
set -eu
workspace=$(cd "$(dirname "$0")/../.." && pwd)
machines=${MACHINES:-/var/tmp/ipvs-lab-machines}
# The mirror of this machine's own apt, as for the lab.
mirror=${IPVS_LAB_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m1 '/debian/$')}
cache=${IPVS_LAB:-${XDG_CACHE_HOME:-$HOME/.cache}/ipvs-lab}
cargo_home=${CARGO_HOME:-$HOME/.cargo} rustup_home=${RUSTUP_HOME:-$HOME/.rustup}

needed=gcc,g++,libc6-dev,ca-certificates
others=(
    kmod ipvsadm iptables nftables keepalived ldirectord iproute2 systemd dbus cron rsyslog locales locales-all
    libnss-mdns libnss-myhostname libnss-resolve network-manager dnsmasq docker.io openssh-server apache2 cups
    xfce4 xfce4-terminal firefox-esr vim-nox zsh fish bash-completion man-db git curl perl python3 valgrind lintian
)

# A machine's root directory; it has its name only when it is complete.
make_machine() {
    local root=$machines/$1 new=$machines/$1.new
    [[ ! -d $root ]] || return 0
    rm -rf "$new"
    debootstrap --variant=minbase --include="$needed" bookworm "$new" "$mirror"
    # Crates are fetched as on this machine: by its name servers, and by an authority that only it may know.
    cp /etc/ssl/certs/ca-certificates.crt "$new/etc/ssl/certs/"
    if [[ $1 == full ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$new/usr/sbin/policy-rc.d" && chmod +x "$new/usr/sbin/policy-rc.d"
        cp /etc/resolv.conf "$new/etc/resolv.conf"
        DEBIAN_FRONTEND=noninteractive chroot "$new" apt-get install -y --no-install-recommends "${others[@]}"
        rm -rf "$new/var/cache/apt/archives"/*.deb
        disturb "$new"
    fi
    mv "$new" "$root"
}

# Settings that programs take notice of, each unlike the usual one.
disturb() {
    local root=$1 name
    printf '192.0.2.66 localhost www app1.example.net\n127.0.0.1 another\n' >"$root/etc/hosts"
    printf 'hosts: mdns4_minimal [NOTFOUND=return] resolve dns myhostname\nservices: db\nprotocols: db\npasswd: db\n' >"$root/etc/nsswitch.conf"
    rm -f "$root/etc/resolv.conf" # systemd makes it a link
    { cat /etc/resolv.conf && printf 'search example.net\noptions timeout:1 attempts:1\n'; } >"$root/etc/resolv.conf"
    printf 'http 8080/tcp\nhttps 8443/tcp\n' >"$root/etc/services"
    printf 'another 6 tcp\n' >"$root/etc/protocols"
    printf 'AUTO=true\nDAEMON=master\nIFACE=eth7\n' >"$root/etc/default/ipvsadm"
    printf -- '-A -t 192.0.2.66:80 -s rr\n' >"$root/etc/ipvsadm.rules"
    printf 'options ip_vs conn_tab_bits=4\nblacklist ip_vs\ninstall ip_vs /bin/false\n' >"$root/etc/modprobe.d/another.conf"
    mkdir -p "$root/usr/local/sbin" "$root/root/.config/git" "$root/root/.config/nft"
    for name in ipvsadm ipvs-cli modprobe ip nft iptables getent unshare setpriv; do
        printf '#!/bin/sh\necho "the machine has a %s of its own" >&2\nexit 66\n' "$name" >"$root/usr/local/sbin/$name"
        chmod +x "$root/usr/local/sbin/$name"
    done
    for name in .bashrc .profile .bash_profile .zshenv .inputrc .gitconfig .config/git/config .config/nft/nftrc .lesskey; do
        printf 'echo "the machine has a %s"\nexit 66\n' "$name" >"$root/root/$name"
    done
    rm "$root/root/.gitconfig" "$root/root/.config/git/config"
    printf '[core]\n\tautocrlf = true\n\tquotePath = true\n[color]\n\tui = always\n' >"$root/root/.gitconfig"
}

# Runs a command in the checkout on a machine, in namespaces of its own: NAME [NAME=VALUE]... COMMAND...
on() {
    local root=$machines/$1 && shift
    # shellcheck disable=SC2016
    unshare --mount --pid --fork --kill-child sh -euc '
        root=$1 workspace=$2 && shift 2
        for path in "$workspace" "$1" "$2" "$3"; do mkdir -p "$root$path" && mount --bind "$path" "$root$path"; done
        cargo_home=$1 rustup_home=$2 cache=$3 && shift 3
        for path in /dev /sys; do mount --rbind "$path" "$root$path"; done
        mount -t proc proc "$root/proc"
        exec chroot "$root" env -i HOME=/root CARGO_HOME="$cargo_home" RUSTUP_HOME="$rustup_home" IPVS_LAB="$cache" \
            PATH="$cargo_home/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin" \
            sh -c "cd \"\$1\" && shift && exec env \"\$@\"" sh "$workspace" "$@"
    ' sh "$root" "$workspace" "$cargo_home" "$rustup_home" "$cache" "$@"
}

# One line for each test and each check, without the times and what a test has measured.
results() {
    awk '/^==== / { head = $0; if (/^==== kernel/) { head = $2 " " $3 " " $4; sub(/:?$/, ":", head) } }
         /^test .* \.\.\. / || /^test result: / { sub(/; finished in .*/, ""); print head " " $0 }
         /^(ok|FAILED|skipped) / { sub(/ +[0-9.]+ s( |$)/, " "); sub(/;.*/, ""); print }' "$1" | LC_ALL=C sort
}

mkdir -p "$machines"
make_machine minimal
make_machine full
disturbed=(
    LANG=de_DE.UTF-8 LC_ALL=tr_TR.UTF-8 LANGUAGE=de TERM=xterm-256color COLUMNS=40 LINES=7 TZ=Asia/Kathmandu
    CARGO_TERM_COLOR=always CLICOLOR_FORCE=1 NO_COLOR=1 PAGER=less LESS=-R GREP_COLORS=mt=1 LS_COLORS=di=1 RUST_BACKTRACE=full
    XDG_CONFIG_HOME=/root/.config XDG_RUNTIME_DIR=/nonexistent BASH_ENV=/root/.bashrc ENV=/root/.profile
)
mapfile -t settings < <(env | grep '^CARGO_' | grep -v '^CARGO_HOME=' || true)
status=0
on minimal "${settings[@]}" cargo lab test "$@" >"$machines/minimal.output" 2>&1 || echo "minimal: status $?"
on full "${settings[@]}" "${disturbed[@]}" cargo lab test "$@" >"$machines/full.output" 2>&1 || echo "full: status $?"
for name in minimal full; do results "$machines/$name.output" >"$machines/$name.results"; done
diff -u "$machines/minimal.results" "$machines/full.results" || status=1
echo "$(wc -l <"$machines/minimal.results") lines of results; $(grep -c -e '^FAILED' -e '\.\.\. FAILED' "$machines/minimal.results" || true) say FAILED"
exit $status
