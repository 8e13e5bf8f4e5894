//! Name look-ups by `getent`.
//!
//! An error means that there is no `getent`; a missing name is none. `getent` leaves out keys that
//! it does not find, so lines are matched by the address or port that they repeat.

use std::ffi::OsStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use super::{Name, parse_address, services, words};

/// The names of hosts.
pub(super) fn hosts(addresses: &[IpAddr]) -> io::Result<Vec<(IpAddr, Name)>> {
    let keys: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
    Ok(hosts_in(&answer(&["hosts"], &keys)?.text, addresses))
}

fn hosts_in(output: &[u8], asked: &[IpAddr]) -> Vec<(IpAddr, Name)> {
    let host = |line| {
        let mut words = words(line);
        let address = parse_address(words.next()?)?;
        // An IPv4-mapped address may come back as IPv4.
        let address = [address, mapped(address)].into_iter().find(|address| asked.contains(address))?;
        Some((address, words.next()?.into()))
    };
    output.split(|&byte| byte == b'\n').filter_map(host).collect()
}

fn mapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

/// The names of ports.
pub(super) fn ports(ports: &[u16], protocol: &str) -> io::Result<Vec<(u16, Name)>> {
    let keys: Vec<_> = ports.iter().map(|port| format!("{port}/{protocol}")).collect();
    let answer = answer(&["services"], &keys)?.text;
    let found = services(&answer).filter(|service| service.protocol == protocol);
    Ok(found.map(|service| (service.port, service.name.into())).collect())
}

/// The first IPv4 address of `gethostbyname`, which ipvsadm takes. Neither asks for IPv6: while DNS
/// is silent, that question alone takes as long as an unknown name.
pub(super) fn address(name: &[u8]) -> io::Result<Option<Ipv4Addr>> {
    if name.is_empty() {
        return Ok(None);
    }
    let answer = ask(&ALL, name)?;
    match (answer.status, &addresses(&answer.text)[..]) {
        (FOUND, [address]) => Ok(Some(*address)),
        // `ahostsv4` sorts by distance. `hosts` keeps the order, if the host has no IPv6 address.
        (FOUND, [nearest, ..]) => Ok(first(&ask(&["hosts"], name)?).or(Some(*nearest))),
        (FOUND | NOT_FOUND, _) => Ok(None),
        _ => address_of_older(name),
    }
}

/// All IPv4 addresses, also without a network, and without converting the name.
const ALL: [&str; 3] = ["--no-addrconfig", "--no-idn", "ahostsv4"];

/// Is this one of the IPv4 addresses of a host? An older `getent` does not know it.
pub(super) fn has_address(name: &[u8], address: Ipv4Addr) -> io::Result<bool> {
    Ok(!name.is_empty() && addresses(&ask(&ALL, name)?.text).contains(&address))
}

/// For an older `getent` without these options, whose `ahostsv4` finds nothing without a network.
fn address_of_older(name: &[u8]) -> io::Result<Option<Ipv4Addr>> {
    match first(&ask(&["ahostsv4"], name)?) {
        None => Ok(first(&ask(&["hosts"], name)?)),
        address => Ok(address),
    }
}

fn first(answer: &Answer) -> Option<Ipv4Addr> {
    addresses(&answer.text).first().copied()
}

/// Each once: `ahostsv4` has a line for each type of socket.
fn addresses(answer: &[u8]) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    for line in answer.split(|&byte| byte == b'\n') {
        match words(line).next().and_then(parse_address) {
            Some(IpAddr::V4(address)) if !found.contains(&address) => found.push(address),
            _ => {}
        }
    }
    found
}

/// The port of a service.
pub(super) fn port(name: &[u8], protocol: &str) -> io::Result<Option<u16>> {
    // getent takes what follows the first slash for the protocol.
    if name.is_empty() || name.contains(&b'/') {
        return Ok(None);
    }
    let key = [name, b"/", protocol.as_bytes()].concat();
    let answer = ask(&["services"], &key)?.text;
    // `getent` would take a number for a port.
    let mut found = services(&answer).filter(|service| service.protocol == protocol && service.is_called(name));
    Ok(found.next().map(|service| service.port))
}

/// The output of `getent`.
struct Answer {
    status: Option<i32>,
    text: Vec<u8>,
}

/// Its exit status when each key was found, and when one was not. Any other means that it did not
/// understand the question.
const FOUND: Option<i32> = Some(0);
const NOT_FOUND: Option<i32> = Some(2);

/// About one key, which comes from a user.
fn ask(database: &[&str], key: &[u8]) -> io::Result<Answer> {
    let key = OsStr::from_bytes(key);
    if key.as_bytes().starts_with(b"-") { answer(database, &[OsStr::new("--"), key]) } else { answer(database, &[key]) }
}

fn answer(database: &[&str], keys: &[impl AsRef<OsStr>]) -> io::Result<Answer> {
    let mut getent = Command::new("getent");
    // Our standard input may be a rules file: it is not to be read by another.
    getent.args(database).args(keys).stdin(Stdio::null()).stderr(Stdio::null());
    let output = getent.output()?;
    Ok(Answer { status: output.status.code(), text: output.stdout })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// As getent of glibc 2.36 answered to these, 8.8.8.8 and a mapped address between them.
    #[test]
    fn hosts_are_matched_by_their_address() {
        let asked = ["10.1.1.1", "8.8.8.8", "::1", "::ffff:1.2.3.4"].map(address);
        let answer = b"10.1.1.1        Upper.Case alias1\n::1             localhost localhost6\n1.2.3.4  mapped\n";
        let expected = [(asked[0], &b"Upper.Case"[..]), (asked[2], b"localhost"), (asked[3], b"mapped")];
        assert_eq!(hosts_in(answer, &asked), expected.map(|(address, name)| (address, Name::from(name))));
    }

    #[test]
    fn malformed_output_gives_no_names() {
        assert_eq!(hosts_in(b"\nxyz abc\n10.1.1.1\n10.1.1.2 other\n", &[address("10.1.1.1")]), []);
        assert_eq!(addresses(b""), [] as [Ipv4Addr; 0]);
        let answer = b"127.0.0.2       STREAM localhost\n127.0.0.2 DGRAM\n::1 RAW\nx\n127.0.0.1 STREAM\n";
        assert_eq!(addresses(answer), [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::LOCALHOST]);
    }

    #[test]
    fn names_that_getent_would_misunderstand_are_not_asked_for() {
        assert_eq!(port(b"", "tcp").unwrap(), None);
        assert_eq!(port(b"http/tcp", "tcp").unwrap(), None);
        assert_eq!(super::address(b"").unwrap(), None);
    }
}
