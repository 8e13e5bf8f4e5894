//! The tests that need a kernel: their ordinary test programs, run as root in guests.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::summary::{Counts, Outcome, Summary};
use crate::commands::coverage::{PROFILE_FILE, profile_file};
use crate::{
    cli::GuestOptions,
    error::{Error, Result},
    guest::{Capture, Ending, Output, Streams, last_words},
    kernel::Kernel,
    signals,
    stage::{Limits, Stage, Tool, show_console},
    workers,
    workspace::{TestBinary, Workspace},
};

/// The test program that needs Debian's programs, a large download that nobody else needs.
const NEEDS_PROGRAMS: &str = "programs";

/// The test program that needs `ipvs-follow`.
const NEEDS_FOLLOW: &str = "follow";

/// The programs that take longest, the longest first.
const LONG: [&str; 6] = ["operate", "programs", "hostile", "differential", "traffic", "compat"];

/// Programs whose tests mostly wait for timers of the kernel, each in networks of its own.
const WAITING: [&str; 3] = ["traffic", "drain", "sync"];
/// How many of their tests run at a time, though a guest has one CPU.
const TOGETHER: &str = "4";

/// The kernel between those that run everything.
const BETWEEN: Kernel = Kernel::V6_12;

/// Programs that do not run there unless the kernel or a test is named: the long ones, which look
/// at the programs on a director rather than at the kernel.
const NOT_BETWEEN: [&str; 8] =
    ["articles", "differential", "drain", "hostile", "marks", "operate", "programs", "reload"];

/// A kernel of old distributions.
const OLD: Kernel = Kernel::V5_10;

/// Programs that run there although the kernel is not named: what the drop-in and the library do
/// to a table.
const ON_OLD: [&str; 6] = ["change", "client", "golden", "names", "screens", "sync"];

/// The option by which test programs show what tests print that pass.
const SHOW_OUTPUT: &str = "--show-output";

/// Debian's programs are below a layer that takes what is written.
const NO_LAYERS: &str = "this kernel opens no file of this machine through a layer over its directories";

const NOT_ASKED_FOR: &str = "none of its tests was asked for";

/// What the user asked for.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) memory: u32,
    pub(crate) env: Vec<String>,
    pub(crate) deadline: Duration,
    /// Of the test programs only this one.
    pub(crate) only: Option<&'static str>,
    pub(crate) filter: Vec<String>,
    /// Also what the oldest and the newest kernel show alone.
    pub(crate) all_of_each_kernel: bool,
    /// Where instrumented programs write what they ran.
    pub(crate) profiles: Option<PathBuf>,
}

/// Builds the test programs, runs them and adds to the summary.
pub(crate) fn check(
    workspace: &Workspace,
    kernels: &[Kernel],
    settings: &Settings,
    summary: &mut Summary,
) -> Result<()> {
    let guests = Guests::build(workspace, kernels, settings)?;
    guests.run()?.into_iter().for_each(|ended| summary.add(ended.name, ended.outcome, ended.took));
    Ok(())
}

/// Test programs, and the kernels to run them on.
pub(crate) struct Guests<'s> {
    settings: &'s Settings,
    tool: Tool,
    follow: Option<PathBuf>,
    runs: Vec<(Kernel, TestBinary)>,
}

/// How a program ended.
pub(crate) struct Ended {
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
    pub(crate) took: Duration,
}

impl<'s> Guests<'s> {
    /// Builds the test programs.
    pub(crate) fn build(workspace: &Workspace, kernels: &[Kernel], settings: &'s Settings) -> Result<Self> {
        let tool = Tool::IpvsCli(workspace.build_ipvs_cli()?);
        let mut programs = workspace.build_kernel_tests()?;
        programs.retain(|program| settings.only.is_none_or(|only| program.name == only));
        if programs.is_empty() {
            let name = settings.only.unwrap_or("a test program");
            return Err(Error::Missing(PathBuf::from(format!("{name} of package kernel-tests"))));
        }
        let needs_follow = |program: &TestBinary| program.name == NEEDS_FOLLOW;
        let follow =
            match programs.iter().any(|program| needs_follow(program) && is_asked_for(program, &settings.filter)) {
                true => Some(workspace.build_ipvs_follow()?),
                false => None,
            };
        let mut runs: Vec<_> =
            kernels.iter().flat_map(|kernel| programs.iter().map(|program| (*kernel, program.clone()))).collect();
        runs.retain(|(kernel, program)| settings.all_of_each_kernel || is_essential(*kernel, &program.name));
        // At the end no long one runs alone.
        runs.sort_by_key(|(_, program)| LONG.iter().position(|long| program.name == *long).unwrap_or(LONG.len()));
        Ok(Self { settings, tool, follow, runs })
    }

    /// Runs each program on each kernel, in a guest of its own, some at a time.
    pub(crate) fn run(&self) -> Result<Vec<Ended>> {
        let results = workers::some(workers::guests_at_a_time(), &self.runs, |number, (kernel, program)| {
            let start = Instant::now();
            let outcome = run(*kernel, program, &self.tool, self.follow.as_deref(), self.settings);
            eprintln!("lab: {} of {}: kernel {kernel}: {} has ended", number + 1, self.runs.len(), program.name);
            (outcome, start.elapsed())
        });
        signals::check()?;
        let mut all = Vec::new();
        for ((kernel, program), (outcome, took)) in self.runs.iter().zip(results) {
            all.push(Ended { name: format!("kernel {kernel}: {}", program.name), outcome: outcome?, took });
        }
        if all.iter().all(|ended| matches!(ended.outcome, Outcome::Skipped(_))) {
            let why = format!("no test has {:?} in its name", self.settings.filter.join(" "));
            let outcome = Outcome::Failed(why);
            all.push(Ended { name: "tests on the kernels".into(), outcome, took: Duration::ZERO });
        }
        Ok(all)
    }
}

/// Whether the program runs on the kernel although nobody has named it.
fn is_essential(kernel: Kernel, program: &str) -> bool {
    match kernel {
        BETWEEN => !NOT_BETWEEN.contains(&program),
        OLD => ON_OLD.contains(&program),
        _ => true,
    }
}

/// Whether the user asked for any of the program's tests. If not, it needs no guest, and nothing to
/// be fetched for it.
fn is_asked_for(program: &TestBinary, filter: &[String]) -> bool {
    if filter.is_empty() {
        return true;
    }
    let mut list = Command::new(&program.path);
    list.args(filter).arg("--list").env_clear().stderr(Stdio::null());
    // A program that can't list its tests is run, and says why.
    list.output().map_or(true, |list| !list.status.success() || lists_tests(&list.stdout))
}

/// Whether the output of `--list` names a test.
fn lists_tests(list: &[u8]) -> bool {
    String::from_utf8_lossy(list).lines().any(|line| line.ends_with(": test"))
}

/// One program on one kernel.
fn run(
    kernel: Kernel,
    program: &TestBinary,
    tool: &Tool,
    follow: Option<&Path>,
    settings: &Settings,
) -> Result<Outcome> {
    if !is_asked_for(program, &settings.filter) {
        return Ok(Outcome::Skipped(NOT_ASKED_FOR.into()));
    }
    if kernel == OLD && program.name == NEEDS_PROGRAMS {
        return Ok(Outcome::Skipped(NO_LAYERS.into()));
    }
    settle(|| attempt(kernel, program, tool, follow, settings))
}

/// What came of one guest.
enum Attempt {
    /// The program was judged.
    Judged(Outcome),
    /// The kernel died first, and said why.
    Died(String),
}

/// A kernel that died says nothing about the tests: there is a second guest, and the result says
/// so. One that dies again does.
fn settle(mut attempt: impl FnMut() -> Result<Attempt>) -> Result<Outcome> {
    let first = match attempt()? {
        Attempt::Judged(outcome) => return Ok(outcome),
        Attempt::Died(why) => why,
    };
    Ok(match attempt()? {
        Attempt::Judged(Outcome::Passed(remark)) => {
            Outcome::Passed(format!("{remark}, by the second guest; the first one's kernel died: {first}"))
        }
        Attempt::Judged(other) => other,
        Attempt::Died(second) => Outcome::Failed(format!("the kernel died twice: {first}; {second}")),
    })
}

/// One guest. Its output is shown when something fails, or on request: whole, and in one piece.
fn attempt(
    kernel: Kernel,
    program: &TestBinary,
    tool: &Tool,
    follow: Option<&Path>,
    settings: &Settings,
) -> Result<Attempt> {
    let options = GuestOptions { kernel: Some(kernel), memory: settings.memory, env: settings.env.clone() };
    let mut stage = Stage::new(&options, tool)?;
    if program.name == NEEDS_PROGRAMS {
        stage.bring_programs()?;
    }
    if let Some(follow) = follow.filter(|_| program.name == NEEDS_FOLLOW) {
        stage.bring_etcd()?;
        stage.keep(follow);
        stage.set("IPVS_FOLLOW", follow.display().to_string());
    }
    if WAITING.contains(&&*program.name) {
        stage.set("RUST_TEST_THREADS", TOGETHER);
    }
    stage.keep(&program.path);
    stage.set("CARGO_MANIFEST_DIR", program.package.display().to_string());
    if let Some(profiles) = &settings.profiles {
        stage.open_to_writes(profiles);
        stage.set(PROFILE_FILE, profile_file(profiles, &format!("{}-{kernel}", program.name)));
    }
    let mut command = vec![program.path.display().to_string()];
    command.extend(settings.filter.iter().cloned());
    let output = Capture::default();
    let to = Output::Capture(output.clone());
    let limits = Limits { deadline: settings.deadline, out: to.clone(), err: to };
    let ending = stage.run(command, &program.package, Streams::Merged, &limits)?;
    let text = output.text();
    let (mut attempt, console) = judge(ending, Counts::read(&text), settings.deadline);
    match &mut attempt {
        Attempt::Judged(Outcome::Failed(why)) => show_failure(kernel, program, why, &text, &console),
        Attempt::Died(why) => show_failure(kernel, program, &format!("the kernel died: {why}"), &text, &console),
        Attempt::Judged(Outcome::Passed(remark)) => {
            // What a program measured beside passing.
            for figures in text.lines().filter_map(|line| line.strip_prefix("figures: ")) {
                let _ = write!(remark, "; {figures}");
            }
            if settings.filter.iter().any(|word| word == SHOW_OUTPUT) {
                println!("\n==== kernel {kernel}: {}:\n{text}", program.name);
            }
        }
        Attempt::Judged(Outcome::Skipped(_)) => {}
    }
    Ok(attempt)
}

fn show_failure(kernel: Kernel, program: &TestBinary, why: &str, text: &str, console: &str) {
    let _one_at_a_time = std::io::stderr().lock();
    println!("\n==== kernel {kernel}: {} failed: {why}; its output:\n{text}", program.name);
    show_console(console);
}

/// A program passes only by its exit status, and only if it counted its tests.
fn judge(ending: Ending, counts: Option<Counts>, deadline: Duration) -> (Attempt, String) {
    let counted = counts.map_or_else(|| "it did not finish its tests".into(), |counts| counts.to_string());
    let (outcome, console) = match ending {
        Ending::Exited(0) if counts.is_some_and(|counts| counts.passed + counts.failed == 0) => {
            // The program itself has left them out, on this kernel or always.
            let are_ignored = counts.is_some_and(|counts| counts.ignored > 0);
            (Outcome::Skipped(if are_ignored { counted } else { NOT_ASKED_FOR.into() }), String::new())
        }
        Ending::Exited(0) if counts.is_some_and(|counts| counts.failed == 0) => {
            (Outcome::Passed(counted), String::new())
        }
        Ending::Exited(status) => (Outcome::Failed(format!("{counted} (exit status {status})")), String::new()),
        Ending::NotStarted(why) => (Outcome::Failed(why), String::new()),
        Ending::Unread => (Outcome::Failed("its output could not be kept".into()), String::new()),
        Ending::Deadline { console } => (Outcome::Failed(format!("not done after {} s", deadline.as_secs())), console),
        Ending::Died { status, console } => {
            return (Attempt::Died(format!("{} ({status})", last_words(&console))), console);
        }
    };
    (Attempt::Judged(outcome), console)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL_GOOD: Option<Counts> = Some(Counts { passed: 2, failed: 0, ignored: 0 });

    fn passes(ending: Ending, counts: Option<Counts>) -> bool {
        matches!(judge(ending, counts, Duration::ZERO).0, Attempt::Judged(Outcome::Passed(_)))
    }

    #[test]
    fn only_a_finished_program_with_status_0_passes() {
        assert!(passes(Ending::Exited(0), ALL_GOOD));
        assert!(!passes(Ending::Exited(101), ALL_GOOD));
        assert!(!passes(Ending::Exited(0), None));
        assert!(!passes(Ending::Exited(0), Some(Counts { passed: 2, failed: 1, ignored: 0 })));
        assert!(!passes(Ending::Exited(0), Some(Counts { passed: 0, failed: 0, ignored: 3 })));
        assert!(!passes(Ending::Deadline { console: String::new() }, ALL_GOOD));
        assert!(!passes(Ending::NotStarted("no".into()), None));
    }

    #[test]
    fn ignored_tests_differ_from_unselected_ones() {
        let why = |ignored| {
            let counts = Counts { passed: 0, failed: 0, ignored };
            match judge(Ending::Exited(0), Some(counts), Duration::ZERO).0 {
                Attempt::Judged(Outcome::Skipped(why)) => why,
                _ => panic!("not skipped"),
            }
        };
        assert_eq!(why(3), "0 passed, 0 failed, 3 ignored");
        assert_eq!(why(0), NOT_ASKED_FOR);
    }

    /// What comes of guests of which these die.
    fn settled(deaths: &[&str], outcome: &Outcome) -> Outcome {
        let mut deaths = deaths.iter();
        let attempt = || match deaths.next() {
            Some(why) => Ok(Attempt::Died((*why).into())),
            None => Ok(Attempt::Judged(outcome.clone())),
        };
        settle(attempt).unwrap()
    }

    #[test]
    fn a_kernel_may_die_once() {
        let (passed, failed) = (Outcome::Passed("2 passed".into()), Outcome::Failed("1 failed".into()));
        assert_eq!(settled(&[], &passed), passed);
        assert_eq!(settled(&["a panic"], &failed), failed);
        let message = "2 passed, by the second guest; the first one's kernel died: a panic";
        assert_eq!(settled(&["a panic"], &passed), Outcome::Passed(message.into()));
        let message = "the kernel died twice: a panic; an oops";
        assert_eq!(settled(&["a panic", "an oops"], &passed), Outcome::Failed(message.into()));
    }

    #[test]
    fn two_kernels_run_everything() {
        for program in NOT_BETWEEN {
            let kernels = Kernel::ALL.into_iter().filter(|kernel| is_essential(*kernel, program));
            assert_eq!(Vec::from_iter(kernels), [Kernel::V6_1, Kernel::V7_2], "{program}");
        }
        assert!(Kernel::ALL.into_iter().all(|kernel| is_essential(kernel, "client")));
    }

    #[test]
    fn a_program_is_asked_for_if_it_lists_a_test() {
        assert!(lists_tests(b"ldirectord::does_the_same: test\n\n1 test, 0 benchmarks\n"));
        assert!(!lists_tests(b"\n0 tests, 0 benchmarks\n"));
    }
}
