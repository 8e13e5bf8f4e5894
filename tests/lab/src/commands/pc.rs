//! `cargo lab pc`: test programs on an emulated PC.
//!
//! The lab's kernels are user-mode Linux: they have no nftables, and run on x86_64 only. Debian's
//! kernels for virtual machines have both IPVS and nftables, and are built for other processors,
//! too.

use std::{collections::BTreeMap, fs, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;

use crate::{
    bench::machines::Machine,
    emulated::{Commands, Emulated},
    error::{Context, Result},
    kernel::{Architecture, PcKernel},
};

/// What only this kernel can run.
const MARKS: [&str; 1] = ["marks"];
/// The drop-in beside ipvsadm, and the library.
const ESSENTIALS: [&str; 2] = ["compat", "client"];
/// Others are loaded when they are asked for.
const MODULES: [&str; 7] = ["ip_vs", "ip_vs_rr", "ip_vs_wlc", "nf_tables", "nft_ct", "nft_hash", "veth"];
/// Of the workspace, what no test reads.
const LEFT_OUT: [&str; 2] = ["target", ".git"];

/// Arguments of `cargo lab pc`.
#[derive(Debug, Args)]
pub(crate) struct PcTests {
    /// The kernel, of Debian's for virtual machines
    #[arg(long, value_enum, default_value = "6.1")]
    kernel: PcKernel,
    /// The processor
    #[arg(long, value_enum, default_value = "x86_64")]
    arch: Architecture,
    /// Let this machine's own processor run it, which must be of the same kind: far faster, but in
    /// a virtual machine KVM often fails
    #[arg(long)]
    kvm: bool,
    /// A test program of tests/kernel; may be repeated [default: marks; compat and client on aarch64]
    #[arg(long, value_name = "PROGRAM")]
    test: Vec<String>,
    /// After this many seconds the PC is switched off
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    timeout: u64,
    /// Only tests with this in their names
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
}

impl PcTests {
    /// Boots, and prints what the tests print.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let pc = Emulated::prepare(Machine { kernel: self.kernel.into(), architecture: self.arch }, self.kvm)?;
        let usual: &[&str] = if self.arch == Architecture::Amd64 { &MARKS } else { &ESSENTIALS };
        let names = if self.test.is_empty() { usual.iter().map(|&name| name.into()).collect() } else { self.test };
        let tests = pc.tests(&names)?;
        let mut files: Vec<_> = tests.iter().map(|program| program.path.clone()).collect();
        let workspace = pc.workspace();
        for entry in fs::read_dir(workspace).context(|| format!("read {}", workspace.display()))?.flatten() {
            if !LEFT_OUT.iter().any(|name| entry.file_name() == *name) {
                files.push(entry.path());
            }
        }
        let command = |program: &PathBuf| {
            let words = [program.display().to_string(), "--color=never".into(), "--test-threads=1".into()];
            words.into_iter().chain(self.filter.clone()).collect()
        };
        let job = Commands {
            commands: tests.iter().map(|program| command(&program.path)).collect(),
            directory: tests.first().map_or_else(|| workspace.to_owned(), |program| program.package.clone()),
            modules: MODULES.map(str::to_owned).to_vec(),
            environment: BTreeMap::new(),
        };
        let mut results = Vec::new();
        let statuses = pc.run(job, &files, Duration::from_secs(self.timeout), |line| {
            println!("{line}");
            results.extend(line.strip_prefix("test result: ").map(str::to_owned));
        })?;
        println!("\nkernel {} on {}:", crate::kernel::Kernel::from(self.kernel), self.arch.machine());
        for (at, program) in tests.iter().enumerate() {
            println!("  {:10} {}", program.name, results.get(at).map_or("did not end", |result| result));
        }
        let is_good = statuses.len() == tests.len() && statuses.iter().all(|status| *status == 0);
        Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
