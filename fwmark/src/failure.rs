//! Why rules could not be read or changed.

use std::io;
use std::process::ExitStatus;

use ipvs::netns::NamespaceError;

/// Why the firewall's rules could not be read or changed.
///
/// ```
/// use fwmark::BackendError;
/// let advice = |error: &BackendError| match error {
///     BackendError::NotPermitted => "run it as root",
///     BackendError::Foreign { .. } => "choose another owner",
///     _ => "see the message",
/// };
/// assert_eq!(advice(&BackendError::NotPermitted), "run it as root");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// Without `CAP_NET_ADMIN` in the network namespace, rules can't even be read.
    #[error("reading and setting marks needs the capability CAP_NET_ADMIN: run as root")]
    NotPermitted,
    /// The kernel or the machine has no such back end.
    #[error("{what} can't be used here: {why}")]
    Unavailable {
        /// The back end.
        what: &'static str,
        /// What is missing.
        why: String,
    },
    /// A table or a chain has the owner's name but not its tag: another program made it. It is left
    /// alone.
    #[error("another program made the {what} {name}: remove it, or choose another owner")]
    Foreign {
        /// Table or chain.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Another program changed a rule of the owner, and it is not a rule of this crate any more. It
    /// can still be replaced and removed.
    #[error("another program has changed {place}: {what}")]
    Altered {
        /// The table, the chain or the line.
        place: String,
        /// What is not understood there.
        what: String,
    },
    /// The kernel refused a change; nothing was changed.
    #[error("the kernel refuses {what}: {error}; nothing was changed")]
    Refused {
        /// The change.
        what: String,
        /// Its reason.
        error: io::Error,
    },
    /// All rules go to the kernel in one datagram, and it is larger than a socket may send.
    #[error(
        "the rules take {needed} bytes, and this process may send no more than {allowed} at once: \
         run as root outside of a container, or raise net.core.wmem_max to {needed}"
    )]
    TooLarge {
        /// How many bytes the rules take.
        needed: usize,
        /// How many can be sent.
        allowed: usize,
    },
    /// Other programs change rules faster than they can be read.
    #[error("other programs keep changing the rules: nothing was changed, try again")]
    Busy,
    /// The kernel's reply is not understood.
    #[error("unexpected reply from the kernel: {0}")]
    Reply(&'static str),
    /// Programs of iptables run in the network namespace in which the back end was opened. Entering
    /// it from another one needs `CAP_SYS_ADMIN` and `/proc`.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// A program could not be run.
    #[error("cannot run {program}: {error}")]
    NotRun {
        /// Its name.
        program: String,
        /// Why.
        error: io::Error,
    },
    /// A program failed.
    #[error("{program} failed ({status}): {said}")]
    Program {
        /// Its name.
        program: String,
        /// Its exit status.
        status: ExitStatus,
        /// What it wrote to stderr.
        said: String,
    },
    /// A system call failed.
    #[error("netfilter's netlink socket: {0}")]
    Io(#[from] io::Error),
}
