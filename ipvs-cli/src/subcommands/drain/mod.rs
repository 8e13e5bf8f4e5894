//! `drain`: a real server out of service without cutting connections.
//!
//! The library's `Drain` decides; this module has the clock, signals, the lock and the messages.

mod args;
mod connections;
mod report;
mod sysctl;
mod targets;

use std::thread;
use std::time::{Duration, Instant};

use ipvs::Command;
use ipvs::drain::{DrainStep, InUse};

use self::connections::Ending;
use self::sysctl::Settings;
use self::targets::{Look, Outcome, Target};
use crate::exit::Exit;
use crate::session::guard::ChangeGuard;
use crate::session::{Session, Trouble, Wait};
use crate::state::notes::Notes;
use crate::subcommands::servers::{Answer, check_zero, execute, log, note_followers, note_refusing_services, select};

pub(super) use args::Drain;

/// How often the kernel is read.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How often signals and the clock are checked in between.
const BLINK: Duration = Duration::from_millis(50);

const NOT_DELETED: &str = "nothing more was deleted, and the weights are 0; --wait SECONDS waits longer";

pub(super) fn run(drain: &Drain, session: &mut Session<'_, '_>) -> Exit {
    if let (Some(kill_after), Some(timeout)) = (drain.kill_after, drain.timeout)
        && kill_after >= timeout
    {
        let [kill_after, timeout] = [kill_after, timeout].map(|time| time.as_secs_f64());
        let wrong = format!("--kill-after {kill_after} would end nothing, as --timeout {timeout} is not longer");
        return session.finish(Err(Trouble::Other(wrong)), Exit::Trouble);
    }
    // Also while it waits, so that the weights can be reported.
    let mut guard = ChangeGuard::new(None);
    guard.protect(session.environment);
    let clock = Clock { guard, deadline: drain.timeout.and_then(|limit| Instant::now().checked_add(limit)) };
    let done = drain_them(drain, session, &clock);
    if !drain.dry_run {
        log("drain", &done, &drain.common.logging, session);
    }
    let status = session.finish(done.map(|(status, _)| status), Exit::No);
    match clock.signal() {
        Some(signal) if status == Exit::No => Exit::Signal(signal),
        _ => status,
    }
}

/// Why waiting has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Drained,
    Late,
    Signal,
    /// The kernel could not be asked.
    Trouble,
}

/// What bounds the waiting.
struct Clock {
    guard: ChangeGuard,
    deadline: Option<Instant>,
}

impl Clock {
    fn signal(&self) -> Option<i32> {
        self.guard.signal()
    }

    fn end(&self) -> Option<End> {
        let is_late = || self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        self.signal().map(|_| End::Signal).or_else(|| is_late().then_some(End::Late))
    }

    /// Until the next look, or until waiting has to end.
    fn pause(&self) -> Option<End> {
        let next_look = Instant::now() + LOOK_AGAIN;
        while Instant::now() < next_look {
            if let Some(end) = self.end() {
                return Some(end);
            }
            thread::sleep(BLINK);
        }
        None
    }
}

fn drain_them(drain: &Drain, session: &mut Session<'_, '_>, clock: &Clock) -> Result<(Exit, String), Trouble> {
    let settings = Settings::read(session.environment.proc);
    let selected = select(session, &drain.servers, &mut |_, _| {})?;
    if !drain.keep_weight && !drain.force {
        check_zero(&selected, "drains all the same")?;
    }
    let mut targets = targets::targets(&selected, |found| {
        let found = if drain.keep_weight { found.keep_weight() } else { found };
        if settings.expire_quiescent_template { found.without_templates() } else { found }
    });
    if drain.dry_run {
        return connections::dry_run(&targets, drain, session).map(|()| (Exit::Success, String::new()));
    }
    let mut ending = Ending::prepare(drain, clock, session)?;
    let (notes, trouble) = quiesce(&mut targets, drain, session, clock)?;
    if !drain.keep_weight {
        note_refusing_services(&selected, session);
    }
    let trouble = match trouble {
        None if drain.move_udp => {
            let moved = ending.move_udp(&targets, session);
            moved.and_then(|()| targets::look(&mut targets, session, &mut |_, _| {}).map(drop)).err()
        }
        trouble => trouble,
    };
    if targets.iter().any(|target| !target.in_use.is_unused()) {
        let udp = session.director.client().and_then(ipvs::Client::timeouts).ok().and_then(|timeouts| timeouts.udp);
        settings.notes(&targets, udp).into_iter().for_each(|note| session.note(note));
    }
    let (end, trouble) = match trouble {
        None => see_to_the_end(&mut targets, drain, &mut ending, session, clock),
        trouble => (End::Trouble, trouble),
    };
    let (status, mut logged) = report::report(&targets, drain, &notes, end, session);
    let deleted: Vec<_> =
        targets.iter().filter(|target| target.is_deleted).map(|target| target.drain.service()).collect();
    note_followers(&deleted, false, session);
    ending.done.iter().for_each(|done| logged += &format!("; {done}"));
    match trouble {
        None => Ok((status, logged)),
        // The report has named each target.
        Some(trouble) => {
            session.finish(Err(trouble), Exit::No);
            Ok((if status == Exit::Success { Exit::No } else { status }, logged))
        }
    }
}

/// Waits until nothing is left to wait for, and deletes what is drained, if that was asked.
fn see_to_the_end(
    targets: &mut [Target],
    drain: &Drain,
    ending: &mut Ending<'_>,
    session: &mut Session<'_, '_>,
    clock: &Clock,
) -> (End, Option<Trouble>) {
    loop {
        let end = match wait(targets, ending, session, clock) {
            Ok(end) => end,
            Err(trouble) => return (End::Trouble, Some(trouble)),
        };
        if !drain.delete || matches!(end, End::Signal) {
            return (end, None);
        }
        if let Err(trouble) = delete(targets, drain, session, clock, end) {
            return (end, Some(trouble));
        }
        // What was in use again is waited for again.
        if end == End::Late || !targets.iter().any(Target::is_waiting) {
            return (end, None);
        }
    }
}

/// Sets weight 0 where another one is, after noting it. If the notes can't be written, no weight is
/// set.
///
/// The trouble is that of sending: some of the weights may be set.
fn quiesce(
    targets: &mut [Target],
    drain: &Drain,
    session: &mut Session<'_, '_>,
    clock: &Clock,
) -> Result<(Notes, Option<Trouble>), Trouble> {
    let is_over = || clock.end().is_some();
    let wait = Wait { is_over: &is_over, ..Wait::new(drain.common.wait) };
    let _lock = session.lock(&wait)?;
    let (mut notes, unread) = match session.read_notes() {
        Ok(notes) => (notes, None),
        Err(error) => (Notes::default(), Some(error)),
    };
    let mut commands = Vec::new();
    for Look { target, step, .. } in targets::look(targets, session, &mut |key, states| notes.review(key, states))? {
        if let DrainStep::Quiesce { command, weight } = step {
            target.weight = Some(weight);
            notes.set(target.drain.service(), target.drain.address(), weight);
            commands.push(command);
        }
    }
    if commands.is_empty() {
        // An earlier drain noted their weights.
        targets.iter_mut().for_each(|target| target.is_noted = unread.is_none());
        return Ok((notes, None));
    }
    let is_kept = unread.map_or_else(|| notes.save(), Err).map_err(|error| {
        Trouble::Other(format!(
            "`undrain` could not give the weights back, as they can't be noted: {error}; nothing was changed; \
             --state-dir names another directory, and `ipvs-cli weight` sets weight 0 without a note"
        ))
    })?;
    targets.iter_mut().for_each(|target| target.is_noted = is_kept);
    let (answers, trouble) = execute(&commands, session)?;
    let quiesced = targets.iter_mut().filter(|target| target.weight.is_some());
    quiesced.zip(answers).for_each(|(target, answer)| target.take_answer(answer));
    // If this first look fails, the weights are 0 all the same, and the report says so.
    let unread = targets::look(targets, session, &mut |_, _| {}).err();
    Ok((notes, trouble.or(unread)))
}

/// Looks at all targets again and again, until none has to be waited for.
fn wait(
    targets: &mut [Target],
    ending: &mut Ending<'_>,
    session: &mut Session<'_, '_>,
    clock: &Clock,
) -> Result<End, Trouble> {
    while targets.iter().any(Target::is_waiting) {
        session.display.progress(|| in_a_line(targets));
        ending.end_if_due(targets, session)?;
        let end = clock.pause();
        // The last look is for the report.
        targets::look(targets, session, &mut |_, _| {})?;
        if let Some(end) = end.filter(|_| targets.iter().any(Target::is_waiting)) {
            return Ok(end);
        }
    }
    Ok(End::Drained)
}

/// The line on the terminal.
fn in_a_line(targets: &[Target]) -> String {
    let mut total = InUse::default();
    targets.iter().for_each(|target| total += target.in_use);
    let waiting = targets.iter().filter(|target| target.is_waiting());
    match waiting.clone().count() {
        1 => waiting.map(|target| format!("draining {target}: {total}")).collect(),
        several => format!("draining {several} destinations: {total}"),
    }
}

/// Deletes drained destinations; with `--force`, after the timeout, the other ones, too.
///
/// Under the lock, reads the destinations of each service once more and deletes those that are
/// still drained and configured as before. The kernel can't do both in one step: a connection that
/// comes in between is cut.
fn delete(
    targets: &mut [Target],
    drain: &Drain,
    session: &mut Session<'_, '_>,
    clock: &Clock,
    end: End,
) -> Result<(), Trouble> {
    let is_forced = drain.force && end == End::Late;
    let goes = |target: &Target| target.outcome == Some(Outcome::Drained) || is_forced && target.is_waiting();
    if !targets.iter().any(goes) {
        return Ok(());
    }
    // The time for connections may be over; another ipvs-cli is waited for all the same.
    let is_over = || clock.signal().is_some();
    let wait = Wait { is_over: &is_over, otherwise: NOT_DELETED, ..Wait::new(drain.common.wait) };
    let _lock = session.lock(&wait)?;
    let mut notes = session.notes();
    for service in targets.chunk_by_mut(|one, next| one.drain.service() == next.drain.service()) {
        if !service.iter().any(goes) {
            continue;
        }
        let mut commands = Vec::new();
        let mut gone = Vec::new();
        for Look { target, step, found } in
            targets::look(service, session, &mut |key, states| notes.review(key, states))?
        {
            let is_same = found.is_some_and(|found| found.with_weight(target.destination.weight) == target.destination);
            match step {
                DrainStep::Drained | DrainStep::Wait(_) if found.is_some() && !is_same => {
                    target.outcome = Some(Outcome::Edited);
                }
                DrainStep::Wait(_) if !is_forced || found.is_none() => {}
                DrainStep::Drained | DrainStep::Wait(_) => {
                    commands.push(Command::DeleteDestination(target.drain.service(), target.drain.address()));
                    gone.push(target);
                }
                DrainStep::Quiesce { .. } | DrainStep::Missing(_) | DrainStep::WeightChanged(_) => {}
            }
        }
        let (answers, trouble) = execute(&commands, session)?;
        for ((target, command), answer) in gone.into_iter().zip(&commands).zip(answers) {
            target.is_deleted = answer == Answer::Done;
            target.take_answer(answer);
            if target.is_deleted {
                notes.follow(command);
            }
        }
        if let Some(trouble) = trouble {
            session.save(&mut notes);
            return Err(trouble);
        }
    }
    session.save(&mut notes);
    Ok(())
}
