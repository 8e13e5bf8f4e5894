//! The most memory that a program has in use.
//!
//! The kernel counts for a program what its parent had in use when it started it, so that has to be
//! little: this program starts itself once more, and that one the other.

use std::{
    env, io,
    path::Path,
    process::{Command, Stdio},
};

use nix::sys::resource::{UsageWho, getrusage};

use crate::{measure::report_wrong, program::run};

/// In place of a plan: run what follows, and print the most memory that it had in use.
pub(crate) const PEAK: &str = "peak";

/// Does that. Gives whether the program ended well.
pub(crate) fn peak(program: &str, arguments: &[String]) -> io::Result<bool> {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).status()?;
    println!("{}", getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss());
    Ok(status.success())
}

/// Arguments and input of a run.
pub(crate) type Words<'a> = (&'a [&'a str], &'a str);

/// `apply` of these rules to an empty director, and again, when there is nothing to do.
pub(crate) fn of_apply(rules: &str) -> [Words<'_>; 2] {
    [(&["apply", "--quiet", "-"], rules); 2]
}

/// Runs a tool and prints the most memory that any of the runs had in use. Returns whether all
/// succeeded.
pub(crate) fn report(operation: &str, tool: &str, program: &Path, runs: &[Words<'_>]) -> bool {
    println!("progress {tool}: {operation}");
    let most: Result<u64, String> = runs.iter().try_fold(0, |most, run| Ok(kilobytes(program, *run)?.max(most)));
    match &most {
        Ok(most) => println!("kilobytes {operation} {tool} {most}"),
        Err(why) => report_wrong(operation, tool, why),
    }
    most.is_ok()
}

/// What one run has in use.
fn kilobytes(program: &Path, (words, input): Words<'_>) -> Result<u64, String> {
    let this = env::current_exe().map_err(|error| format!("find this program: {error}"))?;
    let words = [&[PEAK, program.to_str().ok_or("a program's path is not UTF-8")?], words].concat();
    let output = run(&this, &words, input).map_err(|error| format!("{}: {error}", this.display()))?;
    if !output.status.success() || !output.stderr.is_empty() {
        return Err(format!("{}, stderr: {}", output.status, output.stderr.lines().next().unwrap_or_default()));
    }
    output.stdout.trim_end().parse().map_err(|_| format!("no number of kilobytes: {:?}", output.stdout))
}
