//! A service as a word of the command line.

use std::error::Error;
use std::fmt;

use ipvs::ServiceKey;

use crate::arguments::network::Network;

/// A word that is not a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotAService(String);

impl fmt::Display for NotAService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is not a service: write it as tcp:192.0.2.1:80, udp:[2001:db8::1]:53, mark:10 or mark:10:ipv6",
            self.0
        )
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

/// As [`ServiceKey`] reads it: with colons it needs no quotes.
pub(crate) fn parse(text: &str) -> Result<ServiceKey, NotAService> {
    text.parse().map_err(|_| NotAService(text.to_owned()))
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
        ] {
            assert_eq!(parse(text).unwrap().to_string(), is);
            assert_eq!(parse(&word(&is.parse().unwrap())).unwrap().to_string(), is);
        }
        for text in ["", "tcp", "192.0.2.1:80", "mark:", "mark:10:ipv5", "mark:10:ipv6:", "tcp:192.0.2.1"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("'{text}' is not a service: ")), "{error}");
        }
    }
}
