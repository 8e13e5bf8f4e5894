//! Tables by the kernel's older interface, `getsockopt`.
//!
//! How the socket is had is in `link.rs`, what is said in `wire/sockopt/`; here is in which order things are asked.

use std::net::SocketAddr;
use std::os::fd::AsFd;

use crate::command::CommandKind;
use crate::destination::{Forwarding, Tunnel};
use crate::error::{Errno, Error, Refusal};
use crate::getsockopt::getsockopt;
use crate::info::Info;
use crate::kernel::KernelVersion;
use crate::link::older_socket;
use crate::service::ServiceKey;
use crate::table::{DestinationState, ServiceState, Table, has_one_twice};
use crate::wire::{Detail, WireError, sockopt};

/// What a director holds, as far as the kernel's older interface, `getsockopt`, tells it.
///
/// Netlink, which [`Client`](crate::Client) speaks, wants `CAP_NET_ADMIN` in the initial user namespace. The older interface wants it
/// in the user namespace that owns the network namespace: so root of a rootless container can read its own director. It tells more than
/// [`PublicTable`](crate::PublicTable), which everybody may read, and less than netlink:
///
/// - services of IPv4 only. Those of IPv6 are not in the table, and nothing tells that there are any, but for
///   [`PublicTable`](crate::PublicTable).
/// - destinations of IPv4 only. Which services have others, and how many, is in [`untold`](Self::untold).
/// - nothing of the kinds of tunnels: in the table each is [`Tunnel::Ipip`], whatever it is; [`tunnels`](Self::tunnels) has them.
/// - nothing of persistence engines: [`Service::engine`](crate::Service::engine) is always `None`.
/// - of sync daemons no group, port, time to live and length of messages, which are `None`.
/// - counters of connections and packets, and all rates, of 32 bits, which begin again at 0; those of bytes have 64.
///
/// What it does tell is as [`Client::table`](crate::Client::table) has it. To change a director takes netlink: this only reads.
///
/// ```no_run
/// use ipvs::{Client, Errno, Error, OlderTable};
///
/// let services = match Client::connect()?.table() {
///     Ok(table) => table.services().len(),
///     // In a rootless container.
///     Err(Error::Refused(refusal)) if refusal.errno == Errno::EPERM => OlderTable::read()?.table.services().len(),
///     Err(error) => return Err(error),
/// };
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct OlderTable {
    /// What was told.
    pub table: Table,
    /// Services of the table that have destinations of IPv6, too, and how many.
    pub untold: Vec<(ServiceKey, usize)>,
}

/// How often services are asked for until as many are told as there are.
const ATTEMPTS: usize = 20;

impl OlderTable {
    /// That of this thread's network namespace; see [`Namespace::within`](crate::Namespace::within) for others.
    ///
    /// It is read in several requests, so it is not a snapshot if somebody makes changes meanwhile.
    ///
    /// # Errors
    /// [`Error::Refused`] with [`Errno::EPERM`] without `CAP_NET_ADMIN` in the user namespace that owns this network namespace, and
    /// with [`Errno::EOPNOTSUPP`] on a processor for which the layout of its structures is not known (x86 of 32 bits).
    /// [`Error::ModuleMissing`] if the kernel has no IPVS, or has not loaded it yet; [`Error::Unstable`] if services kept changing.
    pub fn read() -> Result<Self, Error> {
        let socket = older_socket().map_err(|errno| failed(CommandKind::GetInfo, errno))?;
        let older = Self::ask(|option, buffer| getsockopt(socket.as_fd(), libc::IPPROTO_IP, option, buffer))?;
        Ok(OlderTable { table: older.table.with_kernel(KernelVersion::running()), ..older })
    }

    /// Destinations behind tunnels, of which the kind is not told.
    ///
    /// ```
    /// fn is_sure(older: &ipvs::OlderTable) -> bool {
    ///     older.untold.is_empty() && older.tunnels().next().is_none()
    /// }
    /// ```
    pub fn tunnels(&self) -> impl Iterator<Item = (ServiceKey, SocketAddr)> {
        self.table.services().flat_map(|entry| {
            let destinations = entry.destinations().map(|state| state.destination);
            let wrapped = destinations.filter(|destination| matches!(destination.forwarding, Forwarding::Tunnel(_)));
            wrapped.map(|destination| (entry.service().key(), destination.address))
        })
    }

    /// `ask` is given an option and a question, in whose place the answer comes.
    fn ask(mut ask: impl FnMut(i32, &mut [u8]) -> Result<(), Errno>) -> Result<Self, Error> {
        if !sockopt::IS_KNOWN {
            return Err(failed(CommandKind::GetInfo, Errno::EOPNOTSUPP));
        }
        let mut buffer = Vec::new();
        let (info, states) = services(&mut buffer, &mut ask)?;
        let mut services = Vec::with_capacity(states.len());
        let mut untold = Vec::new();
        for state in states {
            let key = state.service.key();
            let told = destinations(&mut buffer, &key, Detail::Statistics, Some(Tunnel::Ipip), &mut ask);
            let told = match told {
                Ok(told) => told.ok_or(UNTOLD)?,
                // It was removed since.
                Err(Errno::ESRCH) => continue,
                Err(errno) => return Err(failed(CommandKind::GetDestinations, errno)),
            };
            if told.missing() > 0 {
                untold.push((key, told.missing()));
            }
            services.push((state, told.destinations));
        }
        sockopt::ask_timeouts(&mut buffer);
        ask(sockopt::GET_TIMEOUTS, &mut buffer).map_err(|errno| failed(CommandKind::GetTimeouts, errno))?;
        let timeouts = sockopt::timeouts(&buffer).ok_or(UNTOLD)?;
        sockopt::ask_daemons(&mut buffer);
        ask(sockopt::GET_DAEMONS, &mut buffer).map_err(|errno| failed(CommandKind::GetDaemons, errno))?;
        let daemons = sockopt::daemons(&buffer).ok_or(UNTOLD)?;
        Ok(OlderTable { table: Table::read(services, timeouts, daemons, info), untold })
    }
}

/// An answer that is none.
const UNTOLD: Error = Error::Decode(WireError::Missing("the reply"));

fn failed(command: CommandKind, errno: Errno) -> Error {
    match errno {
        // No module has taken the options.
        Errno::ENOPROTOOPT => Error::ModuleMissing,
        errno => Refusal { command, errno }.into(),
    }
}

/// All services of IPv4. The kernel writes as many as there is room for, and does not say how many that were.
fn services(
    buffer: &mut Vec<u8>,
    mut ask: impl FnMut(i32, &mut [u8]) -> Result<(), Errno>,
) -> Result<(Info, Vec<ServiceState>), Error> {
    for _attempt in 0..ATTEMPTS {
        sockopt::ask_info(buffer);
        ask(sockopt::GET_INFO, buffer).map_err(|errno| failed(CommandKind::GetInfo, errno))?;
        let (info, count) = sockopt::info(buffer).ok_or(UNTOLD)?;
        // With one more that stays empty, all of them are there.
        if !sockopt::ask_services(buffer, count + 1) {
            return Err(UNTOLD);
        }
        ask(sockopt::GET_SERVICES, buffer).map_err(|errno| failed(CommandKind::GetService, errno))?;
        let services = sockopt::services(buffer, Detail::Statistics).ok_or(UNTOLD)?;
        if services.len() == count && !has_one_twice(&services) {
            return Ok((info, services));
        }
    }
    Err(Error::Unstable)
}

/// The destinations of a service that were told, and how many it has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) destinations: Vec<DestinationState>,
    count: usize,
}

impl Told {
    /// How many were not told: those of IPv6.
    pub(crate) fn missing(&self) -> usize {
        self.count.saturating_sub(self.destinations.len())
    }

    /// Are these all, and was there room for all?
    pub(crate) fn is_whole(&self) -> bool {
        self.destinations.len() == self.count
    }
}

/// The destinations of a service; `None` if it is of IPv6, or if one is behind a tunnel and `tunnel` does not say what that is taken for.
///
/// # Errors
/// The kernel's; [`Errno::EOPNOTSUPP`] where its answer could not be read.
pub(crate) fn destinations(
    buffer: &mut Vec<u8>,
    key: &ServiceKey,
    detail: Detail,
    tunnel: Option<Tunnel>,
    mut ask: impl FnMut(i32, &mut [u8]) -> Result<(), Errno>,
) -> Result<Option<Told>, Errno> {
    /// Somebody may add or remove one between the questions.
    const ATTEMPTS: usize = 2;
    if !sockopt::IS_KNOWN {
        return Err(Errno::EOPNOTSUPP);
    }
    let mut last = None;
    for _attempt in 0..ATTEMPTS {
        if !sockopt::ask_service(buffer, key) {
            return Ok(None);
        }
        ask(sockopt::GET_SERVICE, buffer)?;
        let Some(count) = sockopt::destination_count(buffer) else { return Ok(None) };
        // With one more that stays empty, all of them are there.
        sockopt::ask_destinations(buffer, key, count + 1);
        ask(sockopt::GET_DESTINATIONS, buffer)?;
        let Some(destinations) = sockopt::destinations(buffer, detail, tunnel) else { return Ok(None) };
        let told = Told { destinations, count };
        if told.is_whole() {
            return Ok(Some(told));
        }
        last = Some(told);
    }
    Ok(last)
}

#[cfg(test)]
#[path = "older_tests.rs"]
mod tests;
