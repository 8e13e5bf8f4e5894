//! Bringing a director from one table to another: `ipvs-cli apply` beside ipvsadm, which can only fill, or clear and refill.

use std::{fs, path::Path, thread, time::Duration};

use nix::sys::resource::{UsageWho, getrusage};

use crate::{
    Plan, Reload,
    measure::{RESIZE, SETTLE, is_same, tell_wrong},
    program::run,
    world::{Rules, in_own_network},
};

/// So many lines are changed for the reload.
const CHANGES: usize = 100;

/// The tool that can `apply`.
const OURS: &str = "ours";
/// The one that can't.
const THEIRS: &str = "ipvsadm";

/// The tables, as rules.
struct Tables {
    first: String,
    /// The same, but no destination is written as `-S` writes it.
    in_other_words: String,
    /// One weight differs.
    one_changed: String,
    /// A hundred weights differ.
    many_changed: String,
}

impl Tables {
    fn new(size: (u32, u32)) -> Self {
        let first = Rules::new(size, 0, 0).table;
        Self {
            in_other_words: first.replace(" -w ", " -w 0"),
            one_changed: with_weights_changed(&first, 1),
            many_changed: with_weights_changed(&first, CHANGES),
            first,
        }
    }
}

/// The same rules, but for the weights of some destinations all over the table.
fn with_weights_changed(rules: &str, count: usize) -> String {
    let destinations = rules.lines().filter(|line| line.starts_with("-a")).count();
    let step = destinations / count.min(destinations).max(1);
    let mut seen = 0;
    let lines = rules.lines().map(|line| match line.rsplit_once(' ') {
        Some((start, _)) if line.starts_with("-a") => {
            seen += 1;
            let changes = (seen - 1) % step == 0 && (seen - 1) / step < count;
            if changes { format!("{start} 777\n") } else { format!("{line}\n") }
        }
        _ => format!("{line}\n"),
    });
    lines.collect()
}

/// Does everything once with each tool. Gives whether all was right.
pub(crate) fn measure(plan: &Plan, which: Reload) -> Result<bool, String> {
    let tables = Tables::new(plan.size);
    let program = |name| {
        let tool = plan.tools.iter().find(|(tool, _)| tool == name);
        tool.map(|(_, program)| program.as_path()).ok_or(format!("no tool is called {name}"))
    };
    let mut bench = Bench { plan, tables: &tables, right: true };
    let (ours, theirs) = (program(OURS)?, program(THEIRS)?);
    in_own_network(|| bench.ours(ours))?;
    in_own_network(|| bench.theirs(theirs, which))?;
    Ok(bench.right)
}

struct Bench<'a> {
    plan: &'a Plan,
    tables: &'a Tables,
    right: bool,
}

impl Bench<'_> {
    fn ours(&mut self, program: &Path) -> Result<(), String> {
        let tables = self.tables;
        self.apply(program, "fill", &tables.first)?;
        thread::sleep(RESIZE);
        self.check("fill", OURS, &tables.first)?;
        let took = self.run(program, "read", OURS, &["-S", "-n"], "")?;
        print_figure("read", OURS, took);
        self.apply(program, "apply-same", &tables.first)?;
        self.apply(program, "apply-other-words", &tables.in_other_words)?;
        self.apply(program, "apply-one", &tables.one_changed)?;
        self.check("apply-one", OURS, &tables.one_changed)?;
        self.apply(program, "reload", &tables.many_changed)?;
        self.check("reload", OURS, &tables.many_changed)?;
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|error| format!("getrusage: {error}"))?;
        // That of ipvsadm, which ran too, is the smaller one.
        println!("kilobytes memory {OURS} {}", usage.max_rss());
        Ok(())
    }

    fn theirs(&mut self, program: &Path, which: Reload) -> Result<(), String> {
        let tables = self.tables;
        print_figure("fill", THEIRS, self.run(program, "fill", THEIRS, &["-R"], &tables.first)?);
        if which == Reload::Whole {
            let clear = self.run(program, "reload", THEIRS, &["-C"], "")?;
            let fill = self.run(program, "reload", THEIRS, &["-R"], &tables.many_changed)?;
            print_figure("reload", THEIRS, clear + fill);
            self.check("reload", THEIRS, &tables.many_changed)?;
        }
        Ok(())
    }

    fn apply(&mut self, program: &Path, operation: &str, rules: &str) -> Result<(), String> {
        let file = tempfile::NamedTempFile::new().map_err(|error| format!("a file for rules: {error}"))?;
        fs::write(file.path(), rules).map_err(|error| format!("write rules: {error}"))?;
        let path = file.path().to_str().ok_or("a temporary file's path is not UTF-8")?;
        let took = self.run(program, operation, OURS, &["apply", "--quiet", path], "")?;
        print_figure(operation, OURS, took);
        Ok(())
    }

    fn run(
        &mut self,
        program: &Path,
        operation: &str,
        tool: &str,
        words: &[&str],
        input: &str,
    ) -> Result<Duration, String> {
        println!("progress {tool}: {operation}");
        thread::sleep(SETTLE);
        let run = run(program, words, input).map_err(|error| format!("{}: {error}", program.display()))?;
        if !run.status.success() || !run.stderr.is_empty() {
            let said = run.stderr.lines().next().unwrap_or_default();
            self.wrong(operation, tool, &format!("{}, stderr: {said}", run.status));
        }
        Ok(run.took)
    }

    /// The table must be what the rules say, by the reference's word: what it saves of them are these lines, in this order.
    fn check(&mut self, operation: &str, tool: &str, rules: &str) -> Result<(), String> {
        println!("progress {tool}: checking {operation}");
        let run = run(&self.plan.reference, &["-S", "-n"], "").map_err(|error| format!("the reference: {error}"))?;
        self.right &= is_same(operation, tool, rules, &run.stdout);
        Ok(())
    }

    fn wrong(&mut self, operation: &str, tool: &str, what: &str) {
        tell_wrong(operation, tool, what);
        self.right = false;
    }
}

fn print_figure(operation: &str, tool: &str, took: Duration) {
    println!("figure {operation} {tool} {}", took.as_nanos());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_weights_are_changed() {
        for (size, count, expected) in [((10, 5), 7, 7), ((300, 10), 100, 100), ((2, 2), 100, 4)] {
            let before = Rules::new(size, 0, 0).table;
            let after = with_weights_changed(&before, count);
            let changed = before.lines().zip(after.lines()).filter(|(before, after)| before != after).count();
            assert_eq!((changed, after.lines().count()), (expected, before.lines().count()));
        }
    }
}
