//! Rules of other programs that write marks.

use std::fmt;

use crate::selector::Selector;

/// A rule of another program that writes marks, as far as this crate understands it.
///
/// [`Nftables::others`](crate::Nftables::others) finds them in the kernel, and
/// [`foreign_rules_of_save`](crate::foreign_rules_of_save) in the output of iptables-save.
///
/// ```
/// use fwmark::{Effect, Family, foreign_rules_of_save};
/// let saved =
///     "*mangle\n-A PREROUTING -d 192.0.2.1/32 -p icmp -j MARK --set-xmark 0x7/0xff\nCOMMIT\n";
/// let foreign = foreign_rules_of_save(saved, Family::V4);
/// assert_eq!(foreign[0].effect(), &Effect::Set { value: 7, mask: 0xff });
/// assert_eq!(foreign[0].packets(), "-d 192.0.2.1 -p 1");
/// assert!(foreign[0].place().contains("mangle"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignRule {
    pub(crate) place: String,
    pub(crate) selector: Selector,
    pub(crate) effect: Effect,
}

impl ForeignRule {
    /// Where the rule is, as text.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The packets, as options of iptables; "and more" stands for unknown conditions.
    pub fn packets(&self) -> String {
        self.selector.to_string()
    }

    /// Are all of its conditions known? If not, it matches fewer packets than
    /// [`packets`](ForeignRule::packets) says.
    pub fn is_understood(&self) -> bool {
        !self.selector.is_narrower && !matches!(self.effect, Effect::Unknown(_))
    }

    /// What it does to the mark.
    pub fn effect(&self) -> &Effect {
        &self.effect
    }
}

impl fmt::Display for ForeignRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.place, self.effect, self.selector)
    }
}

/// What a rule does to a packet's mark.
///
/// ```
/// use fwmark::Effect;
/// assert_eq!(Effect::Set { value: 10, mask: u32::MAX }.to_string(), "sets the mark 10");
/// assert_eq!(
///     Effect::Set { value: 10, mask: 0xff }.to_string(),
///     "sets the mark's bits 0xff to 0xa"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Replaces the bits of the mask by those of the value.
    Set {
        /// The new bits.
        value: u32,
        /// The bits that are replaced.
        mask: u32,
    },
    /// Writes the mark that an earlier packet saved for the connection.
    FromConnection,
    /// Writes an unknown value.
    Unknown(String),
}

impl Effect {
    /// From the kernel's form: bits to keep, and bits to flip.
    pub(crate) fn of_bits(keep: u32, flip: u32) -> Self {
        match flip & keep {
            0 => Effect::Set { value: flip, mask: !keep },
            flipped => Effect::Unknown(format!("flips the bits {flipped:#x}")),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::Set { value, mask: u32::MAX } => write!(f, "sets the mark {value}"),
            Effect::Set { value, mask } => write!(f, "sets the mark's bits {mask:#x} to {value:#x}"),
            Effect::FromConnection => f.write_str("sets the mark that the connection has"),
            Effect::Unknown(what) => write!(f, "sets a mark that is not understood: {what}"),
        }
    }
}
