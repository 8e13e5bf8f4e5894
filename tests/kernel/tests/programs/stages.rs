//! What the kernel's table shall be, stage by stage.

use kernel_tests::system::System;

/// A piece of text, and what takes its place.
pub(crate) type Change<'a> = (&'a str, &'a str);

/// The text with each change made; each has something to change.
pub(crate) fn changed(text: &str, changes: &[Change<'_>]) -> String {
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "nothing to change: {from}in\n{text}");
        text.replace(from, to)
    })
}

/// The kernel's table, as the original shall save it at some time.
pub(crate) struct Expected(String);

impl Expected {
    /// This table.
    pub(crate) fn new(table: &str) -> Self {
        Self(table.into())
    }

    /// From now on the table shall be otherwise.
    pub(crate) fn change(&mut self, changes: &[Change<'_>]) {
        self.0 = changed(&self.0, changes);
    }

    /// Waits until it is.
    ///
    /// # Panics
    /// When it never is; then the log is shown.
    pub(crate) fn wait(&self, system: &System, stage: &str, log: &str) {
        system.wait_for_table(&self.0).unwrap_or_else(|fault| panic!("{stage}: {fault}{}", system.read(log)));
    }
}
