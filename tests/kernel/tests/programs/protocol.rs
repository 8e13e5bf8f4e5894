//! What somebody sees who uses the original, or ours: to be compared.

use kernel_tests::case::{Manner, Transcript};
use kernel_tests::diff;
use kernel_tests::system::{Installation, System};
use kernel_tests::target::{Outcome, Target};
use std::thread;

/// What was done, and what came of it, in order.
#[derive(Debug, Default)]
pub(crate) struct Protocol {
    entries: Vec<(String, Transcript)>,
}

impl Protocol {
    /// A program that was run.
    pub(crate) fn add(&mut self, what: impl Into<String>, outcome: &Outcome) {
        self.entries.push((what.into(), outcome.transcript()));
    }

    /// Lines that were read somewhere.
    pub(crate) fn add_lines(&mut self, what: impl Into<String>, stdout: Vec<String>) {
        self.entries.push((what.into(), Transcript { stdout, ..Transcript::default() }));
    }
}

/// Does the same on two systems at the same time, one with the original and one with ours, and fails with all that differs.
///
/// # Panics
/// When something does.
pub(crate) fn assert_same(play: impl Fn(&System) -> Protocol + Sync) {
    let on = |target| System::on(Installation::of(target), &play);
    let (theirs, ours) = thread::scope(|scope| {
        let ours = scope.spawn(|| on(Target::Ours));
        (on(Target::Theirs), ours.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    assert_equal(&theirs, &ours);
}

fn assert_equal(theirs: &Protocol, ours: &Protocol) {
    let done = |protocol: &Protocol| -> Vec<String> { protocol.entries.iter().map(|(what, _)| what.clone()).collect() };
    assert_eq!(done(theirs), done(ours), "not the same was done");
    let pairs = theirs.entries.iter().zip(&ours.entries);
    let faults: Vec<String> = pairs
        .filter_map(|((what, theirs), (_, ours))| {
            diff::compare(theirs, ours, Manner::default()).map(|difference| format!("{what}\n{difference}"))
        })
        .collect();
    assert!(faults.is_empty(), "the original (-) and ours (+) differ:\n{}", faults.join("\n"));
}
