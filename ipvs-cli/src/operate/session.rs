//! What goes on between a subcommand and whoever runs it.

use std::fmt::Display as Shown;
use std::path::Path;
use std::time::{Duration, Instant};

use ipvs::Client;
use ipvs::desired::{Problem, Problems};

use super::atomic_file::FileError;
use super::drain::Notes;
use super::journal::{Logging, Record};
use super::lock::{Denied, Holder, Lock};
use super::progress::Display;
use crate::failure::Failure;
use crate::io::Streams;
use crate::kernel::Kernel;

/// One run of a subcommand.
pub(super) struct Session<'a, 's> {
    pub(super) streams: &'a mut Streams<'s>,
    pub(super) kernel: &'a mut Kernel,
    pub(super) display: Display,
    visible: bool,
    quiet: bool,
}

/// How long to wait for the lock.
#[derive(Clone, Copy)]
pub(super) struct Wait<'w> {
    /// `None`: as long as it takes.
    pub(super) patience: Option<Duration>,
    /// What is so if it is not to be had, and what to do: the end of a sentence.
    pub(super) otherwise: &'w str,
    /// Ends the wait early.
    pub(super) is_over: &'w dyn Fn() -> bool,
}

impl<'w> Wait<'w> {
    pub(super) fn new(patience: Option<Duration>, otherwise: &'w str) -> Self {
        Wait { patience, otherwise, is_over: &|| false }
    }
}

/// What ends a subcommand before anything was changed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The desired state is wrong, or can't be made.
    Problems(Vec<Problem>),
    /// There is no IPVS, or it can't be read.
    Kernel(Failure),
    /// It can't be made: lines that say why.
    Told(String),
    /// Something else.
    Other(String),
}

impl From<Problems> for Trouble {
    fn from(problems: Problems) -> Self {
        Trouble::Problems(problems.into())
    }
}

/// ipvsadm's words, without its question whether the kernel has IPVS, and what is needed.
const FORBIDDEN: &str = "Permission denied (you must be root): it takes CAP_NET_ADMIN in the initial user namespace";

impl Trouble {
    /// Who is not at the terminal is told so.
    pub(super) fn text(&self) -> String {
        match self {
            Trouble::Problems(problems) => {
                problems.iter().map(|problem| format!("{}: {}\n", problem.place, problem.reason)).collect()
            }
            Trouble::Kernel(failure) if failure.is_forbidden() => format!("{FORBIDDEN}\n"),
            Trouble::Kernel(failure) => failure.text(b"ipvs-cli"),
            Trouble::Told(lines) => lines.clone(),
            Trouble::Other(message) => format!("{message}\n"),
        }
    }
}

impl<'a, 's> Session<'a, 's> {
    pub(super) fn new(streams: &'a mut Streams<'s>, kernel: &'a mut Kernel, quiet: bool) -> Self {
        let visible = !quiet && kernel.is_of_this_machine() && (streams.hints)();
        Session { streams, kernel, display: Display::new(visible), visible, quiet }
    }

    /// What goes on now, for the line on the terminal.
    pub(super) fn doing(&self, what: &str) {
        self.display.doing(|| what.to_owned());
    }

    /// Says something that begins with its place.
    pub(super) fn say(&mut self, message: impl Shown) {
        self.write(&format!("{message}\n"));
    }

    /// Says what is wrong.
    pub(super) fn complain(&mut self, message: impl Shown) {
        self.write(&format!("ipvs-cli: {message}\n"));
    }

    /// Says what is good to know.
    pub(super) fn note(&mut self, message: impl Shown) {
        if !self.quiet {
            self.complain(message);
        }
    }

    /// Says what is wrong in a file, or only suspicious.
    fn problems(&mut self, kind: &str, problems: &[Problem]) {
        let text: String =
            problems.iter().map(|problem| format!("{}: {kind}{}\n", problem.place, problem.reason)).collect();
        self.write(&text);
    }

    /// Says what was done.
    pub(super) fn report(&mut self, message: impl Shown) {
        if !self.quiet {
            self.print(message);
        }
    }

    /// Writes what was asked for.
    pub(super) fn print(&mut self, line: impl Shown) {
        self.display.end();
        // Of errors of writing it is told at the end.
        let _ = writeln!(self.streams.stdout, "{line}");
    }

    /// Asks: the answer is typed behind the question.
    pub(super) fn ask(&mut self, question: &str) -> Result<(), Trouble> {
        self.display.end();
        let asked = self.streams.stderr.write_all(question.as_bytes()).and_then(|()| self.streams.stderr.flush());
        asked.map_err(|error| Trouble::Other(format!("standard error: {error}")))
    }

    /// Writes a line to the system's log, if the director is this machine's.
    pub(super) fn log(&self, logging: &Logging, record: &Record<'_>) {
        if self.kernel.is_of_this_machine() {
            record.send(logging);
        }
    }

    /// Warnings of a file.
    pub(super) fn warn(&mut self, warnings: &[Problem]) {
        if !self.quiet && !warnings.is_empty() {
            self.problems("warning: ", warnings);
        }
    }

    /// The exit status of what was done, or else this one, and what was the trouble.
    pub(super) fn conclude(&mut self, done: Result<u8, Trouble>, status: u8) -> u8 {
        match done {
            Ok(status) => return status,
            Err(Trouble::Problems(problems)) => self.problems("", &problems),
            Err(Trouble::Kernel(failure)) if failure.is_forbidden() => self.complain(FORBIDDEN),
            Err(Trouble::Kernel(failure)) => {
                self.display.end();
                failure.tell(b"ipvs-cli", self.streams);
            }
            Err(Trouble::Told(lines)) => self.write(&lines),
            Err(Trouble::Other(message)) => self.complain(message),
        }
        status
    }

    /// Takes the lock of this director; `None` where there is none to take.
    pub(super) fn take_turn(&mut self, wait: &Wait<'_>) -> Result<Option<Lock>, Trouble> {
        self.take_turn_unless(|| Ok(()), wait)
    }

    /// As [`take_turn`](Self::take_turn), unless there is a trouble that is to be told before it waits, or says anything.
    pub(super) fn take_turn_unless(
        &mut self,
        trouble: impl FnOnce() -> Result<(), Trouble>,
        wait: &Wait<'_>,
    ) -> Result<Option<Lock>, Trouble> {
        let Some(directory) = self.kernel.state_directory() else { return Ok(None) };
        let denied = match self.lock(&directory, &Wait { patience: Some(Duration::ZERO), ..*wait }) {
            Ok(lock) => return Ok(Some(lock)),
            Err(denied) => denied,
        };
        trouble()?;
        let taken = match denied {
            Denied::Held(_) if wait.patience != Some(Duration::ZERO) => self.lock(&directory, wait),
            denied => Err(denied),
        };
        match taken {
            Ok(lock) => Ok(Some(lock)),
            Err(Denied::Held(holder)) => {
                let details = holder.details();
                Err(Trouble::Other(format!("{holder} is at work on this director{details}; {}", wait.otherwise)))
            }
            Err(Denied::Unavailable(error)) => {
                // Who may change nothing needs no lock.
                if let Err(error) = self.kernel.client().and_then(Client::info) {
                    let failure = Failure::read(error);
                    if failure.is_forbidden() {
                        return Err(Trouble::Kernel(failure));
                    }
                }
                self.note(format!("{error}; going on without a lock against another ipvs-cli"));
                Ok(None)
            }
        }
    }

    fn lock(&self, directory: &Path, wait: &Wait<'_>) -> Result<Lock, Denied> {
        // What is later than any clock shows is never.
        let until = wait.patience.and_then(|patience| Instant::now().checked_add(patience));
        Lock::take(directory, until, &mut |holder| {
            self.display.doing(|| waiting_for(holder));
            !(wait.is_over)()
        })
    }

    /// The notes of what is drained. If they can't be read, that is said, and there are none.
    pub(super) fn notes(&mut self) -> Notes {
        self.read_notes().unwrap_or_else(|error| {
            self.complain(format!("the weights that `drain` has noted can't be read: {error}"));
            Notes::default()
        })
    }

    /// As [`notes`](Self::notes), for those who can't go on without them.
    pub(super) fn read_notes(&mut self) -> Result<Notes, FileError> {
        let notes = Notes::read(self.kernel.state_directory().as_deref())?;
        if let Some(damage) = notes.damage() {
            self.complain(format!(
                "{damage}; `undrain` does not know the weight of that real server, and `apply` needs --undrain, until \
                 the line is mended or removed"
            ));
        }
        Ok(notes)
    }

    /// Keeps the notes, under the lock. Are they where `undrain` finds them? If they can't be kept, that is said.
    pub(super) fn save(&mut self, notes: &mut Notes) -> bool {
        notes.save().unwrap_or_else(|error| {
            self.complain(format!("the weights that `drain` notes can't be written: {error}"));
            false
        })
    }

    /// A message, with the line off the terminal.
    fn write(&mut self, text: &str) {
        self.display.end();
        // To where nothing could be said about it.
        let _ = self.streams.stderr.write_all(text.as_bytes());
        self.display = Display::new(self.visible);
    }
}

pub(crate) fn waiting_for(holder: &Holder) -> String {
    format!("waiting for {holder}, which is at work on this director{}", holder.details())
}
