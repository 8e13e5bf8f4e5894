//! Changes of whole tables.

use std::ops::ControlFlow;

use super::Client;
use crate::change::{Applied, Change, ChangeError, Phase, Planner, Progress, ReconcileError, reconcile};
use crate::session::block_on_ready;
use crate::table::Table;

impl Client {
    /// Brings the director to the desired table by the smallest change: reads, plans, probes, tries
    /// out, applies. [`Change`] says what holds while other programs change the same entries.
    ///
    /// Sync daemons and timeouts are part of a table: if those of `desired` mean nothing, use
    /// [`Planner::only_services`].
    ///
    /// ```
    /// use ipvs::{Client, Command, Service, Table, change::Planner};
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
        block_on_ready(reconcile(&mut self.session, desired, planner))
    }
}

impl Change {
    /// Makes the change. An empty one sends nothing.
    ///
    /// `on_progress` is called before anything is sent and after each datagram; if it breaks, what
    /// was done is undone.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use ipvs::{Client, Command, Service, Table, change::{Change, Planner}};
    /// let mut director = Client::fake(Table::new());
    /// let mut desired = Table::new();
    /// desired.apply(&Command::AddService(Service::new("mark 10".parse()?)))?;
    /// let change = Change::prepare(director.table()?, desired, Planner::new())?;
    /// let applied = change.apply(&mut director, |progress| {
    ///     eprintln!("{}: {} of {}", progress.phase, progress.done, progress.total);
    ///     ControlFlow::Continue(()) // Break, to undo it
    /// })?;
    /// assert_eq!(applied.commands.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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

    /// As [`apply`](Self::apply), and calls `hook` in the middle of the change for another change
    /// elsewhere, such as that of the rules that mark packets for services.
    ///
    /// The hook is called when all that is to be there is there, and before this change has deleted
    /// anything. It is called once, however many attempts the change takes, and even if nothing
    /// else is to be changed. A hook that fails says why, and must have done nothing; then all is
    /// undone. If something fails after the hook succeeded, it is called again, with
    /// [`Phase::Undoing`], to undo its own work: after what was deleted is back, and before what
    /// was added is deleted.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use ipvs::{Client, Command, Service, Table, change::{Change, Phase, Planner}};
    /// let mut director = Client::fake(Table::new());
    /// let mut desired = Table::new();
    /// desired.apply(&Command::AddService(Service::new("mark 10".parse()?)))?;
    /// let change = Change::prepare(Table::new(), desired, Planner::new())?;
    /// let mut calls = Vec::new();
    /// let set_marks = |phase| { calls.push(phase); Ok(()) };
    /// change.apply_with(&mut director, set_marks, |_| ControlFlow::Continue(()))?;
    /// assert_eq!(calls, [Phase::Applying]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`apply`](Self::apply), and [`StopReason::Hook`](crate::change::StopReason::Hook).
    pub fn apply_with(
        &self,
        client: &mut Client,
        mut hook: impl FnMut(Phase) -> Result<(), String>,
        mut on_progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Applied, ChangeError> {
        self.apply_by(client, &mut hook, &mut on_progress)
    }

    /// The same. It has no type parameters, so that a program has one copy of all this, whatever it
    /// calls it with.
    fn apply_by(
        &self,
        client: &mut Client,
        hook: &mut dyn FnMut(Phase) -> Result<(), String>,
        on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Applied, ChangeError> {
        block_on_ready(self.apply_over(&mut client.session, hook, on_progress))
    }
}
