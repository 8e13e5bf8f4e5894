//! Why a call of a client failed, and what the kernel refused.

use std::borrow::Cow;
use std::io;

use crate::command::CommandKind;
use crate::errno::Errno;
use crate::netns::NamespaceError;
use crate::wire::WireError;

/// A command that the kernel refused: the table is as it was before that command.
///
/// ```
/// use ipvs::{Client, Command, CommandKind, Errno, Error, Table};
/// let mut client = Client::fake(Table::new());
/// let error = client.execute(&Command::DeleteService("tcp 192.0.2.1:80".parse()?)).unwrap_err();
/// let Error::Refused(refusal) = error else { panic!("{error}") };
/// assert_eq!((refusal.command, refusal.errno), (CommandKind::DeleteService, Errno::ESRCH));
/// assert_eq!(refusal.to_string(), "No such service");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", explain(*command, *errno))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Refusal {
    /// What was asked.
    pub command: CommandKind,
    /// What the kernel answered.
    pub errno: Errno,
}

/// The sentence for a refusal: the one place where errno and command become words, those that ipvsadm's users know.
fn explain(command: CommandKind, errno: Errno) -> Cow<'static, str> {
    use CommandKind::*;
    let sentence = match (command, errno) {
        (AddService, Errno::EEXIST) => "Service already exists",
        (AddService | EditService, Errno::ENOENT) => "Scheduler or persistence engine not found",
        (EditService | DeleteService | Zero | GetService, Errno::ESRCH) => "No such service",
        (AddDestination, Errno::EEXIST) => "Destination already exists",
        (EditDestination | DeleteDestination, Errno::ENOENT) => "No such destination",
        (AddDestination | EditDestination | DeleteDestination | GetDestinations, Errno::ESRCH) => "Service not defined",
        (StartDaemon, Errno::EEXIST) => "Daemon has already run",
        (StopDaemon, Errno::ESRCH) => "No daemon is running",
        (_, Errno::EPERM) => "Permission denied (you must be root)",
        (_, Errno::EINVAL) => "Invalid operation.  Possibly wrong module version, address not unicast, ...",
        (_, Errno::ENOPROTOOPT) => "Protocol not available",
        (_, Errno::ENOMEM) => "Memory allocation problem",
        (_, Errno::EOPNOTSUPP) => "Operation not supported with IPv6",
        (_, Errno::EAFNOSUPPORT) => "Operation not supported with specified address family",
        (_, Errno::EMSGSIZE) => "Module is wrong version",
        _ => return errno.to_string().into(),
    };
    sentence.into()
}

/// Why a call to a [`Client`](crate::Client) failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused the command; nothing was changed by it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The kernel has no IPVS and could not load it: `modprobe ip_vs` as root, or a kernel built with `CONFIG_IP_VS`.
    ///
    /// A client for which there was one finds this when the module was unloaded, which took the table away, too. It goes on by
    /// itself once the module is there again: each call asks for it.
    #[error("this kernel has no IPVS: load the module ip_vs (modprobe ip_vs), or use a kernel built with CONFIG_IP_VS")]
    ModuleMissing,
    /// The conversation broke off after changes were sent: which of them were made is unknown. Read the table again.
    ///
    /// Any other error of a change means that nothing was changed by it.
    #[error("{0}; which changes were made is unknown: read the table again")]
    OutcomeUnknown(#[source] Box<Error>),
    /// The kernel dropped replies for want of buffer space.
    #[error("replies of the kernel were lost")]
    RepliesLost,
    /// The table changed so fast that no reading of it was complete. Nothing was changed by reading; try again.
    #[error("services or destinations kept changing while they were read, so the reading may be incomplete: try again")]
    Unstable,
    /// The deadline passed before the kernel answered.
    #[error("the kernel did not answer within {} ms", .0.as_millis())]
    Deadline(std::time::Duration),
    /// A reply was longer than the receive buffer.
    #[error("a reply of {0} bytes did not fit into the receive buffer")]
    Truncated(usize),
    /// The kernel's reply could not be understood.
    #[error("cannot understand the kernel's reply: {0}")]
    Decode(#[from] WireError),
    /// The network namespace could not be entered, or not be left.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// An asynchronous client was used outside of a tokio runtime.
    #[error("there is no tokio runtime here: use the asynchronous client inside one, with time and I/O enabled")]
    NoRuntime,
    /// The socket failed.
    #[error("netlink socket: {0}")]
    Io(#[from] io::Error),
}

impl Error {
    /// The same, of changes that were sent.
    pub(crate) fn after_sending(self) -> Self {
        match self {
            Error::OutcomeUnknown(_) => self,
            error => Error::OutcomeUnknown(Box::new(error)),
        }
    }

    /// The kernel's error number, where the kernel gave one as its answer.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Error::Refused(refusal) => Some(refusal.errno),
            Error::Io(error) => error.raw_os_error().map(Errno::new),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_errno_has_a_sentence_for_each_command() {
        let say = |command, errno| Refusal { command, errno }.to_string();
        assert_eq!(say(CommandKind::AddService, Errno::EEXIST), "Service already exists");
        assert_eq!(say(CommandKind::AddDestination, Errno::EEXIST), "Destination already exists");
        assert_eq!(say(CommandKind::DeleteDestination, Errno::ESRCH), "Service not defined");
        assert_eq!(say(CommandKind::SetTimeouts, Errno::ENOENT), "No such file or directory");
        assert_eq!(say(CommandKind::StartDaemon, Errno::ENODEV), "No such device");
    }

    /// Those that no kernel of the lab can be made to give.
    #[test]
    fn the_sentences_that_no_transcript_has() {
        for (errno, sentence) in [
            (Errno::ENOPROTOOPT, "Protocol not available"),
            (Errno::ENOMEM, "Memory allocation problem"),
            (Errno::EOPNOTSUPP, "Operation not supported with IPv6"),
            (Errno::EAFNOSUPPORT, "Operation not supported with specified address family"),
            (Errno::EMSGSIZE, "Module is wrong version"),
        ] {
            for command in [CommandKind::AddService, CommandKind::DeleteDestination, CommandKind::GetService] {
                assert_eq!(Refusal { command, errno }.to_string(), sentence);
            }
        }
    }
}
