//! Messages to the service manager: readiness, status, and that the follower is alive.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// Nothing of it matters without a service manager.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) heartbeat: Rc<Heartbeat>,
    is_ready: bool,
    status: String,
}

impl Service {
    pub(crate) fn new() -> Self {
        Service { heartbeat: Rc::default(), is_ready: false, status: String::new() }
    }

    /// The director is as the source says, or a person keeps it from being so.
    pub(crate) fn ready(&mut self) {
        if !self.is_ready {
            self.is_ready = true;
            let _ = sd_notify::notify(&[NotifyState::Ready]);
        }
    }

    /// What `systemctl status` shows.
    pub(crate) fn status(&mut self, status: &str) {
        if self.status != status {
            self.status = status.to_owned();
            let _ = sd_notify::notify(&[NotifyState::Status(status.lines().next().unwrap_or_default())]);
        }
    }

    pub(crate) fn stopping(&self) {
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
    }
}

/// Signs of life.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    /// How often the service manager wants one.
    interval: Option<Duration>,
    last: Cell<Instant>,
}

impl Default for Heartbeat {
    fn default() -> Self {
        // Half of the time after which it is taken for dead.
        let interval = sd_notify::watchdog_enabled().map(|limit| limit / 2);
        Heartbeat { interval, last: Cell::new(Instant::now()) }
    }
}

impl Heartbeat {
    /// Gives a sign, if it is time. Returns when the next one is due.
    pub(crate) fn beat(&self, now: Instant) -> Option<Instant> {
        let interval = self.interval?;
        if now >= self.last.get() + interval {
            let _ = sd_notify::notify(&[NotifyState::Watchdog]);
            self.last.set(now);
        }
        Some(self.last.get() + interval)
    }
}
