//! What can go wrong outside the guest: each message says what, where, and what to do about it.

use std::{io, path::PathBuf, process::ExitStatus};

/// A failure of the lab itself. What a script in the guest does is its exit status, not an error.
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

    /// The lab can't run on this machine.
    #[error(
        "this machine lacks what the lab needs:\n{}\nWithout it, these tests run on any machine with Rust: \
         cargo test -p linux-ipvs -p fwmark -p ipvs-text -p ipvs-cli -p ipvs-follow",
        list(missing)
    )]
    Machine {
        /// Each thing, and where it is to be had.
        missing: Vec<String>,
    },

    /// A program the lab needs on the host is not installed.
    #[error("the program `{program}` is not installed. It {purpose}. On Debian and Ubuntu: apt-get install {package}")]
    MissingProgram {
        /// The program's name.
        program: &'static str,
        /// What the lab needs it for, as a verb phrase.
        purpose: &'static str,
        /// The package that has it.
        package: &'static str,
    },

    /// A component of Rust is not installed.
    #[error("Rust's component `{0}` is not installed: rustup component add {0}")]
    MissingComponent(&'static str),

    /// A program that is published as a crate can't be compiled.
    #[error("{0}")]
    NoTool(String),

    /// A published crate would be built with another project's package.
    #[error(
        "{lock} has the package `{package}`, which on crates.io is another project's. Find the manifest that depends on it: \
         it needs `package = \"linux-ipvs\"`"
    )]
    ForeignPackage {
        /// The other project's.
        package: &'static str,
        /// Where it is.
        lock: PathBuf,
    },

    /// Nobody names a Debian mirror.
    #[error("no Debian mirror is known. Name one: IPVS_LAB_MIRROR=http://MIRROR/debian cargo lab …")]
    NoMirror,

    /// A mirror can't be reached.
    #[error(
        "cannot fetch {url}: {source}. Is the network up? Another mirror: IPVS_LAB_MIRROR=http://MIRROR/debian cargo lab …"
    )]
    Transport {
        /// The file's address.
        url: String,
        /// What went wrong.
        source: Box<ureq::Error>,
    },

    /// What a mirror sent is not what Debian has made.
    #[error("{url} is refused: {why}")]
    Refused {
        /// The file's address.
        url: String,
        /// The reason.
        why: crate::packages::Refusal,
    },

    /// A mirror drops a release when nobody maintains it any more.
    #[error(
        "{mirror} no longer has {what} of Debian {suite}. A mirror that keeps old releases: \
         IPVS_LAB_MIRROR=http://MIRROR/debian cargo lab …"
    )]
    Gone {
        /// Packages.
        what: String,
        /// The release's name.
        suite: &'static str,
        /// The mirror's address.
        mirror: String,
    },

    /// A disk is too full to begin.
    #[error(
        "{dir} has {free} MB free, {needed} MB are needed. Make room, or put the lab's files elsewhere: IPVS_LAB=/another/dir cargo lab …"
    )]
    Space {
        /// Where the room is missing.
        dir: PathBuf,
        /// Megabytes there are.
        free: u64,
        /// Megabytes needed.
        needed: u64,
    },

    /// There is no such fuzz target.
    #[error("there is no fuzz target {target:?}; there are {known}")]
    NoSuchTarget {
        /// What was asked for.
        target: String,
        /// All there are.
        known: String,
    },

    /// A program that the lab called failed.
    #[error("`{command}` failed ({status}){output}")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said, when it was not shown already; begins with a line break.
        output: String,
    },

    /// A package does not hold what the lab expects.
    #[error("the package's files have no {0}: has Debian moved it? tests/lab/src/packages says what is looked for")]
    Missing(PathBuf),

    /// The demo and the scenes need iptables-legacy.
    #[error("kernel {0} has no iptables-legacy, which this scene needs: use --kernel 6.1 or 6.12")]
    NoLegacyIptables(crate::kernel::Kernel),

    /// A path with a character that a kernel command line cannot carry.
    #[error(
        "the path {0:?} has spaces or quotes, which a kernel's command line can't carry: set TMPDIR to a plain path"
    )]
    PathForKernel(PathBuf),

    /// Something said in JSON was not understood.
    #[error("cannot understand {what}: {source}")]
    Json {
        /// Whose words.
        what: &'static str,
        /// Where it went wrong.
        source: serde_json::Error,
    },

    /// Ctrl-C, or the terminal went away.
    #[error("interrupted")]
    Interrupted,
}

/// A line for each.
fn list(missing: &[String]) -> String {
    missing.iter().map(|thing| format!("  - {thing}")).collect::<Vec<_>>().join("\n")
}

/// The lab's results.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Gives an I/O error the words that the system leaves out: what was tried, and on what.
pub(crate) trait Context<T> {
    /// `what` completes the sentence "cannot …".
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io { what: what(), source: source.into() })
    }
}
