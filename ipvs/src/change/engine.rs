//! The attempts of a change: what is sent, what was acknowledged, and when it stops.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use super::outcome::{Applied, DeletionsError, Phase, Progress, RefusedCommand, StopReason};
use super::{Change, ChangeError, try_out};
use crate::change::plan::{DeletionLimits, Plan, is_as_wanted};
use crate::command::Command;
use crate::daemon::Daemon;
use crate::destination::Destination;
use crate::errno::Errno;
use crate::error::Error;
use crate::refusal::Refusal;
use crate::service::{Family, ServiceKey};
use crate::session::{Session, Transport};
use crate::table::{DestinationState, Table, TableEntry};
use crate::timeouts::Timeouts;
use crate::wire::Detail;

/// How many attempts may leave as much to do as the best one before them.
const STALLED: usize = 5;

/// How many attempts there are at most.
const MOST: usize = 20;

/// What an entry was in the reading on which the command that changed it was planned.
#[derive(Debug)]
pub(super) enum Before {
    /// Not there, or of no interest.
    Absent,
    /// The service with its destinations, shared with the table that was read.
    Entry(TableEntry),
    /// The entries that are of no service.
    Director(Box<(Timeouts, Vec<Daemon>)>),
}

impl Before {
    fn of(command: &Command, reading: &Table) -> Self {
        match command {
            Command::EditService(_)
            | Command::DeleteService(_)
            | Command::EditDestination(..)
            | Command::DeleteDestination(..) => {
                let entry = command.service_key().and_then(|key| reading.service(&key));
                entry.map_or(Before::Absent, |entry| Before::Entry(entry.clone()))
            }
            Command::SetTimeouts(_) | Command::StopDaemon(_) => {
                Before::Director(Box::new((reading.timeouts(), reading.daemons().to_vec())))
            }
            _ => Before::Absent,
        }
    }
}

/// What the kernel acknowledged, in order, and what it may have carried out without a reply that arrived.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pub(super) commands: Vec<Command>,
    /// For each command.
    pub(super) before: Vec<Before>,
    pub(super) unacknowledged: Vec<(Command, Before)>,
}

/// What was found out about a refusal.
enum Verdict {
    /// Another writer has done it.
    Done,
    /// Another writer has made a difference: read and plan again.
    PlanAgain,
    /// Another attempt would not help.
    Final,
}

/// How far the commands of a plan came.
enum Sent {
    /// All were carried out, or done already.
    All,
    /// Some were not, as another writer was faster.
    Disturbed,
    /// Not all were sent, or not all replies arrived.
    Broken(Error),
}

/// A change while it is made.
pub(super) struct Engine<'e, C, H, P> {
    change: &'e Change,
    pub(super) session: &'e mut Session<C>,
    pub(super) hook: H,
    pub(super) on_progress: P,
    pub(super) journal: Journal,
    already_done: Vec<Command>,
    pub(super) remaining: Vec<Command>,
    pub(super) attempts: usize,
    pub(super) is_hook_done: bool,
    /// Refusals that another writer may have caused: they are final when they come again.
    suspected: HashSet<(Command, Errno)>,
}

impl<'e, C, H, P> Engine<'e, C, H, P>
where
    C: Transport,
    H: FnMut(Phase) -> Result<(), String>,
    P: FnMut(Progress) -> ControlFlow<()>,
{
    pub(super) fn new(change: &'e Change, session: &'e mut Session<C>, hook: H, on_progress: P) -> Self {
        Engine {
            change,
            session,
            hook,
            on_progress,
            journal: Journal::default(),
            already_done: Vec::new(),
            remaining: Vec::new(),
            attempts: 0,
            is_hook_done: false,
            suspected: HashSet::new(),
        }
    }

    pub(super) async fn run(mut self) -> Result<Applied, ChangeError> {
        match self.converge().await {
            Ok(()) => Ok(Applied {
                commands: self.journal.commands,
                already_done: self.already_done,
                unacknowledged: self.journal.unacknowledged.into_iter().map(|(command, _)| command).collect(),
                attempts: self.attempts,
            }),
            Err(reason) => Err(self.undo(reason).await),
        }
    }

    async fn converge(&mut self) -> Result<(), StopReason> {
        let Change { before, desired, planner, plan } = self.change;
        let (mut least, mut stalled) = (plan.commands().len(), 0);
        let mut sent = self.attempt(before, plan, Phase::Applying).await?;
        loop {
            let broken = match sent {
                Sent::All => return Ok(()),
                Sent::Disturbed => None,
                Sent::Broken(error) => Some(error),
            };
            let present = match self.session.table_for(planner, desired).await {
                Ok(present) => present,
                Err(error) => return Err(StopReason::Failed(broken.unwrap_or(error))),
            };
            // What is not as the command makes it was not carried out, or is undone by somebody else.
            self.journal.unacknowledged.retain(|(command, _)| is_carried_out(command, &present));
            let plan = planner.plan_paced(&present, desired, &mut self.session.paced()).await;
            stalled = if plan.commands().len() < least { 0 } else { stalled + 1 };
            least = least.min(plan.commands().len());
            // Nothing may be left to do but the hook.
            let is_others = planner.leaves_others()
                && plan.commands().iter().any(|command| {
                    let entry = command.service_key().and_then(|key| present.service(&key));
                    entry.is_some_and(|entry| self.is_others(entry) || self.takes_from_others(command, entry))
                });
            if is_others || !plan.is_empty() && (stalled >= STALLED || self.attempts >= MOST) {
                self.remaining = plan.commands().to_vec();
                return Err(broken.map_or(StopReason::Contended, StopReason::Failed));
            }
            try_out(&present, &plan, &mut self.session.paced()).await.map_err(StopReason::Rejected)?;
            let attempted = self.attempt(&present, &plan, Phase::Retrying).await;
            self.session.paced().discard(present).await;
            sent = attempted?;
        }
    }

    /// Sends a plan. Its second part goes only when all of the first is done, and the hook has succeeded.
    async fn attempt(&mut self, reading: &Table, plan: &Plan, phase: Phase) -> Result<Sent, StopReason> {
        self.check_deletions(reading, reading, plan.commands()).await.map_err(StopReason::Deletions)?;
        self.attempts += usize::from(!plan.is_empty());
        // What grows while it is filled is copied as a whole, between two yields.
        self.journal.commands.reserve(plan.commands().len());
        self.journal.before.reserve(plan.commands().len());
        let mut progress = Progress { phase, done: 0, total: plan.commands().len() };
        let (widening, narrowing) = plan.parts();
        match self.send(reading, widening, &mut progress).await? {
            Sent::All => {}
            sent => return Ok(sent),
        }
        if !self.is_hook_done {
            (self.hook)(phase).map_err(StopReason::Hook)?;
            self.is_hook_done = true;
        }
        self.send(reading, narrowing, &mut progress).await
    }

    /// May these commands delete what they delete, after what was deleted before? What is in the newest table counts as it is there.
    async fn check_deletions(
        &mut self,
        newest: &Table,
        reading: &Table,
        planned: &[Command],
    ) -> Result<(), DeletionsError> {
        let DeletionLimits { most, approved } = &self.change.planner.limits;
        if most.is_none() && approved.is_none() {
            return Ok(());
        }
        let Journal { commands, before, unacknowledged } = &self.journal;
        let unacknowledged = unacknowledged.iter().map(|(command, before)| (command, before));
        let done = commands.iter().zip(before).chain(unacknowledged).map(|(command, before)| match before {
            Before::Entry(entry) => (command, Some(entry)),
            _ => (command, None),
        });
        let planned = planned.iter().map(|command| {
            let entry = command.service_key().and_then(|key| newest.service(&key).or_else(|| reading.service(&key)));
            (command, entry)
        });
        let (mut services, mut destinations) = (0, 0);
        let mut paced = self.session.paced();
        for (command, entry) in done.chain(planned) {
            paced.step(1).await;
            match command {
                Command::DeleteService(key) if approved.as_ref().is_some_and(|approved| !approved.contains(key)) => {
                    return Err(DeletionsError::NotApproved(*key));
                }
                Command::DeleteService(_) => {
                    services += 1;
                    destinations += entry.map_or(0, |entry| entry.destinations().len());
                }
                Command::DeleteDestination(..) => destinations += 1,
                _ => {}
            }
        }
        match *most {
            Some(limit) if services + destinations > limit => {
                Err(DeletionsError::TooMany { services, destinations, limit })
            }
            _ => Ok(()),
        }
    }

    async fn send(
        &mut self,
        reading: &Table,
        commands: &[Command],
        progress: &mut Progress,
    ) -> Result<Sent, StopReason> {
        self.session.clear();
        let mut is_disturbed = false;
        let mut rest = commands;
        while let Some(first) = rest.first() {
            self.report(*progress)?;
            let (count, sent) = match first.service_key() {
                Some(key) if self.change.planner.guards(first, reading) => {
                    self.send_guarded(key, reading, rest).await?
                }
                _ => {
                    let planner = &self.change.planner;
                    let mut added = None;
                    let part = rest.iter().copied().take_while(|command| match command {
                        Command::AddService(service) => {
                            added = Some(service.key());
                            true
                        }
                        // In one datagram with its service.
                        Command::AddDestination(key, _) if added == Some(*key) => true,
                        _ => !planner.guards(command, reading),
                    });
                    self.send_datagram(reading, part).await?
                }
            };
            match sent {
                Sent::Broken(error) => return Ok(Sent::Broken(error)),
                sent => is_disturbed |= matches!(sent, Sent::Disturbed),
            }
            progress.done += count;
            rest = &rest[count..];
        }
        Ok(if is_disturbed { Sent::Disturbed } else { Sent::All })
    }

    /// Asks for a service, and sends the commands about it that come next, if they may still be sent. Returns how many it dealt with.
    async fn send_guarded(
        &mut self,
        key: ServiceKey,
        reading: &Table,
        commands: &[Command],
    ) -> Result<(usize, Sent), StopReason> {
        let planner = &self.change.planner;
        let about_it = commands
            .iter()
            .take_while(|command| command.service_key() == Some(key) && planner.guards(command, reading));
        let entry = match ask(self.session, &key).await {
            Ok(entry) => entry,
            Err(error) => return Ok((0, Sent::Broken(error))),
        };
        let mut present = Table::new();
        // Where there is no service, the kernel refuses all of them.
        if let Some(entry) = entry {
            let is_deletion = matches!(commands[0], Command::DeleteService(_));
            let takes_from_others = |command| self.takes_from_others(command, &entry);
            let is_others =
                planner.leaves_others() && (self.is_others(&entry) || about_it.clone().any(takes_from_others));
            if is_others || is_deletion && !planner.may_delete_whole(&entry) {
                return Ok((about_it.count(), Sent::Disturbed));
            }
            let count = |entry: &TableEntry| entry.destinations().len();
            let has_grown = is_deletion && reading.service(&key).is_none_or(|read| count(read) < count(&entry));
            present.adopt(entry);
            if has_grown {
                self.check_deletions(&present, reading, commands).await.map_err(StopReason::Deletions)?;
            }
        }
        let about_it = about_it.map(|command| planner.with_present_weight(command, &present));
        self.send_datagram(&present, about_it).await
    }

    /// Sends as many of these commands as go into one datagram. Returns how many those were.
    async fn send_datagram(
        &mut self,
        reading: &Table,
        commands: impl Iterator<Item = Command>,
    ) -> Result<(usize, Sent), StopReason> {
        let mut sent = Vec::new();
        for command in commands {
            sent.push(command);
            if self.session.enqueue(&command) {
                break;
            }
        }
        Ok((sent.len(), self.flush(reading, &sent).await?))
    }

    fn report(&mut self, progress: Progress) -> Result<(), StopReason> {
        if (self.on_progress)(progress).is_break() { Err(StopReason::Interrupted) } else { Ok(()) }
    }

    /// Sends what was gathered, which are these commands, and takes down what became of each.
    async fn flush(&mut self, reading: &Table, commands: &[Command]) -> Result<Sent, StopReason> {
        let outcomes = match self.session.flush().await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                if matches!(error, Error::OutcomeUnknown { .. }) {
                    let sent = commands.iter().map(|command| (*command, Before::of(command, reading)));
                    self.journal.unacknowledged.extend(sent);
                }
                return Ok(Sent::Broken(error));
            }
        };
        let mut refused = Vec::new();
        for (command, outcome) in commands.iter().zip(outcomes) {
            match outcome {
                Ok(()) => {
                    self.journal.commands.push(*command);
                    self.journal.before.push(Before::of(command, reading));
                }
                Err(refusal) => refused.push((*command, refusal)),
            }
        }
        let mut sent = Sent::All;
        let mut asked = HashMap::new();
        for (command, refusal) in refused {
            match self.judge(&command, refusal.errno, &mut asked).await {
                Ok(Verdict::Done) => self.already_done.push(command),
                Ok(Verdict::PlanAgain) => sent = Sent::Disturbed,
                Ok(Verdict::Final) => return Err(self.refused(command, refusal).await),
                Err(error) => return Ok(Sent::Broken(error)),
            }
        }
        Ok(sent)
    }

    async fn refused(&mut self, command: Command, refusal: Refusal) -> StopReason {
        let cause = self.session.explain(&command, refusal.errno).await.ok().flatten();
        StopReason::Refused(Box::new(RefusedCommand { command, refusal, cause }))
    }

    /// What a refusal means. Each service is asked for once, after the refusals of a datagram.
    async fn judge(
        &mut self,
        command: &Command,
        errno: Errno,
        asked: &mut HashMap<ServiceKey, Option<TableEntry>>,
    ) -> Result<Verdict, Error> {
        let when = |is_done| if is_done { Verdict::Done } else { Verdict::PlanAgain };
        Ok(match (command, errno) {
            (Command::DeleteService(_) | Command::StopDaemon(_), Errno::ESRCH) => Verdict::Done,
            (Command::DeleteDestination(..), Errno::ENOENT) => Verdict::Done,
            // Its service is gone, too: that may matter.
            (Command::DeleteDestination(key, _), Errno::ESRCH) => when(self.change.desired.service(key).is_none()),
            (Command::AddService(_) | Command::AddDestination(..), Errno::EEXIST) => {
                let Some(key) = command.service_key() else { return Ok(Verdict::Final) };
                let entry = match asked.entry(key) {
                    Entry::Occupied(asked) => asked.into_mut(),
                    Entry::Vacant(place) => place.insert(ask(self.session, &key).await?),
                };
                match command {
                    _ if self.is_as_desired(command, key, entry.as_ref()) => Verdict::Done,
                    Command::AddService(_) if entry.is_some() && self.change.planner.leaves_others() => Verdict::Final,
                    _ => Verdict::PlanAgain,
                }
            }
            (Command::StartDaemon(wanted), Errno::EEXIST) => {
                when(self.session.daemons().await?.iter().any(|running| is_as_wanted(running, wanted)))
            }
            (Command::EditService(_), Errno::ESRCH) => Verdict::PlanAgain,
            (Command::AddDestination(..) | Command::EditDestination(..), Errno::ESRCH | Errno::ENOENT) => {
                Verdict::PlanAgain
            }
            // A sync daemon and destinations of the other family exclude each other; either may be another writer's.
            (Command::StartDaemon(_), Errno::EINVAL) => self.suspect(command, errno),
            (Command::AddDestination(key, destination), Errno::EINVAL)
                if Family::of(destination.address.ip()) != key.family() =>
            {
                self.suspect(command, errno)
            }
            _ => Verdict::Final,
        })
    }

    fn suspect(&mut self, command: &Command, errno: Errno) -> Verdict {
        if self.suspected.insert((*command, errno)) { Verdict::PlanAgain } else { Verdict::Final }
    }

    /// Would the planner leave an entry that another writer has made as it is? Destinations that are still to be added count as there.
    fn is_as_desired(&self, added: &Command, key: ServiceKey, present: Option<&TableEntry>) -> bool {
        let Some(present) = present else { return false };
        let mut there = Table::new();
        there.adopt(present.clone());
        let plan = self.change.planner.clone().only_services().plan(&there, &self.change.desired.with_only([key]));
        !plan.commands().iter().any(|command| match (added, command) {
            (Command::AddService(_), Command::AddDestination(..)) => false,
            (Command::AddService(_), _) => true,
            (
                Command::AddDestination(_, added),
                Command::AddDestination(_, missing) | Command::EditDestination(_, missing),
            ) => added.address == missing.address,
            _ => false,
        })
    }

    /// Is a service configured neither as it was before nor as it is desired, so that another writer made it?
    fn is_others(&self, present: &TableEntry) -> bool {
        let key = present.service().key();
        let Change { before, desired, .. } = self.change;
        let mut known = [before, desired].into_iter().filter_map(|table| table.service(&key));
        !known.any(|entry| entry.service() == present.service())
    }

    /// Does the command edit or delete a destination that is neither as it was before nor as it is desired, so that another
    /// writer made it?
    fn takes_from_others(&self, command: &Command, present: &TableEntry) -> bool {
        let Change { before, desired, planner, .. } = self.change;
        let key = present.service().key();
        let is_others = |present: &DestinationState| {
            let known = [before, desired].into_iter().filter_map(|table| table.service(&key));
            let known = known.filter_map(|entry| entry.destination(&present.destination.address));
            !planner.is_one_of(&present.destination, known.map(|state| &state.destination))
        };
        match command {
            Command::DeleteService(_) => present.destinations().any(is_others),
            Command::EditDestination(_, Destination { address: at, .. }) | Command::DeleteDestination(_, at) => {
                present.destination(at).is_some_and(is_others)
            }
            _ => false,
        }
    }
}

/// A single service with its destinations, as it is now. Not being in a dump would prove nothing.
pub(super) async fn ask<C: Transport>(session: &mut Session<C>, key: &ServiceKey) -> Result<Option<TableEntry>, Error> {
    // By netlink: the older interface hides destinations of the other family, and counts them before it lists the rest.
    session.entry(key, Detail::Statistics).await
}

/// Does the table hold what the command makes?
fn is_carried_out(command: &Command, table: &Table) -> bool {
    match command {
        Command::SetTimeouts(wanted) => {
            let now = table.timeouts();
            let pairs = [(wanted.tcp, now.tcp), (wanted.tcp_fin, now.tcp_fin), (wanted.udp, now.udp)];
            pairs.iter().all(|(wanted, now)| wanted.is_none() || wanted == now)
        }
        Command::StartDaemon(wanted) => table.daemons().iter().any(|running| is_as_wanted(running, wanted)),
        Command::StopDaemon(role) => table.daemons().iter().all(|running| running.role != *role),
        _ => {
            let entry = command.service_key().and_then(|key| table.service(&key).cloned());
            is_made(command, entry.as_ref())
        }
    }
}

/// The same for a command about one service: does the service show what the command makes?
pub(super) fn is_made(command: &Command, entry: Option<&TableEntry>) -> bool {
    match command {
        Command::AddService(service) | Command::EditService(service) => {
            entry.is_some_and(|entry| entry.service() == service)
        }
        Command::DeleteService(_) => entry.is_none(),
        Command::AddDestination(_, wanted) | Command::EditDestination(_, wanted) => {
            entry.and_then(|entry| entry.destination(&wanted.address)).is_some_and(|state| state.destination == *wanted)
        }
        Command::DeleteDestination(_, at) => entry.is_none_or(|entry| entry.destination(at).is_none()),
        _ => false,
    }
}
