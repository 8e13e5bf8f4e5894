//! The process: its streams, its signals, its terminal, and pipes that nobody reads any more.

pub(crate) mod broken_pipe;
pub(crate) mod hangup;
pub(crate) mod signals;

use std::io::Write;

use crate::io::Input;

/// What a run is given by its process, or by a test in its place.
#[expect(missing_debug_implementations, reason = "what stands behind the traits need not have one")]
pub struct Environment<'e> {
    /// Command lines, for `-R`.
    pub stdin: &'e mut dyn Input,
    /// Listings. In the language of ipvsadm, errors of writing them are ignored, as it does.
    pub stdout: &'e mut dyn Write,
    /// What went wrong.
    pub stderr: &'e mut dyn Write,
    /// Does a person read `stderr`? Then some messages are followed by a hint. Asked when there is one.
    pub hints: fn() -> bool,
    /// Does a person read `stdout`? Then what is different may be coloured. Asked when there is something.
    pub colors: fn() -> bool,
}

impl<'e> Environment<'e> {
    /// Not on a terminal.
    pub fn new(stdin: &'e mut dyn Input, stdout: &'e mut dyn Write, stderr: &'e mut dyn Write) -> Self {
        Environment { stdin, stdout, stderr, hints: || false, colors: || false }
    }

    /// The same, for a shorter time.
    pub(crate) fn reborrow(&mut self) -> Environment<'_> {
        Environment {
            stdin: &mut *self.stdin,
            stdout: &mut *self.stdout,
            stderr: &mut *self.stderr,
            hints: self.hints,
            colors: self.colors,
        }
    }

    /// The same, but for what is read.
    pub(crate) fn reading<'a>(&'a mut self, stdin: &'a mut dyn Input) -> Environment<'a> {
        Environment { stdin, ..self.reborrow() }
    }
}
