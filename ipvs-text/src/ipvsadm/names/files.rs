//! Names from `/etc/hosts` and `/etc/services`, for systems without `getent`.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Name, parse_address, services, words};

pub(super) fn hosts(addresses: &[IpAddr]) -> Vec<(IpAddr, Name)> {
    hosts_in(&read("/etc/hosts"), addresses)
}

pub(super) fn address(name: &[u8]) -> Option<Ipv4Addr> {
    address_in(&read("/etc/hosts"), name)
}

pub(super) fn has_address(name: &[u8], address: Ipv4Addr) -> bool {
    addresses_in(&read("/etc/hosts"), name).any(|other| other == address)
}

pub(super) fn ports(ports: &[u16], protocol: &str) -> Vec<(u16, Name)> {
    ports_in(&read("/etc/services"), ports, protocol)
}

pub(super) fn port(name: &[u8], protocol: &str) -> Option<u16> {
    port_in(&read("/etc/services"), name, protocol)
}

/// A system without the file has no names.
fn read(path: &str) -> Vec<u8> {
    fs::read(path).unwrap_or_default()
}

fn hosts_in(text: &[u8], asked: &[IpAddr]) -> Vec<(IpAddr, Name)> {
    let named = |&address: &IpAddr| {
        let (_, mut names) = host_lines(text).find(|(of, _)| *of == address)?;
        Some((address, names.next()?.into()))
    };
    asked.iter().filter_map(named).collect()
}

fn address_in(text: &[u8], name: &[u8]) -> Option<Ipv4Addr> {
    addresses_in(text, name).next()
}

fn addresses_in(text: &[u8], name: &[u8]) -> impl Iterator<Item = Ipv4Addr> {
    host_lines(text).filter_map(|(address, mut names)| {
        let address = ipv4_of(address)?;
        names.any(|other| other.eq_ignore_ascii_case(name)).then_some(address)
    })
}

/// As the C library: the loopback of IPv6 stands for that of IPv4.
fn ipv4_of(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(Ipv6Addr::LOCALHOST) => Some(Ipv4Addr::LOCALHOST),
        IpAddr::V6(v6) => v6.to_ipv4_mapped(),
    }
}

fn host_lines(text: &[u8]) -> impl Iterator<Item = (IpAddr, impl Iterator<Item = &[u8]>)> {
    text.split(|&byte| byte == b'\n').filter_map(|line| {
        let mut words = words(line);
        Some((parse_address(words.next()?)?, words))
    })
}

fn ports_in(text: &[u8], asked: &[u16], protocol: &str) -> Vec<(u16, Name)> {
    let named = |&port: &u16| {
        let service = services(text).find(|service| service.port == port && service.protocol == protocol)?;
        Some((port, service.name.into()))
    };
    asked.iter().filter_map(named).collect()
}

fn port_in(text: &[u8], name: &[u8], protocol: &str) -> Option<u16> {
    let mut found = services(text).filter(|service| service.protocol == protocol && service.is_called(name));
    found.next().map(|service| service.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTS: &[u8] = b"127.0.0.1 localhost\n::1 localhost only6 # both\n9.9.9.9 dual\n2001:db8::7 dual\n\
        2001:db8::8 v6only\n::ffff:1.2.3.4 mapped\n 10.1.1.1\tUpper.Case alias1 #c\n10.1.1.1 again\nhuh\n10.1.1.2\n";
    const SERVICES: &[u8] = b"http 80/tcp www\nhttp 80/udp\n#x 81/tcp\nalt 80/tcp\n";

    /// What glibc found in the same file.
    #[test]
    fn hosts_have_the_addresses_of_the_c_library() {
        for (name, expected) in [
            ("localhost", Some([127, 0, 0, 1])),
            ("only6", Some([127, 0, 0, 1])),
            ("dual", Some([9, 9, 9, 9])),
            ("mapped", Some([1, 2, 3, 4])),
            ("v6only", None),
            ("upper.case", Some([10, 1, 1, 1])),
            ("alias1", Some([10, 1, 1, 1])),
            ("both", None),
            ("10.1.1.2", None),
        ] {
            assert_eq!(address_in(HOSTS, name.as_bytes()), expected.map(Ipv4Addr::from), "{name}");
        }
    }

    #[test]
    fn an_address_has_the_first_name_of_its_first_line() {
        let asked = ["10.1.1.1", "::1", "10.1.1.2", "8.8.8.8"].map(|text| text.parse().unwrap());
        let expected = [(asked[0], &b"Upper.Case"[..]), (asked[1], b"localhost")];
        assert_eq!(hosts_in(HOSTS, &asked), expected.map(|(address, name)| (address, Name::from(name))));
    }

    #[test]
    fn ports_and_their_names() {
        assert_eq!(ports_in(SERVICES, &[80, 81], "tcp"), [(80, Name::from(&b"http"[..]))]);
        assert_eq!(port_in(SERVICES, b"www", "tcp"), Some(80));
        assert_eq!(port_in(SERVICES, b"www", "udp"), None);
        assert_eq!(port_in(SERVICES, b"HTTP", "tcp"), None);
    }
}
