//! What a table holds, in an order of its own: the kernel's own order of services means nothing and
//! differs between namespaces.

use ipvs::{Daemon, Destination, Service, ServiceKey, Table, Timeouts};
use std::collections::BTreeMap;

/// A table's services, destinations, timeouts and daemons, to be compared with another's.
#[derive(Debug, Clone, PartialEq)]
pub struct Contents {
    services: BTreeMap<ServiceKey, (Service, Vec<Destination>)>,
    timeouts: Timeouts,
    daemons: Vec<Daemon>,
}

impl Contents {
    /// Of this table.
    #[must_use]
    pub fn of(table: &Table) -> Self {
        let services = table.services().map(|entry| {
            let destinations = entry.destinations().map(|state| state.destination).collect();
            (entry.service().key(), (*entry.service(), destinations))
        });
        Self { services: services.collect(), timeouts: table.timeouts(), daemons: table.daemons().to_vec() }
    }

    /// With the destinations of each service in the order of their addresses. The kernel keeps them
    /// as they came, but they are saved as they are listed, which is sorted.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.services.values_mut().for_each(|(_, destinations)| destinations.sort_by_key(|one| one.address));
        self
    }
}
