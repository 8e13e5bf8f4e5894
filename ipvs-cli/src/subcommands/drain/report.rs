//! What became of each destination: as sentences or as JSON.

use ipvs::Weight;
use ipvs::desired::parts::{Fields, Scalar};
use ipvs::drain::InUse;
use ipvs_text::escape::ShellCommand;

use super::End;
use super::args::Drain;
use super::targets::{Outcome, Target};
use crate::arguments::service;
use crate::exit::Exit;
use crate::session::Session;
use crate::session::json;
use crate::state::notes::Notes;
use crate::subcommands::servers::named;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Drained,
    /// Drained and removed.
    Deleted,
    /// Removed with the connections that it still had.
    Cut,
    /// Another program has removed it.
    Gone,
    /// Another program has given it this weight.
    Revived(Weight),
    /// Another program has changed something else of it, so it was not removed.
    Edited,
    /// The kernel refused weight 0, or the removal.
    Refused,
    /// Not drained in time.
    Late,
    /// Not drained when a signal came, or when the kernel could not be asked any more.
    Interrupted,
    /// It is unknown whether the last command about it was carried out.
    Unconfirmed,
}

impl Fate {
    fn of(target: &Target, end: End) -> Self {
        match target.outcome {
            _ if target.unconfirmed.is_some() => Fate::Unconfirmed,
            None if target.is_deleted => Fate::Cut,
            Some(Outcome::Drained) if target.is_deleted => Fate::Deleted,
            Some(Outcome::Drained) if target.refused.is_some() => Fate::Refused,
            Some(Outcome::Drained) => Fate::Drained,
            Some(Outcome::Missing) => Fate::Gone,
            Some(Outcome::WeightChanged(weight)) if target.refused.is_some() && target.weight == Some(weight) => {
                Fate::Refused
            }
            Some(Outcome::WeightChanged(weight)) => Fate::Revived(weight),
            Some(Outcome::Edited) => Fate::Edited,
            None if end == End::Late => Fate::Late,
            None => Fate::Interrupted,
        }
    }

    /// Whether it was drained, or deleted as asked. A destination that another program deleted
    /// counts as drained if it was unused when it was last seen.
    fn is_drained(self, target: &Target) -> bool {
        match self {
            Fate::Drained | Fate::Deleted | Fate::Cut => true,
            Fate::Gone => target.in_use.is_unused(),
            Fate::Revived(_) | Fate::Edited | Fate::Refused | Fate::Late | Fate::Interrupted | Fate::Unconfirmed => {
                false
            }
        }
    }

    /// The outcome in JSON.
    fn word(self) -> &'static str {
        match self {
            Fate::Drained => "drained",
            Fate::Deleted => "deleted",
            Fate::Cut => "cut",
            Fate::Gone => "gone",
            Fate::Revived(_) => "revived",
            Fate::Edited => "edited",
            Fate::Refused => "refused",
            Fate::Late => "late",
            Fate::Interrupted => "interrupted",
            Fate::Unconfirmed => "unconfirmed",
        }
    }

    /// The weight that it has now, if that is known.
    fn weight(self, target: &Target, drain: &Drain) -> Option<Weight> {
        match (self, target.outcome) {
            (Fate::Revived(weight), _) | (Fate::Refused, Some(Outcome::WeightChanged(weight))) => Some(weight),
            (Fate::Deleted | Fate::Cut | Fate::Gone | Fate::Unconfirmed, _) => None,
            _ if drain.keep_weight => None,
            _ => Some(Weight::ZERO),
        }
    }
}

/// Reports each target. Returns the exit status, and what is logged.
pub(super) fn report(
    targets: &[Target],
    drain: &Drain,
    notes: &Notes,
    end: End,
    session: &mut Session<'_, '_>,
) -> (Exit, String) {
    let mut status = Exit::Success;
    let mut logged = Vec::new();
    for target in targets {
        let fate = Fate::of(target, end);
        let before = target.weight.or_else(|| notes.weight(target.drain.service(), target.drain.address()));
        if drain.json {
            session.print(json::object(fields(target, fate, fate.weight(target, drain), before)));
        } else {
            let back = if drain.keep_weight { String::new() } else { way_back(target, before) };
            print(target, fate, &back, session);
        }
        match fate {
            Fate::Unconfirmed => status = Exit::Between,
            _ if status == Exit::Success && !fate.is_drained(target) => status = Exit::No,
            _ => {}
        }
        logged.push(format!("{target} {}", fate.word()));
    }
    (status, logged.join("; "))
}

fn print(target: &Target, fate: Fate, back: &str, session: &mut Session<'_, '_>) {
    let in_use = target.in_use;
    match fate {
        Fate::Drained => session.report(format!("{target}: drained{back}")),
        Fate::Deleted => session.report(format!("{target}: drained and deleted")),
        Fate::Cut => session.report(format!("{target}: deleted with {in_use}")),
        Fate::Gone if in_use.is_unused() => session.report(format!("{target}: another program has removed it")),
        Fate::Gone => session.error(format!("{target}: not drained: another program has removed it with {in_use}")),
        Fate::Revived(weight) => {
            session.error(format!("{target}: not drained: it has been given weight {weight} meanwhile"));
        }
        Fate::Edited => {
            session.error(format!("{target}: not deleted: another program has changed it meanwhile{back}"));
        }
        Fate::Refused => {
            let not = if target.outcome == Some(Outcome::Drained) { "deleted" } else { "drained" };
            let back = if not == "deleted" { back } else { "" };
            let reason = target.refused.as_deref().unwrap_or_default();
            session.error(format!("{target}: not {not}: {reason}{back}"));
        }
        Fate::Unconfirmed => {
            let reason = target.unconfirmed.as_deref().unwrap_or_default();
            session.error(format!("{target}: it is unknown whether it was changed: {reason}{back}"));
        }
        Fate::Late => session.error(format!("{target}: not drained in time: {in_use}{back}")),
        Fate::Interrupted => session.error(format!("{target}: not drained yet: {in_use}{back}")),
    }
}

/// The command that gives the weight back.
fn way_back(target: &Target, weight: Option<Weight>) -> String {
    let undrain = |options: &[&str]| {
        // Brackets of IPv6 mean something to a shell.
        let words = [service::word(&target.drain.service()), target.drain.address().to_string()];
        let words = ["ipvs-cli", "undrain"].into_iter().chain(words.iter().map(String::as_str));
        ShellCommand::new(words.chain(options.iter().copied()))
    };
    match weight {
        Some(weight) if target.is_noted => format!("; `{}` gives it weight {weight} again", undrain(&[])),
        Some(weight) => {
            format!("; `{}` gives it its weight again", undrain(&["--weight", &weight.to_string()]))
        }
        None => format!("; `{}` gives it a weight again", undrain(&["--weight", "WEIGHT"])),
    }
}

fn fields(target: &Target, fate: Fate, weight: Option<Weight>, before: Option<Weight>) -> Fields {
    let mut fields = named(target.drain.service(), target.drain.address(), fate.word());
    fields.extend(weight.map(|weight| ("weight", weight.get().into())));
    let reason = match fate {
        Fate::Refused => &target.refused,
        Fate::Unconfirmed => &target.unconfirmed,
        _ => &None,
    };
    fields.extend(reason.iter().map(|reason| ("reason", Scalar::text(reason))));
    fields.extend(before.map(|weight| ("weight_before", weight.get().into())));
    // A drained destination has no connections.
    let InUse { active, inactive, templates, .. } = target.in_use;
    if matches!(fate, Fate::Cut | Fate::Gone | Fate::Late | Fate::Interrupted) {
        fields.extend([
            ("active_connections", active.into()),
            ("inactive_connections", inactive.into()),
            ("persistent_connections", templates.into()),
        ]);
    }
    fields
}
