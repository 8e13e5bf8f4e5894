//! Addresses and ports in numbers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::number::{decimal, octet};
use crate::service::{Netmask, Protocol};

/// Appends `address:port` in numbers. The protocol does not matter.
#[inline]
pub fn endpoint(line: &mut Vec<u8>, at: SocketAddr, _protocol: Option<Protocol>) {
    bracketed(line, at, |line| address(line, at.ip()));
    decimal(line, at.port());
}

/// Appends what `host` does, in brackets if the address is of IPv6, and the colon.
#[inline]
pub fn bracketed(line: &mut Vec<u8>, at: SocketAddr, host: impl FnOnce(&mut Vec<u8>)) {
    if at.is_ipv4() {
        host(line);
        line.push(b':');
    } else {
        line.push(b'[');
        host(line);
        line.extend_from_slice(b"]:");
    }
}

/// Appends an address, without brackets.
#[inline]
pub fn address(line: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => dotted(line, v4),
        IpAddr::V6(v6) => colons(line, v6),
    }
}

/// Appends an IPv4 netmask, or an IPv6 prefix length.
pub fn netmask(line: &mut Vec<u8>, netmask: Netmask) {
    match netmask.as_v4() {
        Some(mask) => dotted(line, mask),
        None => decimal(line, netmask.as_v6().unwrap_or_default()),
    }
}

#[inline]
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
    use crate::rule::text;

    /// As glibc's `inet_ntop` writes them.
    #[test]
    fn ipv6_is_written_as_the_c_library_does() {
        for written in [
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
            let parsed: Ipv6Addr = written.parse().unwrap();
            assert_eq!(text(|line| address(line, parsed.into())), written);
        }
    }

    #[test]
    fn every_octet_is_written() {
        assert_eq!(text(|line| dotted(line, Ipv4Addr::new(0, 10, 200, 255))), "0.10.200.255");
    }
}
