//! Making a change: with an eye on signals, on the clock and on the line on the terminal.

use std::fmt;
use std::ops::ControlFlow;
use std::time::Instant;

use ipvs::{
    Client,
    change::{Applied, Change, ChangeError, DirectorState, Phase, Progress, StopReason},
};

use crate::env::broken_pipe;
use crate::env::signals::Signals;
use crate::exit::Exit;
use crate::session::progress::Display;

/// How a change is made.
pub(crate) struct ApplyOptions<'d> {
    /// Signals and closed pipes are those of this program, and not of one that has our code in it.
    pub(crate) owns_process: bool,
    /// When it has to be done.
    pub(crate) deadline: Option<Instant>,
    pub(crate) display: &'d Display,
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

    /// Did somebody want it to end, rather than that something went wrong?
    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.is_some()
    }

    /// What to do about the state that the director is in, if that is not as it was.
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

/// Makes the change, and that of the mark rules in its middle, or leaves the director as it was, if that is possible.
pub(crate) fn carry_out(
    change: &Change,
    hook: impl FnMut(Phase) -> Result<(), String>,
    client: &mut Client,
    options: &ApplyOptions<'_>,
) -> Result<Applied, ApplyError> {
    let has_work = options.owns_process && !change.plan().is_empty();
    // Where they can't be heard they end the program midway, which the next run makes good.
    let signals = has_work.then(|| Signals::register().ok()).flatten();
    if has_work {
        broken_pipe::ignore_broken_pipe();
    }
    let mut interrupted = None;
    let made = change.apply_with(client, hook, |progress| {
        options.display.progress(|| describe(progress));
        interrupted = interrupted.or_else(|| interruption(signals.as_ref(), options.deadline));
        if interrupted.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    made.map_err(|unmade| {
        let interrupted = interrupted.filter(|_| matches!(unmade.reason, StopReason::Interrupted));
        ApplyError { unmade, interrupted }
    })
}

fn interruption(signals: Option<&Signals>, deadline: Option<Instant>) -> Option<Interrupted> {
    let signal = signals.and_then(Signals::received).map(Interrupted::Signal);
    let late = deadline.filter(|until| Instant::now() >= *until).map(|_| Interrupted::Late);
    signal.or(late)
}

fn describe(Progress { phase, done, total }: Progress) -> String {
    format!("{phase}: {done} of {total}")
}
