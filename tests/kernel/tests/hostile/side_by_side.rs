//! The same bad input for the original and for `ipvs-cli`, each in a network namespace of its own.

use crate::shell::{self, Shell};
use kernel_tests::target::{Outcome, Target};
use kernel_tests::text;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// So much of a stream is shown when it differs.
const SHOWN: usize = 300;

/// What one program did in one world.
pub(crate) struct World<'a> {
    pub(crate) shell: &'a mut Shell,
    done: Vec<(String, Outcome)>,
}

impl World<'_> {
    /// Types a line into the shell.
    pub(crate) fn types(&mut self, line: &str) {
        self.feeds(line, b"");
    }

    /// Types a line, and what it reads.
    pub(crate) fn feeds(&mut self, line: &str, stdin: &[u8]) {
        let outcome = self.shell.type_in(line, stdin);
        let name = if stdin.is_empty() { line.to_owned() } else { format!("{line} < {}", shorten(stdin)) };
        self.done.push((name, outcome));
    }

    /// Runs ipvsadm with words that need not be text.
    pub(crate) fn ipvsadm(&mut self, arguments: &[&[u8]]) {
        let words = std::iter::once(&b"ipvsadm"[..]).chain(arguments.iter().copied());
        let argv: Vec<OsString> = words.map(|word| OsString::from_vec(word.to_vec())).collect();
        let outcome = self.shell.start(argv, b"");
        self.done.push((format!("ipvsadm {}", shorten(&arguments.join(&b' '))), outcome));
    }
}

/// Does the same to both programs. Whatever they print, their statuses and the tables they leave
/// must be equal, and nothing may be a panic or no answer.
///
/// # Panics
/// With everything that differs.
pub(crate) fn equal(work: impl Fn(&mut World<'_>) + Sync) {
    let [ipvsadm, ipvs_cli] = [Target::Ipvsadm, Target::IpvsCli].map(|target| {
        shell::with(target, |shell| {
            let mut world = World { shell, done: Vec::new() };
            work(&mut world);
            let World { shell, done } = world;
            (done, shell.table())
        })
    });
    let mut faults = Vec::new();
    for ((name, ipvsadm), (_, ipvs_cli)) in ipvsadm.0.iter().zip(&ipvs_cli.0) {
        assert_sound(name, ipvs_cli);
        if ipvsadm != ipvs_cli {
            faults.push(format!("{name}\n  ipvsadm: {}\n  ipvs-cli: {}", describe(ipvsadm), describe(ipvs_cli)));
        }
    }
    if ipvsadm.1 != ipvs_cli.1 {
        let tables = [ipvsadm.1, ipvs_cli.1].map(|table| table.iter().map(describe).collect::<Vec<_>>().join("\n"));
        faults.push(format!("the tables differ\n  ipvsadm: {}\n  ipvs-cli: {}", tables[0], tables[1]));
    }
    assert!(faults.is_empty(), "{} differences\n{}", faults.len(), faults.join("\n"));
}

/// No program may panic or hang, whatever it is given.
pub(crate) fn assert_sound(name: &str, outcome: &Outcome) {
    let stderr = String::from_utf8_lossy(&outcome.stderr);
    assert!(!stderr.contains("panicked"), "{name} panicked: {stderr}");
    let ended = !matches!(outcome.status, kernel_tests::case::Status::NoAnswer);
    assert!(ended, "{name} did not end: {}", describe(outcome));
}

pub(crate) fn describe(outcome: &Outcome) -> String {
    let Outcome { stdout, stderr, status } = outcome;
    format!("stdout {}, stderr {}, status {status}", shorten(stdout), shorten(stderr))
}

/// Bytes as text that can be read, cut in the middle.
fn shorten(bytes: &[u8]) -> String {
    let line = text::to_lines(bytes).join("\\n");
    let count = line.chars().count();
    if count <= SHOWN {
        return format!("\"{line}\"");
    }
    let head: String = line.chars().take(SHOWN / 2).collect();
    let tail: String = line.chars().skip(count - SHOWN / 2).collect();
    format!("\"{head} … {tail}\" ({} bytes)", bytes.len())
}
