//! The state of a director as a value, and how commands change it. What is refused is in
//! `rules.rs`.

use std::collections::{BTreeMap, HashSet};
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use crate::command::Command;
use crate::daemon::{Daemon, DaemonRole};
use crate::destination::Destination;
use crate::errno::Errno;
use crate::info::{Info, Version};
use crate::kernel::Behaviors;
use crate::name::{InterfaceName, Module};
use crate::refusal::Refusal;
use crate::service::{Family, Service, ServiceKey, hash_address, without_scope_id};
use crate::stats::Statistics;
use crate::timeouts::Timeouts;

/// A virtual service as the kernel reports it: its configuration and what it counted.
///
/// ```
/// use ipvs::{Client, Command, Service, Table};
/// let mut client = Client::fake(Table::new());
/// let key = "tcp 192.0.2.1:80".parse()?;
/// client.execute(&Command::AddService(Service::new(key)))?;
/// assert_eq!(client.service(&key)?.statistics.map(|counted| counted.connections), Some(0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ServiceState {
    /// Identity and configuration.
    pub service: Service,
    /// Counters and rates; `None` if they were not read.
    pub statistics: Option<Statistics>,
}

impl ServiceState {
    /// A service that has counted nothing yet.
    pub fn new(service: Service) -> Self {
        ServiceState { service, statistics: Some(Statistics::default()) }
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
#[non_exhaustive]
pub struct DestinationState {
    /// Identity and configuration.
    pub destination: Destination,
    /// Gauge: established connections.
    pub active_connections: u32,
    /// Gauge: connections that are being set up or closed; all of UDP.
    pub inactive_connections: u32,
    /// Gauge: persistence templates of this destination.
    pub persistent_connections: u32,
    /// Counters and rates; `None` if they were not read.
    pub statistics: Option<Statistics>,
}

impl DestinationState {
    /// A destination without connections that has counted nothing yet.
    pub fn new(destination: Destination) -> Self {
        DestinationState {
            destination,
            active_connections: 0,
            inactive_connections: 0,
            persistent_connections: 0,
            statistics: Some(Statistics::default()),
        }
    }
}

/// Is one of these services there more than once?
pub(crate) fn has_one_twice(services: &[ServiceState]) -> bool {
    let mut seen = HashSet::with_capacity(services.len());
    !services.iter().all(|state| seen.insert(state.service.key()))
}

/// A service of a [`Table`] with its destinations, in the order in which they were added.
///
/// A copy costs next to nothing: tables share what none of them has changed since.
///
/// Entries are equal if they are configured alike; the order of destinations, their connections and
/// statistics don't count.
///
/// ```
/// # fn count(entry: &ipvs::TableEntry) -> usize {
/// entry.destinations().len()
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TableEntry(Arc<Entry>);

#[derive(Clone, Debug)]
struct Entry {
    state: ServiceState,
    destinations: IndexMap<At, DestinationState, RandomState>,
}

/// The address of a destination, as tables look it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct At(SocketAddr);

impl Hash for At {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_address(self.0, 0, state);
    }
}

impl TableEntry {
    /// How many entries it is: the service, and its destinations.
    pub(crate) fn work(&self) -> usize {
        1 + self.destinations().len()
    }

    /// The service.
    pub fn service(&self) -> &Service {
        &self.0.state.service
    }

    /// The service and what it counted.
    pub fn state(&self) -> &ServiceState {
        &self.0.state
    }

    /// Its destinations, oldest first. (The kernel lists them newest first.)
    pub fn destinations(&self) -> impl DoubleEndedIterator<Item = &DestinationState> + ExactSizeIterator {
        self.0.destinations.values()
    }

    /// The destination at this address.
    pub fn destination(&self, at: &SocketAddr) -> Option<&DestinationState> {
        self.0.destinations.get(&At(without_scope_id(*at)))
    }

    /// Is it the very same, not only equal? Then it need not be looked at.
    pub(crate) fn is_shared_with(&self, other: &TableEntry) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// What a director holds: services with their destinations, timeouts, sync daemons.
///
/// [`apply`](Self::apply) changes it as the kernel would, and refuses what the kernel would refuse,
/// with the same error number. A fresh table is that of a network namespace nobody has touched: no
/// services, default timeouts.
///
/// Where kernels differ it does as the newest, Linux 7.2, and a table that was read does as the
/// version that it was read from; [`with_behaviors`](Self::with_behaviors) makes it another.
/// [`Behaviors`] names the differences. The [`info`](Self::info) of a table that was not read is
/// always that of Linux 6.
///
/// What depends on a particular machine is assumed: the only network interface is `lo`
/// ([`with_interface`](Self::with_interface) and [`with_interfaces`](Self::with_interfaces) say
/// what else), it can send to any group, and every unicast address can be reached. A table that was
/// read from a kernel has any interface, and does not know what it carries: a backup daemon without
/// [`max_len`](Daemon::max_len) then stays without.
///
/// Of schedulers and persistence engines there are three kinds. Those of the Linux tree are there
/// ([`with_module`](Self::with_module) and [`without_module`](Self::without_module) say what else).
/// Of a table that was read, all others, and `twos`, which some distributions leave out, are known
/// to be there if a service uses them; what the kernel said when it was asked
/// ([`Client::probe`](crate::Client::probe)) is there or is not; and what nobody has asked it for
/// is not refused, but left to the kernel.
///
/// ```
/// use ipvs::{Command, Errno, Service, Table};
/// let add = Command::AddService(Service::new("udp 192.0.2.1:53".parse()?));
/// let mut table = Table::new();
/// table.apply(&add)?;
/// assert_eq!(table.apply(&add).unwrap_err().errno, Errno::EEXIST);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Tables are equal if services, destinations, timeouts and sync daemons are configured alike: then
/// nothing is to be done to turn one into the other. Order, connections, statistics (read or not)
/// and what is known of the kernel and its interfaces don't count.
///
/// ```
/// use ipvs::{Client, Table};
/// let mut director = Client::fake(Table::new());
/// assert_eq!(director.table()?, director.table_without_statistics()?);
/// # Ok::<(), ipvs::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Table {
    services: IndexMap<ServiceKey, TableEntry, RandomState>,
    timeouts: Timeouts,
    daemons: Vec<Daemon>,
    info: Info,
    behaviors: Behaviors,
    modules: Modules,
    /// Those that are there; `None` where it isn't known, and any will do.
    interfaces: Option<Vec<Interface>>,
    /// The network namespace has no address yet, so no address of IPv4 is a host's.
    has_no_network: bool,
}

/// The schedulers and persistence engines of a table's kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Modules {
    /// What the kernel said, or shows by using it: there, or not there. Most tables need none of
    /// it.
    known: BTreeMap<Module, bool>,
    /// Is the kernel this table itself, which then has those of the Linux tree and no others? Else
    /// it has to be asked.
    are_of_tree: bool,
}

/// A network interface that a sync daemon may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
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
            services: IndexMap::default(),
            timeouts: Timeouts { tcp: Some(900), tcp_fin: Some(120), udp: Some(300) },
            daemons: Vec::new(),
            info: Info { version: Version { major: 1, minor: 2, patch: 1 }, connection_table_size: 4096 },
            behaviors: Behaviors::default(),
            modules: Modules { known: BTreeMap::new(), are_of_tree: true },
            interfaces: Some(vec![Interface::LOOPBACK]),
            has_no_network: false,
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

    /// The same director with these network interfaces and no others; what they carry isn't known.
    ///
    /// ```
    /// use ipvs::{Command, Daemon, DaemonRole, Errno, InterfaceName, Table};
    /// let [eth0, eth1] = [InterfaceName::new("eth0")?, InterfaceName::new("eth1")?];
    /// let mut table = Table::new().with_interfaces([eth0]);
    /// table.apply(&Command::StartDaemon(Daemon::new(DaemonRole::Master, eth0)))?;
    /// let refusal =
    ///     table.apply(&Command::StartDaemon(Daemon::new(DaemonRole::Backup, eth1))).unwrap_err();
    /// assert_eq!(refusal.errno, Errno::ENODEV);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_interfaces(self, names: impl IntoIterator<Item = InterfaceName>) -> Self {
        let interfaces = names.into_iter().map(|name| Interface { name, mtu: None }).collect();
        Table { interfaces: Some(interfaces), ..self }
    }

    /// The same director on a kernel that does this where kernels differ.
    ///
    /// ```
    /// use ipvs::{Behaviors, Command, Destination, Service, Table};
    /// let key = "tcp 192.0.2.1:80".parse()?;
    /// let server = Destination::new("192.0.2.11:80".parse()?).with_upper_threshold(1 << 31);
    /// for (behaviors, refused) in
    ///     [(Behaviors::empty(), false), (Behaviors::SIGNED_UPPER_THRESHOLD, true)]
    /// {
    ///     let mut table = Table::new().with_behaviors(behaviors);
    ///     table.apply(&Command::AddService(Service::new(key)))?;
    ///     assert_eq!(table.apply(&Command::AddDestination(key, server)).is_err(), refused);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_behaviors(self, behaviors: Behaviors) -> Self {
        Table { behaviors, ..self }
    }

    /// The same director on a kernel that has this scheduler or persistence engine, too.
    ///
    /// ```
    /// use ipvs::{Command, Scheduler, Service, Table};
    /// let fastest = Scheduler::new("fastest")?;
    /// let add = Command::AddService(Service::new("mark 1".parse()?).with_scheduler(fastest));
    /// assert!(Table::new().apply(&add).is_err());
    /// assert!(Table::new().with_module(fastest).apply(&add).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_module(mut self, module: impl Into<Module>) -> Self {
        self.learn_module(module.into(), true);
        self
    }

    /// The same director on a kernel that does not have this scheduler or persistence engine.
    ///
    /// ```
    /// use ipvs::{Command, Scheduler, Service, Table};
    /// let add =
    ///     Command::AddService(Service::new("mark 1".parse()?).with_scheduler(Scheduler::TWOS));
    /// assert!(Table::new().without_module(Scheduler::TWOS).apply(&add).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn without_module(mut self, module: impl Into<Module>) -> Self {
        self.learn_module(module.into(), false);
        self
    }

    /// The same director on a kernel that nobody can ask: it may have any scheduler, persistence
    /// engine and network interface, and accepts what some kernel accepts. For judging a desired
    /// state without a director.
    ///
    /// ```
    /// use ipvs::{Command, Scheduler, Service, Table};
    /// let service = Service::new("mark 1".parse()?).with_scheduler(Scheduler::new("fastest")?);
    /// assert!(Table::new().on_unknown_kernel().apply(&Command::AddService(service)).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn on_unknown_kernel(self) -> Self {
        let modules = Modules { known: self.modules.known, are_of_tree: false };
        Table { modules, interfaces: None, behaviors: Behaviors::empty(), ..self }
    }

    /// Does its kernel have this scheduler or persistence engine? `None`: only the kernel knows.
    pub(crate) fn has_module(&self, module: Module) -> Option<bool> {
        let listed =
            if self.modules.are_of_tree { Some(module.is_in_tree()) } else { module.is_everywhere().then_some(true) };
        self.modules.known.get(&module).copied().or(listed)
    }

    pub(crate) fn learn_module(&mut self, module: Module, is_there: bool) {
        self.modules.known.insert(module, is_there);
    }

    pub(crate) fn learn_behavior(&mut self, behavior: Behaviors, has_it: bool) {
        self.behaviors.set(behavior, has_it);
    }

    pub(crate) fn has_no_network(&self) -> bool {
        self.has_no_network
    }

    pub(crate) fn learn_network(&mut self, is_there: bool) {
        self.has_no_network = !is_there;
    }

    /// What a service of it uses is there, and stays known when the service goes.
    fn note_modules(&mut self, service: &Service) {
        for module in service.modules() {
            if self.has_module(module) != Some(true) {
                self.learn_module(module, true);
            }
        }
    }

    /// A table made of what was read from a kernel: services in the kernel's order, newest first.
    pub(crate) fn read(services: Vec<TableEntry>, timeouts: Timeouts, daemons: Vec<Daemon>, info: Info) -> Self {
        let mut table = Table { timeouts, daemons, info, ..Table::default() }.on_unknown_kernel();
        table.make_room(services.len());
        services.into_iter().rev().for_each(|entry| table.adopt(entry));
        table
    }

    /// Makes room for this number of further services.
    pub(crate) fn make_room(&mut self, services: usize) {
        self.services.reserve(services);
    }

    /// The same director without services: as after [`Command::Flush`].
    ///
    /// ```
    /// use ipvs::{Command, Service, Table};
    /// let mut table = Table::new();
    /// table.apply(&Command::AddService(Service::new("mark 1".parse()?)))?;
    /// assert_eq!(table.without_services(), Table::new());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn without_services(&self) -> Self {
        Table {
            services: IndexMap::default(),
            daemons: self.daemons.clone(),
            interfaces: self.interfaces.clone(),
            timeouts: self.timeouts,
            info: self.info,
            behaviors: self.behaviors,
            modules: self.modules.clone(),
            has_no_network: self.has_no_network,
        }
    }

    /// Takes over a service of another table, with its destinations, as it is: nothing is checked.
    /// One of the same identity goes.
    ///
    /// ```
    /// use ipvs::{Command, Service, Table};
    /// let mut table = Table::new();
    /// table.apply(&Command::AddService(Service::new("mark 1".parse()?)))?;
    /// let mut other = Table::new();
    /// table.services().for_each(|entry| other.adopt(entry.clone()));
    /// assert_eq!(table, other);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn adopt(&mut self, entry: TableEntry) {
        self.note_modules(entry.service());
        self.services.insert(entry.service().key(), entry);
    }

    /// Gives a destination the connections and statistics of `state`, but not its configuration.
    pub(crate) fn set_state(&mut self, key: &ServiceKey, state: &DestinationState) -> Result<(), Errno> {
        let entry = self.services.get_mut(key).ok_or(Errno::ESRCH)?;
        let destinations = &mut Arc::make_mut(&mut entry.0).destinations;
        let at = At(without_scope_id(state.destination.address));
        let there = destinations.get_mut(&at).ok_or(Errno::ENOENT)?;
        *there = DestinationState { destination: there.destination, ..*state };
        Ok(())
    }

    /// Gives a service these statistics.
    pub(crate) fn set_statistics(&mut self, key: &ServiceKey, statistics: Statistics) -> Result<(), Errno> {
        let entry = self.services.get_mut(key).ok_or(Errno::ESRCH)?;
        Arc::make_mut(&mut entry.0).state.statistics = Some(statistics);
        Ok(())
    }

    /// Takes the last service out.
    pub(crate) fn pop(&mut self) -> Option<TableEntry> {
        self.services.pop().map(|(_, entry)| entry)
    }

    /// Its services, oldest first. (The kernel lists them in an order of its own.)
    pub fn services(&self) -> impl DoubleEndedIterator<Item = &TableEntry> + ExactSizeIterator {
        self.services.values()
    }

    /// The service of this identity.
    pub fn service(&self, key: &ServiceKey) -> Option<&TableEntry> {
        self.services.get(&key.without_scope_id())
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

    /// What its kernel does where kernels differ.
    pub fn behaviors(&self) -> Behaviors {
        self.behaviors
    }

    /// Change it as the kernel would.
    ///
    /// # Errors
    /// What the kernel would reply; the table is then unchanged. [`explain`](Self::explain) says
    /// why.
    pub fn apply(&mut self, command: &Command) -> Result<(), Refusal> {
        let command = command.without_scope_ids();
        self.check(&command).map_err(|cause| Refusal { command: command.kind(), errno: cause.errno() })?;
        self.carry_out(&command);
        Ok(())
    }

    /// What [`check`](Self::check) has nothing against.
    fn carry_out(&mut self, command: &Command) {
        match command {
            Command::AddService(service) => {
                self.adopt(TableEntry::new(ServiceState::new(*service), IndexMap::default()));
            }
            Command::EditService(service) => {
                self.note_modules(service);
                self.change(&service.key(), |entry| entry.state.service = *service);
            }
            Command::DeleteService(key) => drop(self.services.shift_remove(key)),
            Command::AddDestination(key, destination) => {
                let kept = self.kept_of(destination);
                self.change(key, |entry| {
                    entry.destinations.insert(At(kept.address), DestinationState::new(kept));
                });
            }
            Command::EditDestination(key, destination) => {
                let kept = self.kept_of(destination);
                self.change(key, |entry| {
                    if let Some(state) = entry.destinations.get_mut(&At(kept.address)) {
                        state.destination = kept;
                    }
                });
            }
            Command::DeleteDestination(key, at) => self.change(key, |entry| {
                entry.destinations.shift_remove(&At(*at));
            }),
            Command::Zero(None) => self.services.values_mut().for_each(|entry| entry.make_own().zero()),
            Command::Zero(Some(key)) => self.change(key, Entry::zero),
            Command::Flush => self.services.clear(),
            Command::SetTimeouts(timeouts) => self.set_timeouts(timeouts),
            Command::StartDaemon(daemon) => self.start_daemon(daemon),
            Command::StopDaemon(role) => self.daemons.retain(|daemon| daemon.role != *role),
        }
    }

    /// What the kernel makes of a destination.
    fn kept_of(&self, destination: &Destination) -> Destination {
        if self.behaviors.contains(Behaviors::TUNNEL_KINDS) { *destination } else { destination.without_tunnel_kind() }
    }

    fn change(&mut self, key: &ServiceKey, how: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.services.get_mut(key) {
            how(entry.make_own());
        }
    }

    fn set_timeouts(&mut self, wanted: &Timeouts) {
        // One that the kernel has not, it has not afterwards either.
        let set = |now: &mut Option<u32>, wanted: Option<u32>| {
            *now = now.map(|now| wanted.filter(|seconds| *seconds != 0).unwrap_or(now));
        };
        set(&mut self.timeouts.tcp, wanted.tcp);
        set(&mut self.timeouts.tcp_fin, wanted.tcp_fin);
        set(&mut self.timeouts.udp, wanted.udp);
    }

    fn start_daemon(&mut self, daemon: &Daemon) {
        let mtu = self.interface(daemon.interface).and_then(|interface| interface.mtu);
        self.daemons.push(with_defaults(daemon, mtu));
        self.daemons.sort_unstable_by_key(|daemon| daemon.role);
    }

    pub(crate) fn interface(&self, name: InterfaceName) -> Option<Interface> {
        match &self.interfaces {
            None => Some(Interface { name, mtu: None }),
            Some(interfaces) => interfaces.iter().find(|interface| interface.name == name).copied(),
        }
    }
}

impl TableEntry {
    fn new(state: ServiceState, destinations: IndexMap<At, DestinationState, RandomState>) -> Self {
        TableEntry(Arc::new(Entry { state, destinations }))
    }

    /// A service as it was read from a kernel: destinations in the kernel's order, newest first.
    pub(crate) fn read(state: ServiceState, destinations: Vec<DestinationState>) -> Self {
        let mut entry = TableEntry::with_room(state, destinations.len());
        destinations.into_iter().rev().for_each(|state| entry.adopt(state));
        entry
    }

    /// A service without destinations, with room for this number of them.
    pub(crate) fn with_room(state: ServiceState, destinations: usize) -> Self {
        TableEntry::new(state, IndexMap::with_capacity_and_hasher(destinations, RandomState::default()))
    }

    /// Takes over a destination that was read, as the newest one.
    pub(crate) fn adopt(&mut self, state: DestinationState) {
        self.make_own().destinations.insert(At(state.destination.address), state);
    }

    /// To be changed where nobody else sees it.
    fn make_own(&mut self) -> &mut Entry {
        Arc::make_mut(&mut self.0)
    }
}

impl Entry {
    fn zero(&mut self) {
        let zero = Some(Statistics::default());
        self.state.statistics = zero;
        self.destinations.values_mut().for_each(|state| state.statistics = zero);
    }
}

impl PartialEq for TableEntry {
    fn eq(&self, other: &Self) -> bool {
        let is_in_other = |state: &DestinationState| {
            let destination = &state.destination;
            other.destination(&destination.address).is_some_and(|other| other.destination == *destination)
        };
        self.is_shared_with(other)
            || self.service() == other.service()
                && self.destinations().len() == other.destinations().len()
                && self.destinations().all(is_in_other)
    }
}

impl Eq for TableEntry {}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.services == other.services && self.timeouts == other.timeouts && self.daemons == other.daemons
    }
}

impl Eq for Table {}

/// A daemon as the kernel reports it once started. It takes 0 for "not given".
fn with_defaults(daemon: &Daemon, mtu: Option<u32>) -> Daemon {
    let group = daemon.group.unwrap_or(IpAddr::from([224, 0, 0, 81]));
    Daemon {
        max_len: max_len(daemon, group, mtu),
        group: Some(group),
        port: daemon.port.filter(|port| *port != 0).or(Some(8848)),
        ttl: daemon.ttl.filter(|ttl| *ttl != 0).or(Some(1)),
        ..*daemon
    }
}

/// What a message can be at most: as much as was asked for, within bounds, or as much as the
/// interface carries.
fn max_len(daemon: &Daemon, group: IpAddr, mtu: Option<u32>) -> Option<u16> {
    /// Of Ethernet. A master takes it for every interface.
    const USUAL_MTU: u32 = 1500;
    /// The longest IP packet.
    const LONGEST: u32 = 65_535;
    let headers = match Family::of(group) {
        Family::V4 => 20 + 8,
        Family::V6 => 40 + 8,
    };
    let (least, carries) = match daemon.role {
        DaemonRole::Master => (1, Some(USUAL_MTU)),
        DaemonRole::Backup => (1024, mtu.map(|mtu| mtu.clamp(USUAL_MTU, LONGEST))),
    };
    let most = match daemon.max_len.filter(|length| *length != 0) {
        Some(length) => u32::from(length).clamp(least, LONGEST - headers),
        None => carries? - headers,
    };
    u16::try_from(most).ok()
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
