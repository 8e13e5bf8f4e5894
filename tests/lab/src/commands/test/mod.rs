//! `cargo lab test`: everything that must hold, on this machine and on each kernel.

mod book;
mod crates;
pub(super) mod guests;
mod host;
pub(super) mod summary;

use std::{process::ExitCode, thread, time::Duration};

use clap::Args;

use self::{
    guests::Guests,
    summary::{Outcome, Summary},
};
use crate::{cache::Cache, error::Result, kernel::Kernel, workspace::Workspace};

/// Arguments of `cargo lab test`.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Only this kernel; may be repeated [default: all]
    #[arg(long, value_enum)]
    kernel: Vec<Kernel>,
    /// Only what runs on the kernels
    #[arg(long, conflicts_with = "only_host")]
    only_guest: bool,
    /// Only what runs on this machine
    #[arg(long)]
    only_host: bool,
    /// End a guest after this time
    #[arg(long, value_name = "SECONDS", default_value_t = 1200)]
    timeout: u64,
    /// A guest's memory in megabytes
    #[arg(long, value_name = "MB", default_value_t = 1024)]
    memory: u32,
    /// Hand an environment variable in to the guests
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Handed to the test programs in the guests: names of tests, or their options
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    filter: Vec<String>,
}

impl Test {
    /// Runs all that was asked for, also after a failure, and sums up.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let workspace = Workspace::find()?;
        if !self.only_guest {
            host::require_machine(&workspace)?;
        }
        // Who names a kernel or a test means all of it.
        let all_of_each_kernel = !self.kernel.is_empty() || !self.filter.is_empty();
        let mut summary = Summary::default();
        let kernels = kernels(self.kernel, &mut summary)?;
        if !self.only_guest {
            // The lab's own tests, which run on this machine, boot every kernel.
            Cache::open()?.ensure_available(&Kernel::ALL)?;
            host::check(&workspace, &mut summary)?;
        }
        let settings = guests::Settings {
            memory: self.memory,
            env: self.env,
            deadline: Duration::from_secs(self.timeout),
            only: None,
            filter: self.filter,
            all_of_each_kernel,
            profiles: None,
        };
        match (self.only_host, self.only_guest) {
            (true, _) => host::tests(&workspace, &mut summary)?,
            (_, true) => guests::check(&workspace, &kernels, &settings, &mut summary)?,
            // Either has times in which it only waits.
            _ => {
                let guests = Guests::build(&workspace, &kernels, &settings)?;
                let (here, there) = thread::scope(|scope| {
                    let there = scope.spawn(|| guests.run());
                    (host::tests(&workspace, &mut summary), there.join())
                });
                here?;
                let there = there.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
                there.into_iter().for_each(|ended| summary.add(ended.name, ended.outcome, ended.took));
            }
        }
        print!("\n{summary}");
        Ok(if summary.good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The kernels that were asked for, or all; the summary says which of all the mirror no longer has.
pub(super) fn kernels(asked_for: Vec<Kernel>, summary: &mut Summary) -> Result<Vec<Kernel>> {
    let cache = Cache::open()?;
    if !asked_for.is_empty() {
        cache.ensure(&asked_for)?;
        return Ok(asked_for);
    }
    let mut kernels = Kernel::ALL.to_vec();
    for (gone, why) in cache.ensure_available(&kernels)? {
        kernels.retain(|kernel| *kernel != gone);
        summary.add(format!("kernel {gone}"), Outcome::Skipped(why.to_string()), Duration::ZERO);
    }
    Ok(kernels)
}
