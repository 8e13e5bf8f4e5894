//! Names of hosts and ports from the system. Only this module looks them up.
//!
//! The program is linked statically, so it cannot load the modules that `/etc/nsswitch.conf` names.
//! It runs `getent`, which can, once for each key and with many keys at a time. Without `getent`,
//! it reads `/etc/hosts` and `/etc/services` itself.

mod files;
mod getent;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipvs::Protocol;

use crate::escape;

/// A name is a few bytes in any encoding.
type Name = Box<[u8]>;

/// Keys in one run of `getent`, whose command line is limited. They are waited for together.
const AT_ONCE: usize = 500;

/// Names for listings. Each is looked up when it is needed, and only once.
#[derive(Debug, Default)]
pub struct Names {
    hosts: BTreeMap<IpAddr, Option<Name>>,
    ports: BTreeMap<(Protocol, u16), Option<Name>>,
    /// The first address and port that was too long to be written whole.
    cut: Option<Name>,
}

impl Names {
    /// Knows no names yet.
    pub const fn new() -> Self {
        Names { hosts: BTreeMap::new(), ports: BTreeMap::new(), cut: None }
    }

    /// The first name of the host of this address.
    pub fn host(&mut self, address: IpAddr) -> Option<&[u8]> {
        self.prefetch_hosts([address]);
        self.hosts.get(&address)?.as_deref()
    }

    /// The name of this port. Only TCP, UDP and SCTP have any.
    pub fn port(&mut self, protocol: Protocol, port: u16) -> Option<&[u8]> {
        self.prefetch_ports(protocol, [port]);
        self.ports.get(&(protocol, port))?.as_deref()
    }

    /// Looks up those of the addresses that are not known yet.
    pub fn prefetch_hosts(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        let unknown = addresses.into_iter().filter(|address| !self.hosts.contains_key(address));
        let unknown: Vec<_> = unknown.collect::<BTreeSet<_>>().into_iter().collect();
        for some in unknown.chunks(AT_ONCE) {
            let found = getent::hosts(some).unwrap_or_else(|_| files::hosts(some));
            self.hosts.extend(some.iter().map(|&address| (address, None)));
            self.hosts.extend(found.into_iter().map(|(address, name)| (address, Some(name))));
        }
    }

    /// Looks up those of the ports that are not known yet.
    pub fn prefetch_ports(&mut self, protocol: Protocol, ports: impl IntoIterator<Item = u16>) {
        let Some(protocol_name) = name_of(protocol) else { return };
        let unknown = ports.into_iter().filter(|&port| !self.ports.contains_key(&(protocol, port)));
        let unknown: Vec<_> = unknown.collect::<BTreeSet<_>>().into_iter().collect();
        for some in unknown.chunks(AT_ONCE) {
            let found = getent::ports(some, protocol_name).unwrap_or_else(|_| files::ports(some, protocol_name));
            self.ports.extend(some.iter().map(|&port| ((protocol, port), None)));
            self.ports.extend(found.into_iter().map(|(port, name)| ((protocol, port), Some(name))));
        }
    }

    pub(crate) fn note_cut(&mut self, text: &[u8]) {
        self.cut.get_or_insert_with(|| text.into());
    }

    /// Why rules that were written with these names make another table: a sentence for each kind of
    /// fault, with its first instance.
    pub fn unrestorable(&self) -> Vec<String> {
        let named = || self.hosts.iter().filter_map(|(address, name)| Some((*address, name.as_deref()?)));
        let mut first_of: BTreeMap<&[u8], IpAddr> = BTreeMap::new();
        let shared = named().filter(|(address, _)| address.is_ipv4()).find_map(|(address, name)| {
            let first = *first_of.entry(name).or_insert(address);
            (first != address).then_some((first, address, name))
        });
        let shared = shared.map(|(one, other, name)| {
            let name = escape::bytes(name);
            format!("{one} and {other} are both written as '{name}', which is read as one address")
        });
        let six = named().find(|(address, _)| address.is_ipv6()).map(|(address, name)| {
            let name = escape::bytes(name);
            format!("{address} is written as '[{name}]', and names are read as addresses of IPv4 only")
        });
        let cut = self.cut.as_deref().map(|text| {
            format!("'{}' is cut after {} characters, as ipvsadm cuts it", escape::bytes(text), text.len())
        });
        shared.into_iter().chain(six).chain(cut).collect()
    }

    /// Names that are not looked up; an empty one means that there is none.
    #[cfg(test)]
    pub(crate) fn known(hosts: &[(&str, &str)], ports: &[(Protocol, u16, &str)]) -> Self {
        let name = |text: &str| (!text.is_empty()).then(|| text.as_bytes().into());
        Names {
            hosts: hosts.iter().map(|&(address, text)| (address.parse().unwrap(), name(text))).collect(),
            ports: ports.iter().map(|&(protocol, port, text)| ((protocol, port), name(text))).collect(),
            cut: None,
        }
    }
}

/// The first IPv4 address of a host.
pub fn lookup_host(name: &[u8]) -> Option<Ipv4Addr> {
    getent::address(name).unwrap_or_else(|_| files::address(name))
}

/// Is this one of the IPv4 addresses of a host?
pub fn has_address(name: &[u8], address: Ipv4Addr) -> bool {
    getent::has_address(name, address).unwrap_or_else(|_| files::has_address(name, address))
}

/// The port of a service, by its name or another name of it; upper and lower case count.
pub fn lookup_port(name: &[u8], protocol: Protocol) -> Option<u16> {
    let protocol = name_of(protocol)?;
    getent::port(name, protocol).unwrap_or_else(|_| files::port(name, protocol))
}

/// The name of the protocol in `/etc/services`.
fn name_of(protocol: Protocol) -> Option<&'static str> {
    match protocol {
        Protocol::TCP => Some("tcp"),
        Protocol::UDP => Some("udp"),
        Protocol::SCTP => Some("sctp"),
        _ => None,
    }
}

/// The words of a line, up to a comment.
fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// The lines of `/etc/services`, which are those of `getent services`: name, port, protocol, all
/// names.
fn services(text: &[u8]) -> impl Iterator<Item = Service<'_>> {
    text.split(|&byte| byte == b'\n').filter_map(|line| {
        let mut words = words(line);
        let name = words.next()?;
        let (port, protocol) = std::str::from_utf8(words.next()?).ok()?.split_once('/')?;
        Some(Service { name, port: port.parse().ok()?, protocol, aliases: words.collect() })
    })
}

#[derive(Debug, PartialEq)]
struct Service<'a> {
    name: &'a [u8],
    port: u16,
    protocol: &'a str,
    aliases: Vec<&'a [u8]>,
}

impl Service<'_> {
    fn is_called(&self, name: &[u8]) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}

fn parse_address(word: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_not_looked_up() {
        let mut names = Names::known(
            &[("192.0.2.1", "www.example.net"), ("192.0.2.9", "")],
            &[(Protocol::TCP, 80, "http"), (Protocol::UDP, 80, "")],
        );
        assert_eq!(names.host("192.0.2.1".parse().unwrap()), Some(&b"www.example.net"[..]));
        assert_eq!(names.host("192.0.2.9".parse().unwrap()), None);
        assert_eq!(names.port(Protocol::TCP, 80), Some(&b"http"[..]));
        assert_eq!(names.port(Protocol::UDP, 80), None);
    }

    #[test]
    fn other_protocols_have_no_names_of_ports() {
        let mut names = Names::new();
        assert_eq!(names.port(Protocol::from_number(51), 80), None);
        assert_eq!(lookup_port(b"http", Protocol::from_number(51)), None);
        assert!(names.ports.is_empty(), "no name is looked up");
    }

    #[test]
    fn lines_of_etc_services_are_parsed() {
        let text = b"# comment\nhttp\t80/tcp   www web # WorldWideWeb\nbroken\nalso broken/tcp\ndomain 53/udp\n";
        let read: Vec<_> = services(text).collect();
        let http = Service { name: b"http", port: 80, protocol: "tcp", aliases: vec![b"www", b"web"] };
        let domain = Service { name: b"domain", port: 53, protocol: "udp", aliases: vec![] };
        assert_eq!(read, [http, domain]);
    }
}
