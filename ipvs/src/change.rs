//! Bringing a director from one table to another, or leaving it as it was.

use std::fmt;
use std::ops::ControlFlow;

use crate::client::{Carrier, Client, Core, now};
use crate::command::Command;
use crate::error::{Error, Refusal};
use crate::plan::{Plan, Planner};
use crate::table::Table;
use crate::wire::Detail;

/// A change from one table to another, planned and tried out, but not yet made.
///
/// The kernel has no transactions; this comes as near to one as can be. What can be foreseen to be refused is found by
/// [`prepare`](Self::prepare), before anything is sent. When [`make`](Self::make) is refused something nevertheless, or loses
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
/// change.make(&mut director, &mut |_| ControlFlow::Continue(()))?;
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
    /// # Errors
    /// All refusals that can be foreseen.
    pub fn prepare(before: Table, desired: Table, planner: Planner) -> Result<Self, Impossible> {
        let plan = planner.plan(&before, &desired);
        if !plan.is_empty() {
            try_out(copy_for(&plan, &before), &plan)?;
        }
        Ok(Change { before, desired, planner, plan })
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
    /// `watch` hears of the progress before anything is sent and after each datagram; if it breaks, what was done is undone.
    ///
    /// # Errors
    /// Why it could not be made, and what state the director is in.
    pub fn make(&self, client: &mut Client, watch: &mut Watch<'_>) -> Result<Made, Unmade> {
        self.make_around(client, &mut |_| Ok(()), watch)
    }

    /// Makes the change, and in its middle another one elsewhere, such as that of the rules that mark packets for services:
    /// when all that comes is there, and all that goes is there still. If it fails, or something fails after it, all is undone,
    /// and in the middle of that it is called again, with [`Stage::Undoing`], to undo its own.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use ipvs::{Change, Client, Command, Planner, Service, Stage, Table};
    /// let mut director = Client::fake(Table::new());
    /// let mut desired = Table::new();
    /// desired.apply(&Command::AddService(Service::new("mark 10".parse()?)))?;
    /// let change = Change::prepare(Table::new(), desired, Planner::new())?;
    /// let mut steps = Vec::new();
    /// let mut set_marks = |stage| { steps.push(stage); Ok(()) };
    /// change.make_around(&mut director, &mut set_marks, &mut |_| ControlFlow::Continue(()))?;
    /// assert_eq!(steps, [Stage::Making]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`make`](Self::make), and [`Why::Middle`].
    pub fn make_around(
        &self,
        client: &mut Client,
        middle: &mut Middle<'_>,
        watch: &mut Watch<'_>,
    ) -> Result<Made, Unmade> {
        now(self.make_over(&mut client.core, middle, watch))
    }

    /// The same, for every client.
    pub(crate) async fn make_over<C: Carrier, M: Step + ?Sized, W: Watcher + ?Sized>(
        &self,
        core: &mut Core<C>,
        middle: &mut M,
        watch: &mut W,
    ) -> Result<Made, Unmade> {
        let first = match carry_out(core, &self.plan, Stage::Making, middle, watch).await {
            Ok(()) => return Ok(Made { commands: self.plan.commands().len(), again: false }),
            Err(stop) => stop,
        };
        let attempt = Attempt::new(&self.before, &self.plan, &first);
        if matches!(first.why, Why::Interrupted | Why::Middle(_)) || first.sent == 0 {
            return Err(undo(core, first.why, &[attempt], middle, watch).await);
        }
        let Ok(present) = core.table(Detail::NoStatistics).await else {
            return Err(Unmade { why: first.why, state: State::Unknown });
        };
        let plan = self.planner.plan(&present, &self.desired);
        match carry_out(core, &plan, Stage::Again, middle, watch).await {
            Ok(()) => Ok(Made { commands: plan.commands().len(), again: true }),
            Err(second) => {
                let attempts = [attempt, Attempt::new(&present, &plan, &second)];
                Err(undo(core, second.why, &attempts, middle, watch).await)
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
async fn undo<C: Carrier, M: Step + ?Sized, W: Watcher + ?Sized>(
    core: &mut Core<C>,
    why: Why,
    attempts: &[Attempt<'_>],
    middle: &mut M,
    watch: &mut W,
) -> Unmade {
    let is_past_middle = attempts.iter().any(|attempt| attempt.is_past_middle);
    if !is_past_middle && attempts.iter().all(|attempt| attempt.sent.is_empty()) {
        return Unmade { why, state: State::Untouched };
    }
    let mut middle = |stage| if is_past_middle { middle(stage) } else { Ok(()) };
    // There is nothing better to do than to go on.
    let mut watch = |progress| {
        let _ = watch(progress);
        ControlFlow::Continue(())
    };
    for attempt in attempts.iter().rev() {
        let Ok(present) = core.table(Detail::NoStatistics).await else {
            return Unmade { why, state: State::Unknown };
        };
        let back = planner_of(attempt.sent).plan(&present, attempt.from);
        match carry_out(core, &back, Stage::Undoing, &mut middle, &mut watch).await {
            Ok(()) => {}
            Err(Stop { why: Why::Failed(_), .. }) => return Unmade { why, state: State::Unknown },
            Err(_) => return Unmade { why, state: State::Between },
        }
    }
    Unmade { why, state: State::Undone }
}

/// Hears of the progress of a [`Change`]; when it breaks, the change is undone.
pub type Watch<'w> = dyn FnMut(Progress) -> ControlFlow<()> + 'w;

/// What hears of the progress, also where it must be fit to go from thread to thread.
pub(crate) trait Watcher: FnMut(Progress) -> ControlFlow<()> {}

impl<W: FnMut(Progress) -> ControlFlow<()> + ?Sized> Watcher for W {}

/// What is done in the middle of a [`Change`], or its opposite where that is undone; if it fails, it says why, and has done nothing.
pub type Middle<'m> = dyn FnMut(Stage) -> Result<(), String> + 'm;

/// What is done in the middle, also where it must be fit to go from thread to thread.
pub(crate) trait Step: FnMut(Stage) -> Result<(), String> {}

impl<S: FnMut(Stage) -> Result<(), String> + ?Sized> Step for S {}

/// How far a [`Change`] is.
///
/// ```
/// use ipvs::Progress;
/// let show = |progress: Progress| println!("{}: {} of {}", progress.stage, progress.done, progress.total);
/// # let _ = show;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Doing what.
    pub stage: Stage,
    /// So many commands of the stage were carried out.
    pub done: usize,
    /// So many commands has the stage.
    pub total: usize,
}

/// What a [`Change`] does.
///
/// ```
/// assert_eq!(ipvs::Stage::Undoing.to_string(), "undoing");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The first attempt.
    Making,
    /// The second one, after something was refused or lost.
    Again,
    /// Back to what was.
    Undoing,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Stage::Making => "making",
            Stage::Again => "trying again",
            Stage::Undoing => "undoing",
        })
    }
}

/// A [`Change`] that was made.
///
/// ```
/// fn was_disturbed(made: &ipvs::Made) -> bool { made.again }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// So many commands were sent, in the attempt that succeeded.
    pub commands: usize,
    /// It took a second attempt: somebody else changed the director meanwhile.
    pub again: bool,
}

/// Commands of a plan that the kernel would refuse; nothing was sent.
///
/// ```
/// use ipvs::{Change, Client, Command, Errno, Planner, Service, Table};
/// let director = Client::fake(Table::new());
/// # let mut other = Client::fake(Table::new());
/// // Read from another director, whose kernel has a scheduler that this one does not know.
/// let desired = other.table()?;
/// if let Err(impossible) = Change::prepare(Table::new(), desired, Planner::new()) {
///     for (command, refusal) in &impossible.refusals {
///         eprintln!("{command:?}: {refusal}");
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} of the commands would be refused, the first with: {}", .refusals.len(), .refusals[0].1)]
pub struct Impossible {
    /// Which, and why; at least one.
    pub refusals: Vec<(Command, Refusal)>,
}

/// A [`Change`] that was not made.
///
/// ```
/// use ipvs::{State, Unmade};
/// fn is_harmless(unmade: &Unmade) -> bool { matches!(unmade.state, State::Untouched | State::Undone) }
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{why}; {state}")]
pub struct Unmade {
    /// What stopped it.
    pub why: Why,
    /// How the director is now.
    pub state: State,
}

/// What stopped a [`Change`].
///
/// ```
/// assert_eq!(ipvs::Why::Interrupted.to_string(), "interrupted");
/// ```
#[derive(Debug)]
pub enum Why {
    /// The kernel refused a command, after the table had been read and the change planned a second time.
    Refused(Command, Refusal),
    /// The watcher broke.
    Interrupted,
    /// What was to be done in the middle of it could not be done.
    Middle(String),
    /// The conversation with the kernel failed.
    Failed(Error),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Refused(command, refusal) => match command.service_key() {
                Some(key) => write!(f, "{} of {key} was refused: {refusal}", command.kind()),
                None => write!(f, "{} was refused: {refusal}", command.kind()),
            },
            Why::Interrupted => f.write_str("interrupted"),
            Why::Middle(why) => f.write_str(why),
            Why::Failed(error) => error.fmt(f),
        }
    }
}

/// How a director is after a [`Change`] that was not made.
///
/// ```
/// assert_eq!(ipvs::State::Undone.to_string(), "what had been changed was undone");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing was sent.
    Untouched,
    /// The services that the change touched are as they were before. Destinations that had been deleted for a moment have
    /// counters of 0.
    Undone,
    /// Undoing was refused, too: part of the change is made. No service has lost its last usable destination by it, and it can
    /// be planned and made again.
    Between,
    /// The kernel could not be asked. As before, or as desired, or between.
    Unknown,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            State::Untouched => "nothing was changed",
            State::Undone => "what had been changed was undone",
            State::Between => "part of the change was made, and could not be undone",
            State::Unknown => "it is unknown which part of the change was made",
        })
    }
}

/// Why [`Client::reconcile`] failed.
///
/// ```
/// use ipvs::{Client, ReconcileError, Table};
/// let state = match Client::fake(Table::new()).reconcile(&Table::new(), &Default::default()) {
///     Ok(made) => format!("{} commands", made.commands),
///     Err(ReconcileError::Unmade(unmade)) => format!("not made: {}", unmade.state),
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
    Impossible(#[from] Impossible),
    /// It could not be made.
    #[error(transparent)]
    Unmade(#[from] Unmade),
}

impl Client {
    /// Brings the director to the desired table by the smallest change: reads, plans, tries out, makes. See [`Change`].
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
    /// assert_eq!(director.reconcile(&desired, &planner)?.commands, 1);
    /// assert_eq!(director.reconcile(&desired, &planner)?.commands, 0, "it is as desired");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`ReconcileError`].
    pub fn reconcile(&mut self, desired: &Table, planner: &Planner) -> Result<Made, ReconcileError> {
        now(reconcile(&mut self.core, desired, planner))
    }
}

/// The same, for every client.
pub(crate) async fn reconcile<C: Carrier>(
    core: &mut Core<C>,
    desired: &Table,
    planner: &Planner,
) -> Result<Made, ReconcileError> {
    let change = Change::prepare(core.table(Detail::NoStatistics).await?, desired.clone(), planner.clone())?;
    Ok(change.make_over(core, &mut |_| Ok(()), &mut |_| ControlFlow::Continue(())).await?)
}

/// As much of the table as decides over these commands, so that a small change of a large table costs little.
fn copy_for(plan: &Plan, table: &Table) -> Table {
    // A daemon can't start beside certain destinations, whichever service they are of.
    if plan.commands().iter().any(|command| matches!(command, Command::StartDaemon(_))) {
        return table.clone();
    }
    table.with_only(plan.commands().iter().filter_map(Command::service_key))
}

fn try_out(mut table: Table, plan: &Plan) -> Result<(), Impossible> {
    let refusal = |command: &Command| Some((*command, table.apply(command).err()?));
    let refusals: Vec<_> = plan.commands().iter().filter_map(refusal).collect();
    if refusals.is_empty() { Ok(()) } else { Err(Impossible { refusals }) }
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

/// Why a plan was not carried out to its end.
struct Stop {
    why: Why,
    /// So many of its commands may have reached the kernel.
    sent: usize,
    is_past_middle: bool,
}

/// Sends a plan. Its second part goes only when nothing of the first was refused, and the middle is done.
async fn carry_out<C: Carrier, M: Step + ?Sized, W: Watcher + ?Sized>(
    core: &mut Core<C>,
    plan: &Plan,
    stage: Stage,
    middle: &mut M,
    watch: &mut W,
) -> Result<(), Stop> {
    let mut progress = Progress { stage, done: 0, total: plan.commands().len() };
    let (widening, narrowing) = plan.parts();
    let widened = send(core, widening, &mut progress, watch).await;
    let widened = widened.and_then(|()| middle(stage).map_err(Why::Middle));
    widened.map_err(|why| Stop { why, sent: progress.done, is_past_middle: false })?;
    let narrowed = send(core, narrowing, &mut progress, watch).await;
    narrowed.map_err(|why| Stop { why, sent: progress.done, is_past_middle: true })
}

async fn send<C: Carrier, W: Watcher + ?Sized>(
    core: &mut Core<C>,
    commands: &[Command],
    progress: &mut Progress,
    watch: &mut W,
) -> Result<(), Why> {
    if commands.is_empty() {
        return Ok(());
    }
    if watch(*progress).is_break() {
        return Err(Why::Interrupted);
    }
    core.begin();
    let mut told = 0;
    for end in 1..=commands.len() {
        let is_full = core.gather(&commands[end - 1]);
        let outcomes = if is_full || end == commands.len() { core.flush().await } else { Ok(Vec::new()) };
        let outcomes = outcomes.map_err(|error| {
            // They may have been carried out all the same.
            progress.done += end - told;
            Why::Failed(error)
        })?;
        progress.done += outcomes.len();
        for (command, outcome) in commands[told..].iter().zip(&outcomes) {
            outcome.map_err(|refusal| Why::Refused(*command, refusal))?;
        }
        told += outcomes.len();
        if !outcomes.is_empty() && end < commands.len() && watch(*progress).is_break() {
            return Err(Why::Interrupted);
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
