//! What a test makes the in-memory kernel do to the program under test.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use super::Fault;
use crate::command::Command;
use crate::errno::Errno;

/// Takes the datagram of the call that follows; it is empty where `getsockopt` is called.
pub(crate) type Write = Box<dyn FnMut(&[u8]) + Send>;

#[derive(Default)]
pub(crate) struct Script {
    /// Of the calls to come.
    pub(crate) faults: VecDeque<Option<Fault>>,
    /// How many changes were asked for.
    changes: usize,
    /// Error numbers with which changes are refused, by their number.
    refusals: BTreeMap<usize, Errno>,
    /// Everything is refused.
    pub(crate) is_unprivileged: bool,
    /// What another program does before each call.
    pub(crate) writer: Option<Write>,
}

impl Script {
    /// Of the changes to come, the first is number 1.
    pub(crate) fn refuse_later(&mut self, nth: usize, errno: Errno) {
        assert!(nth > 0, "the next change is number 1");
        self.refusals.insert(self.changes + nth, errno);
    }

    /// Is this change to be refused? A probe is none.
    pub(super) fn refuse(&mut self, command: &Command) -> Result<(), Errno> {
        if command.is_probe() {
            return Ok(());
        }
        self.changes += 1;
        self.refusals.remove(&self.changes).map_or(Ok(()), Err)
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Script { faults, changes, refusals, is_unprivileged, writer: _ } = self;
        let mut fields = f.debug_struct("Script");
        fields.field("faults", faults).field("changes", changes).field("refusals", refusals);
        fields.field("is_unprivileged", is_unprivileged).finish_non_exhaustive()
    }
}
