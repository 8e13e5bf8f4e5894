//! What the package says about itself: control file, changelog, checksums, and the scripts for
//! dpkg.

use std::process::{Command, Stdio};

use crate::{
    clock::Date,
    error::{Context, Error, Result},
    tree::{Mode, Tree},
};

/// The name in Debian.
pub(crate) const NAME: &str = "ipvs-cli";
/// Debian requires an address. This one can never exist: replace it when the repository is public.
const MAINTAINER: &str = "The ipvs contributors <contributors@ipvs.invalid>";
/// Empty until the repository is public.
const HOMEPAGE: &str = env!("CARGO_PKG_REPOSITORY");
/// The version of ipvsadm, as Debian counts, that the program stands in for: programs that depend
/// on it are content.
const STANDS_IN_FOR: &str = "ipvsadm (= 1:1.31)";

/// Files of the control archive that are shipped as they stand; the scripts of them are run by
/// dpkg.
const CONTROL_FILES: [(&str, &str, Mode); 5] = [
    ("conffiles", include_str!("../debian/conffiles"), Mode::Data),
    ("postinst", include_str!("../debian/postinst"), Mode::Program),
    ("postrm", include_str!("../debian/postrm"), Mode::Program),
    ("prerm", include_str!("../debian/prerm"), Mode::Program),
    ("triggers", include_str!("../debian/triggers"), Mode::Data),
];

const DESCRIPTION: &str = "\
Description: command line of IPVS, the Linux kernel's load balancer
 A drop-in for ipvsadm, with the same syntax, output and exit status, so that
 scripts run unchanged. It is faster, and says more on a terminal when something
 is wrong.
 .
 ipvs-follow keeps a director as a file or a key in etcd says, and puts back
 what other programs change.
 .
 The commands ipvsadm, ipvsadm-save and ipvsadm-restore become alternatives.
 With the package ipvsadm installed, both are there, update-alternatives chooses
 between them, and removing this package gives the other one its place back.
";

/// One package.
#[derive(Debug)]
pub(crate) struct Package {
    /// What it runs on, in Debian's words.
    pub(crate) architecture: &'static str,
    /// Which package of this version it is.
    pub(crate) revision: Revision,
    /// When it was made.
    pub(crate) date: Date,
}

/// What stands behind the version.
#[derive(Debug, Clone)]
pub(crate) struct Revision(String);

impl Revision {
    /// Takes what Debian allows.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || ".+~".contains(c);
        let good = !text.is_empty() && text.chars().all(allowed);
        if good { Ok(Self(text.to_owned())) } else { Err(Error::Revision(text.to_owned())) }
    }
}

impl Package {
    fn version(&self) -> String {
        format!("{}-{}", env!("CARGO_PKG_VERSION"), self.revision.0)
    }

    /// `ipvs-cli_0.1.0-1_amd64.deb`
    pub(crate) fn file_name(&self) -> String {
        format!("{NAME}_{}_{}.deb", self.version(), self.architecture)
    }

    /// Debian's changelog: one entry, as releases have a changelog of their own.
    pub(crate) fn changelog(&self) -> String {
        format!(
            "{NAME} ({}) unstable; urgency=medium\n\n  * Package of version {}; changelog.gz lists its changes.\n\n \
             -- {MAINTAINER}  {}\n",
            self.version(),
            env!("CARGO_PKG_VERSION"),
            self.date.for_changelog()
        )
    }

    /// Adds `DEBIAN` to a tree that is otherwise complete.
    pub(crate) fn add_control_files(&self, tree: &Tree) -> Result<()> {
        let size = tree.kilobytes()?;
        let checksums = checksums(tree)?;
        tree.file("DEBIAN/control", self.control(size), Mode::Data)?;
        tree.file("DEBIAN/md5sums", checksums, Mode::Data)?;
        CONTROL_FILES.iter().try_for_each(|(name, text, mode)| tree.file(&format!("DEBIAN/{name}"), text, *mode))
    }

    fn control(&self, kilobytes: u64) -> String {
        let homepage = if HOMEPAGE.is_empty() { String::new() } else { format!("Homepage: {HOMEPAGE}\n") };
        format!(
            "Package: {NAME}\nVersion: {}\nArchitecture: {}\nMaintainer: {MAINTAINER}\nInstalled-Size: {kilobytes}\n\
             Provides: {STANDS_IN_FOR}\nSuggests: keepalived, kmod, ldirectord\nSection: net\nPriority: optional\n\
             {homepage}{DESCRIPTION}",
            self.version(),
            self.architecture
        )
    }
}

/// The MD5 sums of all files but settings, as dpkg wants them.
fn checksums(tree: &Tree) -> Result<String> {
    let mut names = Vec::new();
    tree.each_file(&mut |name, path| {
        if !path.is_symlink() && !name.starts_with("etc") {
            names.push(name.to_owned());
        }
        Ok(())
    })?;
    let mut command = Command::new("md5sum");
    let output = command.args(&names).current_dir(tree.root()).stderr(Stdio::inherit()).output();
    let output = output.context(|| "run md5sum".into())?;
    if !output.status.success() {
        return Err(Error::Command { command: "md5sum".into(), status: output.status });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_what_debian_takes() {
        assert_eq!(Revision::parse("1+test2~3").unwrap().0, "1+test2~3");
        for wrong in ["", "1-2", "a b", "1:2", "ä"] {
            assert!(matches!(Revision::parse(wrong), Err(Error::Revision(_))), "{wrong}");
        }
    }
}
