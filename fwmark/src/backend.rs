//! The two ways to set marks, as one.

/// Whether something had to be done.
///
/// ```
/// assert_ne!(fwmark::Change::None, fwmark::Change::Made);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// All was as it should be.
    None,
    /// The rules were changed.
    Made,
}
