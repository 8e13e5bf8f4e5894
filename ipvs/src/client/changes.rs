//! Single changes, the same for both clients.

use std::net::SocketAddr;

#[cfg(feature = "tokio")]
use super::AsyncClient;
use super::Client;
use crate::command::Command;
use crate::daemon::{Daemon, DaemonRole};
use crate::destination::Destination;
use crate::error::Error;
use crate::service::{Service, ServiceKey};
use crate::timeouts::Timeouts;

macro_rules! changes {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) => $command:expr;)*) => {
        /// Single changes.
        ///
        /// ```
        /// use ipvs::{Client, Destination, Scheduler, Service, Table, Weight};
        /// let mut director = Client::fake(Table::new());
        /// let (web, server) = ("tcp 192.0.2.1:80".parse()?, "192.0.2.11:80".parse()?);
        /// director.add_service(&Service::new(web).with_scheduler(Scheduler::WRR))?;
        /// director.add_destination(&web, &Destination::new(server))?;
        /// // The whole configuration is replaced, not only the weight.
        /// let heavier = Destination::new(server).with_weight(Weight::new(5)?);
        /// director.edit_destination(&web, &heavier)?;
        /// director.delete_destination(&web, server)?;
        /// director.delete_service(&web)?;
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        impl Client {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// As [`execute`](Self::execute).
                pub fn $name(&mut self, $($argument: $type),*) -> Result<(), Error> {
                    self.execute(&$command)
                }
            )*
        }

        /// Single changes.
        #[cfg(feature = "tokio")]
        impl AsyncClient {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// As [`execute`](Self::execute).
                pub async fn $name(&mut self, $($argument: $type),*) -> Result<(), Error> {
                    self.execute(&$command).await
                }
            )*
        }
    };
}

changes! {
    /// Makes a service: [`Command::AddService`].
    add_service(service: &Service) => Command::AddService(*service);
    /// Replaces a service's configuration: [`Command::EditService`].
    edit_service(service: &Service) => Command::EditService(*service);
    /// Removes a service: [`Command::DeleteService`].
    delete_service(key: &ServiceKey) => Command::DeleteService(*key);
    /// Gives a service another destination: [`Command::AddDestination`].
    add_destination(key: &ServiceKey, destination: &Destination) => Command::AddDestination(*key, *destination);
    /// Replaces a destination's configuration: [`Command::EditDestination`].
    edit_destination(key: &ServiceKey, destination: &Destination) => Command::EditDestination(*key, *destination);
    /// Removes a destination: [`Command::DeleteDestination`].
    delete_destination(key: &ServiceKey, at: SocketAddr) => Command::DeleteDestination(*key, at);
    /// Zeroes counters, of one service or all: [`Command::Zero`].
    zero(key: Option<&ServiceKey>) => Command::Zero(key.copied());
    /// Removes all services: [`Command::Flush`].
    flush() => Command::Flush;
    /// Sets connection timeouts: [`Command::SetTimeouts`].
    set_timeouts(timeouts: Timeouts) => Command::SetTimeouts(timeouts);
    /// Starts a sync daemon: [`Command::StartDaemon`].
    start_daemon(daemon: &Daemon) => Command::StartDaemon(*daemon);
    /// Stops a sync daemon: [`Command::StopDaemon`].
    stop_daemon(role: DaemonRole) => Command::StopDaemon(role);
}
