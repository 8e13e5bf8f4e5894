//! Why a call of a client failed.

use std::io;

use crate::errno::Errno;
use crate::netns::NamespaceError;
use crate::refusal::{Outcome, Refusal};
use crate::wire::WireError;

/// Why a call to a [`Client`](crate::Client) failed.
///
/// [`Report`](crate::Report) prints an error with its causes.
///
/// ```
/// use ipvs::{Client, Errno, Error, Table};
/// let mut director = Client::fake(Table::new());
/// match director.delete_service(&"tcp 192.0.2.1:80".parse()?) {
///     Err(Error::Refused(refusal)) => assert_eq!(refusal.errno, Errno::ESRCH),
///     Err(Error::OutcomeUnknown { .. }) => {
///         println!("{} services are left", director.table()?.services().len())
///     }
///     Err(error) => return Err(error.into()), // nothing was changed
///     Ok(()) => {}
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// It becomes an [`io::Error`] of the fitting [`io::ErrorKind`] where a function returns such, with
/// this error inside:
///
/// ```
/// use std::io;
/// use ipvs::{Client, Table};
/// fn count(director: &mut Client) -> io::Result<usize> {
///     Ok(director.services()?.len())
/// }
/// assert_eq!(count(&mut Client::fake(Table::new()))?, 0);
/// # Ok::<(), io::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused the command; nothing was changed by it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The kernel has no IPVS and could not load it: `modprobe ip_vs` as root, or a kernel built
    /// with `CONFIG_IP_VS`.
    ///
    /// A client for which there was one finds this when the module was unloaded, which took the
    /// table away, too. It goes on by itself once the module is there again: each call asks for it.
    #[error("this kernel has no IPVS: load the module ip_vs (modprobe ip_vs), or use a kernel built with CONFIG_IP_VS")]
    ModuleMissing,
    /// Changes were sent, and the replies to some of them did not arrive: which of those were made
    /// is unknown. Read the table again.
    ///
    /// Any other error of a change means that nothing was changed by it.
    #[error("{}, so read the table again", of_unknown(.known))]
    OutcomeUnknown {
        /// The outcomes of the first commands of the call, in order: those whose replies arrived.
        /// Each command after them was made, refused or never sent. Empty for a single command.
        known: Vec<Outcome>,
        /// What failed.
        source: Box<Error>,
    },
    /// The kernel dropped replies for want of buffer space.
    #[error("replies of the kernel were lost")]
    RepliesLost,
    /// The table changed so fast that no reading of it was complete. Nothing was changed by
    /// reading; try again.
    #[error("services or destinations kept changing while they were read, so the reading may be incomplete: try again")]
    Unstable,
    /// The deadline passed before the kernel replied.
    #[error("the kernel did not reply within {} ms", .0.as_millis())]
    Deadline(std::time::Duration),
    /// A reply was longer than the receive buffer.
    #[error("a reply of {0} bytes did not fit into the receive buffer")]
    Truncated(usize),
    /// The kernel's reply could not be understood.
    #[error("cannot understand the kernel's reply")]
    Decode(#[from] WireError),
    /// The network namespace could not be entered, or not be left.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// A type for tokio was used outside of a tokio runtime.
    #[error("there is no tokio runtime here: use asynchronous types inside one, with time and I/O enabled")]
    NoRuntime,
    /// A system call on the netlink socket failed.
    #[error("the netlink socket failed")]
    Io(#[from] io::Error),
}

fn of_unknown(known: &[Outcome]) -> String {
    match known.len() {
        0 => "it is unknown which changes were made".to_owned(),
        count => format!("{count} changes were answered, and it is unknown which of those after them were made"),
    }
}

impl Error {
    /// The same, after changes were sent. These are the outcomes of the first of them.
    pub(crate) fn after_sending(self, known: Vec<Outcome>) -> Self {
        match self {
            Error::OutcomeUnknown { source, .. } => Error::OutcomeUnknown { known, source },
            error => Error::OutcomeUnknown { known, source: Box::new(error) },
        }
    }

    /// The error number that the kernel or a system call returned, if there is one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Error::Refused(refusal) => Some(refusal.errno),
            Error::Io(error) => error.raw_os_error().map(Errno::new),
            _ => None,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Refused(refusal) => io::Error::from(refusal.errno).kind(),
            Error::ModuleMissing => io::ErrorKind::NotFound,
            Error::Deadline(_) => io::ErrorKind::TimedOut,
            Error::Truncated(_) | Error::Decode(_) => io::ErrorKind::InvalidData,
            Error::Io(error) => error.kind(),
            // Of an unknown outcome, no kind may suggest that it is safe to call again.
            Error::OutcomeUnknown { .. } | Error::RepliesLost | Error::Unstable => io::ErrorKind::Other,
            Error::Namespace(_) | Error::NoRuntime => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}
