//! `cargo lab bench --codec`: what the library spends to write a service or a destination as the kernel wants it, and to read it as the kernel
//! gives it.
//!
//! The program `codec` does one operation some thousand times, and twice as often: half of the difference is the operation's, and the
//! start of the program is in neither. A count of instructions repeats exactly, so it can be held to: more than recorded is a failure.
//! Only code in Rust is compared, and only where the same compiler made it: the C library's memory functions (two in a hundred, of
//! `getsockopt-service` a fifth) are this machine's.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use super::callgrind::Callgrind;
use crate::{
    cache::Cache,
    error::{Error, Result},
    packages, workers,
    workspace::{Workspace, build_by},
};

/// How often an operation is done a round: `TOGETHER` in tests/codec/src/operations.rs.
const A_ROUND: u32 = 50;
const ROUNDS: u32 = 20;

/// How much above what was recorded is too much.
const TOLERANCE: f64 = 0.03;

/// Who compiled what was counted on 2026-11-22.
const RECORDED_WITH: &str = "rustc 1.95.0 (59807616e 2026-04-14)";
/// Instructions for one, in Rust. After a change that is worth what it costs, and after one that made it less: what is measured then.
const RECORDED: [(&str, f64); 10] = [
    ("encode-service-ipv4", 300.1),
    ("encode-service-ipv6", 298.1),
    ("encode-destination", 289.1),
    ("encode-destination-gue", 338.1),
    ("decode-service", 1310.7),
    ("decode-service-no-statistics", 887.7),
    ("decode-destination", 1341.8),
    ("decode-destination-no-statistics", 918.8),
    ("getsockopt-service", 275.6),
    ("getsockopt-destination", 40.6),
];

/// What was counted.
#[derive(Debug)]
pub(crate) struct Report {
    compiler: String,
    rows: Vec<Row>,
}

/// One operation, in instructions for one.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    name: String,
    rust: f64,
    other: f64,
    recorded: Option<f64>,
}

/// Counts, prints, and says whether it is no more than recorded.
pub(super) fn run() -> Result<ExitCode> {
    let callgrind = Callgrind::find(&Cache::open()?)?;
    let report = Report::make(&Workspace::find()?, &callgrind)?;
    let (status, verdict) = match report.verdict() {
        Ok(remark) => (ExitCode::SUCCESS, remark),
        Err(faults) => (ExitCode::FAILURE, faults),
    };
    print!("{}\n{verdict}\n\n{}", report.table(), report.lines());
    Ok(status)
}

impl Report {
    /// Compiles the program and counts.
    pub(crate) fn make(workspace: &Workspace, callgrind: &Callgrind) -> Result<Self> {
        let program = build(workspace)?;
        let mut rustc = workspace.command("rustc");
        let compiler = packages::output(rustc.arg("--version"))?.trim().to_owned();
        let names = packages::output(&mut Command::new(&program))?;
        let names: Vec<&str> = names.lines().collect();
        let rows = workers::each(&names, |_, name| count(callgrind, &program, name));
        Ok(Self { compiler, rows: rows.into_iter().collect::<Result<_>>()? })
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "\nInstructions for one of {A_ROUND} that are handled together; {}\n\n{:<36} {:>8} {:>10} {:>9}\n",
            self.compiler, "", "in Rust", "C library", "recorded"
        );
        for row in &self.rows {
            let Row { name, rust, other, .. } = row;
            let recorded = row.recorded.map_or("none".to_owned(), |recorded| format!("{recorded:.1}"));
            // No sign of what is rounded to nothing.
            let above = row.above().map(|above| (above * 1000.0).round() / 10.0 + 0.0);
            let above = above.map_or_else(String::new, |above| format!("{above:+.1} %"));
            text += &format!("{name:<36} {rust:>8.1} {other:>10.1} {recorded:>9} {above:>8}\n");
        }
        text
    }

    /// For programs.
    fn lines(&self) -> String {
        let line = |row: &Row| format!("bench codec {} rust={:.1} c_library={:.1}\n", row.name, row.rust, row.other);
        self.rows.iter().map(line).collect()
    }

    /// What to say of it: that all is as recorded, or can't be compared; or what is above.
    pub(crate) fn verdict(&self) -> Result<String, String> {
        if self.compiler != RECORDED_WITH {
            return Ok(format!("not compared: recorded with {RECORDED_WITH}, this is {}", self.compiler));
        }
        let faults: Vec<String> = self.rows.iter().filter_map(Row::fault).collect();
        if faults.is_empty() {
            Ok(format!("none of {} is more than {:.0} % above what was recorded", self.rows.len(), TOLERANCE * 100.0))
        } else {
            Err(faults.join("\n"))
        }
    }
}

impl Row {
    /// By what part it is above what was recorded.
    fn above(&self) -> Option<f64> {
        self.recorded.map(|recorded| self.rust / recorded - 1.0)
    }

    fn fault(&self) -> Option<String> {
        let Self { name, rust, .. } = self;
        match self.above() {
            None => Some(format!("{name}: {rust:.1} instructions, and none recorded")),
            Some(above) if above > TOLERANCE => {
                Some(format!("{name}: {rust:.1} instructions, {:.1} % more than recorded", above * 100.0))
            }
            Some(_) => None,
        }
    }
}

fn count(callgrind: &Callgrind, program: &Path, name: &str) -> Result<Row> {
    let once = callgrind.count(program, &[name, &ROUNDS.to_string()])?;
    let twice = callgrind.count(program, &[name, &(2 * ROUNDS).to_string()])?;
    let one = |once: u64, twice: u64| twice.saturating_sub(once) as f64 / f64::from(A_ROUND * ROUNDS);
    let recorded = RECORDED.iter().find(|(recorded, _)| *recorded == name).map(|(_, count)| *count);
    let (rust, other) = (one(once.rust, twice.rust), one(once.other, twice.other));
    Ok(Row { name: name.to_owned(), rust, other, recorded })
}

/// Beside the other release programs: what is compiled with other flags has other names.
fn build(workspace: &Workspace) -> Result<PathBuf> {
    let mut command = workspace.cargo();
    // They would take the place of the workspace's flags, to which one is added.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    command.args(["--config", "target.'cfg(all())'.rustflags=['--cfg=fuzzing']"]);
    command.args(["build", "--release", "-p", "codec"]);
    let built = build_by(command)?.into_iter().find(|program| program.name == "codec");
    built.map(|program| program.path).ok_or_else(|| Error::Missing("codec".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(compiler: &str, rust: f64, recorded: Option<f64>) -> Report {
        let row = Row { name: "x".into(), rust, other: 1.0, recorded };
        Report { compiler: compiler.into(), rows: vec![row] }
    }

    #[test]
    fn what_is_above_is_a_failure() {
        assert!(report(RECORDED_WITH, 102.9, Some(100.0)).verdict().is_ok());
        assert!(report(RECORDED_WITH, 50.0, Some(100.0)).verdict().is_ok());
        let fault = report(RECORDED_WITH, 104.0, Some(100.0)).verdict().unwrap_err();
        assert_eq!(fault, "x: 104.0 instructions, 4.0 % more than recorded");
        assert!(report(RECORDED_WITH, 1.0, None).verdict().is_err());
    }

    #[test]
    fn another_compiler_makes_other_code() {
        let verdict = report("rustc 1.96.0 (0 2026-05-28)", 200.0, Some(100.0)).verdict().unwrap();
        assert!(verdict.starts_with("not compared"), "{verdict}");
    }

    #[test]
    fn programs_find_each_figure_in_a_line() {
        assert_eq!(report(RECORDED_WITH, 104.0, None).lines(), "bench codec x rust=104.0 c_library=1.0\n");
    }
}
