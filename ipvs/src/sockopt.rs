//! Tables by the kernel's older interface, `getsockopt`: for root in a rootless container, whom
//! netlink refuses.
//!
//! ```no_run
//! let director = ipvs::sockopt::Table::read()?;
//! for entry in director.table.services() {
//!     println!("{}: {} destinations", entry.service().key(), entry.destinations().len());
//! }
//! # Ok::<(), ipvs::Error>(())
//! ```

// `link.rs` opens the socket, and `wire/sockopt/` has the kernel's structures.

use std::net::SocketAddr;

use crate::command::CommandKind;
use crate::destination::{Forwarding, Tunnel};
use crate::errno::Errno;
use crate::error::Error;
use crate::info::Info;
use crate::kernel::Behaviors;
use crate::link::open_sockopt;
use crate::refusal::Refusal;
use crate::service::ServiceKey;
use crate::table::{self, DestinationState, ServiceState, TableEntry, has_one_twice};
use crate::wire::{Detail, WireError, sockopt};

/// What a director holds, as far as the kernel's older interface, `getsockopt`, shows it.
///
/// Netlink, which [`Client`](crate::Client) speaks, wants `CAP_NET_ADMIN` in the initial user
/// namespace. The older interface wants it in the user namespace that owns the network namespace:
/// so root of a rootless container can read its own director. It shows more than
/// [`proc::Table`](crate::proc::Table), which everybody may read, and less than netlink:
///
/// - services of IPv4 only. Those of IPv6 are not in the table, and only
///   [`proc::Table`](crate::proc::Table).
/// - destinations of IPv4 only. Which services have destinations of IPv6, and how many, is in
///   [`ipv6_destinations`](Self::ipv6_destinations).
/// - nothing of the kinds of tunnels: in the table each is [`Tunnel::Ipip`], whatever it is;
///   [`tunnels`](Self::tunnels) has them.
/// - nothing of persistence engines: [`Service::engine`](crate::Service::engine) is always `None`.
/// - of sync daemons no group, port, time to live and length of messages, which are `None`.
/// - counters of connections and packets, and all rates, of 32 bits, which begin again at 0; those
///   of bytes have 64.
///
/// The rest is as in [`Client::table`](crate::Client::table). To change a director takes netlink:
/// this only reads.
///
/// ```no_run
/// use ipvs::{Client, Errno, Error, sockopt};
///
/// let table = match Client::connect()?.table() {
///     Ok(table) => table,
///     // In a rootless container.
///     Err(Error::Refused(refusal)) if refusal.errno == Errno::EPERM => {
///         let partial = sockopt::Table::read()?;
///         for (service, count) in &partial.ipv6_destinations {
///             println!("{service} has {count} destinations of IPv6 besides");
///         }
///         for (service, server) in partial.tunnels() {
///             println!("{service}: the kind of the tunnel to {server} is not known");
///         }
///         partial.table
///     }
///     Err(error) => return Err(error),
/// };
/// println!("{} services of IPv4", table.services().len());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Table {
    /// What the kernel showed.
    pub table: table::Table,
    /// Services of the table that have destinations of IPv6, too, and how many.
    pub ipv6_destinations: Vec<(ServiceKey, usize)>,
}

/// How often services, and the destinations of each, are asked for until the replies agree.
const ATTEMPTS: usize = 20;

impl Table {
    /// This table, without destinations of IPv6.
    ///
    /// ```
    /// let director = ipvs::sockopt::Table::new(ipvs::Table::new());
    /// assert_eq!(director.tunnels().count(), 0);
    /// ```
    pub fn new(table: table::Table) -> Self {
        Table { table, ipv6_destinations: Vec::new() }
    }

    /// Reads the director of this thread's network namespace; see
    /// [`Namespace::within`](crate::netns::Namespace::within) for others.
    ///
    /// It is read in several requests, so it is not a snapshot if another program makes changes
    /// meanwhile. But services are read until there are as many as the kernel counts, and the
    /// destinations of each until two readings agree: none is missed without an error.
    ///
    /// ```no_run
    /// use ipvs::{netns::Namespace, sockopt};
    /// let table = Namespace::named("blue")?.within(sockopt::Table::read)??.table;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Refused`] with [`Errno::EPERM`] without `CAP_NET_ADMIN` in the user namespace that
    /// owns this network namespace, and with [`Errno::EOPNOTSUPP`] on a processor for which the
    /// layout of its structures is not known (x86 of 32 bits); with what else the kernel has
    /// against a socket or a reply, such as too many open files, or too little memory.
    /// [`Error::ModuleMissing`] if the kernel has no IPVS, or has not loaded it yet;
    /// [`Error::Unstable`] if services or destinations kept changing; [`Error::Decode`] if a
    /// reply is not what the kernel writes.
    pub fn read() -> Result<Self, Error> {
        let partial = Self::ask(open_sockopt().map_err(|errno| failed(CommandKind::GetInfo, errno))?)?;
        Ok(Table { table: partial.table.with_behaviors(Behaviors::of_running_version()), ..partial })
    }

    /// Destinations behind tunnels, of unknown kinds.
    ///
    /// ```
    /// fn is_sure(partial: &ipvs::sockopt::Table) -> bool {
    ///     partial.ipv6_destinations.is_empty() && partial.tunnels().next().is_none()
    /// }
    /// ```
    pub fn tunnels(&self) -> impl Iterator<Item = (ServiceKey, SocketAddr)> {
        self.table.services().flat_map(|entry| {
            let destinations = entry.destinations().map(|state| state.destination);
            let wrapped = destinations.filter(|destination| matches!(destination.forwarding, Forwarding::Tunnel(_)));
            wrapped.map(|destination| (entry.service().key(), destination.address))
        })
    }

    /// `ask` is given an option and a question, in whose place the reply comes.
    fn ask(mut ask: impl FnMut(i32, &mut [u8]) -> Result<(), Errno>) -> Result<Self, Error> {
        if !sockopt::IS_KNOWN {
            return Err(failed(CommandKind::GetInfo, Errno::EOPNOTSUPP));
        }
        let mut buffer = Vec::new();
        let (info, states) = services(&mut buffer, &mut ask)?;
        let mut services = Vec::with_capacity(states.len());
        let mut ipv6_destinations = Vec::new();
        for state in states {
            let key = state.service.key();
            // Or it was removed since.
            let Some(reply) = settled_destinations(&mut buffer, &key, &mut ask)? else { continue };
            if let Some(missing) = reply.missing().filter(|missing| *missing > 0) {
                ipv6_destinations.push((key, missing));
            }
            services.push(TableEntry::read(state, reply.destinations));
        }
        sockopt::ask_timeouts(&mut buffer);
        ask(sockopt::GET_TIMEOUTS, &mut buffer).map_err(|errno| failed(CommandKind::GetTimeouts, errno))?;
        let timeouts = sockopt::timeouts(&buffer).ok_or_else(|| nonsense("IP_VS_SO_GET_TIMEOUT"))?;
        sockopt::ask_daemons(&mut buffer);
        ask(sockopt::GET_DAEMONS, &mut buffer).map_err(|errno| failed(CommandKind::GetDaemons, errno))?;
        let daemons = sockopt::daemons(&buffer).ok_or_else(|| nonsense("IP_VS_SO_GET_DAEMON"))?;
        Ok(Table { table: table::Table::read(services, timeouts, daemons, info), ipv6_destinations })
    }
}

fn nonsense(option: &'static str) -> Error {
    WireError::InvalidReply(option).into()
}

/// A number of entries that no kernel has.
fn absurd(attribute: &'static str, count: usize) -> Error {
    WireError::Value { attribute, value: u32::try_from(count).unwrap_or(u32::MAX) }.into()
}

fn failed(command: CommandKind, errno: Errno) -> Error {
    match errno {
        // No module has taken the options.
        Errno::ENOPROTOOPT => Error::ModuleMissing,
        errno => Refusal { command, errno }.into(),
    }
}

/// All services of IPv4. The kernel writes as many as there is room for, and does not say how many
/// that were.
fn services(
    buffer: &mut Vec<u8>,
    mut ask: impl FnMut(i32, &mut [u8]) -> Result<(), Errno>,
) -> Result<(Info, Vec<ServiceState>), Error> {
    for _attempt in 0..ATTEMPTS {
        sockopt::ask_info(buffer);
        ask(sockopt::GET_INFO, buffer).map_err(|errno| failed(CommandKind::GetInfo, errno))?;
        let (info, count) = sockopt::info(buffer).ok_or_else(|| nonsense("IP_VS_SO_GET_INFO"))?;
        // With one more that stays empty, all of them are there.
        if !sockopt::ask_services(buffer, count.saturating_add(1)) {
            return Err(absurd("num_services", count));
        }
        ask(sockopt::GET_SERVICES, buffer).map_err(|errno| failed(CommandKind::GetService, errno))?;
        let services = sockopt::services(buffer).ok_or_else(|| nonsense("IP_VS_SO_GET_SERVICES"))?;
        if services.len() == count && !has_one_twice(&services) {
            return Ok((info, services));
        }
    }
    Err(Error::Unstable)
}

/// Are these the addresses of all destinations of a service, in the order of a dump? False where
/// this interface does not know.
pub(crate) fn has_addresses(
    buffer: &mut Vec<u8>,
    key: &ServiceKey,
    addresses: impl Iterator<Item = SocketAddr>,
    mut ask: impl FnMut(i32, &mut [u8]) -> Result<(), Errno>,
) -> bool {
    if !sockopt::IS_KNOWN {
        return false;
    }
    let reply = ask_destinations(buffer, key, None, Detail::NoStatistics, Some(Tunnel::Ipip), &mut ask);
    reply.is_ok_and(|reply| reply.addresses().eq(addresses) && reply.is_certain(buffer, key, ask))
}

/// The reply about the destinations of a service.
#[derive(Debug)]
struct Reply {
    destinations: Vec<DestinationState>,
    /// How many it had just before, those of IPv6 included.
    count: usize,
}

impl Reply {
    /// How many the reply lacks: those of IPv6, if nothing has changed between the requests; `None`
    /// if something has.
    fn missing(&self) -> Option<usize> {
        self.count.checked_sub(self.destinations.len())
    }

    /// Has it all destinations? As many as it has were there before, and still are: one of IPv6
    /// would be one more, unless one of IPv4 is added between the first two of the three calls, and
    /// one deleted between the last two.
    fn is_certain(
        &self,
        buffer: &mut Vec<u8>,
        key: &ServiceKey,
        ask: impl FnMut(i32, &mut [u8]) -> Result<(), Errno>,
    ) -> bool {
        self.missing() == Some(0) && ask_count(buffer, key, ask).is_ok_and(|count| count == self.count)
    }

    fn is_of_the_same(&self, other: &Reply) -> bool {
        self.count == other.count && self.addresses().eq(other.addresses())
    }

    fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.destinations.iter().map(|state| state.destination.address)
    }
}

/// The destinations of a service, once two replies in a row have the same ones; `None` if it is not
/// there any more.
///
/// One reply does not show whether another program adds or removes one between its requests.
fn settled_destinations(
    buffer: &mut Vec<u8>,
    key: &ServiceKey,
    mut ask: impl FnMut(i32, &mut [u8]) -> Result<(), Errno>,
) -> Result<Option<Reply>, Error> {
    let mut before = None;
    for _attempt in 0..ATTEMPTS {
        let reply = match ask_destinations(buffer, key, None, Detail::Statistics, Some(Tunnel::Ipip), &mut ask) {
            Err(Error::Refused(refusal)) if refusal.errno == Errno::ESRCH => return Ok(None),
            reply => reply?,
        };
        if reply.missing().is_some() && before.is_some_and(|before| reply.is_of_the_same(&before)) {
            return Ok(Some(reply));
        }
        before = Some(reply);
    }
    Err(Error::Unstable)
}

/// The destinations of a service for a client, which has another way to ask:
/// `None` where this one does not know all of them (one is of IPv6, or behind a tunnel), or
/// refuses, or somebody makes changes. With their `count` from a reading of all services, one call
/// is enough for one who compares that with a later one.
pub(crate) fn all_destinations(
    buffer: &mut Vec<u8>,
    key: &ServiceKey,
    mut count: Option<usize>,
    detail: Detail,
    mut ask: impl FnMut(i32, &mut [u8]) -> Result<(), Errno>,
) -> Option<Vec<DestinationState>> {
    /// Somebody may add or remove one between the questions.
    const ROUNDS: usize = 2;
    if !sockopt::IS_KNOWN {
        return None;
    }
    for _round in 0..ROUNDS {
        let reply = ask_destinations(buffer, key, count, detail, None, &mut ask).ok()?;
        let is_counted = count.take().is_some() && reply.missing() == Some(0);
        if is_counted || reply.is_certain(buffer, key, &mut ask) {
            return Some(reply.destinations);
        }
    }
    None
}

/// How many destinations a service has, those of IPv6 included.
fn ask_count(
    buffer: &mut Vec<u8>,
    key: &ServiceKey,
    mut ask: impl FnMut(i32, &mut [u8]) -> Result<(), Errno>,
) -> Result<usize, Error> {
    let failed = |errno| failed(CommandKind::GetDestinations, errno);
    if !sockopt::ask_service(buffer, key) {
        return Err(failed(Errno::EAFNOSUPPORT));
    }
    ask(sockopt::GET_SERVICE, buffer).map_err(failed)?;
    sockopt::destination_count(buffer).ok_or_else(|| nonsense("IP_VS_SO_GET_SERVICE"))
}

/// One round: how many destinations a service has, unless that is known, and those of IPv4. If one
/// is behind a tunnel, `tunnel` is what that is taken for; without it, the reply is an error.
fn ask_destinations(
    buffer: &mut Vec<u8>,
    key: &ServiceKey,
    count: Option<usize>,
    detail: Detail,
    tunnel: Option<Tunnel>,
    mut ask: impl FnMut(i32, &mut [u8]) -> Result<(), Errno>,
) -> Result<Reply, Error> {
    let failed = |errno| failed(CommandKind::GetDestinations, errno);
    let count = match count {
        Some(count) => count,
        None => ask_count(buffer, key, &mut ask)?,
    };
    // With one more that stays empty, all of them are there.
    if !sockopt::ask_destinations(buffer, key, count.saturating_add(1)) {
        return Err(absurd("num_dests", count));
    }
    ask(sockopt::GET_DESTINATIONS, buffer).map_err(failed)?;
    let destinations = sockopt::destinations(buffer, detail, tunnel).ok_or_else(|| nonsense("IP_VS_SO_GET_DESTS"))?;
    Ok(Reply { destinations, count })
}

// Where the layout is not known, there is nothing to read.
#[cfg(all(test, not(target_arch = "x86")))]
#[path = "sockopt_tests.rs"]
mod tests;
