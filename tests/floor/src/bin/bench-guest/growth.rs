//! How the cost of each operation grows with the table: every one of them once, by ours, and its result checked.

use std::{
    env, io,
    path::Path,
    process::{Command, Stdio},
    thread,
};

use nix::sys::resource::{UsageWho, getrusage};

use crate::{
    Plan,
    measure::{RESIZE, SETTLE, is_same, tell_wrong},
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
        right &= bench.right;
    }
    Ok(right)
}

/// In place of a plan: run what follows, and tell the most memory that it had in use.
///
/// The kernel counts for a program what its parent had in use when it started it; so that has to be little.
pub(crate) const PEAK: &str = "peak";

/// Does that.
pub(crate) fn peak(program: &str, arguments: &[String]) -> io::Result<bool> {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).status()?;
    println!("{}", getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss());
    Ok(status.success())
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
        self.tell_memory_of("list-memory", &["-L", "-n"])?;
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
        self.tell_memory("memory")
    }

    /// Runs it, tells its time, and gives what it said.
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

    /// The most that this has in use.
    fn tell_memory_of(&self, name: &str, words: &[&str]) -> Result<(), String> {
        let this = env::current_exe().map_err(|error| format!("find this program: {error}"))?;
        let words = [&[PEAK, self.program.to_str().ok_or("a program's path is not UTF-8")?], words].concat();
        let told = run(&this, &words, "").map_err(|error| format!("{}: {error}", this.display()))?;
        println!("kilobytes {name} {} {}", self.tool, told.stdout.trim_end());
        Ok(())
    }

    /// The most that any run had in use until now.
    fn tell_memory(&self, name: &str) -> Result<(), String> {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|error| format!("getrusage: {error}"))?;
        println!("kilobytes {name} {} {}", self.tool, usage.max_rss());
        Ok(())
    }

    fn compare(&mut self, operation: &str, expected: &str, got: &str) {
        self.right &= is_same(operation, self.tool, expected, got);
    }

    fn wrong(&mut self, operation: &str, what: &str) {
        tell_wrong(operation, self.tool, what);
        self.right = false;
    }
}
