//! The surroundings of a run: streams, signals and terminal of its process, and files of the kernel
//! and the system.

pub(crate) mod broken_pipe;
pub(crate) mod hangup;
pub(crate) mod signals;

use std::fs;
use std::io::Write;
use std::path::Path;

use ipvs::{InterfaceName, Table};

use crate::io::{Input, Output};

/// What a run is given by its process, or by a test in its place.
#[expect(missing_debug_implementations, reason = "what stands behind the traits need not have one")]
pub struct Environment<'e> {
    /// Command lines, for `-R`.
    pub stdin: &'e mut dyn Input,
    /// Listings. In the language of ipvsadm, errors of writing them are ignored, as it does.
    pub stdout: &'e mut dyn Write,
    /// What went wrong.
    pub stderr: &'e mut dyn Write,
    /// Does a person read `stderr`? Then hints follow some messages.
    pub hints: fn() -> bool,
    /// Does a person read `stdout`? Then differences may be coloured.
    pub colors: fn() -> bool,
    /// May the run handle signals and draw on the terminal of this process? False in tests and in
    /// other programs.
    pub owns_process: bool,
    /// The directory of the lock, the owners and the weights of drained destinations; `None`:
    /// nothing is kept.
    pub state_directory: Option<&'e Path>,
    /// The terminal of the process, which answers questions where `stdin` is a file or a pipe.
    pub terminal: Option<&'e Path>,
    /// The socket of the system's log; `None`: changes are not logged.
    pub log: Option<&'e Path>,
    /// The file in which the kernel lists its connections.
    pub connections: &'e Path,
    /// The program's name in messages.
    pub program: &'static str,
    /// `/proc`, for other files of the kernel; `None` with an in-memory kernel.
    pub proc: Option<&'e Path>,
}

impl<'e> Environment<'e> {
    /// These streams and nothing else, for an in-memory kernel: no terminal, no files, no signals.
    pub fn new(stdin: &'e mut dyn Input, stdout: &'e mut dyn Write, stderr: &'e mut dyn Write) -> Self {
        Environment {
            stdin,
            stdout,
            stderr,
            hints: || false,
            colors: || false,
            owns_process: false,
            state_directory: None,
            terminal: None,
            log: None,
            connections: Path::new("/dev/null"),
            program: "ipvs-cli",
            proc: None,
        }
    }

    /// Everything that belongs to this process and this machine.
    pub fn of_this_process(stdin: &'e mut dyn Input, stdout: &'e mut dyn Write, stderr: &'e mut dyn Write) -> Self {
        Environment {
            hints: || Output::stderr().is_terminal(),
            colors: || Output::stdout().is_terminal(),
            owns_process: true,
            // It is emptied at boot, as the kernel's table is.
            state_directory: Some(Path::new("/run/ipvs-cli")),
            // Opening it fails if no terminal started the process.
            terminal: Some(Path::new("/dev/tty")),
            // Where journald, rsyslog and the syslog daemon of busybox listen.
            log: Some(Path::new("/dev/log")),
            // That of this thread, which may have entered another network namespace.
            connections: Path::new("/proc/thread-self/net/ip_vs_conn"),
            proc: Some(Path::new("/proc")),
            ..Environment::new(stdin, stdout, stderr)
        }
    }

    /// The same, for a shorter time.
    pub(crate) fn reborrow(&mut self) -> Environment<'_> {
        Environment { stdin: &mut *self.stdin, stdout: &mut *self.stdout, stderr: &mut *self.stderr, ..*self }
    }

    /// The same, but for what is read.
    pub(crate) fn reading<'a>(&'a mut self, stdin: &'a mut dyn Input) -> Environment<'a> {
        Environment { stdin, ..self.reborrow() }
    }

    /// Can a progress line be shown on standard error?
    pub(crate) fn shows_progress(&self) -> bool {
        self.owns_process && (self.hints)()
    }

    /// Is standard output the terminal of this process?
    pub(crate) fn has_screen(&self) -> bool {
        self.owns_process && (self.colors)()
    }

    /// Adds the network interfaces of this thread's namespace to the table, as a sync daemon needs
    /// one.
    pub(crate) fn with_interfaces(&self, table: Table) -> Table {
        let read = self.proc.and_then(|proc| fs::read_to_string(proc.join("thread-self/net/dev")).ok());
        let Some(text) = read else { return table };
        // After two lines of titles, a line for each interface, with its name up to a colon.
        let names = text.lines().skip(2).filter_map(|line| InterfaceName::new(line.split(':').next()?.trim()).ok());
        table.with_interfaces(names)
    }
}
