//! The asynchronous client with the verbs of the blocking one, so that the same tests run on both.

use ipvs::{
    AsyncClient, AsyncPipeline, Cause, Command, Daemon, DaemonRole, Destination, DestinationState, Errno, Error, Info,
    Outcome, Service, ServiceKey, ServiceState, Table, Timeouts,
    change::{Applied, Planner, ReconcileError},
};
use tokio::runtime::{Builder, Runtime};

/// An [`AsyncClient`] whose futures are waited for, on a runtime of its own.
#[derive(Debug)]
pub struct Waits {
    // Before the runtime, which it needs to end.
    client: AsyncClient,
    runtime: Runtime,
}

/// The same of an [`AsyncPipeline`].
#[derive(Debug)]
pub struct WaitsPipeline<'c> {
    pipeline: AsyncPipeline<'c>,
    runtime: &'c Runtime,
}

#[expect(missing_docs, reason = "as those of the client")]
impl Waits {
    pub fn connect() -> Result<Self, Error> {
        let runtime = runtime();
        Ok(Waits { client: runtime.block_on(AsyncClient::connect())?, runtime })
    }

    pub fn fake(table: Table) -> Self {
        Waits { client: AsyncClient::fake(table), runtime: runtime() }
    }

    pub fn execute_all<'c>(&mut self, all: impl IntoIterator<Item = &'c Command>) -> Result<Vec<Outcome>, Error> {
        self.runtime.block_on(self.client.execute_all(all))
    }

    pub fn pipeline(&mut self) -> WaitsPipeline<'_> {
        WaitsPipeline { pipeline: self.client.pipeline(), runtime: &self.runtime }
    }

    pub fn delete_destination(&mut self, key: &ServiceKey, at: std::net::SocketAddr) -> Result<(), Error> {
        self.runtime.block_on(self.client.delete_destination(key, at))
    }

    pub fn reconcile(&mut self, desired: &Table, planner: &Planner) -> Result<Applied, ReconcileError> {
        self.runtime.block_on(self.client.reconcile(desired, planner))
    }

    pub fn probe<'c>(
        &mut self,
        table: &mut Table,
        commands: impl IntoIterator<Item = &'c Command>,
    ) -> Result<(), Error> {
        self.runtime.block_on(self.client.probe(table, commands))
    }

    pub fn explain(&mut self, command: &Command, errno: Errno) -> Result<Option<Cause>, Error> {
        self.runtime.block_on(self.client.explain(command, errno))
    }
}

#[expect(missing_docs, reason = "as those of the client")]
impl WaitsPipeline<'_> {
    pub fn push(&mut self, command: &Command) -> Result<Vec<Outcome>, Error> {
        self.runtime.block_on(self.pipeline.push(command))
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

macro_rules! waits {
    ($($name:ident($($argument:ident: $type:ty),*) -> $output:ty;)*) => {
        #[expect(missing_docs, reason = "as those of the client")]
        impl Waits {
            $(pub fn $name(&mut self, $($argument: $type),*) -> Result<$output, Error> {
                self.runtime.block_on(self.client.$name($($argument),*))
            })*
        }
    };
}

waits! {
    execute(command: &Command) -> ();
    add_service(service: &Service) -> ();
    edit_service(service: &Service) -> ();
    delete_service(key: &ServiceKey) -> ();
    add_destination(key: &ServiceKey, destination: &Destination) -> ();
    edit_destination(key: &ServiceKey, destination: &Destination) -> ();
    zero(key: Option<&ServiceKey>) -> ();
    flush() -> ();
    set_timeouts(timeouts: Timeouts) -> ();
    start_daemon(daemon: &Daemon) -> ();
    stop_daemon(role: DaemonRole) -> ();
    services() -> Vec<ServiceState>;
    services_without_statistics() -> Vec<ServiceState>;
    service(key: &ServiceKey) -> ServiceState;
    destinations(key: &ServiceKey) -> Vec<DestinationState>;
    destinations_without_statistics(key: &ServiceKey) -> Vec<DestinationState>;
    timeouts() -> Timeouts;
    daemons() -> Vec<Daemon>;
    info() -> Info;
    table() -> Table;
    table_without_statistics() -> Table;
}
