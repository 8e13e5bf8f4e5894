//! The root directory of guests: a small Debian with what every script expects, and nothing of the
//! machine that the lab runs on.
//!
//! It has no modprobe, ipvsadm or iptables. The lab's tools stand in PATH from directories of their
//! own, and a test that wants one in its ordinary place puts it there.

use std::{fs, os::unix::fs::symlink, path::Path};

use super::{Session, Tree};
use crate::error::{Context, Result};

/// What every Debian has, without what installs packages.
const PACKAGES: [&str; 19] = [
    "base-files",
    "bash",
    "bsdutils",
    "coreutils",
    "dash",
    "diffutils",
    "findutils",
    "grep",
    "gzip",
    "hostname",
    "libc-bin",
    "mawk",
    "mount",
    "ncurses-base",
    "netbase",
    "procps",
    "sed",
    "tar",
    "util-linux",
];
/// The lighter of two packages that will do for what the others need.
const LIGHT: [&str; 1] = ["usr-is-merged"];
/// What the packages above need for their installation only, or for what no guest does.
const SUPERFLUOUS: [&str; 6] = [
    "usr/share/debconf",
    "usr/share/dpkg",
    "usr/share/perl5",
    "usr/share/bash-completion",
    "usr/share/zsh",
    "usr/lib/x86_64-linux-gnu/gconv",
];

/// Directories that Debian makes when a package is installed, or that something is mounted on.
const DIRECTORIES: [&str; 14] = [
    "dev",
    "home",
    "mnt",
    "opt",
    "proc",
    "root",
    "run",
    "srv",
    "sys",
    "tmp",
    "usr/local/bin",
    "usr/local/sbin",
    "var/lib",
    "var/tmp",
];

/// Links that Debian makes when a package is installed.
const LINKS: [(&str, &str); 5] = [
    ("etc/mtab", "../proc/self/mounts"),
    ("usr/bin/awk", "mawk"),
    ("usr/bin/which", "which.debianutils"),
    ("var/lock", "/run/lock"),
    ("var/run", "/run"),
];

/// Files that an administrator or the installer writes.
const FILES: [(&str, &str); 6] = [
    ("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("etc/hostname", "lab\n"),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 lab\n"),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n"),
    ("etc/resolv.conf", ""),
];

/// Makes one in `home`.
pub(crate) fn make(session: &Session, home: &Path) -> Result<()> {
    unpack(session, &[], home)?.settle()
}

/// Makes one with more packages, which is still to be settled.
pub(crate) fn unpack(session: &Session, more: &[&str], home: &Path) -> Result<Tree> {
    let packages = [PACKAGES.as_slice(), &LIGHT, more].concat();
    let tree = Tree::unpack(session, &packages, home)?.without(&SUPERFLUOUS).merge_usr()?;
    for name in DIRECTORIES {
        let path = tree.path().join(name);
        fs::create_dir_all(&path).context(|| format!("make {}", path.display()))?;
    }
    for (name, target) in LINKS {
        let path = tree.path().join(name);
        let _ = fs::remove_dir(&path); // some come as empty directories
        symlink(target, &path).context(|| format!("link {}", path.display()))?;
    }
    for (name, text) in FILES {
        let path = tree.path().join(name);
        fs::write(&path, text).context(|| format!("write {}", path.display()))?;
    }
    Ok(tree)
}
