//! The destinations to drain, and their state in the kernel.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use ipvs::drain::{Drain, DrainStep, InUse};
use ipvs::{Destination, DestinationState, Persistence, ServiceKey, Weight};

use crate::session::{Session, Trouble};
use crate::subcommands::servers::{Answer, Reading, Selected};

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
    /// Why it is unknown whether the last command about it was carried out.
    pub(super) unconfirmed: Option<String>,
}

/// What the last look found.
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

    /// What became of the last command about it.
    pub(super) fn take_answer(&mut self, answer: Answer) {
        (self.refused, self.unconfirmed) = match answer {
            Answer::Done => (None, None),
            Answer::Refused(reason) => (Some(reason), None),
            Answer::Unconfirmed(reason) => (None, Some(reason)),
        };
    }

    fn take(&mut self, step: DrainStep) {
        self.unconfirmed = None;
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

/// A target for each, before the first look.
pub(super) fn targets(selected: &[Selected], how: impl Fn(Drain) -> Drain) -> Vec<Target> {
    let target = |Selected { service, state, .. }: &Selected| Target {
        drain: how(Drain::new(service.service.key(), state.destination.address)),
        persistence: service.service.persistence,
        destination: state.destination,
        weight: None,
        is_noted: false,
        in_use: InUse::of(state),
        outcome: None,
        is_deleted: false,
        refused: None,
        unconfirmed: None,
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

/// Looks at all targets that are not deleted, also the drained ones: one dump for each service.
pub(super) fn look<'t>(
    targets: &'t mut [Target],
    session: &mut Session<'_, '_>,
    reading: &mut Reading<'_>,
) -> Result<Vec<Look<'t>>, Trouble> {
    let client = session.director.client()?;
    let mut dumps: HashMap<ServiceKey, HashMap<_, DestinationState>> = HashMap::new();
    let mut looks = Vec::new();
    for target in targets.iter_mut().filter(|target| !target.is_deleted) {
        let key = target.drain.service();
        let dump = match dumps.entry(key) {
            Entry::Occupied(dump) => dump.into_mut(),
            Entry::Vacant(place) => {
                let states = client.destinations(&key)?;
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
