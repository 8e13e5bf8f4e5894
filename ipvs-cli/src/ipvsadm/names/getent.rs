//! The system's own answers, through `getent`.
//!
//! An error means that there is no `getent`; a question without answer is none. Keys that `getent` does not find it
//! leaves out, so its answers are told apart by the address or port that they repeat.

use std::ffi::OsStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use super::{Name, parse_address, services, words};

/// The names of hosts.
pub(super) fn hosts(addresses: &[IpAddr]) -> io::Result<Vec<(IpAddr, Name)>> {
    let keys: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
    Ok(hosts_in(&answer(&["hosts"], &keys)?, addresses))
}

fn hosts_in(answer: &[u8], asked: &[IpAddr]) -> Vec<(IpAddr, Name)> {
    let host = |line| {
        let mut words = words(line);
        let address = parse_address(words.next()?)?;
        // An IPv4 address that is written as one of IPv6 may be answered as what it is.
        let address = [address, mapped(address)].into_iter().find(|address| asked.contains(address))?;
        Some((address, words.next()?.into()))
    };
    answer.split(|&byte| byte == b'\n').filter_map(host).collect()
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
    let answer = answer(&["services"], &keys)?;
    let found = services(&answer).filter(|service| service.protocol == protocol);
    Ok(found.map(|service| (service.port, service.name.into())).collect())
}

/// The first IPv4 address of a host.
pub(super) fn address(name: &[u8]) -> io::Result<Option<Ipv4Addr>> {
    if name.is_empty() {
        return Ok(None);
    }
    match first_address(&ask(&["hosts"], name)?) {
        None => Ok(None),
        Some(IpAddr::V4(address)) => Ok(Some(address)),
        // A host that has addresses of IPv6 is answered with these alone.
        Some(IpAddr::V6(_)) => address_beside_ipv6(name),
    }
}

/// `ahostsv4` does not answer where no network is up, unless told to by an option that older ones don't have.
fn address_beside_ipv6(name: &[u8]) -> io::Result<Option<Ipv4Addr>> {
    for database in [&["-A", "ahostsv4"][..], &["ahostsv4"]] {
        if let Some(IpAddr::V4(address)) = first_address(&ask(database, name)?) {
            return Ok(Some(address));
        }
    }
    Ok(None)
}

fn first_address(answer: &[u8]) -> Option<IpAddr> {
    words(answer).next().and_then(parse_address)
}

/// The port of a service.
pub(super) fn port(name: &[u8], protocol: &str) -> io::Result<Option<u16>> {
    // getent takes what follows the first slash for the protocol.
    if name.is_empty() || name.contains(&b'/') {
        return Ok(None);
    }
    let key = [name, b"/", protocol.as_bytes()].concat();
    let answer = ask(&["services"], &key)?;
    // It takes a number for a port, and answers with that port's name.
    let mut found = services(&answer).filter(|service| service.protocol == protocol && service.is_called(name));
    Ok(found.next().map(|service| service.port))
}

/// What `getent` says about one key, which comes from a user.
fn ask(database: &[&str], key: &[u8]) -> io::Result<Vec<u8>> {
    let key = OsStr::from_bytes(key);
    if key.as_bytes().starts_with(b"-") { answer(database, &[OsStr::new("--"), key]) } else { answer(database, &[key]) }
}

fn answer(database: &[&str], keys: &[impl AsRef<OsStr>]) -> io::Result<Vec<u8>> {
    let mut getent = Command::new("getent");
    // Our standard input may be a rules file: it is not to be read by another.
    getent.args(database).args(keys).stdin(Stdio::null()).stderr(Stdio::null());
    Ok(getent.output()?.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// As getent of glibc 2.36 answered to these, 8.8.8.8 and a mapped address between them.
    #[test]
    fn answers_are_told_apart_by_their_address() {
        let asked = ["10.1.1.1", "8.8.8.8", "::1", "::ffff:1.2.3.4"].map(address);
        let answer = b"10.1.1.1        Upper.Case alias1\n::1             localhost localhost6\n1.2.3.4  mapped\n";
        let expected = [(asked[0], &b"Upper.Case"[..]), (asked[2], b"localhost"), (asked[3], b"mapped")];
        assert_eq!(hosts_in(answer, &asked), expected.map(|(address, name)| (address, Name::from(name))));
    }

    #[test]
    fn strange_answers_are_no_names() {
        assert_eq!(hosts_in(b"\nxyz abc\n10.1.1.1\n10.1.1.2 other\n", &[address("10.1.1.1")]), []);
        assert_eq!(first_address(b""), None);
        assert_eq!(first_address(b"127.0.0.1       STREAM localhost\n"), Some(address("127.0.0.1")));
    }

    #[test]
    fn names_that_getent_would_misunderstand_are_not_asked_for() {
        assert_eq!(port(b"", "tcp").unwrap(), None);
        assert_eq!(port(b"http/tcp", "tcp").unwrap(), None);
        assert_eq!(super::address(b"").unwrap(), None);
    }
}
