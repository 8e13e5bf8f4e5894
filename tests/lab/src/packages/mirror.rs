//! Which Debian mirror to use: the one that the host uses, unless the user names one.

use std::{env, process::Command};

use crate::error::{Context, Error, Result};

/// Debian's releases by name. Names such as "stable" are left out: other publishers use them, too.
const RELEASES: [&str; 5] = ["bullseye", "bookworm", "trixie", "forky", "sid"];

/// The mirror's address.
pub(super) fn find() -> Result<String> {
    match env::var("IPVS_LAB_MIRROR") {
        Ok(mirror) if !mirror.is_empty() => Ok(mirror),
        _ => pick(&sources(true)?, &sources(false)?).ok_or(Error::NoMirror),
    }
}

/// The host's package sources, one a line: origin, label, release, component, address. Origin and
/// label come from the lists that apt has fetched; without `fetched` all sources are listed, also
/// those that apt has never been to.
fn sources(fetched: bool) -> Result<String> {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(RELEASE)|$(COMPONENT)|$(REPO_URI)"]);
    if !fetched {
        command.arg("--no-release-info");
    }
    let output = command.output().context(|| "run apt-get indextargets".into())?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Best is a source that says it is Debian; else, on a machine that has never fetched a list, one
/// that looks like it.
fn pick(fetched: &str, all: &str) -> Option<String> {
    let says_debian = |source: &Source| (source.origin, source.label) == ("Debian", "Debian");
    let is_debian_release = |source: &Source| RELEASES.contains(&source.release);
    let is_named_debian = |source: &Source| source.address.trim_end_matches('/').ends_with("/debian");
    let main = |text| Source::parse_all(text).filter(|source| source.component == "main");
    let found = main(fetched).find(says_debian);
    let found = found.or_else(|| main(all).find(|source| is_debian_release(source) && is_named_debian(source)));
    let found = found.or_else(|| main(all).find(is_debian_release));
    found.map(|source| source.address.to_owned())
}

/// One line of the host's package sources.
struct Source<'a> {
    origin: &'a str,
    label: &'a str,
    release: &'a str,
    component: &'a str,
    address: &'a str,
}

impl<'a> Source<'a> {
    fn parse_all(text: &'a str) -> impl Iterator<Item = Self> {
        text.lines().filter_map(|line| {
            let fields: Vec<_> = line.split('|').collect();
            let &[origin, label, release, component, address] = fields.as_slice() else { return None };
            Some(Self { origin, label, release, component, address })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::pick;

    #[test]
    fn the_hosts_debian_mirror_wins_over_other_sources() {
        let fetched = "Debian|Debian-Security|bookworm-security|main|http://a.test/debian-security/\n\
                       Node|Node|nodistro|main|https://b.test/\n\
                       Debian|Debian|bookworm|main|http://a.test/mirror/\n";
        assert_eq!(pick(fetched, fetched).as_deref(), Some("http://a.test/mirror/"));
    }

    #[test]
    fn a_machine_that_never_fetched_a_list_is_known_by_its_release() {
        let all = "$(ORIGIN)|$(LABEL)|stable|main|http://browser.test/deb/\n\
                   $(ORIGIN)|$(LABEL)|bookworm|main|http://vendor.test/packages/\n\
                   $(ORIGIN)|$(LABEL)|bookworm|main|http://a.test/debian/\n";
        assert_eq!(pick("", all).as_deref(), Some("http://a.test/debian/"));
    }

    #[test]
    fn a_host_without_debian_has_no_mirror() {
        let ubuntu = "Ubuntu|Ubuntu|noble|main|http://c.test/ubuntu/\n";
        assert_eq!(pick(ubuntu, ubuntu), None);
    }
}
