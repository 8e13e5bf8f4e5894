//! Addresses and ports, as numbers or names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipvs::{Netmask, Protocol};

use super::number::{decimal, octet};
use crate::ipvsadm::names::Names;

/// ipvsadm has room for this many characters of an address and port; longer names lose their end, port included.
const LONGEST: usize = 59;

/// Appends `address:port`.
///
/// `names`: where to look names up; `None` prints numbers. Without a protocol the port is a number in any case.
pub(crate) fn endpoint(line: &mut Vec<u8>, at: SocketAddr, protocol: Option<Protocol>, names: Option<&mut Names>) {
    match names {
        None => {
            bracketed(line, at, |line| numeric(line, at.ip()));
            decimal(line, at.port());
        }
        Some(names) => named(line, at, protocol, names),
    }
}

fn named(line: &mut Vec<u8>, at: SocketAddr, protocol: Option<Protocol>, names: &mut Names) {
    let start = line.len();
    bracketed(line, at, |line| match names.host(at.ip()) {
        Some(name) => line.extend_from_slice(name),
        None => numeric(line, at.ip()),
    });
    match protocol.and_then(|protocol| names.port(protocol, at.port())) {
        Some(name) => line.extend_from_slice(name),
        None => decimal(line, at.port()),
    }
    line.truncate(start + LONGEST);
}

/// Appends what `host` does, in brackets if the address is of IPv6, and the colon.
fn bracketed(line: &mut Vec<u8>, at: SocketAddr, host: impl FnOnce(&mut Vec<u8>)) {
    if at.is_ipv4() {
        host(line);
        line.push(b':');
    } else {
        line.push(b'[');
        host(line);
        line.extend_from_slice(b"]:");
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

/// Appends an address, without brackets.
pub(crate) fn numeric(line: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => dotted(line, v4),
        IpAddr::V6(v6) => colons(line, v6),
    }
}

/// Appends an IPv4 netmask, or an IPv6 prefix length.
pub(super) fn netmask(line: &mut Vec<u8>, netmask: Netmask) {
    match netmask.as_v4() {
        Some(mask) => dotted(line, mask),
        None => decimal(line, netmask.as_v6().unwrap_or_default()),
    }
}

fn dotted(line: &mut Vec<u8>, address: Ipv4Addr) {
    let [first, rest @ ..] = address.octets();
    octet(line, first);
    for number in rest {
        line.push(b'.');
        octet(line, number);
    }
}

/// As the C library writes it. (Rust writes `::1.2.3.4` as `::102:304`.)
fn colons(line: &mut Vec<u8>, address: Ipv6Addr) {
    let words = address.segments();
    let (skip, skipped) = longest_zeros(&words);
    let dotted_end = skip == 0 && (skipped == 6 || skipped == 5 && words[5] == 0xffff);
    let end = if dotted_end { 6 } else { 8 };
    let mut at = 0;
    while at < end {
        if at == skip && skipped > 1 {
            at += skipped;
            line.extend_from_slice(if at == 8 { b"::" } else { b":" });
            continue;
        }
        if at > 0 {
            line.push(b':');
        }
        hexadecimal(line, words[at]);
        at += 1;
    }
    if dotted_end {
        line.push(b':');
        dotted(line, Ipv4Addr::from_bits(address.to_bits() as u32));
    }
}

/// Where the first of the longest runs of zeros starts, and its length.
fn longest_zeros(words: &[u16; 8]) -> (usize, usize) {
    let mut longest = (0, 0);
    let mut start = 0;
    for (at, &word) in words.iter().enumerate() {
        if word != 0 {
            start = at + 1;
        } else if at + 1 - start > longest.1 {
            longest = (start, at + 1 - start);
        }
    }
    longest
}

fn hexadecimal(line: &mut Vec<u8>, word: u16) {
    let digits = [12, 8, 4, 0].map(|shift| b"0123456789abcdef"[usize::from(word >> shift & 0xf)]);
    let leading = (word.leading_zeros() as usize / 4).min(3);
    line.extend_from_slice(&digits[leading..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples::{names, text};

    /// As glibc's `inet_ntop` writes them.
    #[test]
    fn ipv6_is_written_as_the_c_library_does() {
        for address in [
            "::",
            "::1",
            "::0.2.0.0",
            "::1.2.3.4",
            "::1:1:1",
            "::ffff:1.2.3.4",
            "::fffe:102:304",
            "1:0:0:1::1",
            "1::1:0:0:1",
            "1::2:0:0:0",
            "1:0:2:3:4:5:6:7",
            "0:1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7:0",
            "1:2:3:4:5:6::",
            "64:ff9b::102:304",
            "2001:db8:1111:2222:3333:4444:5555:6666",
            "fe80::f00:20:1",
        ] {
            let parsed: Ipv6Addr = address.parse().unwrap();
            assert_eq!(text(|line| numeric(line, parsed.into())), address);
        }
    }

    #[test]
    fn every_octet_is_written() {
        assert_eq!(text(|line| dotted(line, Ipv4Addr::new(0, 10, 200, 255))), "0.10.200.255");
    }

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
    fn only_ipv4_is_cut_to_its_column() {
        let shown = |at: &str| {
            text(|line| cut_endpoint(line, 28, at.parse().unwrap(), Some(Protocol::TCP), Some(&mut names())))
        };
        assert_eq!(shown("192.0.2.13:80"), "a-real-server-with-a-long-na");
        assert_eq!(shown("[2001:db8::14]:80").len(), LONGEST);
    }
}
