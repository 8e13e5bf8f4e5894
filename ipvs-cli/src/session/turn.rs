//! The right to change a director.

use crate::env::signals::Signals;
use crate::env::{Environment, broken_pipe};
use crate::state::lock::Lock;

/// Keeps other runs of ipvs-cli away from the director, and, once something is sent, signals and closed pipes from ending
/// this one midway.
#[derive(Debug)]
pub(crate) struct Turn {
    /// `None` where there is none to take.
    _lock: Option<Lock>,
    signals: Option<Signals>,
}

impl Turn {
    pub(crate) fn new(lock: Option<Lock>) -> Self {
        Turn { _lock: lock, signals: None }
    }

    /// Must be called before the first command is sent. Until then a signal may end the process, as nothing has changed.
    pub(crate) fn protect(&mut self, environment: &Environment<'_>) {
        if environment.owns_process && self.signals.is_none() {
            // Without handlers a signal ends the process midway, and the next run completes the change.
            self.signals = Signals::register().ok();
            broken_pipe::ignore_broken_pipe();
        }
    }

    /// The signal that asked for the end.
    pub(crate) fn signal(&self) -> Option<i32> {
        self.signals.as_ref().and_then(Signals::received)
    }
}
