//! Why the kernel refused a command: from what was asked, what it answered, and what the table
//! holds.

use std::net::{IpAddr, Ipv4Addr};

use crate::cause::Cause;
use crate::command::Command;
use crate::daemon::Daemon;
use crate::errno::Errno;
use crate::name::Module;
use crate::service::Service;
use crate::table::Table;

impl Table {
    /// Why a kernel that holds this table refused the command with this number.
    ///
    /// `why_no_host` says why that kernel's network takes no such destination.
    pub(crate) fn cause_of(
        &self,
        command: &Command,
        errno: Errno,
        why_no_host: impl FnOnce(Ipv4Addr) -> Option<Cause>,
    ) -> Option<Cause> {
        let cause = self.explain(command).filter(|cause| cause.errno() == errno);
        cause.or_else(|| cause_by_errno(command, errno, self, why_no_host))
    }
}

/// What the number alone says about this command, where the table has nothing against it: on this
/// machine something is missing that others have, or the table has changed.
fn cause_by_errno(
    command: &Command,
    errno: Errno,
    table: &Table,
    why_no_host: impl FnOnce(Ipv4Addr) -> Option<Cause>,
) -> Option<Cause> {
    match (command.without_scope_ids(), errno) {
        (Command::AddService(service), Errno::EEXIST) => Some(Cause::ServiceExists(service.key())),
        (Command::AddService(service) | Command::EditService(service), Errno::ENOENT) => {
            missing_module(&service, table)
        }
        (Command::AddDestination(service, destination), Errno::EEXIST) => {
            Some(Cause::DestinationExists { service, at: destination.address })
        }
        (Command::EditDestination(service, destination), Errno::ENOENT) => {
            Some(Cause::NoSuchDestination { service, at: destination.address, near: None })
        }
        (Command::DeleteDestination(service, at), Errno::ENOENT) => {
            Some(Cause::NoSuchDestination { service, at, near: None })
        }
        (Command::AddDestination(_, destination), Errno::EINVAL) => match destination.address.ip() {
            IpAddr::V4(ip) => why_no_host(ip),
            IpAddr::V6(_) => None,
        },
        (Command::SetTimeouts(wanted), Errno::EINVAL) => {
            [wanted.tcp, wanted.tcp_fin, wanted.udp].into_iter().flatten().max().map(Cause::TimeoutTooLong)
        }
        (Command::StartDaemon(daemon), Errno::ENODEV) => Some(Cause::NoSuchInterface(daemon.interface)),
        (Command::StartDaemon(Daemon { interface, group, .. }), Errno::ENETUNREACH) => {
            Some(Cause::NoRoute { interface, group })
        }
        (Command::StartDaemon(daemon), Errno::EADDRNOTAVAIL) => Some(Cause::NoAddress(daemon.interface)),
        (command, Errno::ESRCH) => command.service_key().map(|key| Cause::NoSuchService { key, near: None }),
        _ => None,
    }
}

/// One of those that the kernel could not be asked for. If it has them all now, nobody knows.
fn missing_module(service: &Service, table: &Table) -> Option<Cause> {
    let mut unknown = service.modules().filter(|module| table.has_module(*module) != Some(true));
    match (unknown.next()?, unknown.next()) {
        (Module::Scheduler(scheduler), Some(Module::Engine(engine))) => {
            Some(Cause::NoSuchSchedulerOrEngine(scheduler, engine))
        }
        (module, _) => Some(module.into()),
    }
}
