//! Which Debian mirror to use, and how to reach it: as the machine's apt does, if it has one,
//! unless the user says otherwise.

use std::{env, process::Command};

use super::is_program;
use crate::error::{Context, Error, Result};

/// Debian's releases by name. Names such as "stable" are left out: other publishers use them, too.
const RELEASES: [&str; 5] = ["bullseye", "bookworm", "trixie", "forky", "sid"];

/// A mirror.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    pub(super) address: String,
    /// Its proxy, where apt has one. Else the environment may name one.
    pub(super) proxy: Option<String>,
    /// Whether a release that has expired is good enough: mirrors lag behind.
    pub(super) accept_expired: bool,
}

/// The mirror that `IPVS_LAB_MIRROR` names, else the one of this machine's apt.
pub(super) fn find() -> Result<Mirror> {
    let named = env::var("IPVS_LAB_MIRROR").ok().filter(|mirror| !mirror.is_empty());
    let settings = if is_program("apt-config") { settings()? } else { String::new() };
    let address = match named {
        Some(mirror) => mirror,
        None if is_program("apt-get") => pick(&sources(true)?, &sources(false)?).ok_or(Error::NoMirror)?,
        None => return Err(Error::NoMirror),
    };
    let is_lax = env::var("IPVS_LAB_EXPIRED").is_ok_and(|value| value == "accept")
        || ["false", "0", "no"].iter().any(|no| setting(&settings, "Check-Valid-Until") == Some(no));
    Ok(Mirror { proxy: proxy(&settings, &address), accept_expired: is_lax, address })
}

/// The proxy for this mirror: of its host, else of its protocol.
fn proxy(settings: &str, address: &str) -> Option<String> {
    let (scheme, rest) = address.split_once("://")?;
    let host = rest.split([':', '/']).next()?;
    let names = [format!("{scheme}::Proxy::{host}"), format!("{scheme}::Proxy"), "http::Proxy".to_owned()];
    let found = names.iter().find_map(|name| setting(settings, name))?;
    Some(found.to_owned()).filter(|proxy| proxy != "DIRECT")
}

/// A value in what apt-config prints: `Acquire::http::Proxy "http://…";`.
fn setting<'a>(settings: &'a str, name: &str) -> Option<&'a str> {
    let mut values = settings.lines().filter_map(|line| {
        let value = line.strip_prefix("Acquire::")?.strip_prefix(name)?.strip_prefix(" \"")?;
        value.strip_suffix("\";").filter(|value| !value.is_empty())
    });
    values.next_back()
}

fn settings() -> Result<String> {
    let output = Command::new("apt-config").args(["dump", "Acquire"]).output().context(|| "run apt-config".into())?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
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
    use super::{pick, proxy, setting};

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

    #[test]
    fn the_proxy_is_that_of_apt() {
        let settings = "Acquire::http \"\";\nAcquire::http::Proxy \"http://proxy.test:3128\";\n\
                        Acquire::http::Proxy::near.test \"DIRECT\";\nAcquire::Check-Valid-Until \"false\";\n";
        let proxy = |address| proxy(settings, address);
        assert_eq!(proxy("http://a.test/debian").as_deref(), Some("http://proxy.test:3128"));
        assert_eq!(proxy("https://a.test/debian").as_deref(), Some("http://proxy.test:3128"));
        assert_eq!(proxy("http://near.test:80/debian"), None);
        assert_eq!(setting(settings, "Check-Valid-Until"), Some("false"));
        assert_eq!(setting("", "http::Proxy"), None);
    }
}
