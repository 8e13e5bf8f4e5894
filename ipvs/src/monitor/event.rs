//! What a monitor reports.

use std::fmt;
use std::time::SystemTime;

use crate::command::{Command, CommandKind};
use crate::errno::Errno;
use crate::service::ServiceKey;
use crate::wire::{Read, WireError};

/// Something that happened to a director.
///
/// ```
/// use ipvs::monitor::{Action, Event, EventKind, Outcome};
///
/// fn line(event: &Event) -> Option<String> {
///     let EventKind::Request { sender, action: Action::Change(command), outcome } = &event.kind
///     else {
///         return None;
///     };
///     Some(match outcome {
///         Outcome::Accepted => format!("{sender}: {command}"),
///         Outcome::Refused(errno) => format!("{sender}: {command}: {errno}"),
///         _ => format!("{sender}: {command}: outcome unknown"),
///     })
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// When the monitor received the request, or found out.
    pub time: SystemTime,
    /// What happened.
    pub kind: EventKind,
}

impl Event {
    /// An event, for tests of programs that read them.
    ///
    /// ```
    /// use std::time::SystemTime;
    /// use ipvs::Command;
    /// use ipvs::monitor::{Action, Event, EventKind, Outcome, Process, Sender};
    /// let mut sender = Sender::default();
    /// sender.process = Some(Process::new(4711, "ipvsadm"));
    /// let action = Action::Change(Command::Flush);
    /// let kind = EventKind::Request { sender, action, outcome: Outcome::Accepted };
    /// let event = Event::new(SystemTime::now(), kind);
    /// ```
    pub fn new(time: SystemTime, kind: EventKind) -> Self {
        Event { time, kind }
    }
}

/// What happened to a director: the `kind` of an [`Event`].
///
/// ```
/// use ipvs::monitor::EventKind;
/// fn is_incomplete(kind: &EventKind) -> bool { matches!(kind, EventKind::Lost { .. }) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A program sent a request, and the kernel carried it out or refused it.
    Request {
        /// Which program.
        sender: Sender,
        /// What it asked for.
        action: Action,
        /// What became of it.
        outcome: Outcome,
    },
    /// The table differs from what the requests made of it. This command makes the same difference.
    ///
    /// Netlink does not show who did it, nor exactly when. The reasons: a change by `setsockopt`,
    /// as old versions of ipvsadm make it; a request whose [`Outcome`] is unknown; requests that
    /// were lost.
    Found(Command),
    /// The monitor received packets too slowly, and the kernel dropped some. Or the kernel
    /// acknowledged a request that was not seen, for example because it stood behind a message of
    /// another kind in its datagram. Changes that they were about follow as
    /// [`Found`](Self::Found).
    Lost {
        /// How many packets. Each is a datagram of requests, a request, or a reply.
        packets: u32,
    },
    /// The module `ip_vs` was unloaded. All services, destinations and sync daemons are gone.
    ModuleUnloaded,
    /// The module `ip_vs` was loaded, and the table was empty then. Requests that are sent in the
    /// first moment are not seen; what they did follows as [`Found`](Self::Found).
    ModuleLoaded,
}

/// What a program asks for.
///
/// ```
/// use ipvs::{Command, monitor::Action};
/// assert_eq!(Action::Change(Command::Flush).service_key(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// A change.
    Change(Command),
    /// A reading. Monitors report these only [on request](crate::monitor::MonitorBuilder::reads).
    Read {
        /// What is read.
        what: CommandKind,
        /// Of which service, if it is about one.
        service: Option<ServiceKey>,
    },
    /// A request that is no [`Command`], although the kernel may carry it out: firewall mark 0, or
    /// a command of a newer kernel.
    Other {
        /// The number of the command, `IPVS_CMD_*`.
        number: u8,
        /// What is wrong with it; `None` if the number is unknown.
        error: Option<WireError>,
    },
}

impl Action {
    /// The service that it is about, if it is about one.
    pub fn service_key(&self) -> Option<ServiceKey> {
        match self {
            Action::Change(command) => command.service_key(),
            Action::Read { service, .. } => *service,
            Action::Other { .. } => None,
        }
    }

    /// The change, if it is one.
    pub fn command(&self) -> Option<&Command> {
        match self {
            Action::Change(command) => Some(command),
            _ => None,
        }
    }

    pub(super) fn of_read(read: &Read) -> Self {
        let service = match read {
            Read::Service(key) | Read::Destinations(key) => Some(*key),
            Read::Services | Read::Daemons | Read::Timeouts | Read::Info => None,
        };
        Action::Read { what: read.kind(), service }
    }
}

/// What became of a request.
///
/// ```
/// use ipvs::{Errno, monitor::Outcome};
/// assert_eq!(Outcome::Refused(Errno::EEXIST).to_string(), "refused: File exists");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It carried the request out.
    Accepted,
    /// It refused the request, and changed nothing.
    Refused(Errno),
    /// The monitor does not know: the reply was lost, the program asked for no acknowledgement, or
    /// several programs sent equal requests, whose replies can't be distinguished.
    Unknown,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Accepted => f.write_str("accepted"),
            Outcome::Refused(errno) => write!(f, "refused: {errno}"),
            Outcome::Unknown => f.write_str("outcome unknown"),
        }
    }
}

/// Who sent a request, as far as that is proven.
///
/// ```
/// # fn of(event: &ipvs::monitor::EventKind) -> Option<u32> {
/// let ipvs::monitor::EventKind::Request { sender, .. } = event else { return None };
/// let process = sender.process.as_ref()?;
/// println!("{} ({})", process.name, process.pid);
/// # process.login_uid
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sender {
    /// The port id of the program's netlink socket, as the kernel's reply has it; `None` if there
    /// was no reply, or it is not certain to which of several equal requests it belongs.
    ///
    /// For the first netlink socket of a process it is usually the process id, but a program may
    /// choose any other.
    pub port: Option<u32>,
    /// The process that holds the socket with that port id; `None` if it has ended, or the monitor
    /// can't see it.
    pub process: Option<Process>,
}

impl fmt::Display for Sender {
    /// `ipvsadm[4711]`, or `port 4711` if no process is proven.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.process, self.port) {
            (Some(process), _) => write!(f, "{}[{}]", process.name, process.pid),
            (None, Some(port)) => write!(f, "port {port}"),
            (None, None) => f.write_str("unknown sender"),
        }
    }
}

/// A process that sent a request. Proven by `/proc/net/netlink`, which has the inode of the socket
/// with a port id, and the open descriptors in `/proc`, one of which is that inode. If processes
/// share the socket, it is one of them.
///
/// ```
/// fn is_of_a_person(process: &ipvs::monitor::Process) -> bool {
///     process.login_uid.is_some_and(|uid| uid != 0)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Process {
    /// Its number in the monitor's PID namespace.
    pub pid: u32,
    /// Its name, at most 15 bytes, which a process chooses itself. Bytes that are not UTF-8 are
    /// replaced; control characters are not.
    pub name: String,
    /// The name of its parent process, likewise.
    pub parent: Option<String>,
    /// The user who logged in, whatever user the process runs as since. `None` for services of the
    /// system.
    pub login_uid: Option<u32>,
}

impl Process {
    /// A process with this number and name, without parent and login user.
    ///
    /// ```
    /// assert_eq!(ipvs::monitor::Process::new(4711, "ipvsadm").login_uid, None);
    /// ```
    pub fn new(pid: u32, name: impl Into<String>) -> Self {
        Process { pid, name: name.into(), parent: None, login_uid: None }
    }
}
