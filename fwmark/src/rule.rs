//! A rule: which packets get which mark.

use ipvs::Family;

use crate::interface::InterfacePattern;
use crate::mark::SetMark;
use crate::network::Network;
use crate::ports::Ports;
use crate::protocol::Protocol;

/// The hook of netfilter at which packets are marked, and with it the chain of the rule.
///
/// ```
/// use fwmark::Hook;
/// assert_eq!(Hook::Prerouting { interface: None }.chain(), "PREROUTING");
/// assert_eq!(Hook::Output.chain(), "OUTPUT");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// `PREROUTING`: packets from other machines, through some interfaces or any.
    Prerouting {
        /// The interfaces that packets come in by; `None` is any.
        interface: Option<InterfacePattern>,
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

/// The part of a packet's transport header that a rule compares.
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
/// use fwmark::{FirewallMark, MarkRule, Protocol, Traffic};
///
/// let rule = MarkRule::new("192.0.2.1".parse()?, FirewallMark::new(10)?)
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
    /// Marks all packets from other machines to a host or a network.
    ///
    /// ```
    /// use fwmark::{Family, FirewallMark, MarkRule, Network};
    /// let everything = MarkRule::new(Network::any(Family::V6), FirewallMark::new(1)?);
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

    /// Only packets that pass this hook. The interface `+`, which is any, is no condition and not
    /// kept.
    ///
    /// ```
    /// use fwmark::{FirewallMark, Hook, MarkRule};
    /// let rule = MarkRule::new("192.0.2.1".parse()?, FirewallMark::new(10)?)
    ///     .with_hook(Hook::Prerouting { interface: Some("eth0".parse()?) });
    /// assert_eq!(rule.hook().chain(), "PREROUTING");
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    #[must_use]
    pub fn with_hook(self, hook: Hook) -> Self {
        let hook = match hook {
            Hook::Prerouting { interface: Some(name) } if name.prefix() == Some(b"") => {
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
    /// use fwmark::{FirewallMark, MarkRule};
    /// let rule = MarkRule::new("192.0.2.1".parse()?, FirewallMark::new(10)?);
    /// assert_eq!(rule.with_source("198.51.100.0/24".parse()?)?.source().prefix(), 24);
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
    /// use fwmark::{FirewallMark, MarkRule, Protocol, Traffic};
    /// let rule = MarkRule::new("192.0.2.1".parse()?, FirewallMark::new(10)?);
    /// let rule = rule.with_traffic(Traffic::Protocol(Protocol::Udp));
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
    /// use fwmark::{Family, FirewallMark, MarkRule};
    /// assert_eq!(
    ///     MarkRule::new("192.0.2.1".parse()?, FirewallMark::new(10)?).family(),
    ///     Family::V4
    /// );
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub fn family(&self) -> Family {
        self.destination.family()
    }

    /// The hook that the packets pass.
    ///
    /// ```
    /// use fwmark::{FirewallMark, Hook, MarkRule};
    /// let rule = MarkRule::new("192.0.2.1".parse()?, FirewallMark::new(10)?);
    /// assert_eq!(rule.hook(), Hook::Prerouting { interface: None });
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn hook(&self) -> Hook {
        self.hook
    }

    /// The addresses that they come from.
    ///
    /// ```
    /// use fwmark::{FirewallMark, MarkRule};
    /// assert!(MarkRule::new("192.0.2.1".parse()?, FirewallMark::new(10)?).source().is_any());
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn source(&self) -> Network {
        self.source
    }

    /// The addresses that they go to.
    ///
    /// ```
    /// use fwmark::{FirewallMark, MarkRule};
    /// assert!(
    ///     MarkRule::new("192.0.2.1".parse()?, FirewallMark::new(10)?).destination().is_host()
    /// );
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn destination(&self) -> Network {
        self.destination
    }

    /// Their protocol and ports.
    ///
    /// ```
    /// use fwmark::{FirewallMark, MarkRule, Traffic};
    /// let rule = MarkRule::new("192.0.2.1".parse()?, FirewallMark::new(10)?);
    /// assert_eq!(rule.traffic(), &Traffic::Any);
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// What the rule writes into their mark.
    ///
    /// ```
    /// use fwmark::{FirewallMark, MarkRule};
    /// let rule = MarkRule::new("192.0.2.1".parse()?, FirewallMark::new(10)?);
    /// assert_eq!(rule.set().mark().get(), 10);
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn set(&self) -> SetMark {
        self.set
    }
}

/// Source and destination of a rule that are not of one address family.
///
/// ```
/// use fwmark::{FirewallMark, MarkRule};
///
/// let rule = MarkRule::new("192.0.2.1".parse()?, FirewallMark::new(10)?);
/// let error = rule.with_source("2001:db8::/32".parse()?).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "a packet to 192.0.2.1 can't come from 2001:db8::/32: the address families differ"
/// );
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
