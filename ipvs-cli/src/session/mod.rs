//! What goes on between a subcommand and whoever runs it.

pub(crate) mod journal;
pub(crate) mod json;
pub(crate) mod progress;
pub(crate) mod turn;

use std::fmt::Display as Shown;
use std::path::Path;
use std::time::{Duration, Instant};

use ipvs::desired::{Problem, Problems};
use ipvs::{Client, Error, Report};

use crate::director::{Director, is_forbidden};
use crate::env::Environment;
use crate::exit::Exit;
use crate::session::journal::{Logging, Record};
use crate::session::progress::Display;
use crate::session::turn::Turn;
use crate::state::file::FileError;
use crate::state::lock::{Denied, Holder, Lock};
use crate::state::notes::Notes;

/// One run of a subcommand.
pub(crate) struct Session<'a, 's> {
    pub(crate) environment: &'a mut Environment<'s>,
    pub(crate) director: &'a mut Director,
    pub(crate) display: Display,
    visible: bool,
    quiet: bool,
}

/// What is so if the lock is not to be had, and what to do.
pub(crate) const UNCHANGED: &str = "nothing was changed; --wait SECONDS waits longer";

/// How long to wait for the lock.
#[derive(Clone, Copy)]
pub(crate) struct Wait<'w> {
    pub(crate) patience: Duration,
    /// What is so if it is not to be had, and what to do: the end of a sentence.
    pub(crate) otherwise: &'w str,
    /// Ends the wait early.
    pub(crate) is_over: &'w dyn Fn() -> bool,
}

impl<'w> Wait<'w> {
    pub(crate) fn new(patience: Duration) -> Self {
        Wait { patience, otherwise: UNCHANGED, is_over: &|| false }
    }
}

/// What ends a subcommand before anything was changed.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The desired state is wrong, or can't be made.
    Problems(Vec<Problem>),
    /// There is no IPVS, or it can't be read.
    Kernel(Error),
    /// It can't be made: lines that say why.
    Lines(String),
    /// Something else.
    Other(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Kernel(error)
    }
}

impl From<Problems> for Trouble {
    fn from(problems: Problems) -> Self {
        Trouble::Problems(problems.into())
    }
}

/// Why the director can't be asked, and what is needed.
fn why(error: &Error) -> String {
    const FORBIDDEN: &str =
        "Permission denied (you must be root): it takes CAP_NET_ADMIN in the initial user namespace";
    if is_forbidden(error) { FORBIDDEN.to_owned() } else { Report::new(error).to_string() }
}

impl Trouble {
    /// Who is not at the terminal is told so.
    pub(crate) fn text(&self) -> String {
        match self {
            Trouble::Problems(problems) => {
                problems.iter().map(|problem| format!("{}: {}\n", problem.place, problem.reason)).collect()
            }
            Trouble::Kernel(error) => format!("{}\n", why(error)),
            Trouble::Lines(lines) => lines.clone(),
            Trouble::Other(message) => format!("{message}\n"),
        }
    }
}

impl<'a, 's> Session<'a, 's> {
    pub(crate) fn new(environment: &'a mut Environment<'s>, director: &'a mut Director, quiet: bool) -> Self {
        let visible = !quiet && environment.shows_progress();
        Session { environment, director, display: Display::new(visible), visible, quiet }
    }

    /// What goes on now, for the line on the terminal.
    pub(crate) fn progress(&self, what: &str) {
        self.display.progress(|| what.to_owned());
    }

    /// Says something that begins with its place.
    pub(crate) fn message(&mut self, message: impl Shown) {
        self.write(&format!("{message}\n"));
    }

    /// Says what is wrong.
    pub(crate) fn error(&mut self, message: impl Shown) {
        self.write(&format!("ipvs-cli: {message}\n"));
    }

    /// Says what is good to know.
    pub(crate) fn note(&mut self, message: impl Shown) {
        if !self.quiet {
            self.error(message);
        }
    }

    /// Says what is wrong in a file, or only suspicious.
    fn problems(&mut self, kind: &str, problems: &[Problem]) {
        let text: String =
            problems.iter().map(|problem| format!("{}: {kind}{}\n", problem.place, problem.reason)).collect();
        self.write(&text);
    }

    /// Says what was done.
    pub(crate) fn report(&mut self, message: impl Shown) {
        if !self.quiet {
            self.print(message);
        }
    }

    /// Writes what was asked for.
    pub(crate) fn print(&mut self, line: impl Shown) {
        self.display.end();
        // Errors of writing are reported at the end.
        let _ = writeln!(self.environment.stdout, "{line}");
    }

    /// Asks: the answer is typed behind the question.
    pub(crate) fn ask(&mut self, question: &str) -> Result<(), Trouble> {
        self.display.end();
        let asked =
            self.environment.stderr.write_all(question.as_bytes()).and_then(|()| self.environment.stderr.flush());
        asked.map_err(|error| Trouble::Other(format!("standard error: {error}")))
    }

    /// Writes a line to the system's log, if there is one and no option is against it.
    pub(crate) fn log(&self, logging: &Logging, record: &Record<'_>) {
        if let Some(socket) = self.environment.log {
            record.send(logging, socket);
        }
    }

    /// Warnings of a file.
    pub(crate) fn warnings(&mut self, warnings: &[Problem]) {
        if !self.quiet && !warnings.is_empty() {
            self.problems("warning: ", warnings);
        }
    }

    /// The exit status of what was done, or of the trouble, which is reported: [`Exit::Trouble`] without IPVS, else this one.
    pub(crate) fn finish(&mut self, done: Result<Exit, Trouble>, otherwise: Exit) -> Exit {
        let trouble = match done {
            Ok(exit) => return exit,
            Err(trouble) => trouble,
        };
        let exit = if matches!(trouble, Trouble::Kernel(_)) { Exit::Trouble } else { otherwise };
        match trouble {
            Trouble::Problems(problems) => self.problems("", &problems),
            Trouble::Kernel(error) => self.error(why(&error)),
            Trouble::Lines(lines) => self.write(&lines),
            Trouble::Other(message) => self.error(message),
        }
        exit
    }

    /// Waits for the right to change the director.
    pub(crate) fn take_turn(&mut self, wait: &Wait<'_>) -> Result<Turn, Trouble> {
        self.lock_unless(|| Ok(()), wait).map(Turn::new)
    }

    /// As [`take_turn`](Self::take_turn). If it has to wait, `trouble` is asked first, and its error ends it.
    pub(crate) fn take_turn_unless(
        &mut self,
        trouble: impl FnOnce() -> Result<(), Trouble>,
        wait: &Wait<'_>,
    ) -> Result<Turn, Trouble> {
        self.lock_unless(trouble, wait).map(Turn::new)
    }

    /// Takes the lock of this director; `None` where there is none to take.
    pub(crate) fn lock(&mut self, wait: &Wait<'_>) -> Result<Option<Lock>, Trouble> {
        self.lock_unless(|| Ok(()), wait)
    }

    fn lock_unless(
        &mut self,
        trouble: impl FnOnce() -> Result<(), Trouble>,
        wait: &Wait<'_>,
    ) -> Result<Option<Lock>, Trouble> {
        let Some(directory) = self.environment.state_directory else { return Ok(None) };
        let denied = match self.try_lock(directory, &Wait { patience: Duration::ZERO, ..*wait }) {
            Ok(lock) => return Ok(Some(lock)),
            Err(denied) => denied,
        };
        trouble()?;
        let taken = match denied {
            Denied::Held(_) if wait.patience != Duration::ZERO => self.try_lock(directory, wait),
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
                if let Err(error) = self.director.client().and_then(Client::info)
                    && is_forbidden(&error)
                {
                    return Err(Trouble::Kernel(error));
                }
                self.note(format!("{error}; going on without a lock against another ipvs-cli"));
                Ok(None)
            }
        }
    }

    fn try_lock(&self, directory: &Path, wait: &Wait<'_>) -> Result<Lock, Denied> {
        // What is later than any clock shows is never.
        let until = Instant::now().checked_add(wait.patience);
        Lock::take(directory, until, &mut |holder| {
            self.display.progress(|| waiting_for(holder));
            !(wait.is_over)()
        })
    }

    /// The notes of what is drained. If they can't be read, that is said, and there are none.
    pub(crate) fn notes(&mut self) -> Notes {
        self.read_notes().unwrap_or_else(|error| {
            self.error(format!("the weights that `drain` has noted can't be read: {error}"));
            Notes::default()
        })
    }

    /// As [`notes`](Self::notes), for those who can't go on without them.
    pub(crate) fn read_notes(&mut self) -> Result<Notes, FileError> {
        let notes = Notes::read(self.environment.state_directory)?;
        if let Some(damage) = notes.damage() {
            self.error(format!(
                "{damage}; `undrain` does not know the weight of that real server, and `apply` needs --undrain, until \
                 the line is mended or removed"
            ));
        }
        Ok(notes)
    }

    /// Keeps the notes, under the lock. Are they where `undrain` finds them? If they can't be kept, that is said.
    pub(crate) fn save(&mut self, notes: &mut Notes) -> bool {
        notes.save().unwrap_or_else(|error| {
            self.error(format!("the weights that `drain` notes can't be written: {error}"));
            false
        })
    }

    /// A message, with the line off the terminal.
    fn write(&mut self, text: &str) {
        self.display.end();
        // To where nothing could be said about it.
        let _ = self.environment.stderr.write_all(text.as_bytes());
        self.display = Display::new(self.visible);
    }
}

pub(crate) fn waiting_for(holder: &Holder) -> String {
    format!("waiting for {holder}, which is at work on this director{}", holder.details())
}
