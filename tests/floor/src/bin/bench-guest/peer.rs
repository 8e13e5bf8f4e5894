//! What a command costs a Python program that has pyroute2 inside: the same rules as
//! [`crate::library`]'s, and no start either.

use std::{
    path::{Path, PathBuf},
    thread,
};

use crate::{
    measure::{Expected, SETTLE, is_table, report_wrong},
    program::run,
    world::Rules,
};

const NAME: &str = "pyroute2";
const PROGRAM: &str = include_str!("pyroute2.py");

/// Python, and the directory with pyroute2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) python: PathBuf,
    pub(crate) directory: PathBuf,
}

impl Peer {
    /// Makes the table and changes its weights, a process each. Gives whether the reference finds
    /// its own tables then.
    pub(crate) fn measure(&self, reference: &Path, rules: &Rules, expected: &Expected) -> Result<bool, String> {
        let is_made = self.time("create", &rules.table)? && is_table("create", NAME, reference, &expected.restored)?;
        let is_altered = self.time("alter", &rules.edits)? && is_table("alter", NAME, reference, &expected.edited)?;
        Ok(is_made && is_altered)
    }

    /// Prints the time of a command, which the program measures: only it knows when its work began.
    /// Returns whether it did.
    fn time(&self, operation: &str, rules: &str) -> Result<bool, String> {
        thread::sleep(SETTLE);
        let directory = self.directory.to_string_lossy();
        let run = run(&self.python, &["-c", PROGRAM, &directory], rules)
            .map_err(|error| format!("{}: {error}", self.python.display()))?;
        match run.stdout.trim().parse::<u64>() {
            Ok(took) if run.status.success() && run.stderr.is_empty() => println!("figure {operation} {NAME} {took}"),
            _ => {
                let said = run.stderr.lines().last().unwrap_or_default();
                report_wrong(operation, NAME, &format!("{}, stderr: {said}", run.status));
                return Ok(false);
            }
        }
        Ok(true)
    }
}
