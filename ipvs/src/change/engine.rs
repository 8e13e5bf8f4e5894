//! The attempts of a change: what is sent, what was acknowledged, and when it stops.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::ops::ControlFlow;

use foldhash::fast::RandomState;
use indexmap::IndexSet;

use super::others::Keys;
use super::outcome::{Applied, DeletionsError, Phase, Progress, RefusedCommand, StopReason};
use super::{ChangeError, ChangeRef, try_out};
use crate::change::plan::{DeletionLimits, Plan, When, is_as_wanted};
use crate::command::Command;
use crate::daemon::Daemon;
use crate::destination::Destination;
use crate::errno::Errno;
use crate::error::Error;
use crate::kernel::Behaviors;
use crate::refusal::Refusal;
use crate::service::{Family, ServiceKey};
use crate::session::{Session, Transport};
use crate::table::{Table, TableEntry};
use crate::timeouts::Timeouts;
use crate::wire::Detail;

/// How many attempts may leave as much to do as the best one before them.
const STALLED: usize = 5;

/// How many attempts there are at most.
const MOST: usize = 20;

/// How many services are asked for one by one, whether they are there, rather than all in one call,
/// if it is not known how many there are.
const FEW: usize = 64;

/// To ask for one service alone takes as long as this number of services in a reading of all.
const ALONE: usize = 5;

/// And as long as this number in a call that copies which services there are.
const COPIED: usize = 10;

/// An entry as it was read before the command that changed it was planned.
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

    /// A destination of the service.
    pub(super) fn destination(&self, at: &SocketAddr) -> Option<Destination> {
        let Before::Entry(entry) = self else { return None };
        Some(entry.destination(at)?.destination)
    }
}

/// The commands that the kernel acknowledged, in order, and those whose reply was lost.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pub(super) commands: Vec<Command>,
    /// What each of them changed.
    pub(super) before: Vec<Before>,
    pub(super) unacknowledged: Vec<(Command, Before)>,
}

/// What a refusal means.
enum Verdict {
    /// Another writer has done it.
    Done,
    /// The entry exists: what it is decides.
    Exists,
    /// Another writer has made a difference: read and plan again.
    PlanAgain,
    /// Another attempt would not help.
    Final,
}

/// How far the commands of a plan came.
enum Sent {
    /// All were carried out, or were needless.
    All,
    /// Some were not, as another writer had changed the same entries.
    Disturbed,
    /// Not all were sent, or not all replies arrived.
    Broken(Error),
}

/// A service as the kernel has just replied, and the guarded commands that rely on it.
#[derive(Default)]
struct Reply {
    present: Table,
    /// How many of the next commands are guarded and about this service.
    commands: usize,
    /// How many may be sent before the next question: as many as the reply had entries, as sending
    /// them takes no longer than asking.
    most: usize,
}

/// A change while it is made.
pub(super) struct Engine<'e, C, H, P> {
    pub(super) change: ChangeRef<'e>,
    pub(super) session: &'e mut Session<C>,
    pub(super) hook: H,
    pub(super) on_progress: P,
    pub(super) journal: Journal,
    /// The services that an owner's change has added.
    made: Keys,
    already_done: Vec<Command>,
    /// Additions that were refused as the entry exists, and is still to be compared.
    existing: Vec<(Command, Refusal)>,
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
    pub(super) fn new(change: ChangeRef<'e>, session: &'e mut Session<C>, hook: H, on_progress: P) -> Self {
        Engine {
            change,
            session,
            hook,
            on_progress,
            journal: Journal::default(),
            made: Keys::default(),
            already_done: Vec::new(),
            existing: Vec::new(),
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
        let ChangeRef { before, desired, planner, plan } = self.change;
        let (mut least, mut stalled) = (plan.commands().len(), 0);
        let mut sent = self.attempt(before, plan, Phase::Applying).await?;
        loop {
            let broken = match sent {
                Sent::All => return Ok(()),
                Sent::Disturbed => None,
                Sent::Broken(error) => Some(error),
            };
            let mut present = match self.session.table_for(planner, desired).await {
                Ok(present) => present,
                Err(error) => return Err(StopReason::Failed(broken.unwrap_or(error))),
            };
            // If the table does not show it, it was not carried out, or another writer has undone
            // it.
            self.journal.unacknowledged.retain(|(command, _)| is_carried_out(command, &present));
            self.made.retain(|key| present.service(key).is_some());
            let plan = planner.plan_paced(&present, desired, &mut self.session.paced()).await;
            self.learn_what_is_ignored(&plan, &mut present).await?;
            stalled = if plan.commands().len() < least { 0 } else { stalled + 1 };
            least = least.min(plan.commands().len());
            let (mut others, mut is_about_others) = (Vec::new(), false);
            if planner.leaves_others() {
                let mut paced = self.session.paced();
                others = self.change.made_by_others(&present, &self.made, &mut paced).await;
                is_about_others = self.change.is_about_others(&plan, &present, &self.made, &mut paced).await;
            }
            is_about_others |= !others.is_empty();
            // Perhaps only the hook is left to do.
            if is_about_others || !plan.is_empty() && (stalled >= STALLED || self.attempts >= MOST) {
                self.remaining = others;
                self.remaining.extend(plan.commands());
                let broken = broken.filter(|_| !is_about_others);
                return Err(broken.map_or(StopReason::Contended, StopReason::Failed));
            }
            try_out(&present, &plan, &mut self.session.paced()).await.map_err(StopReason::Rejected)?;
            let attempted = self.attempt(&present, &plan, Phase::Retrying).await;
            self.session.paced().discard(present).await;
            sent = attempted?;
        }
    }

    /// Stops the change if the kernel acknowledged a value that it ignores. The version of the
    /// kernel does not say so, and without a service it could not be asked before.
    async fn learn_what_is_ignored(&mut self, plan: &Plan, present: &mut Table) -> Result<(), StopReason> {
        let mut suspected = None;
        let mut paced = self.session.paced();
        for command in plan.commands() {
            paced.step(1).await;
            let entry = command.service_key().and_then(|key| present.service(&key));
            if let Some(entry) = entry.filter(|entry| may_be_ignored(command, entry)) {
                suspected = Some(entry.service().key());
                break;
            }
        }
        let Some(service) = suspected else { return Ok(()) };
        match self.session.has_tunnel_kinds(&service).await {
            Ok(Some(false)) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(StopReason::Failed(error)),
        }
        present.learn_behavior(Behaviors::TUNNEL_KINDS, false);
        let mut paced = self.session.paced();
        for command in &mut self.journal.commands {
            paced.step(1).await;
            // What the kernel has made of it is this change's own work, and is undone.
            if let Command::AddDestination(_, made) | Command::EditDestination(_, made) = command {
                *made = made.without_tunnel_kind();
            }
        }
        try_out(present, plan, &mut self.session.paced()).await.map_err(StopReason::Rejected)
    }

    /// Sends a plan. Its second part goes only when all of the first is done, the hook has
    /// succeeded, and no other writer has undone the first meanwhile.
    async fn attempt(&mut self, reading: &Table, plan: &Plan, phase: Phase) -> Result<Sent, StopReason> {
        self.check_deletions(reading, reading, plan.commands()).await.map_err(StopReason::Deletions)?;
        self.attempts += usize::from(!plan.is_empty());
        // A vector that grows is copied in one step.
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
        if !widening.is_empty() && !narrowing.is_empty() {
            match self.check(When::BeforeDeletions).await {
                Sent::All => {}
                sent => return Ok(sent),
            }
        }
        match self.send(reading, narrowing, &mut progress).await? {
            Sent::All if !plan.is_empty() => Ok(self.check(When::AtTheEnd).await),
            sent => Ok(sent),
        }
    }

    /// Reads whether another writer has undone what was sent.
    async fn check(&mut self, when: When) -> Sent {
        match self.is_settled(when).await {
            Ok(true) => Sent::All,
            Ok(false) => Sent::Disturbed,
            Err(error) => Sent::Broken(error),
        }
    }

    /// Is everything as desired? All that this change has sent a command about is read; of the
    /// other services, whether they are there.
    async fn is_settled(&mut self, when: When) -> Result<bool, Error> {
        let ChangeRef { before, desired, planner, .. } = self.change;
        let Journal { commands, unacknowledged, .. } = &self.journal;
        let unacknowledged = unacknowledged.iter().map(|(command, _)| command);
        // There are more commands than services, by far in a large table.
        let services = desired.services().len().saturating_add(before.services().len());
        let mut changed: IndexSet<ServiceKey, RandomState> =
            IndexSet::with_capacity_and_hasher(services.min(commands.len()), RandomState::default());
        let mut is_about_director = false;
        let mut paced = self.session.paced();
        for command in commands.iter().chain(unacknowledged).chain(&self.already_done) {
            paced.step(1).await;
            match command.service_key() {
                Some(key) => drop(changed.insert(key)),
                None => is_about_director = true,
            }
        }
        if is_about_director {
            let (timeouts, daemons) = (self.session.timeouts().await?, self.session.daemons().await?);
            if !planner.rest_of_director(timeouts, &daemons, desired, when).is_empty() {
                return Ok(false);
            }
        }
        // How many services there are, if a plan is about all of them.
        let count = planner.part_of(desired).is_none().then(|| desired.services().len().max(before.services().len()));
        if count.is_some_and(|count| changed.len().saturating_mul(ALONE) > count) {
            match self.is_settled_in_all(&changed, when).await {
                // Other writers keep it from being whole. One service alone always is.
                Err(Error::Unstable) => {}
                settled => return settled,
            }
        }
        for key in &changed {
            let present = self.session.entry(key, Detail::NoStatistics).await?;
            if !self.is_service_settled(key, present.as_ref(), when).await {
                return Ok(false);
            }
        }
        self.are_others_there(&changed, count).await
    }

    /// The same by a reading of all services.
    async fn is_settled_in_all(
        &mut self,
        changed: &IndexSet<ServiceKey, RandomState>,
        when: When,
    ) -> Result<bool, Error> {
        let ChangeRef { desired, planner, .. } = self.change;
        let (services, mut counts) = self.session.listed_services().await?;
        let mut not_read = changed.clone();
        let mut paced = self.session.paced();
        for entry in desired.services() {
            paced.step(1).await;
            let key = entry.service().key();
            if !changed.contains(&key) && planner.concerns_service(&key) {
                not_read.insert(key);
            }
        }
        for state in &services {
            self.session.transport.yield_now().await;
            let key = state.service.key();
            not_read.swap_remove(&key);
            if !changed.contains(&key) {
                continue;
            }
            let present = self.session.entry_of(*state, Detail::NoStatistics, counts.as_mut()).await?;
            if !self.is_service_settled(&key, present.as_ref(), when).await {
                return Ok(false);
            }
        }
        for key in not_read {
            self.session.transport.yield_now().await;
            if !self.is_service_settled(&key, None, when).await {
                return Ok(false);
            }
        }
        for (key, destinations) in self.session.verify(counts, Detail::NoStatistics).await? {
            let Some(state) = services.iter().find(|state| state.service.key() == key) else { continue };
            let present = self.session.entry_with(*state, destinations).await;
            if !self.is_service_settled(&key, Some(&present), when).await {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Is this service as desired, but for what is left to other writers?
    async fn is_service_settled(&mut self, key: &ServiceKey, present: Option<&TableEntry>, when: When) -> bool {
        let ChangeRef { desired, planner, .. } = self.change;
        let mut paced = self.session.paced();
        let rest = planner.rest_of(present, desired.service(key), when, &mut paced).await;
        let is_ignored = |entry| rest.iter().any(|command| may_be_ignored(command, entry));
        rest.is_empty()
            || !present.is_some_and(is_ignored)
                && self.change.is_left_to_others(&rest, present, &self.made, &mut paced).await
    }

    /// Are all desired services there, beside these? `count`: about how many there are, if that is
    /// known.
    async fn are_others_there(
        &mut self,
        changed: &IndexSet<ServiceKey, RandomState>,
        count: Option<usize>,
    ) -> Result<bool, Error> {
        let ChangeRef { desired, planner, .. } = self.change;
        let mut others: IndexSet<ServiceKey, RandomState> =
            IndexSet::with_capacity_and_hasher(desired.services().len(), RandomState::default());
        let mut paced = self.session.paced();
        for entry in desired.services() {
            paced.step(1).await;
            let key = entry.service().key();
            if !changed.contains(&key) && planner.concerns_service(&key) {
                others.insert(key);
            }
        }
        let many = count.map_or(FEW, |count| count / COPIED);
        if others.len() > many {
            let present = self.session.ask_service_counts(desired.services().len()).await.unwrap_or_default();
            let mut paced = self.session.paced();
            for (key, _) in present {
                paced.step(1).await;
                others.swap_remove(&key);
            }
        }
        // Those of IPv6. What a dump leaves out is asked for.
        if others.len() > FEW {
            let present = self.session.some_services().await?;
            let mut paced = self.session.paced();
            for key in present {
                paced.step(1).await;
                others.swap_remove(&key);
            }
        }
        for key in others {
            if self.session.service_if_there(&key, Detail::NoStatistics).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Checks the limits of deletions for the planned commands after all earlier ones. A service
    /// counts as it is in `newest`, if that has it.
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
        let planner = self.change.planner;
        let mut is_disturbed = false;
        let mut reply = Reply::default();
        let mut rest = commands;
        while let Some(first) = rest.first() {
            self.report(*progress)?;
            let guarded = first.service_key().filter(|_| reply.commands > 0 || planner.guards(first, reading));
            let (count, sent) = match guarded {
                None => self.send_unguarded(reading, rest).await?,
                Some(key) if reply.most == 0 => match self.ask_before(key, reading, rest, &mut reply).await? {
                    Some(not_sent) => not_sent,
                    None => self.send_guarded(&mut reply, rest).await?,
                },
                Some(_) => self.send_guarded(&mut reply, rest).await?,
            };
            match sent {
                Sent::Broken(error) => return Ok(Sent::Broken(error)),
                sent => is_disturbed |= matches!(sent, Sent::Disturbed),
            }
            progress.done += count;
            rest = &rest[count..];
        }
        match self.compare_existing().await? {
            Sent::All if is_disturbed => Ok(Sent::Disturbed),
            sent => Ok(sent),
        }
    }

    /// Sends one datagram, up to the first guarded command. Returns how many commands it has.
    async fn send_unguarded(&mut self, reading: &Table, commands: &[Command]) -> Result<(usize, Sent), StopReason> {
        let planner = self.change.planner;
        let mut added = None;
        let part = commands.iter().copied().take_while(|command| match command {
            Command::AddService(service) => {
                added = Some(service.key());
                true
            }
            // In one datagram with its service.
            Command::AddDestination(key, _) if added == Some(*key) => true,
            _ => !planner.guards(command, reading),
        });
        self.send_datagram(reading, part).await
    }

    /// Sends one datagram of commands that rely on this reply. Returns how many are dealt with.
    async fn send_guarded(&mut self, reply: &mut Reply, commands: &[Command]) -> Result<(usize, Sent), StopReason> {
        let (mut count, mut sent, mut is_disturbed) = (0, Vec::new(), false);
        for command in &commands[..reply.commands] {
            count += 1;
            // Another writer may make it at any moment, and then the command must not reach it.
            if let Some(errno) = missing(command, &reply.present) {
                match self.judge(command, errno) {
                    Verdict::Done => self.already_done.push(*command),
                    _ => is_disturbed = true,
                }
                continue;
            }
            let command = self.change.planner.with_present_weight(command, &reply.present);
            sent.push(command);
            if self.session.enqueue(&command) {
                break;
            }
        }
        reply.commands -= count;
        reply.most = if reply.commands == 0 { 0 } else { reply.most.saturating_sub(count) };
        match self.flush(&reply.present, &sent).await? {
            Sent::All if is_disturbed => Ok((count, Sent::Disturbed)),
            flushed => Ok((count, flushed)),
        }
    }

    /// Asks for the service of the next guarded commands. If they must not be sent, returns how
    /// many they are, and what that means.
    async fn ask_before(
        &mut self,
        key: ServiceKey,
        reading: &Table,
        commands: &[Command],
        reply: &mut Reply,
    ) -> Result<Option<(usize, Sent)>, StopReason> {
        *reply = Reply::default();
        let change = self.change;
        let (mut count, mut is_about_destinations) = (0, false);
        let mut paced = self.session.paced();
        for command in commands {
            paced.step(1).await;
            if command.service_key() != Some(key) || !change.planner.guards(command, reading) {
                break;
            }
            is_about_destinations |= !matches!(command, Command::EditService(_) | Command::AddDestination(..));
            count += 1;
        }
        let about_it = &commands[..count];
        let asked = if is_about_destinations {
            ask(self.session, &key).await
        } else {
            let state = self.session.service_if_there(&key, Detail::NoStatistics).await;
            state.map(|state| state.map(|state| TableEntry::read(state, Vec::new())))
        };
        let entry = match asked {
            Ok(Some(entry)) => entry,
            Ok(None) => {
                *reply = Reply { commands: count, most: count, ..Reply::default() };
                return Ok(None);
            }
            Err(error) => return Ok(Some((0, Sent::Broken(error)))),
        };
        let mut paced = self.session.paced();
        let is_others = change.planner.leaves_others()
            && (change.is_others(&entry, &self.made) || change.takes_from_others(about_it, &entry, &mut paced).await);
        let is_deletion = matches!(about_it, [Command::DeleteService(_)]);
        if is_others || is_deletion && !change.planner.may_delete_whole(&entry, &mut paced).await {
            return Ok(Some((count, Sent::Disturbed)));
        }
        let has_grown = is_deletion && reading.service(&key).is_none_or(|read| read.work() < entry.work());
        *reply = Reply { present: Table::new(), commands: count, most: entry.work() };
        reply.present.adopt(entry);
        if has_grown {
            self.check_deletions(&reply.present, reading, commands).await.map_err(StopReason::Deletions)?;
        }
        Ok(None)
    }

    /// Sends one datagram of these commands. Returns how many it has.
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

    /// Sends the enqueued commands, which are these, and records the outcome of each.
    async fn flush(&mut self, reading: &Table, commands: &[Command]) -> Result<Sent, StopReason> {
        let outcomes = match self.session.flush().await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                if matches!(error, Error::OutcomeUnknown { .. }) {
                    let sent = commands.iter().map(|command| (*command, Before::of(command, reading)));
                    self.journal.unacknowledged.extend(sent);
                    commands.iter().for_each(|command| self.note_made(command));
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
                    self.note_made(command);
                }
                Err(refusal) => refused.push((*command, refusal)),
            }
        }
        let mut sent = Sent::All;
        for (command, refusal) in refused {
            match self.judge(&command, refusal.errno) {
                Verdict::Done => self.already_done.push(command),
                Verdict::Exists => self.existing.push((command, refusal)),
                Verdict::PlanAgain => sent = Sent::Disturbed,
                Verdict::Final => return Err(self.refused(command, refusal).await),
            }
        }
        Ok(sent)
    }

    fn note_made(&mut self, command: &Command) {
        match command {
            Command::AddService(service) if self.change.planner.leaves_others() => {
                self.made.insert(service.key());
            }
            _ => {}
        }
    }

    async fn refused(&mut self, command: Command, refusal: Refusal) -> StopReason {
        let cause = self.session.explain(&command, refusal.errno).await.ok().flatten();
        StopReason::Refused(Box::new(RefusedCommand { command, refusal, cause }))
    }

    /// Compares what exists with what was to be added. Each service is asked for once.
    async fn compare_existing(&mut self) -> Result<Sent, StopReason> {
        let mut compared = Sent::All;
        let existing = std::mem::take(&mut self.existing);
        for about_one in existing.chunk_by(|(one, _), (next, _)| one.service_key() == next.service_key()) {
            let (entry, daemons) = match self.ask_about(&about_one[0].0).await {
                Ok(replied) => replied,
                Err(error) => return Ok(Sent::Broken(error)),
            };
            let mut paced = self.session.paced();
            for (command, refusal) in about_one {
                paced.step(1).await;
                if self.change.planner.leaves_others() && matches!(command, Command::AddService(_)) && entry.is_some() {
                    // Also one that is as desired: it would be deleted as the owner's one day.
                    return Err(self.refused(*command, *refusal).await);
                }
                let is_done = match (command, &entry) {
                    (Command::StartDaemon(wanted), _) => daemons.iter().any(|running| is_as_wanted(running, wanted)),
                    (_, Some(entry)) => self.change.is_as_desired(command, entry, &mut paced).await,
                    (_, None) => false,
                };
                if is_done {
                    self.already_done.push(*command);
                } else {
                    compared = Sent::Disturbed;
                }
            }
        }
        Ok(compared)
    }

    /// What is there of what this command was to add: its service, or the sync daemons.
    async fn ask_about(&mut self, command: &Command) -> Result<(Option<TableEntry>, Vec<Daemon>), Error> {
        Ok(match command.service_key() {
            Some(key) => (ask(self.session, &key).await?, Vec::new()),
            None => (None, self.session.daemons().await?),
        })
    }

    /// What a refusal means.
    fn judge(&mut self, command: &Command, errno: Errno) -> Verdict {
        match (command, errno) {
            (Command::DeleteService(_) | Command::StopDaemon(_), Errno::ESRCH) => Verdict::Done,
            (Command::DeleteDestination(..), Errno::ENOENT) => Verdict::Done,
            // Its service is gone, too: that may matter.
            (Command::DeleteDestination(key, _), Errno::ESRCH) if self.change.desired.service(key).is_none() => {
                Verdict::Done
            }
            (Command::AddService(_) | Command::AddDestination(..) | Command::StartDaemon(_), Errno::EEXIST) => {
                Verdict::Exists
            }
            (
                Command::EditService(_)
                | Command::AddDestination(..)
                | Command::EditDestination(..)
                | Command::DeleteDestination(..),
                Errno::ESRCH,
            )
            | (Command::AddDestination(..) | Command::EditDestination(..), Errno::ENOENT) => Verdict::PlanAgain,
            // A sync daemon and destinations of the other family exclude each other; either may be
            // another writer's.
            (Command::StartDaemon(_), Errno::EINVAL) => self.suspect(command, errno),
            (Command::AddDestination(key, destination), Errno::EINVAL)
                if Family::of(destination.address.ip()) != key.family() =>
            {
                self.suspect(command, errno)
            }
            _ => Verdict::Final,
        }
    }

    fn suspect(&mut self, command: &Command, errno: Errno) -> Verdict {
        if self.suspected.insert((*command, errno)) { Verdict::PlanAgain } else { Verdict::Final }
    }
}

/// A single service with its destinations, as it is now. A dump may leave out what is there.
pub(super) async fn ask<C: Transport>(session: &mut Session<C>, key: &ServiceKey) -> Result<Option<TableEntry>, Error> {
    // With statistics it is read by netlink: getsockopt hides destinations of the other family.
    session.entry(key, Detail::Statistics).await
}

/// The refusal to expect if the entry of this command is not among the present ones.
fn missing(command: &Command, present: &Table) -> Option<Errno> {
    let Some(entry) = present.service(&command.service_key()?) else { return Some(Errno::ESRCH) };
    match command {
        Command::EditDestination(_, Destination { address: at, .. }) | Command::DeleteDestination(_, at) => {
            entry.destination(at).is_none().then_some(Errno::ENOENT)
        }
        _ => None,
    }
}

/// Is this what a kernel shows that ignores a value of the command?
fn may_be_ignored(command: &Command, entry: &TableEntry) -> bool {
    let wanted = command.destination().filter(|wanted| wanted.tunnel_with_kind().is_some());
    wanted.is_some_and(|wanted| {
        let present = entry.destination(&wanted.address).map(|state| state.destination.forwarding);
        present == Some(wanted.without_tunnel_kind().forwarding)
    })
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

/// Does this service show what the command about it makes?
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
