//! A rule: which packets get which mark.

use std::fmt;
use std::str::FromStr;

use ipvs::Family;

use crate::error::InvalidValue;
use crate::mark::SetMark;
use crate::network::Network;
use crate::ports::Ports;

/// A transport protocol that has ports and that IPVS balances.
///
/// ```
/// use fwmark::Protocol;
/// assert_eq!("tcp".parse(), Ok(Protocol::Tcp));
/// assert_eq!("132".parse(), Ok(Protocol::Sctp));
/// assert_eq!(Protocol::Udp.to_string(), "udp");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP, number 6.
    Tcp,
    /// UDP, number 17.
    Udp,
    /// SCTP, number 132.
    Sctp,
}

impl Protocol {
    const ALL: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

    /// Its number in a packet.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }

    pub(crate) fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.number() == number)
    }
}

/// ```
/// assert_eq!(ipvs::Protocol::from(fwmark::Protocol::Tcp), ipvs::Protocol::TCP);
/// ```
impl From<Protocol> for ipvs::Protocol {
    fn from(protocol: Protocol) -> Self {
        ipvs::Protocol::from_number(protocol.number().into())
    }
}

/// Fails for a protocol without ports.
///
/// ```
/// use fwmark::Protocol;
/// assert_eq!(Protocol::try_from(ipvs::Protocol::UDP), Ok(Protocol::Udp));
/// assert!(Protocol::try_from(ipvs::Protocol::from_number(51)).is_err());
/// ```
impl TryFrom<ipvs::Protocol> for Protocol {
    type Error = InvalidValue;

    fn try_from(protocol: ipvs::Protocol) -> Result<Self, InvalidValue> {
        protocol.to_string().parse()
    }
}

impl FromStr for Protocol {
    type Err = InvalidValue;

    /// Reads a name or a number.
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text {
            "tcp" | "6" => Ok(Protocol::Tcp),
            "udp" | "17" => Ok(Protocol::Udp),
            "sctp" | "132" => Ok(Protocol::Sctp),
            _ => Err(InvalidValue::new("a protocol with ports", text, "tcp, udp or sctp")),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        })
    }
}

/// The name of a network interface, or with a `+` at its end all whose names begin so.
///
/// 1 to 15 letters, digits and any of `.-_@:+`. The kernel takes nearly every character; those that mean something to a
/// shell are refused, because a rule may end in one.
///
/// ```
/// use fwmark::InterfaceName;
/// assert_eq!("eth0".parse::<InterfaceName>()?.as_str(), "eth0");
/// assert!("eth0;reboot".parse::<InterfaceName>().is_err());
/// # Ok::<(), fwmark::InvalidValue>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// The name.
    ///
    /// ```
    /// assert_eq!("br-lan".parse::<fwmark::InterfaceName>()?.as_str(), "br-lan");
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InterfaceName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b".-_@:+".contains(&byte);
        if (1..=15).contains(&text.len()) && text.bytes().all(harmless) {
            return Ok(InterfaceName(text.to_owned()));
        }
        Err(InvalidValue::new("an interface", text, "1 to 15 letters, digits and any of . - _ @ : +"))
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Where packets are marked: the hook of netfilter, and with it the chain that the rule belongs into.
///
/// ```
/// use fwmark::Hook;
/// assert_eq!(Hook::Prerouting { interface: None }.chain(), "PREROUTING");
/// assert_eq!(Hook::Output.chain(), "OUTPUT");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// `PREROUTING`: packets of other machines, through one interface or any.
    Prerouting {
        /// The interface that packets come in by.
        interface: Option<InterfaceName>,
    },
    /// `OUTPUT`: packets of the director itself.
    Output,
}

impl Hook {
    /// The name of the chain.
    ///
    /// ```
    /// assert_eq!(fwmark::Hook::Output.chain(), "OUTPUT");
    /// ```
    pub const fn chain(&self) -> &'static str {
        match self {
            Hook::Prerouting { .. } => "PREROUTING",
            Hook::Output => "OUTPUT",
        }
    }
}

/// What of a packet's transport header a rule looks at.
///
/// ```
/// use fwmark::{Protocol, Traffic};
/// let web = Traffic::Ports(Protocol::Tcp, "80,443".parse()?);
/// assert_eq!(web.protocol(), Some(Protocol::Tcp));
/// # Ok::<(), fwmark::InvalidValue>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Traffic {
    /// Nothing: all protocols.
    Any,
    /// The protocol, whatever the port.
    Protocol(Protocol),
    /// The protocol and the destination port.
    Ports(Protocol, Ports),
}

impl Traffic {
    /// The protocol, if it matters.
    ///
    /// ```
    /// assert_eq!(fwmark::Traffic::Any.protocol(), None);
    /// ```
    pub const fn protocol(&self) -> Option<Protocol> {
        match self {
            Traffic::Any => None,
            Traffic::Protocol(protocol) | Traffic::Ports(protocol, _) => Some(*protocol),
        }
    }
}

/// Which packets get which mark.
///
/// A rule starts with the destination and the mark; each `with_` narrows it.
///
/// ```
/// use fwmark::{Mark, MarkRule, Protocol, Traffic};
///
/// let rule = MarkRule::new("192.0.2.1".parse()?, Mark::new(10)?)
///     .with_traffic(Traffic::Ports(Protocol::Tcp, "80".parse()?));
/// assert_eq!(rule.destination().to_string(), "192.0.2.1");
/// assert!(rule.source().is_any());
/// # Ok::<(), fwmark::InvalidValue>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MarkRule {
    hook: Hook,
    source: Network,
    destination: Network,
    traffic: Traffic,
    set: SetMark,
}

impl MarkRule {
    /// Marks all packets from outside to a host or a network.
    ///
    /// ```
    /// use fwmark::{Family, Mark, MarkRule, Network};
    /// let everything = MarkRule::new(Network::any(Family::V6), Mark::new(1)?);
    /// assert_eq!(everything.family(), Family::V6);
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub fn new(destination: Network, set: impl Into<SetMark>) -> Self {
        MarkRule {
            hook: Hook::Prerouting { interface: None },
            source: Network::any(destination.family()),
            destination,
            traffic: Traffic::Any,
            set: set.into(),
        }
    }

    /// Only packets that pass this hook. The interface `+`, which is any, is no condition and not kept.
    ///
    /// ```
    /// use fwmark::{Mark, MarkRule, Hook};
    /// let rule = MarkRule::new("192.0.2.1".parse()?, Mark::new(10)?)
    ///     .with_hook(Hook::Prerouting { interface: Some("eth0".parse()?) });
    /// assert_eq!(rule.hook().chain(), "PREROUTING");
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    #[must_use]
    pub fn with_hook(self, hook: Hook) -> Self {
        let hook = match hook {
            Hook::Prerouting { interface: Some(name) } if name.prefix() == Some("") => {
                Hook::Prerouting { interface: None }
            }
            hook => hook,
        };
        MarkRule { hook, ..self }
    }

    /// Only packets from these addresses.
    ///
    /// # Errors
    /// [`MixedFamilies`] if source and destination are not both IPv4 or both IPv6.
    ///
    /// ```
    /// use fwmark::{Mark, MarkRule};
    /// let rule = MarkRule::new("192.0.2.1".parse()?, Mark::new(10)?).with_source("198.51.100.0/24".parse()?)?;
    /// assert_eq!(rule.source().prefix(), 24);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_source(self, source: Network) -> Result<Self, MixedFamilies> {
        if source.family() == self.family() {
            Ok(MarkRule { source, ..self })
        } else {
            Err(MixedFamilies { destination: self.destination, from: source })
        }
    }

    /// Only packets of this protocol, or to these ports.
    ///
    /// ```
    /// use fwmark::{Mark, MarkRule, Protocol, Traffic};
    /// let rule = MarkRule::new("192.0.2.1".parse()?, Mark::new(10)?).with_traffic(Traffic::Protocol(Protocol::Udp));
    /// assert_eq!(rule.traffic().protocol(), Some(Protocol::Udp));
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    #[must_use]
    pub fn with_traffic(self, traffic: Traffic) -> Self {
        MarkRule { traffic, ..self }
    }

    /// IPv4 or IPv6.
    ///
    /// ```
    /// use fwmark::{Family, Mark, MarkRule};
    /// assert_eq!(MarkRule::new("192.0.2.1".parse()?, Mark::new(10)?).family(), Family::V4);
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn family(&self) -> Family {
        self.destination.family()
    }

    /// The hook that the packets pass.
    ///
    /// ```
    /// use fwmark::{Mark, MarkRule, Hook};
    /// let rule = MarkRule::new("192.0.2.1".parse()?, Mark::new(10)?);
    /// assert_eq!(rule.hook(), &Hook::Prerouting { interface: None });
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn hook(&self) -> &Hook {
        &self.hook
    }

    /// The addresses that they come from.
    ///
    /// ```
    /// use fwmark::{Family, Mark, MarkRule, Network};
    /// assert_eq!(MarkRule::new("192.0.2.1".parse()?, Mark::new(10)?).source(), Network::any(Family::V4));
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn source(&self) -> Network {
        self.source
    }

    /// The addresses that they go to.
    ///
    /// ```
    /// use fwmark::{Mark, MarkRule};
    /// assert_eq!(MarkRule::new("192.0.2.1".parse()?, Mark::new(10)?).destination().prefix(), 32);
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn destination(&self) -> Network {
        self.destination
    }

    /// Their protocol and ports.
    ///
    /// ```
    /// use fwmark::{Mark, MarkRule, Traffic};
    /// assert_eq!(MarkRule::new("192.0.2.1".parse()?, Mark::new(10)?).traffic(), &Traffic::Any);
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// What they get.
    ///
    /// ```
    /// use fwmark::{Mark, MarkRule};
    /// assert_eq!(MarkRule::new("192.0.2.1".parse()?, Mark::new(10)?).set().mark().get(), 10);
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn set(&self) -> SetMark {
        self.set
    }
}

/// Source and destination of a rule that are not of one address family.
///
/// ```
/// use fwmark::{Mark, MarkRule, Network};
///
/// let rule = MarkRule::new("192.0.2.1".parse()?, Mark::new(10)?);
/// let error = rule.with_source("2001:db8::/32".parse()?).unwrap_err();
/// assert_eq!(error.to_string(), "a packet to 192.0.2.1 can't come from 2001:db8::/32: the address families differ");
/// # Ok::<(), fwmark::InvalidValue>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a packet to {destination} can't come from {from}: the address families differ")]
pub struct MixedFamilies {
    /// Where the packets go.
    pub destination: Network,
    /// Where they should come from.
    pub from: Network,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_names_fit_the_kernel_and_a_shell() {
        for good in ["lo", "eth0.100", "ppp+", "+", "a23456789012345"] {
            assert!(good.parse::<InterfaceName>().is_ok(), "{good:?}");
        }
        for bad in ["", "a234567890123456", "a b", "a/b", "$x", "eth*", "ü"] {
            assert!(bad.parse::<InterfaceName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn protocols_without_ports_are_refused() {
        for bad in ["", "icmp", "TCP", "all", "0", "06"] {
            assert!(bad.parse::<Protocol>().is_err(), "{bad:?}");
        }
    }
}
