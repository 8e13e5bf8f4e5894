//! `cargo lab setup`: fetches kernels and tools, and does nothing else.

use std::process::ExitCode;

use clap::Args;

use crate::{cache::Cache, error::Result, kernel::Kernel};

/// Arguments of `cargo lab setup`.
#[derive(Debug, Args)]
pub(crate) struct Setup {
    /// Only this kernel; may be repeated [default: all]
    #[arg(long, value_enum)]
    kernel: Vec<Kernel>,
}

impl Setup {
    /// Fetches what is missing.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let cache = Cache::open()?;
        let mut kernels = self.kernel;
        if kernels.is_empty() {
            kernels = Kernel::ALL.to_vec();
            for (gone, why) in cache.ensure_available(&kernels)? {
                eprintln!("lab: no kernel {gone}: {why}");
                kernels.retain(|kernel| *kernel != gone);
            }
        }
        cache.ensure(&kernels)?;
        for kernel in kernels {
            cache.register_shim(kernel)?;
            println!("kernel {kernel}: {}", cache.kernel(kernel).display());
        }
        println!("tools: {}", cache.tools().display());
        Ok(ExitCode::SUCCESS)
    }
}
