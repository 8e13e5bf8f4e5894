//! Whose rules they are.

use std::fmt;
use std::str::FromStr;

use crate::error::InvalidValue;

/// The name under which rules stand in a kernel: nothing else is ever changed or removed.
///
/// In nftables it is the name of a table, in iptables the start of the names of chains and of the rules' comments. Two
/// programs on one machine need two names.
///
/// 1 to 20 letters, digits and `-`, the first one a letter: what is left of the 28 that iptables allows for a chain.
///
/// ```
/// use fwmark::Owner;
/// assert_eq!(Owner::default().as_str(), "ipvs-fwmark");
/// assert_eq!("shop-1".parse::<Owner>()?.as_str(), "shop-1");
/// assert!("shop 1".parse::<Owner>().is_err());
/// # Ok::<(), fwmark::InvalidValue>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner(String);

impl Owner {
    /// The name.
    ///
    /// ```
    /// assert_eq!(fwmark::Owner::default().as_str(), "ipvs-fwmark");
    /// ```
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What marks a thing in the kernel as made by this crate for this owner.
    pub(crate) fn tag(&self) -> String {
        format!("{} by fwmark", self.0)
    }
}

impl Default for Owner {
    fn default() -> Self {
        Owner("ipvs-fwmark".to_owned())
    }
}

impl FromStr for Owner {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let harmless = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if harmless && text.len() <= 20 && text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Ok(Owner(text.to_owned()));
        }
        Err(InvalidValue::new("an owner of rules", text, "1 to 20 letters, digits and -, the first one a letter"))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
