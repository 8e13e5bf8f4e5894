//! Which rules match the same packets.

use crate::interface::InterfacePattern;
use crate::network::Network;

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

    /// Does this rule mark all packets that the other one marks?
    ///
    /// ```
    /// use fwmark::{FirewallMark, MarkRule, Protocol, Traffic};
    /// let everything = MarkRule::new("192.0.2.0/24".parse()?, FirewallMark::new(1)?);
    /// let web = MarkRule::new("192.0.2.1".parse()?, FirewallMark::new(2)?)
    ///     .with_traffic(Traffic::Ports(Protocol::Tcp, "80,443".parse()?));
    /// assert!(everything.covers(&web) && !web.covers(&everything));
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub fn covers(&self, other: &MarkRule) -> bool {
        covers(self.destination(), other.destination())
            && covers(self.source(), other.source())
            && self.traffic().covers(other.traffic())
            && self.hook().covers(other.hook())
    }

    /// Does this rule, as the later one, replace the mark of all packets that the earlier one
    /// marks?
    ///
    /// The earlier one has no effect then. A later rule with a mask that leaves some of the earlier
    /// one's bits does not override it: they make a mark together.
    ///
    /// ```
    /// use fwmark::{FirewallMark, MarkRule, Protocol, Traffic};
    /// let everything = MarkRule::new("192.0.2.0/24".parse()?, FirewallMark::new(1)?);
    /// let web = MarkRule::new("192.0.2.1".parse()?, FirewallMark::new(2)?)
    ///     .with_traffic(Traffic::Ports(Protocol::Tcp, "80,443".parse()?));
    /// assert!(everything.overrides(&web));
    /// assert!(!web.overrides(&everything), "the other addresses keep their mark");
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub fn overrides(&self, earlier: &MarkRule) -> bool {
        let mark = earlier.set().mark().get();
        let leaves_none = earlier.set().mask() & !self.set().mask() == 0;
        leaves_none && self.set().applied_to(mark) != mark && self.covers(earlier)
    }
}

fn covers(wide: Network, narrow: Network) -> bool {
    wide.contains(narrow.address()) && wide.contains(narrow.last())
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

    /// Are all ports of the other one in a range of this one?
    fn cover(&self, other: &Ports) -> bool {
        let is_in = |narrow: &PortRange| {
            self.ranges().iter().any(|wide| wide.contains(narrow.first()) && wide.contains(narrow.last()))
        };
        other.ranges().iter().all(is_in)
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

    fn covers(&self, narrow: &Traffic) -> bool {
        match (self, narrow) {
            (Traffic::Any, _) => true,
            (Traffic::Ports(protocol, wide), Traffic::Ports(other, narrow)) => protocol == other && wide.cover(narrow),
            (Traffic::Protocol(protocol), narrow) => narrow.protocol() == Some(*protocol),
            (Traffic::Ports(..), _) => false,
        }
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

    fn covers(self, narrow: Hook) -> bool {
        match (self, narrow) {
            (Hook::Prerouting { interface: Some(wide) }, Hook::Prerouting { interface: Some(narrow) }) => {
                wide.covers(&narrow)
            }
            (Hook::Prerouting { interface: None }, Hook::Prerouting { .. }) | (Hook::Output, Hook::Output) => true,
            _ => false,
        }
    }
}

impl InterfacePattern {
    /// Does this one stand for each interface that the other one stands for?
    fn covers(&self, narrow: &InterfacePattern) -> bool {
        match (self.prefix(), narrow.prefix()) {
            (Some(wide), Some(narrow)) => narrow.starts_with(wide),
            (Some(wide), None) => narrow.as_name().as_bytes().starts_with(wide),
            (None, _) => self == narrow,
        }
    }
}

#[cfg(test)]
mod tests {
    /// A rule is overridden by a later one that takes all of its packets, and by no other.
    #[test]
    fn a_later_rule_for_all_packets_of_an_earlier_one_overrides_it() {
        let rule =
            |text: &str| crate::parse(&format!("iptables -t mangle -A {text} -j MARK --set-mark 1")).unwrap().rule;
        let later =
            |text: &str| crate::parse(&format!("iptables -t mangle -A {text} -j MARK --set-mark 2")).unwrap().rule;
        let web = "PREROUTING -d 192.0.2.1 -p tcp -m multiport --dports 80,443";
        for (wide, narrow, overrides) in [
            (web, web, true),
            ("PREROUTING", web, true),
            ("PREROUTING -d 192.0.2.0/24 -p tcp", web, true),
            ("PREROUTING -p tcp --dport 1:1024", web, true),
            ("PREROUTING -d 192.0.2.1 -p tcp --dport 80", web, false),
            ("PREROUTING -d 192.0.2.1 -p udp", web, false),
            ("PREROUTING -d 192.0.2.1 -p tcp", "PREROUTING -d 192.0.2.1", false),
            ("PREROUTING -s 198.51.100.1", web, false),
            ("PREROUTING -i eth+", "PREROUTING -i eth0", true),
            ("PREROUTING -i eth+", "PREROUTING -i eth1+", true),
            ("PREROUTING -i eth0", "PREROUTING -i eth+", false),
            ("PREROUTING -i eth0", "PREROUTING", false),
            ("PREROUTING", "PREROUTING -i eth0", true),
            ("OUTPUT", web, false),
            ("OUTPUT", "OUTPUT", true),
        ] {
            assert_eq!(later(wide).overrides(&rule(narrow)), overrides, "{wide} after {narrow}");
        }
        assert!(!rule(web).overrides(&rule(web)), "the mark stays the same");
    }

    /// Only a later rule whose mask has all bits that the earlier one writes leaves none of them.
    #[test]
    fn a_later_rule_overrides_an_earlier_one_only_if_its_mask_has_all_of_its_bits() {
        let rule = |set: &str| {
            crate::parse(&format!("iptables -t mangle -A PREROUTING -j MARK --set-xmark {set}")).unwrap().rule
        };
        for (later, earlier, overrides) in [
            ("0x4/0x4", "0x2/0xffffffff", false),
            ("0x4/0x6", "0x2/0xffffffff", false),
            ("0x4/0xffffffff", "0x2/0x2", true),
            ("0x4/0xffffffff", "0x2/0xffffffff", true),
            ("0x4/0x6", "0x2/0x2", true),
            ("0x4/0x6", "0x2/0x6", true),
            ("0x4/0x6", "0x2/0x7", false),
            ("0x4/0x4", "0x2/0x2", false),
            ("0x2/0xffffffff", "0x2/0x2", false),
        ] {
            assert_eq!(rule(later).overrides(&rule(earlier)), overrides, "{later} after {earlier}");
            assert!(rule(later).covers(&rule(earlier)));
        }
    }

    #[test]
    fn rules_of_other_families_and_hooks_do_not_overlap() {
        let rule = |text: &str| crate::parse(text).unwrap().rule;
        let v4 = rule("iptables -t mangle -A PREROUTING -j MARK --set-mark 1");
        let v6 = rule("ip6tables -t mangle -A PREROUTING -j MARK --set-mark 1");
        let own = rule("iptables -t mangle -A OUTPUT -j MARK --set-mark 1");
        assert!(!v4.overlaps(&v6) && !v4.overlaps(&own) && v4.overlaps(&v4));
    }
}
