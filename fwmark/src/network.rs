//! Where packets go or come from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipvs::Family;

use crate::error::InvalidValue;

/// An address with a prefix length: one host, a network, or everything of a family.
///
/// The bits behind the prefix are always 0, as iptables keeps them. A host prints without its prefix.
///
/// ```
/// use fwmark::Network;
/// assert_eq!("192.0.2.77/24".parse::<Network>()?.to_string(), "192.0.2.0/24");
/// assert_eq!("192.0.2.0/255.255.255.0".parse::<Network>()?.prefix(), 24);
/// assert_eq!("2001:db8::1/128".parse::<Network>()?.to_string(), "2001:db8::1");
/// # Ok::<(), fwmark::InvalidValue>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The network of this address and prefix length.
    ///
    /// # Errors
    /// [`InvalidValue`] if the prefix is longer than the address: 32 bits in IPv4, 128 in IPv6.
    ///
    /// ```
    /// use fwmark::Network;
    /// assert!(Network::new("192.0.2.1".parse().unwrap(), 33).is_err());
    /// ```
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, InvalidValue> {
        if prefix > Network::from(address).prefix {
            return Err(InvalidValue::new("a prefix length", prefix.to_string(), "0 to 32 in IPv4, 0 to 128 in IPv6"));
        }
        Ok(Network { address: masked(address, prefix), prefix })
    }

    /// Everything of a family.
    ///
    /// ```
    /// use fwmark::{Family, Network};
    /// assert_eq!(Network::any(Family::V4).to_string(), "0.0.0.0/0");
    /// ```
    pub const fn any(family: Family) -> Self {
        let address = match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        Network { address, prefix: 0 }
    }

    /// Is it everything of its family?
    ///
    /// ```
    /// assert!("::/0".parse::<fwmark::Network>()?.is_any());
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn is_any(self) -> bool {
        self.prefix == 0
    }

    /// Its first address.
    ///
    /// ```
    /// assert_eq!("192.0.2.7/24".parse::<fwmark::Network>()?.address().to_string(), "192.0.2.0");
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// Its last address.
    ///
    /// ```
    /// assert_eq!("192.0.2.7/24".parse::<fwmark::Network>()?.last().to_string(), "192.0.2.255");
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub fn last(self) -> IpAddr {
        match self.address {
            IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() | !v4_mask(self.prefix)).into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() | !v6_mask(self.prefix)).into(),
        }
    }

    /// Its prefix length in bits.
    ///
    /// ```
    /// assert_eq!("192.0.2.1".parse::<fwmark::Network>()?.prefix(), 32);
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// The family of its address.
    ///
    /// ```
    /// use fwmark::{Family, Network};
    /// assert_eq!("192.0.2.1".parse::<Network>()?.family(), Family::V4);
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn family(self) -> Family {
        match self.address {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }

    /// Is the address in it?
    ///
    /// ```
    /// let network: fwmark::Network = "192.0.2.0/24".parse()?;
    /// assert!(network.contains("192.0.2.200".parse().unwrap()));
    /// assert!(!network.contains("::1".parse().unwrap()));
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub fn contains(self, address: IpAddr) -> bool {
        // An address of the other family stays one of the other family, so it is never equal.
        masked(address, self.prefix) == self.address
    }
}

/// The host alone.
impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        Network { address, prefix }
    }
}

impl FromStr for Network {
    type Err = InvalidValue;

    /// Reads `ADDRESS`, `ADDRESS/PREFIX` or, in IPv4, `ADDRESS/255.255.0.0`. Host names are refused: what they stand for
    /// may change behind the rule's back.
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let refuse = || InvalidValue::new("an address", text, "an IPv4 or IPv6 address, with /PREFIX for a network");
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| refuse())?;
        match prefix {
            None => Ok(address.into()),
            Some(prefix) => Network::new(address, parse_prefix(address, prefix).ok_or_else(refuse)?),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Network::from(self.address) {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{}/{}", self.address, self.prefix)
        }
    }
}

/// A length in digits or, for IPv4, a mask whose ones all come first.
fn parse_prefix(address: IpAddr, text: &str) -> Option<u8> {
    if let (IpAddr::V4(_), Ok(mask)) = (address, text.parse::<Ipv4Addr>()) {
        let bits = mask.to_bits();
        return (bits.leading_ones() == bits.count_ones()).then_some(bits.leading_ones() as u8);
    }
    // `parse` alone would take a sign.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & v4_mask(prefix)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & v6_mask(prefix)).into(),
    }
}

// A shift by the whole width is no shift in Rust, hence `checked_shl`.

fn v4_mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0)
}

fn v6_mask(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128_u32.saturating_sub(prefix.into())).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_go_to_both_ends() {
        let network = |text: &str| text.parse::<Network>().unwrap().to_string();
        assert_eq!(network("192.0.2.1/0"), "0.0.0.0/0");
        assert_eq!(network("192.0.2.1/0.0.0.0"), "0.0.0.0/0");
        assert_eq!(network("192.0.2.1/32"), "192.0.2.1");
        assert_eq!(network("ffff::1/1"), "8000::/1");
        assert_eq!(network("::1/0"), "::/0");
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/",
            "shop.example",
            "$vip",
            "912.168.0.1",
            "192.0.2.1/",
            "192.0.2.1/33",
            "192.0.2.1/+8",
            "192.0.2.1/255.0.255.0",
            "::1/129",
            "::1/255.0.0.0",
            "192.0.2.1,192.0.2.2",
            "192.0.2.1/24/24",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text:?}");
        }
    }
}
