//! What a value can't be.

use crate::network::Network;

/// A value that its type refuses.
///
/// ```
/// let error = fwmark::Mark::new(0).unwrap_err();
/// assert_eq!(error.to_string(), "not a mark: allowed is a number from 1 to 4294967295");
/// assert_eq!(error.found(), "0");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not {what}: allowed is {allowed}")]
pub struct InvalidValue {
    what: &'static str,
    found: String,
    allowed: &'static str,
}

impl InvalidValue {
    pub(crate) fn new(what: &'static str, found: impl Into<String>, allowed: &'static str) -> Self {
        InvalidValue { what, found: found.into(), allowed }
    }

    /// The text, or the number as text, that was refused.
    ///
    /// ```
    /// assert_eq!("http".parse::<fwmark::PortRange>().unwrap_err().found(), "http");
    /// ```
    pub fn found(&self) -> &str {
        &self.found
    }
}

/// Source and destination of a rule that are not of one address family.
///
/// ```
/// use fwmark::{Mark, MarkRule, Network};
///
/// let rule = MarkRule::new("192.0.2.1".parse()?, Mark::new(10)?);
/// let error = rule.with_source("2001:db8::/32".parse()?).unwrap_err();
/// assert_eq!(error.to_string(), "a packet to 192.0.2.1 can't come from 2001:db8::/32: the address families differ");
/// # Ok::<(), fwmark::InvalidValue>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a packet to {destination} can't come from {from}: the address families differ")]
pub struct MixedFamilies {
    /// Where the packets go.
    pub destination: Network,
    /// Where they should come from.
    pub from: Network,
}
