//! `cargo lab build`: the programs for another processor, and their unit tests on an emulator of
//! it.

use std::process::ExitCode;

use clap::Args;

use crate::{
    cache::Cache,
    cross::{Cross, Target},
    error::{Context, Error, Result},
    workspace::{PUBLISHED, build_by},
};

/// The programs that are shipped.
const PROGRAMS: [&str; 2] = ["ipvs-cli", "ipvs-follow"];

/// Arguments of `cargo lab build`.
#[derive(Debug, Args)]
pub(crate) struct Build {
    /// What to build for
    #[arg(long, value_enum)]
    target: Target,
    /// Build the unit tests instead, and run them on an emulated processor
    #[arg(long)]
    test: bool,
    /// Only this package; may be repeated [default: both programs; of tests, all published ones]
    #[arg(short, long)]
    package: Vec<String>,
    /// Only tests with this in their names
    #[arg(value_name = "FILTER", requires = "test")]
    filter: Option<String>,
}

impl Build {
    /// Builds, and prints where the programs are, or what the tests print.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let cache = Cache::open()?;
        cache.ensure(&[])?;
        let cross = Cross::ensure(&cache, self.target)?;
        let mut cargo = cross.workspace()?.cargo();
        cargo.arg(if self.test { "test" } else { "build" }).args(cross.arguments());
        let named = |name: &str| ["-p".to_owned(), name.to_owned()];
        match (self.package.is_empty(), self.test) {
            (false, _) => cargo.args(self.package.iter().flat_map(|name| named(name))),
            (true, true) => cargo.args(PUBLISHED.iter().flat_map(|published| named(published.package))),
            (true, false) => cargo.args(PROGRAMS.iter().flat_map(|name| named(name))),
        };
        if !self.test {
            cargo.arg("--release");
            for program in build_by(cargo)? {
                println!("{}: {}", program.name, program.path.display());
            }
            return Ok(ExitCode::SUCCESS);
        }
        // What starts programs of this machine, or asks its kernel, is tested by guests.
        cargo.args(["--lib", "--no-fail-fast", "--"]).args(self.filter);
        let status = cargo.status().context(|| "run cargo".into())?;
        match status.success() {
            true => Ok(ExitCode::SUCCESS),
            false => Err(Error::Command { command: format!("{cargo:?}"), status, output: String::new() }),
        }
    }
}
