//! The conversation of a subcommand with its user: messages, lock, notes.

pub(crate) mod guard;
pub(crate) mod journal;
pub(crate) mod json;
pub(crate) mod progress;

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use ipvs::desired::{Problem, Problems};
use ipvs::{Client, Error, Report};

use crate::director::injection::{self, InjectionError};
use crate::director::{Director, is_forbidden};
use crate::env::Environment;
use crate::exit::Exit;
use crate::io::FileInput;
use crate::session::guard::ChangeGuard;
use crate::session::journal::{Logging, Record};
use crate::session::progress::ProgressLine;
use crate::state::daemons::DaemonNote;
use crate::state::file::FileError;
use crate::state::lock::{Denied, Holder, Lock};
use crate::state::notes::Notes;

/// One run of a subcommand.
pub(crate) struct Session<'a, 's> {
    pub(crate) environment: &'a mut Environment<'s>,
    pub(crate) director: &'a mut Director,
    pub(crate) display: ProgressLine,
    visible: bool,
    quiet: bool,
}

/// What is so if the lock is not to be had, and what to do.
const UNCHANGED: &str = "nothing was changed; --wait SECONDS waits longer";

/// How long to wait for the lock.
#[derive(Clone, Copy)]
pub(crate) struct Wait<'w> {
    pub(crate) patience: Duration,
    /// The end of the message if the lock stays taken: the consequence and what to do.
    pub(crate) otherwise: &'w str,
    /// Ends the wait early.
    pub(crate) is_over: &'w dyn Fn() -> bool,
    /// Finds errors that should be reported at once instead of after a wait.
    pub(crate) check: &'w dyn Fn() -> Result<(), Trouble>,
    /// Is IPVS changed, and not only the rules that mark packets, which takes fewer rights?
    pub(crate) is_for_ipvs: bool,
}

impl<'w> Wait<'w> {
    pub(crate) fn new(patience: Duration) -> Self {
        Wait { patience, otherwise: UNCHANGED, is_over: &|| false, check: &|| Ok(()), is_for_ipvs: true }
    }
}

/// Why a subcommand ended before it changed anything.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The desired state is wrong or impossible.
    Problems(Vec<Problem>),
    /// No IPVS, no right to it, or a failed reading.
    Kernel(Error),
    /// Whole lines, without a prefix.
    Lines(String),
    /// A message that gets the prefix `ipvs-cli: `.
    Other(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Kernel(error)
    }
}

impl From<InjectionError> for Trouble {
    fn from(error: InjectionError) -> Self {
        match error {
            InjectionError::Kernel(error) => Trouble::Kernel(error),
            error => Trouble::Other(error.to_string()),
        }
    }
}

impl From<Problems> for Trouble {
    fn from(problems: Problems) -> Self {
        Trouble::Problems(problems.into())
    }
}

/// Why the director can't be used, and what is needed.
fn describe(error: &Error) -> String {
    const FORBIDDEN: &str =
        "Permission denied (you must be root): it takes CAP_NET_ADMIN in the initial user namespace";
    if is_forbidden(error) { FORBIDDEN.to_owned() } else { Report::new(error).to_string() }
}

impl Trouble {
    /// As text for a log or an HTTP client.
    pub(crate) fn text(&self) -> String {
        match self {
            Trouble::Problems(problems) => {
                problems.iter().map(|problem| format!("{}: {}\n", problem.place, problem.reason)).collect()
            }
            Trouble::Kernel(error) => format!("{}\n", describe(error)),
            Trouble::Lines(lines) => lines.clone(),
            Trouble::Other(message) => format!("{message}\n"),
        }
    }
}

impl<'a, 's> Session<'a, 's> {
    pub(crate) fn new(environment: &'a mut Environment<'s>, director: &'a mut Director, quiet: bool) -> Self {
        let visible = !quiet && environment.shows_progress();
        Session { environment, director, display: ProgressLine::new(visible), visible, quiet }
    }

    /// The program's name in messages.
    pub(crate) fn program(&self) -> &'static str {
        self.environment.program
    }

    /// Updates the line on the terminal that shows what is being done.
    pub(crate) fn progress(&self, what: &str) {
        self.display.progress(|| what.to_owned());
    }

    /// Prints a message that begins with its place.
    pub(crate) fn message(&mut self, message: impl Display) {
        self.write(&format!("{message}\n"));
    }

    /// Prints an error.
    pub(crate) fn error(&mut self, message: impl Display) {
        self.write(&format!("{}: {message}\n", self.program()));
    }

    /// Prints a remark, unless `--quiet`.
    pub(crate) fn note(&mut self, message: impl Display) {
        if !self.quiet {
            self.error(message);
        }
    }

    /// Prints errors or warnings of a file.
    fn problems(&mut self, kind: &str, problems: &[Problem]) {
        let text: String =
            problems.iter().map(|problem| format!("{}: {kind}{}\n", problem.place, problem.reason)).collect();
        self.write(&text);
    }

    /// Prints what was done, unless `--quiet`.
    pub(crate) fn report(&mut self, message: impl Display) {
        if !self.quiet {
            self.print(message);
        }
    }

    /// Prints a result.
    pub(crate) fn print(&mut self, line: impl Display) {
        self.display.end();
        // Errors of writing are reported at the end.
        let _ = writeln!(self.environment.stdout, "{line}");
    }

    /// Is there a person to ask?
    pub(crate) fn can_ask(&self) -> bool {
        (self.environment.hints)() && (self.environment.stdin.is_terminal() || self.terminal().is_some())
    }

    /// The terminal of this process, for an answer where standard input is a file.
    fn terminal(&self) -> Option<FileInput> {
        self.environment.terminal.and_then(|path| File::open(path).ok()).map(FileInput)
    }

    /// Asks. The user types the answer after the question.
    pub(crate) fn confirm(&mut self, question: &str) -> Result<bool, Trouble> {
        self.display.end();
        let question = format!("{question} [y/N] ");
        let asked =
            self.environment.stderr.write_all(question.as_bytes()).and_then(|()| self.environment.stderr.flush());
        asked.map_err(|error| Trouble::Other(format!("standard error: {error}")))?;
        let mut terminal = self.terminal();
        let input: &mut dyn Read = match &mut terminal {
            Some(terminal) if !self.environment.stdin.is_terminal() => terminal,
            _ => &mut self.environment.stdin,
        };
        let answer = read_line(input).map_err(|error| Trouble::Other(format!("the answer can't be read: {error}")))?;
        Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
    }

    /// Writes a line to the system's log, if there is one and no option is against it.
    pub(crate) fn log(&self, logging: &Logging, record: &Record<'_>) {
        if let Some(socket) = self.environment.log {
            record.send(logging, socket);
        }
    }

    /// Prints warnings of a file, unless `--quiet`.
    pub(crate) fn warnings(&mut self, warnings: &[Problem]) {
        if !self.quiet && !warnings.is_empty() {
            self.problems("warning: ", warnings);
        }
    }

    /// Prints the trouble, if there is one. Returns the exit status: [`Exit::Trouble`] without
    /// IPVS, else `otherwise`.
    pub(crate) fn finish(&mut self, done: Result<Exit, Trouble>, otherwise: Exit) -> Exit {
        let trouble = match done {
            Ok(exit) => return exit,
            Err(trouble) => trouble,
        };
        let exit = if matches!(trouble, Trouble::Kernel(_)) { Exit::Trouble } else { otherwise };
        match trouble {
            Trouble::Problems(problems) => self.problems("", &problems),
            Trouble::Kernel(error) => self.error(describe(&error)),
            Trouble::Lines(lines) => self.write(&lines),
            Trouble::Other(message) => self.error(message),
        }
        exit
    }

    /// Takes the lock of this director, to change it.
    pub(crate) fn guard(&mut self, wait: &Wait<'_>) -> Result<ChangeGuard, Trouble> {
        self.lock(wait).map(ChangeGuard::new)
    }

    /// Takes the lock of this director; `None` where no lock can be taken.
    pub(crate) fn lock(&mut self, wait: &Wait<'_>) -> Result<Option<Lock>, Trouble> {
        let Some(directory) = self.environment.state_directory else { return Ok(None) };
        let denied = match self.try_lock(directory, &Wait { patience: Duration::ZERO, ..*wait }) {
            Ok(lock) => return self.recover(directory).map(|()| Some(lock)),
            Err(denied) => denied,
        };
        (wait.check)()?;
        let taken = match denied {
            Denied::Held(_) if wait.patience != Duration::ZERO => self.try_lock(directory, wait),
            denied => Err(denied),
        };
        match taken {
            Ok(lock) => self.recover(directory).map(|()| Some(lock)),
            Err(Denied::Held(holder)) => {
                Err(Trouble::Other(format!("{holder} {}; {}", holder.state(), wait.otherwise)))
            }
            Err(Denied::Unavailable(error)) => {
                // Without rights nothing can be changed, so the lock does not matter.
                if wait.is_for_ipvs
                    && let Err(error) = self.director.client().and_then(Client::info)
                    && is_forbidden(&error)
                {
                    return Err(Trouble::Kernel(error));
                }
                // Also with --quiet, as another run may now change the same things.
                self.error(format!(
                    "{error}; going on without a lock against another ipvs-cli; --state-dir names another directory"
                ));
                Ok(None)
            }
        }
    }

    /// Makes the sync daemons as a run that was killed had found them.
    fn recover(&mut self, directory: &Path) -> Result<(), Trouble> {
        if !DaemonNote::may_be_there(directory) {
            return Ok(());
        }
        if let Some(DaemonNote { before, .. }) = injection::recover(self.director.client()?, directory)? {
            let now = before.map_or_else(
                || "it is stopped".to_owned(),
                |before| format!("it is stopped, and that of {} runs again", before.interface),
            );
            self.note(format!("an earlier ipvs-cli was killed while its backup sync daemon ran: {now}"));
        }
        Ok(())
    }

    fn try_lock(&self, directory: &Path, wait: &Wait<'_>) -> Result<Lock, Denied> {
        // A limit that the clock can't represent is none.
        let until = Instant::now().checked_add(wait.patience);
        Lock::take(directory, until, &mut |holder| {
            self.display.progress(|| waiting_for(holder));
            !(wait.is_over)()
        })
    }

    /// The notes of drained destinations. If they can't be read, prints why and returns none.
    pub(crate) fn notes(&mut self) -> Notes {
        self.read_notes().unwrap_or_else(|error| {
            self.error(format!("the weights that `drain` has noted can't be read: {error}"));
            Notes::default()
        })
    }

    /// As [`notes`](Self::notes), for callers that can't go on without them.
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

    /// Writes the notes, under the lock. Returns whether `undrain` will find them; prints an error
    /// if not.
    pub(crate) fn save(&mut self, notes: &mut Notes) -> bool {
        notes.save().unwrap_or_else(|error| {
            self.error(format!("the weights that `drain` notes can't be written: {error}"));
            false
        })
    }

    /// Prints a message in place of the line on the terminal.
    fn write(&mut self, text: &str) {
        self.display.end();
        // An error of standard error can't be reported.
        let _ = self.environment.stderr.write_all(text.as_bytes());
        self.display = ProgressLine::new(self.visible);
    }
}

pub(crate) fn waiting_for(holder: &Holder) -> String {
    format!("waiting for {holder}, which {}", holder.state())
}

/// Reads byte by byte, as what follows the line may be meant for another program.
fn read_line(input: &mut dyn Read) -> io::Result<String> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while input.read(&mut byte)? == 1 && byte != *b"\n" {
        line.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}
