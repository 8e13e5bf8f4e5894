//! One command of a sequence, and how it reads in a case file.

use kernel_tests::case::{CommandLine, Transcript};
use kernel_tests::target::Outcome;
use kernel_tests::{text, words};
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// A command with what it reads.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) command: CommandLine,
    pub(crate) stdin: Vec<u8>,
}

impl Step {
    /// A command line without anything around it; the first word is the program.
    pub(crate) fn new<W: Into<Vec<u8>>>(words: impl IntoIterator<Item = W>) -> Self {
        let argv = words.into_iter().map(|word| OsString::from_vec(word.into())).collect();
        Self { command: CommandLine { argv, ..CommandLine::default() }, stdin: Vec::new() }
    }

    /// The same, fed with this.
    pub(crate) fn fed(self, stdin: impl Into<Vec<u8>>) -> Self {
        Self { stdin: stdin.into(), ..self }
    }

    /// The same with a variable in its environment.
    pub(crate) fn with_variable(mut self, name: &str) -> Self {
        self.command.env.push((name.into(), OsString::new()));
        self
    }

    /// The words behind the program's name.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = &[u8]> {
        self.command.argv.iter().skip(1).map(|word| word.as_bytes())
    }

    /// Is it sure not to change anything?
    ///
    /// The first option is the command, whatever else is on the line.
    pub(crate) fn only_lists(&self) -> bool {
        let shows = |option: &[u8]| match option {
            [b'-', b'-', name @ ..] => [&b"list"[..], b"save", b"help", b"version"].contains(&name),
            [_, letter, ..] => b"LlShv".contains(letter),
            _ => false,
        };
        let first = self.arguments().find(|word| word.len() > 1 && word[0] == b'-');
        self.command.program() == "ipvsadm" && first.is_some_and(shows)
    }

    /// Does it read lines that are commands?
    pub(crate) fn reads_commands(&self) -> bool {
        !self.stdin.is_empty()
    }

    /// As lines of a case file, without what it prints.
    pub(crate) fn to_source(&self) -> Vec<String> {
        let name_value = |(name, value): &(OsString, OsString)| {
            format!("{}={}", name.to_string_lossy(), words::quote(value.as_bytes()))
        };
        let mut line: Vec<String> = self.command.env.iter().map(name_value).collect();
        line.extend(self.command.argv.iter().map(|word| words::quote(word.as_bytes())));
        let mut lines = vec![format!("$ {}", line.join(" "))];
        lines.extend(text::to_lines(&self.stdin).into_iter().map(|line| format!("< {line}")));
        lines
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_source().join("\n"))
    }
}

/// What a command did, as lines of a case file.
pub(crate) fn transcript(outcome: &Outcome) -> Vec<String> {
    let Outcome { stdout, stderr, status } = outcome;
    let transcript = Transcript { stdout: text::to_lines(stdout), stderr: text::to_lines(stderr), status: *status };
    transcript.to_source()
}
