//! How a command line fails: message and exit status.

use std::borrow::Cow;
use std::io::{self, Write};

use ipvs::{Cause, Errno, Error, Report};
use ipvs_text::ipvsadm::{Parser, Usage, Words, refused};

use crate::director::{has_raw_sockets, is_unavailable};
use crate::env::Environment;
use crate::exit::Exit;
use crate::hint::{self, Place};

/// Why a command line was not carried out.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Wrong usage.
    Usage {
        /// What is wrong.
        usage: Usage,
        /// What would mend it, if that is known.
        hint: Option<String>,
    },
    /// No IPVS, or no permission to use it.
    Unavailable(Error),
    /// The kernel refused a change, or its reply was lost.
    Change {
        /// The error.
        error: Error,
        /// The reason, if it is known.
        cause: Option<String>,
    },
    /// The connection failed during the last lines of `-R`.
    Lost {
        /// [`Error::OutcomeUnknown`] if they were sent.
        error: Error,
        /// Number of lines with changes among them.
        lines: usize,
    },
    /// Another `ipvs-cli` is changing the director: which one, and that nothing was changed.
    Busy(String),
    /// The kernel could not be read.
    Read {
        /// The error.
        error: Error,
        /// The reason, if it is known.
        cause: Option<String>,
    },
    /// A file could not be read or parsed.
    File {
        /// Its name.
        path: String,
        /// The error.
        error: String,
    },
}

impl Failure {
    /// A line that was not understood; with a hint if a person reads the messages.
    pub(crate) fn usage(usage: Usage, words: &Words, parser: &mut Parser<'_>, hints: fn() -> bool) -> Self {
        let hint = if hints() { hint::usage(words, &usage, parser) } else { None };
        Failure::Usage { usage, hint }
    }

    /// A change that failed.
    pub(crate) fn change(error: Error) -> Self {
        if is_unavailable(&error) { Failure::Unavailable(error) } else { Failure::Change { error, cause: None } }
    }

    /// Changes that were sent together and have no reply.
    pub(crate) fn lost(error: Error, lines: usize) -> Self {
        match Failure::change(error) {
            Failure::Change { error, .. } => Failure::Lost { error, lines },
            unavailable => unavailable,
        }
    }

    /// A read that failed.
    pub(crate) fn read(error: Error) -> Self {
        if is_unavailable(&error) { Failure::Unavailable(error) } else { Failure::Read { error, cause: None } }
    }

    /// Standard input can't be read.
    pub(crate) fn stdin(error: &io::Error) -> Self {
        let error = error.raw_os_error().map_or_else(|| error.to_string(), |errno| Errno::new(errno).to_string());
        Failure::File { path: "standard input".to_owned(), error }
    }

    /// The kernel's error number, if it refused something.
    pub(crate) fn refused(&self) -> Option<Errno> {
        match self {
            Failure::Change { error: Error::Refused(refusal), .. } => Some(refusal.errno),
            Failure::Read { error: Error::Refused(refusal), .. } => Some(refusal.errno),
            _ => None,
        }
    }

    /// Adds the reason for the refusal.
    pub(crate) fn because(self, cause: Option<Cause>) -> Self {
        let cause = cause.map(|cause| cause.to_string());
        match self {
            Failure::Change { error, .. } => Failure::Change { error, cause },
            Failure::Read { error, .. } => Failure::Read { error, cause },
            other => other,
        }
    }

    /// The exit status.
    fn exit(&self) -> Exit {
        match self {
            Failure::Usage { usage, .. } if usage.exit_status() == u8::from(Exit::Refused) => Exit::Refused,
            Failure::Usage { .. } | Failure::Unavailable(_) => Exit::Trouble,
            Failure::Change { .. } | Failure::Lost { .. } | Failure::Busy(_) => Exit::Refused,
            Failure::Read { .. } | Failure::File { .. } => Exit::No,
        }
    }

    /// Prints it to standard error; returns the exit status. `place` is the line of `-R`.
    pub(crate) fn report(&self, place: Option<&Place>, program: &[u8], environment: &mut Environment<'_>) -> Exit {
        let hint = hint::line(place, self.hint()).filter(|_| (environment.hints)());
        // An error of standard error can't be reported.
        let _ = self.write(environment.stderr, program, hint.as_deref());
        self.exit()
    }

    /// What ipvsadm's message leaves open.
    fn hint(&self) -> Option<&str> {
        match self {
            Failure::Usage { hint, .. } => hint.as_deref(),
            Failure::Change { cause, .. } | Failure::Read { cause, .. } => cause.as_deref(),
            Failure::Unavailable(_) | Failure::Lost { .. } | Failure::Busy(_) | Failure::File { .. } => None,
        }
    }

    /// Writes the message, in one piece.
    fn write(&self, out: &mut dyn Write, program: &[u8], hint: Option<&str>) -> io::Result<()> {
        let mut text = Vec::new();
        match self {
            Failure::Usage { usage, .. } => usage.write(&mut text, program)?,
            Failure::Unavailable(error) => {
                writeln!(text, "Can't initialize ipvs: {}", why_unavailable(error, has_raw_sockets))?;
                text.extend_from_slice(b"Are you sure that IP Virtual Server is built in the kernel or as module?\n");
            }
            Failure::Change { error, .. } | Failure::Read { error, .. } => writeln!(text, "{}", describe(error))?,
            Failure::Lost { error, lines } => {
                let which = format!("the last {lines} changes that were read");
                let (why, became) = match error {
                    Error::OutcomeUnknown { source, .. } => {
                        (&**source, format!("It is unknown which of {which} were made"))
                    }
                    why => (why, format!("None of {which} were made")),
                };
                writeln!(text, "{}\n{became}; those before them were made or refused as reported.", describe(why))?;
            }
            Failure::Busy(message) => writeln!(text, "{message}")?,
            Failure::File { path, error } => writeln!(text, "{path}: {error}")?,
        }
        if let Some(hint) = hint {
            writeln!(text, "{hint}")?;
        }
        out.write_all(&text)
    }
}

/// In ipvsadm's words if it has a message for it.
fn describe(error: &Error) -> Cow<'static, str> {
    match error {
        Error::Refused(refusal) => refused::message(*refusal),
        error => Report::new(error).to_string().into(),
    }
}

/// Why there is no IPVS, in ipvsadm's words.
fn why_unavailable(error: &Error, permitted: fn() -> bool) -> String {
    match error {
        Error::ModuleMissing if permitted() => "Protocol not available".to_owned(),
        // Without the right to ask, the module could not be loaded either.
        Error::ModuleMissing => "Permission denied (you must be root)".to_owned(),
        error => describe(error).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use ipvs::{CommandKind, Refusal};

    use super::*;

    fn written(failure: &Failure) -> (String, u8) {
        let mut text = Vec::new();
        failure.write(&mut text, b"ipvsadm", None).unwrap();
        (String::from_utf8(text).unwrap(), u8::from(failure.exit()))
    }

    fn refused(command: CommandKind, errno: Errno) -> Error {
        Refusal::new(command, errno).into()
    }

    #[test]
    fn a_missing_permission_is_reported_as_missing_ipvs() {
        let text = "Can't initialize ipvs: Permission denied (you must be root)\n\
                    Are you sure that IP Virtual Server is built in the kernel or as module?\n";
        let change = Failure::change(refused(CommandKind::Flush, Errno::EPERM));
        let read = Failure::read(refused(CommandKind::GetService, Errno::EPERM));
        assert_eq!([written(&change), written(&read)], [(text.to_owned(), 2), (text.to_owned(), 2)]);
    }

    #[test]
    fn a_lost_reply_is_reported_as_unknown() {
        let unknown = Error::OutcomeUnknown { known: Vec::new(), source: Box::new(Error::RepliesLost) };
        for (error, said) in
            [(unknown, "unknown which of the last 7 changes"), (Error::RepliesLost, "None of the last 7")]
        {
            let (text, status) = written(&Failure::lost(error, 7));
            assert!(text.contains(said) && text.matches("unknown").count() < 2, "{text}");
            assert_eq!(status, 255);
        }
    }

    #[test]
    fn missing_ipvs_is_reported_in_ipvsadms_words() {
        let why = |permitted| why_unavailable(&Error::ModuleMissing, permitted);
        assert_eq!(why(|| true), "Protocol not available");
        assert_eq!(why(|| false), "Permission denied (you must be root)");
        let (text, status) = written(&Failure::read(Error::ModuleMissing));
        assert_eq!((text.lines().count(), status), (2, 2), "{text}");
    }

    #[test]
    fn a_change_and_a_read_differ_in_status() {
        let error = || refused(CommandKind::Zero, Errno::ESRCH);
        assert_eq!(written(&Failure::change(error())), ("No such service\n".to_owned(), 255));
        assert_eq!(written(&Failure::read(error())), ("No such service\n".to_owned(), 1));
    }
}
