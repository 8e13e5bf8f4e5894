//! Addresses and networks, with or without a port.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Addresses, with one port or any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    /// The number of bits that count.
    prefix: u8,
    port: Option<u16>,
}

const FORMS: &str = "must be an address, a network, or either with a port: 192.0.2.1, 192.0.2.0/24, 192.0.2.1:80, 2001:db8::1, \
                     [2001:db8::/32]:443";

impl Network {
    pub(crate) fn contains(&self, at: SocketAddr) -> bool {
        self.port.is_none_or(|port| port == at.port()) && self.has(at.ip())
    }

    /// Whether it contains this address, with any port.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.checked_shr(32 - u32::from(self.prefix)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.checked_shr(128 - u32::from(self.prefix)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }

    /// If its last group may have been meant as a port: how that is written.
    pub(crate) fn other_reading(&self) -> Option<String> {
        let (IpAddr::V6(_), 128, None) = (self.address, self.prefix, self.port) else { return None };
        let text = self.address.to_string();
        let (address, port) = text.rsplit_once(':')?;
        let is_other = address.parse::<Ipv6Addr>().is_ok() && port.parse::<u16>().is_ok();
        is_other.then(|| format!("[{address}]:{port}"))
    }

    /// Without a port.
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(longest);
        (prefix <= longest).then_some(Network { address, prefix, port: None })
    }

    fn parse_with_port(text: &str) -> Option<Self> {
        if let Some(bare) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return Self::parse(bare).filter(|network| network.address.is_ipv6());
        }
        let (place, port) = text.rsplit_once(':')?;
        let bare = place.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let network = Self::parse(bare.unwrap_or(place))?;
        // Without brackets it could be part of the address.
        let is_clear = network.address.is_ipv4() == bare.is_none();
        is_clear.then_some(Network { port: Some(port.parse().ok()?), ..network })
    }
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).or_else(|| Self::parse_with_port(text)).ok_or(FORMS)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = if self.address.is_ipv4() { 32 } else { 128 };
        let prefix = if self.prefix == longest { String::new() } else { format!("/{}", self.prefix) };
        match (self.address, self.port) {
            (address, None) => write!(f, "{address}{prefix}"),
            (IpAddr::V4(address), Some(port)) => write!(f, "{address}{prefix}:{port}"),
            (IpAddr::V6(address), Some(port)) => write!(f, "[{address}{prefix}]:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_and_what_is_not() {
        for (network, inside, outside) in [
            ("192.0.2.1", "192.0.2.1:5", "192.0.2.2:5"),
            ("192.0.2.1:80", "192.0.2.1:80", "192.0.2.1:81"),
            ("192.0.2.0/24", "192.0.2.255:1", "192.0.3.0:1"),
            ("192.0.2.77/24:80", "192.0.2.1:80", "192.0.2.1:8080"),
            ("0.0.0.0/0", "255.255.255.255:1", "[::]:1"),
            ("2001:db8::1", "[2001:db8::1]:9", "[2001:db8::2]:9"),
            ("2001:db8::/32", "[2001:db8:ffff::1]:9", "[2001:db9::1]:9"),
            ("[2001:db8::/32]:443", "[2001:db8::7]:443", "[2001:db8::7]:80"),
            ("::/0", "[ffff::]:1", "192.0.2.1:1"),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert_eq!(parsed.to_string(), network);
            assert!(parsed.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!parsed.contains(outside.parse().unwrap()), "{network} {outside}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "x", "192.0.2.1/33", "192.0.2.1:65536", "[192.0.2.1]:80", "[192.0.2.1]", "::1/129", "tcp:192.0.2.1:80"]
        {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
        // An address, not one with a port.
        let network: Network = "2001:db8::1:80".parse().unwrap();
        assert_eq!(network.port, None);
        assert_eq!(network.other_reading().unwrap(), "[2001:db8::1]:80");
        for text in ["2001:db8::1:ab", "[2001:db8::1]:80", "192.0.2.1", "2001:db8::/32", "::1"] {
            assert_eq!(text.parse::<Network>().unwrap().other_reading(), None, "{text}");
        }
        assert_eq!("[2001:db8::5]".parse(), "2001:db8::5".parse::<Network>());
    }
}
