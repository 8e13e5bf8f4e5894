//! `cargo lab coverage`: counts the lines of our crates that tests run, on this machine and in
//! guests.
//!
//! rustc counts (`-C instrument-coverage`), programs write their counts when they end, and LLVM's
//! tools, which are a component of Rust's toolchain, add them up.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use clap::Args;
use serde::Deserialize;

use super::test::{
    guests::{self, Settings},
    summary::{Outcome, Summary},
};
use crate::{
    cache::Cache,
    error::{Context, Error, Result},
    kernel::Kernel,
    packages,
    workspace::{PUBLISHED, TestBinary, Workspace},
};

/// The flags for cargo. Static, as ever; and not optimized across crates, so that lines stay what
/// they are.
const SETTINGS: [(&str, &str); 4] = [
    ("RUSTFLAGS", "-C instrument-coverage -C target-feature=+crt-static -C relocation-model=static"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
];

/// Where a program writes its counts.
pub(crate) const PROFILE_FILE: &str = "LLVM_PROFILE_FILE";

/// Arguments of `cargo lab coverage`.
#[derive(Debug, Args)]
#[command(after_help = "\
Half an hour. Whether tests fail is not its business: some do, as a program that counts says so where it may not
write. What is run in a process that is killed is not counted.")]
pub(crate) struct Coverage {
    /// Only these kernels; may be repeated [default: 6.1 and 7.2, one of which runs what runs on
    /// one kernel only]
    #[arg(long, value_enum)]
    kernel: Vec<Kernel>,
    /// Only the tests on this machine
    #[arg(long, conflicts_with = "kernel")]
    only_host: bool,
    /// Show this source file with the count of each line, such as `ipvs/src/change/plan.rs`, from
    /// the last run
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kernel", "only_host"])]
    show: Option<PathBuf>,
}

impl Coverage {
    /// Builds, runs all tests, and prints how many of the lines they ran.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let workspace = Workspace::find()?;
        let counts = Counts::new(&workspace)?;
        let workspace = SETTINGS.into_iter().fold(workspace, |workspace, (name, value)| workspace.with(name, value));
        let workspace = workspace.with("CARGO_TARGET_DIR", counts.directory.join("build"));
        let programs = programs(&workspace)?;
        if let Some(file) = &self.show {
            return counts.show(&programs, file);
        }
        counts.forget()?;
        let mut summary = Summary::default();
        for program in programs.iter().filter(|program| is_test_of_this_machine(program)) {
            let start = Instant::now();
            summary.add(&program.name, counts.run(program)?, start.elapsed());
        }
        if !self.only_host {
            let kernels = if self.kernel.is_empty() { vec![Kernel::V6_1, Kernel::V7_2] } else { self.kernel };
            Cache::open()?.ensure(&kernels)?;
            guests::check(&workspace, &kernels, &counts.settings(), &mut summary)?;
        }
        println!("\n{summary}\n{}", counts.report(&programs)?);
        Ok(ExitCode::SUCCESS)
    }
}

/// All that has counts: the tests, and what they run.
fn programs(workspace: &Workspace) -> Result<Vec<TestBinary>> {
    let crates = PUBLISHED.map(|published| ["-p", published.package]).concat();
    let mut programs = workspace.build(&[&["test", "--no-run", "--all-features"], &*crates].concat())?;
    programs.extend(workspace.build_kernel_tests()?);
    programs.push(TestBinary {
        name: "ipvs-cli".into(),
        path: workspace.build_ipvs_cli()?,
        package: workspace.root().join("ipvs-cli"),
    });
    Ok(programs)
}

/// Examples and the program itself are no tests, and the others need a kernel.
fn is_test_of_this_machine(program: &TestBinary) -> bool {
    let is_test = program.path.parent().is_some_and(|directory| directory.ends_with("deps"));
    is_test && !program.package.ends_with("tests/kernel")
}

/// The file for what programs of this name count. Of those that end at the same time, each adds to
/// one of four.
pub(crate) fn profile_file(directory: &Path, name: &str) -> String {
    directory.join(format!("{name}-%4m.profraw")).display().to_string()
}

/// What was counted, and the tools that add it up.
struct Counts {
    directory: PathBuf,
    tools: PathBuf,
    root: PathBuf,
}

/// What of `llvm-cov export` is used here.
#[derive(Deserialize)]
struct Export {
    data: Vec<Files>,
}

#[derive(Deserialize)]
struct Files {
    files: Vec<FileCounts>,
}

#[derive(Deserialize)]
struct FileCounts {
    filename: PathBuf,
    summary: OfKinds,
}

#[derive(Deserialize)]
struct OfKinds {
    lines: Lines,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct Lines {
    count: u64,
    covered: u64,
}

impl Lines {
    fn percent(self) -> f64 {
        100.0 * self.covered as f64 / self.count.max(1) as f64
    }

    fn and(self, other: Lines) -> Self {
        Lines { count: self.count + other.count, covered: self.covered + other.covered }
    }
}

impl Counts {
    fn new(workspace: &Workspace) -> Result<Self> {
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.root().join("target"), PathBuf::from);
        let mut sysroot = workspace.command(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        sysroot.args(["--print", "target-libdir"]);
        let libraries = PathBuf::from(packages::output(&mut sysroot)?.trim_end());
        let tools = libraries.with_file_name("bin");
        if !tools.join("llvm-cov").exists() {
            return Err(Error::MissingComponent("llvm-tools"));
        }
        Ok(Counts { directory: target.join("coverage"), tools, root: workspace.root().to_owned() })
    }

    fn profiles(&self) -> PathBuf {
        self.directory.join("profiles")
    }

    /// Removes what was counted before.
    fn forget(&self) -> Result<()> {
        let profiles = self.profiles();
        let _ = fs::remove_dir_all(&profiles);
        fs::create_dir_all(&profiles).context(|| format!("make {}", profiles.display()))
    }

    fn run(&self, program: &TestBinary) -> Result<Outcome> {
        let mut command = Command::new(&program.path);
        command.arg("--quiet").current_dir(&program.package).env("CARGO_MANIFEST_DIR", &program.package);
        command.env(PROFILE_FILE, profile_file(&self.profiles(), &program.name));
        let status = command.status().context(|| format!("run {}", program.path.display()))?;
        Ok(if status.success() { Outcome::Passed(String::new()) } else { Outcome::Failed(status.to_string()) })
    }

    fn settings(&self) -> Settings {
        Settings {
            memory: 1024,
            env: Vec::new(),
            deadline: Duration::from_secs(3600),
            only: None,
            filter: Vec::new(),
            all_of_each_kernel: true,
            profiles: Some(self.profiles()),
        }
    }

    /// One of LLVM's tools, with the sums of all that was counted.
    fn tool(&self, what: &[&str], programs: &[TestBinary]) -> Result<String> {
        let sums = self.directory.join("sums.profdata");
        let mut merge = Command::new(self.tools.join("llvm-profdata"));
        merge.args(["merge", "--sparse", "--output"]).arg(&sums).arg(self.profiles());
        packages::run(&mut merge)?;
        let mut command = Command::new(self.tools.join("llvm-cov"));
        command.args(what).arg("--instr-profile").arg(&sums);
        command.args(programs.iter().flat_map(|program| ["--object".as_ref(), program.path.as_os_str()]));
        packages::output(&mut command)
    }

    fn show(&self, programs: &[TestBinary], file: &Path) -> Result<ExitCode> {
        let source = self.root.join(file);
        let source = source.canonicalize().context(|| format!("find {}", source.display()))?;
        let source = source.display().to_string();
        print!("{}", self.tool(&["show", "--sources", &source], programs)?);
        Ok(ExitCode::SUCCESS)
    }

    /// The crates, and the files of which most lines are left.
    fn report(&self, programs: &[TestBinary]) -> Result<String> {
        const FILES: usize = 20;
        let export = self.tool(&["export", "--summary-only"], programs)?;
        let export: Export =
            serde_json::from_str(&export).map_err(|source| Error::Json { what: "llvm-cov's counts", source })?;
        let mut crates = BTreeMap::<&str, Lines>::new();
        let mut files = Vec::new();
        for file in export.data.iter().flat_map(|data| &data.files) {
            if let Some((name, path)) = source(&self.root, &file.filename) {
                let lines = file.summary.lines;
                let sum = crates.entry(name).or_default();
                *sum = sum.and(lines);
                files.push((lines.count - lines.covered, path, lines));
            }
        }
        files.sort_by_key(|(left, ..)| std::cmp::Reverse(*left));
        let crates = crates.iter().map(|(name, lines)| (*name, *lines));
        let files = files.iter().take(FILES).map(|(_, path, lines)| (*path, *lines));
        let row = |(name, lines): (&str, Lines)| {
            format!("{name:<48}{:>7} of {:>6} lines {:>7.2} %\n", lines.covered, lines.count, lines.percent())
        };
        Ok(format!("{}\nMost are left in\n{}", crates.map(row).collect::<String>(), files.map(row).collect::<String>()))
    }
}

/// The crate that a file belongs to, and its path in the workspace; none of files of tests only.
fn source<'f>(root: &Path, file: &'f Path) -> Option<(&'static str, &'f str)> {
    const OF_TESTS: [&str; 5] = ["tests.rs", "laws.rs", "strategies.rs", "samples.rs", "testing.rs"];
    let path = file.strip_prefix(root).ok()?.to_str()?;
    let mut directories = PUBLISHED.into_iter().map(|published| published.directory);
    let directory =
        directories.find(|directory| path.strip_prefix(directory).is_some_and(|rest| rest.starts_with("/src/")))?;
    let is_of_tests = OF_TESTS.iter().any(|end| path.ends_with(end));
    (!is_of_tests).then_some((directory, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_shipped_counts() {
        let of = |path: &'static str| source(Path::new("/w"), Path::new(path));
        assert_eq!(of("/w/ipvs/src/wire/attr.rs"), Some(("ipvs", "ipvs/src/wire/attr.rs")));
        assert_eq!(of("/w/ipvs-cli/src/io.rs"), Some(("ipvs-cli", "ipvs-cli/src/io.rs")));
        for path in [
            "/w/ipvs/src/wire/tests.rs",
            "/w/ipvs/src/change/plan_laws.rs",
            "/w/ipvs/tests/examples.rs",
            "/w/tests/lab/src/cli.rs",
            "/x/serde/src/lib.rs",
        ] {
            assert_eq!(of(path), None, "{path}");
        }
    }

    #[test]
    fn uncovered_lines_are_reported_in_percent() {
        let lines = Lines { count: 150, covered: 100 }.and(Lines { count: 50, covered: 50 });
        assert_eq!(lines.percent(), 75.0);
        assert_eq!(Lines::default().percent(), 0.0);
    }
}
