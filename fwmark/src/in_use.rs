//! Marks that are free.

use std::collections::BTreeSet;

use ipvs::FirewallMark;

use crate::foreign::{Effect, ForeignRule};
use crate::rule::MarkRule;

/// The marks in use, to find a free one.
///
/// ```
/// use fwmark::{Family, FirewallMark, MarksInUse, parse, foreign_rules_of_save};
/// let rule = parse("iptables -t mangle -A PREROUTING -d 192.0.2.1 -j MARK --set-mark 1")?.rule;
/// let foreign =
///     foreign_rules_of_save("*mangle\n-A PREROUTING -j MARK --set-xmark 0x2/0x6\n", Family::V4);
/// let mut in_use = MarksInUse::new();
/// in_use.add_rules(&[rule]);
/// in_use.add_foreign(&foreign);
/// in_use.add(FirewallMark::new(8)?); // of a service, say
/// // 2 to 7 have bits that another program writes.
/// assert_eq!(in_use.free(), Some(FirewallMark::new(9)?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarksInUse {
    marks: BTreeSet<u32>,
    /// The bits that rules with a mask write.
    bits: u32,
}

impl MarksInUse {
    /// No mark is in use yet.
    ///
    /// ```
    /// assert_eq!(fwmark::MarksInUse::new().free().map(|mark| mark.get()), Some(1));
    /// ```
    pub fn new() -> Self {
        MarksInUse::default()
    }

    /// Adds a mark.
    ///
    /// ```
    /// let mut in_use = fwmark::MarksInUse::new();
    /// in_use.add(fwmark::FirewallMark::new(1)?);
    /// assert_eq!(in_use.free().map(|mark| mark.get()), Some(2));
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub fn add(&mut self, mark: FirewallMark) {
        self.marks.insert(mark.get());
    }

    /// Adds the marks of these rules.
    pub fn add_rules(&mut self, rules: &[MarkRule]) {
        self.marks.extend(rules.iter().map(|rule| rule.set().mark().get()));
    }

    /// Adds the marks of rules of other programs; of a rule with a mask, all marks with a bit of
    /// the mask.
    pub fn add_foreign(&mut self, foreign: &[ForeignRule]) {
        for foreign in foreign {
            match *foreign.effect() {
                Effect::Set { value, mask: u32::MAX } => {
                    self.marks.insert(value);
                }
                Effect::Set { mask, .. } => self.bits |= mask,
                Effect::FromConnection | Effect::Unknown(_) => {}
            }
        }
    }

    /// The lowest mark that is not in use; `None` if there is none.
    ///
    /// ```
    /// assert_eq!(fwmark::MarksInUse::new().free().map(|mark| mark.get()), Some(1));
    /// ```
    pub fn free(&self) -> Option<FirewallMark> {
        // Adding 1 to a number whose bits in use are all set carries over them.
        let next = |mark: &u32| (mark | self.bits).checked_add(1).map(|next| next & !self.bits);
        let mut all = std::iter::successors(next(&0), next);
        all.find(|mark| !self.marks.contains(mark)).and_then(|mark| FirewallMark::new(mark).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_with_used_bits_are_skipped() {
        let free = |bits: u32, marks: &[u32]| {
            let in_use = MarksInUse { marks: marks.iter().copied().collect(), bits };
            in_use.free().map(FirewallMark::get)
        };
        assert_eq!(free(0xff, &[]), Some(0x100));
        assert_eq!(free(0b101, &[2]), Some(8));
        assert_eq!(free(u32::MAX, &[]), None);
        assert_eq!(free(!0x8000_0000, &[]), Some(0x8000_0000));
        assert_eq!(free(!0x8000_0000, &[0x8000_0000]), None);
    }
}
