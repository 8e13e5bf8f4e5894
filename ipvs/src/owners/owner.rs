//! The name of a program that owns a part of a director.

use std::fmt;
use std::str::FromStr;

use crate::invalid_value::InvalidValue;

/// The name under which a program owns services, and rules that mark packets: nothing of another
/// owner is changed or removed.
///
/// 1 to 20 letters, digits and `-`, the first one a letter. That is what iptables leaves of the 28
/// characters of a chain's name; in nftables it is the name of a table.
///
/// ```
/// use ipvs::owners::Owner;
/// assert_eq!("shop-1".parse::<Owner>()?.as_str(), "shop-1");
/// assert!("shop 1".parse::<Owner>().is_err());
/// # Ok::<(), ipvs::InvalidValue>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(String);

impl Owner {
    /// The name.
    ///
    /// ```
    /// assert_eq!(ipvs::owners::Owner::default().as_str(), "ipvs-fwmark");
    /// ```
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Owner {
    /// `ipvs-fwmark`: the owner of mark rules that were set without naming one.
    fn default() -> Self {
        Owner("ipvs-fwmark".to_owned())
    }
}

impl FromStr for Owner {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let is_harmless = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if is_harmless && text.len() <= 20 && text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Ok(Owner(text.to_owned()));
        }
        Err(InvalidValue::new("owner", text, "1 to 20 letters, digits and -, the first one a letter"))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
