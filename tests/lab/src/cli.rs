//! The command line.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{bench, cache::Cache, commands, error::Result, guest, kernel::Kernel, web::Web};

/// Boot real kernels with IPVS as ordinary processes.
#[derive(Debug, Parser)]
#[command(name = "cargo lab", bin_name = "cargo lab", version, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
A guest's root directory is a small Debian. Of this machine it sees, read-only,
the workspace, the current directory, the script with its directory, and files
named as arguments. Kernels, root directory and tools come from Debian's packages
at first use and are kept in $IPVS_LAB (else ~/.cache/ipvs-lab). IPVS_LAB_MIRROR
names a Debian mirror, where this machine's apt has none.";

/// The subcommands: a module of `commands` each.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the product at work: a director, two real servers and a client
    Demo(commands::demo::Demo),
    /// Play with them: a shell on the director
    Shell(commands::shell::Shell),
    /// Run a bash script as root in a guest, with our binaries in its PATH
    Run(commands::run::Run),
    /// Run all tests: on this machine, and on each kernel
    Test(commands::test::Test),
    /// Run random commands by ipvsadm and by `ipvs-cli`, and compare all that they do
    Compat(commands::compat::Compat),
    /// Build the programs for another processor, or run their unit tests on an emulated one
    Build(commands::build::Build),
    /// Give every parser bytes that nobody thought of
    Fuzz(commands::fuzz::Fuzz),
    /// Count the lines that the tests run, on this machine and on a kernel
    Coverage(commands::coverage::Coverage),
    /// Run the tests of marks on an emulated PC, whose kernel has nftables and IPVS
    Pc(commands::pc::PcTests),
    /// Draw the README's pictures, of the screens that the product has in a guest
    Pictures(commands::pictures::Pictures),
    /// Measure `ipvs-cli`, ipvsadm and the least possible side by side
    Bench(bench::Bench),
    /// Compare the public items of the libraries with their lists
    Api(commands::api::Api),
    /// Write what our programs and crates are made of, for releases
    Sbom(commands::sbom::Sbom),
    /// Make all packages twice, compare them, and write their checksums
    Release(commands::release::Release),
    /// Only fetch the kernels and tools
    Setup(commands::setup::Setup),

    /// Run a guest's kernel as long as stdin is open
    #[command(hide = true)]
    Supervise {
        /// The guest's own directory
        directory: PathBuf,
        /// The kernel's program
        kernel: PathBuf,
        /// Its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Become a program that owns the terminal
    #[command(hide = true)]
    ExecSession {
        /// Program and arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
    /// The scenes' web servers and clients
    #[command(flatten)]
    Web(Web),
}

/// Options of every subcommand that boots a guest.
#[derive(Debug, Clone, Args)]
pub(crate) struct GuestOptions {
    /// Which kernel to boot [default: the newest that is here already, else 6.1]
    #[arg(long, value_enum)]
    pub(crate) kernel: Option<Kernel>,
    /// The guest's memory in megabytes, taken from this machine only as it is used
    #[arg(long, value_name = "MB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(64..))]
    pub(crate) memory: u32,
    /// Hand an environment variable in
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
}

impl GuestOptions {
    /// The kernel that was asked for; what it needs is fetched. Comes before anything is compiled,
    /// so that what is missing on this machine is said at once.
    pub(crate) fn fetch(&self) -> Result<Kernel> {
        let cache = Cache::open()?;
        let kernel = self.kernel.unwrap_or_else(|| cache.default_kernel());
        cache.ensure(&[kernel])?;
        Ok(kernel)
    }
}

impl Command {
    /// Does it.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let done = |()| ExitCode::SUCCESS;
        match self {
            Self::Demo(demo) => demo.run(),
            Self::Shell(shell) => shell.run(),
            Self::Run(run) => run.run(),
            Self::Test(test) => test.run(),
            Self::Compat(compat) => compat.run(),
            Self::Build(build) => build.run(),
            Self::Fuzz(fuzz) => fuzz.run(),
            Self::Coverage(coverage) => coverage.run(),
            Self::Pc(tests) => tests.run(),
            Self::Pictures(pictures) => pictures.run(),
            Self::Bench(bench) => bench.run(),
            Self::Api(api) => api.run(),
            Self::Sbom(sbom) => sbom.run(),
            Self::Release(release) => release.run(),
            Self::Setup(setup) => setup.run(),
            Self::Supervise { directory, kernel, arguments } => guest::supervise(&directory, &kernel, &arguments),
            Self::ExecSession { command } => guest::exec_in_session(&command).map(done),
            Self::Web(web) => web.run().map(done),
        }
    }
}
