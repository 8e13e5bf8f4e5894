//! The state of a director as a value, and the kernel's rules for changing it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use indexmap::IndexMap;

use crate::command::Command;
use crate::daemon::{Daemon, DaemonRole};
use crate::destination::{Destination, Forwarding, Tunnel};
use crate::error::{Errno, Refusal};
use crate::info::{Info, Version};
use crate::name::{InterfaceName, PersistenceEngine, Scheduler};
use crate::service::{Family, Service, ServiceKey, plain};
use crate::stats::Statistics;
use crate::timeouts::Timeouts;

/// A virtual service as the kernel reports it: its configuration and what it counted.
///
/// ```
/// use ipvs::{Client, Command, Service, Table};
/// let mut client = Client::fake(Table::new());
/// let key = "tcp 192.0.2.1:80".parse()?;
/// client.execute(&Command::AddService(Service::new(key)))?;
/// assert_eq!(client.service(&key)?.statistics.connections, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServiceState {
    /// Identity and configuration.
    pub service: Service,
    /// Counters and rates.
    pub statistics: Statistics,
}

impl ServiceState {
    /// A service that has counted nothing yet.
    pub fn new(service: Service) -> Self {
        ServiceState { service, statistics: Statistics::default() }
    }
}

/// A destination as the kernel reports it: its configuration, its connections and what it counted.
///
/// ```
/// fn is_idle(server: &ipvs::DestinationState) -> bool {
///     server.active_connections == 0 && server.inactive_connections == 0
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DestinationState {
    /// Identity and configuration.
    pub destination: Destination,
    /// Gauge: established connections.
    pub active_connections: u32,
    /// Gauge: connections that are being set up or closed; all of UDP.
    pub inactive_connections: u32,
    /// Gauge: clients that persistence holds here.
    pub persistent_connections: u32,
    /// Counters and rates.
    pub statistics: Statistics,
}

impl DestinationState {
    /// A destination without connections that has counted nothing yet.
    pub fn new(destination: Destination) -> Self {
        DestinationState {
            destination,
            active_connections: 0,
            inactive_connections: 0,
            persistent_connections: 0,
            statistics: Statistics::default(),
        }
    }
}

/// A service of a [`Table`] with its destinations, in the order in which they were added.
///
/// ```
/// # fn count(entry: &ipvs::TableEntry) -> usize {
/// entry.destinations().len()
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableEntry {
    state: ServiceState,
    destinations: IndexMap<SocketAddr, DestinationState>,
}

impl TableEntry {
    /// The service.
    pub fn service(&self) -> &Service {
        &self.state.service
    }

    /// The service and what it counted.
    pub fn state(&self) -> &ServiceState {
        &self.state
    }

    /// Its destinations, oldest first. (The kernel lists them newest first.)
    pub fn destinations(&self) -> impl DoubleEndedIterator<Item = &DestinationState> + ExactSizeIterator {
        self.destinations.values()
    }

    /// The destination at this address.
    pub fn destination(&self, at: &SocketAddr) -> Option<&DestinationState> {
        self.destinations.get(&plain(*at))
    }
}

/// What a director holds: services with their destinations, timeouts, sync daemons.
///
/// [`apply`](Self::apply) changes it as the kernel would, and refuses what the kernel would refuse, with the same error
/// number. A fresh table is that of a network namespace nobody has touched: no services, default timeouts.
///
/// Where kernels differ it is the newest, Linux 7.2. What depends on a particular machine is assumed: the only network
/// interface is `lo` ([`with_interface`](Self::with_interface) adds others), the schedulers and the persistence engine are those of
/// the Linux tree, and every unicast address can be reached. A table that was read from a kernel has any interface, and does not know
/// what it carries: a sync daemon without [`max_len`](Daemon::max_len) then stays without.
///
/// ```
/// use ipvs::{Command, Errno, Service, Table};
/// let add = Command::AddService(Service::new("udp 192.0.2.1:53".parse()?));
/// let mut table = Table::new();
/// table.apply(&add)?;
/// assert_eq!(table.apply(&add).unwrap_err().errno, Errno::EEXIST);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    services: IndexMap<ServiceKey, TableEntry>,
    timeouts: Timeouts,
    daemons: Vec<Daemon>,
    info: Info,
    /// Those that are there; `None` where it isn't known, and any will do.
    interfaces: Option<Vec<Interface>>,
}

/// A network interface that a sync daemon may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interface {
    name: InterfaceName,
    /// The longest packet that it carries, in bytes, if that is known.
    mtu: Option<u32>,
}

impl Interface {
    const LOOPBACK: Self = Interface { name: InterfaceName::LOOPBACK, mtu: Some(65_536) };
}

impl Default for Table {
    fn default() -> Self {
        Table {
            services: IndexMap::new(),
            timeouts: Timeouts { tcp: Some(900), tcp_fin: Some(120), udp: Some(300) },
            daemons: Vec::new(),
            info: Info { version: Version { major: 1, minor: 2, patch: 1 }, connection_table_size: 4096 },
            interfaces: Some(vec![Interface::LOOPBACK]),
        }
    }
}

impl Table {
    /// An empty director.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same director with a network interface more, of the usual MTU, 1,500 bytes.
    ///
    /// ```
    /// use ipvs::{Client, Daemon, DaemonRole, InterfaceName, Table};
    /// let eth0 = InterfaceName::new("eth0")?;
    /// let mut director = Client::fake(Table::new().with_interface(eth0));
    /// director.start_daemon(&Daemon::new(DaemonRole::Master, eth0))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_interface(mut self, name: InterfaceName) -> Self {
        if let Some(interfaces) = &mut self.interfaces {
            interfaces.push(Interface { name, mtu: Some(1500) });
        }
        self
    }

    /// A table made of what was read from a kernel: services and destinations in the kernel's order, newest first.
    pub(crate) fn read(
        services: Vec<(ServiceState, Vec<DestinationState>)>,
        timeouts: Timeouts,
        daemons: Vec<Daemon>,
        info: Info,
    ) -> Self {
        let entry = |(state, destinations): (ServiceState, Vec<DestinationState>)| {
            let destinations = destinations.into_iter().rev().map(|state| (state.destination.address, state)).collect();
            (state.service.key(), TableEntry { state, destinations })
        };
        Table { services: services.into_iter().rev().map(entry).collect(), timeouts, daemons, info, interfaces: None }
    }

    /// Its services, oldest first. (The kernel lists them in an order of its own.)
    pub fn services(&self) -> impl DoubleEndedIterator<Item = &TableEntry> + ExactSizeIterator {
        self.services.values()
    }

    /// The service of this identity.
    pub fn service(&self, key: &ServiceKey) -> Option<&TableEntry> {
        self.services.get(&key.plain())
    }

    /// Its timeouts.
    pub fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// The sync daemons that run, master first.
    pub fn daemons(&self) -> &[Daemon] {
        &self.daemons
    }

    /// Version and size of the kernel's IPVS.
    pub fn info(&self) -> Info {
        self.info
    }

    /// Change it as the kernel would.
    ///
    /// # Errors
    /// What the kernel would answer; the table is then unchanged.
    pub fn apply(&mut self, command: &Command) -> Result<(), Refusal> {
        self.change(&command.plain()).map_err(|errno| Refusal { command: command.kind(), errno })
    }

    fn change(&mut self, command: &Command) -> Result<(), Errno> {
        match command {
            Command::AddService(service) => self.add_service(service),
            Command::EditService(service) => self.edit_service(service),
            Command::DeleteService(key) => self.services.shift_remove(key).map(drop).ok_or(Errno::ESRCH),
            Command::AddDestination(key, destination) => self.add_destination(key, destination),
            Command::EditDestination(key, destination) => self.edit_destination(key, destination),
            Command::DeleteDestination(key, at) => {
                self.entry(key)?.destinations.shift_remove(at).map(drop).ok_or(Errno::ENOENT)
            }
            Command::Zero(None) => {
                self.services.values_mut().for_each(TableEntry::zero);
                Ok(())
            }
            Command::Zero(Some(key)) => self.entry(key).map(TableEntry::zero),
            Command::Flush => {
                self.services.clear();
                Ok(())
            }
            Command::SetTimeouts(timeouts) => self.set_timeouts(timeouts),
            Command::StartDaemon(daemon) => self.start_daemon(daemon),
            Command::StopDaemon(role) => self.stop_daemon(*role),
        }
    }

    fn entry(&mut self, key: &ServiceKey) -> Result<&mut TableEntry, Errno> {
        self.services.get_mut(key).ok_or(Errno::ESRCH)
    }

    fn add_service(&mut self, service: &Service) -> Result<(), Errno> {
        // The kernel looks for the service before it looks at anything else.
        if self.services.contains_key(&service.key()) {
            return Err(Errno::EEXIST);
        }
        check_service(service)?;
        let entry = TableEntry { state: ServiceState::new(*service), destinations: IndexMap::new() };
        self.services.insert(service.key(), entry);
        Ok(())
    }

    fn edit_service(&mut self, service: &Service) -> Result<(), Errno> {
        let entry = self.entry(&service.key())?;
        check_service(service)?;
        entry.state.service = *service;
        Ok(())
    }

    fn add_destination(&mut self, key: &ServiceKey, destination: &Destination) -> Result<(), Errno> {
        let daemons_run = !self.daemons.is_empty();
        let entry = self.entry(key)?;
        check_family(key, destination, daemons_run)?;
        check_numbers(destination)?;
        if entry.destinations.contains_key(&destination.address) {
            return Err(Errno::EEXIST);
        }
        if !may_be_destination(destination.address.ip()) {
            return Err(Errno::EINVAL);
        }
        entry.destinations.insert(destination.address, DestinationState::new(*destination));
        Ok(())
    }

    fn edit_destination(&mut self, key: &ServiceKey, destination: &Destination) -> Result<(), Errno> {
        let daemons_run = !self.daemons.is_empty();
        let entry = self.entry(key)?;
        check_family(key, destination, daemons_run)?;
        check_numbers(destination)?;
        let state = entry.destinations.get_mut(&destination.address).ok_or(Errno::ENOENT)?;
        state.destination = *destination;
        Ok(())
    }

    fn set_timeouts(&mut self, wanted: &Timeouts) -> Result<(), Errno> {
        // A second has at least 100 clock ticks; the kernel counts in an int.
        const LONGEST: u32 = i32::MAX as u32 / 100;
        let given = |seconds: Option<u32>| seconds.filter(|seconds| *seconds != 0);
        let wanted = Timeouts { tcp: given(wanted.tcp), tcp_fin: given(wanted.tcp_fin), udp: given(wanted.udp) };
        if [wanted.tcp, wanted.tcp_fin, wanted.udp].into_iter().flatten().any(|seconds| seconds > LONGEST) {
            return Err(Errno::EINVAL);
        }
        self.timeouts.tcp = wanted.tcp.or(self.timeouts.tcp);
        self.timeouts.tcp_fin = wanted.tcp_fin.or(self.timeouts.tcp_fin);
        self.timeouts.udp = wanted.udp.or(self.timeouts.udp);
        Ok(())
    }

    fn start_daemon(&mut self, daemon: &Daemon) -> Result<(), Errno> {
        if daemon.group.is_some_and(|group| !group.is_multicast()) {
            return Err(Errno::EINVAL);
        }
        if self.services.values().any(TableEntry::has_mixed_families) {
            return Err(Errno::EINVAL);
        }
        let interface = self.interface(daemon.interface).ok_or(Errno::ENODEV)?;
        if self.daemons.iter().any(|running| running.role == daemon.role) {
            return Err(Errno::EEXIST);
        }
        self.daemons.push(with_defaults(daemon, interface.mtu));
        self.daemons.sort_by_key(|daemon| daemon.role);
        Ok(())
    }

    fn interface(&self, name: InterfaceName) -> Option<Interface> {
        match &self.interfaces {
            None => Some(Interface { name, mtu: None }),
            Some(interfaces) => interfaces.iter().find(|interface| interface.name == name).copied(),
        }
    }

    fn stop_daemon(&mut self, role: DaemonRole) -> Result<(), Errno> {
        let at = self.daemons.iter().position(|daemon| daemon.role == role).ok_or(Errno::ESRCH)?;
        self.daemons.remove(at);
        Ok(())
    }
}

impl TableEntry {
    fn zero(&mut self) {
        self.state.statistics = Statistics::default();
        self.destinations.values_mut().for_each(|state| state.statistics = Statistics::default());
    }

    fn has_mixed_families(&self) -> bool {
        let family = self.state.service.key().family();
        self.destinations.values().any(|state| state.destination.family() != family)
    }
}

fn check_service(service: &Service) -> Result<(), Errno> {
    let known = |scheduler| scheduler == Scheduler::NONE || Scheduler::IN_TREE.contains(&scheduler);
    if !known(service.scheduler) || service.engine.is_some_and(|engine| engine != PersistenceEngine::SIP) {
        return Err(Errno::ENOENT);
    }
    match service.netmask().as_v6() {
        Some(prefix) if !(1..=128).contains(&prefix) => Err(Errno::EINVAL),
        _ => Ok(()),
    }
}

fn check_family(key: &ServiceKey, destination: &Destination, daemons_run: bool) -> Result<(), Errno> {
    if destination.family() == key.family() {
        return Ok(());
    }
    match destination.forwarding {
        Forwarding::Tunnel(_) if !daemons_run => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

fn check_numbers(destination: &Destination) -> Result<(), Errno> {
    if destination.weight.get() > i32::MAX as u32 || destination.lower_threshold > destination.upper_threshold {
        return Err(Errno::ERANGE);
    }
    let gue_without_port =
        matches!(destination.forwarding, Forwarding::Tunnel(Tunnel::Other(other)) if other.kind() == 1);
    if destination.upper_threshold > i32::MAX as u32 || gue_without_port {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// Of 127.0.0.1/8, which every loopback has.
const LOOPBACK_BROADCAST: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 255);

/// Would the kernel take this address for a single host that it can reach?
fn may_be_destination(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast() || v4 == LOOPBACK_BROADCAST),
        IpAddr::V6(v6) => {
            !(v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some())
                || v6 == Ipv6Addr::LOCALHOST
        }
    }
}

/// A daemon as the kernel reports it once started.
fn with_defaults(daemon: &Daemon, mtu: Option<u32>) -> Daemon {
    /// A master stays below this, whatever the interface carries.
    const USUAL_MTU: u32 = 1500;
    /// The longest IP packet.
    const LONGEST: u32 = 65_535;
    let group = daemon.group.unwrap_or(IpAddr::from([224, 0, 0, 81]));
    let headers = match Family::of(group) {
        Family::V4 => 20 + 8,
        Family::V6 => 40 + 8,
    };
    let carries = mtu.map(|mtu| match daemon.role {
        DaemonRole::Master => mtu.min(USUAL_MTU),
        DaemonRole::Backup => mtu.clamp(USUAL_MTU, LONGEST),
    });
    Daemon {
        max_len: daemon.max_len.or_else(|| u16::try_from(carries? - headers).ok()),
        group: Some(group),
        port: daemon.port.or(Some(8848)),
        ttl: daemon.ttl.or(Some(1)),
        ..*daemon
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV6;

    use super::*;

    #[test]
    fn zones_of_addresses_are_not_part_of_a_table() {
        let at = |zone| SocketAddr::from(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 7, zone));
        let key = |zone| ServiceKey::tcp(at(zone));
        let mut table = Table::new();
        table.apply(&Command::AddService(Service::new(key(1)))).unwrap();
        assert_eq!(table.apply(&Command::AddService(Service::new(key(2)))).unwrap_err().errno, Errno::EEXIST);
        table.apply(&Command::AddDestination(key(3), Destination::new(at(4)))).unwrap();
        assert!(table.service(&key(5)).unwrap().destination(&at(6)).is_some());
        table.apply(&Command::DeleteDestination(key(7), at(8))).unwrap();
    }
}
