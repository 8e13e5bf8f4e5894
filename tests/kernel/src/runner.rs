//! Plays a case on a target and says where the transcript does not hold.

use crate::case::{Case, Step, Transcript};
use crate::diff;
use crate::sandbox::{self, SandboxError};
use crate::target::{Request, Session, Target, TargetError};
use crate::text;
use std::fmt::Write;
use std::thread;
use std::time::{Duration, Instant};

/// How often a command is repeated that must print something soon.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// Why a case does not hold.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The commands that did something else than expected.
    #[error("{0}")]
    Mismatch(String),
    /// The case is marked as not built yet, but it holds.
    #[error("the case holds now: remove its line `@issue {0}'")]
    HoldsAlready(u32),
    /// The case's world could not be made.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A command could not be run.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The thread that plays the case panicked.
    #[error("the runner panicked; its message stands above")]
    Panicked,
}

/// Plays a case and compares.
///
/// # Errors
/// Every command that did not do what the case says, or why the case could not be played.
pub fn check(case: &Case, target: Target) -> Result<(), Failure> {
    let mut report = String::new();
    play(case, target, |step, actual| {
        let expected = expectation(step, target);
        if let Some(difference) = diff::compare(expected, &actual, step.manner) {
            let _ = write!(report, "{}", describe(case, step, &difference));
        }
    })?;
    // The original holds every case, built or not.
    verdict(report, case.issue.filter(|_| target != Target::Ipvsadm))
}

/// What a report of mismatches means for a case that may be marked as not built yet.
fn verdict(report: String, unbuilt: Option<u32>) -> Result<(), Failure> {
    match unbuilt {
        Some(issue) if report.is_empty() => Err(Failure::HoldsAlready(issue)),
        None if !report.is_empty() => Err(Failure::Mismatch(report)),
        _ => Ok(()),
    }
}

/// Plays a case in a world of its own and shows every command's transcript to `see`.
///
/// # Errors
/// Why the case could not be played.
pub fn play(case: &Case, target: Target, mut see: impl FnMut(&Step, Transcript) + Send) -> Result<(), Failure> {
    // Namespaces belong to a thread; this one takes them with it when it ends.
    let world = || -> Result<(), Failure> {
        if target != Target::Fake {
            sandbox::enter(&target.program()?)?;
        }
        let mut session = target.session()?;
        for step in &case.steps {
            see(step, run_step(session.as_mut(), step, expectation(step, target))?);
        }
        Ok(())
    };
    thread::scope(|scope| scope.spawn(world).join()).unwrap_or(Err(Failure::Panicked))
}

fn expectation(step: &Step, target: Target) -> &Transcript {
    match &step.difference {
        Some(difference) if target != Target::Ipvsadm => &difference.expected,
        _ => &step.expected,
    }
}

/// Runs the command of a step, again and again if the case gives it time.
fn run_step(session: &mut dyn Session, step: &Step, expected: &Transcript) -> Result<Transcript, TargetError> {
    let end = step.manner.within.map(|within| Instant::now() + within);
    let request = Request { command: &step.command, stdin: &step.stdin, deadline: step.manner.deadline };
    loop {
        let actual = session.run(request)?.transcript();
        let holds = || diff::compare(expected, &actual, step.manner).is_none();
        match end {
            Some(end) if Instant::now() < end && !holds() => thread::sleep(TRY_AGAIN),
            _ => return Ok(actual),
        }
    }
}

fn describe(case: &Case, step: &Step, difference: &str) -> String {
    let mut text = format!("{}.case:{}: $ {}\n", case.name, step.line, step.typed);
    let input = text::to_lines(&step.stdin);
    let long = |line: &String| line.chars().count() > 200;
    for line in &input {
        let shown: String = line.chars().take(200).collect();
        let _ = writeln!(text, "    < {shown}{}", if long(line) { " …" } else { "" });
    }
    text + difference
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mismatch_fails_unless_the_case_is_not_built_yet() {
        assert!(verdict(String::new(), None).is_ok());
        assert!(verdict("differs".into(), Some(7)).is_ok());
        assert_eq!(verdict("differs".into(), None).unwrap_err().to_string(), "differs");
        assert!(verdict(String::new(), Some(7)).unwrap_err().to_string().contains("remove its line `@issue 7'"));
    }
}
