//! Addresses and ports, as numbers or names.

use std::net::SocketAddr;

use ipvs::Protocol;
pub use ipvs::rule::parts::address as numeric;
pub(super) use ipvs::rule::parts::netmask;
use ipvs::rule::parts::{self, decimal};

use crate::ipvsadm::names::Names;

/// ipvsadm cuts an address with its port to this many characters, so that long names lose the port.
const LONGEST: usize = 59;

/// Appends `address:port`.
///
/// `names`: where to look names up; `None` prints numbers. Without a protocol the port is a number
/// in any case.
pub fn endpoint(line: &mut Vec<u8>, at: SocketAddr, protocol: Option<Protocol>, names: Option<&mut Names>) {
    match names {
        None => parts::endpoint(line, at, protocol),
        Some(names) => named(line, at, protocol, names),
    }
}

fn named(line: &mut Vec<u8>, at: SocketAddr, protocol: Option<Protocol>, names: &mut Names) {
    let start = line.len();
    parts::bracketed(line, at, |line| match names.host(at.ip()) {
        Some(name) => line.extend_from_slice(name),
        None => numeric(line, at.ip()),
    });
    match protocol.and_then(|protocol| names.port(protocol, at.port())) {
        Some(name) => line.extend_from_slice(name),
        None => decimal(line, at.port()),
    }
    if line.len() > start + LONGEST {
        line.truncate(start + LONGEST);
        names.note_cut(&line[start..]);
    }
}

/// As [`endpoint`], but an address of IPv4 is cut to the column's width.
pub(super) fn cut_endpoint(
    line: &mut Vec<u8>,
    width: usize,
    at: SocketAddr,
    protocol: Option<Protocol>,
    names: Option<&mut Names>,
) {
    let start = line.len();
    endpoint(line, at, protocol, names);
    if at.is_ipv4() {
        line.truncate(start + width);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples::{names, text};

    #[test]
    fn names_stand_for_addresses_and_ports() {
        let shown = |at: &str, protocol| text(|line| endpoint(line, at.parse().unwrap(), protocol, Some(&mut names())));
        assert_eq!(shown("192.0.2.1:80", Some(Protocol::TCP)), "www.example.net:http");
        assert_eq!(shown("192.0.2.1:80", None), "www.example.net:80");
        assert_eq!(shown("192.0.2.99:80", Some(Protocol::TCP)), "192.0.2.99:http");
        assert_eq!(shown("[2001:db8::1]:81", Some(Protocol::TCP)), "[six.example.net]:81");
        assert_eq!(
            shown("[2001:db8::14]:80", Some(Protocol::TCP)),
            "[six-name-that-is-longer-than-all-that-a-listing-can-hold-a"
        );
    }

    #[test]
    fn names_that_mean_other_addresses_when_they_are_read_are_known() {
        let found = |hosts: &[(&str, &str)]| {
            let mut names = Names::known(hosts, &[(Protocol::TCP, 80, "http")]);
            for (address, _) in hosts {
                let at = SocketAddr::new(address.parse().unwrap(), 80);
                endpoint(&mut Vec::new(), at, Some(Protocol::TCP), Some(&mut names));
            }
            names.unrestorable()
        };
        assert!(found(&[("192.0.2.1", "www.example.net"), ("192.0.2.2", ""), ("2001:db8::1", "")]).is_empty());
        let shared = found(&[("192.0.2.1", "www.example.net"), ("192.0.2.2", "www.example.net")]);
        assert_eq!(
            shared,
            ["192.0.2.1 and 192.0.2.2 are both written as 'www.example.net', which is read as one address"]
        );
        let six = found(&[("192.0.2.1", "both.example.net"), ("2001:db8::1", "both.example.net")]);
        assert_eq!(
            six,
            ["2001:db8::1 is written as '[both.example.net]', and names are read as addresses of IPv4 only"]
        );
        let long = format!("{}.example.net", "a".repeat(45));
        let cut = found(&[("192.0.2.1", &long)]);
        assert_eq!(cut, [format!("'{long}:h' is cut after {LONGEST} characters, as ipvsadm cuts it")]);
        assert!(found(&[("192.0.2.1", &long[3..])]).is_empty(), "it just fits");
        assert!(found(&[("192.0.2.1", "\x1b[2J"), ("192.0.2.2", "\x1b[2J")])[0].contains("\\x1b"));
    }

    #[test]
    fn only_ipv4_is_cut_to_its_column() {
        let shown = |at: &str| {
            text(|line| cut_endpoint(line, 28, at.parse().unwrap(), Some(Protocol::TCP), Some(&mut names())))
        };
        assert_eq!(shown("192.0.2.13:80"), "a-real-server-with-a-long-na");
        assert_eq!(shown("[2001:db8::14]:80").len(), LONGEST);
    }
}
