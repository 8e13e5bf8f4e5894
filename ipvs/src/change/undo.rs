//! Undoing what the kernel acknowledged, newest first, where no other writer has changed it since.
//!
//! There are two passes over the services. The first brings back what was deleted or edited. Then
//! the hook undoes its own work, and the second pass deletes what was added. Each step asks for the
//! service and decides from the reply, so a step whose reply was lost is simply made again.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::ops::ControlFlow;

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use super::engine::{Before, Engine, Journal, ask, is_made};
use super::outcome::{ChangeError, ChangeReport, DirectorState, Kept, KeptReason, Phase, Progress, StopReason};
use crate::change::plan::{is_as_wanted, is_usable};
use crate::command::Command;
use crate::daemon::DaemonRole;
use crate::destination::Destination;
use crate::error::Error;
use crate::refusal::Refusal;
use crate::service::{Service, ServiceKey};
use crate::session::{Pace, Paced, Transport};
use crate::table::TableEntry;
use crate::timeouts::Timeouts;

/// How often a step is made again when its reply was lost.
const TRIES: usize = 3;

/// Which of the two passes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// What was deleted or edited comes back.
    Restore,
    /// What was added goes.
    Remove,
}

/// What a service is, or is to be.
#[derive(Clone, Debug, Default)]
struct Config {
    service: Option<Service>,
    destinations: IndexMap<SocketAddr, Destination, RandomState>,
}

impl Config {
    async fn of<P: Pace>(entry: Option<&TableEntry>, paced: &mut Paced<'_, P>) -> Self {
        let Some(entry) = entry else { return Config::default() };
        let mut destinations = IndexMap::with_capacity_and_hasher(entry.work(), RandomState::default());
        for state in entry.destinations() {
            paced.step(1).await;
            destinations.insert(state.destination.address, state.destination);
        }
        Config { service: Some(*entry.service()), destinations }
    }

    fn has_usable(&self) -> bool {
        self.destinations.values().any(is_usable)
    }
}

/// What a service is to be, and what of this change stays then.
struct Goal {
    config: Config,
    kept: Vec<Kept>,
}

/// What an undo has done so far.
#[derive(Default)]
struct Undo {
    /// No command is sent again once it was acknowledged, whatever another writer does after it.
    undone: IndexSet<Command, RandomState>,
    kept: Vec<Kept>,
    /// Why the hook could not undo its own work.
    hook: Option<String>,
    /// What the kernel refused to take back, which is not tried again.
    refused: HashMap<Command, Refusal, RandomState>,
}

impl<C, H, P> Engine<'_, C, H, P>
where
    C: Transport,
    H: FnMut(Phase) -> Result<(), String>,
    P: FnMut(Progress) -> ControlFlow<()>,
{
    pub(super) async fn undo(mut self, reason: StopReason) -> ChangeError {
        let is_untouched = self.journal.commands.is_empty() && self.journal.unacknowledged.is_empty();
        // A set that grows is copied in one step.
        let undone = IndexSet::with_capacity_and_hasher(self.journal.commands.len(), RandomState::default());
        let mut undo = Undo { undone, ..Undo::default() };
        let undone = self.take_back(&mut undo).await;
        let is_whole = undo.kept.is_empty() && undo.hook.is_none();
        let state = match undone {
            _ if is_untouched && is_whole => DirectorState::Untouched,
            Err(_) => DirectorState::Unknown,
            Ok(()) if is_whole => DirectorState::Undone,
            Ok(()) => DirectorState::Partial,
        };
        let mut undone_commands = Vec::with_capacity(undo.undone.len());
        let mut paced = self.session.paced();
        for command in undo.undone {
            paced.step(1).await;
            undone_commands.push(command);
        }
        let report = ChangeReport {
            applied: self.journal.commands,
            undone: undone_commands,
            kept: undo.kept,
            hook: undo.hook,
            remaining: self.remaining,
            attempts: self.attempts,
        };
        ChangeError { reason, state, report: Box::new(report) }
    }

    async fn take_back(&mut self, undo: &mut Undo) -> Result<(), Error> {
        let mut progress = Progress { phase: Phase::Undoing, done: 0, total: self.journal.commands.len() };
        let (mut services, director) = self.by_service().await;
        let taken_back = self.take_back_all(undo, &services, &director, &mut progress).await;
        let mut paced = self.session.paced();
        while services.pop().is_some() {
            paced.step(1).await;
        }
        taken_back
    }

    async fn take_back_all(
        &mut self,
        undo: &mut Undo,
        services: &IndexMap<ServiceKey, Vec<usize>>,
        director: &[usize],
        progress: &mut Progress,
    ) -> Result<(), Error> {
        self.undo_director(undo, director, Pass::Remove).await?;
        self.pass(undo, services, Pass::Restore, progress).await?;
        let hook = if self.is_hook_done { (self.hook)(Phase::Undoing) } else { Ok(()) };
        match hook {
            Ok(()) => self.pass(undo, services, Pass::Remove, progress).await?,
            Err(reason) => {
                self.keep_added(undo, services, &reason).await?;
                undo.hook = Some(reason);
            }
        }
        self.undo_director(undo, director, Pass::Restore).await?;
        self.keep_unacknowledged(undo).await
    }

    /// The places in the journal of the commands about each service, and of those about none. The
    /// service that was touched last comes first, and of each service the newest command.
    async fn by_service(&mut self) -> (IndexMap<ServiceKey, Vec<usize>>, Vec<usize>) {
        let mut services: IndexMap<ServiceKey, Vec<usize>> = IndexMap::new();
        let mut director = Vec::new();
        let mut paced = self.session.paced();
        for (at, command) in self.journal.commands.iter().enumerate().rev() {
            paced.step(1).await;
            match command.service_key() {
                Some(key) => services.entry(key).or_default().push(at),
                None => director.push(at),
            }
        }
        (services, director)
    }

    async fn pass(
        &mut self,
        undo: &mut Undo,
        services: &IndexMap<ServiceKey, Vec<usize>>,
        pass: Pass,
        progress: &mut Progress,
    ) -> Result<(), Error> {
        for (key, places) in services {
            let is_of_pass = |at: &&usize| match self.journal.commands[**at] {
                Command::AddService(_) | Command::AddDestination(..) => pass == Pass::Remove,
                _ => pass == Pass::Restore,
            };
            let count = places.iter().filter(is_of_pass).count();
            // An edit may be to weight 0, and taking that back is for the second pass.
            if count > 0 || pass == Pass::Remove {
                // An undo goes on even if it is interrupted.
                let _ = (self.on_progress)(*progress);
                self.undo_service(undo, key, places, pass).await?;
                progress.done += count;
            }
        }
        Ok(())
    }

    /// Asks and sends, until there is nothing more to take back.
    async fn undo_service(
        &mut self,
        undo: &mut Undo,
        key: &ServiceKey,
        places: &[usize],
        pass: Pass,
    ) -> Result<(), Error> {
        // Whether a service that is there again came back by this undo, which then goes on with its
        // destinations.
        let (mut is_restoring, mut tries) = (false, 0);
        loop {
            let asked = ask(self.session, key).await;
            let entry = match asked {
                Ok(entry) => entry,
                Err(error) if tries + 1 >= TRIES => return Err(error),
                Err(_) => {
                    tries += 1;
                    continue;
                }
            };
            let mut paced = self.session.paced();
            let now = Config::of(entry.as_ref(), &mut paced).await;
            let mut goal = self.journal.goal(places, &now, is_restoring, &mut paced).await;
            if pass == Pass::Remove {
                let start = self.change.before.service(key);
                self.journal.keep_usable(start, places, entry.as_ref(), &now, &mut goal, &mut paced).await;
            }
            let (mut commands, mut refused) = (Vec::new(), Vec::new());
            for command in difference(key, &now, &goal.config, pass, &mut paced).await {
                paced.step(1).await;
                if undo.refused.contains_key(&command) {
                    refused.push(command);
                } else if !undo.undone.contains(&command) {
                    commands.push(command);
                }
            }
            let Some(first) = commands.first() else {
                refused.iter().for_each(|command| undo.keep_refused(command));
                // What else is not as it was made is looked at in the second pass.
                goal.kept.retain(|kept| pass == Pass::Remove || matches!(kept.command, Command::DeleteService(_)));
                undo.kept.append(&mut goal.kept);
                return Ok(());
            };
            let sent = self.send_back(undo, &commands, now.destinations.len()).await;
            if matches!(first, Command::AddService(_)) {
                is_restoring = sent.is_err() || undo.undone.contains(first);
            }
            match sent {
                Ok(()) => {}
                Err(error) if tries + 1 >= TRIES => return Err(error),
                Err(_) => tries += 1,
            }
        }
    }

    /// Sends this number of the commands, rounded up to whole datagrams.
    async fn send_back(&mut self, undo: &mut Undo, mut commands: &[Command], count: usize) -> Result<(), Error> {
        undo.undone.reserve(commands.len());
        let least_left = commands.len().saturating_sub(count.max(1));
        while commands.len() > least_left {
            self.session.clear();
            let full = commands.iter().position(|command| self.session.enqueue(command));
            let (sent, rest) = commands.split_at(full.map_or(commands.len(), |last| last + 1));
            for (command, outcome) in sent.iter().zip(self.session.flush().await?) {
                match outcome {
                    Ok(()) => drop(undo.undone.insert(*command)),
                    // It is not tried again, and shown only if it should still be done.
                    Err(refusal) => drop(undo.refused.insert(*command, refusal)),
                }
            }
            commands = rest;
        }
        Ok(())
    }

    /// The hook could not undo its own work: what was added or became usable stays.
    async fn keep_added(
        &mut self,
        undo: &mut Undo,
        services: &IndexMap<ServiceKey, Vec<usize>>,
        reason: &str,
    ) -> Result<(), Error> {
        for (key, places) in services {
            let entry = ask(self.session, key).await?;
            let journal = &self.journal;
            let mut paced = self.session.paced();
            for &at in places {
                paced.step(1).await;
                let command = journal.commands[at];
                let is_added = match &command {
                    Command::AddService(_) | Command::AddDestination(..) => true,
                    Command::EditDestination(_, edited) => {
                        journal.former(at, edited).is_some_and(|former| !is_usable(&former))
                    }
                    _ => false,
                };
                if is_added && is_made(&command, entry.as_ref()) {
                    undo.kept.push(Kept { command, reason: KeptReason::Hook(reason.to_owned()) });
                }
            }
        }
        Ok(())
    }

    /// What may have been carried out without an acknowledgement stays, since it may be another
    /// writer's.
    async fn keep_unacknowledged(&mut self, undo: &mut Undo) -> Result<(), Error> {
        let mut asked: HashMap<ServiceKey, Option<TableEntry>> = HashMap::new();
        for (command, _) in std::mem::take(&mut self.journal.unacknowledged) {
            let may_be_done = match command.service_key() {
                None => true,
                Some(key) => {
                    let entry = match asked.entry(key) {
                        Entry::Occupied(asked) => asked.into_mut(),
                        Entry::Vacant(place) => place.insert(ask(self.session, &key).await?),
                    };
                    is_made(&command, entry.as_ref())
                }
            };
            if may_be_done {
                undo.kept.push(Kept { command, reason: KeptReason::Unacknowledged });
            }
        }
        Ok(())
    }

    /// Daemons and timeouts, again if a reply was lost.
    async fn undo_director(&mut self, undo: &mut Undo, director: &[usize], pass: Pass) -> Result<(), Error> {
        let kept = undo.kept.len();
        for _ in 1..TRIES {
            if self.try_undo_director(undo, director, pass).await.is_ok() {
                return Ok(());
            }
            // The next one finds it again.
            undo.kept.truncate(kept);
        }
        self.try_undo_director(undo, director, pass).await
    }

    async fn try_undo_director(&mut self, undo: &mut Undo, director: &[usize], pass: Pass) -> Result<(), Error> {
        self.undo_daemons(undo, director, pass).await?;
        if pass == Pass::Remove { self.undo_timeouts(undo, director).await } else { Ok(()) }
    }

    /// Daemons that were started stop before anything else, as they exclude destinations of both
    /// families; those that were stopped start when all else is as before.
    async fn undo_daemons(&mut self, undo: &mut Undo, director: &[usize], pass: Pass) -> Result<(), Error> {
        for role in [DaemonRole::Master, DaemonRole::Backup] {
            let records = director.iter().map(|at| (&self.journal.commands[*at], &self.journal.before[*at]));
            let records: Vec<_> = records
                .filter_map(|(command, before)| match (command, before) {
                    (Command::StartDaemon(daemon), _) if daemon.role == role => Some((*command, None)),
                    (Command::StopDaemon(stopped), Before::Director(before)) if *stopped == role => {
                        Some((*command, before.1.iter().find(|daemon| daemon.role == role).copied()))
                    }
                    _ => None,
                })
                .collect();
            if records.is_empty() {
                continue;
            }
            let running = self.session.daemons().await?.into_iter().find(|daemon| daemon.role == role);
            let mut goal = running;
            for (command, before) in records {
                match command {
                    Command::StartDaemon(started) if goal.is_some_and(|running| is_as_wanted(&running, &started)) => {
                        goal = None;
                    }
                    Command::StartDaemon(_) if goal.is_some() && pass == Pass::Restore => {
                        undo.kept.push(Kept { command, reason: KeptReason::Changed });
                    }
                    Command::StopDaemon(_) if goal.is_none() => goal = before,
                    _ => {}
                }
            }
            let command = match (pass, running, goal) {
                (Pass::Remove, Some(running), goal) if goal != Some(running) => Command::StopDaemon(role),
                (Pass::Restore, None, Some(former)) => Command::StartDaemon(former),
                _ => continue,
            };
            self.send_back(undo, &[command], 1).await?;
            undo.keep_refused(&command);
        }
        Ok(())
    }

    async fn undo_timeouts(&mut self, undo: &mut Undo, director: &[usize]) -> Result<(), Error> {
        let set = |(command, before): (&Command, &Before)| match (command, before) {
            (Command::SetTimeouts(set), Before::Director(before)) => Some((*set, before.0)),
            _ => None,
        };
        let records = director.iter().map(|at| (&self.journal.commands[*at], &self.journal.before[*at]));
        let records: Vec<_> = records.filter_map(set).collect();
        if records.is_empty() {
            return Ok(());
        }
        let now = self.session.timeouts().await?;
        let mut goal = now;
        for (set, before) in records {
            for (goal, set, before) in [
                (&mut goal.tcp, set.tcp, before.tcp),
                (&mut goal.tcp_fin, set.tcp_fin, before.tcp_fin),
                (&mut goal.udp, set.udp, before.udp),
            ] {
                if set.is_some() && *goal == set {
                    *goal = before;
                }
            }
        }
        let back = crate::change::plan::timeouts(now, goal).unwrap_or_default();
        if back != Timeouts::default() {
            let command = Command::SetTimeouts(back);
            self.send_back(undo, &[command], 1).await?;
            undo.keep_refused(&command);
        }
        Ok(())
    }
}

impl Journal {
    /// Leaves a service its usable destinations if the undo would take the last one away: those
    /// that it had at the start did not come back, whatever the reason.
    async fn keep_usable<P: Pace>(
        &self,
        start: Option<&TableEntry>,
        places: &[usize],
        entry: Option<&TableEntry>,
        now: &Config,
        Goal { config: goal, kept }: &mut Goal,
        paced: &mut Paced<'_, P>,
    ) {
        let is_left = |(at, wanted): (&SocketAddr, &Destination)| {
            is_usable(wanted) && now.destinations.get(at).is_some_and(is_usable)
        };
        let Some(service) = goal.service.filter(|_| now.has_usable() && !goal.destinations.iter().any(is_left)) else {
            return;
        };
        // Another writer may have made it since the start.
        let takes_usable = |command: &Command, before: &Before| {
            let (Command::EditDestination(_, Destination { address: at, .. }) | Command::DeleteDestination(_, at)) =
                command
            else {
                return false;
            };
            command.service_key() == Some(service.key()) && before.destination(at).is_some_and(|it| is_usable(&it))
        };
        let had_usable = Config::of(start, paced).await.has_usable()
            || places.iter().any(|at| takes_usable(&self.commands[*at], &self.before[*at]))
            || self.unacknowledged.iter().any(|(command, before)| takes_usable(command, before));
        if !had_usable {
            return;
        }
        let usable = now.destinations.iter().filter(|(_, present)| is_usable(present));
        goal.destinations.extend(usable.map(|(at, present)| (*at, *present)));
        let makes_usable = |command: &Command| match command {
            Command::AddDestination(_, made) | Command::EditDestination(_, made) => is_usable(made),
            _ => false,
        };
        let made = places.iter().map(|at| self.commands[*at]);
        let made = made.filter(|command| makes_usable(command) && is_made(command, entry));
        kept.extend(made.map(|command| Kept { command, reason: KeptReason::LastUsable }));
    }

    /// What the service is to be. For each command, newest first: the value before it, if the value
    /// now is the one that the command made.
    async fn goal<P: Pace>(
        &self,
        places: &[usize],
        now: &Config,
        mut is_restoring: bool,
        paced: &mut Paced<'_, P>,
    ) -> Goal {
        let Config { mut service, mut destinations } = now.clone();
        let mut kept = Vec::new();
        for &at in places {
            paced.step(1).await;
            let command = self.commands[at];
            let before = match &self.before[at] {
                Before::Entry(entry) => Some(entry),
                _ => None,
            };
            match command {
                Command::AddService(added) if service == Some(added) && destinations.is_empty() => service = None,
                Command::AddService(added) if service == Some(added) => {
                    kept.push(Kept { command, reason: KeptReason::InUse });
                }
                Command::AddService(_) if service.is_some() => kept.push(Kept { command, reason: KeptReason::Changed }),
                Command::EditService(edited) if service == Some(edited) => {
                    service = before.map(|entry| *entry.service())
                }
                Command::EditService(edited) => {
                    let former = before.map(TableEntry::service);
                    if service.zip(former).is_some_and(|(present, former)| present.keeps_edit(former, &edited)) {
                        kept.push(Kept { command, reason: KeptReason::Changed });
                    }
                }
                Command::DeleteService(_) if service.is_none() => {
                    let former = Config::of(before, paced).await;
                    (service, destinations) = (former.service, former.destinations);
                }
                Command::DeleteService(_) if is_restoring && service.as_ref() == before.map(TableEntry::service) => {
                    destinations.reserve(before.map_or(0, TableEntry::work));
                    for state in before.into_iter().flat_map(TableEntry::destinations) {
                        paced.step(1).await;
                        destinations.entry(state.destination.address).or_insert(state.destination);
                    }
                    // What was deleted before that was another one.
                    is_restoring = false;
                }
                // It is another writer's, with all that it has.
                Command::DeleteService(_) => {
                    if is_restoring {
                        // It came back alone, and its destinations do not follow.
                        kept.push(Kept { command, reason: KeptReason::Changed });
                    }
                    break;
                }
                Command::AddDestination(_, added) => match destinations.get(&added.address) {
                    Some(present) if *present == added => drop(destinations.shift_remove(&added.address)),
                    Some(_) => kept.push(Kept { command, reason: KeptReason::Changed }),
                    None => {}
                },
                Command::EditDestination(_, edited) => {
                    let former = before.and_then(|entry| entry.destination(&edited.address));
                    match (destinations.get_mut(&edited.address), former.map(|state| state.destination)) {
                        (Some(present), Some(former)) if *present == edited => *present = former,
                        (Some(present), Some(former)) if present.keeps_edit(&former, &edited) => {
                            kept.push(Kept { command, reason: KeptReason::Changed });
                        }
                        _ => {}
                    }
                }
                Command::DeleteDestination(_, at) if service.is_some() && !destinations.contains_key(&at) => {
                    let former = before.and_then(|entry| entry.destination(&at));
                    destinations.extend(former.map(|state| (at, state.destination)));
                }
                _ => {}
            }
        }
        Goal { config: Config { service, destinations }, kept }
    }

    /// What a destination was before it was edited by the command at this place.
    fn former(&self, at: usize, edited: &Destination) -> Option<Destination> {
        self.before[at].destination(&edited.address)
    }
}

impl Undo {
    /// If the kernel refused to take something back by this command, what it stands for stays.
    fn keep_refused(&mut self, command: &Command) {
        if let Some(refusal) = self.refused.get(command) {
            self.kept.push(Kept { command: *command, reason: KeptReason::Refused(*refusal) });
        }
    }
}

/// The commands of a pass from what a service is to what it is to be.
async fn difference<P: Pace>(
    key: &ServiceKey,
    now: &Config,
    goal: &Config,
    pass: Pass,
    paced: &mut Paced<'_, P>,
) -> Vec<Command> {
    let mut commands = Vec::new();
    match (&now.service, &goal.service, pass) {
        (Some(_), None, Pass::Remove) => return vec![Command::DeleteService(*key)],
        // Alone: if it is refused, the service is another writer's, and so are its destinations.
        (None, Some(former), Pass::Restore) => return vec![Command::AddService(*former)],
        (Some(present), Some(former), Pass::Restore) if present != former => {
            commands.push(Command::EditService(*former));
        }
        _ => {}
    }
    if now.service.is_none() {
        return commands;
    }
    for (at, wanted) in &goal.destinations {
        paced.step(1).await;
        let command = match now.destinations.get(at) {
            None => Command::AddDestination(*key, *wanted),
            Some(present) if present != wanted => Command::EditDestination(*key, *wanted),
            Some(_) => continue,
        };
        let is_restoring = matches!(command, Command::AddDestination(..)) || is_usable(wanted);
        if is_restoring == (pass == Pass::Restore) {
            commands.push(command);
        }
    }
    if pass == Pass::Remove {
        for at in now.destinations.keys().rev() {
            paced.step(1).await;
            if !goal.destinations.contains_key(at) {
                commands.push(Command::DeleteDestination(*key, *at));
            }
        }
    }
    commands
}
