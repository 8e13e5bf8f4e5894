//! Why the kernel refused a command: from what was asked, what it answered, and what it holds.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use crate::cause::Cause;
use crate::client::{Client, Pipeline, now};
use crate::command::Command;
use crate::daemon::Daemon;
use crate::errno::Errno;
use crate::error::Error;
use crate::name::Module;
use crate::service::Service;
use crate::table::Table;

impl Client {
    /// Why the kernel refused this command with this error number, as far as can be found out: reads the table, asks the kernel
    /// what no table tells ([`probe`](Self::probe)), and checks the command against it.
    ///
    /// The cause always fits the number. Where the table has changed since the refusal, there may be none, or none that is as
    /// precise.
    ///
    /// ```
    /// use ipvs::{Client, Command, Error, Table};
    /// let mut director = Client::fake(Table::new());
    /// let command = Command::DeleteService("tcp 192.0.2.1:80".parse()?);
    /// if let Err(Error::Refused(refusal)) = director.execute(&command) {
    ///     let cause = director.explain(&command, refusal.errno)?;
    ///     assert_eq!(cause.unwrap().to_string(), "there is no service tcp 192.0.2.1:80");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`table`](Self::table).
    pub fn explain(&mut self, command: &Command, errno: Errno) -> Result<Option<Cause>, Error> {
        now(self.core.explain(command, errno))
    }
}

impl Table {
    /// Why a kernel that holds this table refused the command with this number.
    ///
    /// `is_broadcast` says whether that kernel's network has such a broadcast address.
    pub(crate) fn cause_of(
        &self,
        command: &Command,
        errno: Errno,
        is_broadcast: impl FnOnce(Ipv4Addr) -> bool,
    ) -> Option<Cause> {
        let cause = self.explain(command).filter(|cause| cause.errno() == errno);
        cause.or_else(|| told_by(command, errno, self, is_broadcast))
    }
}

impl Pipeline<'_> {
    /// As [`Client::explain`], between commands; what is pending stays so.
    ///
    /// # Errors
    /// Those of [`Client::table`].
    pub fn explain(&mut self, command: &Command, errno: Errno) -> Result<Option<Cause>, Error> {
        self.client().explain(command, errno)
    }
}

/// What the number alone says about this command, where the table has nothing against it: on this machine something is
/// missing that others have, or the table has changed.
fn told_by(
    command: &Command,
    errno: Errno,
    table: &Table,
    is_broadcast: impl FnOnce(Ipv4Addr) -> bool,
) -> Option<Cause> {
    match (command.plain(), errno) {
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
            IpAddr::V4(ip) if is_broadcast(ip) => Some(Cause::NotAHost(ip.into())),
            _ => None,
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

/// Is it the broadcast address of a network that this thread's network namespace is in? Such a one can be connected to by special
/// permission only; connecting sends nothing.
pub(crate) fn is_broadcast_here(address: Ipv4Addr) -> bool {
    let connected =
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map(|socket| socket.connect(SocketAddr::from((address, 9))));
    matches!(connected, Ok(Err(error)) if error.raw_os_error() == Some(Errno::EACCES.raw()))
}
