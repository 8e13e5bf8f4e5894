# The archive for other distributions: its checksums are right, and its files work where they are unpacked.
. "${0%/*}/system.sh"

new_system
files=("$packages"/ipvs-cli-*-1-linux-*.tar.gz)
before=$(inside find /etc /usr -xdev ! -type d | sort)
mkdir /tmp/unpacked
tar -C /tmp/unpacked -xzf "${files[0]}"
cd /tmp/unpacked/*
sha256sum --check --quiet SHA256SUMS
same 'files without a checksum' "$(find . -type f ! -name SHA256SUMS | sed 's|^\./||' | sort)" "$(cut -c67- SHA256SUMS | sort)"
cp -a etc usr "$system"
for name in ipvsadm ipvsadm-save ipvsadm-restore; do
    ln -s ipvs-cli "$system/usr/sbin/$name"
done
inside ipvsadm -A -t 192.0.2.1:80 -s rr
inside ipvsadm -L -n | grep -q '^TCP  192.0.2.1:80 rr$' || fail 'the service is not listed'
printf 'AUTO=true\n' >"$system/etc/default/ipvs-cli"
inside sh -c 'ipvsadm-save -n >/etc/ipvsadm.rules; ipvsadm -C; /usr/libexec/ipvs-cli/rules start'
same 'the loaded table' "$(inside ipvsadm-save -n)" '-A -t 192.0.2.1:80 -s rr'
inside sh -n /usr/share/doc/ipvs-cli/examples/ipvs-cli.openrc
