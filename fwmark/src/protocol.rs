//! Protocols with ports.

use std::fmt;
use std::str::FromStr;

use ipvs::InvalidValue;

/// A transport protocol that has ports and that IPVS balances.
///
/// `ipvs::Protocol` is any number, as a service of the kernel may have; it converts by `TryFrom`.
///
/// ```
/// use fwmark::Protocol;
/// assert_eq!("tcp".parse(), Ok(Protocol::Tcp));
/// assert_eq!("132".parse(), Ok(Protocol::Sctp));
/// assert_eq!(Protocol::Udp.to_string(), "udp");
/// assert_eq!(Protocol::try_from(ipvs::Protocol::UDP), Ok(Protocol::Udp));
/// assert_eq!(ipvs::Protocol::from(Protocol::Tcp), ipvs::Protocol::TCP);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP, number 6.
    Tcp = 6,
    /// UDP, number 17.
    Udp = 17,
    /// SCTP, number 132.
    Sctp = 132,
}

impl Protocol {
    /// Its number in a packet.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter().find(|protocol| protocol.number() == number)
    }
}

impl From<Protocol> for ipvs::Protocol {
    fn from(protocol: Protocol) -> Self {
        ipvs::Protocol::from_number(protocol.number().into())
    }
}

/// Fails for a protocol without ports.
impl TryFrom<ipvs::Protocol> for Protocol {
    type Error = InvalidValue;

    fn try_from(protocol: ipvs::Protocol) -> Result<Self, InvalidValue> {
        let known = protocol.number().try_into().ok().and_then(Self::from_number);
        known.ok_or_else(|| InvalidValue::new("protocol", protocol.to_string(), "tcp, udp or sctp"))
    }
}

impl FromStr for Protocol {
    type Err = InvalidValue;

    /// Reads a name or a number.
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let protocol = text.parse::<ipvs::Protocol>().and_then(Self::try_from);
        protocol.map_err(|_| InvalidValue::new("protocol", text, "tcp, udp or sctp"))
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ipvs::Protocol::from(*self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_without_ports_are_refused() {
        for bad in ["", "icmp", "all", "0", "51", "65542"] {
            assert!(bad.parse::<Protocol>().is_err(), "{bad:?}");
        }
    }
}
