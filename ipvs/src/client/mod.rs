//! Clients: [`Client`], which keeps its thread waiting, and `AsyncClient`, which does not.
//!
//! One file per group of verbs. What both do is in `session/`, how they wait in
//! `session/transport.rs`.

#[cfg(feature = "tokio")]
mod asynchronous;
mod builder;
mod change;
mod changes;
mod counters;
mod explain;
mod fake_kernel;
mod listing;
mod pipeline;
mod probe;

use std::os::fd::BorrowedFd;
use std::time::Duration;

#[cfg(all(test, feature = "tokio"))]
pub(crate) use asynchronous::Waiting;
#[cfg(feature = "tokio")]
pub use asynchronous::{AsyncClient, AsyncPipeline};
pub use builder::ClientBuilder;
use builder::DEADLINE;
pub use counters::Counters;
pub use fake_kernel::FakeKernel;
pub use listing::Listing;
pub use pipeline::Pipeline;

use crate::command::Command;
use crate::daemon::Daemon;
use crate::error::Error;
use crate::fake::Fake;
use crate::info::Info;
use crate::link::Link;
use crate::netns::{Namespace, NamespaceError};
use crate::refusal::Outcome;
use crate::service::ServiceKey;
use crate::session::{Blocking, Session, block_on_ready};
use crate::table::{DestinationState, ServiceState, Table};
use crate::timeouts::Timeouts;
use crate::wire::Detail;

/// Carries commands to a kernel, and brings its table back.
///
/// A client keeps one socket for its life. That is in the network namespace of the thread that
/// connects, or in [another](ClientBuilder::namespace), for good: the client may be moved to any
/// thread. It keeps the [namespace](Self::namespace) alive. Changing and reading alike need
/// `CAP_NET_ADMIN` in the initial user namespace; [`sockopt::Table`](crate::sockopt::Table) reads a
/// director of IPv4 for root of another.
///
/// [`Client::fake`] is the same client over an in-memory kernel: for tests of programs that use
/// this crate, and for trying changes out before making them.
///
/// ```no_run
/// use ipvs::{Client, Destination, Forwarding, Scheduler, Service};
/// let mut director = Client::connect()?;
/// let web = Service::new("tcp 192.0.2.1:80".parse()?).with_scheduler(Scheduler::RR);
/// director.add_service(&web)?;
/// for server in ["192.0.2.11:80", "192.0.2.12:80"] {
///     let server = Destination::new(server.parse()?).with_forwarding(Forwarding::Masquerade);
///     director.add_destination(&web.key(), &server)?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Client {
    pub(crate) session: Session<Blocking>,
}

impl Client {
    /// A client of the kernel, in the network namespace of this thread, with default settings.
    ///
    /// ```no_run
    /// let mut director = ipvs::Client::connect()?;
    /// println!("IPVS {}", director.info()?.version);
    /// # Ok::<(), ipvs::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`].
    pub fn connect() -> Result<Self, Error> {
        Self::builder().connect()
    }

    /// Settings for a client of the kernel.
    ///
    /// ```no_run
    /// use ipvs::{Client, netns::Namespace};
    /// let director = Client::builder().namespace(Namespace::named("blue")?).connect()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The number that the family of IPVS had when it was last needed.
    pub(crate) fn family(&self) -> u16 {
        self.session.family()
    }

    pub(crate) fn over(link: Link, deadline: Duration) -> Result<Self, Error> {
        Ok(Client { session: block_on_ready(Session::over(Blocking { link, deadline }))? })
    }

    /// A client of an in-memory kernel that holds this table.
    ///
    /// Only the far end of the socket is replaced: requests and replies are encoded and decoded as
    /// for the real kernel. [`FakeKernel`] is one that fails on demand, too.
    ///
    /// ```
    /// use ipvs::{Client, Service, Table};
    /// let mut director = Client::fake(Table::new());
    /// director.add_service(&Service::new("udp 192.0.2.1:53".parse()?))?;
    /// assert_eq!(director.table()?.services().len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fake(table: Table) -> Self {
        FakeKernel::new(table).client()
    }

    /// A client of an in-memory kernel that holds this table, mostly the one that was just read: to
    /// try changes out before they are made.
    ///
    /// Unlike that of [`fake`](Self::fake), it asks the kernel of this client for what a table does
    /// not have: [`probe`](Self::probe).
    ///
    /// ```
    /// use ipvs::{Client, Scheduler, Service, Table};
    /// let fastest = Scheduler::new("fastest")?;
    /// let mut director = Client::fake(Table::new().with_module(fastest));
    /// let table = director.table()?;
    /// let mut try_out = director.try_clone()?.dry_run(table);
    /// try_out.add_service(&Service::new("mark 1".parse()?).with_scheduler(fastest))?;
    /// let other = Service::new("mark 2".parse()?).with_scheduler(Scheduler::new("other")?);
    /// assert!(try_out.add_service(&other).is_err());
    /// assert_eq!(director.services()?.len(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dry_run(self, table: Table) -> Self {
        let mut original = self;
        let probe = move |table: &mut Table, command: &Command| {
            // What can't be asked is not refused: the kernel itself will reply.
            let _ = original.probe(table, [command]);
        };
        let link = Link::Fake(Box::new(Fake::with_original(table, probe)));
        Self::over(link, DEADLINE).expect("the in-memory kernel has the family")
    }

    /// A second client of the same director, with a socket of its own: for another thread, or in
    /// tests of programs beside other writers. It is in the network namespace of the first,
    /// whichever thread calls this.
    ///
    /// ```
    /// use ipvs::{Client, Service, Table};
    /// let mut director = Client::fake(Table::new());
    /// let mut other = director.try_clone()?;
    /// other.add_service(&Service::new("udp 192.0.2.1:53".parse()?))?;
    /// assert_eq!(director.table()?.services().len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] if there is no socket to be had. If this thread is in another network
    /// namespace, or the kernel does not say whether it is (before Linux 5.14, without
    /// `CAP_NET_ADMIN`), [`Error::Namespace`] where that of the client can't be entered.
    pub fn try_clone(&self) -> Result<Self, Error> {
        let Blocking { link, deadline } = &self.session.transport;
        let transport = Blocking { link: link.another(*deadline)?, deadline: *deadline };
        Ok(Client { session: self.session.beside(transport) })
    }

    /// The network namespace whose director this is, to read there what is not asked through a
    /// client.
    ///
    /// ```no_run
    /// use ipvs::{Client, proc::Connections};
    /// let director = Client::connect()?;
    /// let connections = director.namespace()?.within(Connections::open)??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`NamespaceError::Unknown`] without `CAP_NET_ADMIN` in it, or of a [`fake`](Self::fake).
    pub fn namespace(&self) -> Result<Namespace, NamespaceError> {
        self.session.transport.link.namespace()
    }

    /// The client's netlink socket, to set or read options of it, such as `SO_RCVBUF`; a
    /// [`fake`](Self::fake) has none.
    ///
    /// Don't send or receive on it: the client would take your reply for its own, or lose one.
    /// To poll it is of no use, either: between two calls of the client nothing waits there, and a
    /// client gets no notifications.
    ///
    /// ```
    /// use ipvs::{Client, Table};
    /// assert!(Client::fake(Table::new()).socket().is_none());
    /// ```
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.session.transport.link.socket()
    }
}

/// Changes.
impl Client {
    /// Carries one command out.
    ///
    /// ```
    /// use ipvs::{Client, Command, Errno, Error, Service, Table};
    /// let mut director = Client::fake(Table::new());
    /// let add = Command::AddService(Service::new("tcp 192.0.2.1:80".parse()?));
    /// director.execute(&add)?;
    /// match director.execute(&add) {
    ///     Err(Error::Refused(refusal)) if refusal.errno == Errno::EEXIST => println!("it exists"),
    ///     other => other?,
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Refused`] if the kernel refused it, and then nothing was changed; see [`Error`] for
    /// the rest.
    pub fn execute(&mut self, command: &Command) -> Result<(), Error> {
        block_on_ready(self.session.execute(command))
    }

    /// Carries many commands out, up to 96 in one system call, and returns the outcome of each, in
    /// order.
    ///
    /// A command that is refused does not stop those after it.
    ///
    /// ```
    /// use ipvs::{Client, Command, Service, Table};
    /// let add = Command::AddService(Service::new("tcp 192.0.2.1:80".parse()?));
    /// let outcomes = Client::fake(Table::new()).execute_all([&add, &add, &Command::Flush])?;
    /// assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`] has the outcomes of the commands whose replies came before the
    /// exchange failed. With any other error nothing was changed.
    pub fn execute_all<'c>(&mut self, commands: impl IntoIterator<Item = &'c Command>) -> Result<Vec<Outcome>, Error> {
        block_on_ready(self.session.execute_all(commands))
    }

    /// Sends a stream of commands in few system calls, and returns outcomes as they come.
    ///
    /// ```
    /// use ipvs::{Client, Command, Table};
    /// let mut director = Client::fake(Table::new());
    /// let mut pipeline = director.pipeline();
    /// let mut outcomes = Vec::new();
    /// for mark in 1..=100 {
    ///     let delete = Command::DeleteService(format!("mark {mark}").parse()?);
    ///     outcomes.extend(pipeline.push(&delete)?);
    /// }
    /// outcomes.extend(pipeline.flush()?);
    /// assert_eq!(outcomes.len(), 100);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pipeline(&mut self) -> Pipeline<'_> {
        self.session.clear();
        Pipeline { client: self }
    }
}

/// Reads.
impl Client {
    /// All services, in the order of the kernel's hash table.
    ///
    /// A service that exists during the whole call is returned exactly once. One that is added or
    /// deleted meanwhile may be returned or not. A single dump (`IPVS_CMD_GET_SERVICE`) does not
    /// promise that: the kernel releases its table between datagrams. So what a dump may have
    /// missed is compared with `getsockopt`, or dumped again.
    ///
    /// ```
    /// use ipvs::{Client, Service, Table};
    /// let mut director = Client::fake(Table::new());
    /// director.add_service(&Service::new("tcp 192.0.2.1:80".parse()?))?;
    /// for state in director.services()? {
    ///     let connections = state.statistics.map_or(0, |counted| counted.connections);
    ///     println!("{}: {connections} connections so far", state.service.key());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unstable`] if changes kept making it incomplete; see [`Error`] for the rest.
    pub fn services(&mut self) -> Result<Vec<ServiceState>, Error> {
        block_on_ready(self.session.services(Detail::Statistics))
    }

    /// As [`services`](Self::services), but without [`Statistics`](crate::Statistics), which takes
    /// less work.
    ///
    /// # Errors
    /// As [`services`](Self::services).
    pub fn services_without_statistics(&mut self) -> Result<Vec<ServiceState>, Error> {
        block_on_ready(self.session.services(Detail::NoStatistics))
    }

    /// One service.
    ///
    /// ```
    /// use ipvs::{Client, Errno, Table};
    /// let mut director = Client::fake(Table::new());
    /// let error = director.service(&"tcp 192.0.2.1:80".parse()?).unwrap_err();
    /// assert_eq!(error.errno(), Some(Errno::ESRCH));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Refused`] with [`Errno::ESRCH`](crate::Errno::ESRCH) if there is none; see
    /// [`Error`] for the rest.
    pub fn service(&mut self, key: &ServiceKey) -> Result<ServiceState, Error> {
        block_on_ready(self.session.service(key))
    }

    /// The destinations of a service, newest first; none for a service that does not exist.
    ///
    /// As with [`services`](Self::services), one that exists during the whole call is returned
    /// exactly once.
    ///
    /// ```
    /// use ipvs::{Client, Destination, Service, Table};
    /// let mut director = Client::fake(Table::new());
    /// let web = "tcp 192.0.2.1:80".parse()?;
    /// director.add_service(&Service::new(web))?;
    /// director.add_destination(&web, &Destination::new("192.0.2.11:80".parse()?))?;
    /// for state in director.destinations(&web)? {
    ///     println!("{}: {} active", state.destination.address, state.active_connections);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unstable`], as for [`services`](Self::services); see [`Error`] for the rest.
    pub fn destinations(&mut self, key: &ServiceKey) -> Result<Vec<DestinationState>, Error> {
        block_on_ready(self.session.destinations(key, Detail::Statistics))
    }

    /// As [`destinations`](Self::destinations), but without [`Statistics`](crate::Statistics).
    ///
    /// For a service of IPv4 without tunnels, on Linux 5.14 or newer, `getsockopt` is used, which
    /// takes a tenth of the time. All others are dumped by netlink. For those of all services, a
    /// [`Listing`] takes less work.
    ///
    /// # Errors
    /// As [`destinations`](Self::destinations).
    pub fn destinations_without_statistics(&mut self, key: &ServiceKey) -> Result<Vec<DestinationState>, Error> {
        block_on_ready(self.session.destinations(key, Detail::NoStatistics))
    }

    /// The timeouts of connections.
    ///
    /// ```
    /// use ipvs::{Client, Table, Timeouts};
    /// let mut director = Client::fake(Table::new());
    /// director.set_timeouts(Timeouts::new().with_udp(60))?;
    /// assert_eq!(director.timeouts()?.udp, Some(60));
    /// # Ok::<(), ipvs::Error>(())
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub fn timeouts(&mut self) -> Result<Timeouts, Error> {
        block_on_ready(self.session.timeouts())
    }

    /// The sync daemons that run: at most one of each role, master first.
    ///
    /// ```
    /// use ipvs::{Client, DaemonRole, Table};
    /// let mut director = Client::fake(Table::new());
    /// let is_backup = director.daemons()?.iter().any(|daemon| daemon.role == DaemonRole::Backup);
    /// assert!(!is_backup);
    /// # Ok::<(), ipvs::Error>(())
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub fn daemons(&mut self) -> Result<Vec<Daemon>, Error> {
        block_on_ready(self.session.daemons())
    }

    /// Version and size of the kernel's IPVS.
    ///
    /// ```
    /// use ipvs::{Client, Table};
    /// assert_eq!(Client::fake(Table::new()).info()?.version.to_string(), "1.2.1");
    /// # Ok::<(), ipvs::Error>(())
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub fn info(&mut self) -> Result<Info, Error> {
        block_on_ready(self.session.info())
    }

    /// Everything that the director holds.
    ///
    /// It is read in several requests, so it is not a snapshot if another program makes changes
    /// meanwhile. But what exists during the whole call is in it exactly once.
    ///
    /// ```
    /// use ipvs::{Client, Service, Table};
    /// let mut director = Client::fake(Table::new());
    /// director.add_service(&Service::new("tcp 192.0.2.1:80".parse()?))?;
    /// for entry in director.table()?.services() {
    ///     println!("{}: {} destinations", entry.service().key(), entry.destinations().len());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unstable`], as for [`services`](Self::services); see [`Error`] for the rest.
    pub fn table(&mut self) -> Result<Table, Error> {
        block_on_ready(self.session.table(Detail::Statistics))
    }

    /// As [`table`](Self::table), but without [`Statistics`](crate::Statistics): it takes less
    /// work, and is enough to [`plan`](crate::change::plan()) a change. As in a [`Listing`], one
    /// case is not excluded: a service of IPv4 has destinations of IPv6, and as many of IPv4 are
    /// added before its destinations are read, and deleted before the reading ends.
    ///
    /// ```
    /// use ipvs::{Client, Table};
    /// let mut director = Client::fake(Table::new());
    /// let plan = ipvs::change::plan(&director.table_without_statistics()?, &Table::new());
    /// assert!(plan.is_empty());
    /// # Ok::<(), ipvs::Error>(())
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub fn table_without_statistics(&mut self) -> Result<Table, Error> {
        block_on_ready(self.session.table(Detail::NoStatistics))
    }
}
