//! Commands that the kernel refused.

use std::borrow::Cow;

use crate::command::CommandKind;
use crate::errno::Errno;

/// The outcome of one command: carried out, or refused.
///
/// ```
/// use ipvs::{Client, Command, Outcome, Table};
/// let mut director = Client::fake(Table::new());
/// let outcomes: Vec<Outcome> = director.execute_all(&[Command::Flush])?;
/// assert_eq!(outcomes, [Ok(())]);
/// # Ok::<(), ipvs::Error>(())
/// ```
pub type Outcome = Result<(), Refusal>;

/// A command that the kernel refused: the table is as it was before that command.
///
/// ```
/// use ipvs::{Client, Command, CommandKind, Errno, Error, Table};
/// let mut client = Client::fake(Table::new());
/// let error = client.execute(&Command::DeleteService("tcp 192.0.2.1:80".parse()?)).unwrap_err();
/// let Error::Refused(refusal) = error else { panic!("{error}") };
/// assert_eq!((refusal.command, refusal.errno), (CommandKind::DeleteService, Errno::ESRCH));
/// assert_eq!(refusal.to_string(), "there is no such service");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", explain(*command, *errno))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Refusal {
    /// What was asked.
    pub command: CommandKind,
    /// The kernel's error number.
    pub errno: Errno,
}

impl Refusal {
    /// The refusal of such a command, with this error number.
    pub const fn new(command: CommandKind, errno: Errno) -> Self {
        Refusal { command, errno }
    }
}

/// What the number means for this command.
fn explain(command: CommandKind, errno: Errno) -> Cow<'static, str> {
    use CommandKind::*;
    let sentence = match (command, errno) {
        (AddService, Errno::EEXIST) => "the service exists already",
        (AddService | EditService, Errno::ENOENT) => "the kernel has no such scheduler or persistence engine",
        (EditService | DeleteService | Zero | GetService, Errno::ESRCH) => "there is no such service",
        (AddDestination, Errno::EEXIST) => "the destination exists already",
        (EditDestination | DeleteDestination, Errno::ENOENT) => "there is no such destination",
        (AddDestination | EditDestination | DeleteDestination | GetDestinations, Errno::ESRCH) => {
            "there is no such service"
        }
        (StartDaemon, Errno::EEXIST) => "a sync daemon of this role runs already",
        (StopDaemon, Errno::ESRCH) => "no sync daemon of this role runs",
        (_, Errno::EPERM) => "not permitted: it takes CAP_NET_ADMIN in the initial user namespace",
        (_, Errno::EINVAL) => "the kernel does not accept one of the values",
        (_, Errno::ENOPROTOOPT) => "the module ip_vs is being unloaded",
        (_, Errno::ENOMEM) => "the kernel is out of memory",
        (_, Errno::EOPNOTSUPP) => "the kernel does not support this",
        (_, Errno::EAFNOSUPPORT) => "the kernel does not support this address family",
        _ => return errno.to_string().into(),
    };
    sentence.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_means_something_else_for_each_command() {
        let say = |command, errno| Refusal { command, errno }.to_string();
        assert_eq!(say(CommandKind::AddService, Errno::EEXIST), "the service exists already");
        assert_eq!(say(CommandKind::AddDestination, Errno::EEXIST), "the destination exists already");
        assert_eq!(say(CommandKind::DeleteDestination, Errno::ESRCH), "there is no such service");
        assert_eq!(say(CommandKind::SetTimeouts, Errno::ENOENT), "No such file or directory");
        assert_eq!(say(CommandKind::StartDaemon, Errno::ENODEV), "No such device");
    }
}
