//! `cargo lab bench --codec`: what the library spends to write a service or a destination as the
//! kernel wants it, and to read it as the kernel gives it.
//!
//! The program `codec` does one operation some thousand times, and twice as often: half of the
//! difference is the operation's, and the start of the program is in neither. A count of
//! instructions repeats exactly, so it can be held to: more than recorded is a failure. Only code
//! in Rust is compared, and only where the same compiler made it for the same kind of machine: the
//! C library's memory functions (two in a hundred, of `getsockopt-service` a fifth) are this
//! machine's.

use std::{
    env,
    ffi::OsStr,
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

const ROUNDS: u32 = 20;

/// How much above what was recorded is too much.
const TOLERANCE: f64 = 0.03;
/// How much below is no longer the same work, or a record that holds to nothing.
const DOUBT: f64 = 0.2;

/// Who compiled what was counted on 2026-11-22, and for what.
const RECORDED_WITH: &str = "rustc 1.95.0 (59807616e 2026-04-14) for x86_64-unknown-linux-gnu";
/// Instructions for one, in Rust. After a change that is worth what it costs, and after one that
/// made it less: what is measured then.
const RECORDED: [(&str, f64); 10] = [
    ("encode-service-ipv4", 301.2),
    ("encode-service-ipv6", 299.2),
    ("encode-destination", 292.2),
    ("encode-destination-gue", 341.2),
    ("decode-service", 1310.7),
    ("decode-service-no-statistics", 887.7),
    ("decode-destination", 1341.8),
    ("decode-destination-no-statistics", 918.8),
    ("getsockopt-service", 275.6),
    ("getsockopt-destination", 31.6),
];

/// The program whose instructions are counted.
#[derive(Debug)]
pub(crate) struct Codec {
    path: PathBuf,
    compiler: String,
    /// Names, and how many of each are done a round.
    operations: Vec<(String, u32)>,
}

/// What is to be said of the counts.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    /// As recorded, or less.
    Met(String),
    /// Another compiler made other code.
    NotCompared(String),
    /// What is not as recorded.
    Missed(String),
}

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
    let report = Codec::build(&Workspace::find()?)?.report(&callgrind)?;
    let (status, said) = match report.verdict() {
        Verdict::Met(said) | Verdict::NotCompared(said) => (ExitCode::SUCCESS, said),
        Verdict::Missed(said) => (ExitCode::FAILURE, said),
    };
    print!("{}\n{said}\n\n{}", report.table(), report.lines());
    Ok(status)
}

impl Codec {
    /// Compiles it.
    pub(crate) fn build(workspace: &Workspace) -> Result<Self> {
        let path = build(workspace)?;
        let compiler = compiler(&packages::output(workspace.command("rustc").arg("-vV"))?);
        let listed = packages::output(&mut Command::new(&path))?;
        let operation = |line: &str| {
            let (name, together) = line.split_once(' ')?;
            Some((name.to_owned(), together.parse().ok()?))
        };
        let operations = listed.lines().map(operation).collect::<Option<_>>();
        Ok(Self { path, compiler, operations: operations.ok_or_else(|| Error::Missing("codec's list".into()))? })
    }

    /// Can it be counted here?
    pub(crate) fn try_out(&self, callgrind: &Callgrind) -> Result<()> {
        callgrind.count(&self.path, &[]).map(drop)
    }

    /// Counts.
    pub(crate) fn report(&self, callgrind: &Callgrind) -> Result<Report> {
        let count = |_, (name, together): &(String, u32)| count(callgrind, &self.path, name, *together);
        let rows = workers::each(&self.operations, count);
        Ok(Report { compiler: self.compiler.clone(), rows: rows.into_iter().collect::<Result<_>>()? })
    }
}

/// From what `rustc -vV` says: its first line, and the kind of machine.
fn compiler(said: &str) -> String {
    let version = said.lines().next().unwrap_or_default();
    let host = said.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    format!("{version} for {host}")
}

impl Report {
    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "\nInstructions for one of many that are handled together; {}\n\n{:<36} {:>8} {:>10} {:>9}\n",
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

    /// Is it as recorded?
    pub(crate) fn verdict(&self) -> Verdict {
        if self.compiler != RECORDED_WITH {
            let said = format!("not compared: recorded with {RECORDED_WITH}, this is {}", self.compiler);
            return Verdict::NotCompared(said);
        }
        let is_counted = |name: &str| self.rows.iter().any(|row| row.name == name);
        let uncounted = RECORDED.iter().filter(|(name, _)| !is_counted(name));
        let uncounted = uncounted.map(|(name, _)| format!("{name}: recorded, but there is no such operation"));
        let faults: Vec<String> = self.rows.iter().filter_map(Row::fault).chain(uncounted).collect();
        if !faults.is_empty() {
            return Verdict::Missed(faults.join("\n"));
        }
        let most = TOLERANCE * 100.0;
        Verdict::Met(format!("none of {} is more than {most:.0} % above what was recorded", self.rows.len()))
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
            Some(above) if above < -DOUBT => {
                let below = -above * 100.0;
                Some(format!(
                    "{name}: {rust:.1} instructions, {below:.1} % less than recorded: record what is true now"
                ))
            }
            Some(_) => None,
        }
    }
}

fn count(callgrind: &Callgrind, program: &Path, name: &str, together: u32) -> Result<Row> {
    let once = callgrind.count(program, &[name, &ROUNDS.to_string()])?;
    let twice = callgrind.count(program, &[name, &(2 * ROUNDS).to_string()])?;
    let one = |once: u64, twice: u64| twice.saturating_sub(once) as f64 / f64::from(together * ROUNDS);
    let recorded = RECORDED.iter().find(|(recorded, _)| *recorded == name).map(|(_, count)| *count);
    let (rust, other) = (one(once.rust, twice.rust), one(once.other, twice.other));
    Ok(Row { name: name.to_owned(), rust, other, recorded })
}

/// Beside the other release programs: what is compiled with other flags has other names.
fn build(workspace: &Workspace) -> Result<PathBuf> {
    let mut command = cargo(workspace);
    command.args(["--config", "target.'cfg(all())'.rustflags=['--cfg=fuzzing']"]);
    command.args(["build", "--release", "-p", "codec"]);
    let built = build_by(command)?.into_iter().find(|program| program.name == "codec");
    built.map(|program| program.path).ok_or_else(|| Error::Missing("codec".into()))
}

/// cargo with the workspace's flags alone: what is counted is compared.
pub(super) fn cargo(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo();
    env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| is_about_code(name))
        .for_each(|name| _ = command.env_remove(name));
    command
}

/// A variable that has cargo make other code.
fn is_about_code(variable: &OsStr) -> bool {
    let name = variable.to_string_lossy();
    let is_of_a_target = name.starts_with("CARGO_TARGET_") && name != "CARGO_TARGET_DIR";
    is_of_a_target
        || name.starts_with("CARGO_PROFILE_")
        || ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS", "CARGO_BUILD_TARGET"].contains(&&*name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that is recorded, as recorded, but for the first.
    fn report(first: f64) -> Report {
        let row = |(name, count): &(&str, f64)| Row {
            name: (*name).into(),
            rust: *count,
            other: 1.0,
            recorded: Some(*count),
        };
        let mut rows: Vec<Row> = RECORDED.iter().map(row).collect();
        rows[0].rust = first;
        Report { compiler: RECORDED_WITH.into(), rows }
    }

    fn missed(report: &Report) -> String {
        match report.verdict() {
            Verdict::Missed(said) => said,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn counts_above_the_record_fail() {
        let (_, recorded) = RECORDED[0];
        for fine in [1.029, 1.0, 0.81] {
            assert!(matches!(report(fine * recorded).verdict(), Verdict::Met(_)), "{fine}");
        }
        assert!(missed(&report(1.04 * recorded)).ends_with("instructions, 4.0 % more than recorded"));
    }

    #[test]
    fn operations_and_records_must_match() {
        assert!(missed(&report(0.0)).contains("100.0 % less than recorded"));
        let mut none = report(RECORDED[0].1);
        none.rows.remove(0);
        assert_eq!(missed(&none), "encode-service-ipv4: recorded, but there is no such operation");
        let mut new = report(RECORDED[0].1);
        new.rows[1].recorded = None;
        assert!(missed(&new).contains("none recorded"));
    }

    #[test]
    fn another_compiler_makes_other_code() {
        let compiler = compiler("rustc 1.96.0 (0 2026-05-28)\nbinary: rustc\nhost: aarch64-unknown-linux-gnu\n");
        assert_eq!(compiler, "rustc 1.96.0 (0 2026-05-28) for aarch64-unknown-linux-gnu");
        let report = Report { compiler, ..report(1000.0) };
        assert!(matches!(report.verdict(), Verdict::NotCompared(_)));
    }

    #[test]
    fn only_what_is_about_code_is_forgotten() {
        for name in ["RUSTFLAGS", "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "CARGO_PROFILE_RELEASE_LTO"] {
            assert!(is_about_code(OsStr::new(name)), "{name}");
        }
        for name in ["CARGO_TARGET_DIR", "CARGO_HOME", "PATH"] {
            assert!(!is_about_code(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn programs_find_each_figure_in_a_line() {
        let lines = report(104.0).lines();
        assert!(lines.starts_with("bench codec encode-service-ipv4 rust=104.0 c_library=1.0\n"), "{lines}");
    }
}
