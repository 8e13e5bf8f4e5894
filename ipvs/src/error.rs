//! What can go wrong, as types that callers can match.

use std::borrow::Cow;
use std::fmt;
use std::io;

use crate::command::CommandKind;
use crate::namespace::NamespaceError;
use crate::wire::WireError;

/// A value outside of what its type can hold.
///
/// ```
/// let error = "12.0.0".parse::<ipvs::FirewallMark>().unwrap_err();
/// assert_eq!(error.to_string(), "invalid firewall mark \"12.0.0\": a number from 1 to 4294967295");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} {given:?}: {allowed}")]
pub struct InvalidValue {
    what: &'static str,
    given: String,
    allowed: &'static str,
}

impl InvalidValue {
    pub(crate) fn new(what: &'static str, given: impl Into<String>, allowed: &'static str) -> Self {
        InvalidValue { what, given: given.into(), allowed }
    }

    /// What the value was meant for, such as `weight`.
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// The value as given.
    pub fn given(&self) -> &str {
        &self.given
    }

    /// What would have been accepted.
    pub fn allowed(&self) -> &'static str {
        self.allowed
    }
}

/// An error number of the kernel, such as [`Errno::EEXIST`].
///
/// ```
/// use ipvs::Errno;
/// assert_eq!(Errno::EEXIST.to_string(), "File exists");
/// assert_eq!(Errno::new(17), Errno::EEXIST);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errno(i32);

macro_rules! errnos {
    ($($(#[$doc:meta])* $name:ident = $raw:expr, $text:literal;)*) => {
        impl Errno {
            $($(#[$doc])* pub const $name: Self = Self($raw.raw_os_error());)*

            fn known(self) -> Option<(&'static str, &'static str)> {
                match self {
                    $(Self::$name => Some((stringify!($name), $text)),)*
                    _ => None,
                }
            }
        }
    };
}

use rustix::io::Errno as Raw;

// The texts are the C library's, fixed here so that they don't depend on which one is linked.
errnos! {
    /// Operation not permitted: `CAP_NET_ADMIN` is missing.
    EPERM = Raw::PERM, "Operation not permitted";
    /// No such destination; unknown scheduler or persistence engine; unknown netlink family.
    ENOENT = Raw::NOENT, "No such file or directory";
    /// No such service; no such daemon.
    ESRCH = Raw::SRCH, "No such process";
    /// A signal arrived first.
    EINTR = Raw::INTR, "Interrupted system call";
    /// Input or output error.
    EIO = Raw::IO, "Input/output error";
    /// Try again.
    EAGAIN = Raw::AGAIN, "Resource temporarily unavailable";
    /// The kernel is out of memory.
    ENOMEM = Raw::NOMEM, "Cannot allocate memory";
    /// Permission denied.
    EACCES = Raw::ACCESS, "Permission denied";
    /// Bad address.
    EFAULT = Raw::FAULT, "Bad address";
    /// Busy: a second dump on one socket.
    EBUSY = Raw::BUSY, "Device or resource busy";
    /// The service, destination or daemon is already there.
    EEXIST = Raw::EXIST, "File exists";
    /// No such network interface.
    ENODEV = Raw::NODEV, "No such device";
    /// A malformed or impossible request.
    EINVAL = Raw::INVAL, "Invalid argument";
    /// No space left.
    ENOSPC = Raw::NOSPC, "No space left on device";
    /// A number out of the kernel's range.
    ERANGE = Raw::RANGE, "Numerical result out of range";
    /// Too long a message.
    EMSGSIZE = Raw::MSGSIZE, "Message too long";
    /// The module is being unloaded.
    ENOPROTOOPT = Raw::NOPROTOOPT, "Protocol not available";
    /// The protocol is not there.
    EPROTONOSUPPORT = Raw::PROTONOSUPPORT, "Protocol not supported";
    /// The kernel does not know this operation.
    EOPNOTSUPP = Raw::OPNOTSUPP, "Operation not supported";
    /// The kernel does not know this address family.
    EAFNOSUPPORT = Raw::AFNOSUPPORT, "Address family not supported by protocol";
    /// The address is in use.
    EADDRINUSE = Raw::ADDRINUSE, "Address already in use";
    /// The address is not ours.
    EADDRNOTAVAIL = Raw::ADDRNOTAVAIL, "Cannot assign requested address";
    /// The network is unreachable.
    ENETUNREACH = Raw::NETUNREACH, "Network is unreachable";
    /// Replies were dropped.
    ENOBUFS = Raw::NOBUFS, "No buffer space available";
    /// Took too long.
    ETIMEDOUT = Raw::TIMEDOUT, "Connection timed out";
}

impl Errno {
    /// The error of this (positive) number.
    pub const fn new(raw: i32) -> Self {
        Errno(raw)
    }

    /// The number, positive.
    pub const fn raw(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Errno {
    /// The C library's text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((_, text)) = self.known() {
            return f.write_str(text);
        }
        // The standard library adds the number, which the C library doesn't.
        let text = io::Error::from_raw_os_error(self.0).to_string();
        f.write_str(text.rsplit_once(" (os error").map_or(text.as_str(), |(text, _)| text))
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "Errno({})", self.0),
        }
    }
}

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

    #[test]
    fn unknown_numbers_have_the_c_librarys_text() {
        assert_eq!(Errno::new(18).to_string(), "Invalid cross-device link");
        assert_eq!(format!("{:?}", Errno::new(18)), "Errno(18)");
    }
}
