//! Commands that the kernel refused, and the sentence for each.

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
/// assert_eq!(refusal.to_string(), "No such service");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", explain(*command, *errno))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Refusal {
    /// What was asked.
    pub command: CommandKind,
    /// What the kernel answered.
    pub errno: Errno,
}

impl Refusal {
    /// The refusal of such a command, with this error number.
    pub const fn new(command: CommandKind, errno: Errno) -> Self {
        Refusal { command, errno }
    }
}

/// The sentence for a refusal: the one place where errno and command become words, those that
/// ipvsadm's users know.
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
