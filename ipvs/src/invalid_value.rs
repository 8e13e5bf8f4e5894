//! Values that their type can't hold.

/// A value outside of what its type can hold.
///
/// ```
/// let error = "12.0.0".parse::<ipvs::FirewallMark>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "invalid firewall mark \"12.0.0\": a number from 1 to 4294967295"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} {given:?}: {allowed}")]
pub struct InvalidValue {
    what: &'static str,
    given: String,
    allowed: &'static str,
}

impl InvalidValue {
    /// A refusal of `given`, for the types of crates that build on this one.
    ///
    /// ```
    /// let error = ipvs::InvalidValue::new("port", "http", "a number from 0 to 65535");
    /// assert_eq!(error.to_string(), "invalid port \"http\": a number from 0 to 65535");
    /// ```
    pub fn new(what: &'static str, given: impl Into<String>, allowed: &'static str) -> Self {
        InvalidValue { what, given: given.into(), allowed }
    }

    /// What the value was meant for, such as `weight`.
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// The value as given.
    pub fn given(&self) -> &str {
        &self.given
    }

    /// What would have been accepted.
    pub fn allowed(&self) -> &'static str {
        self.allowed
    }
}
