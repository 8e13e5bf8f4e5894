//! What is held while a director is changed.

use crate::env::signals::Signals;
use crate::env::{Environment, broken_pipe};
use crate::state::lock::Lock;

/// Keeps other runs of ipvs-cli away from the director, and keeps signals and closed pipes from
/// ending this run midway.
#[derive(Debug)]
pub(crate) struct ChangeGuard {
    /// `None` where no lock can be taken.
    lock: Option<Lock>,
    signals: Option<Signals>,
}

impl ChangeGuard {
    pub(crate) fn new(lock: Option<Lock>) -> Self {
        ChangeGuard { lock, signals: None }
    }

    /// Could no lock be taken?
    pub(crate) fn is_unlocked(&self) -> bool {
        self.lock.is_none()
    }

    /// Call it before the first command is sent. Until then a signal ends the process, as nothing
    /// has changed.
    pub(crate) fn protect(&mut self, environment: &Environment<'_>) {
        if environment.owns_process && self.signals.is_none() {
            // If this fails, a signal ends the process midway, and the next run completes the
            // change.
            self.signals = Signals::register().ok();
            broken_pipe::ignore_broken_pipe();
        }
    }

    /// The signal that asked for the end.
    pub(crate) fn signal(&self) -> Option<i32> {
        self.signals.as_ref().and_then(Signals::received)
    }
}
