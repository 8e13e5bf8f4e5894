//! Where packets go or come from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use ipvs::{Family, InvalidValue};

/// An address with a prefix length: one host, a network, or all addresses of a family.
///
/// It is an [`IpNet`] whose bits after the prefix are 0, as iptables keeps them. A host prints
/// without its prefix.
///
/// ```
/// use fwmark::Network;
/// assert_eq!("192.0.2.77/24".parse::<Network>()?.to_string(), "192.0.2.0/24");
/// assert_eq!("192.0.2.0/255.255.255.0".parse::<Network>()?.prefix(), 24);
/// assert_eq!("2001:db8::1/128".parse::<Network>()?.to_string(), "2001:db8::1");
/// # Ok::<(), fwmark::InvalidValue>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(IpNet);

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
        let allowed = "0 to 32 in IPv4, 0 to 128 in IPv6";
        let network = IpNet::new(address, prefix);
        network.map(Self::from).map_err(|_| InvalidValue::new("prefix length", prefix.to_string(), allowed))
    }

    /// All addresses of a family.
    ///
    /// ```
    /// use fwmark::{Family, Network};
    /// assert_eq!(Network::any(Family::V4).to_string(), "0.0.0.0/0");
    /// ```
    pub const fn any(family: Family) -> Self {
        Network(match family {
            Family::V4 => IpNet::new_assert(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            Family::V6 => IpNet::new_assert(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
        })
    }

    /// Is it all addresses of its family?
    ///
    /// ```
    /// assert!("::/0".parse::<fwmark::Network>()?.is_any());
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub fn is_any(self) -> bool {
        self.prefix() == 0
    }

    /// Is it one address?
    ///
    /// ```
    /// assert!("192.0.2.1".parse::<fwmark::Network>()?.is_host());
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub fn is_host(self) -> bool {
        self.prefix() == self.0.max_prefix_len()
    }

    /// Its first address.
    ///
    /// ```
    /// assert_eq!("192.0.2.7/24".parse::<fwmark::Network>()?.address().to_string(), "192.0.2.0");
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub fn address(self) -> IpAddr {
        self.0.addr()
    }

    /// Its last address.
    ///
    /// ```
    /// assert_eq!("192.0.2.7/24".parse::<fwmark::Network>()?.last().to_string(), "192.0.2.255");
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub fn last(self) -> IpAddr {
        self.0.broadcast()
    }

    /// Its prefix length in bits.
    ///
    /// ```
    /// assert_eq!("192.0.2.1".parse::<fwmark::Network>()?.prefix(), 32);
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub fn prefix(self) -> u8 {
        self.0.prefix_len()
    }

    /// The family of its address.
    ///
    /// ```
    /// use fwmark::{Family, Network};
    /// assert_eq!("192.0.2.1".parse::<Network>()?.family(), Family::V4);
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub fn family(self) -> Family {
        Family::of(self.address())
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
        self.0.contains(&address)
    }

    /// Is there an address in both?
    ///
    /// ```
    /// use fwmark::Network;
    /// let [wide, narrow, other] = ["192.0.2.0/24", "192.0.2.128/25", "192.0.3.0/24"]
    ///     .map(|text| text.parse::<Network>().unwrap());
    /// assert!(wide.overlaps(narrow) && narrow.overlaps(wide) && !wide.overlaps(other));
    /// ```
    pub fn overlaps(self, other: Network) -> bool {
        self.0.contains(&other.0) || other.0.contains(&self.0)
    }
}

/// The host alone.
impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Network(address.into())
    }
}

/// The network that the address is in.
impl From<IpNet> for Network {
    fn from(network: IpNet) -> Self {
        Network(network.trunc())
    }
}

impl From<Network> for IpNet {
    fn from(network: Network) -> Self {
        network.0
    }
}

impl FromStr for Network {
    type Err = InvalidValue;

    /// Reads `ADDRESS`, `ADDRESS/PREFIX` or, in IPv4, `ADDRESS/255.255.0.0`. Host names are
    /// refused: what they stand for can change after the rule was made.
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let allowed = "an IPv4 or IPv6 address, with /PREFIX for a network";
        read(text).map(Network::from).ok_or_else(|| InvalidValue::new("address", text, allowed))
    }
}

fn read(text: &str) -> Option<IpNet> {
    let Some((address, mask)) = text.split_once('/') else { return text.parse().ok().map(IpAddr::into) };
    // The parser of `ipnet` takes more than that of the standard library, such as leading zeros.
    match (address.parse().ok()?, mask.parse()) {
        (IpAddr::V4(address), Ok(mask)) => Ipv4Net::with_netmask(address, mask).ok().map(IpNet::from),
        _ => text.parse().ok(),
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_host() { self.address().fmt(f) } else { self.0.fmt(f) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_reach_from_none_to_all_bits() {
        let network = |text: &str| text.parse::<Network>().unwrap().to_string();
        assert_eq!(network("192.0.2.1/0"), "0.0.0.0/0");
        assert_eq!(network("192.0.2.1/0.0.0.0"), "0.0.0.0/0");
        assert_eq!(network("192.0.2.1/32"), "192.0.2.1");
        assert_eq!(network("ffff::1/1"), "8000::/1");
        assert_eq!(network("::1/0"), "::/0");
    }

    #[test]
    fn other_texts_are_refused() {
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
