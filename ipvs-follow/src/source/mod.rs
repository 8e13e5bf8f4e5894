//! Where the desired state comes from: a file or a directory of files, or a key in etcd.

mod copy;
mod etcd;
mod files;

use std::os::fd::BorrowedFd;
use std::time::Instant;

use ipvs::desired::Source;
use ipvs_cli::escape;
use ipvs_cli::keep::{Names, State, Unread};

pub(crate) use self::etcd::{Etcd, Membership, OldState};
pub(crate) use self::files::{Files, complete};

/// Why there is nothing to go by now.
#[derive(Debug)]
pub(crate) enum SourceFault {
    /// It can't be read, or is no state. It must be changed.
    Wrong(String),
    /// It may be whole later.
    Unfinished {
        /// Why it is not.
        reason: String,
        /// When to look.
        again: Instant,
    },
}

impl From<String> for SourceFault {
    fn from(reason: String) -> Self {
        SourceFault::Wrong(reason)
    }
}

/// A source that is followed.
pub(crate) enum Followed {
    Files(Files),
    Etcd(Box<Etcd>),
}

impl Followed {
    /// For messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Followed::Files(files) => escape::path(files.path()).to_string(),
            Followed::Etcd(etcd) => etcd.name(),
        }
    }

    /// Notices changes from now on. Afterwards it has to be read.
    ///
    /// # Errors
    /// Why changes are noticed later than they could be, or other remarks on the source.
    pub(crate) fn watch(&mut self) -> Result<(), String> {
        match self {
            Followed::Files(files) => files.watch(),
            Followed::Etcd(etcd) => etcd.remarks(),
        }
    }

    /// Takes notice of what has happened. May the source have changed?
    pub(crate) fn has_changed(&mut self) -> bool {
        match self {
            Followed::Files(files) => files.has_changed(),
            Followed::Etcd(etcd) => etcd.has_changed(),
        }
    }

    /// What becomes readable when something happens.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Followed::Files(files) => files.descriptor(),
            Followed::Etcd(etcd) => Some(etcd.descriptor()),
        }
    }

    /// Reads all of it.
    pub(crate) fn read(&mut self, now: Instant) -> Result<Vec<Source>, SourceFault> {
        match self {
            Followed::Files(files) => files.read(now),
            Followed::Etcd(etcd) => etcd.read(now),
        }
    }

    /// When what was read has been still for long enough that deletions can be made of it.
    pub(crate) fn still_at(&self, now: Instant) -> Option<Instant> {
        match self {
            Followed::Files(files) => files.still_at(now),
            // It was read at one revision.
            Followed::Etcd(_) => None,
        }
    }

    /// Finds out what the texts say, whatever the director holds.
    pub(crate) fn understand(
        &self,
        texts: &[Source],
        before: Option<&State>,
        names: &dyn Names,
        is_over: &dyn Fn() -> bool,
    ) -> Result<State, Unread> {
        match self {
            Followed::Files(_) => State::read(texts, before, names, is_over),
            Followed::Etcd(_) => State::read_shared(texts).map(|(state, _)| state),
        }
    }

    /// A person asks for everything to be read again.
    pub(crate) fn reload(&self) {
        if let Followed::Etcd(etcd) = self {
            etcd.reload();
        }
    }
}
