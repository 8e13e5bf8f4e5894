//! How the cost of each operation grows with the table: each of them once, by `ipvs-cli`, with its
//! result checked.

use std::{path::Path, thread};

use crate::{
    Plan,
    measure::{RESIZE, SETTLE, is_same, report_wrong},
    memory::{self, Words},
    program::run,
    world::{Rules, in_own_network},
};

/// Lines above a listing.
const TITLES: usize = 3;

/// Does everything once. Gives whether all was right.
pub(crate) fn measure(plan: &Plan) -> Result<bool, String> {
    let rules = Rules::new(plan.size, 0, 1);
    let mut right = true;
    for (tool, program) in &plan.tools {
        let mut bench = Bench { tool, program, right: true };
        in_own_network(|| bench.by_commands(&rules))?;
        // What was deleted stays in its network, and slows it down.
        in_own_network(|| bench.by_apply(&rules))?;
        in_own_network(|| bench.report_memory("memory", &memory::of_apply(&rules.table)))?;
        right &= bench.right;
    }
    Ok(right)
}

struct Bench<'a> {
    tool: &'a str,
    program: &'a Path,
    right: bool,
}

impl Bench<'_> {
    fn by_commands(&mut self, rules: &Rules) -> Result<(), String> {
        let table = &rules.table;
        self.time("restore", &["-R"], table)?;
        thread::sleep(RESIZE);
        let saved = self.time("save", &["-S", "-n"], "")?;
        self.compare("save", table, &saved);
        for (operation, words) in [("list", &["-L", "-n"][..]), ("list-all", &["-L", "-n", "--stats"])] {
            let listed = self.time(operation, words, "")?;
            self.compare(operation, &(TITLES + table.lines().count()).to_string(), &listed.lines().count().to_string());
        }
        self.report_memory("list-memory", &[(&["-L", "-n"], "")])?;
        self.time("add", &rules.additions[0].split(' ').collect::<Vec<_>>(), "")?;
        self.time("zero", &["-Z"], "")?;
        self.time("clear", &["-C"], "")?;
        let left = self.run("clear", &["-S", "-n"], "")?.1;
        self.compare("clear", "", &left);
        Ok(())
    }

    fn by_apply(&mut self, rules: &Rules) -> Result<(), String> {
        self.time("fill", &["apply", "--quiet", "-"], &rules.table)?;
        thread::sleep(RESIZE);
        self.time("apply-same", &["apply", "--quiet", "-"], &rules.table)?;
        let saved = self.run("fill", &["-S", "-n"], "")?.1;
        self.compare("fill", &rules.table, &saved);
        Ok(())
    }

    /// Runs it, prints its time, and returns its output.
    fn time(&mut self, operation: &str, words: &[&str], input: &str) -> Result<String, String> {
        println!("progress {}: {operation}", self.tool);
        let (took, said) = self.run(operation, words, input)?;
        println!("figure {operation} {} {took}", self.tool);
        Ok(said)
    }

    fn run(&mut self, operation: &str, words: &[&str], input: &str) -> Result<(u128, String), String> {
        thread::sleep(SETTLE);
        let run = run(self.program, words, input).map_err(|error| format!("{}: {error}", self.program.display()))?;
        if !run.status.success() || !run.stderr.is_empty() {
            let said = run.stderr.lines().next().unwrap_or_default();
            self.wrong(operation, &format!("{}, stderr: {said}", run.status));
        }
        Ok((run.took.as_nanos(), run.stdout))
    }

    fn report_memory(&mut self, operation: &str, runs: &[Words<'_>]) -> Result<(), String> {
        self.right &= memory::report(operation, self.tool, self.program, runs);
        Ok(())
    }

    fn compare(&mut self, operation: &str, expected: &str, got: &str) {
        self.right &= is_same(operation, self.tool, expected, got);
    }

    fn wrong(&mut self, operation: &str, what: &str) {
        report_wrong(operation, self.tool, what);
        self.right = false;
    }
}
