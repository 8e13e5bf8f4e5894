//! The compatibility suite: every case of `cases/` is played on the original (`ipvsadm::`), on
//! `ipvs-cli` (`ipvs-cli::`), and on `ipvs-cli` over the in-memory kernel (`fake::`), which needs
//! neither root nor a kernel with IPVS.
//!
//! `BLESS=DIR` plays no test but writes every case into DIR with the transcripts of the original;
//! `BLESS=-` prints them.

use ipvs::Behaviors;
use kernel_tests::behaviors;
use kernel_tests::case::Case;
use kernel_tests::harness::Harness;
use kernel_tests::target::Target;
use kernel_tests::{record, runner};
use libtest_mimic::{Completion, Failed, Trial};
use std::error::Error;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

/// Where every wanted deviation is explained.
const COMPATIBILITY_PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/compatibility.md");

/// Although each case has a network of its own: before 7.2 all networks share one lock, which a
/// command holds while it has a module loaded.
const CASES_AT_ONCE: usize = 1;

fn main() -> ExitCode {
    let harness = Harness::from_args().at_once(CASES_AT_ONCE);
    let cases = match read_cases() {
        Ok(cases) => cases,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(place) = env::var_os("BLESS") {
        return bless(&cases, &place, &harness.names());
    }
    let mut trials = vec![documented(&cases)];
    for target in [Target::Ipvsadm, Target::IpvsCli, Target::Fake] {
        trials.extend(cases.iter().filter(|case| target.plays(case)).map(|case| trial(case, target)));
    }
    let status = harness.run(trials);
    if env::var_os("LAB_KERNEL").is_some() {
        behaviors::report();
    }
    status
}

fn read_cases() -> Result<Vec<Case>, Box<dyn Error>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut files = case_files(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    files.sort();
    Ok(files.iter().map(|file| Case::read(file)).collect::<Result<_, _>>()?)
}

fn case_files(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("case")) {
            files.push(path);
        }
    }
    Ok(files)
}

fn trial(case: &Case, target: Target) -> Trial {
    let name = format!("{}::{}", target.name(), case.name);
    let case = case.clone();
    Trial::ignorable_test(name, move || {
        if !holds(&case, target) {
            return Ok(Completion::ignored_with(format!("this kernel is not one with {}", case.behaviors)));
        }
        runner::check(&case, target).map_err(|failure| Failed::from(failure.to_string()))?;
        Ok(Completion::Completed)
    })
}

/// Most cases hold on every kernel, for which it need not be asked.
fn holds(case: &Case, target: Target) -> bool {
    let behaviors = || if target == Target::Fake { Behaviors::default() } else { behaviors::of_this_kernel() };
    case.behaviors.is_empty() || behaviors().contains(case.behaviors)
}

/// A deviation that nobody can read about is a fault.
fn documented(cases: &[Case]) -> Trial {
    let differences = cases.iter().flat_map(|case| case.steps.iter().filter_map(|step| step.difference.as_ref()));
    let titles: Vec<String> = differences.map(|difference| difference.title.clone()).collect();
    Trial::test("every_difference_is_documented", move || {
        let page = fs::read_to_string(COMPATIBILITY_PAGE).map_err(|error| format!("docs/compatibility.md: {error}"))?;
        let missing: Vec<&str> = titles.iter().map(String::as_str).filter(|title| !page.contains(title)).collect();
        match missing[..] {
            [] => Ok(()),
            _ => Err(format!("docs/compatibility.md says nothing about: {}", missing.join("; ")).into()),
        }
    })
}

/// Records the cases whose name holds any of these, if the running kernel is one for which they
/// hold.
fn bless(cases: &[Case], place: &OsStr, names: &[&str]) -> ExitCode {
    let wanted = |case: &&Case| {
        (names.is_empty() || names.iter().any(|name| case.name.contains(name))) && holds(case, Target::Ipvsadm)
    };
    for case in cases.iter().filter(wanted) {
        let file = format!("{}.case", case.name);
        let result = record::record(case).map_err(|failure| failure.to_string()).and_then(|text| {
            if place == "-" {
                print!("==> {file}\n{text}");
                return Ok(());
            }
            fs::write(Path::new(place).join(&file), text).map_err(|error| error.to_string())
        });
        if let Err(error) = result {
            eprintln!("{file}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
