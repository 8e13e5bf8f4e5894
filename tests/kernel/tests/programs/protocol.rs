//! What a user of the original and a user of `ipvs-cli` see, to be compared.

use kernel_tests::case::{Manner, Transcript};
use kernel_tests::diff;
use kernel_tests::system::{Installation, System};
use kernel_tests::target::{Outcome, Target};

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

/// Does the same on several systems, one with the original and others with `ipvs-cli`, and fails
/// with all that differs.
///
/// One system after another: up to Linux 6.12, what is added or deleted in one network namespace
/// disturbs the listings of the original in all others.
///
/// # Panics
/// When something differs.
pub(crate) fn assert_same(ipvs_cli: &[Installation], play: impl Fn(&System) -> Protocol + Sync) {
    let ipvsadm = System::on(Installation::of(Target::Ipvsadm), &play);
    for installation in ipvs_cli {
        assert_equal(*installation, &ipvsadm, &System::on(*installation, &play));
    }
}

fn assert_equal(installation: Installation, ipvsadm: &Protocol, ipvs_cli: &Protocol) {
    let done = |protocol: &Protocol| -> Vec<String> { protocol.entries.iter().map(|(what, _)| what.clone()).collect() };
    assert_eq!(done(ipvsadm), done(ipvs_cli), "not the same was done");
    let pairs = ipvsadm.entries.iter().zip(&ipvs_cli.entries);
    let faults: Vec<String> = pairs
        .filter_map(|((what, ipvsadm), (_, ipvs_cli))| {
            diff::compare(ipvsadm, ipvs_cli, Manner::default()).map(|difference| format!("{what}\n{difference}"))
        })
        .collect();
    assert!(faults.is_empty(), "the original (-) and {installation:?} (+) differ:\n{}", faults.join("\n"));
}
