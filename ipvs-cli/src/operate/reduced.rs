//! What `show` has where netlink refuses: root of a user namespace is told most of IPv4 by the kernel's older interface, and
//! everybody some of all by public files.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::{self, Write};

use ipvs::{Client, Family, OlderTable, PublicKey, PublicService, PublicTable, ServiceKey, Table, TableEntry};

use super::cli::Show;
use super::session::{Session, Trouble};
use super::show;
use crate::failure::Failure;
use crate::kernel::Kernel;
use crate::render::public;

/// Says where it comes from, and what is not there.
const ORIGIN: &str = "\
Without privileges in the initial user namespace: from getsockopt, which tells nothing of persistence engines and kinds of
tunnels. Root there sees all.\n";

const OF_IPV6: &str = "\
Of IPv6, from /proc/net/ip_vs, which tells nothing of thresholds, scheduler flags and counters of services, either:\n";

/// What is known, and of what nothing is, if all that is lacking are privileges.
pub(super) fn list(failure: Failure, only: Option<ServiceKey>, session: &mut Session<'_, '_>) -> Result<(), Trouble> {
    if !is_all_that_is_lacking(&failure, session) {
        return Err(Trouble::Kernel(failure));
    }
    let is_of_ipv4 = only.is_none_or(|key| key.family() == Family::V4);
    if let Some(older) = is_of_ipv4.then(OlderTable::read).and_then(Result::ok) {
        show::must_hold(&older.table, only)?;
        return list_older(older, only, session);
    }
    let Ok(table) = PublicTable::read() else { return Err(Trouble::Kernel(failure)) };
    let total = ipvs::total_statistics().ok();
    // Of errors of writing it is told at the end.
    public::list(session.streams.stdout, &table, total.as_ref(), only.as_ref()).or(Ok(()))
}

/// What stands for a whole director, if it does.
pub(super) fn table(
    failure: Failure,
    show: &Show,
    only: Option<ServiceKey>,
    session: &mut Session<'_, '_>,
) -> Result<Table, Trouble> {
    if !is_all_that_is_lacking(&failure, session) {
        return Err(Trouble::Kernel(failure));
    }
    let Ok(older) = OlderTable::read() else { return Err(Trouble::Kernel(failure)) };
    let unknown = unknown(&older, only);
    if !unknown.is_empty() {
        return Err(Trouble::Told(incomplete(&unknown)));
    }
    session.note(remarks(&older.table, show));
    Ok(older.table)
}

fn is_all_that_is_lacking(failure: &Failure, session: &Session<'_, '_>) -> bool {
    matches!(failure, Failure::Unavailable(_)) && session.kernel.is_of_this_machine()
}

fn list_older(older: OlderTable, only: Option<ServiceKey>, session: &mut Session<'_, '_>) -> Result<(), Trouble> {
    let rest = PublicTable::read().map(|public| Rest::of(public, &older.table));
    let mut known = Kernel::with(Client::fake(older.table), session.kernel.connections());
    let out = &mut *session.streams.stdout;
    // Of errors of writing it is told at the end.
    let _ = out.write_all(ORIGIN.as_bytes()).and_then(|()| public::totals(out, ipvs::total_statistics().ok().as_ref()));
    show::list(&mut known, out, only).map_err(Trouble::Kernel)?;
    match rest {
        Ok(rest) => rest.write(out, only).or(Ok(())),
        Err(error) => {
            session.note(format!("what there is of IPv6 is not shown: {}: {error}", PublicTable::PATH));
            Ok(())
        }
    }
}

/// What the older interface does not tell of the services that are wanted, and that is there. What it never tells is in [`remarks`].
fn unknown(older: &OlderTable, only: Option<ServiceKey>) -> Vec<String> {
    let is_wanted = |key: &ServiceKey| only.is_none_or(|only| only == *key);
    let tunnels = older.tunnels().filter(|(key, _)| is_wanted(key));
    let mut unknown: Vec<_> = tunnels.map(|(key, at)| format!("the kind of the tunnel from {key} to {at}")).collect();
    let others = older.untold.iter().filter(|(key, _)| is_wanted(key));
    unknown.extend(others.map(|(key, count)| format!("{count} of the destinations of {key}, which are of IPv6")));
    if only.is_none_or(|key| key.family() == Family::V6) {
        match PublicTable::read() {
            Ok(public) => {
                let services = Rest::of(public, &older.table).services;
                let services = services.iter().filter(|service| only.is_none_or(|key| public::is(service, &key)));
                unknown.extend(services.map(|service| format!("the service {}", of_ipv6(service.takes))));
            }
            Err(error) => unknown.push(format!("whether there are services of IPv6 ({}: {error})", PublicTable::PATH)),
        }
    }
    unknown
}

fn of_ipv6(takes: PublicKey) -> ServiceKey {
    match takes {
        PublicKey::Address { protocol, at } => ServiceKey::Address { protocol, at },
        PublicKey::Mark(mark) => ServiceKey::Mark { mark, family: Family::V6 },
    }
}

fn incomplete(unknown: &[String]) -> String {
    /// Who has seen these has seen enough.
    const SHOWN: usize = 10;
    let mut lines =
        "ipvs-cli: netlink wants privileges in the initial user namespace, and getsockopt does not tell\n".to_owned();
    for what in unknown.iter().take(SHOWN) {
        lines += &format!("  {what}\n");
    }
    if unknown.len() > SHOWN {
        lines += &format!("  and {} more\n", unknown.len() - SHOWN);
    }
    lines + "so this can't be shown as a whole; `show' without a notation shows what is known\n"
}

/// What is never told.
fn remarks(table: &Table, show: &Show) -> String {
    let mut text = "read by getsockopt, as netlink wants privileges in the initial user namespace: \
        persistence engines are not told"
        .to_owned();
    if !table.daemons().is_empty() && !show.rules {
        text += ", nor group, port, ttl and max_len of sync daemons";
    }
    if show.statistics {
        text += "; connections and packets are counted modulo 2 to the 32nd";
    }
    text
}

/// What public files tell beyond the older interface.
#[derive(Debug, Default)]
struct Rest {
    /// Services of IPv6.
    services: Vec<PublicService>,
    /// Destinations of IPv6, under their services, which are of IPv4.
    destinations: Vec<PublicService>,
}

impl Rest {
    fn of(public: PublicTable, table: &Table) -> Self {
        let mut services: HashMap<PublicKey, Vec<PublicService>> = HashMap::new();
        for service in public.services {
            services.entry(service.takes).or_default().push(service);
        }
        let mut destinations = Vec::new();
        for entry in table.services() {
            let Some(alike) = services.get_mut(&takes(entry.service().key())) else { continue };
            let Some(at) = (0..alike.len()).max_by_key(|at| likeness(&alike[*at], entry)) else { continue };
            let mut same = alike.swap_remove(at);
            same.destinations.retain(|server| server.address.is_ipv6());
            if !same.destinations.is_empty() {
                destinations.push(same);
            }
        }
        let mut services: Vec<_> = services.into_values().flatten().collect();
        // One of IPv4 has come since.
        services.retain(|service| !matches!(service.takes, PublicKey::Address { at, .. } if at.is_ipv4()));
        Rest { services, destinations }
    }

    fn write(&self, out: &mut dyn Write, only: Option<ServiceKey>) -> io::Result<()> {
        let all = self.destinations.iter().chain(&self.services);
        let all: Vec<_> = all.filter(|service| only.is_none_or(|key| public::is(service, &key))).collect();
        if all.is_empty() {
            return Ok(());
        }
        out.write_all(OF_IPV6.as_bytes())?;
        public::services(out, all)
    }
}

fn takes(key: ServiceKey) -> PublicKey {
    match key {
        ServiceKey::Address { protocol, at } => PublicKey::Address { protocol, at },
        ServiceKey::Mark { mark, .. } => PublicKey::Mark(mark),
    }
}

/// Of a mark there may be two services, of which the files do not tell the families.
fn likeness(public: &PublicService, entry: &TableEntry) -> impl Ord + use<> {
    let shared = public.destinations.iter().filter(|server| entry.destination(&server.address).is_some()).count();
    (shared, public.scheduler == entry.service().scheduler, Reverse(public.destinations.len()))
}

#[cfg(test)]
mod tests {
    use ipvs::{Command, Destination, Forwarding, Service, Tunnel};

    use super::*;

    const PUBLIC: &str = "a
b
c
FWM  00000007 wlc
  -> [2001:0db8:0000:0000:0000:0000:0000:0002]:0000      Route   1      0          0
FWM  00000007 wlc
FWM  00000008 rr
TCP  0A000001:0050 rr
  -> [2001:0db8:0000:0000:0000:0000:0000:0003]:0050      Tunnel  1      0          0
  -> 0A000002:0050      Tunnel  1      0          0
TCP  0A000009:0050 rr
UDP  [2001:0db8:0000:0000:0000:0000:0000:0001]:0035 wlc
";

    fn older() -> OlderTable {
        let web = "tcp 10.0.0.1:80".parse().unwrap();
        let server = Destination::new("10.0.0.2:80".parse().unwrap()).with_forwarding(Forwarding::Tunnel(Tunnel::Ipip));
        let mut table = Table::new();
        for command in [
            Command::AddService(Service::new("mark 7".parse().unwrap())),
            Command::AddService(Service::new(web)),
            Command::AddDestination(web, server),
        ] {
            table.apply(&command).unwrap();
        }
        OlderTable { table, untold: vec![(web, 1)] }
    }

    #[test]
    fn what_was_told_is_not_shown_twice() {
        let rest = Rest::of(PublicTable::parse(PUBLIC).unwrap(), &older().table);
        let shown = |only: Option<&str>| {
            let mut out = Vec::new();
            rest.write(&mut out, only.map(|key| key.parse().unwrap())).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            shown(None).strip_prefix(OF_IPV6).unwrap(),
            "TCP  10.0.0.1:80 rr
  -> [2001:db8::3]:80             Tunnel  1      0          0
UDP  [2001:db8::1]:53 wlc
FWM  7 wlc
  -> [2001:db8::2]:0              Route   1      0          0
FWM  8 rr
"
        );
        assert_eq!(shown(Some("mark 9")), "");
        assert_eq!(shown(Some("udp [2001:db8::1]:53")).lines().count(), 2);
    }

    #[test]
    fn a_service_alone_needs_only_what_is_its_own() {
        let asked = |key: &str| unknown(&older(), Some(key.parse().unwrap()));
        assert_eq!(asked("mark 7"), Vec::<String>::new());
        assert_eq!(
            asked("tcp 10.0.0.1:80"),
            [
                "the kind of the tunnel from tcp 10.0.0.1:80 to 10.0.0.2:80",
                "1 of the destinations of tcp 10.0.0.1:80, which are of IPv6"
            ]
        );
    }

    #[test]
    fn what_is_long_is_cut() {
        let many: Vec<_> = (0..12).map(|n| n.to_string()).collect();
        let text = incomplete(&many);
        assert!(text.contains("  9\n  and 2 more\nso this") && !text.contains("  10\n"), "{text}");
        assert!(!incomplete(&many[..10]).contains("more"));
    }
}
