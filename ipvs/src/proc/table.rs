//! What the kernel shows without privileges: `/proc/net/ip_vs` and `/proc/net/ip_vs_stats`.

use std::fs;
use std::io::{self, Read};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::destination::Weight;
use crate::invalid_value::InvalidValue;
use crate::name::Scheduler;
use crate::service::{FirewallMark, Protocol};
use crate::stats::{Rates, Statistics};

/// The services and destinations of a director, as far as the kernel shows them without privileges.
///
/// Netlink, which [`Client`](crate::Client) uses, needs `CAP_NET_ADMIN`. Every user may read the
/// file `/proc/net/ip_vs`, but it has no thresholds, kinds of tunnels, persistence engines,
/// scheduler flags and counters of services. Values stay in the units of the file. The kernel
/// writes it page by page while the table may change, so an entry can be missing or there twice;
/// [`may_be_incomplete`](Self::may_be_incomplete) says so where it is noticed.
///
/// ```
/// let text = "IP Virtual Server version 1.2.1 (size=4096)
/// Prot LocalAddress:Port Scheduler Flags
///   -> RemoteAddress:Port Forward Weight ActiveConn InActConn
/// TCP  0A000001:0050 rr  persistent 30000 FFFFFF00
///   -> 7F000001:0050      Tunnel  5      2          1
/// ";
/// let table = ipvs::proc::Table::parse(text)?;
/// let server = &table.services[0].destinations[0];
/// assert_eq!((server.address, server.active_connections), ("127.0.0.1:80".parse()?, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Table {
    /// In the kernel's order, which means nothing.
    pub services: Vec<Service>,
    /// The kernel has left something out. Up to Linux 6.12 it does where other network namespaces
    /// have services, even if nothing changes.
    #[cfg_attr(feature = "serde", serde(default))]
    pub may_be_incomplete: bool,
}

/// A service of a [`Table`].
///
/// ```
/// fn servers(service: &ipvs::proc::Service) -> usize { service.destinations.len() }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Service {
    /// The packets that it gets.
    pub key: Key,
    /// Its scheduler.
    pub scheduler: Scheduler,
    /// Does it schedule each packet for itself? Not shown for services of IPv6.
    pub one_packet: bool,
    /// How long clients stay with their destination; `None`: it is not persistent.
    pub persistence: Option<Persistence>,
    /// Its destinations, newest first.
    pub destinations: Vec<Destination>,
}

/// The packets that a [`Service`] gets.
///
/// ```
/// fn is_mark(service: &ipvs::proc::Service) -> bool {
///     matches!(service.key, ipvs::proc::Key::Mark(_))
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Key {
    /// Packets to an address.
    Address {
        /// The transport protocol.
        protocol: Protocol,
        /// Virtual address and port.
        at: SocketAddr,
    },
    /// Packets that bear a firewall mark. The family is not shown.
    Mark(FirewallMark),
}

/// Persistence of a [`Service`].
///
/// ```
/// fn ticks(service: &ipvs::proc::Service) -> Option<u32> {
///     service.persistence.map(|held| held.ticks)
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Persistence {
    /// Its timeout, in ticks of the kernel's clock, of which a second has 100, 250, 300 or 1,000:
    /// the kernel's `CONFIG_HZ`.
    pub ticks: u32,
    /// Its netmask as the kernel writes it: of IPv4 the mask; of IPv6 the length of the prefix,
    /// times 2 to the 24th.
    pub netmask: u32,
}

/// A destination of a [`Service`].
///
/// ```
/// fn is_quiesced(server: &ipvs::proc::Destination) -> bool { server.weight.get() == 0 }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Destination {
    /// Address and port.
    pub address: SocketAddr,
    /// How packets get there.
    pub forwarding: Forwarding,
    /// Its share of new connections, 0 to 2,147,483,647.
    pub weight: Weight,
    /// Gauge: established connections.
    pub active_connections: u32,
    /// Gauge: connections that are being set up or closed; all of UDP.
    pub inactive_connections: u32,
}

/// How packets reach a [`Destination`]: of tunnels, the kind is not shown.
///
/// ```
/// use ipvs::proc::Forwarding;
/// assert_eq!(Forwarding::Tunnel.to_string(), "Tunnel");
/// assert_eq!("Masq".parse(), Ok(Forwarding::Masquerade));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Forwarding {
    /// Network address translation.
    Masquerade,
    /// To the director itself.
    Local,
    /// Wrapped into another packet.
    Tunnel,
    /// To the destination's link-layer address.
    DirectRoute,
    /// Along the ordinary route.
    Bypass,
}

impl Forwarding {
    const NAMES: [(Self, &'static str); 5] = [
        (Forwarding::Masquerade, "Masq"),
        (Forwarding::Local, "Local"),
        (Forwarding::Tunnel, "Tunnel"),
        (Forwarding::DirectRoute, "Route"),
        (Forwarding::Bypass, "Bypass"),
    ];
}

impl std::fmt::Display for Forwarding {
    /// As ipvsadm names it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = Self::NAMES.iter().find(|(forwarding, _)| forwarding == self);
        f.pad(name.map_or("", |(_, name)| name))
    }
}

impl FromStr for Forwarding {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let forwarding = Self::NAMES.iter().find(|(_, name)| *name == text);
        let allowed = "Masq, Local, Tunnel, Route or Bypass";
        forwarding
            .map(|(forwarding, _)| *forwarding)
            .ok_or_else(|| InvalidValue::new("forwarding method", text, allowed))
    }
}

/// A file of `/proc/net` can't be read or understood.
///
/// ```
/// let error = ipvs::proc::Table::parse("1\n2\n3\nTCP nonsense\n").unwrap_err();
/// assert_eq!(error.to_string(), "unexpected text in /proc/net/ip_vs, line 4: \"TCP nonsense\"");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It can't be read. If it is not there, the kernel has no IPVS, or has not loaded it yet.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A line is not as the kernel writes it.
    #[error("unexpected text in {file}, line {line}: {text:?}")]
    Line {
        /// The file whose form was expected: `/proc/net/ip_vs` or `/proc/net/ip_vs_stats`.
        file: &'static str,
        /// The number of the line, counted from 1.
        line: usize,
        /// The line.
        text: String,
    },
}

/// How many lines of titles there are.
const TITLES: usize = 3;

impl Table {
    /// Where the kernel shows it: for the network namespace of the thread that reads.
    pub const PATH: &str = "/proc/thread-self/net/ip_vs";

    /// Reads the table of this thread's network namespace.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn read() -> Result<Self, Error> {
        let (text, more) = Self::read_file().map_err(|source| Error::Read { path: Self::PATH.into(), source })?;
        Ok(Table { may_be_incomplete: more > 0, ..Self::parse(&text)? })
    }

    /// The text, and how many more bytes there are than the kernel gave.
    fn read_file() -> io::Result<(String, usize)> {
        let mut file = fs::File::open(Self::PATH)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // A byte behind what was read: to find it, the kernel walks over the table without counting
        // places. At the end of an entry it does count, so the next byte is asked for, too.
        let end = text.len() as u64;
        let more = file.read_at(&mut [0], end)? + file.read_at(&mut [0], end + 1)?;
        Ok((text, more))
    }

    /// The table in a text of the kernel's form.
    ///
    /// # Errors
    /// [`Error::Line`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut services: Vec<Service> = Vec::new();
        for (at, line) in text.lines().enumerate().skip(TITLES) {
            let understood = match line.trim_start().strip_prefix("-> ") {
                Some(rest) => add_destination(&mut services, rest),
                None => service(line).map(|service| services.push(service)),
            };
            understood.ok_or_else(|| Error::Line { file: "/proc/net/ip_vs", line: at + 1, text: line.to_owned() })?;
        }
        Ok(Table { services, may_be_incomplete: false })
    }
}

/// The counters of a whole director: sums over its services, those that are gone included, since
/// they were last zeroed. Kernel: `/proc/net/ip_vs_stats`, which needs no privileges; netlink does
/// not have them.
///
/// ```no_run
/// let total = ipvs::proc::totals()?;
/// println!("{} connections, {} a second", total.connections, total.rates.connections);
/// # Ok::<(), ipvs::proc::Error>(())
/// ```
///
/// # Errors
/// See [`Error`].
pub fn totals() -> Result<Statistics, Error> {
    const PATH: &str = "/proc/thread-self/net/ip_vs_stats";
    let text = fs::read_to_string(PATH).map_err(|source| Error::Read { path: PATH.into(), source })?;
    parse_totals(&text)
}

pub(crate) fn parse_totals(text: &str) -> Result<Statistics, Error> {
    let five = |at: usize| -> Result<[u64; 5], Error> {
        let line = text.lines().nth(at).unwrap_or_default();
        let numbers = line.split_ascii_whitespace().map(|word| u64::from_str_radix(word, 16).ok());
        let numbers: Option<Vec<u64>> = numbers.collect();
        let five = numbers.and_then(|numbers| numbers.try_into().ok());
        five.ok_or_else(|| Error::Line { file: "/proc/net/ip_vs_stats", line: at + 1, text: line.to_owned() })
    };
    // Two lines of titles, the numbers, an empty line, a title, and the rates.
    let [connections, packets_in, packets_out, bytes_in, bytes_out] = five(2)?;
    let [per_second, packets_in_per_second, packets_out_per_second, bytes_in_per_second, bytes_out_per_second] =
        five(5)?;
    let rates = Rates {
        connections: per_second,
        packets_in: packets_in_per_second,
        packets_out: packets_out_per_second,
        bytes_in: bytes_in_per_second,
        bytes_out: bytes_out_per_second,
    };
    Ok(Statistics { connections, packets_in, packets_out, bytes_in, bytes_out, rates })
}

fn service(line: &str) -> Option<Service> {
    let mut words = line.split_ascii_whitespace();
    let (kind, what) = (words.next()?, words.next()?);
    let key = match kind {
        "FWM" => Key::Mark(FirewallMark::new(u32::from_str_radix(what, 16).ok()?).ok()?),
        _ => Key::Address { protocol: protocol(kind)?, at: address(what)? },
    };
    let mut service = Service {
        key,
        scheduler: Scheduler::new(words.next()?).ok()?,
        one_packet: false,
        persistence: None,
        destinations: Vec::new(),
    };
    while let Some(word) = words.next() {
        match word {
            "ops" => service.one_packet = true,
            "persistent" => {
                let ticks = words.next()?.parse().ok()?;
                let netmask = u32::from_str_radix(words.next()?, 16).ok()?;
                service.persistence = Some(Persistence { ticks, netmask });
            }
            _ => return None,
        }
    }
    Some(service)
}

/// A destination belongs to the service above it.
fn add_destination(services: &mut [Service], text: &str) -> Option<()> {
    services.last_mut()?.destinations.push(destination(text)?);
    Some(())
}

fn destination(text: &str) -> Option<Destination> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let [at, forwarding, weight, active, inactive] = words.try_into().ok()?;
    Some(Destination {
        address: address(at)?,
        forwarding: forwarding.parse().ok()?,
        weight: weight.parse().ok()?,
        active_connections: active.parse().ok()?,
        inactive_connections: inactive.parse().ok()?,
    })
}

fn protocol(name: &str) -> Option<Protocol> {
    match name {
        "TCP" => Some(Protocol::TCP),
        "UDP" => Some(Protocol::UDP),
        "SCTP" => Some(Protocol::SCTP),
        "IP" => Some(Protocol::from_number(0)),
        "ICMP" => Some(Protocol::from_number(1)),
        "ICMPv6" => Some(Protocol::from_number(58)),
        _ => name.strip_prefix("IP_")?.parse().ok().map(Protocol::from_number),
    }
}

/// `0A000001:0050` or `[2001:0db8:…]:0050`: hexadecimal, the port as well.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    match host.strip_prefix('[') {
        Some(host) => Some(SocketAddr::new(host.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.into(), port)),
        None if host.len() == 8 => {
            Some(SocketAddr::new(Ipv4Addr::from_bits(u32::from_str_radix(host, 16).ok()?).into(), port))
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of Linux 6.1.
    const KERNELS: &str = "IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  [2001:0db8:0000:0000:0000:0000:0000:0001]:0050 wlc persistent 10000 40000000
  -> [2001:0db8:0000:0000:0000:0000:0000:0002]:0050      Route   1      0          0         
SCTP  0A000001:0050 wlc  
UDP  0A000001:0035 wlc ops  
  -> 7F000007:0035      Masq    1      0          7         
FWM  00000007 wlc persistent 36000 80000000
  -> [2001:0db8:0000:0000:0000:0000:0000:0009]:0000      Tunnel  0      3          0         
FWM  00000007 wlc 
";

    #[test]
    fn a_kernels_table() {
        let table = Table::parse(KERNELS).unwrap();
        let keys: Vec<_> = table.services.iter().map(|service| service.key).collect();
        let at = |protocol, at: &str| Key::Address { protocol, at: at.parse().unwrap() };
        let mark = Key::Mark(FirewallMark::new(7).unwrap());
        let expected = [
            at(Protocol::TCP, "[2001:db8::1]:80"),
            at(Protocol::SCTP, "10.0.0.1:80"),
            at(Protocol::UDP, "10.0.0.1:53"),
            mark,
            mark,
        ];
        assert_eq!(keys, expected);
        assert_eq!(table.services[0].persistence, Some(Persistence { ticks: 10000, netmask: 64 << 24 }));
        assert_eq!(
            table.services.iter().map(|service| service.one_packet).collect::<Vec<_>>(),
            [false, false, true, false, false]
        );
        let server = table.services[3].destinations[0];
        assert_eq!(
            server,
            Destination {
                address: "[2001:db8::9]:0".parse().unwrap(),
                forwarding: Forwarding::Tunnel,
                weight: Weight::ZERO,
                active_connections: 3,
                inactive_connections: 0,
            }
        );
    }

    #[test]
    fn what_is_not_understood_is_said_with_its_line() {
        for line in [
            "",
            "TCP",
            "TCP 0A000001:0050",
            "XYZ 0A000001:0050 rr",
            "TCP 0A00001:0050 rr",
            "TCP 0A000001:0050 rr odd",
            "FWM 00000000 rr",
            "  -> 7F000007:0035 Masq 1 0 7",
            "TCP [::1:0050 rr",
            "UDP 0A000001:0035 wlc persistent x y",
        ] {
            let error = Table::parse(&format!("a\nb\nc\n{line}\n")).unwrap_err();
            assert!(matches!(&error, Error::Line { line: 4, text, .. } if text == line), "{error}");
        }
        for server in ["7F000007:0035 Masq 1 0", "7F000007:0035 Mask 1 0 7", "7F000007:0035 Masq -1 0 7"] {
            let text = format!("a\nb\nc\nTCP 0A000001:0050 rr\n  -> {server}\n");
            assert!(matches!(Table::parse(&text), Err(Error::Line { line: 5, .. })), "{server}");
        }
        assert_eq!(Table::parse("").unwrap(), Table::default());
    }

    #[test]
    fn totals_are_hexadecimal() {
        let text = "   Total Incoming Outgoing         Incoming         Outgoing
   Conns  Packets  Packets            Bytes            Bytes
       A       1F        0             1000                2

 Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s
       1        2        3                4               FF
";
        let total = parse_totals(text).unwrap();
        assert_eq!((total.connections, total.packets_in, total.bytes_in, total.bytes_out), (10, 31, 4096, 2));
        assert_eq!((total.rates.connections, total.rates.bytes_out), (1, 255));
        assert!(matches!(parse_totals("one\ntwo\nx"), Err(Error::Line { line: 3, .. })));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,200}", lines in proptest::collection::vec("(TCP|FWM|  ->|IP_)? ?[0-9A-Fx:\\[\\] a-z-]{0,40}", 0..6)) {
            let _ = (Table::parse(&text), parse_totals(&text), Table::parse(&lines.join("\n")));
        }
    }
}
