//! The checks that need no kernel.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{
    book,
    crates::{self, Crates},
    summary::{Outcome, Summary},
};
use crate::{
    bench::{
        callgrind::Callgrind,
        codec::{Codec, Verdict},
    },
    cache::Cache,
    cargo_tool::CargoTool,
    commands::api,
    error::{Context, Error, Result},
    packages, signals,
    workspace::{LIBRARIES, PUBLISHED, Workspace},
};

/// The oldest Rust that must do, as the workspace declares it.
const MINIMUM_RUST: &str = env!("CARGO_PKG_RUST_VERSION");

/// What the checks below run that a machine may lack, and what installs it. The rest of Rust
/// compiled this program.
const COMPONENTS: [(&str, &str); 2] = [("fmt", "rustfmt"), ("clippy", "clippy")];

/// An error with everything that is missing, before anything is compiled.
pub(crate) fn require_machine(workspace: &Workspace) -> Result<()> {
    let mut missing = packages::missing();
    for (command, component) in COMPONENTS {
        let output = workspace.cargo().args([command, "--version"]).output().context(|| "run cargo".into())?;
        if !output.status.success() {
            missing.push(format!("Rust's component {component}: rustup component add {component}"));
        }
    }
    packages::require(missing)
}

/// Runs them, the tests apart, with their output as it comes.
pub(crate) fn check(workspace: &Workspace, summary: &mut Summary) -> Result<()> {
    let cargo = |arguments: &[&str]| {
        let mut command = workspace.cargo();
        command.args(arguments);
        command
    };
    let mut doc = cargo(&["doc", "--quiet", "--workspace", "--all-features", "--no-deps"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    run(summary, "format", cargo(&["fmt", "--all", "--check"]))?;
    run(
        summary,
        "clippy",
        cargo(&["clippy", "--quiet", "--workspace", "--all-features", "--all-targets", "--", "-D", "warnings"]),
    )?;
    run(summary, "documentation", doc)?;
    oldest_rust(workspace, summary)?;
    another_system(workspace, summary)?;
    published_crates(workspace, summary)?;
    public_items(workspace, summary)?;
    fuzz_targets(workspace, summary)?;
    codec(workspace, summary)?;
    dependencies(workspace, summary)?;
    the_book(workspace, summary)?;
    // What runs beside guests leaves the compiler's memory to them.
    run(summary, "tests compile", cargo(&[TESTS, &["--no-run"]].concat()))
}

/// The tests that need no guest, or guests of their own.
const TESTS: &[&str] = &["test", "--quiet", "--workspace", "--all-features", "--exclude", "kernel-tests"];

/// Runs the tests on this machine.
pub(crate) fn tests(workspace: &Workspace, summary: &mut Summary) -> Result<()> {
    let cargo = |arguments: &[&str]| {
        let mut command = workspace.cargo();
        command.args(arguments);
        command
    };
    run(summary, "tests on this machine", cargo(TESTS))?;
    marks(cargo(&["test", "--quiet", "-p", "kernel-tests", "--test", "marks"]), summary)?;
    let names = ["fake::", "every_difference_is_documented"];
    let mut without_kernel = cargo(&["test", "--quiet", "-p", "kernel-tests", "--"]);
    without_kernel.args(names);
    run(summary, "tests on the in-memory kernel", without_kernel)
}

/// Marks in this machine's own kernel, which mostly has what the guests' kernels lack: nftables.
/// With the lab's programs.
fn marks(mut command: Command, summary: &mut Summary) -> Result<()> {
    let cache = Cache::open()?;
    cache.ensure(&[])?;
    let mut path = cache.tools().join("lab-bin").into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    command.env("PATH", path).env("XTABLES_LIBDIR", cache.xtables());
    run(summary, "marks in this machine's kernel", command)
}

fn run(summary: &mut Summary, name: &str, command: Command) -> Result<()> {
    judge(summary, name, command, String::new()).map(drop)
}

/// Runs one check. Gives whether it passed.
fn judge(summary: &mut Summary, name: &str, mut command: Command, remark: String) -> Result<bool> {
    signals::check()?;
    eprintln!("==== {name}");
    let start = Instant::now();
    let status = command.stdin(Stdio::null()).status().context(|| format!("run {:?}", command.get_program()))?;
    let outcome = if status.success() { Outcome::Passed(remark) } else { Outcome::Failed(status.to_string()) };
    summary.add(name, outcome, start.elapsed());
    Ok(status.success())
}

fn skip(summary: &mut Summary, name: &str, why: impl Into<String>) {
    summary.add(name, Outcome::Skipped(why.into()), Duration::ZERO);
}

/// Compiles with the declared minimum, unless that is what all the rest is compiled with.
fn oldest_rust(workspace: &Workspace, summary: &mut Summary) -> Result<()> {
    let name = "oldest Rust";
    let (running, version) = running_rust(workspace);
    if is_release_of(&version, MINIMUM_RUST) {
        summary.add(name, Outcome::Passed(format!("all checks ran with it: {}", running.trim())), Default::default());
        return Ok(());
    }
    let installed = text_of(Command::new("rustup").args(["toolchain", "list"]));
    let Some(toolchain) = installed.split_whitespace().find(|toolchain| is_release_of(toolchain, MINIMUM_RUST)) else {
        skip(summary, name, format!("Rust {MINIMUM_RUST} is not here: rustup toolchain install {MINIMUM_RUST}"));
        return Ok(());
    };
    let mut command = workspace.command("rustup");
    command.args(["run", toolchain, "cargo", "check", "--quiet", "--workspace", "--all-targets"]);
    command.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    judge(summary, name, command, toolchain.to_owned()).map(drop)
}

/// Whether `version` ("1.95.0", "1.95.0-x86_64-…") is a release of the series ("1.95").
fn is_release_of(version: &str, series: &str) -> bool {
    version.strip_prefix(series).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
}

/// A system that has no IPVS, but developers.
const ANOTHER_SYSTEM: &str = "x86_64-apple-darwin";

/// Compiles the library for a system that is not Linux.
fn another_system(workspace: &Workspace, summary: &mut Summary) -> Result<()> {
    let name = "library on another system";
    let mut where_is_std = workspace.command("rustc");
    let directory = text_of(where_is_std.args(["--print", "target-libdir", "--target", ANOTHER_SYSTEM]));
    if !Path::new(directory.trim()).exists() {
        skip(summary, name, format!("its standard library is not here: rustup target add {ANOTHER_SYSTEM}"));
        return Ok(());
    }
    let mut command = workspace.cargo();
    command.args(["check", "--quiet", "-p", LIBRARIES[0].package, "--all-features", "--target", ANOTHER_SYSTEM]);
    command.env("RUSTFLAGS", "-Dwarnings");
    run(summary, name, command)
}

fn published_crates(workspace: &Workspace, summary: &mut Summary) -> Result<()> {
    let name = "packages of the crates";
    if !judge(summary, name, crates::package(workspace), String::new())? {
        return Ok(());
    }
    let crates = match Crates::unpack(workspace) {
        Ok(crates) => crates,
        Err(error) => {
            summary.add(name, Outcome::Failed(error.to_string()), Duration::ZERO);
            return Ok(());
        }
    };
    if let Err(error) = crates.check_lock_files() {
        summary.add("lock files of the packages", Outcome::Failed(error.to_string()), Duration::ZERO);
    }
    for published in PUBLISHED {
        let name = format!("{} from its package", published.package);
        run(summary, &name, crates.check_alone(workspace, published.package))?;
    }
    let name = "crates alone, oldest dependencies";
    if let Err(error) = crates.take_oldest_dependencies(workspace) {
        summary.add(name, Outcome::Failed(error.to_string()), Duration::ZERO);
        return Ok(());
    }
    run(summary, name, crates.check(workspace))?;
    let cache = Cache::open()?;
    cache.ensure_old_rust()?;
    run(summary, "libraries with Debian 13's Rust", crates.test_libraries(workspace, &cache.old_rust()))
}

/// The public items of the libraries are those that are listed.
fn public_items(workspace: &Workspace, summary: &mut Summary) -> Result<()> {
    let name = "public items of the libraries";
    if !is_release_of(&running_rust(workspace).1, MINIMUM_RUST) {
        skip(summary, name, format!("only Rust {MINIMUM_RUST} describes them as they are listed"));
        return Ok(());
    }
    let Some(program) = found(&api::TOOL, name, summary)? else { return Ok(()) };
    eprintln!("==== {name}");
    let start = Instant::now();
    let outcome = match api::changes(workspace, &program) {
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        Err(error) => Outcome::Failed(error.to_string()),
        Ok(changes) if changes.is_empty() => Outcome::Passed(String::new()),
        Ok(changes) => {
            changes.iter().for_each(|change| println!("{change}"));
            Outcome::Failed(format!("{} lines; `cargo lab api --write` writes the list", changes.len()))
        }
    };
    summary.add(name, outcome, start.elapsed());
    Ok(())
}

/// What rustc says of itself, and the version in it.
fn running_rust(workspace: &Workspace) -> (String, String) {
    let running = text_of(Command::new("rustc").arg("--version").current_dir(workspace.root()));
    let version = running.split(' ').nth(1).unwrap_or_default().to_owned();
    (running, version)
}

fn fuzz_targets(workspace: &Workspace, summary: &mut Summary) -> Result<()> {
    let name = "fuzz targets compile";
    if !workspace.root().join("fuzz/Cargo.toml").exists() {
        return Ok(());
    }
    if !packages::is_program("c++") {
        skip(summary, name, "they need a C++ compiler. On Debian and Ubuntu: apt-get install g++");
        return Ok(());
    }
    let mut command = workspace.cargo();
    // As cargo-fuzz does; it opens what only the targets see.
    command.args(["check", "--quiet", "--manifest-path", "fuzz/Cargo.toml"]).env("RUSTFLAGS", "--cfg fuzzing");
    run(summary, name, command)
}

/// The codec takes no more instructions than recorded.
fn codec(workspace: &Workspace, summary: &mut Summary) -> Result<()> {
    let name = "instructions of the codec";
    eprintln!("==== {name}");
    let start = Instant::now();
    let outcome = match Codec::build(workspace).and_then(|codec| count(&codec)) {
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        counted => counted.unwrap_or_else(|error| Outcome::Failed(error.to_string())),
    };
    summary.add(name, outcome, start.elapsed());
    Ok(())
}

fn count(codec: &Codec) -> Result<Outcome> {
    let found = Callgrind::find(&Cache::open()?);
    let callgrind = match found.and_then(|callgrind| codec.try_out(&callgrind).map(|()| callgrind)) {
        Ok(callgrind) => callgrind,
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        Err(why) => return Ok(Outcome::Skipped(format!("valgrind can't be had, or does not run here: {why}"))),
    };
    let report = codec.report(&callgrind)?;
    print!("{}", report.table());
    Ok(match report.verdict() {
        Verdict::Met(said) => Outcome::Passed(said),
        Verdict::NotCompared(said) => Outcome::Skipped(said),
        Verdict::Missed(said) => Outcome::Failed(said),
    })
}

const CARGO_DENY: CargoTool = CargoTool { name: "cargo-deny", version: "0.20.2", options: &[] };

/// Without what serves, watches and searches a book.
const MDBOOK: CargoTool = CargoTool { name: "mdbook", version: "0.5.4", options: &["--no-default-features"] };

/// The program for a check, which is skipped if it can't be had.
fn found(tool: &CargoTool, check: &str, summary: &mut Summary) -> Result<Option<PathBuf>> {
    let found = tool.find()?;
    Ok(found.map_err(|why| skip(summary, check, why)).ok())
}

/// Licences, sources and known holes of all dependencies, by cargo-deny.
fn dependencies(workspace: &Workspace, summary: &mut Summary) -> Result<()> {
    let name = "licences and sources";
    let Some(program) = found(&CARGO_DENY, name, summary)? else { return Ok(()) };
    let deny = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.current_dir(workspace.root()).args(arguments);
        command
    };
    run(summary, name, deny(&["check", "licenses", "bans", "sources"]))?;
    let database = deny(&["fetch", "db"]).output().context(|| "run cargo-deny".into())?;
    if !database.status.success() {
        skip(summary, "advisories", "the database of advisories can't be reached from here");
        return Ok(());
    }
    run(summary, "advisories", deny(&["check", "--disable-fetch", "advisories"]))
}

/// docs/ as a book, by mdbook: in target/book.
fn the_book(workspace: &Workspace, summary: &mut Summary) -> Result<()> {
    let Some(program) = found(&MDBOOK, "book", summary)? else { return Ok(()) };
    let mut command = Command::new(program);
    command.current_dir(workspace.root()).args(["build", "docs"]);
    if !judge(summary, "book", command, "target/book/index.html".to_owned())? {
        return Ok(());
    }
    let start = Instant::now();
    let broken = book::broken_links(&workspace.root().join("target/book"))?;
    let outcome = if broken.is_empty() { Outcome::Passed(String::new()) } else { Outcome::Failed(broken.join(", ")) };
    summary.add("links of the book", outcome, start.elapsed());
    Ok(())
}

fn text_of(command: &mut Command) -> String {
    command.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::is_release_of;

    #[test]
    fn a_series_is_not_a_prefix() {
        assert!(is_release_of("1.95.0", "1.95"));
        assert!(is_release_of("1.95-x86_64-unknown-linux-gnu", "1.95"));
        assert!(!is_release_of("1.950.0", "1.95"));
        assert!(!is_release_of("stable-x86_64-unknown-linux-gnu", "1.95"));
    }
}
