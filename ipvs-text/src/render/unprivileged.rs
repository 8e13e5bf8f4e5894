//! The unprivileged view of a director: the listing of `ipvs-cli show`, or a part of it.

use std::io::{self, Write};
use std::net::Ipv4Addr;

use ipvs::{ServiceKey, Statistics, proc};

/// The source of the data and what it lacks.
const ORIGIN: &str = "\
Without privileges: from /proc/net/ip_vs, which has no thresholds, kinds of tunnels, persistence engines, scheduler
flags or counters of services. Root sees all.\n";

/// Why [`proc::Table::may_be_incomplete`].
pub const LEAVES_OUT: &str =
    "up to Linux 6.12, the kernel leaves services out of /proc/net/ip_vs when other network namespaces have any";

/// Writes all services or this one, sorted, and the counters of the director if they are given.
pub fn list(
    out: &mut dyn Write,
    table: &proc::Table,
    total: Option<&Statistics>,
    only: Option<&ServiceKey>,
) -> io::Result<()> {
    if table.may_be_incomplete {
        // First, as what follows can't be relied on.
        writeln!(out, "may be incomplete: {LEAVES_OUT}")?;
    }
    out.write_all(ORIGIN.as_bytes())?;
    totals(out, total)?;
    out.write_all(b"Prot LocalAddress:Port Scheduler Flags\n")?;
    out.write_all(b"  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n")?;
    services(out, table.services.iter().filter(|service| only.is_none_or(|key| is(service, key))).collect())
}

/// The counters of the whole director.
pub fn totals(out: &mut dyn Write, total: Option<&Statistics>) -> io::Result<()> {
    let Some(total) = total else { return Ok(()) };
    let rate = total.rates.connections;
    writeln!(out, "All services since they were zeroed: {} connections, {rate} a second now", total.connections)
}

/// The services in order.
pub fn services(out: &mut dyn Write, mut listed: Vec<&proc::Service>) -> io::Result<()> {
    listed.sort_unstable_by_key(|service| order(&service.key));
    listed.into_iter().try_for_each(|listed| service(out, listed))
}

/// The family of a mark is unknown: both are shown.
pub fn is(service: &proc::Service, key: &ServiceKey) -> bool {
    match (service.key, *key) {
        (proc::Key::Address { protocol, at }, ServiceKey::Address { protocol: wanted, at: there }) => {
            (protocol, at) == (wanted, there)
        }
        (proc::Key::Mark(mark), ServiceKey::Mark { mark: wanted, .. }) => mark == wanted,
        _ => false,
    }
}

fn order(key: &proc::Key) -> impl Ord + use<> {
    match *key {
        proc::Key::Address { protocol, at } => (0, protocol.number(), Some(at), 0),
        proc::Key::Mark(mark) => (1, 0, None, mark.get()),
    }
}

fn service(out: &mut dyn Write, listed: &proc::Service) -> io::Result<()> {
    match listed.key {
        proc::Key::Address { protocol, at } => {
            let protocol = protocol.to_string().to_uppercase();
            write!(out, "{protocol:<4} {at} {}", listed.scheduler)?;
        }
        proc::Key::Mark(mark) => write!(out, "FWM  {mark} {}", listed.scheduler)?,
    }
    if listed.one_packet {
        out.write_all(b" ops")?;
    }
    if let Some(held) = listed.persistence {
        write!(out, " persistent {} ticks{}", held.ticks, mask(&listed.key, held))?;
    }
    out.write_all(b"\n")?;
    listed.destinations.iter().try_for_each(|server| {
        let forwarding: proc::Forwarding = server.forwarding;
        writeln!(
            out,
            "  -> {:<28} {forwarding:<7} {:<6} {:<10} {}",
            server.address.to_string(),
            server.weight,
            server.active_connections,
            server.inactive_connections
        )
    })
}

/// The netmask of persistence, if it is not for single clients. The family of a mark's netmask is
/// unknown.
fn mask(key: &proc::Key, held: proc::Persistence) -> String {
    match key {
        proc::Key::Address { at, .. } if at.is_ipv6() && held.netmask == 128 << 24 => String::new(),
        proc::Key::Address { at, .. } if at.is_ipv6() => format!(" mask {}", held.netmask >> 24),
        _ if held.netmask == u32::MAX => String::new(),
        proc::Key::Address { .. } => format!(" mask {}", Ipv4Addr::from_bits(held.netmask)),
        proc::Key::Mark(_) => format!(" mask {:08X}", held.netmask),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "a
b
c
FWM  00000007 wlc persistent 36000 80000000
UDP  0A000001:0035 wlc ops
  -> 7F000007:0035      Masq    1      0          7
TCP  [2001:0db8:0000:0000:0000:0000:0000:0001]:0050 wlc persistent 10000 40000000
  -> [2001:0db8:0000:0000:0000:0000:0000:0002]:0050      Tunnel  1      0          0
TCP  0A000001:0050 rr persistent 30000 FFFFFFFF
";

    fn listed(only: Option<&str>) -> String {
        let only = only.map(|key| key.parse().unwrap());
        let mut out = Vec::new();
        list(&mut out, &proc::Table::parse(TABLE).unwrap(), Some(&Statistics::default()), only.as_ref()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_first_line_says_that_it_may_be_incomplete() {
        let mut table = proc::Table::parse(TABLE).unwrap();
        table.may_be_incomplete = true;
        let mut out = Vec::new();
        list(&mut out, &table, None, None).unwrap();
        assert!(out.starts_with(b"may be incomplete: "));
        assert!(!listed(None).contains("incomplete"));
    }

    #[test]
    fn the_listing_has_a_title_and_is_sorted() {
        let text = listed(None);
        assert!(text.starts_with("Without privileges: from /proc/net/ip_vs"), "{text}");
        assert!(text.contains("All services since they were zeroed: 0 connections, 0 a second now\n"));
        let (_, services) = text.split_once("InActConn\n").unwrap();
        assert_eq!(
            services,
            "TCP  10.0.0.1:80 rr persistent 30000 ticks
TCP  [2001:db8::1]:80 wlc persistent 10000 ticks mask 64
  -> [2001:db8::2]:80             Tunnel  1      0          0
UDP  10.0.0.1:53 wlc ops
  -> 127.0.0.7:53                 Masq    1      0          7
FWM  7 wlc persistent 36000 ticks mask 80000000
"
        );
    }

    #[test]
    fn one_service_alone() {
        assert!(listed(Some("udp 10.0.0.1:53")).ends_with(
            "InActConn\nUDP  10.0.0.1:53 wlc ops\n  -> 127.0.0.7:53                 Masq    1      0          7\n"
        ));
        assert!(listed(Some("mark 7 ipv6")).contains("FWM  7 "));
        assert!(listed(Some("mark 8")).ends_with("InActConn\n"));
    }
}
