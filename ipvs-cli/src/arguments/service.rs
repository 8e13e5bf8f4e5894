//! A service as a word of the command line.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;

use ipvs::{Command, ServiceKey};
use ipvs_text::ipvsadm::{Invocation, Words, with_parser};

use crate::arguments::network::Network;

/// A word that is not a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotAService(String);

impl fmt::Display for NotAService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NotAService(text) = self;
        write!(f, "'{text}' is not a service: write it as ")?;
        match text.parse::<SocketAddr>() {
            Ok(at) => write!(f, "tcp:{at} or udp:{at}, with its protocol"),
            Err(_) => f.write_str("tcp:192.0.2.1:80, udp:[2001:db8::1]:53, mark:10 or mark:10:ipv6"),
        }
    }
}

impl Error for NotAService {}

/// Services that an option selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// This one.
    Service(ServiceKey),
    /// Those with a virtual address in this network.
    Network(Network),
}

impl Selection {
    /// Reads a service, or an address or a network, either with a port.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        const FORMS: &str = "must be a service, such as tcp:192.0.2.1:80 or mark:10, or an address or a network, such as \
                             192.0.2.0/24";
        text.parse().map(Selection::Network).or_else(|_| parse(text).map(Selection::Service)).map_err(|_| FORMS)
    }

    /// Whether it selects this service.
    pub(crate) fn contains(&self, key: &ServiceKey) -> bool {
        match (self, key) {
            (Selection::Service(service), key) => service == key,
            (Selection::Network(network), ServiceKey::Address { at, .. }) => network.contains(*at),
            (Selection::Network(_), ServiceKey::Mark { .. }) => false,
        }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selection::Service(key) => f.write_str(&word(key)),
            Selection::Network(network) => network.fmt(f),
        }
    }
}

/// As [`ServiceKey`] reads it, with colons or spaces, or as a listing or a rule of ipvsadm has it.
pub(crate) fn parse(text: &str) -> Result<ServiceKey, NotAService> {
    text.parse().ok().or_else(|| as_shown(text)).ok_or_else(|| NotAService(text.to_owned()))
}

/// How a listing, a rule of ipvsadm and this program call the kinds of services, each with its
/// option.
const KINDS: [(&str, [&str; 3]); 4] = [
    ("-t", ["tcp", "-t", "--tcp-service"]),
    ("-u", ["udp", "-u", "--udp-service"]),
    ("--sctp-service", ["sctp", "sctp", "--sctp-service"]),
    ("-f", ["fwm", "-f", "--fwmark-service"]),
];

fn option_of(kind: &str) -> Option<&'static str> {
    let is_called = |names: &[&str; 3]| names.iter().any(|name| name.eq_ignore_ascii_case(kind));
    KINDS.iter().find(|(_, names)| is_called(names)).map(|(option, _)| *option)
}

/// `TCP  192.0.2.1:80`, `FWM  10 IPv6`, `-t web:http`: ipvsadm's own parser knows the rest, with
/// its names.
fn as_shown(text: &str) -> Option<ServiceKey> {
    let (kind, rest) = text.trim().split_once([' ', '\t', ':', '='])?;
    let mut words = vec!["-D", option_of(kind)?];
    words.extend(rest.split_whitespace().map(|word| if word.eq_ignore_ascii_case("ipv6") { "-6" } else { word }));
    let parsed = with_parser(|parser| parser.parse(&words.into_iter().collect::<Words>()));
    let Ok(Invocation::Change(Command::DeleteService(key))) = parsed else { return None };
    // An address alone is no service.
    let is_whole = !matches!(key, ServiceKey::Address { at, .. } if at.port() == 0);
    is_whole.then_some(key)
}

/// Makes one word of those that are a service together: `TCP 192.0.2.1:80`, `-f 10 -6`.
pub(crate) fn joined(arguments: &[OsString]) -> Vec<OsString> {
    let mut joined = Vec::with_capacity(arguments.len());
    let mut rest = arguments;
    while let [first, others @ ..] = rest {
        let service = first.to_str().filter(|kind| option_of(kind).is_some()).and_then(|kind| {
            // With `IPv6` behind a mark first.
            [2, 1].into_iter().find_map(|more| {
                let words: Option<Vec<&str>> = others.get(..more)?.iter().map(|word| word.to_str()).collect();
                let text = format!("{kind} {}", words?.join(" "));
                parse(&text).ok().map(|key| (word(&key), more))
            })
        });
        match service {
            Some((word, more)) => {
                joined.push(word.into());
                rest = &others[more..];
            }
            None => {
                joined.push(first.clone());
                rest = others;
            }
        }
    }
    joined
}

/// A real server: an address or a network, with or without a port, or the name of a host.
pub(crate) fn server(text: &str) -> Result<Network, &'static str> {
    let known = text.parse();
    let by_name = || {
        // Of the services' protocols, TCP has nearly all names of ports.
        let words = ["-d", "-f", "1", "-r", text];
        let parsed = with_parser(|parser| parser.parse(&words.into_iter().collect::<Words>()));
        let Ok(Invocation::Change(Command::DeleteDestination(_, at))) = parsed else { return None };
        let text = if at.port() == 0 { at.ip().to_string() } else { at.to_string() };
        text.parse().ok()
    };
    known.or_else(|error| by_name().ok_or(error))
}

/// The form without spaces.
pub(crate) fn word(key: &ServiceKey) -> String {
    key.to_string().replace(' ', ":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_may_be_colons() {
        for (text, is) in [
            ("tcp:192.0.2.1:80", "tcp 192.0.2.1:80"),
            ("udp:[2001:db8::1]:53", "udp [2001:db8::1]:53"),
            ("sctp 192.0.2.1:80", "sctp 192.0.2.1:80"),
            ("mark:10", "mark 10"),
            ("mark:10:ipv6", "mark 10 ipv6"),
            ("mark 10 ipv6", "mark 10 ipv6"),
            ("TCP  192.0.2.1:80", "tcp 192.0.2.1:80"),
            ("UDP  [2001:db8::1]:53", "udp [2001:db8::1]:53"),
            ("FWM  10 IPv6", "mark 10 ipv6"),
            ("FWM:10", "mark 10"),
            ("-t 192.0.2.1:80", "tcp 192.0.2.1:80"),
            ("--fwmark-service 10 -6", "mark 10 ipv6"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), is);
            assert_eq!(parse(&word(&is.parse().unwrap())).unwrap().to_string(), is);
        }
        for text in ["", "tcp", "192.0.2.1:80", "mark:", "mark:10:ipv5", "mark:10:ipv6:", "tcp:192.0.2.1"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("'{text}' is not a service: ")), "{error}");
        }
        let error = parse("192.0.2.1:80").unwrap_err().to_string();
        assert!(error.ends_with("write it as tcp:192.0.2.1:80 or udp:192.0.2.1:80, with its protocol"), "{error}");
    }

    #[test]
    fn words_of_a_screen_are_one_service() {
        for (line, is) in [
            ("show TCP 192.0.2.1:80", "show tcp:192.0.2.1:80"),
            ("drain -f 10 -6 192.0.2.11", "drain mark:10:ipv6 192.0.2.11"),
            ("weight FWM 10 192.0.2.11 5", "weight mark:10 192.0.2.11 5"),
            (
                "drain -u [2001:db8::1]:53 --timeout 5 2001:db8::11",
                "drain udp:[2001:db8::1]:53 --timeout 5 2001:db8::11",
            ),
            ("conns --protocol tcp --by client", "conns --protocol tcp --by client"),
            ("conns --protocol tcp", "conns --protocol tcp"),
            ("mark add 10 tcp:192.0.2.1:80", "mark add 10 tcp:192.0.2.1:80"),
        ] {
            let words: Vec<OsString> = line.split(' ').map(Into::into).collect();
            let joined: Vec<String> = joined(&words).into_iter().map(|word| word.into_string().unwrap()).collect();
            assert_eq!(joined.join(" "), is);
        }
    }

    #[test]
    fn a_server_is_an_address_or_a_network() {
        assert_eq!(server("192.0.2.0/24").unwrap().to_string(), "192.0.2.0/24");
        assert!(server("192.0.2.300").is_err());
    }
}
