//! `show` where netlink refuses. Root of a user namespace reads most of IPv4 by getsockopt, and any
//! user some of everything in files of /proc. `partial_view.rs` combines both.

use std::collections::HashSet;
use std::io::{self, Write};

use ipvs::{Client, Errno, Error, Family, ServiceKey, Table, proc};
use ipvs_text::render::unprivileged::{self, LEAVES_OUT};

use super::args::Show;
use super::partial_view::{OfIpv6, PartialView};
use crate::director::Director;
use crate::director::is_unavailable;
use crate::session::{Session, Trouble};

/// The source, and what it lacks.
const ORIGIN: &str = "\
Netlink is refused: from getsockopt, which has IPv4 only, and neither persistence engines nor kinds of tunnels. Root in the initial user namespace sees all.\n";

const OF_IPV6: &str = "\
IPv6, from /proc/net/ip_vs, which has no thresholds, scheduler flags or counters of services either:\n";

const EITHER: &str = "Of each of these marks one service is of IPv6; /proc/net/ip_vs does not say which:\n";

/// What is known, and of what nothing is, if all that is lacking are privileges.
pub(super) fn list(refused: Error, only: Option<ServiceKey>, session: &mut Session<'_, '_>) -> Result<(), Trouble> {
    if !is_all_that_is_lacking(&refused, session) {
        return Err(Trouble::Kernel(refused));
    }
    let is_of_ipv4 = only.is_none_or(|key| key.family() == Family::V4);
    if is_of_ipv4 && let Some(known) = known()? {
        super::must_hold(&known.sockopt.table, only)?;
        return list_known(known, only, session);
    }
    let Ok(table) = proc::Table::read() else { return Err(Trouble::Kernel(refused)) };
    if let Some(key) = only.filter(|key| !table.services.iter().any(|service| unprivileged::is(service, key))) {
        let caution = if table.may_be_incomplete { format!(": {LEAVES_OUT}") } else { String::new() };
        return Err(Trouble::Other(format!("/proc/net/ip_vs has no service {key}{caution}")));
    }
    let total = proc::totals().ok();
    // Errors of writing are reported at the end.
    unprivileged::list(session.environment.stdout, &table, total.as_ref(), only.as_ref()).or(Ok(()))
}

/// The table, if it is complete, and remarks about it.
pub(super) fn table(
    refused: Error,
    show: &Show,
    only: Option<ServiceKey>,
    session: &mut Session<'_, '_>,
) -> Result<(Table, String), Trouble> {
    if !is_all_that_is_lacking(&refused, session) {
        return Err(Trouble::Kernel(refused));
    }
    let Some(known) = known()? else { return Err(Trouble::Kernel(refused)) };
    let unknown = unknown(&known, only);
    if !unknown.is_empty() {
        return Err(Trouble::Lines(incomplete(&unknown)));
    }
    let remarks = remarks(&known.sockopt.table, show, only);
    Ok((known.sockopt.table, remarks))
}

fn is_all_that_is_lacking(refused: &Error, session: &Session<'_, '_>) -> bool {
    is_unavailable(refused) && session.environment.proc.is_some()
}

/// `None` where `getsockopt` is refused, too.
fn known() -> Result<Option<PartialView>, Trouble> {
    if_allowed(PartialView::read()).map_err(Trouble::from)
}

/// Missing privileges, an unsupported processor, and sandboxes.
const REFUSALS: [Errno; 4] = [Errno::EPERM, Errno::EOPNOTSUPP, Errno::EACCES, Errno::EAFNOSUPPORT];

/// Any other error is not a lack of privileges, and is reported.
fn if_allowed<T>(read: Result<T, Error>) -> Result<Option<T>, Error> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(Error::ModuleMissing) => Ok(None),
        Err(error) if error.errno().is_some_and(|errno| REFUSALS.contains(&errno)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn list_known(known: PartialView, only: Option<ServiceKey>, session: &mut Session<'_, '_>) -> Result<(), Trouble> {
    let mut director = Director::with(Client::fake(known.sockopt.table));
    let out = &mut *session.environment.stdout;
    // Errors of writing are reported at the end.
    let _ = out.write_all(ORIGIN.as_bytes()).and_then(|()| unprivileged::totals(out, proc::totals().ok().as_ref()));
    super::list(&mut director, out, only)?;
    match known.of_ipv6 {
        Ok(of_ipv6) => write(&of_ipv6, out, only).or(Ok(())),
        Err(why) => {
            session.note(format!("what is of IPv6 is not shown: {why}"));
            Ok(())
        }
    }
}

fn write(of_ipv6: &OfIpv6, out: &mut dyn Write, only: Option<ServiceKey>) -> io::Result<()> {
    let sure = of_ipv6.destinations.iter().chain(&of_ipv6.services);
    for (title, services) in [(OF_IPV6, sure.collect::<Vec<_>>()), (EITHER, of_ipv6.either.iter().collect())] {
        let wanted = services.into_iter().filter(|service| only.is_none_or(|key| unprivileged::is(service, &key)));
        let wanted: Vec<_> = wanted.collect();
        if !wanted.is_empty() {
            out.write_all(title.as_bytes())?;
            unprivileged::services(out, wanted)?;
        }
    }
    Ok(())
}

/// What getsockopt leaves out of the selected services. What it never has is in [`remarks`].
fn unknown(known: &PartialView, only: Option<ServiceKey>) -> Vec<String> {
    let is_wanted = |key: &ServiceKey| only.is_none_or(|only| only == *key);
    let tunnels = known.sockopt.tunnels().filter(|(key, _)| is_wanted(key));
    let mut unknown: Vec<_> = tunnels.map(|(key, at)| format!("the kind of the tunnel from {key} to {at}")).collect();
    let others = known.sockopt.ipv6_destinations.iter().filter(|(key, _)| is_wanted(key));
    unknown.extend(others.map(|(key, count)| format!("{count} of the destinations of {key}, which are of IPv6")));
    match &known.of_ipv6 {
        _ if only.is_some_and(|key| key.family() == Family::V4) => {}
        Ok(of_ipv6) => {
            let mut named = HashSet::new();
            let services = of_ipv6.services.iter().chain(&of_ipv6.either).map(|service| key_of_ipv6(service.key));
            let services = services.filter(|key| is_wanted(key) && named.insert(*key));
            unknown.extend(services.map(|key| format!("the service {key}")));
        }
        Err(why) => unknown.push(format!("whether there are services of IPv6 ({why})")),
    }
    unknown
}

fn key_of_ipv6(key: proc::Key) -> ServiceKey {
    match key {
        proc::Key::Address { protocol, at } => ServiceKey::Address { protocol, at },
        proc::Key::Mark(mark) => ServiceKey::Mark { mark, family: Family::V6 },
    }
}

fn incomplete(unknown: &[String]) -> String {
    /// Number of lines that are shown.
    const SHOWN: usize = 10;
    let mut lines = "ipvs-cli: netlink is refused (it needs privileges in the initial user namespace), and getsockopt does not show\n"
        .to_owned();
    for what in unknown.iter().take(SHOWN) {
        lines += &format!("  {what}\n");
    }
    if unknown.len() > SHOWN {
        lines += &format!("  and {} more\n", unknown.len() - SHOWN);
    }
    lines + "so this can't be shown as a whole; `show` without a notation shows what is known\n"
}

/// What getsockopt never has, and what is not certain.
fn remarks(table: &Table, show: &Show, only: Option<ServiceKey>) -> String {
    let mut text = "read by getsockopt, as netlink is refused: persistence engines are not shown".to_owned();
    if !table.daemons().is_empty() && show.daemons {
        text += ", nor group, port, ttl and max_len of sync daemons";
    }
    if show.statistics {
        text += "; counters of connections and packets and all rates begin again at 0 after 4294967295";
    }
    if only.is_none() {
        text += "; nothing of IPv6 is in /proc/net/ip_vs, which is not a snapshot";
    }
    text
}

#[cfg(test)]
mod tests {
    use ipvs::{CommandKind, Refusal};

    use super::super::partial_view::tests::known;
    use super::*;
    use crate::subcommands::args::NotationArgs;

    #[test]
    fn nothing_is_shown_twice() {
        let of_ipv6 = known().of_ipv6.unwrap();
        let shown = |only: Option<&str>| {
            let mut out = Vec::new();
            write(&of_ipv6, &mut out, only.map(|key| key.parse().unwrap())).unwrap();
            String::from_utf8(out).unwrap()
        };
        let expected = "TCP  10.0.0.1:80 rr
  -> [2001:db8::3]:80             Tunnel  1      0          0
UDP  [2001:db8::1]:53 wlc
FWM  8 rr
";
        // The two services of a mark look the same there.
        let either = "FWM  7 wlc
  -> [2001:db8::2]:0              Route   1      0          0
FWM  7 wlc
";
        assert_eq!(shown(None), format!("{OF_IPV6}{expected}{EITHER}{either}"));
        assert_eq!(shown(Some("mark 7")), format!("{EITHER}{either}"));
        assert_eq!(shown(Some("mark 9")), "");
        assert_eq!(shown(Some("udp [2001:db8::1]:53")).lines().count(), 2);
    }

    #[test]
    fn a_service_alone_needs_only_what_is_its_own() {
        let asked = |known: &PartialView, key: Option<&str>| unknown(known, key.map(|key| key.parse().unwrap()));
        let web = [
            "the kind of the tunnel from tcp 10.0.0.1:80 to 10.0.0.2:80",
            "1 of the destinations of tcp 10.0.0.1:80, which are of IPv6",
        ];
        let mut known = known();
        assert_eq!(asked(&known, Some("mark 7")), Vec::<String>::new());
        assert_eq!(asked(&known, Some("tcp 10.0.0.1:80")), web);
        assert_eq!(asked(&known, Some("mark 7 ipv6")), ["the service mark 7 ipv6"]);
        let services = ["udp [2001:db8::1]:53", "mark 7 ipv6", "mark 8 ipv6"].map(|key| format!("the service {key}"));
        let all = asked(&known, None);
        assert_eq!(all[..2], web);
        assert_eq!(HashSet::<&String>::from_iter(&all[2..]), HashSet::from_iter(&services));
        assert_eq!(all.len(), 5);
        known.of_ipv6 = Err("unreadable".to_owned());
        assert_eq!(asked(&known, None)[2..], ["whether there are services of IPv6 (unreadable)"]);
        assert_eq!(asked(&known, Some("mark 7")), Vec::<String>::new());
    }

    #[test]
    fn only_a_refusal_is_passed_over() {
        let refusal = |errno| Error::from(Refusal::new(CommandKind::GetInfo, errno));
        for error in [refusal(Errno::EPERM), refusal(Errno::EOPNOTSUPP), Error::ModuleMissing] {
            assert!(if_allowed::<()>(Err(error)).is_ok_and(|read| read.is_none()));
        }
        for error in [refusal(Errno::ENOMEM), refusal(Errno::new(24)), Error::Unstable] {
            assert!(if_allowed::<()>(Err(error)).is_err());
        }
    }

    #[test]
    fn remarks_name_what_is_uncertain() {
        let show =
            |statistics| Show { service: Vec::new(), notation: NotationArgs::default(), daemons: false, statistics };
        let said = |statistics, only: Option<&str>| {
            remarks(&Table::new(), &show(statistics), only.map(|key| key.parse().unwrap()))
        };
        assert!(said(false, Some("mark 7")).ends_with("as netlink is refused: persistence engines are not shown"));
        assert!(
            said(true, Some("mark 7"))
                .ends_with("; counters of connections and packets and all rates begin again at 0 after 4294967295")
        );
        assert!(said(false, None).ends_with("; nothing of IPv6 is in /proc/net/ip_vs, which is not a snapshot"));
    }

    #[test]
    fn a_long_list_is_cut() {
        let many: Vec<_> = (0..12).map(|n| n.to_string()).collect();
        let text = incomplete(&many);
        assert!(text.contains("  9\n  and 2 more\nso this") && !text.contains("  10\n"), "{text}");
        assert!(!incomplete(&many[..10]).contains("more"));
    }
}
