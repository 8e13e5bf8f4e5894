//! Making a change that signals and the clock can stop.

use std::fmt;
use std::ops::ControlFlow;
use std::time::Instant;

use ipvs::{
    Client,
    change::{Applied, Change, ChangeError, DirectorState, Phase, Progress, StopReason},
};

use crate::exit::Exit;
use crate::session::guard::ChangeGuard;
use crate::session::progress::ProgressLine;

/// How a change is made.
pub(crate) struct ApplyOptions<'d> {
    /// Protected, if there is anything to change.
    pub(crate) guard: &'d ChangeGuard,
    /// When to give up and undo.
    pub(crate) deadline: Option<Instant>,
    pub(crate) display: &'d ProgressLine,
}

/// A change that was not made.
#[derive(Debug)]
pub(crate) struct ApplyError {
    pub(crate) unmade: ChangeError,
    interrupted: Option<Interrupted>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interrupted {
    Signal(i32),
    Late,
}

impl ApplyError {
    /// The exit status.
    pub(crate) fn exit(&self) -> Exit {
        match (self.unmade.state, self.interrupted) {
            (DirectorState::Partial | DirectorState::Unknown, _) => Exit::Between,
            (_, Some(Interrupted::Signal(signal))) => Exit::Signal(signal),
            _ => Exit::No,
        }
    }

    /// Was it a signal or the deadline, rather than a failure?
    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.is_some()
    }

    /// What the user can do if the director is not as it was before.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        match self.unmade.state {
            DirectorState::Partial | DirectorState::Unknown => {
                Some("it is safe to run it again: what is as desired stays, and the rest is made")
            }
            DirectorState::Untouched | DirectorState::Undone => None,
        }
    }
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.interrupted {
            Some(Interrupted::Signal(signal)) => {
                let name = signal_hook::low_level::signal_name(signal).unwrap_or("a signal");
                write!(f, "interrupted by {name}")?;
            }
            Some(Interrupted::Late) => write!(f, "not done in time")?,
            None => write!(f, "{}", self.unmade.reason)?,
        }
        write!(f, "; {}", self.unmade.state)
    }
}

/// Makes the change, calling `hook` between additions and deletions, or restores the director if
/// that is possible.
pub(crate) fn make_change(
    change: &Change,
    hook: impl FnMut(Phase) -> Result<(), String>,
    client: &mut Client,
    options: &ApplyOptions<'_>,
) -> Result<Applied, ApplyError> {
    let mut interrupted = None;
    let made = change.apply_with(client, hook, |progress| {
        options.display.progress(|| describe(progress));
        interrupted = interrupted.or_else(|| interruption(options));
        if interrupted.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    made.map_err(|unmade| {
        let interrupted = interrupted.filter(|_| matches!(unmade.reason, StopReason::Interrupted));
        ApplyError { unmade, interrupted }
    })
}

fn interruption(options: &ApplyOptions<'_>) -> Option<Interrupted> {
    let is_late = || options.deadline.is_some_and(|until| Instant::now() >= until);
    options.guard.signal().map(Interrupted::Signal).or_else(|| is_late().then_some(Interrupted::Late))
}

fn describe(Progress { phase, done, total, .. }: Progress) -> String {
    format!("{phase}: {done} of {total}")
}
