//! How a change went: progress, result, error.

use std::fmt;

use crate::cause::Cause;
use crate::command::Command;
use crate::error::Error;
use crate::refusal::Refusal;
use crate::report::Report;
use crate::service::ServiceKey;

/// How far a [`Change`](crate::change::Change) is.
///
/// ```
/// use ipvs::change::Progress;
/// let show = |progress: Progress| {
///     println!("{}: {} of {}", progress.phase, progress.done, progress.total)
/// };
/// # let _ = show;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Doing what.
    pub phase: Phase,
    /// How many commands of the phase were dealt with.
    pub done: usize,
    /// How many commands the phase has.
    pub total: usize,
}

/// What a [`Change`](crate::change::Change) does.
///
/// ```
/// assert_eq!(ipvs::change::Phase::Undoing.to_string(), "undoing");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// The first attempt.
    Applying,
    /// A later one, after another writer changed the same entries or a reply was lost.
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

/// A [`Change`](crate::change::Change) that was made, and was still so when it was read afterwards.
///
/// ```
/// fn was_disturbed(applied: &ipvs::change::Applied) -> bool { applied.attempts > 1 }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// The commands that the kernel carried out, in order, in all attempts.
    pub commands: Vec<Command>,
    /// Commands that another writer had made needless before they arrived: the entry was as desired
    /// already, or gone.
    pub already_done: Vec<Command>,
    /// Commands whose acknowledgement was lost, and which the table shows as carried out, by this
    /// change or another writer.
    pub unacknowledged: Vec<Command>,
    /// How many attempts it took: more than one if another writer changed the same entries
    /// meanwhile, or if a reply was lost; 0 if everything was as desired.
    pub attempts: usize,
}

/// Commands of a plan that the kernel would refuse.
///
/// ```
/// use ipvs::{Client, Command, Errno, Service, Table, change::{Change, Planner}};
/// let director = Client::fake(Table::new());
/// # let mut other = Client::fake(Table::new());
/// // Read from another director, whose kernel has a scheduler that this one does not know.
/// let desired = other.table()?;
/// if let Err(rejected) = Change::prepare(Table::new(), desired, Planner::new()) {
///     for (command, cause) in &rejected.refusals {
///         eprintln!("{command}: {cause}");
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} of the commands would be refused{}", .refusals.len(), first(.refusals))]
#[non_exhaustive]
pub struct Rejected {
    /// Which, and why; at least one.
    pub refusals: Vec<(Command, Cause)>,
}

fn first(refusals: &[(Command, Cause)]) -> String {
    let describe = |(command, cause): &(Command, Cause)| format!(", the first is `{command}`: {cause}");
    refusals.first().map(describe).unwrap_or_default()
}

/// A [`Change`](crate::change::Change) that was not made.
///
/// What it displays has the causes of its reason, too, so it has no source.
///
/// ```
/// use ipvs::change::{ChangeError, DirectorState};
/// fn is_harmless(error: &ChangeError) -> bool {
///     matches!(error.state, DirectorState::Untouched | DirectorState::Undone)
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{reason}; {state}")]
#[non_exhaustive]
pub struct ChangeError {
    /// What stopped it.
    pub reason: StopReason,
    /// How the director is now.
    pub state: DirectorState,
    /// What was done, and what was not undone.
    pub report: Box<ChangeReport>,
}

/// What a [`Change`](crate::change::Change) that was not made has done: part of each
/// [`ChangeError`].
///
/// ```
/// fn log(report: &ipvs::change::ChangeReport) {
///     for kept in &report.kept {
///         eprintln!("{} stays: {}", kept.command, kept.reason);
///     }
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChangeReport {
    /// The commands that the kernel carried out before the undo, in order, in all attempts.
    pub applied: Vec<Command>,
    /// The commands that the undo carried out, in order.
    pub undone: Vec<Command>,
    /// What this change did, or may have done, that was not undone, and why.
    pub kept: Vec<Kept>,
    /// Why the hook could not undo its own work, if that stays: see
    /// [`Change::apply_with`](crate::change::Change::apply_with).
    pub hook: Option<String>,
    /// With [`StopReason::Contended`]: the commands that would still have been needed when the
    /// table was last read, before the undo. With an owner's planner, the additions of services
    /// that another writer had made by then come first.
    pub remaining: Vec<Command>,
    /// How many attempts were made.
    pub attempts: usize,
}

/// A command of a [`Change`](crate::change::Change) whose effect stays after an undo.
///
/// ```
/// fn show(kept: &ipvs::change::Kept) -> String {
///     format!("{} stays: {}", kept.command, kept.reason)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kept {
    /// The command.
    pub command: Command,
    /// Why it was not taken back.
    pub reason: KeptReason,
}

/// Why the effect of a command stays after an undo.
///
/// ```
/// assert_eq!(
///     ipvs::change::KeptReason::Changed.to_string(),
///     "another writer has changed it since"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeptReason {
    /// The entry is not as this change left it.
    Changed,
    /// The service has a destination that this change did not add.
    InUse,
    /// The kernel's reply was lost, and the entry is as the command makes it: it may be another
    /// writer's.
    Unacknowledged,
    /// Without it the service would have no usable destination. It had one at the start, which did
    /// not come back, or which another writer has taken away.
    LastUsable,
    /// The hook could not undo its own work, which relies on it.
    Hook(String),
    /// The kernel refused to take it back.
    Refused(Refusal),
}

impl fmt::Display for KeptReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeptReason::Changed => f.write_str("another writer has changed it since"),
            KeptReason::InUse => f.write_str("it has a destination that another writer added"),
            KeptReason::Unacknowledged => f.write_str("the kernel's reply was lost, so it may be another writer's"),
            KeptReason::LastUsable => f.write_str("without it the service would have no usable destination"),
            KeptReason::Hook(reason) => f.write_str(reason),
            KeptReason::Refused(refusal) => refusal.fmt(f),
        }
    }
}

/// A command that the kernel refused, and why.
///
/// ```
/// fn is_worth_a_try(refused: &ipvs::change::RefusedCommand) -> bool {
///     refused.refusal.errno == ipvs::Errno::ENOMEM
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusedCommand {
    /// The command.
    pub command: Command,
    /// The kernel's refusal.
    pub refusal: Refusal,
    /// The cause, if the kernel's table shows one.
    pub cause: Option<Cause>,
}

impl fmt::Display for RefusedCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` was refused: ", self.command)?;
        match &self.cause {
            Some(cause) => cause.fmt(f),
            None => self.refusal.fmt(f),
        }
    }
}

/// Why a [`Change`](crate::change::Change) may not delete what it would have to: the limits of its
/// [`Planner`](crate::change::Planner).
///
/// ```
/// let error = ipvs::change::DeletionsError::TooMany { services: 4, destinations: 31, limit: 10 };
/// assert_eq!(
///     error.to_string(),
///     "4 services and 31 destinations would be deleted, and at most 10 entries may be"
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeletionsError {
    /// More than [`Planner::max_deletions`](crate::change::Planner::max_deletions).
    #[error("{services} services and {destinations} destinations would be deleted, and at most {limit} entries may be")]
    TooMany {
        /// How many services would be deleted, those of earlier attempts included.
        services: usize,
        /// How many destinations, those of deleted services included.
        destinations: usize,
        /// How many services and destinations may be deleted together.
        limit: usize,
    },
    /// A service that is not among
    /// [`Planner::approved_deletions`](crate::change::Planner::approved_deletions).
    #[error("{0} would be deleted, and that was not approved")]
    NotApproved(ServiceKey),
}

/// What stopped a [`Change`](crate::change::Change).
///
/// ```
/// assert_eq!(ipvs::change::StopReason::Interrupted.to_string(), "interrupted");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum StopReason {
    /// The kernel refused a command, and another attempt could not have cured that.
    Refused(Box<RefusedCommand>),
    /// When the table was read again, what was left to do had become impossible.
    Rejected(Rejected),
    /// More would be deleted than the planner allows.
    Deletions(DeletionsError),
    /// Other writers changed the same entries during each attempt: see [`ChangeReport::remaining`].
    Contended,
    /// The progress callback broke.
    Interrupted,
    /// The hook failed.
    Hook(String),
    /// The exchange with the kernel failed.
    Failed(Error),
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopReason::Refused(refused) => refused.fmt(f),
            StopReason::Rejected(rejected) => rejected.fmt(f),
            StopReason::Deletions(error) => error.fmt(f),
            StopReason::Contended => f.write_str("other writers kept changing the same services"),
            StopReason::Interrupted => f.write_str("interrupted"),
            StopReason::Hook(reason) => f.write_str(reason),
            StopReason::Failed(error) => Report::new(error).fmt(f),
        }
    }
}

/// How a director is after a [`Change`](crate::change::Change) that was not made.
///
/// ```
/// assert_eq!(ipvs::change::DirectorState::Undone.to_string(), "what had been changed was undone");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectorState {
    /// The kernel carried out nothing of it.
    Untouched,
    /// Nothing that this change made is left: each entry that it touched is as before, or as
    /// another writer has made it since. Destinations that had been deleted for a moment have
    /// counters of 0.
    Undone,
    /// Part of the change, or of what the hook did, stays: [`ChangeReport::kept`] and
    /// [`ChangeReport::hook`] say what, and why. No service that had a usable destination at the
    /// start has lost its last one by the undo, and it can be planned and applied again.
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

/// Why [`Client::reconcile`](crate::Client::reconcile) failed.
///
/// ```
/// use ipvs::{Client, Table, change::ReconcileError};
/// let state = match Client::fake(Table::new()).reconcile(&Table::new(), &Default::default()) {
///     Ok(applied) => format!("{} commands", applied.commands.len()),
///     Err(ReconcileError::Change(error)) => format!("not made: {}", error.state),
///     Err(error) => format!("nothing was sent: {error}"),
/// };
/// assert_eq!(state, "0 commands");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReconcileError {
    /// The table could not be read; nothing was sent.
    #[error(transparent)]
    Read(#[from] Error),
    /// It would be refused; nothing was sent.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// It could not be made.
    #[error(transparent)]
    Change(Box<ChangeError>),
}

impl From<ChangeError> for ReconcileError {
    fn from(error: ChangeError) -> Self {
        ReconcileError::Change(Box::new(error))
    }
}
