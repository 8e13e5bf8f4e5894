//! Who applied which services: the ledger of this network namespace, and what a change makes of it.
//!
//! `ipvs::owners` decides who owns what; this module keeps it in a file. The ledger is written
//! before the first command is sent, so that no crash leaves a service without its owner, and again
//! when the change is complete.

use std::path::PathBuf;

use clap::Args;
use ipvs::owners::{Conflicts, Ledger, LedgerError, Owner, Writer};
use ipvs::{
    Command, Service, Table,
    change::{Change, Planner},
};

use crate::arguments::value::value;
use crate::change::prepare::Places;
use crate::session::{Session, Trouble};
use crate::state;
use crate::state::file::{FileError, StateDirectory};

/// The files of ledgers.
const KIND: &str = "owners";

/// The owner of a change.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Ownership {
    /// Delete only services that this owner applied before; fail if the file
    /// has services of others
    #[arg(long, value_name = "NAME", value_parser = value::<Owner>)]
    pub(crate) owner: Option<Owner>,
    /// Take over services of the file that have another owner or none
    #[arg(long)]
    pub(crate) take: bool,
}

impl Ownership {
    fn writer(&self) -> Writer {
        let mut writer = Writer::default();
        (writer.owner, writer.takes) = (self.owner.clone(), self.take);
        writer
    }
}

/// The ledger of a director, as its file has it.
#[derive(Debug, Default)]
pub(crate) struct StoredLedger {
    /// `None`: this director has no state directory.
    directory: Option<PathBuf>,
    /// The contents of the file, if it is of this boot and namespace.
    written: Ledger,
    pub(crate) ledger: Ledger,
}

impl StoredLedger {
    /// Reads the file and drops claims on services that `present`, the whole table, lacks. No file:
    /// no owners.
    pub(crate) fn read(session: &Session<'_, '_>, present: &Table) -> Result<Self, Trouble> {
        let mut stored = Self::unchecked(session)?;
        stored.ledger.prune(present);
        Ok(stored)
    }

    /// As [`read`](Self::read), with the claims on services that may be gone.
    pub(crate) fn unchecked(session: &Session<'_, '_>) -> Result<Self, Trouble> {
        let Some(directory) = session.environment.state_directory else { return Ok(Self::default()) };
        let name = state::file_name(KIND);
        let path = directory.join(&name);
        let failed = |error: FileError| Trouble::Other(format!("the list of owners can't be read: {error}"));
        let damaged = |line: usize, reason: String| {
            let error = FileError::Damaged { path: path.clone(), line, reason };
            Trouble::Other(format!("{error}; remove the file to go on without owners"))
        };
        let mut written = Ledger::new();
        if let Some(text) = StateDirectory::read_if_there(directory, &name).map_err(failed)? {
            match text.split_once('\n') {
                Some((first, rest)) if first == first_line(&path).map_err(failed)? => {
                    written = rest.parse().map_err(|error: LedgerError| damaged(error.line + 1, error.reason))?;
                }
                // The table of another boot or namespace is gone.
                Some((first, _)) if first.starts_with(OF_SOME_BOOT) => {}
                _ => return Err(damaged(1, state::NO_EPOCH.to_owned())),
            }
        }
        Ok(StoredLedger { directory: Some(directory.to_owned()), ledger: written.clone(), written })
    }

    /// Writes the ledger if the file differs.
    fn store(&mut self, ledger: Ledger) -> Result<(), Trouble> {
        if ledger == self.written {
            return Ok(());
        }
        self.write(&ledger)?;
        self.written = ledger;
        Ok(())
    }

    fn write(&self, ledger: &Ledger) -> Result<(), Trouble> {
        let Some(directory) = &self.directory else {
            return Err(Trouble::Other("--owner needs a state directory: name one by --state-dir".to_owned()));
        };
        let name = state::file_name(KIND);
        first_line(&directory.join(&name))
            .and_then(|first| StateDirectory::open(directory)?.write(&name, &format!("{first}\n{ledger}")))
            .map_err(|error| Trouble::Other(format!("the list of owners can't be written: {error}")))
    }
}

/// The start of each file.
const OF_SOME_BOOT: &str = "owners boot:";

/// The first line of the file of this boot and namespace.
fn first_line(path: &std::path::Path) -> Result<String, FileError> {
    let epoch = state::epoch().map_err(|error| FileError::Io { path: path.to_owned(), error })?;
    Ok(format!("owners {epoch}"))
}

/// The effect of a change on the ledger.
#[derive(Debug)]
pub(crate) struct Claims {
    stored: StoredLedger,
    writer: Writer,
    planner: Planner,
    taken: usize,
}

impl Claims {
    /// Restricts the planner to what the owner may change.
    pub(crate) fn new(
        session: &Session<'_, '_>,
        ownership: &Ownership,
        planner: Planner,
        present: &Table,
        wanted: &Table,
        places: &Places<'_>,
    ) -> Result<Self, Trouble> {
        let stored = StoredLedger::read(session, present)?;
        let writer = ownership.writer();
        if writer.owner.is_none() && stored.ledger.is_empty() {
            return Ok(Claims { stored, writer, planner, taken: 0 });
        }
        // Timeouts and sync daemons are the director's, not an owner's.
        let planner = if writer.owner.is_some() { planner.only_services() } else { planner };
        // Without --take, what it takes over is refused.
        let mut modest = writer.clone();
        modest.takes = false;
        let refused = stored.ledger.restrict(planner.clone(), &modest, present, wanted);
        let taken = refused.err().map_or(0, |Conflicts(conflicts)| conflicts.len());
        match stored.ledger.restrict(planner, &writer, present, wanted) {
            Ok(planner) => Ok(Claims { stored, writer, planner, taken }),
            Err(conflicts) => Err(Trouble::Lines(refusals(&conflicts, places, session.program()))),
        }
    }

    pub(crate) fn planner(&self) -> &Planner {
        &self.planner
    }

    /// Must the ledger stay as it was read until the change is made? Only the lock ensures that.
    pub(crate) fn need_lock(&self) -> bool {
        self.stored.directory.is_some() && (self.writer.owner.is_some() || !self.stored.ledger.is_empty())
    }

    /// Number of owned services that the desired state does not name. Without `--owner` they stay.
    pub(crate) fn left_alone(&self, wanted: &Table) -> usize {
        if self.writer.owner.is_some() {
            return 0;
        }
        self.stored.ledger.claims().filter(|(key, _)| wanted.service(key).is_none()).count()
    }

    /// Number of existing services that this change takes from another owner or from none.
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// Claims the services before the first command is sent.
    pub(crate) fn begin(&mut self, change: &Change) -> Result<(), Trouble> {
        self.stored.store(self.claimed(change))
    }

    /// Updates the ledger after the change was made.
    pub(crate) fn complete(&mut self, change: &Change) -> Result<(), Trouble> {
        let mut ledger = self.claimed(change);
        ledger.settle(&self.writer, &self.planner, change.desired());
        self.stored.store(ledger)
    }

    /// Restores the ledger after the change was undone.
    pub(crate) fn restore(&mut self) -> Result<(), Trouble> {
        self.stored.store(self.stored.ledger.clone())
    }

    fn claimed(&self, change: &Change) -> Ledger {
        let mut ledger = self.stored.ledger.clone();
        ledger.claim(&self.writer, &self.planner, change.before(), change.desired());
        ledger
    }
}

/// A line for each service of the file that another owner has, with its place.
fn refusals(Conflicts(conflicts): &Conflicts, places: &Places<'_>, program: &str) -> String {
    let mut text = String::new();
    for conflict in conflicts {
        match places.find(&Command::AddService(Service::new(conflict.service))) {
            Some(place) => text.push_str(&format!("{place}: {conflict}\n")),
            None => text.push_str(&format!("{program}: {conflict}\n")),
        }
    }
    text.push_str(&format!("{program}: nothing was changed; --take takes these services over\n"));
    text
}
