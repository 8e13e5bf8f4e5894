//! Network interfaces, as rules name them.

use std::fmt;
use std::str::FromStr;

use ipvs::{InterfaceName, InvalidValue};

/// The name of a network interface, or with a `+` at its end all interfaces whose names begin so.
///
/// 1 to 15 letters, digits and any of `.-_@:+`. The kernel takes nearly every character; those with
/// a meaning in a shell are refused, because a rule can become a command line.
///
/// ```
/// use fwmark::InterfacePattern;
/// assert_eq!("eth0".parse::<InterfacePattern>()?.to_string(), "eth0");
/// assert!("eth0;reboot".parse::<InterfacePattern>().is_err());
/// assert!(InterfacePattern::try_from(ipvs::InterfaceName::new("eth+")?).is_ok());
/// # Ok::<(), fwmark::InvalidValue>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InterfacePattern(InterfaceName);

impl InterfacePattern {
    /// The text of the pattern, as the name that it would be without the meaning of `+`.
    ///
    /// ```
    /// use fwmark::InterfacePattern;
    /// assert_eq!(
    ///     "br-lan".parse::<InterfacePattern>()?.as_name(),
    ///     ipvs::InterfaceName::new("br-lan")?
    /// );
    /// # Ok::<(), fwmark::InvalidValue>(())
    /// ```
    pub const fn as_name(self) -> InterfaceName {
        self.0
    }

    /// What stands before the `+` of a pattern for several interfaces.
    pub(crate) fn prefix(&self) -> Option<&[u8]> {
        self.0.as_bytes().strip_suffix(b"+")
    }

    /// Is there an interface that both mean?
    pub(crate) fn overlaps(&self, other: &InterfacePattern) -> bool {
        match (self.prefix(), other.prefix()) {
            (Some(one), Some(other)) => one.starts_with(other) || other.starts_with(one),
            (Some(prefix), None) => other.0.as_bytes().starts_with(prefix),
            (None, Some(prefix)) => self.0.as_bytes().starts_with(prefix),
            (None, None) => self == other,
        }
    }
}

/// Fails for a name with a character that a pattern can't have.
impl TryFrom<InterfaceName> for InterfacePattern {
    type Error = InvalidValue;

    fn try_from(name: InterfaceName) -> Result<Self, InvalidValue> {
        let is_harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_@:+".contains(byte);
        if name.as_bytes().iter().all(is_harmless) {
            Ok(InterfacePattern(name))
        } else {
            Err(refused(name.to_string()))
        }
    }
}

impl FromStr for InterfacePattern {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        InterfaceName::new(text).map_err(|_| refused(text))?.try_into()
    }
}

fn refused(given: impl Into<String>) -> InvalidValue {
    InvalidValue::new("interface", given, "1 to 15 letters, digits and any of . - _ @ : +")
}

impl fmt::Display for InterfacePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_names_fit_the_kernel_and_a_shell() {
        for good in ["lo", "eth0.100", "ppp+", "+", "a23456789012345"] {
            assert!(good.parse::<InterfacePattern>().is_ok(), "{good:?}");
        }
        for bad in ["", "a234567890123456", "a b", "a/b", "$x", "eth*", "ü"] {
            assert!(bad.parse::<InterfacePattern>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_plus_stands_for_any_end_of_a_name() {
        let name = |text: &str| text.parse::<InterfacePattern>().unwrap();
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
}
