//! Counters that are read again and again.

use std::time::Instant;

use super::Client;
use crate::error::Error;
use crate::service::ServiceKey;
use crate::session::{Memory, block_on_ready};
use crate::table::{DestinationState, ServiceState};

/// Readings of counters, one after another: for exporters of metrics and programs that show rates.
///
/// It reads what [`Client::services`] and [`Client::destinations`] do. The first reading costs the
/// same; each further one of IPv4 takes a tenth of the work, because `getsockopt` is asked, and
/// what its counters of 32 bits lack is known from the reading before. Keep it for as long as the
/// director is watched, and read at least the services each time. It has no socket, and needs some
/// 80 bytes for each destination whose counters are read.
///
/// Netlink is asked where `getsockopt` does not show enough: for IPv6, tunnels and persistence
/// engines; while another network namespace has services; for what was added, zeroed or has moved 8
/// GB since; and every five minutes for counters of connections and packets above 4,294,967,295.
/// Only of these can a reset be missed until then, if 86 GB have moved between it and the next
/// reading.
///
/// ```
/// use ipvs::{Client, Counters, FakeKernel, Service, Statistics, Table};
/// let kernel = FakeKernel::new(Table::new());
/// let mut director = kernel.client();
/// let web = "tcp 192.0.2.1:80".parse()?;
/// director.add_service(&Service::new(web))?;
///
/// let mut counters = Counters::new();
/// let before = counters.services(&mut director)?[0].statistics.unwrap_or_default();
/// // The kernel's counters change every two seconds.
/// # let mut counted = Statistics::default();
/// # counted.packets_in = 5_000_000_000;
/// # kernel.set_statistics(&web, counted)?;
/// let after = counters.services(&mut director)?[0].statistics.unwrap_or_default();
/// assert_eq!((after - before).packets_in, 5_000_000_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Counters {
    memory: Memory,
}

impl Counters {
    /// Nothing was read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// All services with their counters, in the kernel's order, which means nothing.
    ///
    /// # Errors
    /// As [`Client::services`].
    pub fn services(&mut self, director: &mut Client) -> Result<Vec<ServiceState>, Error> {
        let services = director.session.counted_services_again(&mut self.memory, Instant::now());
        Ok(block_on_ready(services)?.0)
    }

    /// The destinations of a service with their counters, newest first; none for a service that
    /// does not exist. For those of all services, [`all`](Self::all) takes less work.
    ///
    /// # Errors
    /// As [`Client::destinations`].
    pub fn destinations(&mut self, director: &mut Client, key: &ServiceKey) -> Result<Vec<DestinationState>, Error> {
        block_on_ready(director.session.counted_destinations_again(&mut self.memory, key, None, Instant::now()))
    }

    /// All services with their destinations, and the counters of both.
    ///
    /// As in a [`Listing`](crate::Listing), one case is not excluded: a service of IPv4 has
    /// destinations of IPv6, and as many of IPv4 are added before its destinations are read, and
    /// deleted before the reading ends.
    ///
    /// ```
    /// use ipvs::{Client, Counters, Table};
    /// let mut director = Client::fake(Table::new());
    /// let mut counters = Counters::new();
    /// for (state, destinations) in counters.all(&mut director)? {
    ///     println!("{}: {} destinations", state.service.key(), destinations.len());
    /// }
    /// # Ok::<(), ipvs::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Client::table`].
    pub fn all(&mut self, director: &mut Client) -> Result<Vec<(ServiceState, Vec<DestinationState>)>, Error> {
        block_on_ready(director.session.counted_table_again(&mut self.memory, Instant::now()))
    }
}
