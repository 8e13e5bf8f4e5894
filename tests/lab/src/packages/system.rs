//! A whole small Debian as a root directory, in which dpkg takes the packages for installed.
//!
//! Their scripts have not been run: what of it other packages rely on is made here.

use std::{
    fs,
    io::Write,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::{Session, Tree, deb, tree::directory_beside};
use crate::error::{Context, Result};

/// What every Debian has.
const BASE: [&str; 29] = [
    "base-files",
    "base-passwd",
    "bash",
    "bsdutils",
    "coreutils",
    "dash",
    "debianutils",
    "diffutils",
    "dpkg",
    "findutils",
    "grep",
    "gzip",
    "hostname",
    "init-system-helpers",
    "libc-bin",
    "login",
    "mawk",
    "mount",
    "ncurses-base",
    "ncurses-bin",
    "passwd",
    "perl-base",
    "procps",
    "sed",
    "sysvinit-utils",
    "tar",
    "util-linux",
    "zlib1g",
    "systemd",
];
/// What installs packages of other kinds.
const INSTALLERS: [&str; 2] = ["rpm", "zstd"];
/// What marks packets, on a kernel that has the old tables.
const IPTABLES: &str = "iptables";
/// What judges a package, its manual pages and its completions.
const JUDGES: [&str; 5] = ["lintian", "man-db", "bash-completion", "zsh", "fish"];
/// What tests install, with all that this needs and the rest does not have.
const TO_INSTALL: [&str; 4] = ["ipvsadm", "libnl-3-200", "libnl-genl-3-200", "libpopt0"];
/// Documentation and translations, which nobody reads there. That dpkg has them in its lists does
/// no harm.
const SUPERFLUOUS: [&str; 6] = [
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "usr/share/fish/man",
    "usr/share/fish/tools",
];

/// Makes one in `home`. Its directory `packages/12` has the packages of `release` that tests
/// install, and `packages/13` the ipvsadm of the next one.
pub(crate) fn make(release: &Session, next: &Session, home: &Path) -> Result<()> {
    let archives = directory_beside(home, "debs-")?;
    let wanted: Vec<&str> =
        BASE.iter().chain([&IPTABLES]).chain(&INSTALLERS).chain(&JUDGES).chain(&TO_INSTALL).copied().collect();
    let debs = release.download(&wanted, archives.path())?;
    let (spare, installed): (Vec<_>, Vec<_>) = debs.into_iter().partition(|deb| is_to_install(deb));
    let tree = Tree::of_files(&installed, home)?.without(&SUPERFLUOUS).merge_usr()?;
    register(&installed, tree.path())?;
    do_without_scripts(tree.path())?;
    let [now, later] = ["packages/12", "packages/13"].map(|name| tree.path().join(name));
    for directory in [&now, &later] {
        fs::create_dir_all(directory).context(|| format!("make {}", directory.display()))?;
    }
    for deb in spare {
        let name = deb.file_name().unwrap_or_default();
        fs::rename(&deb, now.join(name)).context(|| format!("move {}", deb.display()))?;
    }
    next.download_alone(&["ipvsadm"], &later)?;
    tree.settle()
}

/// Package files are named `ipvsadm_1%3a1.31-1_amd64.deb`.
fn is_to_install(deb: &Path) -> bool {
    let name = deb.file_name().unwrap_or_default().to_string_lossy();
    TO_INSTALL.iter().any(|package| name.split('_').next() == Some(package))
}

/// Writes the packages and their files into dpkg's database.
fn register(debs: &[PathBuf], root: &Path) -> Result<()> {
    let database = root.join("var/lib/dpkg");
    let path = database.join("status");
    let mut status = fs::File::create(&path).context(|| format!("write {}", path.display()))?;
    for deb in debs {
        let control = deb::control(deb)?;
        let entry = format!("Status: install ok installed\n{}\n\n", control.trim_end());
        status.write_all(entry.as_bytes()).context(|| format!("write {}", path.display()))?;
        let list = database.join("info").join(format!("{}.list", list_name(&control)));
        fs::write(&list, files(deb)?).context(|| format!("write {}", list.display()))?;
    }
    let format = database.join("info/format");
    fs::write(&format, "1\n").context(|| format!("write {}", format.display()))
}

/// What dpkg calls the list of a package's files: with the architecture, where several may be
/// installed together.
fn list_name(control: &str) -> String {
    let field = |name: &str| control.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    match field("Multi-Arch:") {
        "same" => format!("{}:{}", field("Package:"), field("Architecture:")),
        _ => field("Package:").to_owned(),
    }
}

/// The paths in a package, as dpkg lists them: `/.`, `/usr`, `/usr/bin`.
fn files(deb: &Path) -> Result<String> {
    Ok(deb::names(deb)?.iter().map(|name| format!("{}\n", listed(name))).collect())
}

/// tar's `./usr/` is dpkg's `/usr`.
fn listed(name: &str) -> &str {
    let name = name.strip_prefix('.').unwrap_or(name);
    match name.trim_end_matches('/') {
        "" => "/.",
        path => path,
    }
}

/// Users and groups, and which distribution this is.
fn do_without_scripts(root: &Path) -> Result<()> {
    for name in ["passwd", "group"] {
        let (from, to) = (root.join(format!("usr/share/base-passwd/{name}.master")), root.join("etc").join(name));
        fs::copy(&from, &to).context(|| format!("copy {}", from.display()))?;
    }
    let link = root.join("etc/dpkg/origins/default");
    symlink("debian", &link).context(|| format!("link {}", link.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_listed_as_dpkg_does() {
        assert_eq!(["./", "./usr/", "./usr/bin/x"].map(listed), ["/.", "/usr", "/usr/bin/x"]);
    }

    #[test]
    fn lists_are_named_as_dpkg_does() {
        assert_eq!(list_name("Package: libc6\nArchitecture: amd64\nMulti-Arch: same\n"), "libc6:amd64");
        assert_eq!(list_name("Package: sed\nArchitecture: amd64\nMulti-Arch: foreign\n"), "sed");
    }

    #[test]
    fn only_whole_names_are_set_aside() {
        assert!(is_to_install(Path::new("/d/ipvsadm_1%3a1.31-1_amd64.deb")));
        assert!(!is_to_install(Path::new("/d/libpopt0-dev_1_amd64.deb")));
    }
}
