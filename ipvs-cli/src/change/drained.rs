//! Drained destinations stay at weight 0 whatever the desired state says.

use std::net::SocketAddr;

use ipvs::desired::parts::{Fields, Scalar};
use ipvs::{Command, ServiceKey, Table, Weight};

use crate::state::notes::Notes;

/// A destination that stays drained although the desired state gives it a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeftDrained {
    pub(crate) service: ServiceKey,
    pub(crate) server: SocketAddr,
    /// The weight in the desired state.
    pub(crate) desired: Weight,
}

/// Sets the weight of drained destinations to 0 in the desired table. Returns those that had
/// another one there.
pub(crate) fn keep_drained(desired: &mut Table, notes: &Notes) -> Vec<LeftDrained> {
    let mut left = Vec::new();
    for (service, server, _) in notes.iter() {
        let found = desired.service(&service).and_then(|entry| entry.destination(&server));
        let Some(destination) = found.map(|state| state.destination).filter(|found| found.weight != Weight::ZERO)
        else {
            continue;
        };
        let quiesced = destination.with_weight(Weight::ZERO);
        // Every weight is valid for a destination that exists.
        if desired.apply(&Command::EditDestination(service, quiesced)).is_ok() {
            left.push(LeftDrained { service, server, desired: destination.weight });
        }
    }
    left
}

impl LeftDrained {
    /// The JSON fields.
    pub(crate) fn fields(&self) -> Fields {
        vec![
            ("service", Scalar::text(self.service)),
            ("server", Scalar::text(self.server)),
            ("weight", self.desired.get().into()),
        ]
    }
}

/// A sentence, or `None` if there are none.
pub(crate) fn describe(left: &[LeftDrained]) -> Option<String> {
    const NAMED: usize = 3;
    let name = |one: &LeftDrained| format!("{} at {}", one.server, one.service);
    let mut names: Vec<_> = left.iter().take(NAMED).map(name).collect();
    if let Some(more @ 1..) = left.len().checked_sub(NAMED) {
        names.push(format!("{more} more"));
    }
    let noun = if left.len() == 1 { "destination stays" } else { "destinations stay" };
    (!left.is_empty())
        .then(|| format!("{} {noun} drained at weight 0 without --undrain: {}", left.len(), names.join(", ")))
}
