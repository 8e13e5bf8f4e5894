//! The rules that are measured with, and the network each tool has to itself.

use std::{fmt::Write, thread};

/// The input of every operation, for one size of table.
#[derive(Debug)]
pub(crate) struct Rules {
    /// All services with all destinations.
    pub(crate) table: String,
    /// As many, of IPv6.
    pub(crate) table_v6: String,
    /// New weights.
    pub(crate) edits: String,
    /// One new destination each.
    pub(crate) additions: Vec<String>,
}

/// How many weights the edits change.
pub(crate) const EDITS: u32 = 3000;
/// Service addresses differ in the last byte first: kernel 6.1 spreads services by nothing else.
const A_NETWORK: u32 = 250;

impl Rules {
    /// Rules for `services` with `destinations` each.
    pub(crate) fn new(size: (u32, u32), edits: u32, additions: u32) -> Self {
        let mut edited = String::new();
        for Edit { service: number, destination: index, weight } in self::edits(size, edits) {
            let (service, server) = (service(number), server(number, index));
            let _ = writeln!(edited, "-e -t {service} -r {server} -m -w {weight}");
        }
        let addition = |index| format!("-a -t {} -r 172.16.0.{}:80 -m -w 5", service(0), index + 1);
        Self {
            table: table(size, service, server),
            table_v6: table(size, service_v6, server_v6),
            edits: edited,
            additions: (0..additions).map(addition).collect(),
        }
    }
}

/// The lines that make services, each with its destinations.
fn table(
    (services, destinations): (u32, u32),
    service: impl Fn(u32) -> String,
    server: impl Fn(u32, u32) -> String,
) -> String {
    let mut table = String::new();
    for number in 0..services {
        let service = service(number);
        let _ = writeln!(table, "-A -t {service} -s rr");
        for index in 0..destinations {
            let (server, weight) = (server(number, index), 1 + index % 100);
            let _ = writeln!(table, "-a -t {service} -r {server} -m -w {weight}");
        }
    }
    table
}

/// A destination's new weight.
pub(crate) struct Edit {
    /// The number of its service.
    pub(crate) service: u32,
    /// Its number among those of the service.
    pub(crate) destination: u32,
    pub(crate) weight: u32,
}

/// The number of new weights, all over the table.
pub(crate) fn edits((services, destinations): (u32, u32), count: u32) -> impl Iterator<Item = Edit> {
    (0..count).map(move |edit| Edit {
        service: edit % services,
        destination: edit / services % destinations,
        weight: 101 + edit % 7,
    })
}

pub(crate) fn service(number: u32) -> String {
    let network = number / A_NETWORK;
    format!("10.{}.{}.{}:80", network / A_NETWORK, network % A_NETWORK, 1 + number % A_NETWORK)
}

pub(crate) fn server(number: u32, index: u32) -> String {
    format!("192.{}.{}.{}:80", 168 + index / A_NETWORK, number % A_NETWORK, 1 + index % A_NETWORK)
}

fn service_v6(number: u32) -> String {
    format!("[2001:db8::{:x}:{:x}]:80", number >> 16, 1 + (number & 0xffff))
}

fn server_v6(number: u32, index: u32) -> String {
    format!("[fd00::{:x}:{:x}]:80", number % A_NETWORK, 1 + index)
}

/// Does something in a network of its own: a destination that was deleted slows its namespace down
/// for minutes.
pub(crate) fn in_own_network<T: Send>(work: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    let inside = || {
        kernel_tests::sandbox::enter_network().map_err(|error| error.to_string())?;
        work()
    };
    thread::scope(|scope| scope.spawn(inside).join()).map_err(|_| "a thread panicked".to_owned())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_have_as_many_lines_as_they_should() {
        let rules = Rules::new((300, 10), 3000, 4);
        assert_eq!((rules.table.lines().count(), rules.edits.lines().count()), (3300, 3000));
        assert_eq!(rules.additions.len(), 4);
        assert!(rules.table.contains("-A -t 10.0.1.50:80 -s rr\n-a -t 10.0.1.50:80 -r 192.168.49.1:80 -m -w 1\n"));
    }

    #[test]
    fn no_two_services_or_servers_are_the_same() {
        let rules = |size| Rules::new(size, 0, 1);
        for (size, lines) in [((100_000, 1), 200_000), ((1, 10_000), 10_001)] {
            let rules = rules(size);
            let mut all: Vec<_> = rules.table.lines().chain(rules.table_v6.lines()).collect();
            all.extend(rules.additions.iter().map(String::as_str));
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), 2 * lines + 1);
        }
    }

    #[test]
    fn three_thousand_edits_touch_each_destination_of_300_x_10_once() {
        let rules = Rules::new((300, 10), 3000, 0);
        let mut touched: Vec<_> = rules.edits.lines().map(|line| line.split(" -m").next().unwrap()).collect();
        touched.sort_unstable();
        touched.dedup();
        assert_eq!(touched.len(), 3000);
    }
}
