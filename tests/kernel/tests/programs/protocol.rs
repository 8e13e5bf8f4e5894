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

impl Protocol {
    /// The kernel's services, servers and sync daemons.
    pub(crate) fn add_table(&mut self, what: &str, system: &System) {
        for view in ["-S -n", "-L --daemon"] {
            let lines = system.observe(&Vec::from_iter(view.split(' '))).lines().map(str::to_owned).collect();
            self.add_lines(format!("{what}: the table by {view}"), lines);
        }
    }
}

/// Does the same on several systems at the same time, one with the original and others with ours, and fails with all that differs.
///
/// # Panics
/// When something does.
pub(crate) fn assert_same(ours: &[Installation], play: impl Fn(&System) -> Protocol + Sync) {
    let start = |installation: Installation| System::on(installation, &play);
    thread::scope(|scope| {
        let ours = Vec::from_iter(ours.iter().map(|ours| (ours, scope.spawn(|| start(*ours)))));
        let theirs = start(Installation::of(Target::Theirs));
        for (installation, ours) in ours {
            let ours = ours.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            assert_equal(*installation, &theirs, &ours);
        }
    });
}

fn assert_equal(installation: Installation, theirs: &Protocol, ours: &Protocol) {
    let done = |protocol: &Protocol| -> Vec<String> { protocol.entries.iter().map(|(what, _)| what.clone()).collect() };
    assert_eq!(done(theirs), done(ours), "not the same was done");
    let pairs = theirs.entries.iter().zip(&ours.entries);
    let faults: Vec<String> = pairs
        .filter_map(|((what, theirs), (_, ours))| {
            diff::compare(theirs, ours, Manner::default()).map(|difference| format!("{what}\n{difference}"))
        })
        .collect();
    assert!(faults.is_empty(), "the original (-) and {installation:?} (+) differ:\n{}", faults.join("\n"));
}
