//! What ipvsadm prints where the kernel refuses something.

use std::borrow::Cow;

use ipvs::{CommandKind, Errno, Refusal};

/// ipvsadm's message. It depends on the command, as one error number means many things.
pub fn message(Refusal { command, errno, .. }: Refusal) -> Cow<'static, str> {
    use CommandKind::*;
    let message = match (command, errno) {
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
    message.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_has_a_message_for_each_command() {
        let message = |command, errno| super::message(Refusal::new(command, errno));
        assert_eq!(message(CommandKind::AddService, Errno::EEXIST), "Service already exists");
        assert_eq!(message(CommandKind::AddDestination, Errno::EEXIST), "Destination already exists");
        assert_eq!(message(CommandKind::DeleteDestination, Errno::ESRCH), "Service not defined");
        assert_eq!(message(CommandKind::SetTimeouts, Errno::ENOENT), "No such file or directory");
        assert_eq!(message(CommandKind::StartDaemon, Errno::ENODEV), "No such device");
    }

    /// Those that no kernel of the lab can be made to give.
    #[test]
    fn messages_that_no_transcript_has() {
        for (errno, expected) in [
            (Errno::ENOPROTOOPT, "Protocol not available"),
            (Errno::ENOMEM, "Memory allocation problem"),
            (Errno::EOPNOTSUPP, "Operation not supported with IPv6"),
            (Errno::EAFNOSUPPORT, "Operation not supported with specified address family"),
            (Errno::EMSGSIZE, "Module is wrong version"),
        ] {
            for command in [CommandKind::AddService, CommandKind::DeleteDestination, CommandKind::GetService] {
                assert_eq!(message(Refusal::new(command, errno)), expected);
            }
        }
    }
}
