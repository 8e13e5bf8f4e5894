//! The in-memory kernel, and what a test makes it do.

use super::Client;
#[cfg(feature = "tokio")]
use super::asynchronous::AsyncClient;
use super::builder::DEADLINE;
use crate::command::{Command, CommandKind};
use crate::errno::Errno;
use crate::fake::{Fake, Fault};
use crate::link::Link;
use crate::refusal::Refusal;
use crate::service::ServiceKey;
use crate::stats::Statistics;
use crate::table::{DestinationState, Table};
use crate::wire::{self, Body, Request};

/// An in-memory kernel for tests: it fails, refuses and has connections on demand.
///
/// [`Client::fake`] is enough where all goes well. This is the same kernel, seen from the other
/// side: programs under test get its [`client`](Self::client), and the test looks at its
/// [`table`](Self::table) and makes it misbehave. Clones are the same kernel.
///
/// ```
/// use ipvs::{Errno, FakeKernel, Service, Table};
/// let kernel = FakeKernel::new(Table::new());
/// let mut director = kernel.client();
/// kernel.refuse(2, Errno::ENOMEM);
/// director.add_service(&Service::new("mark 1".parse()?))?;
/// let error = director.add_service(&Service::new("mark 2".parse()?)).unwrap_err();
/// assert_eq!(error.errno(), Some(Errno::ENOMEM));
/// assert_eq!(kernel.table().services().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A drain that ends when the last connection does:
///
/// ```
/// use ipvs::drain::{Drain, DrainStep};
/// use ipvs::{Destination, FakeKernel, Service, Table};
/// let kernel = FakeKernel::new(Table::new());
/// let mut director = kernel.client();
/// let (web, server) = ("tcp 192.0.2.1:80".parse()?, "192.0.2.11:80".parse()?);
/// director.add_service(&Service::new(web))?;
/// director.add_destination(&web, &Destination::new(server))?;
/// let mut state = director.destinations(&web)?[0];
/// state.active_connections = 1;
/// kernel.set_state(&web, &state)?;
///
/// let mut drain = Drain::new(web, server);
/// let DrainStep::Quiesce { command, .. } = drain.next(director.destinations(&web)?.first())
/// else {
///     panic!()
/// };
/// director.execute(&command)?;
/// assert!(matches!(drain.next(director.destinations(&web)?.first()), DrainStep::Wait(_)));
/// state.active_connections = 0;
/// kernel.set_state(&web, &state)?;
/// // Not at once: a packet that was scheduled before may still be on its way.
/// assert!(matches!(drain.next(director.destinations(&web)?.first()), DrainStep::Wait(_)));
/// assert_eq!(drain.next(director.destinations(&web)?.first()), DrainStep::Drained);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FakeKernel {
    socket: Fake,
}

impl Clone for FakeKernel {
    fn clone(&self) -> Self {
        FakeKernel { socket: self.socket.another() }
    }
}

impl FakeKernel {
    /// A kernel that holds this table.
    pub fn new(table: Table) -> Self {
        FakeKernel { socket: Fake::new(table) }
    }

    /// A client of it.
    ///
    /// # Panics
    /// If faults of [`fail_calls`](Self::fail_calls) keep it from connecting: ask for them
    /// afterwards.
    pub fn client(&self) -> Client {
        client_of(self.socket.another())
    }

    /// An asynchronous client of it. Needs the feature `tokio`.
    ///
    /// # Panics
    /// As [`client`](Self::client).
    #[cfg(feature = "tokio")]
    pub fn async_client(&self) -> AsyncClient {
        AsyncClient::in_memory(self.client())
    }

    /// What it holds now. This is no call on a socket: it never fails.
    ///
    /// ```
    /// use ipvs::{FakeKernel, Service, Table};
    /// let kernel = FakeKernel::new(Table::new());
    /// // The program under test:
    /// kernel.client().add_service(&Service::new("mark 1".parse()?))?;
    /// // The test:
    /// assert!(kernel.table().service(&"mark 1".parse()?).is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn table(&self) -> Table {
        self.socket.world().table.clone()
    }

    /// Refuses one of the changes to come, with this error number, whatever the table says. `nth`
    /// counts from 1, which is the next change that a client of this kernel sends. Requests of
    /// [`Client::probe`], which [`Client::reconcile`] sends too, are not counted: they change
    /// nothing.
    ///
    /// # Panics
    /// If `nth` is 0.
    pub fn refuse(&self, nth: usize, errno: Errno) {
        self.socket.script().refuse_later(nth, errno);
    }

    /// Lets another program act before each call with which a client of this kernel sends requests:
    /// between the reading of a table and the first command, for example, or between two commands
    /// that are sent one by one.
    ///
    /// `act` gets a client of the other program, and the commands that the call is about to send;
    /// there are none where it reads. Neither faults nor refusals concern the other program, and
    /// what it does is not counted by [`refuse`](Self::refuse). Within a datagram, and between the
    /// parts of a dump, nobody else acts. A second `act` replaces the first.
    ///
    /// A controller that quiesces a server, which somebody deletes at that moment:
    ///
    /// ```
    /// use ipvs::{Command, Destination, Errno, FakeKernel, Service, Table, Weight};
    /// let kernel = FakeKernel::new(Table::new());
    /// let mut director = kernel.client();
    /// let (web, server) =
    ///     ("tcp 192.0.2.1:80".parse()?, Destination::new("192.0.2.11:80".parse()?));
    /// director.add_service(&Service::new(web))?;
    /// director.add_destination(&web, &server)?;
    ///
    /// kernel.before_requests(move |other, commands| {
    ///     if matches!(commands, [Command::EditDestination(..)]) {
    ///         other.delete_destination(&web, server.address).unwrap();
    ///     }
    /// });
    /// let error = director.edit_destination(&web, &server.with_weight(Weight::ZERO)).unwrap_err();
    /// assert_eq!(error.errno(), Some(Errno::ENOENT));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// The call of the client panics if `act` does; then the other program does not act again.
    pub fn before_requests(&self, mut act: impl FnMut(&mut Client, &[Command]) + Send + 'static) {
        let mut other = client_of(self.socket.of_another_program());
        self.socket.script().writer = Some(Box::new(move |datagram| act(&mut other, &changes(datagram))));
    }

    /// Without privileges, all requests of the clients are refused with `EPERM`, as for a program
    /// without `CAP_NET_ADMIN`. By default they have them.
    ///
    /// ```
    /// use ipvs::{Errno, FakeKernel, Table};
    /// let kernel = FakeKernel::new(Table::new());
    /// let mut director = kernel.client();
    /// kernel.set_privileged(false);
    /// assert_eq!(director.services().unwrap_err().errno(), Some(Errno::EPERM));
    /// ```
    pub fn set_privileged(&self, is_privileged: bool) {
        self.socket.script().is_unprivileged = !is_privileged;
    }

    /// What goes wrong with the calls to come, on the sockets of all clients that this kernel made:
    /// each item is about one call that sends a datagram or receives one. Mostly one request is one
    /// call to send and one to receive. Faults that were not used yet are replaced.
    pub fn fail_calls(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.socket.script().faults = faults.into_iter().collect();
    }

    /// Gives a destination the connections and statistics of `state`. Its configuration stays.
    ///
    /// # Errors
    /// As of the kernel: [`Errno::ESRCH`] without the service, [`Errno::ENOENT`] without the
    /// destination.
    pub fn set_state(&self, key: &ServiceKey, state: &DestinationState) -> Result<(), Refusal> {
        let set = self.socket.world().table.set_state(key, state);
        set.map_err(|errno| Refusal::new(CommandKind::EditDestination, errno))
    }

    /// Gives a service these statistics.
    ///
    /// ```
    /// use ipvs::{FakeKernel, Service, Statistics, Table};
    /// let kernel = FakeKernel::new(Table::new());
    /// let web = "tcp 192.0.2.1:80".parse()?;
    /// kernel.client().add_service(&Service::new(web))?;
    /// let mut counted = Statistics::default();
    /// counted.connections = 7;
    /// kernel.set_statistics(&web, counted)?;
    /// assert_eq!(kernel.client().service(&web)?.statistics, Some(counted));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As of the kernel: [`Errno::ESRCH`] without the service.
    pub fn set_statistics(&self, key: &ServiceKey, statistics: Statistics) -> Result<(), Refusal> {
        let set = self.socket.world().table.set_statistics(key, statistics);
        set.map_err(|errno| Refusal::new(CommandKind::EditService, errno))
    }
}

fn client_of(socket: Fake) -> Client {
    Client::over(Link::Fake(Box::new(socket)), DEADLINE).expect("no fault was asked for")
}

/// The changes that a datagram asks for.
fn changes(datagram: &[u8]) -> Vec<Command> {
    let change = |message| match message {
        Ok((header, Body::Family { command, attrs })) => match wire::decode_request(&header, command, attrs) {
            Ok(Some(Request::Change(command))) => Some(command),
            _ => None,
        },
        _ => None,
    };
    wire::messages(datagram).filter_map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Destination, Error, Family, FirewallMark, Service};

    #[test]
    fn without_privileges_all_is_refused_by_both_interfaces() {
        let kernel = FakeKernel::new(Table::new());
        let mut client = kernel.client();
        client.add_service(&Service::new(ServiceKey::tcp(([192, 0, 2, 1], 80)))).unwrap();
        kernel.set_privileged(false);
        for error in [
            client.execute(&Command::Flush).unwrap_err(),
            client.table().unwrap_err(),
            client.table_without_statistics().unwrap_err(),
            client.info().unwrap_err(),
        ] {
            assert_eq!(error.errno(), Some(Errno::EPERM), "{error}");
        }
        kernel.set_privileged(true);
        assert_eq!(client.table().unwrap(), kernel.table());
    }

    #[test]
    fn only_the_change_of_that_number_is_refused() {
        let kernel = FakeKernel::new(Table::new());
        kernel.refuse(2, Errno::EBUSY);
        let (mut client, key) = (kernel.client(), ServiceKey::tcp(([192, 0, 2, 1], 80)));
        let commands = [Command::AddService(Service::new(key)), Command::Flush, Command::Flush];
        let outcomes = client.execute_all(&commands).unwrap();
        let expected = Err(Refusal::new(CommandKind::Flush, Errno::EBUSY));
        assert_eq!(outcomes, [Ok(()), expected, Ok(())]);
    }

    #[test]
    fn a_probe_is_no_change_that_could_be_refused() {
        let kernel = FakeKernel::new(Table::new());
        let mut client = kernel.client();
        let service = Service::new("mark 1".parse().unwrap()).with_scheduler("new".parse().unwrap());
        let server = Destination::new("192.0.2.11:80".parse().unwrap()).with_upper_threshold(1 << 31);
        client.add_service(&Service::new("mark 2".parse().unwrap())).unwrap();
        kernel.refuse(1, Errno::ENOMEM);
        let commands = [Command::AddService(service), Command::AddDestination(service.key(), server)];
        client.probe(&mut kernel.table(), &commands).unwrap();
        assert_eq!(client.execute(&Command::Flush).unwrap_err().errno(), Some(Errno::ENOMEM));
    }

    #[test]
    #[should_panic = "the next change is number 1"]
    fn no_change_has_number_0() {
        FakeKernel::new(Table::new()).refuse(0, Errno::EIO);
    }

    /// The other program sees each datagram before the kernel does, and nothing that is asked of
    /// the kernel concerns it.
    #[test]
    fn another_program_acts_before_each_call() {
        let kernel = FakeKernel::new(Table::new());
        let (mut client, mark) =
            (kernel.client(), |n: u32| ServiceKey::Mark { mark: FirewallMark::new(n).unwrap(), family: Family::V4 });
        let (seen, mut next) = (std::sync::Arc::new(std::sync::Mutex::new(Vec::new())), 100);
        let calls = std::sync::Arc::clone(&seen);
        kernel.before_requests(move |other, commands| {
            calls.lock().unwrap().push(commands.len());
            other.add_service(&Service::new(mark(next))).unwrap();
            next += 1;
        });
        kernel.refuse(1, Errno::EIO);
        kernel.set_privileged(false);
        let commands = [1, 2].map(|n| Command::AddService(Service::new(mark(n))));
        client.execute_all(&commands).unwrap();
        kernel.set_privileged(true);
        let outcomes = client.execute_all(&commands).unwrap();
        assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true]);
        assert_eq!(*seen.lock().unwrap(), [2, 2]);
        let keys: Vec<_> = kernel.table().services().map(|entry| entry.service().key()).collect();
        assert_eq!(keys, [100, 101, 2].map(mark));
        client.services().unwrap();
        assert!(kernel.table().services().len() > 3, "a reading is a call, too");
        kernel.before_requests(|_, _| ());
        let count = kernel.table().services().len();
        client.services().unwrap();
        assert_eq!(kernel.table().services().len(), count);
    }

    #[test]
    fn faults_are_of_all_clients_of_the_kernel_and_of_no_reading_by_the_test() {
        let kernel = FakeKernel::new(Table::new());
        let (mut one, mut other) = (kernel.client(), kernel.client().try_clone().unwrap());
        kernel.fail_calls([Some(Fault::Fails(Errno::EIO)), Some(Fault::Fails(Errno::EIO))]);
        kernel.table();
        for client in [&mut one, &mut other] {
            assert!(matches!(client.info().unwrap_err(), Error::Io(_)));
        }
        one.info().unwrap();
    }

    #[test]
    fn connections_are_of_a_destination_that_is_there() {
        let kernel = FakeKernel::new(Table::new());
        let (mut client, key) = (kernel.client(), ServiceKey::tcp(([192, 0, 2, 1], 80)));
        let mut state = DestinationState::new(Destination::new(([192, 0, 2, 11], 80).into()));
        state.inactive_connections = 7;
        let errno = |kernel: &FakeKernel| kernel.set_state(&key, &state).unwrap_err().errno;
        assert_eq!(errno(&kernel), Errno::ESRCH);
        client.add_service(&Service::new(key)).unwrap();
        assert_eq!(errno(&kernel), Errno::ENOENT);
        client.add_destination(&key, &state.destination.with_upper_threshold(9)).unwrap();
        kernel.set_state(&key, &state).unwrap();
        let [now] = client.destinations(&key).unwrap()[..] else { panic!() };
        assert_eq!((now.inactive_connections, now.destination.upper_threshold), (7, 9));
    }
}
