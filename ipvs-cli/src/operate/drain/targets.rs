//! The destinations that are drained, and what the kernel says of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use ipvs::{
    Destination, DestinationState, Persistence, ServiceKey, ServiceState, Weight,
    drain::{Drain, DrainStep, InUse},
};

use super::options::Servers;
use crate::failure::Failure;
use crate::operate::session::{Session, Trouble};

/// One of them.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) drain: Drain,
    pub(super) persistence: Option<Persistence>,
    /// As it was found first.
    pub(super) destination: Destination,
    /// The weight that was taken away.
    pub(super) weight: Option<Weight>,
    /// Is it where `undrain` finds it?
    pub(super) is_noted: bool,
    pub(super) in_use: InUse,
    /// `None`: it is waited for.
    pub(super) outcome: Option<Outcome>,
    pub(super) is_deleted: bool,
    /// Why the last command about it was not carried out.
    pub(super) refused: Option<String>,
}

/// How it is, as it was seen last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Drained,
    Missing,
    WeightChanged(Weight),
    /// It has another configuration than it had at first.
    Edited,
}

impl Target {
    pub(super) fn is_waiting(&self) -> bool {
        self.outcome.is_none() && !self.is_deleted
    }

    fn take(&mut self, step: DrainStep) {
        self.outcome = match step {
            DrainStep::Quiesce { .. } | DrainStep::Wait(_) => None,
            DrainStep::Drained => Some(Outcome::Drained),
            DrainStep::Missing(_) => Some(Outcome::Missing),
            DrainStep::WeightChanged(weight) => Some(Outcome::WeightChanged(weight)),
        };
        match step {
            DrainStep::Wait(in_use) | DrainStep::Missing(in_use) => self.in_use = in_use,
            DrainStep::Drained => self.in_use = InUse::default(),
            DrainStep::Quiesce { .. } | DrainStep::WeightChanged(_) => {}
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.drain.address(), self.drain.service())
    }
}

/// A destination that is meant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Selected {
    pub(super) service: ServiceState,
    pub(super) state: DestinationState,
    /// Has its service another one that is not meant and takes new connections?
    pub(super) has_others: bool,
}

/// Is called with all destinations of a service, whenever they were read.
pub(super) type Reading<'r> = dyn FnMut(ServiceKey, &[DestinationState]) + 'r;

/// The destinations that are meant, and each one's service.
pub(super) fn select(
    session: &mut Session<'_, '_>,
    servers: &Servers,
    reading: &mut Reading<'_>,
) -> Result<Vec<Selected>, Trouble> {
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
        let states = client.destinations(&service.service.key()).map_err(read)?;
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
    // The kernel's order means nothing.
    found.sort_by_key(|found| (found.service.service.key(), found.state.destination.address));
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

/// They as what is drained, none of them looked at yet.
pub(super) fn targets(selected: &[Selected], how: impl Fn(Drain) -> Drain) -> Vec<Target> {
    let target = |Selected { service, state, .. }: &Selected| Target {
        drain: how(Drain::new(service.service.key(), state.destination.address)),
        persistence: service.service.persistence,
        destination: state.destination,
        weight: None,
        is_noted: false,
        in_use: InUse::default(),
        outcome: None,
        is_deleted: false,
        refused: None,
    };
    selected.iter().map(target).collect()
}

/// A target that was looked at.
pub(super) struct Look<'t> {
    pub(super) target: &'t mut Target,
    pub(super) step: DrainStep,
    /// As it is configured now.
    pub(super) found: Option<Destination>,
}

/// Looks at all that are not deleted, also those that were drained before: one dump for each service.
pub(super) fn look<'t>(
    targets: &'t mut [Target],
    session: &mut Session<'_, '_>,
    reading: &mut Reading<'_>,
) -> Result<Vec<Look<'t>>, Trouble> {
    let read = |error| Trouble::Kernel(Failure::read(error));
    let client = session.kernel.client().map_err(read)?;
    let mut dumps: HashMap<ServiceKey, HashMap<_, DestinationState>> = HashMap::new();
    let mut looks = Vec::new();
    for target in targets.iter_mut().filter(|target| !target.is_deleted) {
        let key = target.drain.service();
        let dump = match dumps.entry(key) {
            Entry::Occupied(dump) => dump.into_mut(),
            Entry::Vacant(place) => {
                let states = client.destinations(&key).map_err(read)?;
                reading(key, &states);
                place.insert(states.into_iter().map(|state| (state.destination.address, state)).collect())
            }
        };
        let found = dump.get(&target.drain.address());
        let step = target.drain.next(found);
        target.take(step);
        looks.push(Look { target, step, found: found.map(|state| state.destination) });
    }
    Ok(looks)
}
