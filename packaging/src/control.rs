//! What the package says about itself: control file, changelog, checksums, and the scripts for
//! dpkg.

use crate::{
    build::Machine,
    clock::Date,
    error::{Error, Result},
    tree::Mode,
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

/// What it is, in a line.
pub(crate) const SUMMARY: &str = "command line of IPVS, the Linux kernel's load balancer";

/// The same in paragraphs.
pub(crate) const DESCRIPTION: &str = "\
A drop-in for ipvsadm, with the same syntax, output and exit status, so that
scripts run unchanged. It is faster, and says more on a terminal when something
is wrong.

ipvs-follow keeps a director as a file or a key in etcd says, and puts back
what other programs change.
";

/// The last paragraph for Debian.
const BESIDE: &str = "
The commands ipvsadm, ipvsadm-save and ipvsadm-restore become alternatives.
With the package ipvsadm installed, both are there, update-alternatives chooses
between them, and removing this package gives the other one its place back.
";

/// One package.
#[derive(Debug)]
pub(crate) struct Package {
    /// What it runs on, in Debian's words.
    pub(crate) machine: Machine,
    /// Which package of this version it is.
    pub(crate) revision: Revision,
    /// When it was made.
    pub(crate) date: Date,
}

/// What stands behind the version.
#[derive(Debug, Clone)]
pub(crate) struct Revision(String);

impl Revision {
    /// As it was given.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Takes what Debian allows.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || ".+~".contains(c);
        let good = !text.is_empty() && text.chars().all(allowed);
        if good { Ok(Self(text.to_owned())) } else { Err(Error::Revision(text.to_owned())) }
    }
}

impl Package {
    pub(crate) fn version(&self) -> String {
        format!("{}-{}", env!("CARGO_PKG_VERSION"), self.revision.0)
    }

    /// `ipvs-cli_0.1.0-1_amd64.deb`
    pub(crate) fn deb_name(&self) -> String {
        format!("{NAME}_{}_{}.deb", self.version(), self.machine.debian)
    }

    /// That of the RPM's.
    pub(crate) fn rpm_name(&self) -> String {
        format!("{NAME}-{}.{}.rpm", self.version(), self.machine.rpm)
    }

    /// That of the container image's.
    pub(crate) fn image_name(&self) -> String {
        format!("{NAME}-{}-{}.oci.tar", self.version(), self.machine.oci)
    }

    /// That of the archive's.
    pub(crate) fn tar_name(&self) -> String {
        format!("{NAME}-{}-linux-{}.tar.gz", self.version(), self.machine.rpm)
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

    /// What dpkg reads and runs, for a tree of this size.
    pub(crate) fn control_files(&self, kilobytes: u64, checksums: &str) -> Vec<(&'static str, String, Mode)> {
        let made = [("control", self.control(kilobytes), Mode::Data), ("md5sums", checksums.to_owned(), Mode::Data)];
        let shipped = CONTROL_FILES.iter().map(|(name, text, mode)| (*name, (*text).to_owned(), *mode));
        made.into_iter().chain(shipped).collect()
    }

    fn control(&self, kilobytes: u64) -> String {
        let homepage = if HOMEPAGE.is_empty() { String::new() } else { format!("Homepage: {HOMEPAGE}\n") };
        format!(
            "Package: {NAME}\nVersion: {}\nArchitecture: {}\nMaintainer: {MAINTAINER}\nInstalled-Size: {kilobytes}\n\
             Provides: {STANDS_IN_FOR}\nSuggests: keepalived, kmod, ldirectord\nSection: net\nPriority: optional\n\
             {homepage}Description: {SUMMARY}\n{}",
            self.version(),
            self.machine.debian,
            DESCRIPTION
                .lines()
                .chain(BESIDE.lines())
                .map(|line| format!(" {}\n", if line.is_empty() { "." } else { line }))
                .collect::<String>()
        )
    }
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
