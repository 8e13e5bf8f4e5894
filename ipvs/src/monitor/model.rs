//! What the table is to be after all that was seen, to compare the kernel's with.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::change::Planner;
use crate::command::Command;
use crate::daemon::DaemonRole;
use crate::service::ServiceKey;
use crate::table::Table;

/// The least time between two readings, however many packets are lost.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Model {
    /// `None` before the first reading.
    table: Option<Table>,
    interval: Duration,
    next: Option<Instant>,
    last: Option<Instant>,
    /// What was changed, or may have been, since a reading began: that does not say what it holds
    /// of them.
    touched: Touched,
    /// What the model does not know, because it changed during the first reading.
    unknown: Touched,
}

/// Parts of a table.
#[derive(Debug, Default)]
struct Touched {
    all: bool,
    services: HashSet<ServiceKey>,
    settings: bool,
}

impl Touched {
    fn note(&mut self, command: &Command) {
        match command {
            Command::Zero(_) => {}
            Command::Flush => self.all = true,
            Command::SetTimeouts(_) | Command::StartDaemon(_) | Command::StopDaemon(_) => self.settings = true,
            _ => self.services.extend(command.service_key()),
        }
    }

    fn has(&self, key: &ServiceKey) -> bool {
        self.all || self.services.contains(key)
    }
}

impl Model {
    pub(super) fn new(interval: Duration) -> Self {
        Model {
            table: None,
            interval,
            next: None,
            last: None,
            touched: Touched::default(),
            unknown: Touched::default(),
        }
    }

    /// When the table is to be read, if not now.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| next <= now)
    }

    /// Something may be missing: reads soon.
    pub(super) fn hurry(&mut self, now: Instant) {
        let soon = self.last.map_or(now, |last| now.max(last + PAUSE));
        self.next = self.next.map(|next| next.min(soon));
    }

    /// The module was unloaded or loaded: the table is empty.
    pub(super) fn emptied(&mut self) {
        *self = Model { table: Some(Table::new()), ..Self::new(self.interval) };
    }

    /// The kernel carried a command out.
    pub(super) fn changed(&mut self, command: &Command, now: Instant) {
        self.touched.note(command);
        if let Some(Err(_)) = self.table.as_mut().map(|table| table.apply(command)) {
            // Another writer that is not seen has been there.
            self.hurry(now);
        }
    }

    /// A command may be carried out now, or was: nobody knows.
    pub(super) fn may_have_changed(&mut self, command: &Command) {
        self.touched.note(command);
    }

    /// A reading begins.
    pub(super) fn begin<'c>(&mut self, under_way: impl Iterator<Item = &'c Command>) {
        self.touched = Touched::default();
        under_way.for_each(|command| self.touched.note(command));
    }

    /// A reading has failed.
    pub(super) fn failed(&mut self, now: Instant) {
        self.next = Some(now + self.interval.min(PAUSE));
        self.last = Some(now);
    }

    /// A reading has ended, and all packets that came meanwhile were taken in. Returns the commands
    /// that lead from what the table should be to what it is.
    pub(super) fn compare(&mut self, read: Table, now: Instant) -> Vec<Command> {
        self.last = Some(now);
        self.next = Some(now + self.interval);
        let touched = std::mem::take(&mut self.touched);
        let Some(table) = &self.table else {
            self.unknown = touched;
            self.table = Some(read);
            return Vec::new();
        };
        if touched.all {
            // Read again when there is less to do.
            self.next = Some(now + self.interval.min(PAUSE));
            return Vec::new();
        }
        let unknown = std::mem::take(&mut self.unknown);
        let compared = |touched: &Touched| match touched.settings {
            true => Planner::new().only_services(),
            false => Planner::new(),
        };
        let untouched: HashSet<ServiceKey> = keys(table).chain(keys(&read)).filter(|key| !touched.has(key)).collect();
        let plan = compared(&touched).only_these_services(untouched.iter().copied()).plan(table, &read);
        let is_new = |command: &&Command| match command.service_key() {
            Some(key) => !unknown.has(&key),
            None => !unknown.settings,
        };
        let found = plan.commands().iter().filter(is_new).copied().collect();
        self.table = Some(merged(read, table, &touched));
        let still = |key: &ServiceKey| touched.has(key);
        self.unknown = Touched {
            all: false,
            services: unknown.services.into_iter().filter(still).collect(),
            settings: unknown.settings && touched.settings,
        };
        if unknown.all {
            self.unknown.services.extend(touched.services);
        }
        found
    }
}

/// The table that was read, but what was touched meanwhile as the model has it.
fn merged(mut read: Table, model: &Table, touched: &Touched) -> Table {
    let mut commands = Vec::new();
    if touched.settings {
        commands.push(Command::SetTimeouts(model.timeouts()));
        commands.extend([DaemonRole::Master, DaemonRole::Backup].map(Command::StopDaemon));
        commands.extend(model.daemons().iter().copied().map(Command::StartDaemon));
    }
    for key in &touched.services {
        match model.service(key) {
            Some(entry) => read.adopt(entry.clone()),
            None => commands.push(Command::DeleteService(*key)),
        }
    }
    for command in commands {
        // What is refused is as it should be already.
        let _ = read.apply(&command);
    }
    read
}

fn keys(table: &Table) -> impl Iterator<Item = ServiceKey> {
    table.services().map(|entry| entry.service().key())
}
