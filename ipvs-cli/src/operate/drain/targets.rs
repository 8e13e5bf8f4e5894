//! The destinations that are drained, and what the kernel says of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::net::SocketAddr;

use ipvs::{DestinationState, Drain, DrainStep, InUse, Persistence, ServiceKey, ServiceState, Weight};

use super::options::Servers;
use crate::failure::Failure;
use crate::operate::service_argument;
use crate::operate::session::{Session, Trouble};

/// One of them.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) drain: Drain,
    pub(super) persistence: Option<Persistence>,
    /// The weight that was taken away.
    pub(super) weight: Option<Weight>,
    /// Is it where `undrain` finds it?
    pub(super) is_noted: bool,
    pub(super) in_use: InUse,
    /// `None`: it is waited for.
    pub(super) outcome: Option<Outcome>,
    pub(super) is_deleted: bool,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Drained,
    Gone,
    Revived(Weight),
}

impl Target {
    pub(super) fn is_waiting(&self) -> bool {
        self.outcome.is_none()
    }

    /// A command line for it alone.
    pub(super) fn command(&self, subcommand: &str) -> String {
        format!("{subcommand} {} {}", service_argument::word(&self.drain.service()), self.drain.address())
    }

    fn heed(&mut self, step: DrainStep) {
        match step {
            DrainStep::Wait(in_use) => self.in_use = in_use,
            DrainStep::Drained => self.outcome = Some(Outcome::Drained),
            DrainStep::Gone => self.outcome = Some(Outcome::Gone),
            DrainStep::Revived(weight) => self.outcome = Some(Outcome::Revived(weight)),
            DrainStep::Quiesce { .. } => {}
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.drain.address(), self.drain.service())
    }
}

/// The destinations that are meant, and each one's service.
pub(super) fn select(
    session: &mut Session<'_, '_>,
    servers: &Servers,
) -> Result<Vec<(ServiceState, DestinationState)>, Trouble> {
    let read = |error| Trouble::Kernel(Failure::read(error));
    let client = session.kernel.client().map_err(read)?;
    let services = match servers.service {
        // Why it is not there, the table knows best.
        Some(key) => match client.services().map_err(read)?.into_iter().find(|state| state.service.key() == key) {
            Some(state) => vec![state],
            None => return Err(missing(session, key)),
        },
        None => client.services().map_err(read)?,
    };
    let mut found = Vec::new();
    let mut unmet: Vec<_> = servers.networks().iter().collect();
    for service in services {
        for state in client.destinations(&service.service.key()).map_err(read)? {
            let at = state.destination.address;
            if servers.networks().iter().any(|network| network.contains(at)) {
                unmet.retain(|network| !network.contains(at));
                found.push((service, state));
            }
        }
    }
    // The kernel's order means nothing.
    found.sort_by_key(|(service, state)| (service.service.key(), state.destination.address));
    match (unmet.first(), servers.service) {
        (None, _) => Ok(found),
        (Some(network), Some(key)) => Err(Trouble::Other(format!("{key} has no destination {network}"))),
        (Some(network), None) => Err(Trouble::Other(format!("no service has a destination {network}"))),
    }
}

fn missing(session: &mut Session<'_, '_>, key: ServiceKey) -> Trouble {
    match session.kernel.table() {
        Ok(table) => match table.explain(&ipvs::Command::Zero(Some(key))) {
            Some(cause) => Trouble::Other(cause.to_string()),
            None => Trouble::Other(format!("{key} was made only just now: try again")),
        },
        Err(error) => Trouble::Kernel(Failure::read(error)),
    }
}

/// The destinations that are meant, none of them looked at yet.
pub(super) fn find(
    session: &mut Session<'_, '_>,
    servers: &Servers,
    how: impl Fn(Drain) -> Drain,
) -> Result<Vec<Target>, Trouble> {
    let target = |(service, state): (ServiceState, DestinationState)| Target {
        drain: how(Drain::new(service.service.key(), state.destination.address)),
        persistence: service.service.persistence,
        weight: None,
        is_noted: true,
        in_use: InUse::default(),
        outcome: None,
        is_deleted: false,
    };
    Ok(select(session, servers)?.into_iter().map(target).collect())
}

/// Shows each that is waited for what the kernel says of it now: one dump for each service.
pub(super) fn look<'t>(
    targets: &'t mut [Target],
    session: &mut Session<'_, '_>,
) -> Result<Vec<(&'t mut Target, DrainStep)>, Trouble> {
    let read = |error| Trouble::Kernel(Failure::read(error));
    let client = session.kernel.client().map_err(read)?;
    let mut dumps: HashMap<ServiceKey, HashMap<SocketAddr, DestinationState>> = HashMap::new();
    let mut steps = Vec::new();
    for target in targets.iter_mut().filter(|target| target.is_waiting()) {
        let key = target.drain.service();
        let dump = match dumps.entry(key) {
            Entry::Occupied(dump) => dump.into_mut(),
            Entry::Vacant(place) => {
                let states = client.destinations(&key).map_err(read)?;
                place.insert(states.into_iter().map(|state| (state.destination.address, state)).collect())
            }
        };
        let step = target.drain.next(dump.get(&target.drain.address()));
        target.heed(step);
        steps.push((target, step));
    }
    Ok(steps)
}
