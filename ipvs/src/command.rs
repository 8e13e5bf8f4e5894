//! Changes to a director, as values.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use crate::daemon::{Daemon, DaemonRole};
use crate::destination::Destination;
use crate::invalid_value::InvalidValue;
use crate::service::{Protocol, Service, ServiceKey, without_scope_id};
use crate::timeouts::Timeouts;

/// One change to a director: one request of the kernel's netlink family (`IPVS_CMD_*` in
/// `linux/ip_vs.h`).
///
/// Apply it to a kernel with [`Client::execute`](crate::Client::execute), or to a value with
/// [`Table::apply`](crate::Table::apply): both refuse the same things.
///
/// ```
/// use ipvs::{Command, Destination, Service, Table};
/// let key = "tcp 192.0.2.1:80".parse()?;
/// let mut table = Table::new();
/// table.apply(&Command::AddService(Service::new(key)))?;
/// table.apply(&Command::AddDestination(key, Destination::new("192.0.2.11:80".parse()?)))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Command {
    /// Make a service, without destinations. `EEXIST` if there is one with this key, `ENOENT` if
    /// the kernel has no such scheduler or persistence engine.
    AddService(Service),
    /// Replace a service's whole configuration; destinations, connections and counters stay.
    /// `ESRCH` without the service, `ENOENT` as for [`AddService`](Self::AddService).
    EditService(Service),
    /// Remove a service and its destinations. `ESRCH` without the service.
    DeleteService(ServiceKey),
    /// Give a service another destination. `ESRCH` without the service, `EEXIST` if it has the
    /// destination.
    AddDestination(ServiceKey, Destination),
    /// Replace a destination's whole configuration; connections and counters stay. `ESRCH` without
    /// the service, `ENOENT` without the destination.
    EditDestination(ServiceKey, Destination),
    /// Remove a destination. Its connections get no more packets through. `ESRCH` without the
    /// service, `ENOENT` without the destination.
    DeleteDestination(
        ServiceKey,
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::service::serialize_without_scope_id"))] SocketAddr,
    ),
    /// Zero the counters of a service and its destinations, or of everything. `ESRCH` without the
    /// service.
    Zero(Option<ServiceKey>),
    /// Remove all services; timeouts and sync daemons stay.
    Flush,
    /// Set connection timeouts; those that are `None` or 0 stay.
    SetTimeouts(Timeouts),
    /// Start a sync daemon. `EEXIST` if one of its role runs.
    StartDaemon(Daemon),
    /// Stop a sync daemon. `ESRCH` if none of this role runs.
    StopDaemon(DaemonRole),
}

impl Command {
    /// With addresses as the kernel's table has them.
    pub(crate) fn without_scope_ids(&self) -> Self {
        let server =
            |destination: Destination| Destination { address: without_scope_id(destination.address), ..destination };
        match *self {
            Command::DeleteService(key) => Command::DeleteService(key.without_scope_id()),
            Command::AddDestination(key, destination) => {
                Command::AddDestination(key.without_scope_id(), server(destination))
            }
            Command::EditDestination(key, destination) => {
                Command::EditDestination(key.without_scope_id(), server(destination))
            }
            Command::DeleteDestination(key, at) => {
                Command::DeleteDestination(key.without_scope_id(), without_scope_id(at))
            }
            Command::Zero(key) => Command::Zero(key.map(ServiceKey::without_scope_id)),
            other => other,
        }
    }

    /// Is it of a kind that only [`Client::probe`](crate::Client::probe) sends, to learn from the
    /// refusal?
    pub(crate) fn is_probe(&self) -> bool {
        match self {
            Command::AddService(service) => {
                matches!(service.key(), ServiceKey::Address { protocol: Protocol::RESERVED, .. })
            }
            Command::EditDestination(_, destination) => destination.address.ip().is_unspecified(),
            _ => false,
        }
    }

    /// The service that it changes, itself or in its destinations; `None` if it is about the whole
    /// director.
    pub fn service_key(&self) -> Option<ServiceKey> {
        match self {
            Command::AddService(service) | Command::EditService(service) => Some(service.key()),
            Command::DeleteService(key)
            | Command::AddDestination(key, _)
            | Command::EditDestination(key, _)
            | Command::DeleteDestination(key, _) => Some(*key),
            Command::Zero(key) => *key,
            Command::Flush | Command::SetTimeouts(_) | Command::StartDaemon(_) | Command::StopDaemon(_) => None,
        }
    }

    /// The configuration of a service, if it brings one.
    pub(crate) fn service(&self) -> Option<&Service> {
        match self {
            Command::AddService(service) | Command::EditService(service) => Some(service),
            _ => None,
        }
    }

    /// The configuration of a destination, if it brings one.
    pub(crate) fn destination(&self) -> Option<&Destination> {
        match self {
            Command::AddDestination(_, destination) | Command::EditDestination(_, destination) => Some(destination),
            _ => None,
        }
    }

    /// Which change it is.
    pub fn kind(&self) -> CommandKind {
        match self {
            Command::AddService(_) => CommandKind::AddService,
            Command::EditService(_) => CommandKind::EditService,
            Command::DeleteService(_) => CommandKind::DeleteService,
            Command::AddDestination(..) => CommandKind::AddDestination,
            Command::EditDestination(..) => CommandKind::EditDestination,
            Command::DeleteDestination(..) => CommandKind::DeleteDestination,
            Command::Zero(_) => CommandKind::Zero,
            Command::Flush => CommandKind::Flush,
            Command::SetTimeouts(_) => CommandKind::SetTimeouts,
            Command::StartDaemon(_) => CommandKind::StartDaemon,
            Command::StopDaemon(_) => CommandKind::StopDaemon,
        }
    }
}

/// What was asked of the kernel, without the particulars: part of every
/// [`Refusal`](crate::Refusal).
///
/// ```
/// use ipvs::{Command, CommandKind};
/// assert_eq!(Command::Flush.kind(), CommandKind::Flush);
/// assert_eq!(CommandKind::StartDaemon.to_string(), "start sync daemon");
/// assert_eq!("start sync daemon".parse(), Ok(CommandKind::StartDaemon));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum CommandKind {
    /// [`Command::AddService`].
    AddService,
    /// [`Command::EditService`].
    EditService,
    /// [`Command::DeleteService`].
    DeleteService,
    /// [`Command::AddDestination`].
    AddDestination,
    /// [`Command::EditDestination`].
    EditDestination,
    /// [`Command::DeleteDestination`].
    DeleteDestination,
    /// [`Command::Zero`].
    Zero,
    /// [`Command::Flush`].
    Flush,
    /// [`Command::SetTimeouts`].
    SetTimeouts,
    /// [`Command::StartDaemon`].
    StartDaemon,
    /// [`Command::StopDaemon`].
    StopDaemon,
    /// Reading one service, or all.
    GetService,
    /// Reading the destinations of a service.
    GetDestinations,
    /// Reading the sync daemons.
    GetDaemons,
    /// Reading the timeouts.
    GetTimeouts,
    /// Reading version and size.
    GetInfo,
    /// Looking up the netlink family.
    ResolveFamily,
}

impl CommandKind {
    const NAMES: [(Self, &str); 17] = [
        (CommandKind::AddService, "add service"),
        (CommandKind::EditService, "edit service"),
        (CommandKind::DeleteService, "delete service"),
        (CommandKind::AddDestination, "add destination"),
        (CommandKind::EditDestination, "edit destination"),
        (CommandKind::DeleteDestination, "delete destination"),
        (CommandKind::Zero, "zero counters"),
        (CommandKind::Flush, "flush"),
        (CommandKind::SetTimeouts, "set timeouts"),
        (CommandKind::StartDaemon, "start sync daemon"),
        (CommandKind::StopDaemon, "stop sync daemon"),
        (CommandKind::GetService, "get service"),
        (CommandKind::GetDestinations, "get destinations"),
        (CommandKind::GetDaemons, "get sync daemons"),
        (CommandKind::GetTimeouts, "get timeouts"),
        (CommandKind::GetInfo, "get info"),
        (CommandKind::ResolveFamily, "resolve netlink family"),
    ];
}

impl fmt::Display for CommandKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(kind, _)| kind == self);
        f.pad(name.map_or("", |(_, name)| name))
    }
}

impl FromStr for CommandKind {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let kind = Self::NAMES.iter().find(|(_, name)| *name == text);
        kind.map(|(kind, _)| *kind).ok_or_else(|| InvalidValue::new("kind of command", text, "such as add service"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They are all that an error says of what was refused.
    #[test]
    fn each_kind_has_words_of_its_own() {
        use CommandKind::*;
        let changes = [
            AddService,
            EditService,
            DeleteService,
            AddDestination,
            EditDestination,
            DeleteDestination,
            Zero,
            Flush,
            SetTimeouts,
            StartDaemon,
            StopDaemon,
        ];
        let reads = [GetService, GetDestinations, GetDaemons, GetTimeouts, GetInfo, ResolveFamily];
        for kind in changes.into_iter().chain(reads) {
            let words = kind.to_string();
            assert!(!words.is_empty(), "{kind:?}");
            assert_eq!(words.parse(), Ok(kind));
        }
    }
}
