//! What a table holds, in an order of its own: the kernel's own order means nothing and differs between namespaces.

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
}
