//! `apply` and `restore`: read the file, plan, ask or refuse, make the change, report.

use std::time::Instant;

use ipvs::desired::parts::Scalar;
use ipvs::{
    ServiceKey,
    change::{DirectorState, Phase, Planner, RefusedCommand, StopReason},
};

use crate::change::args::{Manner, Restrictions};
use crate::change::difference::{Difference, Notation};
use crate::change::drained::LeftDrained;
use crate::change::make::{ApplyError, ApplyOptions, make_change};
use crate::change::prepare::{self, Prepared, Text};
use crate::change::summary::{Summary, counted};
use crate::exit::Exit;
use crate::session::guard::ChangeGuard;
use crate::session::journal::{LogOutcome, Record};
use crate::session::json;
use crate::session::{Session, Trouble, Wait};

/// Changes the director, for `apply` or `restore`. Returns the exit status.
pub(crate) fn change(
    subcommand: &str,
    session: &mut Session<'_, '_>,
    text: Text,
    restrictions: &Restrictions,
    manner: &Manner,
) -> Result<Exit, Trouble> {
    let Agreed { mut prepared, summary, mut guard, deadline } = agree(session, &text, restrictions, manner)?;
    if manner.dry_run {
        show(session, &prepared, manner.json);
        check_deletions(&summary, manner.max_deletions)?;
    }
    let made = make(session, &mut prepared, &mut guard, deadline, manner.dry_run)?;
    let record = Record { subcommand, file: text.path(), outcome: LogOutcome::Done, detail: "" };
    match made {
        Ok(Made { summary, attempts, incomplete }) => {
            if !manner.dry_run && !summary.is_empty() {
                session.log(&manner.common.logging, &Record { detail: &summary.to_string(), ..record });
            }
            report(session, &summary, manner);
            if attempts > 1 {
                session.note("another program changed the director meanwhile, so the change was planned again");
            }
            let Some(trouble) = incomplete else { return Ok(Exit::Success) };
            session.error(format_args!("the change was made, but {}; run it again", trouble.text().trim_end()));
            Ok(Exit::Between)
        }
        Err(error) => {
            let reason = match place_of(&text, &error) {
                Some(reason) => reason,
                None => format!("{}: {}", session.program(), describe_failure(&error)),
            };
            session.log(&manner.common.logging, &Record { outcome: LogOutcome::Failed, detail: &reason, ..record });
            session.message(reason);
            explain(session, &error);
            if let Some(advice) = error.advice() {
                session.error(advice);
            }
            Ok(error.exit())
        }
    }
}

/// A change that may be made.
struct Agreed {
    prepared: Prepared,
    summary: Summary,
    guard: ChangeGuard,
    deadline: Option<Instant>,
}

/// Plans the change, and asks the user about deleted services until no other ones are deleted. The
/// lock is held from then on, but not while the user is asked.
fn agree(
    session: &mut Session<'_, '_>,
    text: &Text,
    restrictions: &Restrictions,
    manner: &Manner,
) -> Result<Agreed, Trouble> {
    let mut approved = Vec::new();
    loop {
        // A limit that the clock can't represent is none.
        let deadline = manner.timeout.and_then(|limit| Instant::now().checked_add(limit));
        let wait = Wait { check: &|| text.check(), ..Wait::new(manner.patience()) };
        let guard = if manner.dry_run { ChangeGuard::new(None) } else { session.guard(&wait)? };
        let approved_only = may_ask(session, manner).then_some(&approved);
        let limit = |planner| limit(planner, approved_only, manner.max_deletions);
        let prepared = prepare::plan(session, text, restrictions, limit)?;
        let summary = Summary::of(prepared.change.before(), prepared.change.plan().commands());
        let summary = summary.with_marks(&prepared.marks).with_drained(&prepared.left_drained);
        if !manner.dry_run {
            check_deletions(&summary, manner.max_deletions)?;
        }
        if !asks(session, &summary, &approved, manner) {
            return Ok(Agreed { prepared, summary, guard, deadline });
        }
        drop(guard);
        if !confirm(session, &summary)? {
            return Err(Trouble::Other("nothing was changed".to_owned()));
        }
        approved = summary.deleted_services;
    }
}

/// A change that was made.
pub(super) struct Made {
    pub(super) summary: Summary,
    pub(super) attempts: usize,
    /// Why the list of owners does not say so.
    pub(super) incomplete: Option<Trouble>,
}

/// Makes the change; for a dry run, on a copy of the director.
pub(super) fn make(
    session: &mut Session<'_, '_>,
    prepared: &mut Prepared,
    guard: &mut ChangeGuard,
    deadline: Option<Instant>,
    dry_run: bool,
) -> Result<Result<Made, ApplyError>, Trouble> {
    let mut copy;
    let director = if dry_run {
        copy = session.director.copy(prepared.change.before().clone())?;
        &mut copy
    } else {
        if guard.is_unlocked() && prepared.claims.need_lock() {
            return Err(Trouble::Other(UNLOCKED_OWNERS.to_owned()));
        }
        if let Err(trouble) = prepared.claims.begin(&prepared.change) {
            return Err(Trouble::Other(format!("nothing was changed: {}", trouble.text().trim_end())));
        }
        if !prepared.change.plan().is_empty() || !prepared.marks.is_empty() {
            guard.protect(session.environment);
        }
        &mut *session.director
    };
    let (client, marks) = director.client_and_marks()?;
    let mut set_marks = |phase| match (prepared.marks.is_empty(), phase) {
        (true, _) => Ok(()),
        (false, Phase::Undoing) => marks.apply(&prepared.marks.before).map_err(|error| error.to_string()),
        (false, _) => marks.apply(&prepared.marks.after).map_err(|error| error.to_string()),
    };
    let options = ApplyOptions { guard, deadline, display: &session.display };
    match make_change(&prepared.change, &mut set_marks, client, &options) {
        Ok(applied) => {
            let summary = Summary::of(prepared.change.before(), &applied.commands);
            let summary = summary.with_marks(&prepared.marks).with_drained(&prepared.left_drained);
            let mut incomplete = None;
            if !dry_run {
                applied.commands.iter().for_each(|command| prepared.notes.follow(command));
                session.save(&mut prepared.notes);
                incomplete = prepared.claims.complete(&prepared.change).err();
            }
            Ok(Ok(Made { summary, attempts: applied.attempts, incomplete }))
        }
        Err(error) => {
            if !dry_run
                && matches!(error.unmade.state, DirectorState::Untouched | DirectorState::Undone)
                && let Err(trouble) = prepared.claims.restore()
            {
                session.error(trouble.text().trim_end());
            }
            Ok(Err(error))
        }
    }
}

const UNLOCKED_OWNERS: &str = "services here have owners, and without the lock another ipvs-cli could change the list \
    of owners meanwhile; nothing was changed";

/// Is there a person to ask?
fn may_ask(session: &Session<'_, '_>, manner: &Manner) -> bool {
    !manner.yes && !manner.dry_run && session.can_ask()
}

/// Does the change delete a service that the user has not agreed to?
fn asks(session: &Session<'_, '_>, summary: &Summary, approved: &[ServiceKey], manner: &Manner) -> bool {
    may_ask(session, manner) && summary.deleted_services.iter().any(|key| !approved.contains(key))
}

/// Limits what later attempts delete, as the user is not asked again.
pub(super) fn limit(planner: Planner, approved: Option<&Vec<ServiceKey>>, max_deletions: Option<usize>) -> Planner {
    let planner = match approved {
        Some(approved) => planner.approved_deletions(approved.iter().copied()),
        None => planner,
    };
    match max_deletions {
        Some(limit) => planner.max_deletions(limit),
        None => planner,
    }
}

pub(super) fn check_deletions(summary: &Summary, max_deletions: Option<usize>) -> Result<(), Trouble> {
    let (services, destinations) = summary.deletions();
    match max_deletions {
        Some(limit) if services + destinations > limit => Err(Trouble::Other(format!(
            "nothing was changed: {} and {} would be deleted ({} together), and --max-deletions is {limit}",
            counted(services, "service"),
            counted(destinations, "destination"),
            services + destinations,
        ))),
        _ => Ok(()),
    }
}

/// Asks whether services may be deleted.
fn confirm(session: &mut Session<'_, '_>, summary: &Summary) -> Result<bool, Trouble> {
    const NAMED: usize = 10;
    let mut deleted = summary.deleted_services.clone();
    deleted.sort_unstable();
    let mut names: Vec<_> = deleted.iter().take(NAMED).map(ToString::to_string).collect();
    if let Some(more @ 1..) = deleted.len().checked_sub(NAMED) {
        names.push(format!("and {more} more"));
    }
    session.message(format_args!("This changes: {summary}"));
    session.message(format_args!("Deleted services: {}", names.join(", ")));
    session.confirm("Change the director?")
}

/// Prints a summary.
fn report(session: &mut Session<'_, '_>, summary: &Summary, manner: &Manner) {
    match (manner.json, manner.dry_run) {
        (true, dry_run) => session.print(json::object(summary.fields(dry_run))),
        (false, true) => session.report(format_args!("dry run, nothing was sent: {summary}")),
        (false, false) => session.report(summary),
    }
}

/// Prints each change of a dry run.
fn show(session: &mut Session<'_, '_>, prepared: &Prepared, json: bool) {
    session.display.end();
    let difference = Difference::new(prepared.change.before(), prepared.change.plan()).with_marks(&prepared.marks);
    // Errors of writing are reported at the end of the run.
    let notation = if json { Notation::Json } else { Notation::Changes };
    let _ = difference.write(session.environment.stdout, notation);
    show_drained(session, &prepared.left_drained, json);
}

/// Prints what stays drained, which is no difference.
pub(crate) fn show_drained(session: &mut Session<'_, '_>, left: &[LeftDrained], json: bool) {
    for LeftDrained { service, server, desired } in left.iter().filter(|_| !json) {
        session
            .print(format_args!("# {server} at {service} stays drained at weight 0, not {desired}, without --undrain"));
    }
    for left in left.iter().filter(|_| json) {
        let mut fields = vec![("change", Scalar::text("left-drained")), ("of", Scalar::text("destination"))];
        fields.extend(left.fields());
        session.print(json::object(fields));
    }
}

/// Prints what could not be undone, and what another program keeps changing.
fn explain(session: &mut Session<'_, '_>, error: &ApplyError) {
    const NAMED: usize = 10;
    let report = &error.unmade.report;
    for kept in report.kept.iter().take(NAMED) {
        session.error(format_args!("not undone: {}: {}", kept.command, kept.reason));
    }
    if let Some(reason) = &report.hook {
        session.error(format_args!("the rules that mark packets were not undone: {reason}"));
    }
    for command in report.remaining.iter().take(NAMED) {
        session.error(format_args!("still needed: {command}"));
    }
    for more in [&report.kept.len(), &report.remaining.len()].into_iter().filter_map(|all| all.checked_sub(NAMED + 1)) {
        session.error(format_args!("and {} more", more + 1));
    }
}

/// The place in the file that the kernel refused, with why, and the state of the director.
pub(super) fn place_of(text: &Text, error: &ApplyError) -> Option<String> {
    let StopReason::Refused(refused) = &error.unmade.reason else { return None };
    let place = prepare::place_in(text, &refused.command)?;
    Some(format!("{place}: {}; {}", reason_of(refused), error.unmade.state))
}

/// Why it failed, and the state of the director.
pub(super) fn describe_failure(error: &ApplyError) -> String {
    let StopReason::Refused(refused) = &error.unmade.reason else { return error.to_string() };
    format!("{}: {}; {}", prepare::describe(&refused.command), reason_of(refused), error.unmade.state)
}

fn reason_of(RefusedCommand { refusal, cause, .. }: &RefusedCommand) -> String {
    cause.map_or_else(|| refusal.to_string(), |cause| cause.to_string())
}
