//! Whether others write marks that ours can't live with.

use std::fmt;

use crate::mark::Mark;
use crate::rule::MarkRule;
use crate::selector::Overlap;
use crate::setter::{Effect, Setter};

/// Compares rules with those of others: what would keep packets from their service, or bring strangers to it.
///
/// IPVS compares all 32 bits of the mark. So it makes a difference to a service even if somebody writes a single bit of the
/// mark of its packets, before or after.
///
/// ```
/// use fwmark::{Family, Finding, check, parse, setters_of_save};
/// let ours = parse("iptables -t mangle -A PREROUTING -d 192.0.2.1 -p tcp --dport 80 -j MARK --set-mark 10")?.rule;
/// let theirs = "*mangle\n-A PREROUTING -d 192.0.2.0/24 -j MARK --set-xmark 0x4000/0x4000\nCOMMIT\n";
/// let findings = check(&[ours], &setters_of_save(theirs, Family::V4));
/// assert!(matches!(&findings[..], [Finding::SharedBits { bits: 0x4000, certain: true, .. }]));
/// # Ok::<(), fwmark::ParseError>(())
/// ```
pub fn check(rules: &[MarkRule], others: &[Setter]) -> Vec<Finding> {
    rules.iter().flat_map(|rule| others.iter().filter_map(|setter| finding(rule, setter))).collect()
}

/// Something that keeps packets from their service, or may.
///
/// ```
/// use fwmark::{Family, check, parse, setters_of_save};
/// let ours = parse("iptables -t mangle -A PREROUTING -d 192.0.2.1 -p tcp --dport 80 -j MARK --set-mark 10")?.rule;
/// let theirs = "*mangle\n-A PREROUTING -j MARK --set-xmark 0x7/0xffffffff\nCOMMIT\n";
/// let findings = check(&[ours], &setters_of_save(theirs, Family::V4));
/// assert_eq!(
///     findings[0].to_string(),
///     "packets of mark 10 are also marked 7, and the rule that comes last decides: \
///      iptables, table mangle, -A PREROUTING -j MARK --set-xmark 0x7/0xffffffff"
/// );
/// # Ok::<(), fwmark::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// Another rule gives the same packets another mark.
    OtherMark {
        /// Ours.
        rule: MarkRule,
        /// The other one.
        setter: Setter,
        /// The mark that it gives.
        mark: u32,
        /// False: it has conditions that are not understood, and may mean other packets.
        certain: bool,
    },
    /// Another rule writes some bits of the same packets' mark: with them it is another mark to IPVS.
    SharedBits {
        /// Ours.
        rule: MarkRule,
        /// The other one.
        setter: Setter,
        /// The bits that it writes.
        bits: u32,
        /// False: it has conditions that are not understood, and may mean other packets.
        certain: bool,
    },
    /// Another rule gives our mark: its packets go to our service.
    SameMark {
        /// Ours.
        rule: MarkRule,
        /// The other one.
        setter: Setter,
    },
    /// Another rule writes the mark of the same packets, and what it writes can't be told.
    Unclear {
        /// Ours.
        rule: MarkRule,
        /// The other one.
        setter: Setter,
    },
}

impl Finding {
    /// The rule of ours that it is about.
    pub fn rule(&self) -> &MarkRule {
        let (Finding::OtherMark { rule, .. }
        | Finding::SharedBits { rule, .. }
        | Finding::SameMark { rule, .. }
        | Finding::Unclear { rule, .. }) = self;
        rule
    }

    /// The other rule.
    pub fn setter(&self) -> &Setter {
        let (Finding::OtherMark { setter, .. }
        | Finding::SharedBits { setter, .. }
        | Finding::SameMark { setter, .. }
        | Finding::Unclear { setter, .. }) = self;
        setter
    }

    fn mark(&self) -> Mark {
        self.rule().set().mark()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ours, place) = (self.mark(), self.setter().place());
        let perhaps = |certain: &bool| if *certain { "" } else { "perhaps " };
        match self {
            Finding::OtherMark { mark, certain, .. } => {
                let perhaps = perhaps(certain);
                write!(
                    f,
                    "packets of mark {ours} are {perhaps}also marked {mark}, and the rule that comes last decides: {place}"
                )
            }
            Finding::SharedBits { bits, certain, .. } => {
                let perhaps = perhaps(certain);
                write!(
                    f,
                    "packets of mark {ours} {perhaps}get other bits {bits:#x} too, and IPVS compares all 32 bits: {place}"
                )
            }
            Finding::SameMark { .. } => {
                write!(f, "other packets ({}) are marked {ours} too: {place}", self.setter().packets())
            }
            Finding::Unclear { setter, .. } => {
                write!(f, "packets of mark {ours} may get another mark, as a rule {}: {place}", setter.effect())
            }
        }
    }
}

fn finding(rule: &MarkRule, setter: &Setter) -> Option<Finding> {
    let overlap = setter.selector.overlap(rule);
    let certain = overlap == Overlap::Yes;
    let (rule, ours) = (rule.clone(), rule.set());
    match setter.effect {
        Effect::Set { value, mask: u32::MAX } if value == ours.mark().get() => {
            Some(Finding::SameMark { rule, setter: setter.clone() })
        }
        _ if overlap == Overlap::No => None,
        Effect::Set { value, mask } => {
            let theirs_last = (ours.mark().get() & !mask) | value;
            let ours_last = ours.applied_to(value);
            let setter = setter.clone();
            match mask {
                _ if [theirs_last, ours_last] == [ours.mark().get(); 2] => None,
                u32::MAX => Some(Finding::OtherMark { rule, setter, mark: value, certain }),
                bits => Some(Finding::SharedBits { rule, setter, bits, certain }),
            }
        }
        Effect::FromConnection | Effect::Unknown(_) => Some(Finding::Unclear { rule, setter: setter.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Family;

    fn findings(ours: &str, theirs: &str) -> Vec<Finding> {
        let rule = crate::parse(&format!("iptables -t mangle -A PREROUTING {ours}")).unwrap().rule;
        let saved = format!("*mangle\n-A PREROUTING {theirs}\nCOMMIT\n");
        check(&[rule], &crate::setters_of_save(&saved, Family::V4))
    }

    const OURS: &str = "-d 192.0.2.1 -p tcp --dport 80 -j MARK --set-mark 10";

    #[test]
    fn other_packets_are_no_matter() {
        assert_eq!(findings(OURS, "-d 192.0.2.2/32 -j MARK --set-xmark 0x7/0xffffffff"), []);
        assert_eq!(findings(OURS, "-p udp -j MARK --set-xmark 0x7/0xff"), []);
    }

    #[test]
    fn our_mark_is_ours_alone() {
        let found = findings(OURS, "-d 192.0.2.2/32 -j MARK --set-xmark 0xa/0xffffffff");
        assert!(matches!(found[..], [Finding::SameMark { .. }]), "{found:?}");
    }

    #[test]
    fn a_single_bit_is_another_mark() {
        for (theirs, harmless) in [("0x1/0x1", false), ("0x0/0x2", false), ("0x2/0x2", true), ("0x0/0x4", true)] {
            let found = findings(OURS, &format!("-j MARK --set-xmark {theirs}"));
            assert_eq!(found.is_empty(), harmless, "{theirs}: {found:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_told_as_such() {
        let found = findings(OURS, "-m owner --uid-owner 5 -j MARK --set-xmark 0x7/0xffffffff");
        assert!(matches!(found[..], [Finding::OtherMark { certain: false, mark: 7, .. }]), "{found:?}");
        let found = findings(OURS, "-j CONNMARK --restore-mark");
        assert!(matches!(found[..], [Finding::Unclear { .. }]), "{found:?}");
    }
}
