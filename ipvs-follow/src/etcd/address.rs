//! `etcd://HOST:PORT,HOST:PORT/PREFIX`: where a fleet's state is.

use std::fmt;
use std::str::FromStr;

use ureq::http::uri::Authority;

const PORT: u16 = 2379;

/// The members of a cluster, and the prefix of a fleet's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) is_encrypted: bool,
    /// `HOST:PORT`.
    pub(crate) endpoints: Vec<String>,
    /// With a slash in front, and none behind.
    pub(crate) prefix: String,
}

impl Address {
    /// Does the text name etcd at all? Otherwise it is a path.
    pub(crate) fn is_meant(text: &str) -> bool {
        ["etcd://", "etcds://"].iter().any(|scheme| text.starts_with(scheme))
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "must be etcd://HOST:PORT,HOST:PORT/PREFIX, or etcds://… for TLS";
        let (scheme, rest) = text.split_once("://").ok_or(EXPECTED)?;
        let is_encrypted = match scheme {
            "etcd" => false,
            "etcds" => true,
            _ => return Err(EXPECTED.to_owned()),
        };
        let (hosts, prefix) =
            rest.split_once('/').ok_or("must have a PREFIX after the endpoints, such as /ipvs/shop")?;
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        if !prefix.split('/').all(|part| !part.is_empty() && part.chars().all(is_plain)) {
            return Err(
                "PREFIX must be words of letters, digits, '.', '_' and '-', with a slash between them".to_owned()
            );
        }
        let endpoints = hosts.split(',').map(endpoint).collect::<Result<_, _>>()?;
        Ok(Address { is_encrypted, endpoints, prefix: format!("/{prefix}") })
    }
}

fn endpoint(text: &str) -> Result<String, String> {
    let wrong = || format!("'{text}' must be an endpoint, such as lb1:2379 or [2001:db8::1]:2379");
    let authority: Authority = text.parse().map_err(|_| wrong())?;
    let host = authority.host();
    // Without a user in front.
    let port = text.strip_prefix(host).filter(|_| !host.is_empty()).ok_or_else(wrong)?;
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().map_err(|_| wrong())?,
        None => PORT,
    };
    Ok(format!("{host}:{port}"))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_encrypted { "etcds" } else { "etcd" };
        write!(f, "{scheme}://{}{}", self.endpoints.join(","), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_endpoints_and_a_prefix() {
        let address: Address = "etcds://lb1,192.0.2.2:4001,[2001:db8::1]/ipvs/shop/".parse().unwrap();
        assert_eq!(address.endpoints, ["lb1:2379", "192.0.2.2:4001", "[2001:db8::1]:2379"]);
        assert_eq!((address.prefix.as_str(), address.is_encrypted), ("/ipvs/shop", true));
        assert_eq!(address.to_string().parse(), Ok(address));
        for wrong in [
            "etcd://lb1",
            "etcd://lb1/",
            "etcd:///ipvs",
            "etcd://lb1,/ipvs",
            "http://lb1/ipvs",
            "etcd://lb1/a//b",
            "etcd://lb1/a b",
            "etcd://me:secret@lb1/ipvs",
            "etcd://lb1:99999/ipvs",
            "etcd://lb1:x/ipvs",
            "/etc/ipvs",
        ] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}
