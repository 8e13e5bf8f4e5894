//! What became of each destination: sentences for people, objects for programs.

use ipvs::{InUse, ServiceKey, Weight};

use super::memory::Memory;
use super::options::Drain;
use super::targets::{Outcome, Target};
use super::{End, NOT_DRAINED};
use crate::desired::scalar::{Fields, Scalar};
use crate::operate::json;
use crate::operate::session::Session;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Drained,
    /// Drained and removed.
    Deleted,
    /// Removed with the connections that it still had.
    Cut,
    /// Somebody else has removed it.
    Gone,
    /// Somebody else has given it this weight.
    Revived(Weight),
    /// Not drained in time.
    Late,
    /// Not drained when a signal came.
    Interrupted,
}

impl Fate {
    fn of(target: &Target, end: End) -> Self {
        match target.outcome {
            None if target.is_deleted => Fate::Cut,
            Some(Outcome::Drained) if target.is_deleted => Fate::Deleted,
            Some(Outcome::Drained) => Fate::Drained,
            Some(Outcome::Gone) => Fate::Gone,
            Some(Outcome::Revived(weight)) => Fate::Revived(weight),
            None if end == End::Late => Fate::Late,
            None => Fate::Interrupted,
        }
    }

    fn is_drained(self) -> bool {
        !matches!(self, Fate::Revived(_) | Fate::Late | Fate::Interrupted)
    }

    /// For programs.
    fn word(self) -> &'static str {
        match self {
            Fate::Drained => "drained",
            Fate::Deleted => "deleted",
            Fate::Cut => "cut",
            Fate::Gone => "gone",
            Fate::Revived(_) => "revived",
            Fate::Late => "late",
            Fate::Interrupted => "interrupted",
        }
    }

    /// The weight that it has now, as far as it is there and is known.
    fn weight(self, drain: &Drain) -> Option<Weight> {
        match self {
            Fate::Revived(weight) => Some(weight),
            Fate::Deleted | Fate::Cut | Fate::Gone => None,
            _ if drain.keep_weight => None,
            _ => Some(Weight::ZERO),
        }
    }
}

/// Says it of all. Returns the exit status.
pub(super) fn report(
    targets: &[Target],
    drain: &Drain,
    memory: &Memory,
    end: End,
    session: &mut Session<'_, '_>,
) -> u8 {
    let mut status = 0;
    for target in targets {
        let fate = Fate::of(target, end);
        let before = target.weight.or_else(|| memory.recall(target.drain.service(), target.drain.address()));
        if drain.json {
            session.print(json::object(fields(target, fate, fate.weight(drain), before)));
        } else {
            let back = if drain.keep_weight { String::new() } else { way_back(target, before) };
            tell(target, fate, &back, session);
        }
        if !fate.is_drained() {
            status = NOT_DRAINED;
        }
    }
    match end {
        End::Signal(signal) => 128 + u8::try_from(signal).unwrap_or(0),
        End::Drained | End::Late => status,
    }
}

fn tell(target: &Target, fate: Fate, back: &str, session: &mut Session<'_, '_>) {
    let in_use = target.in_use;
    match fate {
        Fate::Drained => session.report(format!("{target}: drained{back}")),
        Fate::Deleted => session.report(format!("{target}: drained and deleted")),
        Fate::Cut => session.report(format!("{target}: deleted with {in_use}")),
        Fate::Gone => session.report(format!("{target}: somebody else has removed it")),
        Fate::Revived(weight) => {
            session.complain(format!("{target}: not drained: somebody else has given it weight {weight}"));
        }
        Fate::Late => session.complain(format!("{target}: not drained in time: {in_use}{back}")),
        Fate::Interrupted => session.complain(format!("{target}: not drained yet: {in_use}{back}")),
    }
}

/// How the weight comes back.
fn way_back(target: &Target, weight: Option<Weight>) -> String {
    let undrain = target.command("undrain");
    match weight {
        Some(weight) if target.is_noted => format!("; `ipvs-cli {undrain}' gives it weight {weight} again"),
        Some(weight) => format!("; `ipvs-cli {undrain} --weight {weight}' gives it its weight again"),
        None => format!("; `ipvs-cli {undrain} --weight WEIGHT' gives it a weight again"),
    }
}

fn fields(target: &Target, fate: Fate, weight: Option<Weight>, before: Option<Weight>) -> Fields {
    let mut fields = named(target.drain.service(), target.drain.address(), fate.word());
    fields.extend(weight.map(|weight| ("weight", weight.get().into())));
    fields.extend(before.map(|weight| ("weight_before", weight.get().into())));
    // Of what is drained nothing is left.
    let InUse { active, inactive, templates } = target.in_use;
    if matches!(fate, Fate::Cut | Fate::Late | Fate::Interrupted) {
        fields.extend([
            ("active_connections", active.into()),
            ("inactive_connections", inactive.into()),
            ("persistent_connections", templates.into()),
        ]);
    }
    fields
}

/// Which destination, and what became of it.
pub(super) fn named(service: ServiceKey, server: std::net::SocketAddr, outcome: &str) -> Fields {
    vec![("service", Scalar::text(service)), ("server", Scalar::text(server)), ("outcome", Scalar::text(outcome))]
}
