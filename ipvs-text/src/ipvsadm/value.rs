//! The values of options: one function for each syntax.
//!
//! `None` means that the text is not of that syntax; the caller knows which message belongs to it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipvs::rule::parts::FLAG_NAMES;
use ipvs::{DaemonRole, Protocol, SchedulerFlags};

use super::usage::Usage;

/// Looks names up: a parameter of the parser, so that tests need no files of the system.
pub trait Resolve: std::fmt::Debug {
    /// The IPv4 address of a host.
    fn host(&mut self, name: &[u8]) -> Option<Ipv4Addr>;
    /// The port of a service.
    fn port(&mut self, name: &[u8], protocol: Protocol) -> Option<u16>;

    /// While this is set, names that are not remembered are not found, as looking them up may take
    /// long. Setting it anew returns whether there were such names.
    fn set_hasty(&mut self, _hasty: bool) -> bool {
        false
    }

    /// Does it remember names? Then it had to ask for them, which may have taken long.
    fn remembers(&self) -> bool {
        false
    }

    /// Forgets the names that it remembers.
    fn forget(&mut self) {}
}

/// A system that knows no names: for texts that are to have numbers only.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNames;

impl Resolve for NoNames {
    fn host(&mut self, _: &[u8]) -> Option<Ipv4Addr> {
        None
    }

    fn port(&mut self, _: &[u8], _: Protocol) -> Option<u16> {
        None
    }
}

/// A decimal number, as C's `strtol` reads it: white space and one sign may stand before it,
/// nothing behind it.
#[inline]
pub fn number(text: &[u8], range: RangeInclusive<u32>) -> Option<u32> {
    let (negative, digits) = sign(text.trim_start_c());
    if digits.is_empty() {
        return None;
    }
    let mut value = 0u64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        value = 10 * value + u64::from(digit);
        if digit > 9 || value > u64::from(u32::MAX) {
            return None;
        }
    }
    let value = u32::try_from(value).ok()?;
    let in_range = range.contains(&value) && !(negative && value > 0);
    in_range.then_some(value)
}

/// What C's `atoi` makes of it on a 64-bit machine: junk behind the number is ignored, and it wraps
/// around.
fn atoi(text: &[u8]) -> i32 {
    let (negative, digits) = sign(text.trim_start_c());
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let value = digits.fold(0i64, |value, digit| {
        let digit = i64::from(digit - b'0');
        value.saturating_mul(10).saturating_add(if negative { -digit } else { digit })
    });
    value as i32
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    }
}

trait CSpace {
    fn trim_start_c(&self) -> &[u8];
}

impl CSpace for [u8] {
    /// Without what C's `isspace` names, which knows the vertical tab too.
    #[inline]
    fn trim_start_c(&self) -> &[u8] {
        let len = self.iter().take_while(|&&byte| is_c_space(byte)).count();
        &self[len..]
    }
}

fn is_c_space(byte: u8) -> bool {
    byte == b' ' || (b'\t'..=b'\r').contains(&byte)
}

/// `host[:port]`; the port, if one is given. A port's name is one of the protocol, if that is
/// known.
pub fn address(text: &[u8], protocol: Option<Protocol>, names: &mut dyn Resolve) -> Option<(IpAddr, Option<u16>)> {
    // What nearly every address is.
    if let Some((host, rest)) = quad(text) {
        match rest.strip_prefix(b":").map(|port| number(port, 0..=65535)) {
            None if rest.is_empty() => return Some((host.into(), None)),
            Some(Some(port)) => return Some((host.into(), u16::try_from(port).ok())),
            _ => {}
        }
    }
    let Some(colon) = text.iter().rposition(|&byte| byte == b':') else {
        // Of a number alone it could not be said whether it is an address or a port.
        let is_number = text.iter().all(u8::is_ascii_digit);
        return if is_number { None } else { Some((ipv4_host(text, names)?.into(), None)) };
    };
    if let [b'[', rest @ ..] = text {
        return bracketed(rest, protocol, names);
    }
    let (host, port_text) = (&text[..colon], &text[colon + 1..]);
    if host.contains(&b':')
        && let Some(address) = ipv6(text)
    {
        return Some((address.into(), None));
    }
    let address = ipv4_host(host, names)?;
    Some((address.into(), Some(port(port_text, protocol, names)?)))
}

/// `host]:port`
fn bracketed(text: &[u8], protocol: Option<Protocol>, names: &mut dyn Resolve) -> Option<(IpAddr, Option<u16>)> {
    let end = text.iter().position(|&byte| byte == b']')?;
    let (host, port_text) = (&text[..end], text[end + 1..].strip_prefix(b":")?);
    match ipv6(host) {
        Some(address) => Some((address.into(), Some(port(port_text, protocol, names)?))),
        // As ipvsadm: brackets are for IPv6; with another host in them the port is not looked at.
        None => Some((ipv4_host(host, names)?.into(), None)),
    }
}

fn port(text: &[u8], protocol: Option<Protocol>, names: &mut dyn Resolve) -> Option<u16> {
    match number(text, 0..=65535) {
        Some(port) => u16::try_from(port).ok(),
        None if text.is_empty() => None,
        None => names.port(text, protocol?),
    }
}

/// An IPv6 address, without zone.
fn ipv6(text: &[u8]) -> Option<Ipv6Addr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// An IPv4 address in one of its many spellings, or the name of a host that has one.
pub fn ipv4_host(text: &[u8], names: &mut dyn Resolve) -> Option<Ipv4Addr> {
    dotted_quad(text).or_else(|| inet_aton(text)).or_else(|| if may_be_name(text) { names.host(text) } else { None })
}

/// The C library does not look up what can only be meant as an address.
pub(super) fn may_be_name(host: &[u8]) -> bool {
    let is_number = host.iter().all(|&byte| byte.is_ascii_digit() || byte == b'.') && host.last() != Some(&b'.');
    !host.contains(&b':') && !is_number
}

/// What nearly every address is.
fn dotted_quad(text: &[u8]) -> Option<Ipv4Addr> {
    quad(text).filter(|(_, rest)| rest.is_empty()).map(|(host, _)| host)
}

/// Four decimal parts, none with a zero before it, and what follows them.
fn quad(text: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let (first, rest) = quad_part(text)?;
    let (second, rest) = quad_part(rest.strip_prefix(b".")?)?;
    let (third, rest) = quad_part(rest.strip_prefix(b".")?)?;
    let (fourth, rest) = quad_part(rest.strip_prefix(b".")?)?;
    Some((Ipv4Addr::new(first, second, third, fourth), rest))
}

/// A number to 255 of at most three digits, and what follows it. A zero is a number of its own.
#[inline]
fn quad_part(text: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |at: usize| text.get(at).map(|byte| u32::from(byte.wrapping_sub(b'0'))).filter(|digit| *digit <= 9);
    let first = digit(0)?;
    let (part, len) = match (digit(1), digit(2)) {
        (Some(second), Some(third)) if first > 0 => (first * 100 + second * 10 + third, 3),
        (Some(second), None) if first > 0 => (first * 10 + second, 2),
        _ => (first, 1),
    };
    Some((u8::try_from(part).ok()?, &text[len..]))
}

/// What C's `inet_aton` takes: one to four parts, decimal, octal or hexadecimal, the last one
/// filling what is left; white space ends the text.
fn inet_aton(text: &[u8]) -> Option<Ipv4Addr> {
    let mut rest = text;
    let mut address = 0;
    for bits_left in [32, 24, 16, 8] {
        let (part, after) = aton_part(rest)?;
        match after {
            [b'.', next @ ..] => {
                address |= u32::from(u8::try_from(part).ok()?) << (bits_left - 8);
                rest = next;
            }
            [] => return aton_end(address, part, bits_left),
            [byte, ..] if is_c_space(*byte) => return aton_end(address, part, bits_left),
            _ => return None,
        }
    }
    None
}

fn aton_end(address: u32, part: u32, bits_left: u32) -> Option<Ipv4Addr> {
    let fits = u64::from(part) < 1 << bits_left;
    fits.then_some(Ipv4Addr::from_bits(address | part))
}

/// A number, and what follows it.
fn aton_part(text: &[u8]) -> Option<(u32, &[u8])> {
    match text {
        [b'0', b'x' | b'X', digits @ ..] => digits_of::<16>(digits),
        [b'0', ..] => digits_of::<8>(text),
        _ => digits_of::<10>(text),
    }
}

fn digits_of<const RADIX: u32>(text: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0u32;
    let mut rest = text;
    while let [byte, after @ ..] = rest
        && let Some(digit) = char::from(*byte).to_digit(RADIX)
    {
        value = value.checked_mul(RADIX)?.checked_add(digit)?;
        rest = after;
    }
    (rest.len() < text.len()).then_some((value, rest))
}

/// The prefix length of an IPv6 service.
pub fn mask_v6(text: &[u8]) -> Option<u32> {
    u32::try_from(atoi(text)).ok().filter(|prefix| (1..=128).contains(prefix))
}

/// `master` or `backup`.
pub fn role(text: &[u8]) -> Option<DaemonRole> {
    match text {
        b"master" => Some(DaemonRole::Master),
        b"backup" => Some(DaemonRole::Backup),
        _ => None,
    }
}

/// The multicast group of a sync daemon.
///
/// # Errors
/// [`Usage::Group`] with the family that the text seems to be of.
pub fn group(text: &[u8]) -> Result<IpAddr, Usage> {
    let family = if text.contains(&b':') { "IPv6" } else { "IPv4" };
    let address = std::str::from_utf8(text).ok().and_then(|text| text.parse::<IpAddr>().ok());
    address.filter(IpAddr::is_multicast).ok_or_else(|| Usage::Group(family, text.to_owned()))
}

/// The names of all scheduler flags.
pub fn scheduler_flag_names() -> impl Iterator<Item = &'static str> {
    FLAG_NAMES.iter().map(|known| known.name)
}

/// So much of the names of scheduler flags is looked at, as in ipvsadm.
const LONGEST_FLAGS: usize = 127;

/// Names of scheduler flags with commas between them.
///
/// # Errors
/// [`Usage::Flag`] for the first that does not exist or is another scheduler's.
pub fn scheduler_flags(text: &[u8], scheduler: Option<&[u8]>) -> Result<SchedulerFlags, Usage> {
    if text.is_empty() {
        return Ok(SchedulerFlags::empty());
    }
    let text = &text[..text.len().min(LONGEST_FLAGS)];
    if text.iter().all(|&byte| byte == b',') {
        return Err(Usage::Flag("invalid", text.to_owned())); // where ipvsadm crashes
    }
    let mut flags = SchedulerFlags::empty();
    for name in text.split(|&byte| byte == b',').filter(|name| !name.is_empty()) {
        let Some(known) = FLAG_NAMES.iter().find(|known| known.name.as_bytes() == name) else {
            return Err(Usage::Flag("invalid", name.to_owned()));
        };
        if known.scheduler.is_some_and(|own| scheduler != Some(own.as_bytes())) {
            return Err(Usage::Flag("incompatible", name.to_owned()));
        }
        flags |= known.flag;
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::super::testing::FewNames;
    use super::*;

    fn message(text: &str) -> String {
        match address(text.as_bytes(), Some(Protocol::TCP), &mut FewNames) {
            None => "refused".to_owned(),
            Some((IpAddr::V4(ip), None)) => format!("{ip}"),
            Some((IpAddr::V6(ip), None)) => format!("[{ip}]"),
            Some((ip, Some(port))) => std::net::SocketAddr::new(ip, port).to_string(),
        }
    }

    /// As measured with the original.
    #[test]
    fn addresses() {
        for (text, is) in [
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.1: 80", "10.0.0.1:80"),
            ("10.0.0.1:+80", "10.0.0.1:80"),
            ("10.0.0.1:-0", "10.0.0.1:0"),
            ("10.0.0.1:080", "10.0.0.1:80"),
            ("10.0.0.1:65535", "10.0.0.1:65535"),
            ("10.0.0.1:http", "10.0.0.1:80"),
            ("10.0.0.1 junk:80", "10.0.0.1:80"),
            ("10.0.0.1\tx:80", "10.0.0.1:80"),
            ("10.0.0.1\u{b}x:80", "10.0.0.1:80"),
            ("10.0.0.1\n", "10.0.0.1"),
            ("1:80", "0.0.0.1:80"),
            ("1.2:80", "1.0.0.2:80"),
            ("1.2.65535:80", "1.2.255.255:80"),
            ("0x0a.1:80", "10.0.0.1:80"),
            ("010.1:80", "8.0.0.1:80"),
            ("4294967295:80", "255.255.255.255:80"),
            ("0xffffffff:80", "255.255.255.255:80"),
            ("0x1.0X2.0x3.0x4:http", "1.2.3.4:80"),
            ("00.00:80", "0.0.0.0:80"),
            ("0:0", "0.0.0.0:0"),
            ("localhost:80", "127.0.0.1:80"),
            ("localhost", "127.0.0.1"),
            ("2001:db8::1", "[2001:db8::1]"),
            ("2001:db8::1:80", "[2001:db8::1:80]"),
            ("::1:80", "[::1:80]"),
            ("::ffff:10.0.0.1", "[::ffff:10.0.0.1]"),
            ("[::1]:080", "[::1]:80"),
            ("[::1]:http", "[::1]:80"),
            ("[10.0.0.1]:81", "10.0.0.1"),
            ("[10.0.0.1]:bogus", "10.0.0.1"),
            ("[10.0.0.1]:", "10.0.0.1"),
            ("[10.0.0.1 junk]:80", "10.0.0.1"),
            ("[localhost]:80", "127.0.0.1"),
            ("[80]:80", "0.0.0.80"),
        ] {
            assert_eq!(message(text), is, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_address() {
        for text in [
            "",
            ":",
            ":80",
            "80",
            "0",
            "167772161",
            "10.0.0.1:",
            "10.0.0.1:65536",
            "10.0.0.1:0x50",
            "10.0.0.1:http x",
            "10.0.0.1:HTTP",
            "10.0.0.1x:80",
            "10.0.0.1%lo:80",
            " 10.0.0.1:80",
            "10.0.0.1:80:90",
            "912.168.0.1:80",
            "912.168.0.1",
            "1.2.3.256:80",
            "1.2.65536:80",
            "4294967296:80",
            "1.2.3.4.5:80",
            "1.2.3.4.:80",
            ".1.2.3:80",
            "1..2:80",
            "0x:80",
            "08.1:80",
            "+1.2.3.4:80",
            "-1.2.3.4:80",
            "[::1]",
            "[::1]:",
            "[::1]x:80",
            "[::1] :80",
            "[::1]:80:90",
            "[[::1]:80",
            "[10.0.0.1]",
            "[]:80",
            "[]",
            "[",
            "]",
            "a]b:80",
            "x[::1]:80",
            "fe80::1%lo",
            "[fe80::1%lo]:80",
            "2001:db8::1:http",
            "2001:db8::1:99999",
            "1:2:3:4:5:6:7:8:9",
            "nowhere:80",
        ] {
            assert_eq!(message(text), "refused", "{text:?}");
        }
        assert_eq!(address(b"\xff:80", Some(Protocol::TCP), &mut FewNames), None);
    }

    #[test]
    fn a_dotted_quad_is_what_inet_aton_makes_of_it() {
        let parts = ["0", "1", "9", "10", "99", "255", "256", "999", "1000", "", "01", "00", "0x1", "a", " 1", "+1"];
        for text in parts.iter().flat_map(|a| parts.iter().map(move |b| format!("{a}.{b}.{b}.{a}"))) {
            if let Some(quad) = dotted_quad(text.as_bytes()) {
                assert_eq!(inet_aton(text.as_bytes()), Some(quad), "{text}");
            }
        }
        assert_eq!(dotted_quad(b"192.0.2.1"), Some(Ipv4Addr::new(192, 0, 2, 1)));
        assert_eq!(dotted_quad(b"0.0.255.0"), Some(Ipv4Addr::new(0, 0, 255, 0)));
        for other in ["1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1.2.3.256", "1.2.3.04", "1.2.3.4 x", "1..2.3", ""] {
            assert_eq!(dotted_quad(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_ports_name_needs_its_protocol() {
        let port = |protocol| address(b"10.0.0.1:domain", protocol, &mut FewNames).and_then(|(_, port)| port);
        assert_eq!(port(Some(Protocol::UDP)), Some(53));
        assert_eq!(port(Some(Protocol::TCP)), None);
        assert_eq!(port(None), None);
    }

    /// The files of a resolver are not asked about what is an address gone wrong.
    #[test]
    fn addresses_gone_wrong_are_not_looked_up() {
        for host in ["912.168.0.1", "10.0.0.1:80", "", "1.2.3.4.5"] {
            assert!(!may_be_name(host.as_bytes()), "{host}");
        }
        assert!(may_be_name(b"3com") && may_be_name(b"1.2.3.4.") && may_be_name(b"web"));
    }

    #[test]
    fn numbers() {
        for (text, is) in [
            ("5", Some(5)),
            (" \t\n\u{b}5", Some(5)),
            ("+5", Some(5)),
            ("-0", Some(0)),
            ("010", Some(10)),
            ("", None),
            ("5 ", None),
            ("5x", None),
            ("0x5", None),
            ("-1", None),
            ("--1", None),
            ("+", None),
            (" ", None),
            ("4294967295", Some(u32::MAX)),
            ("4294967296", None),
            ("99999999999999999999999999", None),
        ] {
            assert_eq!(number(text.as_bytes(), 0..=u32::MAX), is, "{text:?}");
        }
        assert_eq!(number(b"7", 1..=6), None);
    }

    #[test]
    fn prefixes_wrap_around() {
        for (text, is) in [
            ("64", Some(64)),
            ("12x", Some(12)),
            (" +7", Some(7)),
            ("0", None),
            ("129", None),
            ("", None),
            ("4294967297", Some(1)),
            ("-4294967295", Some(1)),
            ("8589934593", Some(1)),
            ("9223372036854775809", None),
            ("-9223372036854775809", None),
            ("99999999999999999999999", None),
        ] {
            assert_eq!(mask_v6(text.as_bytes()), is, "{text:?}");
        }
    }

    #[test]
    fn flags_belong_to_schedulers() {
        let flags = |text: &str, scheduler: Option<&str>| {
            let flags = scheduler_flags(text.as_bytes(), scheduler.map(str::as_bytes));
            flags.map(|flags| flags.bits()).map_err(|usage| usage.to_string())
        };
        assert_eq!(flags("flag-1,flag-3", None), Ok(0x28));
        assert_eq!(flags(",sh-port,,sh-fallback,", Some("sh")), Ok(0x18));
        assert_eq!(flags("", None), Ok(0));
        assert_eq!(flags(",,", None), Err("invalid scheduler flag `,,'".to_owned()));
        assert_eq!(flags("mh-port,flag-3", Some("mh")), Ok(0x30));
        assert_eq!(flags("flag-1,sh-port", None), Err("incompatible scheduler flag `sh-port'".to_owned()));
        assert_eq!(flags("mh-port", Some("sh")), Err("incompatible scheduler flag `mh-port'".to_owned()));
        assert_eq!(flags(&format!("flag-1,{}flag-2", ",".repeat(114)), None), Ok(0x18));
        assert_eq!(
            flags(&format!("flag-1,{}flag-2", ",".repeat(115)), None),
            Err("invalid scheduler flag `flag-'".to_owned())
        );
        assert_eq!(flags(" flag-1", None), Err("invalid scheduler flag ` flag-1'".to_owned()));
        assert_eq!(flags("FLAG-1", None), Err("invalid scheduler flag `FLAG-1'".to_owned()));
    }

    #[test]
    fn groups_are_multicast() {
        for text in ["224.0.0.1", "239.255.255.255", "ff02::1"] {
            assert_eq!(group(text.as_bytes()).unwrap().to_string(), text);
        }
        for (text, family) in
            [("1.2.3.4", "IPv4"), ("224.1", "IPv4"), ("", "IPv4"), ("::1", "IPv6"), ("ff02::1%lo", "IPv6")]
        {
            assert_eq!(group(text.as_bytes()), Err(Usage::Group(family, text.as_bytes().to_owned())));
        }
    }
}
