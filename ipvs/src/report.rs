//! An error and its causes on one line.

use std::error::Error;
use std::fmt;

/// Displays an error and its causes on one line, from the outermost to the innermost.
///
/// The errors of this crate display what failed, and give the cause as [`source`](Error::source),
/// never both in one text. Programs that have their own way to print a chain, such as `anyhow`,
/// don't need this.
///
/// ```
/// use ipvs::{Report, netns::Namespace};
/// let error = Namespace::at("/nowhere/blue").unwrap_err();
/// assert_eq!(error.to_string(), "cannot open the network namespace /nowhere/blue");
/// let reported = Report::new(&error).to_string();
/// assert_eq!(
///     reported,
///     "cannot open the network namespace /nowhere/blue: No such file or directory (os error 2)"
/// );
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Report<'e>(&'e (dyn Error + 'static));

impl<'e> Report<'e> {
    /// The report of this error.
    pub fn new(error: &'e (dyn Error + 'static)) -> Self {
        Report(error)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
