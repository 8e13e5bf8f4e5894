//! `drain` and `undrain`: a real server out of service without cutting connections, and back.
//!
//! The library's `Drain` says what to do; here are the clock, signals, the lock while something is changed, and words.

mod memory;
mod options;
mod report;
mod sysctl;
mod targets;
mod undrain;

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use ipvs::{Command, DrainStep, Errno, InUse};

use self::memory::Memory;
use self::sysctl::Settings;
use self::targets::{Outcome, Target};
use super::session::{Session, Trouble};
use super::signals::Signals;
use crate::failure::Failure;

pub(super) use options::{Drain, Undrain};
pub(super) use undrain::run as undrain;

/// The exit status when something is not drained.
const NOT_DRAINED: u8 = 1;

/// How often the kernel is asked.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How often signals and the clock are looked at between.
const BLINK: Duration = Duration::from_millis(50);

/// Others of ours hold the lock for so long at most, unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn run(drain: &Drain, session: &mut Session<'_, '_>) -> u8 {
    let done = drain_them(drain, session);
    session.conclude(done, NOT_DRAINED)
}

/// Why waiting has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Drained,
    Late,
    Signal(i32),
}

fn drain_them(drain: &Drain, session: &mut Session<'_, '_>) -> Result<u8, Trouble> {
    let is_ours = session.kernel.is_of_this_machine();
    let settings = if is_ours { Settings::read() } else { Settings::DEFAULT };
    let signals = is_ours.then(|| Signals::listen().ok()).flatten();
    let deadline = drain.timeout.and_then(|limit| Instant::now().checked_add(limit));
    let mut targets = targets::find(session, &drain.servers, |found| {
        let drain = if drain.keep_weight { found.keeping_weight() } else { found };
        if settings.expire_quiescent_template { drain.despite_templates() } else { drain }
    })?;
    let memory = memory_of(session);
    quiesce(&mut targets, &memory, session)?;
    if targets.iter().any(|target| !target.in_use.is_unused()) {
        let udp = session.kernel.client().and_then(ipvs::Client::timeouts).ok().and_then(|timeouts| timeouts.udp);
        settings.notes(&targets, udp).into_iter().for_each(|note| session.note(note));
    }
    let end = wait(&mut targets, session, signals.as_ref(), deadline)?;
    if drain.delete {
        delete(&mut targets, &memory, session, drain.force && end == End::Late)?;
    }
    Ok(report::report(&targets, drain, &memory, end, session))
}

fn memory_of(session: &Session<'_, '_>) -> Memory {
    if session.kernel.is_of_this_machine() { Memory::of_this_namespace() } else { Memory::none() }
}

/// Weight 0 for all that have another, each noted before.
fn quiesce(targets: &mut [Target], memory: &Memory, session: &mut Session<'_, '_>) -> Result<(), Trouble> {
    let _turn = session.take_turn(Some(PATIENCE))?;
    let mut commands = Vec::new();
    for (target, step) in targets::look(targets, session)? {
        if let DrainStep::Quiesce { command, weight } = step {
            let (service, server) = (target.drain.service(), target.drain.address());
            target.weight = Some(weight);
            target.is_noted = noted(memory.note(service, server, weight), target, session);
            commands.push(command);
        }
    }
    execute(&commands, session, GONE)?;
    // The first look at what they are now.
    targets::look(targets, session).map(drop)
}

/// Without a note it goes on: then the message at the end is all there is.
fn noted(done: io::Result<()>, target: &Target, session: &mut Session<'_, '_>) -> bool {
    if let Err(error) = &done {
        session.complain(format!("{target}: its weight could not be noted for `undrain': {error}"));
    }
    done.is_ok()
}

/// What a command on a destination or service is answered that has gone meanwhile. The next look shows it.
const GONE: &[Errno] = &[Errno::ENOENT, Errno::ESRCH];

/// Carries them out; refusals with these numbers are none.
fn execute(commands: &[Command], session: &mut Session<'_, '_>, borne: &[Errno]) -> Result<(), Trouble> {
    let client = session.kernel.client().map_err(|error| Trouble::Kernel(Failure::change(error)))?;
    let outcomes = client.execute_all(commands).map_err(|error| Trouble::Kernel(Failure::change(error)))?;
    for (command, outcome) in commands.iter().zip(outcomes) {
        if let Err(refusal) = outcome
            && !borne.contains(&refusal.errno)
        {
            let key = command.service_key().map(|key| key.to_string()).unwrap_or_default();
            return Err(Trouble::Other(format!("{key}: {refusal}")));
        }
    }
    Ok(())
}

fn wait(
    targets: &mut [Target],
    session: &mut Session<'_, '_>,
    signals: Option<&Signals>,
    deadline: Option<Instant>,
) -> Result<End, Trouble> {
    while targets.iter().any(Target::is_waiting) {
        session.display.doing(|| in_a_line(targets));
        let end = pause(signals, deadline);
        // The last look is for what is said of them.
        targets::look(targets, session)?;
        if let Some(end) = end.filter(|_| targets.iter().any(Target::is_waiting)) {
            return Ok(end);
        }
    }
    Ok(End::Drained)
}

/// Until the next look, or until waiting has to end.
fn pause(signals: Option<&Signals>, deadline: Option<Instant>) -> Option<End> {
    let next_look = Instant::now() + LOOK_AGAIN;
    while Instant::now() < next_look {
        if let Some(signal) = signals.and_then(Signals::heard) {
            return Some(End::Signal(signal));
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Some(End::Late);
        }
        thread::sleep(BLINK);
    }
    None
}

/// What goes on, for the line on the terminal.
fn in_a_line(targets: &[Target]) -> String {
    let mut total = InUse::default();
    targets.iter().for_each(|target| total += target.in_use);
    let waiting = targets.iter().filter(|target| target.is_waiting());
    match waiting.clone().count() {
        1 => waiting.map(|target| format!("draining {target}: {total}")).collect(),
        several => format!("draining {several} destinations: {total}"),
    }
}

/// Removes what is drained; with `force`, what is not, too.
fn delete(targets: &mut [Target], memory: &Memory, session: &mut Session<'_, '_>, force: bool) -> Result<(), Trouble> {
    let _turn = session.take_turn(Some(PATIENCE))?;
    let goes = |target: &&mut Target| target.outcome == Some(Outcome::Drained) || force && target.outcome.is_none();
    let mut commands = Vec::new();
    for target in targets.iter_mut().filter(goes) {
        let (service, server) = (target.drain.service(), target.drain.address());
        commands.push(Command::DeleteDestination(service, server));
        // A note of what is not there counts for nothing.
        let _ = memory.forget(service, server);
        target.is_deleted = true;
    }
    execute(&commands, session, GONE)
}
