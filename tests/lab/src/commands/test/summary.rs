//! What was checked, and how it went.

use std::{fmt, time::Duration};

/// The table at the end of a run.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    rows: Vec<Row>,
}

/// One check.
#[derive(Debug)]
struct Row {
    name: String,
    outcome: Outcome,
    took: Duration,
}

/// How a check went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It holds; perhaps with a remark.
    Passed(String),
    /// It doesn't.
    Failed(String),
    /// It could not be looked at here, and why.
    Skipped(String),
}

impl Summary {
    /// Adds a check.
    pub(crate) fn add(&mut self, name: impl Into<String>, outcome: Outcome, took: Duration) {
        self.rows.push(Row { name: name.into(), outcome, took });
    }

    /// Whether nothing failed.
    pub(crate) fn good(&self) -> bool {
        !self.rows.iter().any(|row| matches!(row.outcome, Outcome::Failed(_)))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, remark) = match &self.outcome {
            Outcome::Passed(remark) => ("ok", remark),
            Outcome::Failed(remark) => ("FAILED", remark),
            Outcome::Skipped(remark) => ("skipped", remark),
        };
        let line = format!("{word:<8} {:<32} {:>6.1} s  {remark}", self.name, self.took.as_secs_f64());
        f.write_str(line.trim_end())
    }
}

/// Tests counted from the lines with which test programs end.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Tests that passed.
    pub(crate) passed: usize,
    /// Tests that failed.
    pub(crate) failed: usize,
    /// Tests that were not run.
    pub(crate) ignored: usize,
}

impl Counts {
    /// Adds up lines such as `test result: ok. 3 passed; 0 failed; 1 ignored; …`. None: the program
    /// didn't get that far.
    pub(crate) fn read(output: &str) -> Option<Self> {
        let mut lines = output.lines().filter_map(|line| line.strip_prefix("test result: ")).peekable();
        lines.peek()?;
        let mut sum = Self::default();
        for line in lines {
            for part in line.split(['.', ';']) {
                let mut words = part.split_whitespace();
                let (Some(number), Some(word)) = (words.next().and_then(|n| n.parse::<usize>().ok()), words.next())
                else {
                    continue;
                };
                match word {
                    "passed" => sum.passed += number,
                    "failed" => sum.failed += number,
                    "ignored" => sum.ignored += number,
                    _ => {}
                }
            }
        }
        Some(sum)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} ignored", self.passed, self.failed, self.ignored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_over_several_programs() {
        let output = "test a ... ok\n\
            test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
            test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 4 filtered out; finished in 1.50s\n";
        assert_eq!(Counts::read(output), Some(Counts { passed: 4, failed: 2, ignored: 1 }));
    }

    #[test]
    fn a_program_that_dies_early_has_no_counts() {
        assert_eq!(Counts::read("running 2 tests\ntest a ... "), None);
    }

    #[test]
    fn one_failure_spoils_the_whole() {
        let mut summary = Summary::default();
        summary.add("a", Outcome::Skipped("no".into()), Duration::ZERO);
        assert!(summary.good());
        summary.add("b", Outcome::Failed("x".into()), Duration::ZERO);
        assert!(!summary.good() && summary.to_string().contains("FAILED   b"));
    }
}
