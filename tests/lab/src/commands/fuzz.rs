//! `cargo lab fuzz`: gives every parser bytes that nobody thought of, for as long as you like.
//!
//! libFuzzer is linked with the targets, and rustc counts which code an input reaches; this needs
//! no nightly release of Rust. There is no address sanitizer, which would: nothing that is fuzzed
//! has `unsafe` code.

use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output, Stdio},
    time::Instant,
};

use clap::Args;

use super::test::summary::{Outcome, Summary};
use crate::{
    error::{Context, Error, Result},
    packages, signals, workers,
    workspace::{TestBinary, Workspace, build_by},
};

/// What has libFuzzer see where an input gets, and what it is compared with; and the checks of a
/// debug build.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";

/// How much of what a target said is shown when it failed.
const LINES: usize = 60;

/// Arguments of `cargo lab fuzz`.
#[derive(Debug, Args)]
#[command(after_help = "\
Learned inputs are kept in fuzz/corpus, inputs that fail in fuzz/artifacts. To run one of those again:
cargo lab fuzz --input fuzz/artifacts/TARGET/FILE TARGET")]
pub(crate) struct Fuzz {
    /// How long each target runs; as many run at a time as there are processors
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Only run this input
    #[arg(long, value_name = "FILE", requires = "target")]
    input: Option<PathBuf>,
    /// Only these targets [default: all]
    target: Vec<String>,
}

impl Fuzz {
    /// Builds the targets, runs them, and sums up.
    pub(crate) fn run(self) -> Result<ExitCode> {
        if !packages::is_program("c++") {
            return Err(Error::MissingProgram { program: "c++", purpose: "compiles libFuzzer", package: "g++" });
        }
        let workspace = Workspace::find()?;
        let home = workspace.root().join("fuzz");
        let targets = self.asked_for(build(&workspace)?)?;
        let results = workers::each(&targets, |_, target| {
            let start = Instant::now();
            let outcome = self.fuzz(&home, target);
            eprintln!("lab: {} has ended", target.name);
            (outcome, start.elapsed())
        });
        signals::check()?;
        let mut summary = Summary::default();
        for (target, (outcome, took)) in targets.iter().zip(results) {
            summary.add(&target.name, outcome?, took);
        }
        print!("\n{summary}");
        Ok(if summary.good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn asked_for(&self, mut all: Vec<TestBinary>) -> Result<Vec<TestBinary>> {
        all.sort_by(|one, other| one.name.cmp(&other.name));
        if let Some(unknown) = self.target.iter().find(|name| !all.iter().any(|target| target.name == **name)) {
            let known = Vec::from_iter(all.into_iter().map(|target| target.name)).join(", ");
            return Err(Error::NoSuchTarget { target: unknown.clone(), known });
        }
        all.retain(|target| self.target.is_empty() || self.target.contains(&target.name));
        Ok(all)
    }

    fn fuzz(&self, home: &Path, target: &TestBinary) -> Result<Outcome> {
        signals::check()?;
        let TestBinary { name, path: program, .. } = target;
        let [corpus, seeds, artifacts] = ["corpus", "seeds", "artifacts"].map(|kind| home.join(kind).join(name));
        for directory in [&corpus, &artifacts] {
            fs::create_dir_all(directory).context(|| format!("make {}", directory.display()))?;
        }
        let mut command = Command::new(program);
        command.arg(format!("-artifact_prefix={}/", artifacts.display())).arg("-print_final_stats=1");
        match &self.input {
            Some(input) => command.arg(input),
            None => command.arg(format!("-max_total_time={}", self.seconds)).arg(corpus).arg(seeds),
        };
        let output = command.stdin(Stdio::null()).output().context(|| format!("run {}", program.display()))?;
        Ok(judge(name, &output))
    }
}

/// Builds every target, in a place of their own: no other program is compiled like this.
fn build(workspace: &Workspace) -> Result<Vec<TestBinary>> {
    let mut command = workspace.cargo();
    command.args(["build", "--release", "--manifest-path", "fuzz/Cargo.toml", "--target-dir", "fuzz/target"]);
    command.env("RUSTFLAGS", FLAGS);
    build_by(command)
}

fn judge(target: &str, output: &Output) -> Outcome {
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Outcome::Passed(figures(&said));
    }
    let _one_at_a_time = std::io::stderr().lock();
    println!("\n==== {target} failed; the last it said:");
    last_lines(&said).iter().for_each(|line| println!("{line}"));
    let artifact = said.lines().find_map(|line| line.split_once("Test unit written to ")).map_or("", |(_, path)| path);
    Outcome::Failed(format!("{} {artifact}", output.status))
}

/// What libFuzzer counted.
fn figures(said: &str) -> String {
    let stat = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().last());
    let runs = stat("stat::number_of_executed_units:").unwrap_or("no");
    let new = stat("stat::new_units_added:").unwrap_or("no");
    format!("{runs} runs, {new} new inputs that got somewhere")
}

fn last_lines(said: &str) -> VecDeque<&str> {
    let mut last = VecDeque::new();
    for line in said.lines() {
        if last.len() == LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
    last
}

#[cfg(test)]
mod tests {
    use super::{LINES, figures, last_lines};

    #[test]
    fn libfuzzers_figures_are_read() {
        let said =
            "Done 12 runs in 3 second(s)\nstat::number_of_executed_units: 12345\nstat::new_units_added:         7\n";
        assert_eq!(figures(said), "12345 runs, 7 new inputs that got somewhere");
    }

    #[test]
    fn only_the_end_is_shown() {
        let said = String::from_iter((0..200).map(|n| format!("{n}\n")));
        let last = last_lines(&said);
        assert_eq!((last.len(), last.back().copied()), (LINES, Some("199")));
    }
}
