//! What can go wrong: each message says what, where, and what to do about it.

use std::{io, path::PathBuf, process::ExitStatus};

/// A failure to make the package.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// The operating system refused something.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried, with the path: "read /a/b".
        what: String,
        /// The system's answer.
        source: io::Error,
    },

    /// The RPM package could not be made.
    #[error("cannot make {package}: {source}")]
    Rpm {
        /// Its path.
        package: PathBuf,
        /// What went wrong.
        source: Box<rpm::Error>,
    },

    /// A program failed; its own messages are above.
    #[error("`{command}` failed ({status}); its messages are above")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },

    /// Rust can't build for that machine here.
    #[error("Rust's standard library for {0} is not installed: rustup target add {0}")]
    NoTarget(String),

    /// Debian has no such machines, or we don't know their name.
    #[error("no Debian architecture is known for the target {0}: packaging/src/build.rs has the list")]
    Architecture(String),

    /// cargo built, but not what was asked for.
    #[error("cargo built no program `ipvs-cli`; its messages are above")]
    NoProgram,

    /// The time that goes into the package.
    #[error("SOURCE_DATE_EPOCH is {0:?}: it has to be a number of seconds since 1970")]
    Epoch(String),

    /// Neither git nor the environment knows when this was made.
    #[error("this is no git checkout, so the package's date is unknown: set SOURCE_DATE_EPOCH to seconds since 1970")]
    NoDate,

    /// A revision that Debian does not allow.
    #[error("the revision {0:?} is not one: letters, digits and the characters . + ~")]
    Revision(String),

    /// Something of the place or the time got into a build.
    #[error(
        "two builds of the same sources differ: {first} and {second}. What is different, the program diffoscope shows"
    )]
    Differ {
        /// A package.
        first: PathBuf,
        /// The other one, in a directory of its own.
        second: PathBuf,
    },

    /// A path that is taken.
    #[error("{0} exists already: remove it, or name another directory")]
    Exists(PathBuf),
}

/// The results here.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Gives an I/O error the words that the system leaves out: what was tried, and on what.
pub(crate) trait Context<T> {
    /// `what` completes the sentence "cannot …".
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io { what: what(), source })
    }
}
