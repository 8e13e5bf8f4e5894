//! The mark itself, and how a rule writes it.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use ipvs::FirewallMark;

use crate::error::InvalidValue;
use crate::number;

/// A firewall mark: 1 to 4,294,967,295. 0 is what a packet without a mark has.
///
/// Read as iptables reads it, so `0x10` is 16 and `010` is 8; printed in decimal, as `ipvsadm -f` wants it.
///
/// ```
/// use fwmark::Mark;
/// assert_eq!(Mark::new(10)?, "0xa".parse()?);
/// assert_eq!("4294967295".parse::<Mark>()?.get(), u32::MAX);
/// assert!("[1-99]".parse::<Mark>().is_err());
/// # Ok::<(), fwmark::InvalidValue>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(NonZeroU32);

impl Mark {
    /// The mark of this value.
    ///
    /// # Errors
    /// [`InvalidValue`] for 0.
    ///
    /// ```
    /// assert!(fwmark::Mark::new(0).is_err());
    /// ```
    pub fn new(value: u32) -> Result<Self, InvalidValue> {
        NonZeroU32::new(value).map(Mark).ok_or_else(|| Self::refuse("0"))
    }

    /// Its value.
    ///
    /// ```
    /// assert_eq!(fwmark::Mark::new(10)?.get(), 10);
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    fn refuse(found: &str) -> InvalidValue {
        InvalidValue::new("a mark", found, "a number from 1 to 4294967295")
    }
}

/// The mark of a virtual service.
///
/// ```
/// assert_eq!(fwmark::Mark::from("10".parse::<ipvs::FirewallMark>()?).get(), 10);
/// # Ok::<(), ipvs::InvalidValue>(())
/// ```
impl From<FirewallMark> for Mark {
    fn from(mark: FirewallMark) -> Self {
        Mark(mark.into())
    }
}

/// ```
/// assert_eq!(ipvs::FirewallMark::from(fwmark::Mark::new(10)?).get(), 10);
/// # Ok::<(), fwmark::InvalidValue>(())
/// ```
impl From<Mark> for FirewallMark {
    fn from(mark: Mark) -> Self {
        mark.0.into()
    }
}

impl FromStr for Mark {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        number::unsigned(text).and_then(NonZeroU32::new).map(Mark).ok_or_else(|| Self::refuse(text))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What a rule writes into the 32 bits of a packet's mark: a mark, and the bits that are replaced by it.
///
/// Mostly all bits are ([`From<Mark>`]). A mask leaves the other bits as they were, so that two uses of marks can
/// share them; but IPVS compares all 32 bits, so the service's mark then only matches packets whose other bits are 0.
///
/// ```
/// use fwmark::{Mark, SetMark};
/// let low_byte = SetMark::masked(Mark::new(10)?, 0xff)?;
/// assert_eq!(low_byte.applied_to(0x1234), 0x120a);
/// assert_eq!(SetMark::from(Mark::new(10)?).applied_to(0x1234), 10);
/// # Ok::<(), fwmark::InvalidValue>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SetMark {
    mark: Mark,
    mask: u32,
}

impl SetMark {
    /// Replaces only the bits of the mask.
    ///
    /// # Errors
    /// [`InvalidValue`] if the mark has a bit outside of the mask: what the packet then gets would depend on the mark it
    /// had before.
    ///
    /// ```
    /// use fwmark::{Mark, SetMark};
    /// assert!(SetMark::masked(Mark::new(0x100)?, 0xff).is_err());
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub fn masked(mark: Mark, mask: u32) -> Result<Self, InvalidValue> {
        if mark.get() & !mask != 0 {
            let found = format!("{:#x}/{mask:#x}", mark.get());
            return Err(InvalidValue::new("a mark under a mask", found, "a mark whose bits are all in the mask"));
        }
        Ok(SetMark { mark, mask })
    }

    /// The mark.
    ///
    /// ```
    /// use fwmark::{Mark, SetMark};
    /// assert_eq!(SetMark::from(Mark::new(10)?).mark().get(), 10);
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn mark(self) -> Mark {
        self.mark
    }

    /// The bits that are replaced.
    ///
    /// ```
    /// use fwmark::{Mark, SetMark};
    /// assert_eq!(SetMark::from(Mark::new(10)?).mask(), 0xffff_ffff);
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn mask(self) -> u32 {
        self.mask
    }

    /// The mark of a packet after the rule, from its mark before.
    ///
    /// ```
    /// use fwmark::{Mark, SetMark};
    /// assert_eq!(SetMark::masked(Mark::new(1)?, 1)?.applied_to(6), 7);
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn applied_to(self, before: u32) -> u32 {
        (before & !self.mask) | self.mark.get()
    }

    /// Reads the value of `--set-mark`, which replaces the bits of the value too, even outside of the mask.
    pub(crate) fn parse_set_mark(text: &str) -> Result<Self, InvalidValue> {
        let (mark, mask) = parse_pair(text)?;
        Ok(SetMark { mark, mask: mask | mark.get() })
    }

    /// Reads the value of `--set-xmark`, which flips what is set outside of the mask: refused.
    pub(crate) fn parse_set_xmark(text: &str) -> Result<Self, InvalidValue> {
        let (mark, mask) = parse_pair(text)?;
        SetMark::masked(mark, mask)
    }
}

impl From<Mark> for SetMark {
    fn from(mark: Mark) -> Self {
        SetMark { mark, mask: u32::MAX }
    }
}

/// Prints the option that says the same: `--set-mark 10`, or `--set-xmark 0xa/0xff` with a mask.
impl fmt::Display for SetMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mask {
            u32::MAX => write!(f, "--set-mark {}", self.mark),
            mask => write!(f, "--set-xmark {:#x}/{mask:#x}", self.mark.get()),
        }
    }
}

/// `MARK` or `MARK/MASK`.
fn parse_pair(text: &str) -> Result<(Mark, u32), InvalidValue> {
    let Some((mark, mask)) = text.split_once('/') else { return Ok((text.parse()?, u32::MAX)) };
    let mask = number::unsigned(mask)
        .ok_or_else(|| InvalidValue::new("a mask of a mark", mask, "a number from 0 to 4294967295"))?;
    Ok((mark.parse()?, mask))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_mark_and_set_xmark_differ_outside_of_the_mask() {
        assert_eq!(SetMark::parse_set_mark("0x101/0xff").unwrap().mask(), 0x1ff);
        assert!(SetMark::parse_set_xmark("0x101/0xff").is_err());
        assert_eq!(SetMark::parse_set_xmark("1/0xff"), SetMark::parse_set_mark("1/0xff"));
    }

    #[test]
    fn a_full_mask_is_no_mask() {
        assert_eq!(SetMark::parse_set_xmark("0x6/0xffffffff").unwrap().to_string(), "--set-mark 6");
    }

    #[test]
    fn what_clears_a_mark_is_refused() {
        assert_eq!(SetMark::parse_set_xmark("0/0xff").unwrap_err().found(), "0");
        assert_eq!(SetMark::parse_set_mark("1/").unwrap_err().found(), "");
    }
}
