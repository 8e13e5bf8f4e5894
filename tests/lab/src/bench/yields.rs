//! `cargo lab bench --yields`: the instructions between any two yields of the asynchronous client,
//! on large tables.
//!
//! The program `yields` makes one call of a client. Callgrind ends a part of its figures whenever
//! the function [`STEP`] begins, which polls the call once: so each part but the first and the last
//! is a step of the call. What the in-memory kernel does in [`ASK`] is not counted: it is one
//! system call for all destinations of a service.

use std::process::{Command, ExitCode};

use super::{callgrind::Callgrind, codec};
use crate::{
    cache::Cache,
    error::{Error, Result},
    packages, workers,
    workspace::{Workspace, build_by},
};

/// What the documentation of `AsyncClient` promises.
const LIMIT: u64 = 3_000_000;

/// The function that polls once.
const STEP: &str = "*poll_once*";

/// The in-memory kernel's part of a question by `getsockopt`.
const ASK: &str = "*4fake4Fake3ask*";

/// The steps of one call.
#[derive(Debug, PartialEq)]
struct Steps {
    count: usize,
    largest: u64,
}

/// Counts, prints, and says whether each step is within the limit.
pub(super) fn run() -> Result<ExitCode> {
    let callgrind = Callgrind::find(&Cache::open()?)?;
    let mut command = codec::cargo(&Workspace::find()?);
    command.args(["build", "--release", "-p", "yields"]);
    let built = build_by(command)?.into_iter().find(|program| program.name == "yields");
    let program = built.map(|program| program.path).ok_or_else(|| Error::Missing("yields".into()))?;
    let listed = packages::output(&mut Command::new(&program))?;
    let calls: Vec<&str> = listed.lines().collect();
    let steps = workers::each(&calls, |_, call| {
        steps(&callgrind.parts(&program, &[call], STEP, ASK)?).ok_or_else(|| Error::Missing((*call).into()))
    });
    println!("{:<50} {:>8} {:>20}", "", "steps", "largest, instructions");
    let mut largest = 0;
    for (call, steps) in calls.iter().zip(steps) {
        let steps = steps?;
        println!("{call:<50} {:>8} {:>20}", steps.count, steps.largest);
        largest = largest.max(steps.largest);
    }
    let is_within = largest <= LIMIT;
    let verdict = if is_within { "within" } else { "above" };
    println!("\nthe largest step is {verdict} the limit of {LIMIT} instructions");
    Ok(if is_within { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Of the parts, without what was before the first step and after the last, which does nothing.
fn steps(parts: &[u64]) -> Option<Steps> {
    let [_, steps @ .., _] = parts else { return None };
    Some(Steps { count: steps.len(), largest: *steps.iter().max()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_before_and_after_is_no_step() {
        assert_eq!(steps(&[900, 1, 3, 2, 800]), Some(Steps { count: 3, largest: 3 }));
        assert_eq!(steps(&[900, 800]), None);
    }
}
