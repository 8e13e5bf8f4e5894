//! Bringing a director from one table to another, or leaving it as it was.

use std::fmt;
use std::ops::ControlFlow;

use crate::cause::Cause;
use crate::client::{Carrier, Client, Core, now};
use crate::command::Command;
use crate::error::{Error, Refusal};
use crate::plan::{Plan, Planner};
use crate::table::Table;
use crate::wire::Detail;

/// A change from one table to another, planned and tried out, but not yet made.
///
/// The kernel has no transactions; this comes as near to one as can be. What can be foreseen to be refused is found by
/// [`prepare`](Self::prepare), before anything is sent. When [`apply`](Self::apply) is refused something nevertheless, or loses
/// replies, then mostly because somebody else changes the director, too: it reads the table again, and plans again, once. If
/// that fails, it undoes what it has done to the services that it touched.
///
/// ```
/// use std::ops::ControlFlow;
/// use ipvs::{Change, Client, Command, Planner, Service, Table};
/// let mut director = Client::fake(Table::new());
/// let before = director.table()?;
/// let mut desired = before.clone();
/// desired.apply(&Command::AddService(Service::new("tcp 192.0.2.1:80".parse()?)))?;
/// let change = Change::prepare(before, desired, Planner::new())?;
/// println!("{} commands", change.plan().commands().len());
/// change.apply(&mut director, |_| ControlFlow::Continue(()))?;
/// assert_eq!(director.table()?.services().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Change {
    before: Table,
    desired: Table,
    planner: Planner,
    plan: Plan,
}

impl Change {
    /// Plans the change from `before`, which was just read, to `desired`, and tries it on a copy of what it is about.
    ///
    /// What `before` does not know of its kernel is left to the kernel to refuse, unless it was asked before:
    /// [`Client::probe`].
    ///
    /// # Errors
    /// All refusals that can be foreseen.
    pub fn prepare(before: Table, desired: Table, planner: Planner) -> Result<Self, Rejected> {
        Self::planned(before, desired, planner).tried_out()
    }

    fn planned(before: Table, desired: Table, planner: Planner) -> Self {
        let plan = planner.plan(&before, &desired);
        Change { before, desired, planner, plan }
    }

    fn tried_out(self) -> Result<Self, Rejected> {
        if !self.plan.is_empty() {
            try_out(copy_for(&self.plan, &self.before), &self.plan)?;
        }
        Ok(self)
    }

    /// What it will do.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What was there when it was planned.
    pub fn before(&self) -> &Table {
        &self.before
    }

    /// Makes the change. An empty one sends nothing.
    ///
    /// `on_progress` is called before anything is sent and after each datagram; if it breaks, what was done is undone.
    ///
    /// # Errors
    /// Why it could not be made, and what state the director is in.
    pub fn apply(
        &self,
        client: &mut Client,
        on_progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Applied, ChangeError> {
        self.apply_with(client, |_| Ok(()), on_progress)
    }

    /// Makes the change, and calls `hook` in its middle for another change elsewhere, such as that of the rules that mark packets for services:
    /// when all that comes is there, and all that goes is there still. If it fails, or something fails after it, all is undone,
    /// and in the middle of that the hook is called again, with [`Phase::Undoing`], to undo its own. A hook that fails says why, and
    /// has done nothing.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use ipvs::{Change, Client, Command, Planner, Service, Phase, Table};
    /// let mut director = Client::fake(Table::new());
    /// let mut desired = Table::new();
    /// desired.apply(&Command::AddService(Service::new("mark 10".parse()?)))?;
    /// let change = Change::prepare(Table::new(), desired, Planner::new())?;
    /// let mut steps = Vec::new();
    /// let mut set_marks = |phase| { steps.push(phase); Ok(()) };
    /// change.apply_with(&mut director, &mut set_marks, |_| ControlFlow::Continue(()))?;
    /// assert_eq!(steps, [Phase::Applying]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`apply`](Self::apply), and [`StopReason::Hook`].
    pub fn apply_with(
        &self,
        client: &mut Client,
        mut hook: impl FnMut(Phase) -> Result<(), String>,
        mut on_progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Applied, ChangeError> {
        now(self.apply_over(&mut client.core, &mut hook, &mut on_progress))
    }

    /// The same, for every client.
    pub(crate) async fn apply_over<C: Carrier>(
        &self,
        core: &mut Core<C>,
        hook: &mut impl FnMut(Phase) -> Result<(), String>,
        on_progress: &mut impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Applied, ChangeError> {
        let first = match carry_out(core, &self.plan, Phase::Applying, hook, on_progress).await {
            Ok(()) => {
                let attempts = usize::from(!self.plan.is_empty());
                return Ok(Applied { commands: self.plan.commands().to_vec(), attempts });
            }
            Err(stop) => stop,
        };
        let attempt = Attempt::new(&self.before, &self.plan, &first);
        if matches!(first.reason, StopReason::Interrupted | StopReason::Hook(_)) || first.sent == 0 {
            return Err(undo(core, first.reason, &[attempt], hook, on_progress).await);
        }
        let Ok(present) = core.table(Detail::NoStatistics).await else {
            return Err(ChangeError { reason: first.reason, state: DirectorState::Unknown });
        };
        let plan = self.planner.plan(&present, &self.desired);
        match carry_out(core, &plan, Phase::Retrying, hook, on_progress).await {
            Ok(()) => {
                let commands = [attempt.sent, plan.commands()].concat();
                Ok(Applied { commands, attempts: 2 })
            }
            Err(second) => {
                let attempts = [attempt, Attempt::new(&present, &plan, &second)];
                Err(undo(core, second.reason, &attempts, hook, on_progress).await)
            }
        }
    }
}

/// What was sent to a director that held this table.
struct Attempt<'a> {
    from: &'a Table,
    sent: &'a [Command],
    is_past_middle: bool,
}

impl<'a> Attempt<'a> {
    fn new(from: &'a Table, plan: &'a Plan, stop: &Stop) -> Self {
        Attempt { from, sent: &plan.commands()[..stop.sent], is_past_middle: stop.is_past_middle }
    }
}

/// Brings what was sent back to what it was, the last attempt first. What others have changed elsewhere stays.
async fn undo<C: Carrier>(
    core: &mut Core<C>,
    reason: StopReason,
    attempts: &[Attempt<'_>],
    hook: &mut impl FnMut(Phase) -> Result<(), String>,
    on_progress: &mut impl FnMut(Progress) -> ControlFlow<()>,
) -> ChangeError {
    let is_past_middle = attempts.iter().any(|attempt| attempt.is_past_middle);
    if !is_past_middle && attempts.iter().all(|attempt| attempt.sent.is_empty()) {
        return ChangeError { reason, state: DirectorState::Untouched };
    }
    let mut hook = |phase| if is_past_middle { hook(phase) } else { Ok(()) };
    // There is nothing better to do than to go on.
    let mut on_progress = |progress| {
        let _ = on_progress(progress);
        ControlFlow::Continue(())
    };
    for attempt in attempts.iter().rev() {
        let Ok(present) = core.table(Detail::NoStatistics).await else {
            return ChangeError { reason, state: DirectorState::Unknown };
        };
        let back = planner_of(attempt.sent).plan(&present, attempt.from);
        match carry_out(core, &back, Phase::Undoing, &mut hook, &mut on_progress).await {
            Ok(()) => {}
            Err(Stop { reason: StopReason::Failed(_), .. }) => {
                return ChangeError { reason, state: DirectorState::Unknown };
            }
            Err(_) => return ChangeError { reason, state: DirectorState::Partial },
        }
    }
    ChangeError { reason, state: DirectorState::Undone }
}

/// How far a [`Change`] is.
///
/// ```
/// use ipvs::Progress;
/// let show = |progress: Progress| println!("{}: {} of {}", progress.phase, progress.done, progress.total);
/// # let _ = show;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Doing what.
    pub phase: Phase,
    /// How many commands of the phase were carried out.
    pub done: usize,
    /// How many commands the phase has.
    pub total: usize,
}

/// What a [`Change`] does.
///
/// ```
/// assert_eq!(ipvs::Phase::Undoing.to_string(), "undoing");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The first attempt.
    Applying,
    /// The second one, after something was refused or lost.
    Retrying,
    /// Back to what was.
    Undoing,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Phase::Applying => "applying",
            Phase::Retrying => "trying again",
            Phase::Undoing => "undoing",
        })
    }
}

/// A [`Change`] that was made.
///
/// ```
/// fn was_disturbed(applied: &ipvs::Applied) -> bool { applied.attempts > 1 }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// The commands that the kernel carried out, in order, in all attempts.
    pub commands: Vec<Command>,
    /// How many attempts it took: more than one if somebody else changed the director meanwhile; 0 if everything was as desired.
    pub attempts: usize,
}

/// Commands of a plan that the kernel would refuse; nothing was sent.
///
/// ```
/// use ipvs::{Change, Client, Command, Errno, Planner, Service, Table};
/// let director = Client::fake(Table::new());
/// # let mut other = Client::fake(Table::new());
/// // Read from another director, whose kernel has a scheduler that this one does not know.
/// let desired = other.table()?;
/// if let Err(rejected) = Change::prepare(Table::new(), desired, Planner::new()) {
///     for (command, cause) in &rejected.refusals {
///         eprintln!("{command:?}: {cause}");
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} of the commands would be refused, the first because {}", .refusals.len(), .refusals[0].1)]
pub struct Rejected {
    /// Which, and why; at least one.
    pub refusals: Vec<(Command, Cause)>,
}

/// A [`Change`] that was not made.
///
/// ```
/// use ipvs::{DirectorState, ChangeError};
/// fn is_harmless(unmade: &ChangeError) -> bool { matches!(unmade.state, DirectorState::Untouched | DirectorState::Undone) }
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{reason}; {state}")]
pub struct ChangeError {
    /// What stopped it.
    pub reason: StopReason,
    /// How the director is now.
    pub state: DirectorState,
}

/// What stopped a [`Change`].
///
/// ```
/// assert_eq!(ipvs::StopReason::Interrupted.to_string(), "interrupted");
/// ```
#[derive(Debug)]
pub enum StopReason {
    /// The kernel refused a command, after the table had been read and the change planned a second time.
    Refused(Command, Refusal),
    /// The progress callback broke.
    Interrupted,
    /// The hook failed.
    Hook(String),
    /// The conversation with the kernel failed.
    Failed(Error),
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopReason::Refused(command, refusal) => match command.service_key() {
                Some(key) => write!(f, "{} of {key} was refused: {refusal}", command.kind()),
                None => write!(f, "{} was refused: {refusal}", command.kind()),
            },
            StopReason::Interrupted => f.write_str("interrupted"),
            StopReason::Hook(why) => f.write_str(why),
            StopReason::Failed(error) => error.fmt(f),
        }
    }
}

/// How a director is after a [`Change`] that was not made.
///
/// ```
/// assert_eq!(ipvs::DirectorState::Undone.to_string(), "what had been changed was undone");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectorState {
    /// Nothing was sent.
    Untouched,
    /// The services that the change touched are as they were before. Destinations that had been deleted for a moment have
    /// counters of 0.
    Undone,
    /// Undoing was refused, too: part of the change is made. No service has lost its last usable destination by it, and it can
    /// be planned and made again.
    Partial,
    /// The kernel could not be asked. As before, or as desired, or between.
    Unknown,
}

impl fmt::Display for DirectorState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            DirectorState::Untouched => "nothing was changed",
            DirectorState::Undone => "what had been changed was undone",
            DirectorState::Partial => "part of the change was made, and could not be undone",
            DirectorState::Unknown => "it is unknown which part of the change was made",
        })
    }
}

/// Why [`Client::reconcile`] failed.
///
/// ```
/// use ipvs::{Client, ReconcileError, Table};
/// let state = match Client::fake(Table::new()).reconcile(&Table::new(), &Default::default()) {
///     Ok(applied) => format!("{} commands", applied.commands.len()),
///     Err(ReconcileError::Change(error)) => format!("not made: {}", error.state),
///     Err(error) => format!("nothing was sent: {error}"),
/// };
/// assert_eq!(state, "0 commands");
/// ```
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The table could not be read; nothing was sent.
    #[error(transparent)]
    Read(#[from] Error),
    /// It would be refused; nothing was sent.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// It could not be made.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

impl Client {
    /// Brings the director to the desired table by the smallest change: reads, plans, probes, tries out, makes. See [`Change`].
    ///
    /// Sync daemons and timeouts are part of a table: if those of `desired` mean nothing, use
    /// [`Planner::only_services`].
    ///
    /// ```
    /// use ipvs::{Client, Command, Planner, Service, Table};
    /// let mut director = Client::fake(Table::new());
    /// let mut desired = Table::new();
    /// desired.apply(&Command::AddService(Service::new("udp 192.0.2.1:53".parse()?)))?;
    /// let planner = Planner::new().only_services();
    /// assert_eq!(director.reconcile(&desired, &planner)?.commands.len(), 1);
    /// assert_eq!(director.reconcile(&desired, &planner)?.commands.len(), 0, "it is as desired");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`ReconcileError`].
    pub fn reconcile(&mut self, desired: &Table, planner: &Planner) -> Result<Applied, ReconcileError> {
        now(reconcile(&mut self.core, desired, planner))
    }
}

/// The same, for every client.
pub(crate) async fn reconcile<C: Carrier>(
    core: &mut Core<C>,
    desired: &Table,
    planner: &Planner,
) -> Result<Applied, ReconcileError> {
    let mut change = Change::planned(core.table(Detail::NoStatistics).await?, desired.clone(), planner.clone());
    core.probe(&mut change.before, change.plan.commands()).await?;
    let change = change.tried_out()?;
    Ok(change.apply_over(core, &mut |_| Ok(()), &mut |_| ControlFlow::Continue(())).await?)
}

/// As much of the table as decides over these commands, so that a small change of a large table costs little.
fn copy_for(plan: &Plan, table: &Table) -> Table {
    // A daemon can't start beside certain destinations, whichever service they are of.
    if plan.commands().iter().any(|command| matches!(command, Command::StartDaemon(_))) {
        return table.clone();
    }
    table.with_only(plan.commands().iter().filter_map(Command::service_key))
}

fn try_out(mut table: Table, plan: &Plan) -> Result<(), Rejected> {
    let refusal = |command: &Command| match table.explain(command) {
        Some(cause) => Some((*command, cause)),
        None => table.apply(command).err().and(None),
    };
    let refusals: Vec<_> = plan.commands().iter().filter_map(refusal).collect();
    if refusals.is_empty() { Ok(()) } else { Err(Rejected { refusals }) }
}

/// A planner for what these commands were about, and nothing else.
fn planner_of(commands: &[Command]) -> Planner {
    let mut planner = Planner::new().these_services(commands.iter().filter_map(Command::service_key));
    if !commands.iter().any(|command| matches!(command, Command::SetTimeouts(_))) {
        planner = planner.without_timeouts();
    }
    if !commands.iter().any(|command| matches!(command, Command::StartDaemon(_) | Command::StopDaemon(_))) {
        planner = planner.without_daemons();
    }
    planner
}

/// StopReason a plan was not carried out to its end.
struct Stop {
    reason: StopReason,
    /// So many of its commands may have reached the kernel.
    sent: usize,
    is_past_middle: bool,
}

/// Sends a plan. Its second part goes only when nothing of the first was refused, and the middle is done.
async fn carry_out<C: Carrier>(
    core: &mut Core<C>,
    plan: &Plan,
    phase: Phase,
    hook: &mut impl FnMut(Phase) -> Result<(), String>,
    on_progress: &mut impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<(), Stop> {
    let mut progress = Progress { phase, done: 0, total: plan.commands().len() };
    let (widening, narrowing) = plan.parts();
    let widened = send(core, widening, &mut progress, on_progress).await;
    let widened = widened.and_then(|()| hook(phase).map_err(StopReason::Hook));
    widened.map_err(|reason| Stop { reason, sent: progress.done, is_past_middle: false })?;
    let narrowed = send(core, narrowing, &mut progress, on_progress).await;
    narrowed.map_err(|reason| Stop { reason, sent: progress.done, is_past_middle: true })
}

async fn send<C: Carrier>(
    core: &mut Core<C>,
    commands: &[Command],
    progress: &mut Progress,
    on_progress: &mut impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<(), StopReason> {
    if commands.is_empty() {
        return Ok(());
    }
    if on_progress(*progress).is_break() {
        return Err(StopReason::Interrupted);
    }
    core.begin();
    let mut told = 0;
    for end in 1..=commands.len() {
        let is_full = core.gather(&commands[end - 1]);
        let outcomes = if is_full || end == commands.len() { core.flush().await } else { Ok(Vec::new()) };
        let outcomes = outcomes.map_err(|error| {
            // They may have been carried out all the same.
            progress.done += end - told;
            StopReason::Failed(error)
        })?;
        progress.done += outcomes.len();
        for (command, outcome) in commands[told..].iter().zip(&outcomes) {
            outcome.map_err(|refusal| StopReason::Refused(*command, refusal))?;
        }
        told += outcomes.len();
        if !outcomes.is_empty() && end < commands.len() && on_progress(*progress).is_break() {
            return Err(StopReason::Interrupted);
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
