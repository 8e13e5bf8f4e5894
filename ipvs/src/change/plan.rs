//! The fewest commands that turn one table into another, in an order that keeps services usable.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::command::Command;
use crate::daemon::{Daemon, DaemonRole};
use crate::destination::Destination;
use crate::service::{ServiceKey, without_scope_id};
use crate::session::{NoTasks, Pace, Paced, block_on_ready};
use crate::table::{Table, TableEntry};
use crate::timeouts::Timeouts;

/// The commands that turn `current` into `desired`: [`Planner::new`]`().plan(current, desired)`.
///
/// ```
/// use ipvs::{Command, Service, Table, change::plan};
/// let current = Table::new();
/// let mut desired = current.clone();
/// desired.apply(&Command::AddService(Service::new("tcp 192.0.2.1:80".parse()?)))?;
/// assert_eq!(plan(&current, &desired).commands().len(), 1);
/// assert!(plan(&desired, &desired).is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn plan(current: &Table, desired: &Table) -> Plan {
    Planner::new().plan(current, desired)
}

/// Commands that lead from one table to another, in order.
///
/// There is one for each service, destination or sync daemon that is missing, different or left
/// over (two for a daemon that is different), and one for all timeouts; what is as desired is not
/// touched, so that its connections and counters stay. Statistics are no part of what is compared.
///
/// Additions come before edits, and edits before deletions. A service that has a usable destination
/// (one whose weight is not 0) before and after the plan has one after each of its commands. There
/// is no [`Command::Flush`] in a plan: it would also take what another program has just added.
///
/// ```
/// use ipvs::{Client, Table, change::Planner};
/// let mut director = Client::fake(Table::new());
/// let plan = Planner::new().plan(&director.table()?, &Table::new());
/// for outcome in director.execute_all(plan.commands())? {
///     outcome?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    commands: Vec<Command>,
    /// How many of the commands take nothing away from a service.
    widening: usize,
}

impl Plan {
    /// The commands, in order.
    pub fn commands(&self) -> &[Command] {
        &self.commands
    }

    /// Is everything as desired?
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// The commands in two parts: those after which every service can do at least what it could
    /// before, and those that take destinations and services away.
    ///
    /// The second may rely on all of the first: send it only when none of the first was refused.
    ///
    /// ```
    /// use ipvs::{Command, Service, Table, change::plan};
    /// let [mut current, mut desired] = [Table::new(), Table::new()];
    /// current.apply(&Command::AddService(Service::new("mark 1".parse()?)))?;
    /// desired.apply(&Command::AddService(Service::new("mark 2".parse()?)))?;
    /// let plan = plan(&current, &desired);
    /// let (additions, deletions) = plan.parts();
    /// assert_eq!(additions[0].to_string(), "-A -f 2 -s wlc");
    /// assert_eq!(deletions[0].to_string(), "-D -f 1");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parts(&self) -> (&[Command], &[Command]) {
        self.commands.split_at(self.widening)
    }
}

/// Makes plans, with restrictions.
///
/// ```
/// use ipvs::{Command, Service, Table, change::Planner};
/// let mut current = Table::new();
/// current.apply(&Command::AddService(Service::new("mark 1".parse()?)))?;
/// let emptied = Planner::new().plan(&current, &Table::new());
/// assert_eq!(emptied.commands(), [Command::DeleteService("mark 1".parse()?)]);
/// assert!(Planner::new().without_deletions().plan(&current, &Table::new()).is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planner {
    keep_weights: bool,
    edits: bool,
    deletions: Deletions,
    /// Of the timeouts, only these: TCP, TCP after a FIN, UDP.
    timeouts: [bool; 3],
    /// Of the sync daemons, only these: master, backup.
    daemons: [bool; 2],
    /// Of the services, only these.
    keys: Option<Arc<HashSet<ServiceKey>>>,
    /// Of those, only these.
    predicate: Option<Predicate>,
    /// Services that another writer makes after the reading are not taken over.
    leaves_others: bool,
    pub(crate) limits: DeletionLimits,
}

/// What a change may delete at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeletionLimits {
    /// How many services and destinations together.
    pub(crate) most: Option<usize>,
    /// Of the services, only these.
    pub(crate) approved: Option<Arc<HashSet<ServiceKey>>>,
}

/// What is to be read of a director, rather than all.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) services: Vec<ServiceKey>,
    pub(crate) timeouts: bool,
    pub(crate) daemons: bool,
}

/// At which point of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Before the second part of a plan.
    BeforeDeletions,
    AtTheEnd,
}

/// What may be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Deletions {
    All,
    None,
    These(Arc<HashSet<EntryKey>>),
}

#[derive(Clone)]
struct Predicate(Arc<dyn Fn(&ServiceKey) -> bool + Send + Sync>);

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Predicate")
    }
}

/// Equal if it is the very same: what two functions do can't be compared.
impl PartialEq for Predicate {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Predicate {}

/// Identifies what a [`Table`] holds: a service, or one destination of a service.
///
/// ```
/// use ipvs::change::EntryKey;
/// let service = EntryKey::service("tcp 192.0.2.1:80".parse()?);
/// let server = EntryKey::destination("tcp 192.0.2.1:80".parse()?, "192.0.2.11:80".parse()?);
/// assert_eq!(service.to_string(), "tcp 192.0.2.1:80");
/// assert_eq!(server.to_string(), "192.0.2.11:80 of tcp 192.0.2.1:80");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct EntryKey {
    /// The service.
    pub service: ServiceKey,
    /// The address of its destination; `None` for the service itself.
    pub destination: Option<SocketAddr>,
}

impl EntryKey {
    /// A service, without its destinations.
    pub fn service(key: ServiceKey) -> Self {
        EntryKey { service: key.without_scope_id(), destination: None }
    }

    /// A destination of a service.
    pub fn destination(service: ServiceKey, at: SocketAddr) -> Self {
        EntryKey { service: service.without_scope_id(), destination: Some(without_scope_id(at)) }
    }
}

impl fmt::Display for EntryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.destination {
            Some(at) => write!(f, "{at} of {}", self.service),
            None => self.service.fmt(f),
        }
    }
}

impl Default for Planner {
    fn default() -> Self {
        Self::new()
    }
}

impl Planner {
    /// Plans all that differs.
    pub fn new() -> Self {
        Planner {
            keep_weights: false,
            edits: true,
            deletions: Deletions::All,
            timeouts: [true; 3],
            daemons: [true; 2],
            keys: None,
            predicate: None,
            leaves_others: false,
            limits: DeletionLimits::default(),
        }
    }

    /// Leaves the weights of destinations that are there as they are: another program, such as a
    /// health checker, sets them.
    ///
    /// The kernel has no command that changes a destination and leaves its weight alone. Where
    /// anything else of a destination differs, a [`Change`](crate::change::Change) therefore reads
    /// the service right before it sends the edit, and writes the weight that it finds. Only a
    /// weight that is set between the reply and the edit is overwritten: see
    /// [`Change`](crate::change::Change). A [`Plan`] has the weight of the table that it was made
    /// from.
    ///
    /// ```
    /// use ipvs::{Command, Destination, Service, Table, Weight, change::Planner};
    /// let (key, server) = ("mark 1".parse()?, Destination::new("192.0.2.11:0".parse()?));
    /// let mut current = Table::new();
    /// current.apply(&Command::AddService(Service::new(key)))?;
    /// let mut desired = current.clone();
    /// current.apply(&Command::AddDestination(key, server.with_weight(Weight::ZERO)))?;
    /// desired.apply(&Command::AddDestination(key, server))?;
    /// assert!(!Planner::new().plan(&current, &desired).is_empty());
    /// assert!(Planner::new().keep_weights().plan(&current, &desired).is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn keep_weights(self) -> Self {
        Planner { keep_weights: true, ..self }
    }

    /// Only adds what is missing: nothing is edited or deleted.
    #[must_use]
    pub fn only_additions(self) -> Self {
        Planner { edits: false, deletions: Deletions::None, ..self }
    }

    /// Adds and edits, but leaves what is not desired.
    #[must_use]
    pub fn without_deletions(self) -> Self {
        Planner { deletions: Deletions::None, ..self }
    }

    /// Of what is not desired, deletes only these services and destinations, such as those that a
    /// controller made before.
    ///
    /// A destination is deleted only if it is named itself; a service only if it is named, and each
    /// destination that it has is, too: otherwise it stays, without the named ones. A
    /// [`Change`](crate::change::Change) asks for the service once more right before it deletes it.
    /// Sync daemons that are not desired stay.
    ///
    /// ```
    /// use ipvs::{
    ///     Command, Destination, Service, Table,
    ///     change::{EntryKey, Planner},
    /// };
    /// let (key, mine) = ("mark 1".parse()?, "192.0.2.11:0".parse()?);
    /// let mut current = Table::new();
    /// current.apply(&Command::AddService(Service::new(key)))?;
    /// current.apply(&Command::AddDestination(key, Destination::new(mine)))?;
    /// current.apply(&Command::AddDestination(key, Destination::new("192.0.2.12:0".parse()?)))?;
    /// let made = [EntryKey::service(key), EntryKey::destination(key, mine)];
    /// let plan = Planner::new().only_these_deletions(made).plan(&current, &Table::new());
    /// assert_eq!(
    ///     plan.commands(),
    ///     [Command::DeleteDestination(key, mine)],
    ///     "192.0.2.12 is another program's"
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn only_these_deletions(self, entries: impl IntoIterator<Item = EntryKey>) -> Self {
        let plain = |entry: EntryKey| match entry.destination {
            Some(at) => EntryKey::destination(entry.service, at),
            None => EntryKey::service(entry.service),
        };
        Planner { deletions: Deletions::These(Arc::new(entries.into_iter().map(plain).collect())), ..self }
    }

    /// Does not let a [`Change`](crate::change::Change) delete more than this number of services
    /// and destinations.
    ///
    /// All attempts of one change count together, and the destinations of a deleted service count,
    /// too: it is asked for once more right before it is deleted. A deletion whose acknowledgement
    /// was lost counts if the table shows it as carried out. Before the limit would be exceeded,
    /// the change stops with [`StopReason::Deletions`](crate::change::StopReason::Deletions). Plans
    /// are not limited, so that they show what is wanted.
    ///
    /// ```
    /// use ipvs::{
    ///     Client, Command, Service, Table,
    ///     change::{DeletionsError, Planner, ReconcileError, StopReason},
    /// };
    /// let mut director = Client::fake(Table::new());
    /// for key in ["mark 1", "mark 2"] {
    ///     director.add_service(&Service::new(key.parse()?))?;
    /// }
    /// let planner = Planner::new().max_deletions(1);
    /// let Err(ReconcileError::Change(error)) = director.reconcile(&Table::new(), &planner) else {
    ///     panic!("it is limited")
    /// };
    /// let StopReason::Deletions(stopped) = error.reason else { panic!("{error}") };
    /// assert_eq!(stopped, DeletionsError::TooMany { services: 2, destinations: 0, limit: 1 });
    /// assert_eq!(director.services()?.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn max_deletions(self, limit: usize) -> Self {
        Planner { limits: DeletionLimits { most: Some(limit), ..self.limits }, ..self }
    }

    /// Does not let a [`Change`](crate::change::Change) delete any service but these, which an
    /// operator has approved.
    ///
    /// Unlike [`only_these_deletions`](Self::only_these_deletions), which leaves all others alone,
    /// this stops the change, with [`StopReason::Deletions`](crate::change::StopReason::Deletions),
    /// before an attempt that would delete another service. Destinations of services that stay are
    /// not concerned.
    ///
    /// ```
    /// use ipvs::{
    ///     Client, Service, Table,
    ///     change::{DeletionsError, Planner, ReconcileError, StopReason},
    /// };
    /// let (agreed, other) = ("mark 1".parse()?, "mark 2".parse()?);
    /// let mut director = Client::fake(Table::new());
    /// director.add_service(&Service::new(agreed))?;
    /// let planner = Planner::new().approved_deletions([agreed]);
    /// director.add_service(&Service::new(other))?; // another program, after the approval
    /// let Err(ReconcileError::Change(error)) = director.reconcile(&Table::new(), &planner) else {
    ///     panic!("it is limited")
    /// };
    /// let StopReason::Deletions(stopped) = error.reason else { panic!("{error}") };
    /// assert_eq!(stopped, DeletionsError::NotApproved(other));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn approved_deletions(self, services: impl IntoIterator<Item = ServiceKey>) -> Self {
        let approved = services.into_iter().map(ServiceKey::without_scope_id).collect();
        Planner { limits: DeletionLimits { approved: Some(Arc::new(approved)), ..self.limits }, ..self }
    }

    /// Leaves timeouts as they are.
    #[must_use]
    pub fn without_timeouts(self) -> Self {
        Planner { timeouts: [false; 3], ..self }
    }

    /// Leaves sync daemons as they are.
    #[must_use]
    pub fn without_daemons(self) -> Self {
        Planner { daemons: [false; 2], ..self }
    }

    /// Leaves services and their destinations as they are.
    #[must_use]
    pub fn without_services(self) -> Self {
        self.these_services([])
    }

    /// Services and their destinations only; timeouts and sync daemons stay.
    ///
    /// ```
    /// use ipvs::{Command, Table, Timeouts, change::Planner};
    /// let mut current = Table::new();
    /// current.apply(&Command::SetTimeouts(Timeouts::new().with_udp(60)))?;
    /// assert!(Planner::new().only_services().plan(&current, &Table::new()).is_empty());
    /// # Ok::<(), ipvs::Refusal>(())
    /// ```
    #[must_use]
    pub fn only_services(self) -> Self {
        self.without_timeouts().without_daemons()
    }

    /// These services only; all others stay, and so do timeouts and sync daemons.
    ///
    /// ```
    /// use ipvs::{Command, Service, Table, change::Planner};
    /// let mut current = Table::new();
    /// for key in ["mark 1", "mark 2"] {
    ///     current.apply(&Command::AddService(Service::new(key.parse()?)))?;
    /// }
    /// let planner = Planner::new().only_these_services(["mark 1".parse()?]);
    /// let plan = planner.plan(&current, &Table::new());
    /// assert_eq!(plan.commands(), [Command::DeleteService("mark 1".parse()?)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn only_these_services(self, keys: impl IntoIterator<Item = ServiceKey>) -> Self {
        self.only_services().these_services(keys)
    }

    /// Services for which this holds only; all others stay. Timeouts and sync daemons are not
    /// concerned: see [`only_services`](Self::only_services).
    ///
    /// ```
    /// use ipvs::{Command, Service, ServiceKey, Table, change::Planner};
    /// let mut current = Table::new();
    /// for key in ["mark 1", "udp 192.0.2.1:53"] {
    ///     current.apply(&Command::AddService(Service::new(key.parse()?)))?;
    /// }
    /// let planner = Planner::new().services_where(|key| matches!(key, ServiceKey::Mark { .. }));
    /// let plan = planner.plan(&current, &Table::new());
    /// assert_eq!(plan.commands(), [Command::DeleteService("mark 1".parse()?)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn services_where(self, holds: impl Fn(&ServiceKey) -> bool + Send + Sync + 'static) -> Self {
        let predicate = match self.predicate {
            None => Predicate(Arc::new(holds)),
            Some(Predicate(before)) => Predicate(Arc::new(move |key| before(key) && holds(key))),
        };
        Planner { predicate: Some(predicate), ..self }
    }

    /// Of the services, only these.
    pub(crate) fn these_services(self, keys: impl IntoIterator<Item = ServiceKey>) -> Self {
        Planner { keys: Some(Arc::new(keys.into_iter().map(ServiceKey::without_scope_id).collect())), ..self }
    }

    /// Also those of the timeouts that are set here.
    #[cfg(feature = "desired")]
    pub(crate) fn and_timeouts(self, set: Timeouts) -> Self {
        let is_set = |seconds: Option<u32>| seconds.is_some_and(|seconds| seconds != 0);
        let [tcp, tcp_fin, udp] = self.timeouts;
        Planner { timeouts: [tcp || is_set(set.tcp), tcp_fin || is_set(set.tcp_fin), udp || is_set(set.udp)], ..self }
    }

    /// Of the sync daemons, only those of these roles.
    #[cfg(feature = "desired")]
    pub(crate) fn these_daemons(self, master: bool, backup: bool) -> Self {
        Planner { daemons: [master, backup], ..self }
    }

    fn concerns_daemon(&self, role: DaemonRole) -> bool {
        let [master, backup] = self.daemons;
        match role {
            DaemonRole::Master => master,
            DaemonRole::Backup => backup,
        }
    }

    /// Those of the timeouts that plans are about.
    fn concerned_timeouts(&self, timeouts: Timeouts) -> Timeouts {
        let [tcp, tcp_fin, udp] = self.timeouts;
        Timeouts {
            tcp: timeouts.tcp.filter(|_| tcp),
            tcp_fin: timeouts.tcp_fin.filter(|_| tcp_fin),
            udp: timeouts.udp.filter(|_| udp),
        }
    }

    /// Does not take over services that another writer makes after the reading.
    pub(crate) fn leaving_others(self) -> Self {
        Planner { leaves_others: true, ..self }
    }

    /// Whether it leaves them.
    pub(crate) fn leaves_others(&self) -> bool {
        self.leaves_others
    }

    /// Must the service be asked for right before this command, because what it is by then decides
    /// about the command?
    pub(crate) fn guards(&self, command: &Command, reading: &Table) -> bool {
        match command {
            // What its destinations are by then decides whether it may be deleted, and what an undo
            // brings back.
            Command::DeleteService(_) => {
                self.leaves_others
                    || self.keep_weights
                    || self.limits.most.is_some()
                    || matches!(self.deletions, Deletions::These(_))
            }
            Command::EditDestination(..) | Command::DeleteDestination(..) if self.keep_weights => true,
            // The service may be of this change, and another writer's by now.
            Command::AddDestination(..) => self.leaves_others,
            Command::EditService(_) | Command::EditDestination(..) | Command::DeleteDestination(..) => {
                self.leaves_others && command.service_key().is_some_and(|key| reading.service(&key).is_some())
            }
            _ => false,
        }
    }

    /// The command with the weight that the destination has now, if weights are kept.
    pub(crate) fn with_present_weight(&self, command: &Command, present: &Table) -> Command {
        match command {
            Command::EditDestination(key, wanted) if self.keep_weights => {
                let present = present.service(key).and_then(|entry| entry.destination(&wanted.address));
                let weight = present.map_or(wanted.weight, |state| state.destination.weight);
                Command::EditDestination(*key, wanted.with_weight(weight))
            }
            _ => *command,
        }
    }

    /// Is the destination configured as one of these, but for a weight that is kept?
    pub(crate) fn is_one_of<'d>(
        &self,
        present: &Destination,
        mut known: impl Iterator<Item = &'d Destination>,
    ) -> bool {
        let weight = |known: &Destination| if self.keep_weights { present.weight } else { known.weight };
        known.any(|known| known.with_weight(weight(known)) == *present)
    }

    /// Would plans leave a destination as it is that is there and desired?
    pub(crate) fn leaves(&self, present: &Destination, wanted: &Destination) -> bool {
        !self.edits || self.is_one_of(present, std::iter::once(wanted))
    }

    /// Would plans do no more to this service than add destinations?
    pub(crate) async fn only_adds_to<P: Pace>(
        &self,
        present: &TableEntry,
        wanted: &TableEntry,
        paced: &mut Paced<'_, P>,
    ) -> bool {
        let mut steps = Steps::default();
        self.plan_service(present, wanted, &mut steps, paced).await;
        steps.edits.is_empty() && steps.retirements.is_empty() && steps.deletions.is_empty()
    }

    /// May the service be deleted, with all its destinations?
    pub(crate) async fn may_delete_whole<P: Pace>(&self, entry: &TableEntry, paced: &mut Paced<'_, P>) -> bool {
        if self.deletions == Deletions::All {
            return true;
        }
        let key = entry.service().key();
        for state in entry.destinations() {
            paced.step(1).await;
            if !self.may_delete(&EntryKey::destination(key, state.destination.address)) {
                return false;
            }
        }
        self.may_delete(&EntryKey::service(key))
    }

    fn may_delete(&self, entry: &EntryKey) -> bool {
        match &self.deletions {
            Deletions::All => true,
            Deletions::None => false,
            Deletions::These(entries) => entries.contains(entry),
        }
    }

    /// Those of the present destinations that are not wanted and may be deleted, newest first: the
    /// others need not move up.
    async fn delete_destinations<P: Pace>(
        &self,
        present: &TableEntry,
        wanted: Option<&TableEntry>,
        steps: &mut Steps,
        paced: &mut Paced<'_, P>,
    ) {
        let key = present.service().key();
        for at in present.destinations().rev().map(|state| state.destination.address) {
            paced.step(1).await;
            let is_wanted = wanted.is_some_and(|wanted| wanted.destination(&at).is_some());
            if !is_wanted && self.may_delete(&EntryKey::destination(key, at)) {
                steps.deletions.push(Command::DeleteDestination(key, at));
            }
        }
    }

    /// The commands that turn `current` into `desired`, as far as the restrictions let them.
    ///
    /// What `desired` does not say about a sync daemon (`None`) may be anything, and a timeout that
    /// `current` has not (`None`), as the kernel was built without its protocol, stays so: the
    /// kernel would acknowledge a change of it, and do nothing. A restricted plan
    /// may hold commands that are refused, if what it leaves is in their way: try it on a copy of
    /// `current`.
    pub fn plan(&self, current: &Table, desired: &Table) -> Plan {
        block_on_ready(self.plan_paced(current, desired, &mut Paced::new(&mut NoTasks)))
    }

    /// The same, with yields.
    pub(crate) async fn plan_paced<P: Pace>(&self, current: &Table, desired: &Table, paced: &mut Paced<'_, P>) -> Plan {
        let mut steps = Steps::default();
        self.plan_director(current.timeouts(), current.daemons(), desired, &mut steps);
        for wanted in desired.services() {
            paced.step(1).await;
            if self.concerns(wanted) {
                let present = current.service(&wanted.service().key());
                self.plan_entry(present, Some(wanted), &mut steps, paced).await;
            }
        }
        if self.deletions != Deletions::None {
            let left_over = |entry: &TableEntry| desired.service(&entry.service().key()).is_none();
            // Newest first: the others need not move up.
            for entry in current.services().rev() {
                paced.step(1).await;
                if self.concerns(entry) && left_over(entry) {
                    self.plan_entry(Some(entry), None, &mut steps, paced).await;
                }
            }
        }
        steps.into_plan()
    }

    /// What is still to be done to a service that plans are about. Before the deletions, only what
    /// is to be added and edited.
    pub(crate) async fn rest_of<P: Pace>(
        &self,
        present: Option<&TableEntry>,
        wanted: Option<&TableEntry>,
        when: When,
        paced: &mut Paced<'_, P>,
    ) -> Vec<Command> {
        let mut steps = Steps::default();
        self.plan_entry(present, wanted, &mut steps, paced).await;
        steps.until(when)
    }

    /// The same for what is of no service.
    pub(crate) fn rest_of_director(
        &self,
        present: Timeouts,
        daemons: &[Daemon],
        desired: &Table,
        when: When,
    ) -> Vec<Command> {
        let mut steps = Steps::default();
        self.plan_director(present, daemons, desired, &mut steps);
        steps.until(when)
    }

    fn plan_director(&self, present: Timeouts, daemons: &[Daemon], desired: &Table, steps: &mut Steps) {
        if self.edits {
            let wanted = self.concerned_timeouts(desired.timeouts());
            steps.before.extend(timeouts(present, wanted).map(Command::SetTimeouts));
        }
        self.plan_daemons(daemons, desired.daemons(), steps);
    }

    async fn plan_entry<P: Pace>(
        &self,
        present: Option<&TableEntry>,
        wanted: Option<&TableEntry>,
        steps: &mut Steps,
        paced: &mut Paced<'_, P>,
    ) {
        match (present, wanted) {
            (Some(present), Some(wanted)) => self.plan_service(present, wanted, steps, paced).await,
            (None, Some(wanted)) => steps.add_whole(wanted, paced).await,
            (Some(present), None) if self.may_delete_whole(present, paced).await => {
                steps.deletions.push(Command::DeleteService(present.service().key()));
            }
            (Some(present), None) => self.delete_destinations(present, None, steps, paced).await,
            (None, None) => {}
        }
    }

    /// The part of a director that decides what is planned for it; `None` if that is all of it.
    pub(crate) fn part_of(&self, desired: &Table) -> Option<Part> {
        // A daemon does not start beside certain destinations, whichever service they are of.
        let starts_daemons = desired.daemons().iter().any(|daemon| self.concerns_daemon(daemon.role));
        let keys = self.keys.as_ref()?;
        if starts_daemons {
            return None;
        }
        // Nor are these added beside a daemon.
        let is_mixed = |entry: &TableEntry| {
            let family = entry.service().key().family();
            entry.destinations().any(|state| state.destination.family() != family)
        };
        let concerned = |key: &&ServiceKey| self.predicate.as_ref().is_none_or(|Predicate(holds)| holds(key));
        let services: Vec<_> = keys.iter().filter(concerned).copied().collect();
        let mixes = services.iter().filter_map(|key| desired.service(key)).any(is_mixed);
        let (timeouts, daemons) = (self.timeouts.contains(&true), self.daemons.contains(&true));
        Some(Part { services, timeouts, daemons: daemons || mixes })
    }

    fn concerns(&self, entry: &TableEntry) -> bool {
        self.concerns_service(&entry.service().key())
    }

    /// Whether plans are about this service.
    pub(crate) fn concerns_service(&self, key: &ServiceKey) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.contains(key))
            && self.predicate.as_ref().is_none_or(|Predicate(holds)| holds(key))
    }

    /// Whether plans edit what is there and differs.
    pub(crate) fn edits(&self) -> bool {
        self.edits
    }

    /// Whether plans delete each service that is not desired.
    pub(crate) fn deletes_services(&self) -> bool {
        self.deletions == Deletions::All
    }

    async fn plan_service<P: Pace>(
        &self,
        present: &TableEntry,
        wanted: &TableEntry,
        steps: &mut Steps,
        paced: &mut Paced<'_, P>,
    ) {
        if is_same(present, wanted, paced).await {
            return;
        }
        let key = wanted.service().key();
        if self.edits && present.service() != wanted.service() {
            steps.edits.push(Command::EditService(*wanted.service()));
        }
        for wanted in wanted.destinations().map(|state| &state.destination) {
            paced.step(1).await;
            match present.destination(&wanted.address) {
                None => steps.additions.push(Command::AddDestination(key, *wanted)),
                Some(present) if self.edits => self.plan_destination(key, &present.destination, wanted, steps),
                Some(_) => {}
            }
        }
        if self.deletions != Deletions::None {
            self.delete_destinations(present, Some(wanted), steps, paced).await;
        }
    }

    fn plan_destination(&self, key: ServiceKey, present: &Destination, wanted: &Destination, steps: &mut Steps) {
        let weight = if self.keep_weights { present.weight } else { wanted.weight };
        let wanted = wanted.with_weight(weight);
        if wanted == *present {
            return;
        }
        let edits = if is_usable(&wanted) { &mut steps.edits } else { &mut steps.retirements };
        edits.push(Command::EditDestination(key, wanted));
    }

    /// A daemon can't be edited, only stopped and started.
    fn plan_daemons(&self, current: &[Daemon], desired: &[Daemon], steps: &mut Steps) {
        for running in current.iter().filter(|running| self.concerns_daemon(running.role)) {
            match desired.iter().find(|daemon| daemon.role == running.role) {
                None if self.deletions == Deletions::All => steps.before.push(Command::StopDaemon(running.role)),
                Some(wanted) if self.edits && !is_as_wanted(running, wanted) => {
                    steps.after.extend([Command::StopDaemon(running.role), Command::StartDaemon(*wanted)]);
                }
                _ => {}
            }
        }
        let is_missing = |wanted: &&Daemon| {
            self.concerns_daemon(wanted.role) && current.iter().all(|running| running.role != wanted.role)
        };
        steps.after.extend(desired.iter().filter(is_missing).copied().map(Command::StartDaemon));
    }
}

/// Are they configured alike, with destinations in the same order? Mostly they are, and then none
/// need be looked up.
async fn is_same<P: Pace>(present: &TableEntry, wanted: &TableEntry, paced: &mut Paced<'_, P>) -> bool {
    if present.is_shared_with(wanted) {
        return true;
    }
    if present.service() != wanted.service() || present.work() != wanted.work() {
        return false;
    }
    for (present, wanted) in present.destinations().zip(wanted.destinations()) {
        paced.step(1).await;
        if present.destination != wanted.destination {
            return false;
        }
    }
    true
}

/// May the scheduler choose it?
pub(crate) fn is_usable(destination: &Destination) -> bool {
    destination.weight.get() > 0
}

/// The timeouts that differ, if any does. One that the kernel has not can't be set.
pub(crate) fn timeouts(current: Timeouts, desired: Timeouts) -> Option<Timeouts> {
    let differing = |current: Option<u32>, desired: Option<u32>| {
        desired.filter(|desired| current.is_some_and(|current| current != *desired))
    };
    let change = Timeouts {
        tcp: differing(current.tcp, desired.tcp),
        tcp_fin: differing(current.tcp_fin, desired.tcp_fin),
        udp: differing(current.udp, desired.udp),
    };
    (change != Timeouts::default()).then_some(change)
}

/// What was left to the kernel to choose is right as it is.
pub(crate) fn is_as_wanted(running: &Daemon, wanted: &Daemon) -> bool {
    let chosen = Daemon {
        max_len: wanted.max_len.or(running.max_len),
        group: wanted.group.or(running.group),
        port: wanted.port.or(running.port),
        ttl: wanted.ttl.or(running.ttl),
        ..*wanted
    };
    chosen == *running
}

/// Commands by the place that they have in a plan.
#[derive(Default)]
struct Steps {
    /// Timeouts; daemons that must stop before a service may mix address families.
    before: Vec<Command>,
    additions: Vec<Command>,
    /// Edits after which a destination is usable, and those of services.
    edits: Vec<Command>,
    /// Edits to weight 0.
    retirements: Vec<Command>,
    deletions: Vec<Command>,
    /// Daemons to start, which only do so where no service mixes address families.
    after: Vec<Command>,
}

impl Steps {
    async fn add_whole<P: Pace>(&mut self, entry: &TableEntry, paced: &mut Paced<'_, P>) {
        self.additions.push(Command::AddService(*entry.service()));
        let key = entry.service().key();
        for state in entry.destinations() {
            paced.step(1).await;
            self.additions.push(Command::AddDestination(key, state.destination));
        }
    }

    fn until(self, when: When) -> Vec<Command> {
        let Plan { mut commands, widening } = self.into_plan();
        if when == When::BeforeDeletions {
            commands.truncate(widening);
        }
        commands
    }

    fn into_plan(mut self) -> Plan {
        let mut commands = self.before;
        commands.append(&mut self.additions);
        commands.append(&mut self.edits);
        let widening = commands.len();
        commands.append(&mut self.retirements);
        commands.append(&mut self.deletions);
        commands.append(&mut self.after);
        Plan { commands, widening }
    }
}

#[cfg(test)]
#[path = "plan_laws.rs"]
pub(crate) mod laws;

#[cfg(test)]
#[path = "plan_exhaustive.rs"]
mod exhaustive;
