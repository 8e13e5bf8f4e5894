//! Marks as rules write them: numbers as iptables reads them, and masks.

use std::fmt;

use ipvs::{FirewallMark, InvalidValue};

use crate::number;

const FULL_MASK: u32 = u32::MAX;

/// Reads a mark as iptables does: decimal, hexadecimal after `0x`, octal after `0`.
///
/// [`FirewallMark`] itself reads decimal numbers only, as ipvsadm does.
///
/// # Errors
/// [`InvalidValue`] if it is not a number from 1 to 4,294,967,295.
///
/// ```
/// use fwmark::{FirewallMark, parse_mark};
/// assert_eq!(parse_mark("0xa")?, FirewallMark::new(10)?);
/// assert_eq!(parse_mark("010")?, FirewallMark::new(8)?);
/// assert!(parse_mark("[1-99]").is_err());
/// # Ok::<(), fwmark::InvalidValue>(())
/// ```
pub fn parse_mark(text: &str) -> Result<FirewallMark, InvalidValue> {
    let mark = number::unsigned(text).and_then(|value| FirewallMark::new(value).ok());
    mark.ok_or_else(|| InvalidValue::new("firewall mark", text, "a number from 1 to 4294967295"))
}

/// What a rule writes into the 32 bits of a packet's mark: a mark, and a mask of the bits to
/// replace.
///
/// Most rules replace all bits ([`From<FirewallMark>`]). A mask leaves the other bits as they were,
/// so that two uses of marks can share them; but IPVS compares all 32 bits, so the service's mark
/// then only matches packets whose other bits are 0.
///
/// ```
/// use fwmark::{FirewallMark, SetMark};
/// let low_byte = SetMark::masked(FirewallMark::new(10)?, 0xff)?;
/// assert_eq!(low_byte.applied_to(0x1234), 0x120a);
/// assert_eq!(SetMark::from(FirewallMark::new(10)?).applied_to(0x1234), 10);
/// # Ok::<(), fwmark::InvalidValue>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SetMark {
    mark: FirewallMark,
    mask: u32,
}

impl SetMark {
    /// Replaces only the bits of the mask.
    ///
    /// # Errors
    /// [`InvalidValue`] if the mark has a bit outside of the mask: the result would depend on the
    /// mark that the packet had before.
    ///
    /// ```
    /// use fwmark::{FirewallMark, SetMark};
    /// assert!(SetMark::masked(FirewallMark::new(0x100)?, 0xff).is_err());
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub fn masked(mark: FirewallMark, mask: u32) -> Result<Self, InvalidValue> {
        if mark.get() & !mask != 0 {
            let given = format!("{:#x}/{mask:#x}", mark.get());
            return Err(InvalidValue::new("mark and mask", given, "a mark that has no bit outside of the mask"));
        }
        Ok(SetMark { mark, mask })
    }

    /// The mark.
    ///
    /// ```
    /// use fwmark::{FirewallMark, SetMark};
    /// assert_eq!(SetMark::from(FirewallMark::new(10)?).mark().get(), 10);
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn mark(self) -> FirewallMark {
        self.mark
    }

    /// The bits to replace.
    ///
    /// ```
    /// use fwmark::{FirewallMark, SetMark};
    /// assert_eq!(SetMark::from(FirewallMark::new(10)?).mask(), 0xffff_ffff);
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn mask(self) -> u32 {
        self.mask
    }

    /// The mark of a packet after the rule, from its mark before.
    ///
    /// ```
    /// use fwmark::{FirewallMark, SetMark};
    /// assert_eq!(SetMark::masked(FirewallMark::new(1)?, 1)?.applied_to(6), 7);
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn applied_to(self, before: u32) -> u32 {
        (before & !self.mask) | self.mark.get()
    }

    /// Reads the value of `--set-mark`, which replaces the bits of the mark even outside of the
    /// mask.
    pub(crate) fn parse_set_mark(text: &str) -> Result<Self, InvalidValue> {
        let (mark, mask) = parse_pair(text)?;
        Ok(SetMark { mark, mask: mask | mark.get() })
    }

    /// Reads the value of `--set-xmark`. Bits outside of the mask, which iptables flips, are
    /// refused.
    pub(crate) fn parse_set_xmark(text: &str) -> Result<Self, InvalidValue> {
        let (mark, mask) = parse_pair(text)?;
        SetMark::masked(mark, mask)
    }
}

impl From<FirewallMark> for SetMark {
    fn from(mark: FirewallMark) -> Self {
        SetMark { mark, mask: FULL_MASK }
    }
}

/// Prints the option of iptables: `--set-mark 10`, or `--set-xmark 0xa/0xff` with a mask.
impl fmt::Display for SetMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mask {
            FULL_MASK => write!(f, "--set-mark {}", self.mark),
            mask => write!(f, "--set-xmark {:#x}/{mask:#x}", self.mark.get()),
        }
    }
}

/// `MARK` or `MARK/MASK`.
fn parse_pair(text: &str) -> Result<(FirewallMark, u32), InvalidValue> {
    let Some((mark, mask)) = text.split_once('/') else { return Ok((parse_mark(text)?, FULL_MASK)) };
    let mask =
        number::unsigned(mask).ok_or_else(|| InvalidValue::new("mask", mask, "a number from 0 to 4294967295"))?;
    Ok((parse_mark(mark)?, mask))
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
    fn clearing_a_mark_is_refused() {
        assert_eq!(SetMark::parse_set_xmark("0/0xff").unwrap_err().given(), "0");
        assert_eq!(SetMark::parse_set_mark("1/").unwrap_err().given(), "");
    }
}
