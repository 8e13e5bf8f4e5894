//! One check: read the source, bring the director to it, say what is different.

use std::mem::replace;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use ipvs::desired::Source;
use ipvs::monitor::{Action, Event, EventKind, Outcome};
use ipvs_cli::director::Director;
use ipvs_cli::env::Environment;
use ipvs_cli::keep::{self, Fault, Hold, Keeper, Kept, Limits, Names, Standing, State, Unread};
use ipvs_cli::render;
use ring::digest::{SHA256, digest};

use crate::etcd::Status;
use crate::figures::Figures;
use crate::messages::{Level, Messages, Topic};
use crate::pace::Pace;
use crate::service::Service;
use crate::source::{Followed, OldState, SourceFault};
use crate::who::Suspects;

/// How often a hold is looked at, as a person may end it early.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A program that writes for longer is worth a message.
const LONG: Duration = Duration::from_secs(5);

/// What surrounds a follower: parts of an [`Environment`], which is made for each check.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'s> {
    pub(crate) state_directory: Option<&'s Path>,
    /// `None` with an in-memory kernel.
    pub(crate) proc: Option<&'s Path>,
    pub(crate) names: &'s dyn Names,
}

impl Surroundings<'_> {
    /// Calls this with a keeper. Returns what it has remarked on, too.
    pub(crate) fn with<T>(&self, director: &mut Director, act: impl FnOnce(&mut Keeper<'_, '_>) -> T) -> (T, String) {
        let (mut stdin, mut stdout, mut stderr) = (&b""[..], Vec::new(), Vec::new());
        let environment = Environment::new(&mut stdin, &mut stdout, &mut stderr);
        let Surroundings { state_directory, proc, .. } = *self;
        let mut environment = Environment { state_directory, proc, program: PROGRAM, ..environment };
        let done = act(&mut Keeper { environment: &mut environment, director });
        (done, notes(&stderr))
    }
}

const PROGRAM: &str = "ipvs-follow";

/// The lines without the program's name, which each message gets.
fn notes(stderr: &[u8]) -> String {
    let prefix = format!("{PROGRAM}: ");
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().map(|line| line.strip_prefix(&prefix).unwrap_or(line)).collect();
    lines.join("\n")
}

/// Keeps a director as a source says.
pub(crate) struct Follower<'s> {
    pub(crate) source: Followed,
    pub(crate) director: Director,
    pub(crate) pace: Pace,
    pub(crate) messages: Messages,
    pub(crate) figures: Figures,
    pub(crate) service: Service,
    limits: Limits,
    surroundings: Surroundings<'s>,
    /// What the director was brought to last.
    good: Option<State>,
    /// What was read since, and could not be made yet.
    next: Option<State>,
    /// What was read since, and is no state.
    unread: Option<(Vec<Source>, Unread)>,
    standing: Option<Standing>,
    suspects: Suspects,
    /// Since when the source has been unfinished.
    unfinished: Option<Instant>,
    /// What the director was or is to be made of, if that is a copy, as the source can't be read.
    copy: Option<OldCopy>,
}

/// What a director is made of if its source can't be read.
struct OldCopy {
    /// In words, with its age.
    name: String,
    confirmed: SystemTime,
}

impl<'s> Follower<'s> {
    pub(crate) fn new(
        source: Followed,
        director: Director,
        limits: Limits,
        surroundings: Surroundings<'s>,
        pace: Pace,
        messages: Messages,
    ) -> Self {
        Follower {
            source,
            director,
            pace,
            messages,
            figures: Figures::default(),
            service: Service::new(),
            limits,
            surroundings,
            good: None,
            next: None,
            unread: None,
            standing: None,
            suspects: Suspects::default(),
            unfinished: None,
            copy: None,
        }
    }

    /// Takes notice of what another program did.
    pub(crate) fn saw(&mut self, event: &Event, now: Instant) {
        let Some(standing) = &self.standing else { return };
        let disturbs = match &event.kind {
            EventKind::Request { outcome: Outcome::Refused(_), .. }
            | EventKind::Request { action: Action::Read { .. }, .. } => false,
            EventKind::Request { sender, .. }
                if sender.process.as_ref().is_some_and(|process| process.pid == std::process::id()) =>
            {
                false
            }
            EventKind::Request { sender, action: Action::Change(command), .. } => {
                let disturbs = standing.is_disturbed_by(command);
                if disturbs {
                    self.suspects.add(sender, command);
                }
                disturbs
            }
            // It may have been anything.
            _ => true,
        };
        if disturbs {
            self.figures.counts().is_as_desired = false;
            self.pace.disturbed(now);
        }
    }

    /// Makes what is due. `is_over` ends a wait for another program, or for names.
    pub(crate) fn check(&mut self, now: Instant, is_over: &dyn Fn() -> bool) {
        self.make(now, is_over);
        self.report();
    }

    /// Lets the fleet know how this director is.
    fn report(&mut self) {
        let Followed::Etcd(etcd) = &mut self.source else { return };
        let counts = self.figures.counts().clone();
        let text = self.good.as_ref().and_then(|good| good.sources().first());
        let reason = self.messages.worst().and_then(|text| text.lines().next());
        etcd.report(Status {
            generation: text.and_then(|text| etcd.generation(text.name())),
            holds: self.standing.as_ref().map(hash).unwrap_or_default(),
            is_as_desired: counts.is_as_desired,
            reason: reason.unwrap_or_default().to_owned(),
            drift: counts.drift,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            machine: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        });
    }

    fn make(&mut self, now: Instant, is_over: &dyn Fn() -> bool) {
        match self.hold() {
            Ok(None) => {}
            Ok(Some(hold)) => return self.held(&hold, now),
            Err(reason) => {
                self.messages.holds(Topic::Director, Level::Warning, &reason);
                return self.pace.blocked(now);
            }
        }
        if self.messages.over(Topic::Hold) {
            self.messages.say(Level::Notice, "the hold is over");
            self.figures.counts().held = Duration::ZERO;
        }
        self.read(now, is_over);
        if self.next.is_some() && self.pace.is_next_due(now) || self.pace.is_director_due(now) {
            self.bring(now, is_over);
        }
        let status = self.messages.worst().unwrap_or("the director is as the source says").to_owned();
        self.service.status(&status);
    }

    fn hold(&mut self) -> Result<Option<Hold>, String> {
        let hold = self.surroundings.with(&mut self.director, |keeper| keep::held(keeper.environment));
        hold.0
    }

    fn held(&mut self, hold: &Hold, now: Instant) {
        let reason = if hold.reason.is_empty() { String::new() } else { format!(": {}", hold.reason) };
        let text = format!("held by `ipvs-follow hold`{reason}; `ipvs-follow release` ends it");
        self.messages.holds(Topic::Hold, Level::Notice, &text);
        self.figures.counts().held = hold.left;
        self.service.status(&text);
        // Those who wait for the director to be ready would wait for the person.
        self.service.ready();
        self.pace.everything_at(now + hold.left.min(LOOK_AGAIN));
    }

    /// Reads the source. What is no state is not used.
    fn read(&mut self, now: Instant, is_over: &dyn Fn() -> bool) {
        let looks_up = self.pace.are_names_due(now);
        // From now on, so that what changes while it is read is noticed.
        match self.source.watch() {
            Ok(()) => _ = self.messages.over(Topic::Watch),
            Err(reason) => _ = self.messages.holds(Topic::Watch, Level::Warning, &reason),
        }
        self.source.has_changed();
        let taken = self.source.read(now).and_then(|texts| self.take(texts, now, looks_up, is_over));
        self.pace.put_names_off(now);
        let fault = match taken {
            Ok(()) => {
                (self.unfinished, _) = (None, self.pace.source_read());
                Ok(())
            }
            Err(SourceFault::Wrong(reason)) => {
                (self.unfinished, _) = (None, self.pace.source_read());
                Err(reason)
            }
            Err(SourceFault::Unfinished { reason, again }) => {
                self.pace.source_at(again);
                let since = *self.unfinished.get_or_insert(now);
                if now < since + LONG {
                    return;
                }
                Err(reason)
            }
        };
        let was_valid = replace(&mut self.figures.counts().source_is_valid, fault.is_ok());
        match fault {
            Ok(()) => {
                if !was_valid {
                    // If it was looked at meanwhile, it was not as desired.
                    self.pace.director_now(now);
                }
                if self.copy.take().is_some() {
                    self.messages.over(Topic::Copy);
                    self.figures.counts().copy = None;
                    // As far as it was refused for being a copy.
                    self.pace.next_at(None);
                }
            }
            Err(reason) => {
                self.take_copy();
                self.refuse(&reason);
            }
        }
    }

    /// If there has been nothing to go by since the start, the director is to hold what it held
    /// last.
    fn take_copy(&mut self) {
        let Followed::Etcd(etcd) = &self.source else { return };
        let Some(old) = etcd.copy().filter(|_| self.good.is_none() && self.next.is_none()) else { return };
        let OldState { source, name, confirmed } = old;
        match self.source.understand(&[source], None, self.surroundings.names, &|| true) {
            Ok(state) => {
                (self.next, self.copy) = (Some(state), Some(OldCopy { name, confirmed }));
                self.pace.next_at(None);
            }
            Err(unread) => {
                let text = format!("{name} is not used: {}", unread.reason);
                self.messages.holds(Topic::Copy, Level::Warning, &text);
            }
        }
    }

    /// Finds out what the texts say, if that is not known. What their names stand for is looked up
    /// when they are new, and when that is due: a repair needs no name.
    fn take(
        &mut self,
        texts: Vec<Source>,
        now: Instant,
        looks_up: bool,
        is_over: &dyn Fn() -> bool,
    ) -> Result<(), SourceFault> {
        if let Some((_, unread)) = self.unread.as_ref().filter(|(of, _)| are_same(of, &texts))
            && !(unread.is_for_names && looks_up)
        {
            return Err(SourceFault::Wrong(unread.reason.clone()));
        }
        self.unread = None;
        let known = [&self.next, &self.good].into_iter().flatten().find(|state| state.is_of(&texts));
        let state = match known.filter(|known| !(looks_up && known.has_names())) {
            Some(_) => None,
            None => {
                let before = known.or(self.good.as_ref());
                match self.source.understand(&texts, before, self.surroundings.names, is_over) {
                    Ok(state) => Some(state),
                    Err(unread) => return Err(self.unread(texts, unread, now)),
                }
            }
        };
        if state.is_some() || looks_up {
            let has_names = state.as_ref().or(known).is_some_and(State::has_names);
            self.pace.names_found(now, has_names);
        }
        self.figures.counts().source = Some(SystemTime::now());
        let is_as = |other: &Option<State>| {
            let other = other.as_ref().filter(|other| other.is_of(&texts));
            other.is_some_and(|other| state.as_ref().is_none_or(|state| state.renamed_since(other).is_empty()))
        };
        if is_as(&self.next) {
            return Ok(());
        }
        if is_as(&self.good) {
            if self.next.take().is_some() {
                // If that was refused, the director was not as desired.
                self.pace.director_now(now);
            }
            self.pace.next_at(None);
            if self.messages.over(Topic::Source) {
                self.messages.say(Level::Notice, "the source is as it was before");
            }
            return Ok(());
        }
        let deletes = |good: &State| state.as_ref().is_some_and(|state| state.lacks_services_of(good));
        let still_at = self.source.still_at(now).filter(|_| self.good.as_ref().is_some_and(deletes));
        self.pace.next_at(still_at);
        self.next = state;
        Ok(())
    }

    fn unread(&mut self, texts: Vec<Source>, unread: Unread, now: Instant) -> SourceFault {
        self.next = None;
        self.pace.next_at(None);
        if unread.is_for_names {
            self.pace.names_missing(now);
        }
        let reason = unread.reason.clone();
        if let Some(again) = self.source.still_at(now) {
            return SourceFault::Unfinished { reason, again };
        }
        self.unread = Some((texts, unread));
        SourceFault::Wrong(reason)
    }

    /// Says why the source is not made, once.
    fn refuse(&mut self, reason: &str) {
        let stays = match (&self.good, reason.contains("nothing was changed")) {
            _ if self.copy.is_some() => "",
            (Some(_), _) => "\nthe last good state stays",
            (None, false) => "\nnothing is changed",
            (None, true) => "",
        };
        if self.messages.holds(Topic::Source, Level::Warning, &format!("{reason}{stays}")) {
            self.figures.counts().refusals += 1;
        }
    }

    /// Brings the director to the source, or else to the last good state.
    fn bring(&mut self, now: Instant, is_over: &dyn Fn() -> bool) {
        let is_due = self.pace.is_director_due(now);
        if self.pace.is_next_due(now)
            && let Some(next) = self.next.take()
        {
            match self.keep(&next, is_over) {
                Ok(kept) => return self.made(next, kept, now),
                Err(Fault::Source(reason) | Fault::Refused(reason)) => {
                    self.next = Some(next);
                    match &self.copy {
                        Some(copy) => {
                            let text = format!("{} is not made: {reason}", copy.name);
                            self.messages.holds(Topic::Copy, Level::Warning, &text);
                        }
                        None => self.refuse(&reason),
                    }
                    self.pace.refused(now);
                    self.figures.counts().is_as_desired = false;
                }
                Err(fault) => {
                    self.next = Some(next);
                    return self.fault(fault, now);
                }
            }
        }
        if !is_due {
            return;
        }
        let Some(good) = self.good.take() else { return self.pace.failed(now) };
        let kept = self.keep(&good, is_over);
        self.good = Some(good);
        match kept {
            Ok(kept) => {
                let repaired = kept.is_changed;
                if repaired {
                    let text = format!("put back: {}, after {}", kept.summary, self.suspects.describe());
                    self.messages.say(Level::Warning, &text);
                    self.figures.counts().drift += 1;
                }
                self.kept(kept, now, repaired);
            }
            Err(fault) => self.fault(fault, now),
        }
    }

    /// The director is as the source says now.
    fn made(&mut self, next: State, kept: Kept, now: Instant) {
        let name = self.source.name();
        if let Some(copy) = &self.copy {
            let text = format!("made of {}: {}", copy.name, kept.summary);
            self.figures.counts().copy = Some(copy.confirmed);
            self.good = Some(next);
            self.pace.next_at(None);
            self.kept(kept, now, false);
            self.messages.holds(Topic::Copy, Level::Warning, &text);
            return;
        }
        let text = match &self.good {
            None => format!("following {name}: {}", kept.summary),
            Some(good) => match &next.renamed_since(good)[..] {
                renamed @ [_, ..] if next.is_of(good.sources()) => {
                    format!("{name}: {}: {}", renamed.join(", "), kept.summary)
                }
                _ => format!("{name} has changed: {}", kept.summary),
            },
        };
        self.good = Some(next);
        self.pace.next_at(None);
        self.messages.over(Topic::Source);
        // First the figures: who reads the message may ask for them.
        self.kept(kept, now, false);
        self.messages.say(Level::Notice, &text);
    }

    fn keep(&mut self, state: &State, is_over: &dyn Fn() -> bool) -> Result<Kept, Fault> {
        let Follower { surroundings, director, messages, .. } = self;
        let mut limits = self.limits.clone();
        if self.copy.is_some() {
            // What is missing in it may be newer.
            limits.max_deletions.get_or_insert(0);
        }
        let (kept, notes) = surroundings.with(director, |keeper| keeper.keep(state, &limits, is_over));
        match notes.is_empty() {
            true => _ = messages.over(Topic::Notes),
            false => _ = messages.holds(Topic::Notes, Level::Notice, &notes),
        }
        kept
    }

    /// The director is as the source says, or as it last said if `next` is refused.
    fn kept(&mut self, kept: Kept, now: Instant, repaired: bool) {
        self.standing = Some(kept.standing);
        if self.messages.over(Topic::Director) {
            self.messages.say(Level::Notice, "the director can be changed again");
        }
        self.pace.succeeded(now, repaired);
        match self.pace.rivalry() {
            Some((count, pause)) if repaired => {
                let text = format!(
                    "other programs have undone this {count} times in a row, lastly {}; the next repair waits {} s",
                    self.suspects.describe(),
                    pause.as_secs()
                );
                self.messages.holds(Topic::Rival, Level::Warning, &text);
            }
            Some(_) => {}
            None => _ = self.messages.over(Topic::Rival),
        }
        self.suspects.clear();
        self.service.ready();
        let mut counts = self.figures.counts();
        counts.is_as_desired = counts.source_is_valid && self.next.is_none();
        if counts.is_as_desired {
            counts.check = Some(SystemTime::now());
        }
        if kept.is_changed {
            counts.changes += 1;
            counts.change = Some(SystemTime::now());
        }
        let is_as_desired = counts.is_as_desired;
        drop(counts);
        if let (true, Followed::Etcd(etcd), Some(good)) = (is_as_desired, &mut self.source, &self.good) {
            match good.sources().first().map_or(Ok(()), |source| etcd.keep_copy(source)) {
                Ok(()) => _ = self.messages.over(Topic::Copy),
                Err(reason) => {
                    let text = format!("the copy can't be kept: {reason}");
                    self.messages.holds(Topic::Copy, Level::Warning, &text);
                }
            }
        }
    }

    fn fault(&mut self, fault: Fault, now: Instant) {
        self.figures.counts().is_as_desired = false;
        if let Fault::Held(hold) = fault {
            return self.held(&hold, now);
        }
        self.messages.holds(Topic::Director, Level::Warning, &fault.reason());
        self.pace.failed(now);
    }
}

/// Of the table as rules. It does not depend on the order in which they were added.
fn hash(standing: &Standing) -> String {
    let mut rules = Vec::new();
    // Memory takes all.
    let _ = render::save::table(&mut rules, standing.table(), None);
    let mut lines: Vec<&[u8]> = rules.split(|byte| *byte == b'\n').collect();
    lines.sort_unstable();
    let digest = digest(&SHA256, &lines.join(&b'\n'));
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn are_same(one: &[Source], other: &[Source]) -> bool {
    let parts = |source: &Source| (source.name().to_owned(), source.text().to_vec());
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| parts(one) == parts(other))
}

#[cfg(test)]
mod tests;
