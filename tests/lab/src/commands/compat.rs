//! `cargo lab compat`: random commands, run by the original and by `ipvs-cli` side by side, for as
//! long as you like.

use std::{process::ExitCode, time::Duration};

use clap::Args;

use super::test::{
    guests::{self, Settings},
    kernels,
    summary::Summary,
};
use crate::{error::Result, kernel::Kernel, workspace::Workspace};

/// The test program of package kernel-tests that does it.
const PROGRAM: &str = "differential";

/// Arguments of `cargo lab compat`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each seed makes the same 500 commands everywhere. What differs is printed as a case file, made as short as it can be;
`--seed N --count 500 seed_` plays seed N again. `table::` is every command with every two options.")]
pub(crate) struct Compat {
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many commands in all, 500 a seed
    #[arg(long, default_value_t = 20_000)]
    count: u64,
    /// Only this kernel; may be repeated [default: all]
    #[arg(long, value_enum)]
    kernel: Vec<Kernel>,
    /// End a guest after this time
    #[arg(long, value_name = "SECONDS", default_value_t = 6 * 3600)]
    timeout: u64,
    /// Only the tests that have this in their name, such as `seed_` or `table::`
    filter: Option<String>,
}

impl Compat {
    /// Runs it on each kernel, and sums up.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let workspace = Workspace::find()?;
        let mut summary = Summary::default();
        let kernels = kernels(self.kernel, &mut summary)?;
        let number = |name, number| format!("COMPAT_{name}={number}");
        let env = vec![number("SEED", self.seed), number("COUNT", self.count), "COMPAT_PAIRS=all".into()];
        let deadline = Duration::from_secs(self.timeout);
        let settings = Settings {
            memory: 1024,
            env,
            deadline,
            only: Some(PROGRAM),
            filter: self.filter.into_iter().collect(),
            all_of_each_kernel: true,
            profiles: None,
        };
        guests::check(&workspace, &kernels, &settings, &mut summary)?;
        print!("\n{summary}");
        Ok(if summary.good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
