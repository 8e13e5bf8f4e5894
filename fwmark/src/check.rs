//! Conflicts between the owner's rules and those of other programs.

use std::fmt;

use ipvs::FirewallMark;

use crate::foreign::{Effect, ForeignRule};
use crate::rule::MarkRule;
use crate::selector::Overlap;

/// Finds rules of other programs that keep packets from their service, or bring other packets to
/// it.
///
/// IPVS compares all 32 bits of the mark. So a rule that writes a single bit of the mark of a
/// service's packets, before or after, already takes them away from the service.
///
/// ```
/// use fwmark::{Family, Conflict, check, parse, foreign_rules_of_save};
/// let rule = parse(
///     "iptables -t mangle -A PREROUTING -d 192.0.2.1 -p tcp --dport 80 -j MARK --set-mark 10",
/// )?
/// .rule;
/// let saved =
///     "*mangle\n-A PREROUTING -d 192.0.2.0/24 -j MARK --set-xmark 0x4000/0x4000\nCOMMIT\n";
/// let conflicts = check(&[rule], &foreign_rules_of_save(saved, Family::V4));
/// assert!(matches!(&conflicts[..], [Conflict::SharedBits { bits: 0x4000, certain: true, .. }]));
/// # Ok::<(), fwmark::ParseError>(())
/// ```
pub fn check(rules: &[MarkRule], others: &[ForeignRule]) -> Vec<Conflict> {
    rules.iter().flat_map(|rule| others.iter().filter_map(|foreign| conflict(rule, foreign))).collect()
}

/// A rule of another program that keeps packets from their service, or may do so.
///
/// ```
/// use fwmark::{Family, check, parse, foreign_rules_of_save};
/// let rule = parse(
///     "iptables -t mangle -A PREROUTING -d 192.0.2.1 -p tcp --dport 80 -j MARK --set-mark 10",
/// )?
/// .rule;
/// let saved = "*mangle\n-A PREROUTING -j MARK --set-xmark 0x7/0xffffffff\nCOMMIT\n";
/// let conflicts = check(&[rule], &foreign_rules_of_save(saved, Family::V4));
/// assert_eq!(
///     conflicts[0].to_string(),
///     "packets of mark 10 are also marked 7, and the rule that comes last decides: \
///  iptables, table mangle, -A PREROUTING -j MARK --set-xmark 0x7/0xffffffff"
/// );
/// # Ok::<(), fwmark::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Conflict {
    /// Another rule gives the same packets another mark.
    OtherMark {
        /// The rule that was checked.
        rule: MarkRule,
        /// The rule of another program.
        foreign: ForeignRule,
        /// The mark that it gives.
        mark: u32,
        /// False if the rule has unknown conditions, so that it may be about other packets.
        certain: bool,
    },
    /// Another rule writes some bits of the same packets' mark, so that IPVS sees another mark.
    SharedBits {
        /// The rule that was checked.
        rule: MarkRule,
        /// The rule of another program.
        foreign: ForeignRule,
        /// The bits that it writes.
        bits: u32,
        /// False if the rule has unknown conditions, so that it may be about other packets.
        certain: bool,
    },
    /// Another rule sets the same mark: its packets go to the same service.
    SameMark {
        /// The rule that was checked.
        rule: MarkRule,
        /// The rule of another program.
        foreign: ForeignRule,
    },
    /// Another rule writes an unknown value into the mark of the same packets.
    Unclear {
        /// The rule that was checked.
        rule: MarkRule,
        /// The rule of another program.
        foreign: ForeignRule,
    },
}

impl Conflict {
    /// The checked rule.
    pub fn rule(&self) -> &MarkRule {
        let (Conflict::OtherMark { rule, .. }
        | Conflict::SharedBits { rule, .. }
        | Conflict::SameMark { rule, .. }
        | Conflict::Unclear { rule, .. }) = self;
        rule
    }

    /// The rule of another program.
    pub fn foreign(&self) -> &ForeignRule {
        let (Conflict::OtherMark { foreign, .. }
        | Conflict::SharedBits { foreign, .. }
        | Conflict::SameMark { foreign, .. }
        | Conflict::Unclear { foreign, .. }) = self;
        foreign
    }

    fn mark(&self) -> FirewallMark {
        self.rule().set().mark()
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (own, place) = (self.mark(), self.foreign().place());
        let perhaps = |certain: &bool| if *certain { "" } else { "perhaps " };
        match self {
            Conflict::OtherMark { mark, certain, .. } => {
                let perhaps = perhaps(certain);
                write!(
                    f,
                    "packets of mark {own} are {perhaps}also marked {mark}, and the rule that comes last decides: {place}"
                )
            }
            Conflict::SharedBits { bits, certain, .. } => {
                let perhaps = perhaps(certain);
                write!(
                    f,
                    "packets of mark {own} {perhaps}get other bits {bits:#x} too, and IPVS compares all 32 bits: {place}"
                )
            }
            Conflict::SameMark { .. } => {
                write!(f, "other packets ({}) are marked {own} too: {place}", self.foreign().packets())
            }
            Conflict::Unclear { foreign, .. } => {
                write!(f, "packets of mark {own} may get another mark, as a rule {}: {place}", foreign.effect())
            }
        }
    }
}

fn conflict(rule: &MarkRule, foreign: &ForeignRule) -> Option<Conflict> {
    let overlap = foreign.selector.overlap(rule);
    let certain = overlap == Overlap::Yes;
    let (rule, own) = (rule.clone(), rule.set());
    match foreign.effect {
        Effect::Set { value, mask: u32::MAX } if value == own.mark().get() => {
            Some(Conflict::SameMark { rule, foreign: foreign.clone() })
        }
        _ if overlap == Overlap::No => None,
        Effect::Set { value, mask } => {
            let foreign_last = (own.mark().get() & !mask) | value;
            let own_last = own.applied_to(value);
            let foreign = foreign.clone();
            match mask {
                _ if [foreign_last, own_last] == [own.mark().get(); 2] => None,
                u32::MAX => Some(Conflict::OtherMark { rule, foreign, mark: value, certain }),
                bits => Some(Conflict::SharedBits { rule, foreign, bits, certain }),
            }
        }
        Effect::FromConnection | Effect::Unknown(_) => Some(Conflict::Unclear { rule, foreign: foreign.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipvs::Family;

    fn conflicts(own: &str, foreign_rule: &str) -> Vec<Conflict> {
        let rule = crate::parse(&format!("iptables -t mangle -A PREROUTING {own}")).unwrap().rule;
        let saved = format!("*mangle\n-A PREROUTING {foreign_rule}\nCOMMIT\n");
        check(&[rule], &crate::foreign_rules_of_save(&saved, Family::V4))
    }

    const RULE: &str = "-d 192.0.2.1 -p tcp --dport 80 -j MARK --set-mark 10";

    #[test]
    fn rules_for_other_packets_do_not_conflict() {
        assert_eq!(conflicts(RULE, "-d 192.0.2.2/32 -j MARK --set-xmark 0x7/0xffffffff"), []);
        assert_eq!(conflicts(RULE, "-p udp -j MARK --set-xmark 0x7/0xff"), []);
    }

    #[test]
    fn the_same_mark_for_other_packets_is_a_conflict() {
        let found = conflicts(RULE, "-d 192.0.2.2/32 -j MARK --set-xmark 0xa/0xffffffff");
        assert!(matches!(found[..], [Conflict::SameMark { .. }]), "{found:?}");
    }

    #[test]
    fn a_single_other_bit_is_a_conflict() {
        for (foreign_rule, harmless) in [("0x1/0x1", false), ("0x0/0x2", false), ("0x2/0x2", true), ("0x0/0x4", true)] {
            let found = conflicts(RULE, &format!("-j MARK --set-xmark {foreign_rule}"));
            assert_eq!(found.is_empty(), harmless, "{foreign_rule}: {found:?}");
        }
    }

    #[test]
    fn unknown_conditions_make_a_conflict_uncertain() {
        let found = conflicts(RULE, "-m owner --uid-owner 5 -j MARK --set-xmark 0x7/0xffffffff");
        assert!(matches!(found[..], [Conflict::OtherMark { certain: false, mark: 7, .. }]), "{found:?}");
        let found = conflicts(RULE, "-j CONNMARK --restore-mark");
        assert!(matches!(found[..], [Conflict::Unclear { .. }]), "{found:?}");
    }
}
