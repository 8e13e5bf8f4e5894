//! Times each operation of each tool, and compares every table and listing with the reference's.

use std::{path::Path, thread, time::Duration};

use crate::{
    Plan, library,
    program::{Run, run},
    world::{EDITS, Rules, in_own_network},
};

/// Before each run: what the kernel still does for the one before must not be in its time.
pub(crate) const SETTLE: Duration = Duration::from_millis(100);
/// After a change of many services: while kernel 7.2 moves them to a larger table, a listing can
/// show one twice.
pub(crate) const RESIZE: Duration = Duration::from_secs(1);

/// What may be asked of any table.
const LISTINGS: [(&str, &[&str]); 2] = [("save", &["-S", "-n"]), ("list", &["-L", "-n"])];
/// The tool that can do no more than these, and not of IPv6.
const FLOOR: &str = "floor";
/// What the others can show of it, too.
const MORE_LISTINGS: [(&str, &[&str]); 4] = [
    ("thresholds", &["-L", "-n", "--thresholds"]),
    ("persistent", &["-L", "-n", "--persistent-conn"]),
    ("stats", &["-L", "-n", "--stats"]),
    ("rate", &["-L", "-n", "--rate"]),
];
/// Of a table that getsockopt can't show.
const V6_LISTINGS: [(&str, &[&str]); 2] = [("save-v6", &["-S", "-n"]), ("list-v6", &["-L", "-n"])];

/// What the reference says of the table, after each step.
pub(crate) struct Expected {
    pub(crate) restored: String,
    pub(crate) edited: String,
    added: String,
}

/// One tool at work in one network.
struct Bench<'a> {
    plan: &'a Plan,
    rules: &'a Rules,
    expected: &'a Expected,
    tool: &'a str,
    program: &'a Path,
    right: bool,
}

/// Does all rounds. Gives whether all results were right.
pub(crate) fn measure(plan: &Plan) -> Result<bool, String> {
    let rules = Rules::new(plan.size, EDITS, plan.additions);
    println!("progress the reference makes its tables");
    let expected = in_own_network(|| expect(&plan.reference, &rules))?;
    let mut right = true;
    for round in 1..=plan.rounds {
        for (tool, program) in &plan.tools {
            println!("progress round {round}: {tool}");
            let (rules, expected) = (&rules, &expected);
            let bench = || Bench { plan, rules, expected, tool, program, right: true };
            right &= in_own_network(|| bench().run())?;
            if tool != FLOOR {
                right &= in_own_network(|| bench().run_v6())?;
            }
        }
        println!("progress round {round}: the library");
        right &= in_own_network(|| library::measure(&plan.reference, plan.size, EDITS, &expected))?;
    }
    // Once: it takes minutes, and is the same to a thousandth every time.
    if let Some(peer) = &plan.peer {
        println!("progress pyroute2");
        right &= in_own_network(|| peer.measure(&plan.reference, &rules, &expected))?;
    }
    Ok(right)
}

/// Lets the reference do everything once. It must not fail: then there would be nothing to compare
/// with.
fn expect(reference: &Path, rules: &Rules) -> Result<Expected, String> {
    let must = |arguments: &[&str], input: &str| {
        let run = run(reference, arguments, input).map_err(|error| format!("{}: {error}", reference.display()))?;
        if run.status.success() { Ok(run.stdout) } else { Err(format!("reference: {arguments:?}: {}", run.stderr)) }
    };
    must(&["-R"], &rules.table)?;
    thread::sleep(RESIZE);
    let restored = must(&["-S", "-n"], "")?;
    if restored.lines().count() != rules.table.lines().count() {
        return Err(format!("the reference restored {} lines only", restored.lines().count()));
    }
    must(&["-R"], &rules.edits)?;
    let edited = must(&["-S", "-n"], "")?;
    must(&["-R"], &(rules.additions.join("\n") + "\n"))?;
    Ok(Expected { restored, edited, added: must(&["-S", "-n"], "")? })
}

impl Bench<'_> {
    fn run(mut self) -> Result<bool, String> {
        let (rules, expected) = (self.rules, self.expected);
        self.time("restore", &["-R"], &rules.table)?;
        thread::sleep(RESIZE);
        self.compare_table("restore", &expected.restored)?;
        self.list(&LISTINGS)?;
        if self.tool != FLOOR {
            self.list(&MORE_LISTINGS)?;
        }
        self.time("edit", &["-R"], &rules.edits)?;
        self.compare_table("edit", &expected.edited)?;
        for addition in &rules.additions {
            self.time("add", &addition.split(' ').collect::<Vec<_>>(), "")?;
        }
        self.compare_table("add", &expected.added)?;
        self.time("clear", &["-C"], "")?;
        self.compare_table("clear", "")?;
        Ok(self.right)
    }

    /// The same of a table of IPv6, which is made by the reference.
    fn run_v6(mut self) -> Result<bool, String> {
        let made = run(&self.plan.reference, &["-R"], &self.rules.table_v6);
        let made = made.map_err(|error| format!("the reference: {error}"))?;
        if !made.status.success() {
            return Err(format!("the reference: {}", made.stderr));
        }
        thread::sleep(RESIZE);
        self.list(&V6_LISTINGS)?;
        Ok(self.right)
    }

    /// Each of these listings must be what the reference says.
    fn list(&mut self, listings: &[(&str, &[&str])]) -> Result<(), String> {
        for (operation, arguments) in listings {
            let listed = self.time(operation, arguments, "")?;
            let reference = self.ask_reference(arguments)?;
            self.compare(operation, &reference, &listed.stdout);
        }
        Ok(())
    }

    /// Runs the tool, prints its time, and complains if it complained.
    fn time(&mut self, operation: &str, arguments: &[&str], input: &str) -> Result<Run, String> {
        thread::sleep(SETTLE);
        let run =
            run(self.program, arguments, input).map_err(|error| format!("{}: {error}", self.program.display()))?;
        println!("figure {operation} {} {}", self.tool, run.took.as_nanos());
        if !run.status.success() || !run.stderr.is_empty() {
            let said = run.stderr.lines().next().unwrap_or_default();
            self.wrong(operation, &format!("{}, stderr: {said}", run.status));
        }
        Ok(run)
    }

    fn ask_reference(&self, arguments: &[&str]) -> Result<String, String> {
        let run = run(&self.plan.reference, arguments, "").map_err(|error| format!("the reference: {error}"))?;
        if run.status.success() { Ok(run.stdout) } else { Err(format!("the reference: {}", run.stderr)) }
    }

    fn compare_table(&mut self, operation: &str, expected: &str) -> Result<(), String> {
        let table = self.ask_reference(&["-S", "-n"])?;
        self.compare(operation, expected, &table);
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

/// Whether the reference finds this table after a change of many services; prints where it does
/// not.
pub(crate) fn is_table(operation: &str, tool: &str, reference: &Path, expected: &str) -> Result<bool, String> {
    thread::sleep(RESIZE);
    let saved = run(reference, &["-S", "-n"], "").map_err(|error| format!("the reference: {error}"))?;
    Ok(is_same(operation, tool, expected, &saved.stdout))
}

/// Whether a tool's result is the reference's; prints where it is not.
pub(crate) fn is_same(operation: &str, tool: &str, expected: &str, got: &str) -> bool {
    let difference = difference(expected, got);
    if let Some(difference) = &difference {
        report_wrong(operation, tool, difference);
    }
    difference.is_none()
}

pub(crate) fn report_wrong(operation: &str, tool: &str, what: &str) {
    println!("wrong {operation} {tool}: {what}");
}

/// The first line that differs, if any byte does.
fn difference(expected: &str, got: &str) -> Option<String> {
    if expected == got {
        return None;
    }
    let (mut expected, mut got) = (expected.split('\n'), got.split('\n'));
    for line in 1.. {
        match (expected.next(), got.next()) {
            (Some(expected), Some(got)) if expected == got => {}
            (expected, got) => return Some(format!("line {line} should be {expected:?}, is {got:?}")),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn the_first_difference_is_named() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(difference("a\nb\n", "a\nc\n").unwrap(), r#"line 2 should be Some("b"), is Some("c")"#);
        assert_eq!(difference("a\n", "a").unwrap(), r#"line 2 should be Some(""), is None"#);
    }
}
