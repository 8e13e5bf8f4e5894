//! What a value can't be.

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
