//! Which rules match the same packets.

use crate::ports::{PortRange, Ports};
use crate::rule::{Hook, MarkRule, Traffic};

impl MarkRule {
    /// Can there be a packet that both rules mark?
    ///
    /// ```
    /// use fwmark::{FirewallMark, MarkRule, Protocol, Traffic};
    /// let everything = MarkRule::new("192.0.2.0/24".parse()?, FirewallMark::new(1)?);
    /// let web = MarkRule::new("192.0.2.1".parse()?, FirewallMark::new(2)?)
    ///     .with_traffic(Traffic::Ports(Protocol::Tcp, "80,443".parse()?));
    /// let dns = MarkRule::new("192.0.2.1".parse()?, FirewallMark::new(3)?)
    ///     .with_traffic(Traffic::Protocol(Protocol::Udp));
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
    fn overlaps(self, other: Hook) -> bool {
        match (self, other) {
            (Hook::Prerouting { interface: Some(one) }, Hook::Prerouting { interface: Some(other) }) => {
                one.overlaps(&other)
            }
            (Hook::Prerouting { .. }, Hook::Prerouting { .. }) | (Hook::Output, Hook::Output) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn rules_of_other_families_and_hooks_do_not_overlap() {
        let rule = |text: &str| crate::parse(text).unwrap().rule;
        let v4 = rule("iptables -t mangle -A PREROUTING -j MARK --set-mark 1");
        let v6 = rule("ip6tables -t mangle -A PREROUTING -j MARK --set-mark 1");
        let own = rule("iptables -t mangle -A OUTPUT -j MARK --set-mark 1");
        assert!(!v4.overlaps(&v6) && !v4.overlaps(&own) && v4.overlaps(&v4));
    }
}
