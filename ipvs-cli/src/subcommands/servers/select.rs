//! The destinations that are meant, as the kernel has them.

use ipvs::{DestinationState, ServiceKey, ServiceState, Weight};

use super::Servers;
use crate::session::{Session, Trouble};

/// A destination that is meant.
#[derive(Clone, Copy, Debug)]
pub(in crate::subcommands) struct Selected {
    pub(in crate::subcommands) service: ServiceState,
    pub(in crate::subcommands) state: DestinationState,
    /// Has its service another one that is not meant and takes new connections?
    pub(in crate::subcommands) has_others: bool,
}

/// Is called with all destinations of a service, whenever they were read.
pub(in crate::subcommands) type Reading<'r> = dyn FnMut(ServiceKey, &[DestinationState]) + 'r;

/// The destinations that are meant, and each one's service.
pub(in crate::subcommands) fn select(
    session: &mut Session<'_, '_>,
    servers: &Servers,
    reading: &mut Reading<'_>,
) -> Result<Vec<Selected>, Trouble> {
    let client = session.director.client()?;
    let services = match servers.service {
        Some(key) => match client.services()?.into_iter().find(|state| state.service.key() == key) {
            Some(state) => vec![state],
            None => return Err(missing(session, key)),
        },
        None => client.services()?,
    };
    let mut found = Vec::new();
    let mut unmet: Vec<_> = servers.networks().iter().collect();
    for service in services {
        let states = client.destinations(&service.service.key())?;
        reading(service.service.key(), &states);
        let is_meant = |state: &DestinationState| {
            servers.networks().iter().any(|network| network.contains(state.destination.address))
        };
        let has_others = states.iter().any(|state| !is_meant(state) && state.destination.weight != Weight::ZERO);
        for state in states.into_iter().filter(is_meant) {
            unmet.retain(|network| !network.contains(state.destination.address));
            found.push(Selected { service, state, has_others });
        }
    }
    // The kernel's order has no meaning.
    found.sort_unstable_by_key(|found| (found.service.service.key(), found.state.destination.address));
    let Some(network) = unmet.first() else { return Ok(found) };
    let who = servers.service.map_or_else(|| "no service has a".to_owned(), |key| format!("{key} has no"));
    let other =
        network.other_reading().map_or_else(String::new, |other| format!("; with a port it is written {other}"));
    Err(Trouble::Other(format!("{who} destination {network}{other}")))
}

fn missing(session: &mut Session<'_, '_>, key: ServiceKey) -> Trouble {
    match session.director.table() {
        Ok(table) => match table.explain(&ipvs::Command::Zero(Some(key))) {
            Some(cause) => Trouble::Other(cause.to_string()),
            None => Trouble::Other(format!("{key} was made only just now: try again")),
        },
        Err(error) => Trouble::Kernel(error),
    }
}
