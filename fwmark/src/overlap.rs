//! Which rules look at the same packets.

use crate::network::Network;
use crate::ports::{PortRange, Ports};
use crate::rule::{Hook, InterfaceName, MarkRule, Traffic};

impl MarkRule {
    /// Can there be a packet that both rules mark?
    ///
    /// ```
    /// use fwmark::{Mark, MarkRule, Protocol, Traffic};
    /// let everything = MarkRule::new("192.0.2.0/24".parse()?, Mark::new(1)?);
    /// let web = MarkRule::new("192.0.2.1".parse()?, Mark::new(2)?)
    ///     .with_traffic(Traffic::Ports(Protocol::Tcp, "80,443".parse()?));
    /// let dns = MarkRule::new("192.0.2.1".parse()?, Mark::new(3)?).with_traffic(Traffic::Protocol(Protocol::Udp));
    /// assert!(web.overlaps(&everything) && !web.overlaps(&dns));
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub fn overlaps(&self, other: &MarkRule) -> bool {
        self.destination().overlaps(other.destination())
            && self.source().overlaps(other.source())
            && self.traffic().overlaps(other.traffic())
            && self.hook().overlaps(other.hook())
    }
}

impl Network {
    /// Is there an address in both?
    ///
    /// ```
    /// use fwmark::Network;
    /// let [wide, narrow, other] = ["192.0.2.0/24", "192.0.2.128/25", "192.0.3.0/24"].map(|text| text.parse::<Network>().unwrap());
    /// assert!(wide.overlaps(narrow) && narrow.overlaps(wide) && !wide.overlaps(other));
    /// ```
    pub fn overlaps(self, other: Network) -> bool {
        self.contains(other.address()) || other.contains(self.address())
    }
}

impl PortRange {
    /// Is there a port in both?
    ///
    /// ```
    /// use fwmark::PortRange;
    /// assert!(PortRange::new(80, 90)?.overlaps(PortRange::from(90)));
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn overlaps(self, other: PortRange) -> bool {
        self.first() <= other.last() && other.first() <= self.last()
    }
}

impl Ports {
    /// Is there a port in both?
    pub(crate) fn overlaps(&self, other: &Ports) -> bool {
        self.ranges().iter().any(|range| other.ranges().iter().any(|other| range.overlaps(*other)))
    }
}

impl Traffic {
    fn overlaps(&self, other: &Traffic) -> bool {
        let protocols = match (self.protocol(), other.protocol()) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        let ports = match (self, other) {
            (Traffic::Ports(_, one), Traffic::Ports(_, other)) => one.overlaps(other),
            _ => true,
        };
        protocols && ports
    }
}

impl Hook {
    fn overlaps(&self, other: &Hook) -> bool {
        match (self, other) {
            (Hook::Prerouting { interface: Some(one) }, Hook::Prerouting { interface: Some(other) }) => {
                one.overlaps(other)
            }
            (Hook::Prerouting { .. }, Hook::Prerouting { .. }) | (Hook::Output, Hook::Output) => true,
            _ => false,
        }
    }
}

impl InterfaceName {
    /// Is there an interface that both mean?
    pub(crate) fn overlaps(&self, other: &InterfaceName) -> bool {
        match (self.prefix(), other.prefix()) {
            (Some(one), Some(other)) => one.starts_with(other) || other.starts_with(one),
            (Some(prefix), None) => other.as_str().starts_with(prefix),
            (None, Some(prefix)) => self.as_str().starts_with(prefix),
            (None, None) => self == other,
        }
    }

    /// What stands before the `+` that ends a name for several.
    pub(crate) fn prefix(&self) -> Option<&str> {
        self.as_str().strip_suffix('+')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_stands_for_any_end_of_a_name() {
        let name = |text: &str| text.parse::<InterfaceName>().unwrap();
        for (one, other, overlap) in [
            ("eth0", "eth0", true),
            ("eth0", "eth1", false),
            ("eth+", "eth1", true),
            ("eth+", "et+", true),
            ("+", "lo", true),
            ("eth+", "lo", false),
            ("eth0", "eth0.1+", false),
        ] {
            assert_eq!(name(one).overlaps(&name(other)), overlap, "{one} {other}");
            assert_eq!(name(other).overlaps(&name(one)), overlap, "{other} {one}");
        }
    }

    #[test]
    fn families_and_origins_are_apart() {
        let rule = |text: &str| crate::parse(text).unwrap().rule;
        let v4 = rule("iptables -t mangle -A PREROUTING -j MARK --set-mark 1");
        let v6 = rule("ip6tables -t mangle -A PREROUTING -j MARK --set-mark 1");
        let own = rule("iptables -t mangle -A OUTPUT -j MARK --set-mark 1");
        assert!(!v4.overlaps(&v6) && !v4.overlaps(&own) && v4.overlaps(&v4));
    }
}
