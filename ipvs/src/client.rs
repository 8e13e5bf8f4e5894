//! The blocking client.

use std::collections::HashSet;
use std::time::Duration;

use crate::command::Command;
use crate::daemon::Daemon;
use crate::error::{Errno, Error};
use crate::exchange::{Limits, Outcome, Progress, Query, Window};
use crate::fake::Fake;
use crate::info::Info;
use crate::link::Link;
use crate::namespace::Namespace;
use crate::service::{Service, ServiceKey};
use crate::table::{DestinationState, ServiceState, Table};
use crate::timeouts::Timeouts;
use crate::wire::{self, Detail, Read, WireError, sockopt};
use crate::{DaemonRole, Destination};

/// How long a call waits for the kernel unless told otherwise. It answers at once, but for loading a module.
const DEADLINE: Duration = Duration::from_secs(10);

/// Carries commands to a kernel, and brings its table back.
///
/// A client keeps one socket and the number of the kernel's IPVS family for its life. It belongs to the network namespace
/// of the thread that made it, or to [another](ClientBuilder::namespace), and may then be moved to another thread. Changing and reading alike need `CAP_NET_ADMIN` in
/// the initial user namespace.
///
/// [`Client::fake`] is the same client over an in-memory kernel: for tests of programs that use this crate, and for trying
/// changes out before making them.
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
    link: Link,
    family: u16,
    sequence: u32,
    deadline: Duration,
    /// The one that it was made for, if not that of its thread.
    namespace: Option<Namespace>,
    /// How many changes may be under way at once; known from the first of them on.
    limits: Option<Limits>,
    window: Window,
    request: Vec<u8>,
    reply: Vec<u8>,
}

/// How a [`Client`] is to be connected.
///
/// ```no_run
/// use std::time::Duration;
/// let client = ipvs::Client::builder().deadline(Duration::from_secs(2)).connect()?;
/// # Ok::<(), ipvs::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    deadline: Duration,
    namespace: Option<Namespace>,
}

impl ClientBuilder {
    /// How long a call waits for an answer of the kernel: by default 10 seconds.
    ///
    /// What can't be bounded is the time that the kernel takes to run a request, as it does so inside `send`: some 20 to
    /// 45 ms while it looks for a scheduler's module.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        // A timeout of 0 means none to a socket.
        ClientBuilder { deadline: deadline.max(Duration::from_millis(1)), ..self }
    }

    /// The director of this network namespace, in place of that of the thread that connects. The thread is in it while the
    /// sockets are opened, and back in its own then.
    #[must_use]
    pub fn namespace(self, namespace: Namespace) -> Self {
        ClientBuilder { namespace: Some(namespace), ..self }
    }

    /// Opens the socket and looks up the kernel's IPVS family. The kernel loads the module `ip_vs` then, if it has it.
    ///
    /// # Errors
    /// [`Error::ModuleMissing`], or [`Error::Io`] if there is no socket to be had. Missing privileges show at the first
    /// request only, as a [`Refusal`](crate::Refusal) with [`Errno::EPERM`]. [`Error::Namespace`] if the network namespace can't
    /// be entered.
    pub fn connect(self) -> Result<Client, Error> {
        let link = Link::open(self.deadline, self.namespace.as_ref())?;
        let mut client = Client::over(link, self.deadline)?;
        client.namespace = self.namespace;
        Ok(client)
    }
}

impl Client {
    /// A client of the kernel, in the network namespace of this thread, with default settings.
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`].
    pub fn connect() -> Result<Self, Error> {
        Self::builder().connect()
    }

    /// Settings for a client of the kernel.
    pub fn builder() -> ClientBuilder {
        ClientBuilder { deadline: DEADLINE, namespace: None }
    }

    /// A client of an in-memory kernel that holds this table.
    ///
    /// Only the far end of the socket is replaced: requests and replies are encoded and decoded as for the real kernel.
    ///
    /// ```
    /// use ipvs::{Client, Service, Table};
    /// let mut director = Client::fake(Table::new());
    /// director.add_service(&Service::new("udp 192.0.2.1:53".parse()?))?;
    /// assert_eq!(director.table()?.services().len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fake(table: Table) -> Self {
        let link = Link::Fake(Box::new(Fake::new(table)));
        Self::over(link, DEADLINE).expect("the in-memory kernel has the family")
    }

    /// A second client of the same kernel, with a socket of its own: for another thread, or in tests of programs that must
    /// bear other writers. Unless the first was given a [network namespace](ClientBuilder::namespace), it belongs, as with
    /// [`connect`](Self::connect), to that of the thread that calls this.
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
    /// As [`connect`](Self::connect).
    pub fn try_clone(&self) -> Result<Self, Error> {
        let mut other = Self::over(self.link.another(self.deadline, self.namespace.as_ref())?, self.deadline)?;
        other.namespace.clone_from(&self.namespace);
        Ok(other)
    }

    fn over(link: Link, deadline: Duration) -> Result<Self, Error> {
        let mut client = Client {
            link,
            family: 0,
            sequence: 0,
            deadline,
            namespace: None,
            limits: None,
            window: Window::default(),
            request: Vec::new(),
            reply: Vec::new(),
        };
        client.family = client.resolve_family()?;
        Ok(client)
    }

    fn resolve_family(&mut self) -> Result<u16, Error> {
        let sequence = self.next_sequence();
        self.request.clear();
        let query = Query::resolve(&mut self.request, sequence);
        let mut family = None;
        self.converse(query, &mut |attrs| {
            family = Some(wire::decode_family_id(attrs)?);
            Ok(())
        })
        .map_err(|error| if error.errno() == Some(Errno::ENOENT) { Error::ModuleMissing } else { error })?;
        family.ok_or(Error::ModuleMissing)
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }
}

/// Changes.
impl Client {
    /// Carries one command out.
    ///
    /// # Errors
    /// [`Error::Refused`] if the kernel refused it, and then nothing was changed; see [`Error`] for the rest.
    pub fn execute(&mut self, command: &Command) -> Result<(), Error> {
        let sequence = self.next_sequence();
        self.window.clear();
        self.window.push(self.family, sequence, command);
        let outcome = self.send_window()?.pop();
        Ok(outcome.unwrap_or(Ok(()))?)
    }

    /// Carries many commands out, many in one system call, and returns the outcome of each in their order.
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
    /// Only when the conversation itself failed: then it is unknown which of the commands under way were carried out.
    pub fn execute_all<'c>(&mut self, commands: impl IntoIterator<Item = &'c Command>) -> Result<Vec<Outcome>, Error> {
        let mut pipeline = self.pipeline();
        let mut outcomes = Vec::new();
        for command in commands {
            outcomes.append(&mut pipeline.push(command)?);
        }
        outcomes.append(&mut pipeline.flush()?);
        Ok(outcomes)
    }

    /// For a stream of commands whose outcomes are wanted as it goes.
    pub fn pipeline(&mut self) -> Pipeline<'_> {
        self.window.clear();
        Pipeline { client: self }
    }

    /// Makes a service: [`Command::AddService`].
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn add_service(&mut self, service: &Service) -> Result<(), Error> {
        self.execute(&Command::AddService(*service))
    }

    /// Replaces a service's configuration: [`Command::EditService`].
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn edit_service(&mut self, service: &Service) -> Result<(), Error> {
        self.execute(&Command::EditService(*service))
    }

    /// Removes a service: [`Command::DeleteService`].
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn delete_service(&mut self, key: &ServiceKey) -> Result<(), Error> {
        self.execute(&Command::DeleteService(*key))
    }

    /// Gives a service another destination: [`Command::AddDestination`].
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn add_destination(&mut self, key: &ServiceKey, destination: &Destination) -> Result<(), Error> {
        self.execute(&Command::AddDestination(*key, *destination))
    }

    /// Replaces a destination's configuration: [`Command::EditDestination`].
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn edit_destination(&mut self, key: &ServiceKey, destination: &Destination) -> Result<(), Error> {
        self.execute(&Command::EditDestination(*key, *destination))
    }

    /// Removes a destination: [`Command::DeleteDestination`].
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn delete_destination(&mut self, key: &ServiceKey, at: std::net::SocketAddr) -> Result<(), Error> {
        self.execute(&Command::DeleteDestination(*key, at))
    }

    /// Zeroes counters, of one service or all: [`Command::Zero`].
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn zero(&mut self, key: Option<&ServiceKey>) -> Result<(), Error> {
        self.execute(&Command::Zero(key.copied()))
    }

    /// Removes all services: [`Command::Flush`].
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn flush(&mut self) -> Result<(), Error> {
        self.execute(&Command::Flush)
    }

    /// Sets connection timeouts: [`Command::SetTimeouts`].
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn set_timeouts(&mut self, timeouts: Timeouts) -> Result<(), Error> {
        self.execute(&Command::SetTimeouts(timeouts))
    }

    /// Starts a sync daemon: [`Command::StartDaemon`].
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn start_daemon(&mut self, daemon: &Daemon) -> Result<(), Error> {
        self.execute(&Command::StartDaemon(*daemon))
    }

    /// Stops a sync daemon: [`Command::StopDaemon`].
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn stop_daemon(&mut self, role: DaemonRole) -> Result<(), Error> {
        self.execute(&Command::StopDaemon(role))
    }

    /// Sends the window and waits for its outcomes.
    fn send_window(&mut self) -> Result<Vec<Outcome>, Error> {
        if self.window.is_empty() {
            return Ok(Vec::new());
        }
        let result = self.exchange_window();
        if result.is_err() {
            self.window.clear();
        }
        result?;
        Ok(self.window.take())
    }

    fn exchange_window(&mut self) -> Result<(), Error> {
        self.link.send(self.window.datagram())?;
        loop {
            if !self.window.may_end_in_silence() {
                self.link.receive(&mut self.reply, self.deadline)?;
            } else if !self.link.try_receive(&mut self.reply)? {
                return Ok(());
            }
            if self.window.feed(&self.reply)? == Progress::Done {
                return Ok(());
            }
        }
    }
}

/// How often a dump is made until none of its services is there twice; rehashing a table takes milliseconds.
const DUMPS: usize = 20;

/// A dump of this many services, some 320 bytes each, fits into the one datagram that the kernel fills without letting go
/// of the table.
const SERVICES_IN_A_DATAGRAM: usize = 50;

/// A dump counts the services that it has shown. When they change their places in it, one that is shown twice is another that
/// is not shown.
fn has_one_twice(services: &[ServiceState]) -> bool {
    if services.len() <= SERVICES_IN_A_DATAGRAM {
        return false;
    }
    let mut seen = HashSet::with_capacity(services.len());
    !services.iter().all(|state| seen.insert(state.service.key()))
}

/// Reads.
impl Client {
    /// All services, in the kernel's order, which means nothing.
    ///
    /// This is one dump, which the kernel does not lock against changes: a service added or removed meanwhile may make
    /// another appear twice or not at all, and nothing tells. So does Linux 7.2 when it rehashes its table, which it does some
    /// time after services were added; a dump that shows it is made again.
    ///
    /// # Errors
    /// [`Error::Unstable`] if that never helped; see [`Error`] for the rest.
    pub fn services(&mut self) -> Result<Vec<ServiceState>, Error> {
        self.services_in(Detail::Statistics)
    }

    /// As [`services`](Self::services), but all [`Statistics`](crate::Statistics) are 0, which takes less work.
    ///
    /// # Errors
    /// As [`services`](Self::services).
    pub fn services_without_statistics(&mut self) -> Result<Vec<ServiceState>, Error> {
        self.services_in(Detail::NoStatistics)
    }

    fn services_in(&mut self, detail: Detail) -> Result<Vec<ServiceState>, Error> {
        for _attempt in 0..DUMPS {
            let services = self.dump_services(detail)?;
            if !has_one_twice(&services) {
                return Ok(services);
            }
        }
        Err(Error::Unstable)
    }

    fn dump_services(&mut self, detail: Detail) -> Result<Vec<ServiceState>, Error> {
        let mut services = Vec::new();
        self.query(&Read::Services, &mut |attrs| {
            services.push(wire::decode_service(attrs, detail)?);
            Ok(())
        })?;
        Ok(services)
    }

    /// One service.
    ///
    /// # Errors
    /// [`Error::Refused`] with [`Errno::ESRCH`] if there is none; see [`Error`] for the rest.
    pub fn service(&mut self, key: &ServiceKey) -> Result<ServiceState, Error> {
        self.one(&Read::Service(*key), |attrs| wire::decode_service(attrs, Detail::Statistics))
    }

    /// The destinations of a service, newest first; none for a service that does not exist.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn destinations(&mut self, key: &ServiceKey) -> Result<Vec<DestinationState>, Error> {
        self.dump_destinations(key, Detail::Statistics)
    }

    /// As [`destinations`](Self::destinations), but all [`Statistics`](crate::Statistics) are 0.
    ///
    /// That is read in a tenth of the time where the kernel's older interface, `getsockopt`, can tell it: for a service of IPv4
    /// without tunnels, on Linux 5.14 or newer. For all others it is asked as ever.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn destinations_without_statistics(&mut self, key: &ServiceKey) -> Result<Vec<DestinationState>, Error> {
        match self.ask_destinations(key) {
            Some(destinations) => Ok(destinations),
            None => self.dump_destinations(key, Detail::NoStatistics),
        }
    }

    /// By the older interface; `None` if that does not know all of it, or refuses, for whatever reason.
    fn ask_destinations(&mut self, key: &ServiceKey) -> Option<Vec<DestinationState>> {
        /// Somebody may add or remove one between the questions.
        const ATTEMPTS: usize = 2;
        for _attempt in 0..ATTEMPTS {
            if !sockopt::IS_KNOWN || !sockopt::ask_service(&mut self.request, key) {
                return None;
            }
            self.link.ask(sockopt::GET_SERVICE, &mut self.request).ok()?;
            let count = sockopt::count(&self.request)?;
            // With one more that stays empty, all of them are there.
            sockopt::ask_destinations(&mut self.request, key, count + 1);
            self.link.ask(sockopt::GET_DESTINATIONS, &mut self.request).ok()?;
            let destinations = sockopt::destinations(&self.request)?;
            if destinations.len() == count {
                return Some(destinations);
            }
        }
        None
    }

    fn dump_destinations(&mut self, key: &ServiceKey, detail: Detail) -> Result<Vec<DestinationState>, Error> {
        let mut destinations = Vec::new();
        self.query(&Read::Destinations(*key), &mut |attrs| {
            destinations.push(wire::decode_destination(attrs, key.family(), detail)?);
            Ok(())
        })?;
        Ok(destinations)
    }

    /// The timeouts of connections.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn timeouts(&mut self) -> Result<Timeouts, Error> {
        self.one(&Read::Timeouts, wire::decode_timeouts)
    }

    /// The sync daemons that run, at most one of each role, master first.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn daemons(&mut self) -> Result<Vec<Daemon>, Error> {
        let mut daemons = Vec::new();
        self.query(&Read::Daemons, &mut |attrs| {
            daemons.push(wire::decode_daemon(attrs)?);
            Ok(())
        })?;
        Ok(daemons)
    }

    /// Version and size of the kernel's IPVS.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn info(&mut self) -> Result<Info, Error> {
        self.one(&Read::Info, wire::decode_info)
    }

    /// Everything that the director holds.
    ///
    /// It is read in several requests, so it is not a snapshot if somebody else makes changes meanwhile.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn table(&mut self) -> Result<Table, Error> {
        self.table_in(Detail::Statistics)
    }

    /// As [`table`](Self::table), but all [`Statistics`](crate::Statistics) are 0: it takes less work, and is enough to
    /// [`plan`](crate::plan()) a change.
    ///
    /// ```
    /// use ipvs::{Client, Table};
    /// let mut director = Client::fake(Table::new());
    /// let plan = ipvs::plan(&director.table_without_statistics()?, &Table::new());
    /// assert!(plan.is_empty());
    /// # Ok::<(), ipvs::Error>(())
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub fn table_without_statistics(&mut self) -> Result<Table, Error> {
        self.table_in(Detail::NoStatistics)
    }

    fn table_in(&mut self, detail: Detail) -> Result<Table, Error> {
        let mut services = Vec::new();
        for state in self.services_in(detail)? {
            let key = state.service.key();
            let destinations = match detail {
                Detail::Statistics => self.destinations(&key)?,
                Detail::NoStatistics => self.destinations_without_statistics(&key)?,
            };
            services.push((state, destinations));
        }
        let (timeouts, daemons, info) = (self.timeouts()?, self.daemons()?, self.info()?);
        Ok(Table::read(services, timeouts, daemons, info).with_kernel(self.link.kernel()))
    }

    /// A read that is answered by one message.
    fn one<T>(&mut self, read: &Read, decode: fn(&[u8]) -> Result<T, WireError>) -> Result<T, Error> {
        let mut found = None;
        self.query(read, &mut |attrs| {
            found = Some(decode(attrs)?);
            Ok(())
        })?;
        found.ok_or(Error::Decode(WireError::Missing("the reply")))
    }

    fn query(&mut self, read: &Read, take: &mut Take<'_>) -> Result<(), Error> {
        let sequence = self.next_sequence();
        self.request.clear();
        let query = Query::read(&mut self.request, self.family, sequence, read);
        self.converse(query, take)
    }

    fn converse(&mut self, query: Query, take: &mut Take<'_>) -> Result<(), Error> {
        self.link.send(&self.request)?;
        // A dump is read to its end even if part of it can't be understood: the kernel begins no other before.
        let mut misunderstood = None;
        loop {
            self.link.receive(&mut self.reply, self.deadline)?;
            let mut take = |attrs: &[u8]| {
                if misunderstood.is_none() {
                    misunderstood = take(attrs).err();
                }
            };
            if query.feed(&self.reply, &mut take)? == Progress::Done {
                return misunderstood.map_or(Ok(()), |error| Err(error.into()));
            }
        }
    }
}

/// Gets the attributes of each message that answers a read.
type Take<'t> = dyn FnMut(&[u8]) -> Result<(), WireError> + 't;

/// A stream of commands, many of them in one system call.
///
/// A command that was pushed is sent when enough have gathered, or at [`flush`](Self::flush). Every push gets its outcome
/// from this or a later call, in the order of the pushes. What is still pending when the pipeline is dropped is not sent.
///
/// ```
/// use ipvs::{Client, Command, Service, Table};
/// let mut client = Client::fake(Table::new());
/// let mut pipeline = client.pipeline();
/// let mut outcomes = pipeline.push(&Command::Flush)?;
/// outcomes.extend(pipeline.push(&Command::DeleteService("mark 1".parse()?))?);
/// outcomes.extend(pipeline.flush()?);
/// assert!(outcomes[0].is_ok() && outcomes[1].is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Pipeline<'c> {
    client: &'c mut Client,
}

impl Pipeline<'_> {
    /// Adds a command. Mostly returns nothing; when so many have gathered that they were sent, the outcome of each.
    ///
    /// # Errors
    /// See [`Error`]; a refusal is an outcome, not an error.
    pub fn push(&mut self, command: &Command) -> Result<Vec<Outcome>, Error> {
        let limits = self.limits()?;
        let client = &mut *self.client;
        let sequence = client.next_sequence();
        client.window.push(client.family, sequence, command);
        if client.window.is_full(limits) { self.flush() } else { Ok(Vec::new()) }
    }

    /// Sends what is pending and returns its outcomes.
    ///
    /// # Errors
    /// See [`Error`]; a refusal is an outcome, not an error.
    pub fn flush(&mut self) -> Result<Vec<Outcome>, Error> {
        self.client.send_window()
    }

    /// How many commands wait to be sent.
    pub fn pending(&self) -> usize {
        self.client.window.len()
    }

    /// For what else is asked between commands.
    pub(crate) fn client(&mut self) -> &mut Client {
        self.client
    }

    fn limits(&mut self) -> Result<Limits, Error> {
        if let Some(limits) = self.client.limits {
            return Ok(limits);
        }
        let buffers = self.client.link.prepare_window()?;
        Ok(*self.client.limits.insert(Limits::of(buffers)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_shown_twice_is_noticed() {
        let services = |count: u32| -> Vec<ServiceState> {
            let key = |n| format!("mark {n}").parse().unwrap();
            (1..=count).map(|n| ServiceState::new(Service::new(key(n)))).collect()
        };
        let mut many = services(1000);
        assert!(!has_one_twice(&many));
        many[999] = many[0];
        assert!(has_one_twice(&many));
        let mut few = services(2);
        few[1] = few[0];
        assert!(!has_one_twice(&few), "one datagram is consistent in itself");
    }
}
