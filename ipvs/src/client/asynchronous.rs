//! The client that lets others work while it waits: feature `tokio`.

use std::future::Future;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::Client;
use super::builder::{ClientBuilder, DEADLINE};
use crate::cause::Cause;
use crate::change::plan::Planner;
use crate::change::{Applied, Change, ChangeError, Phase, Progress, ReconcileError};
use crate::command::Command;
use crate::daemon::Daemon;
use crate::errno::Errno;
use crate::error::Error;
use crate::info::Info;
use crate::link::Link;
use crate::netns::{Namespace, NamespaceError};
use crate::refusal::Outcome;
use crate::service::ServiceKey;
use crate::session::{Blocking, Pace, Session, Transport};
use crate::table::{DestinationState, ServiceState, Table};
use crate::timeouts::Timeouts;
use crate::wire::Detail;

/// [`Client`](crate::Client) for programs on [tokio](https://docs.rs/tokio): the same verbs, as
/// futures. Needs the feature `tokio`.
///
/// **It yields** before each datagram that it receives and for each service that it reads, and
/// while it plans: other tasks run meanwhile, and a timeout around a call fires. Between two yields
/// are at most some 3 million instructions, at 10,000 services with 5 destinations and at one
/// service with 10,000.
///
/// **Where it waits, and where the kernel keeps it.** The kernel carries requests out while they
/// are sent, on the thread that sends them: some microseconds for a change, milliseconds for a
/// window of many with large tables, 20 to 45 ms where it looks for the module of a scheduler. What
/// is read without statistics is read likewise. Only replies are waited for. Where that is too long
/// for a thread that others share, use `tokio::task::spawn_blocking` with a blocking client.
///
/// **Futures may be dropped**, by `tokio::select!` or a timeout: the client can be used on, and no
/// late reply is taken for another's. A change whose future was dropped may have been carried out
/// or not, as one whose connection broke; read the table to know.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use ipvs::{AsyncClient, Destination, Service, Table};
/// let mut director = AsyncClient::fake(Table::new()); // or AsyncClient::connect().await?
/// let web = Service::new("tcp 192.0.2.1:80".parse()?);
/// director.add_service(&web).await?;
/// director.add_destination(&web.key(), &Destination::new("192.0.2.11:80".parse()?)).await?;
/// assert_eq!(director.destinations(&web.key()).await?.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct AsyncClient {
    session: Session<Waiting>,
}

/// Lets others work while it waits for a datagram.
#[derive(Debug)]
pub(crate) struct Waiting {
    link: Link,
    deadline: Duration,
    /// Reports that a datagram can be received; `None` for the in-memory kernel, whose replies are
    /// there at once.
    readiness: Option<AsyncFd<OwnedFd>>,
}

impl Waiting {
    fn over(link: Link, deadline: Duration) -> Result<Self, Error> {
        // What registers a socket elsewhere panics.
        Handle::try_current().map_err(|_| Error::NoRuntime)?;
        // What was wrong with it does not concern owned files, and its successor can't be called
        // without unsafe code.
        #[allow(deprecated)]
        let readiness = link.readiness()?.map(AsyncFd::new).transpose()?;
        Ok(Waiting { link, deadline, readiness })
    }
}

impl Waiting {
    /// Over a link whose replies are there at once, or never.
    pub(crate) fn at_once(link: Link) -> Self {
        Waiting { link, deadline: DEADLINE, readiness: None }
    }
}

impl Transport for Waiting {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    async fn receive(&mut self, buffer: &mut Vec<u8>) -> Result<(), Error> {
        // Not after it: a datagram that was taken would be lost with a future that is dropped here.
        self.yield_now().await;
        let Waiting { link, deadline, readiness } = self;
        // Mostly the reply is there when the question is sent.
        if link.try_receive(buffer)? {
            return Ok(());
        }
        let Some(readiness) = readiness else { return Err(Error::Deadline(*deadline)) };
        Handle::try_current().map_err(|_| Error::NoRuntime)?;
        let comes = async {
            loop {
                let mut ready = readiness.readable().await?;
                let received = ready.try_io(|_| match link.try_receive(buffer) {
                    Ok(true) => Ok(Ok(())),
                    Ok(false) => Err(io::ErrorKind::WouldBlock.into()),
                    Err(error) => Ok(Err(error)),
                });
                if let Ok(received) = received {
                    return received?;
                }
            }
        };
        timeout(*deadline, comes).await.unwrap_or(Err(Error::Deadline(*deadline)))
    }

    async fn pause(&mut self, duration: Duration) {
        if !duration.is_zero() {
            tokio::time::sleep(duration).await;
        }
    }
}

impl Pace for Waiting {
    async fn yield_now(&mut self) {
        tokio::task::yield_now().await;
    }
}

impl ClientBuilder {
    /// As [`connect`](Self::connect), for an [`AsyncClient`]. Needs the feature `tokio`, and a
    /// runtime with time and I/O enabled.
    ///
    /// The socket is opened by this call, not when the future is polled: so it is in the network
    /// namespace of the thread that calls.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// use ipvs::{AsyncClient, netns::Namespace};
    /// let blue = Namespace::named("blue")?;
    /// let mut director = AsyncClient::builder().namespace(blue).connect_async().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`Error::NoRuntime`] if the future is polled outside of a
    /// runtime.
    ///
    /// # Panics
    /// As all of tokio, if the runtime was built without time or I/O.
    pub fn connect_async(self) -> impl Future<Output = Result<AsyncClient, Error>> + Send + 'static {
        let link = Link::open(self.deadline, self.namespace.as_ref());
        async move { Ok(AsyncClient { session: Session::over(Waiting::over(link?, self.deadline)?).await? }) }
    }
}

impl AsyncClient {
    /// As [`Client::connect`](crate::Client::connect): the socket is opened by this call, before
    /// the future is polled.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), ipvs::Error> {
    /// let mut director = ipvs::AsyncClient::connect().await?;
    /// println!("IPVS {}", director.info().await?.version);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`ClientBuilder::connect_async`].
    pub fn connect() -> impl Future<Output = Result<Self, Error>> + Send + 'static {
        Self::builder().connect_async()
    }

    /// As [`Client::builder`](crate::Client::builder), for [`ClientBuilder::connect_async`].
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// As [`Client::try_clone`](crate::Client::try_clone).
    ///
    /// # Errors
    /// As there, and [`Error::NoRuntime`].
    pub fn try_clone(&self) -> Result<Self, Error> {
        let Waiting { link, deadline, readiness } = &self.session.transport;
        let another = link.another(*deadline)?;
        let transport = match readiness {
            Some(_) => Waiting::over(another, *deadline)?,
            None => Waiting::at_once(another),
        };
        Ok(AsyncClient { session: self.session.beside(transport) })
    }

    /// As [`Client::namespace`](crate::Client::namespace).
    ///
    /// # Errors
    /// As there.
    pub fn namespace(&self) -> Result<Namespace, NamespaceError> {
        self.session.transport.link.namespace()
    }

    /// As [`Client::socket`](crate::Client::socket).
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.session.transport.link.socket()
    }

    /// As [`Client::fake`](crate::Client::fake): a client of an in-memory kernel that holds this
    /// table.
    pub fn fake(table: Table) -> Self {
        Self::in_memory(Client::fake(table))
    }

    /// As [`Client::dry_run`](crate::Client::dry_run). The kernel is asked while a command is sent,
    /// and blocks its thread.
    pub fn dry_run(self, table: Table) -> Self {
        let session = self.session.over_transport(|Waiting { link, deadline, .. }| Blocking { link, deadline });
        Self::in_memory(Client { session }.dry_run(table))
    }

    pub(super) fn in_memory(Client { session }: Client) -> Self {
        AsyncClient { session: session.over_transport(|Blocking { link, .. }| Waiting::at_once(link)) }
    }
}

/// Changes: as those of [`Client`](crate::Client#impl-Client-1), with the same errors.
impl AsyncClient {
    /// As [`Client::execute`](crate::Client::execute).
    ///
    /// # Errors
    /// As there.
    pub async fn execute(&mut self, command: &Command) -> Result<(), Error> {
        self.session.execute(command).await
    }

    /// As [`Client::execute_all`](crate::Client::execute_all).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use ipvs::{AsyncClient, Command, Service, Table};
    /// let add = Command::AddService(Service::new("tcp 192.0.2.1:80".parse()?));
    /// let outcomes = AsyncClient::fake(Table::new()).execute_all([&add, &add]).await?;
    /// assert!(outcomes[0].is_ok() && outcomes[1].is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub async fn execute_all<'c>(
        &mut self,
        commands: impl IntoIterator<Item = &'c Command>,
    ) -> Result<Vec<Outcome>, Error> {
        self.session.execute_all(commands).await
    }

    /// As [`Client::pipeline`](crate::Client::pipeline).
    pub fn pipeline(&mut self) -> AsyncPipeline<'_> {
        self.session.clear();
        AsyncPipeline { client: self }
    }

    /// As [`Client::reconcile`](crate::Client::reconcile). A future that is dropped leaves the
    /// director between two states; reconcile again.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use std::time::Duration;
    /// use ipvs::{AsyncClient, Command, Service, Table, change::Planner};
    /// let mut director = AsyncClient::fake(Table::new());
    /// let mut desired = Table::new();
    /// desired.apply(&Command::AddService(Service::new("udp 192.0.2.1:53".parse()?)))?;
    /// let planner = Planner::new().only_services();
    /// let change = director.reconcile(&desired, &planner);
    /// let applied = tokio::time::timeout(Duration::from_secs(30), change).await??;
    /// assert_eq!(applied.commands.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub async fn reconcile(&mut self, desired: &Table, planner: &Planner) -> Result<Applied, ReconcileError> {
        crate::change::reconcile(&mut self.session, desired, planner).await
    }

    /// As [`Change::apply`].
    ///
    /// # Errors
    /// As there.
    pub async fn apply(
        &mut self,
        change: &Change,
        on_progress: impl FnMut(Progress) -> ControlFlow<()> + Send,
    ) -> Result<Applied, ChangeError> {
        self.apply_with(change, |_| Ok(()), on_progress).await
    }

    /// As [`Change::apply_with`].
    ///
    /// # Errors
    /// As there.
    pub async fn apply_with(
        &mut self,
        change: &Change,
        hook: impl FnMut(Phase) -> Result<(), String> + Send,
        on_progress: impl FnMut(Progress) -> ControlFlow<()> + Send,
    ) -> Result<Applied, ChangeError> {
        change.apply_over(&mut self.session, hook, on_progress).await
    }
}

/// Reads: as those of [`Client`](crate::Client), with the same errors.
impl AsyncClient {
    /// As [`Client::services`](crate::Client::services).
    ///
    /// # Errors
    /// As there.
    pub async fn services(&mut self) -> Result<Vec<ServiceState>, Error> {
        self.session.services(Detail::Statistics).await
    }

    /// As [`Client::services_without_statistics`](crate::Client::services_without_statistics).
    ///
    /// # Errors
    /// As there.
    pub async fn services_without_statistics(&mut self) -> Result<Vec<ServiceState>, Error> {
        self.session.services(Detail::NoStatistics).await
    }

    /// As [`Client::service`](crate::Client::service).
    ///
    /// # Errors
    /// As there.
    pub async fn service(&mut self, key: &ServiceKey) -> Result<ServiceState, Error> {
        self.session.service(key).await
    }

    /// As [`Client::destinations`](crate::Client::destinations).
    ///
    /// # Errors
    /// As there.
    pub async fn destinations(&mut self, key: &ServiceKey) -> Result<Vec<DestinationState>, Error> {
        self.session.destinations(key, Detail::Statistics).await
    }

    /// As
    /// [`Client::destinations_without_statistics`](crate::Client::destinations_without_statistics).
    ///
    /// # Errors
    /// As there.
    pub async fn destinations_without_statistics(&mut self, key: &ServiceKey) -> Result<Vec<DestinationState>, Error> {
        self.session.destinations(key, Detail::NoStatistics).await
    }

    /// As [`Client::timeouts`](crate::Client::timeouts).
    ///
    /// # Errors
    /// As there.
    pub async fn timeouts(&mut self) -> Result<Timeouts, Error> {
        self.session.timeouts().await
    }

    /// As [`Client::daemons`](crate::Client::daemons).
    ///
    /// # Errors
    /// As there.
    pub async fn daemons(&mut self) -> Result<Vec<Daemon>, Error> {
        self.session.daemons().await
    }

    /// As [`Client::info`](crate::Client::info).
    ///
    /// # Errors
    /// As there.
    pub async fn info(&mut self) -> Result<Info, Error> {
        self.session.info().await
    }

    /// As [`Client::table`](crate::Client::table).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use ipvs::{AsyncClient, Table};
    /// let mut director = AsyncClient::fake(Table::new());
    /// for entry in director.table().await?.services() {
    ///     println!("{}: {} destinations", entry.service().key(), entry.destinations().len());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub async fn table(&mut self) -> Result<Table, Error> {
        self.session.table(Detail::Statistics).await
    }

    /// As [`Client::table_without_statistics`](crate::Client::table_without_statistics).
    ///
    /// # Errors
    /// As there.
    pub async fn table_without_statistics(&mut self) -> Result<Table, Error> {
        self.session.table(Detail::NoStatistics).await
    }

    /// As [`Client::probe`](crate::Client::probe).
    ///
    /// # Errors
    /// As there.
    pub async fn probe<'c>(
        &mut self,
        table: &mut Table,
        commands: impl IntoIterator<Item = &'c Command>,
    ) -> Result<(), Error> {
        self.session.probe(table, commands).await
    }

    /// As [`Client::explain`](crate::Client::explain).
    ///
    /// # Errors
    /// As there.
    pub async fn explain(&mut self, command: &Command, errno: Errno) -> Result<Option<Cause>, Error> {
        self.session.explain(command, errno).await
    }
}

/// [`Pipeline`](crate::Pipeline) of an [`AsyncClient`].
///
/// If the future of [`push`](Self::push) or [`flush`](Self::flush) is dropped, the kernel may have
/// carried the commands out; their outcomes are lost, and they are not sent again.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use ipvs::{AsyncClient, Command, Table};
/// let mut client = AsyncClient::fake(Table::new());
/// let mut pipeline = client.pipeline();
/// let mut outcomes = pipeline.push(&Command::Flush).await?;
/// outcomes.extend(pipeline.flush().await?);
/// assert!(outcomes[0].is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct AsyncPipeline<'c> {
    client: &'c mut AsyncClient,
}

impl AsyncPipeline<'_> {
    /// As [`Pipeline::push`](crate::Pipeline::push).
    ///
    /// # Errors
    /// As there.
    pub async fn push(&mut self, command: &Command) -> Result<Vec<Outcome>, Error> {
        if self.client.session.enqueue(command) { self.flush().await } else { Ok(Vec::new()) }
    }

    /// As [`Pipeline::flush`](crate::Pipeline::flush).
    ///
    /// # Errors
    /// As there.
    pub async fn flush(&mut self) -> Result<Vec<Outcome>, Error> {
        self.client.session.flush().await
    }

    /// How many commands wait to be sent.
    pub fn pending(&self) -> usize {
        self.client.session.enqueued()
    }

    /// As [`Pipeline::explain`](crate::Pipeline::explain).
    ///
    /// # Errors
    /// As there.
    pub async fn explain(&mut self, command: &Command, errno: Errno) -> Result<Option<Cause>, Error> {
        self.client.explain(command, errno).await
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::net::{SendFlags, send};

    use super::*;
    use crate::exchange::Query;

    /// Sockets of netlink are there without IPVS and privileges.
    fn waiting(deadline: Duration) -> Waiting {
        Waiting::over(Link::open(deadline, None).unwrap(), deadline).unwrap()
    }

    #[tokio::test]
    async fn a_deadline_passes_without_a_reply() {
        let deadline = Duration::from_millis(20);
        let error = waiting(deadline).receive(&mut Vec::new()).await.unwrap_err();
        assert!(matches!(error, Error::Deadline(passed) if passed == deadline), "{error}");
    }

    #[tokio::test]
    async fn a_reply_that_comes_later_is_waited_for() {
        let mut transport = waiting(Duration::from_secs(100));
        let socket = transport.link.readiness().unwrap().unwrap();
        let (mut question, mut reply) = (Vec::new(), Vec::new());
        Query::resolve(&mut question, 1);
        let (received, ()) = tokio::join!(transport.receive(&mut reply), async {
            tokio::task::yield_now().await;
            send(socket.as_fd(), &question, SendFlags::empty()).unwrap();
        });
        received.unwrap();
        assert!(!reply.is_empty());
    }

    #[test]
    fn futures_may_go_from_thread_to_thread() {
        fn goes<T: Send>(_: T) {}
        let mut client = AsyncClient::fake(Table::new());
        goes(client.table());
        goes(client.execute(&Command::Flush));
        goes(client.reconcile(&Table::new(), &Planner::new()));
        goes(client);
    }
}
