//! Changing a director from one table to another while other programs change it, too.
//!
//! [`Client::reconcile`](crate::Client::reconcile) does it in one call. A [`Change`] is the same in
//! two: what it will do can be shown before it is made. A [`Planner`] limits what it may touch.
//!
//! ```
//! use ipvs::{Client, Command, Service, Table, change::Planner};
//! let mut director = Client::fake(Table::new());
//! let mut desired = Table::new();
//! desired.apply(&Command::AddService(Service::new("tcp 192.0.2.1:80".parse()?)))?;
//! let planner = Planner::new().only_services().max_deletions(10);
//! let applied = director.reconcile(&desired, &planner)?;
//! for command in &applied.commands {
//!     println!("{command}");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// `engine.rs` makes the attempts, `undo.rs` undoes them, `outcome.rs` has progress, results and
// errors.
mod engine;
mod others;
mod outcome;
mod part;
pub(crate) mod plan;
mod undo;

use std::ops::ControlFlow;

use self::engine::Engine;
pub use self::outcome::{
    Applied, ChangeError, ChangeReport, DeletionsError, DirectorState, Kept, KeptReason, Phase, Progress,
    ReconcileError, RefusedCommand, Rejected, StopReason,
};
pub use self::plan::{EntryKey, Plan, Planner, plan};
use crate::command::Command;
use crate::session::{NoTasks, Pace, Paced, Session, Transport, block_on_ready};
use crate::table::Table;

/// A change from one table to another: planned and tried out, not yet made.
///
/// The kernel has no transactions, no locks and no compare-and-swap, and other programs may add,
/// edit and delete the same entries at any moment. This is what [`apply`](Self::apply),
/// [`apply_with`](Self::apply_with) and [`Client::reconcile`](crate::Client::reconcile) promise
/// then:
///
/// - **Refusals that can be foreseen** are found by [`prepare`](Self::prepare), before anything is
///   sent.
/// - **Done already is done.** A service or a destination that is refused because it exists is
///   asked for, alone: if it is as desired, that command counts as done. So does the deletion of
///   what is gone, and the stop of a daemon that does not run. Nothing of this is this change's own
///   work, and it is never undone. Only [an owner's](crate::owners::Ledger::restrict) change stops
///   where another program has made one of its services since the table was read, even one that is
///   exactly as desired.
/// - **It converges instead of fighting.** If another writer made a difference that matters, the
///   table is read and the change planned again. There is another attempt as long as less differs
///   than ever before, or else up to 5 times, and at most 20 attempts. After that the change stops
///   with [`StopReason::Contended`], and
///   [`ChangeReport::remaining`](crate::change::ChangeReport::remaining) holds what still differed.
/// - **A refusal that no other writer caused** (a scheduler that the kernel lacks, no permission,
///   no memory) stops it at once.
/// - **Undo touches only what the kernel acknowledged to this change.** For each such command the
///   entry is asked for, and the command is taken back only if the entry is still exactly as this
///   change left it: an added service or destination is deleted, an edited one gets its former
///   values (or is reported, if another writer has changed other values of it), a deleted one comes
///   back if it is absent (a service with its destinations). A service that this change added stays
///   if it has a destination that this change did not add. What another writer has changed since is
///   left as it is. A destination that was added or became usable stays, too, if it is the last
///   usable one of a service that had one at the start, whatever became of that one: undo takes no
///   last usable destination away.
/// - **What is reported is what was done**: [`Applied`] and [`ChangeError`] hold the commands that
///   the kernel carried out, in order, and what stays although it should have been undone. A
///   command whose acknowledgement was lost is never undone: the table shows whether it may have
///   been carried out, and then it is reported.
/// - **A success was looked at.** After the last command, each service that the change sent a
///   command about is read again, with its destinations; so are timeouts and sync daemons if they
///   were changed. Of the other desired services, it is asked whether they are there. If another
///   writer has undone any of this, with `ipvsadm -C` for example, the change is planned again. If
///   the change adds or edits something before it deletes, the same is read before the deletions
///   begin, so that everything that is to be there is there. What
///   another writer changes once it was read, or of a service that the change sent nothing about,
///   is left to the next change, as what it changes after the end is. So are services that it adds.
///   A change that has nothing to send reads nothing again.
///
/// Two windows remain, as the kernel offers no way to close them:
///
/// - Between the question for an entry and the command that depends on the reply there is one send.
///   For a service with more destinations than one send has commands, a reply is relied on for as
///   many commands as it had entries: asking more often would take longer than sending. What
///   another writer does to the same entry in just that time is overwritten. This is so for the
///   undo, for weights that are kept ([`Planner::keep_weights`]), for limited deletions
///   ([`Planner::only_these_deletions`], [`Planner::max_deletions`]), and for all commands about
///   services if the planner is [an owner's](crate::owners::Ledger::restrict): what another program
///   has made of such a service, or of a destination that is to be edited or deleted, since the
///   table was read is then left alone, and the change stops. Destinations that another program has
///   added to an owner's service, or edited, do not stop it once there is nothing left to send
///   about them. Nothing is sent about an entry that
///   the reply does not have: the change is planned again. A service that another program deleted
///   and made again with the same configuration can't be distinguished from the former one. An
///   owner's destinations that are sent together with their service go to another program's service
///   if that takes its place in just that time, or if it was made since the reading: then they are
///   undone.
/// - All other edits and deletions overwrite what another writer made of the entry after the table
///   was read: the desired state asks for that, and undo restores what was read.
///
/// ```
/// use std::ops::ControlFlow;
/// use ipvs::{Client, Command, Service, Table, change::{Change, Planner}};
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
    /// Plans the change from `before`, which was just read, to `desired`, and tries it on a copy of
    /// what it is about.
    ///
    /// What `before` does not know of its kernel is left to the kernel to refuse, unless it was
    /// asked before: [`Client::probe`](crate::Client::probe).
    ///
    /// ```
    /// use ipvs::{Command, Scheduler, Service, Table, change::{Change, Planner}};
    /// let service = Service::new("mark 1".parse()?).with_scheduler(Scheduler::new("fastest")?);
    /// let mut desired = Table::new().with_module(service.scheduler);
    /// desired.apply(&Command::AddService(service))?;
    /// let rejected = Change::prepare(Table::new(), desired, Planner::new()).unwrap_err();
    /// assert_eq!(rejected.refusals.len(), 1, "this kernel has no such scheduler");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// All refusals that can be foreseen.
    pub fn prepare(before: Table, desired: Table, planner: Planner) -> Result<Self, Rejected> {
        let plan = planner.plan(&before, &desired);
        block_on_ready(try_out(&before, &plan, &mut Paced::new(&mut NoTasks)))?;
        Ok(Change { before, desired, planner, plan })
    }

    /// What it will do if no other writer changes the director meanwhile.
    ///
    /// ```
    /// use ipvs::{Command, Service, Table, change::{Change, Planner}};
    /// let mut desired = Table::new();
    /// desired.apply(&Command::AddService(Service::new("mark 1".parse()?)))?;
    /// let change = Change::prepare(Table::new(), desired, Planner::new())?;
    /// for command in change.plan().commands() {
    ///     println!("{command}"); // -A -f 1 -s wlc
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What was there when it was planned.
    pub fn before(&self) -> &Table {
        &self.before
    }

    /// What will be there when it is made, as far as the planner concerns it.
    pub fn desired(&self) -> &Table {
        &self.desired
    }

    /// Makes the change, for every client.
    pub(crate) async fn apply_over<C: Transport>(
        &self,
        session: &mut Session<C>,
        hook: impl FnMut(Phase) -> Result<(), String>,
        on_progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Applied, ChangeError> {
        let Change { before, desired, planner, plan } = self;
        Engine::new(ChangeRef { before, desired, planner, plan }, session, hook, on_progress).run().await
    }
}

/// A [`Change`] of borrowed tables: a copy of large ones would take long between two yields.
#[derive(Clone, Copy)]
struct ChangeRef<'c> {
    before: &'c Table,
    desired: &'c Table,
    planner: &'c Planner,
    plan: &'c Plan,
}

/// Brings the director to the desired table, for every client.
pub(crate) async fn reconcile<C: Transport>(
    session: &mut Session<C>,
    desired: &Table,
    planner: &Planner,
) -> Result<Applied, ReconcileError> {
    let mut before = session.table_for(planner, desired).await?;
    let plan = planner.plan_paced(&before, desired, &mut session.paced()).await;
    session.probe(&mut before, plan.commands()).await?;
    try_out(&before, &plan, &mut session.paced()).await?;
    let change = ChangeRef { before: &before, desired, planner, plan: &plan };
    let applied = Engine::new(change, session, |_| Ok(()), |_| ControlFlow::Continue(())).run().await;
    session.paced().discard(before).await;
    Ok(applied?)
}

/// Tries a plan on a copy of what it is about.
async fn try_out<P: Pace>(before: &Table, plan: &Plan, paced: &mut Paced<'_, P>) -> Result<(), Rejected> {
    if plan.is_empty() {
        return Ok(());
    }
    let mut table = copy_for(plan, before, paced).await;
    // Whether a destination was added decides about no other command of a plan, except about
    // daemons. A large table of them would need as much memory as the desired one.
    let starts_daemons = plan.commands().iter().any(|command| matches!(command, Command::StartDaemon(_)));
    let mut refusals = Vec::new();
    for command in plan.commands() {
        paced.step(1).await;
        match table.explain(command) {
            Some(cause) => refusals.push((*command, cause)),
            None if !starts_daemons && matches!(command, Command::AddDestination(..)) => {}
            None => drop(table.apply(command)),
        }
    }
    paced.discard(table).await;
    if refusals.is_empty() { Ok(()) } else { Err(Rejected { refusals }) }
}

/// As much of the table as decides over these commands, so that a small change of a large table
/// costs little.
async fn copy_for<P: Pace>(plan: &Plan, table: &Table, paced: &mut Paced<'_, P>) -> Table {
    // A daemon can't start beside certain destinations, whichever service they are of.
    if plan.commands().iter().any(|command| matches!(command, Command::StartDaemon(_))) {
        let mut copy = table.without_services();
        for entry in table.services() {
            paced.step(1).await;
            copy.adopt(entry.clone());
        }
        return copy;
    }
    let mut copy = table.without_services();
    // The service that is deleted first stands last, so that no other one has to move up.
    for key in plan.commands().iter().rev().filter_map(Command::service_key) {
        paced.step(1).await;
        if let Some(entry) = table.service(&key).filter(|_| copy.service(&key).is_none()) {
            copy.adopt(entry.clone());
        }
    }
    copy
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod law;

#[cfg(test)]
mod reading_laws;

#[cfg(test)]
mod fault_tests;

#[cfg(test)]
mod question_tests;
