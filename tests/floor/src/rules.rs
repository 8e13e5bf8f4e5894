//! The few kinds of line that the floor understands, as ipvsadm spells them.

use std::net::SocketAddrV4;

/// A change of the kernel's table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change<'a> {
    /// `-A -t ADDRESS -s SCHEDULER`
    AddService { service: SocketAddrV4, scheduler: &'a str },
    /// `-a -t ADDRESS -r ADDRESS -m -w WEIGHT`
    AddDestination(Destination),
    /// `-e -t ADDRESS -r ADDRESS -m -w WEIGHT`
    EditDestination(Destination),
}

/// A masqueraded destination and the service it belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) service: SocketAddrV4,
    pub(crate) address: SocketAddrV4,
    pub(crate) weight: u32,
}

/// Not one of the floor's lines.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Error {
    #[error("the floor does not know `{0}'")]
    Line(String),
    #[error("`{0}' is no IPv4 address with a port")]
    Address(String),
    #[error("`{0}' is no weight")]
    Weight(String),
}

/// Reads one line.
pub(crate) fn parse(line: &str) -> Result<Change<'_>, Error> {
    let mut words = line.split_ascii_whitespace();
    let mut next = || words.next().unwrap_or_default();
    let unknown = || Error::Line(line.to_owned());
    match (next(), next(), next(), next(), next()) {
        ("-A", "-t", service, "-s", scheduler) if next().is_empty() => {
            Ok(Change::AddService { service: address(service)?, scheduler })
        }
        (verb @ ("-a" | "-e"), "-t", service, "-r", server) => {
            let ("-m", "-w", weight, "") = (next(), next(), next(), next()) else { return Err(unknown()) };
            let weight = weight.parse().map_err(|_| Error::Weight(weight.to_owned()))?;
            let destination = Destination { service: address(service)?, address: address(server)?, weight };
            let add = verb == "-a";
            Ok(if add { Change::AddDestination(destination) } else { Change::EditDestination(destination) })
        }
        _ => Err(unknown()),
    }
}

fn address(word: &str) -> Result<SocketAddrV4, Error> {
    word.parse().map_err(|_| Error::Address(word.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_lines() {
        let service = "10.0.0.1:80".parse().unwrap();
        assert_eq!(parse("-A -t 10.0.0.1:80 -s rr"), Ok(Change::AddService { service, scheduler: "rr" }));
        let destination = || Destination { service, address: "192.168.0.1:8080".parse().unwrap(), weight: 7 };
        let rest = "-t 10.0.0.1:80 -r 192.168.0.1:8080 -m -w 7";
        assert_eq!(parse(&format!("-a {rest}")), Ok(Change::AddDestination(destination())));
        assert_eq!(parse(&format!("-e {rest}")), Ok(Change::EditDestination(destination())));
    }

    #[test]
    fn anything_else_is_refused() {
        let lines =
            ["", "-A -u 10.0.0.1:53 -s rr", "-A -t 10.0.0.1:80 -s rr -p", "-a -t 10.0.0.1:80 -r 192.168.0.1:80 -g"];
        for line in lines {
            assert_eq!(parse(line), Err(Error::Line(line.into())));
        }
        assert_eq!(parse("-A -t ::1 -s rr"), Err(Error::Address("::1".into())));
        let weight = "-a -t 10.0.0.1:80 -r 192.168.0.1:80 -m -w -1";
        assert_eq!(parse(weight), Err(Error::Weight("-1".into())));
    }
}
