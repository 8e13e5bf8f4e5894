//! IPv4 by getsockopt and IPv6 from /proc/net/ip_vs, read until both agree.

use std::collections::HashMap;

use ipvs::{Error, Report, ServiceKey, proc, sockopt};
use ipvs_text::render::unprivileged::LEAVES_OUT;

/// What can be known of a director without privileges in the initial user namespace.
#[derive(Debug)]
pub(super) struct PartialView {
    pub(super) sockopt: sockopt::Table,
    /// Or why nothing is known of that.
    pub(super) of_ipv6: Result<OfIpv6, String>,
}

/// What /proc/net/ip_vs has beyond getsockopt.
#[derive(Debug, Default)]
pub(super) struct OfIpv6 {
    /// Services of IPv6.
    pub(super) services: Vec<proc::Service>,
    /// Destinations of IPv6, under their services, which are of IPv4.
    pub(super) destinations: Vec<proc::Service>,
    /// Two services of a mark, of which one is of IPv4; the file does not say which.
    pub(super) either: Vec<proc::Service>,
}

/// How often both are read until two readings in a row are the same.
const ATTEMPTS: usize = 20;

impl PartialView {
    /// # Errors
    /// Those of [`sockopt::Table::read`].
    pub(super) fn read() -> Result<Self, Error> {
        Self::read_until_stable(|| Ok((sockopt::Table::read()?, proc::Table::read())))
    }

    /// The kernel writes the file page by page while the table may change, so it may leave an entry
    /// out. A reading counts if nothing shows that it is incomplete, if it has what getsockopt has,
    /// and if the next reading of both is the same.
    fn read_until_stable(
        mut read: impl FnMut() -> Result<(sockopt::Table, Result<proc::Table, proc::Error>), Error>,
    ) -> Result<Self, Error> {
        let mut before = None;
        let mut leaves_out = false;
        for _attempt in 1..ATTEMPTS {
            let (sockopt, proc) = read()?;
            let proc = match proc {
                Ok(proc) => proc,
                Err(error) => return Ok(PartialView { sockopt, of_ipv6: Err(Report::new(&error).to_string()) }),
            };
            leaves_out = proc.may_be_incomplete;
            let now = (of_sockopt(&sockopt), of_proc(&proc));
            if !leaves_out && agree(&now.0, &now.1) && before.as_ref() == Some(&now) {
                return Ok(PartialView { sockopt, of_ipv6: Ok(OfIpv6::of(proc, &now.0, &now.1)) });
            }
            before = Some(now);
        }
        let (sockopt, _) = read()?;
        let why = if leaves_out { LEAVES_OUT } else { "the director kept changing while it was read" };
        Ok(PartialView { sockopt, of_ipv6: Err(why.to_owned()) })
    }
}

impl OfIpv6 {
    fn of(proc: proc::Table, of_sockopt: &Counts, of_proc: &Counts) -> Self {
        let mut of_ipv6 = OfIpv6::default();
        for mut service in proc.services {
            if !of_sockopt.contains_key(&service.key) {
                of_ipv6.services.push(service);
            } else if of_proc[&service.key].services > 1 {
                of_ipv6.either.push(service);
            } else {
                service.destinations.retain(|server| server.address.is_ipv6());
                if !service.destinations.is_empty() {
                    of_ipv6.destinations.push(service);
                }
            }
        }
        of_ipv6
    }
}

/// How many services there are for each key, and how many destinations those have together.
type Counts = HashMap<proc::Key, Count>;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    services: usize,
    destinations: usize,
}

fn of_sockopt(sockopt: &sockopt::Table) -> Counts {
    let services = sockopt.table.services();
    let mut counts = counts(services.map(|entry| (proc_key(entry.service().key()), entry.destinations().len())));
    for (key, count) in &sockopt.ipv6_destinations {
        counts.entry(proc_key(*key)).or_default().destinations += count;
    }
    counts
}

fn of_proc(proc: &proc::Table) -> Counts {
    counts(proc.services.iter().map(|service| (service.key, service.destinations.len())))
}

fn counts(services: impl Iterator<Item = (proc::Key, usize)>) -> Counts {
    let mut counts = Counts::new();
    for (key, destinations) in services {
        let count = counts.entry(key).or_default();
        count.services += 1;
        count.destinations += destinations;
    }
    counts
}

fn proc_key(key: ServiceKey) -> proc::Key {
    match key {
        ServiceKey::Address { protocol, at } => proc::Key::Address { protocol, at },
        ServiceKey::Mark { mark, .. } => proc::Key::Mark(mark),
    }
}

/// Whether the file has each IPv4 service of getsockopt once, no other one, and nothing twice.
fn agree(of_sockopt: &Counts, of_proc: &Counts) -> bool {
    let is_there = |(key, expected): (&proc::Key, &Count)| {
        of_proc.get(key).is_some_and(|found| found == expected || has_another(key, *expected, *found))
    };
    let is_alone = |(key, found): (&proc::Key, &Count)| {
        of_sockopt.contains_key(key)
            || found.services == 1 && !matches!(key, proc::Key::Address { at, .. } if at.is_ipv4())
    };
    of_sockopt.iter().all(is_there) && of_proc.iter().all(is_alone)
}

/// A mark may have a service of IPv6, too.
fn has_another(key: &proc::Key, expected: Count, found: Count) -> bool {
    matches!(key, proc::Key::Mark(_)) && found.services == 2 && found.destinations >= expected.destinations
}

#[cfg(test)]
pub(super) mod tests {
    use ipvs::{Command, Destination, Forwarding, Service, Table, Tunnel};

    use super::*;

    const PROC: &str = "a
b
c
FWM  00000007 wlc
  -> [2001:0db8:0000:0000:0000:0000:0000:0002]:0000      Route   1      0          0
FWM  00000007 wlc
FWM  00000008 rr
TCP  0A000001:0050 rr
  -> [2001:0db8:0000:0000:0000:0000:0000:0003]:0050      Tunnel  1      0          0
  -> 0A000002:0050      Tunnel  1      0          0
UDP  [2001:0db8:0000:0000:0000:0000:0000:0001]:0035 wlc
";

    fn sockopt_table() -> sockopt::Table {
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
        let mut sockopt = sockopt::Table::new(table);
        sockopt.ipv6_destinations.push((web, 1));
        sockopt
    }

    pub(in super::super) fn known() -> PartialView {
        PartialView::read_until_stable(|| Ok((sockopt_table(), proc::Table::parse(PROC)))).unwrap()
    }

    /// Read so, and then always like the last of these; how often.
    fn read_until_stable(readings: &[(sockopt::Table, &str)]) -> (PartialView, usize) {
        let mut read = 0;
        let known = PartialView::read_until_stable(|| {
            let (sockopt, proc) = &readings[read.min(readings.len() - 1)];
            read += 1;
            Ok((sockopt.clone(), proc::Table::parse(proc)))
        });
        (known.unwrap(), read)
    }

    fn without(line: &str) -> String {
        PROC.lines().filter(|there| !there.starts_with(line)).map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn two_readings_must_be_the_same() {
        let (known, read) = read_until_stable(&[(sockopt_table(), PROC)]);
        assert_eq!((known.sockopt, read), (sockopt_table(), 2));
        let lost = without("UDP");
        let (known, read) = read_until_stable(&[(sockopt_table(), lost.as_str()), (sockopt_table(), PROC)]);
        assert_eq!((known.of_ipv6.unwrap().services.len(), read), (2, 3));
        // The IPv4 service was deleted between the two readings.
        let mut gone = sockopt_table();
        gone.table.apply(&Command::DeleteService("mark 7".parse().unwrap())).unwrap();
        let left = PROC.replacen("FWM  00000007 wlc\nFWM  00000008", "FWM  00000008", 1);
        let (known, read) = read_until_stable(&[(sockopt_table(), left.as_str()), (gone, left.as_str())]);
        let of_ipv6 = known.of_ipv6.unwrap();
        assert_eq!((of_ipv6.services.len(), of_ipv6.either.len(), read), (3, 0, 3));
    }

    #[test]
    fn an_incomplete_file_is_not_used() {
        let mut readings = 0;
        let known = PartialView::read_until_stable(|| {
            readings += 1;
            let mut proc = proc::Table::parse(PROC).unwrap();
            proc.may_be_incomplete = readings < 3;
            Ok((sockopt_table(), Ok(proc)))
        });
        assert_eq!((known.unwrap().of_ipv6.unwrap().services.len(), readings), (2, 3));
        let known = PartialView::read_until_stable(|| {
            let mut proc = proc::Table::parse(PROC).unwrap();
            proc.may_be_incomplete = true;
            Ok((sockopt_table(), Ok(proc)))
        });
        assert_eq!(known.unwrap().of_ipv6.unwrap_err(), LEAVES_OUT);
    }

    #[test]
    fn readings_that_disagree_are_not_used() {
        let twice = format!("{PROC}UDP  [2001:0db8:0000:0000:0000:0000:0000:0001]:0035 wlc\n");
        let more = format!("{PROC}TCP  0A000009:0050 rr\n");
        let thrice = format!("{PROC}FWM  00000007 wlc\n");
        let other = PROC.replacen("FWM  00000007", "FWM  00000009", 2);
        let none = PROC.replace("FWM  00000007", "FWM  00000008");
        for torn in [without("TCP"), without("  -> 0A"), none, other, twice, more, thrice] {
            let (known, read) = read_until_stable(&[(sockopt_table(), torn.as_str())]);
            assert!(known.of_ipv6.is_err_and(|why| why.contains("kept changing")), "{torn}");
            assert_eq!((known.sockopt, read), (sockopt_table(), ATTEMPTS));
        }
        let (known, read) = read_until_stable(&[(sockopt_table(), "a\nb\nc\nnonsense\n")]);
        assert!(known.of_ipv6.is_err_and(|why| why.contains("line 4")));
        assert_eq!(read, 1);
    }
}
