//! `apply`: brings the director to a desired state.

use std::time::Instant;

use ipvs::{Phase, StopReason};

use super::carry_out::{Conduct, Verdict, carry_out};
use super::cli::{Apply, Manner, Restrictions};
use super::difference::{Difference, Notation};
use super::json;
use super::prepare::{self, Prepared, Text};
use super::session::{Session, Trouble};
use super::summary::Summary;

/// The exit status where nothing was changed.
const AS_IT_WAS: u8 = 1;

pub(super) fn run(apply: &Apply, session: &mut Session<'_, '_>) -> u8 {
    let done = Text::read(session, &apply.wanted.file)
        .and_then(|text| change(session, text, &apply.wanted.restrictions, &apply.manner));
    session.conclude(done, AS_IT_WAS)
}

/// Makes it so. Returns the exit status.
pub(super) fn change(
    session: &mut Session<'_, '_>,
    text: Text,
    restrictions: &Restrictions,
    manner: &Manner,
) -> Result<u8, Trouble> {
    // What is later than any clock shows is never.
    let deadline = manner.timeout.and_then(|limit| Instant::now().checked_add(limit));
    let patience = match (manner.patience(), manner.timeout) {
        (Some(patience), Some(limit)) => Some(patience.min(limit)),
        (patience, limit) => patience.or(limit),
    };
    // Held until the end.
    let _turn = if manner.dry_run { None } else { session.take_turn_unless(|| text.check(), patience)? };
    let prepared = prepare::plan(session, &text, restrictions)?;
    let summary = Summary::of(prepared.change.plan()).with_marks(&prepared.marks);
    if manner.dry_run {
        show(session, &prepared, manner.json);
        tell(session, &summary, manner);
        return Ok(0);
    }
    let conduct = Conduct { is_ours: session.kernel.is_of_this_machine(), deadline, display: &session.display };
    let (client, marks) = session.kernel.client_and_marks().map_err(|error| Trouble::Other(error.to_string()))?;
    let mut set_marks = |phase| match (prepared.marks.is_empty(), phase) {
        (true, _) => Ok(()),
        (false, Phase::Undoing) => marks.apply(&prepared.marks.before).map_err(|error| error.to_string()),
        (false, _) => marks.apply(&prepared.marks.after).map_err(|error| error.to_string()),
    };
    match carry_out(&prepared.change, &mut set_marks, client, &conduct) {
        Ok(made) => {
            tell(session, &summary, manner);
            if made.attempts > 1 {
                session.note("somebody else changed the director meanwhile, so it was planned anew");
            }
            Ok(0)
        }
        Err(verdict) => Ok(unmade(session, &prepared, &verdict)),
    }
}

/// Says what was done, or would be.
fn tell(session: &mut Session<'_, '_>, summary: &Summary, manner: &Manner) {
    match (manner.json, manner.dry_run) {
        (true, dry_run) => session.print(json::object(summary.fields(dry_run))),
        (false, true) => session.report(format_args!("dry run, nothing was sent: {summary}")),
        (false, false) => session.report(summary),
    }
}

/// Shows what would change.
fn show(session: &mut Session<'_, '_>, prepared: &Prepared, json: bool) {
    session.display.end();
    let difference = Difference::new(prepared.change.before(), prepared.change.plan()).with_marks(&prepared.marks);
    // Of errors of writing it is told at the end.
    let notation = if json { Notation::Json } else { Notation::Rules { colored: false } };
    let _ = difference.write(session.streams.stdout, notation);
}

/// Says what came between, and how the director is now.
fn unmade(session: &mut Session<'_, '_>, prepared: &Prepared, verdict: &Verdict) -> u8 {
    match &verdict.unmade.reason {
        StopReason::Refused(command, refusal) => {
            let explained = session.kernel.client().and_then(|client| client.explain(command, refusal.errno));
            let reason = match explained {
                Ok(Some(cause)) => cause.to_string(),
                _ => refusal.to_string(),
            };
            let state = verdict.unmade.state;
            match prepare::place(&prepared.desired, command) {
                Some(place) => session.say(format_args!("{place}: {reason}; {state}")),
                None => session.complain(format_args!("{}: {reason}; {state}", prepare::told(command))),
            }
        }
        _ => session.complain(verdict),
    }
    if let Some(advice) = verdict.advice() {
        session.complain(advice);
    }
    verdict.status()
}
