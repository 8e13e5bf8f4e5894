//! `cargo lab bench`: `ipvs-cli`, ipvsadm and the floor side by side.
//!
//! The clock that counts is the number of instructions on an emulated PC ([`pc`]) with Debian's own
//! kernel; wall time and system calls come from user-mode Linux ([`uml`]). In both, the program
//! `bench-guest` (package `floor`) measures and compares every table and listing with ipvsadm's.
//! What is measured, and how far to believe it: docs/performance.md.

pub(crate) mod callgrind;
pub(crate) mod codec;
mod connections;
mod growth;
pub(crate) mod initrd;
mod load;
pub(crate) mod machines;
pub(crate) mod pc;
pub(crate) mod peer;
mod reload;
mod report;
mod results;
mod uml;
mod watched;
mod yields;

use std::{
    path::PathBuf,
    process::ExitCode,
    str::FromStr,
    thread::{self, ScopedJoinHandle},
};

use clap::Args;

use self::{machines::Machine, peer::Peer, report::Clock, results::Results};
use crate::{
    cache::Cache,
    error::{Error, Result},
    kernel::Kernel,
    workspace::Workspace,
};

/// Arguments of `cargo lab bench`.
#[derive(Debug, Args)]
#[command(after_help = "\
The exit status says whether every table and listing was right. A time that misses its target is shown, not an error;
a count of --codec that is above what was recorded is one, and so is a step of --yields above 3 million instructions.")]
pub(crate) struct Bench {
    /// Only this kernel; may be repeated [default: 6.1 and 7.2]
    #[arg(long, value_enum)]
    kernel: Vec<Kernel>,
    /// Services x destinations of each; may be repeated [default: 300x10 and 1000x10]
    #[arg(long, value_name = "SERVICESxDESTINATIONS")]
    size: Vec<Size>,
    /// One round in place of three, and only the smaller size
    #[arg(long)]
    quick: bool,
    /// Only instructions, not wall time and system calls in user-mode Linux
    #[arg(long)]
    only_instructions: bool,
    /// Count a Python program's commands by pyroute2 as well, beside those of a program that has
    /// our library inside; some minutes more
    #[arg(long, conflicts_with_all = ["reload", "growth"])]
    peers: bool,
    /// Measure `ipvs-cli apply` instead, beside filling, clearing and refilling by ipvsadm, and
    /// `metrics` [default size: 10000x5, for wall time 10000x10; default kernel: 7.2]
    #[arg(long)]
    reload: bool,
    /// Measure how `ipvs-cli` grows with the table instead, to 100,000 services and to 10,000
    /// destinations of one; a quarter of an hour [default kernel: 7.2]
    #[arg(long, conflicts_with = "reload")]
    growth: bool,
    /// Measure instead what it costs a program that restores a table and changes all its weights
    /// that `ipvs-cli monitor` runs, and how soon `ipvs-follow` undoes a deletion [default size:
    /// 10000x10]
    #[arg(long, conflicts_with_all = ["reload", "growth", "peers"])]
    watched: bool,
    /// Measure `ipvs-cli conns' instead, on a made-up table of N entries [default: 1000000]
    #[arg(long, value_name = "ENTRIES", num_args = 0..=1, require_equals = true, default_missing_value = "1000000",
        conflicts_with_all = OF_KERNELS)]
    connections: Option<u32>,
    /// Measure `ipvs-cli conns --load` instead, of N entries, without and with packets that are
    /// lost; some minutes [default: 1000000; default kernel: 7.2]
    #[arg(long, value_name = "ENTRIES", num_args = 0..=1, require_equals = true, default_missing_value = "1000000",
        conflicts_with_all = &OF_KERNELS[1..])]
    load: Option<u32>,
    /// Count the instructions instead that the library spends on writing and on reading one service
    /// and one destination
    #[arg(long, conflicts_with_all = ["connections", "load"], conflicts_with_all = OF_KERNELS)]
    codec: bool,
    /// Count the instructions instead between any two yields of the asynchronous client, with
    /// 10,000 services of 5 destinations and with one service of 10,000; some minutes
    #[arg(long, conflicts_with_all = ["connections", "load", "codec"], conflicts_with_all = OF_KERNELS)]
    yields: bool,
}

/// What means nothing where no kernel is measured.
const OF_KERNELS: [&str; 8] = ["kernel", "size", "quick", "only_instructions", "peers", "reload", "growth", "watched"];

/// How large a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    services: u32,
    destinations: u32,
}

/// bench-guest has this number of addresses.
const MOST: Size = Size { services: 1_000_000, destinations: 20_000 };

/// Small enough that strace's slowness does not matter: 100 commands restore it.
const CALLS_SIZE: Size = Size { services: 10, destinations: 9 };

/// The programs of a run.
#[derive(Debug)]
struct Programs {
    /// Runs, times and compares the others.
    guest: PathBuf,
    /// ipvsadm: the reference, and one of the tools.
    ipvsadm: PathBuf,
    /// What is measured, in turn.
    tools: Vec<(&'static str, PathBuf)>,
    /// Measured on the emulated PC only.
    peer: Option<Peer>,
    /// `ipvs-follow`; measured with `--watched` only.
    follow: Option<PathBuf>,
}

/// What `bench-guest` is to do.
#[derive(Debug, Clone, Copy)]
struct Workload {
    size: Size,
    rounds: u32,
    additions: u32,
    reload: Option<Reload>,
    growth: bool,
    watched: Option<Watcher>,
}

/// Who watches while a tool is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watcher {
    /// A device whose packets are dropped.
    Bare,
    /// `ipvs-cli monitor`.
    Monitor,
}

/// How much of a reload is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reload {
    /// All but what takes minutes.
    Short,
    /// All.
    Whole,
}

/// One table of the report.
#[derive(Debug)]
struct Section {
    kernel: Kernel,
    size: Size,
    clock: Clock,
    results: Results,
}

impl Bench {
    /// Measures, prints, and says whether all was right.
    pub(crate) fn run(self) -> Result<ExitCode> {
        if let Some(entries) = self.connections {
            return connections::run(entries);
        }
        if self.codec {
            return codec::run();
        }
        if self.yields {
            return yields::run();
        }
        let usual = if self.reload || self.growth { vec![Kernel::V7_2] } else { vec![Kernel::V6_1, Kernel::V7_2] };
        let kernels = if self.kernel.is_empty() { usual } else { self.kernel.clone() };
        let cache = Cache::open()?;
        cache.ensure(&kernels)?;
        machines::ensure(&cache, &kernels.iter().map(|kernel| Machine::ordinary(*kernel)).collect::<Vec<_>>())?;
        let workspace = Workspace::find()?;
        let mut programs = Programs::build(&workspace, &cache)?;
        if self.reload {
            return reload::run(&self, &cache, &kernels, &programs);
        }
        if self.growth {
            return growth::run(&self, &cache, &kernels, &programs.only_ipvs_cli());
        }
        if let Some(entries) = self.load {
            return load::run(&self, entries, &kernels, &programs.only_ipvs_cli());
        }
        if self.watched {
            programs.follow = Some(workspace.build_ipvs_follow()?);
            return watched::run(&self, &cache, &kernels, &programs);
        }
        if self.peers {
            programs.peer = Peer::find(&cache)?;
        }
        let mut sections = self.count_instructions(&cache, &kernels, &programs)?;
        if !self.only_instructions {
            sections.extend(self.use_user_mode_linux(&kernels, &programs)?);
        }
        for section in &sections {
            print!("{}", report::table(section));
        }
        for section in &sections {
            print!("{}", report::lines(section));
        }
        let right = sections.iter().all(|section| section.results.is_right());
        Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// All kernels at once: an instruction is an instruction, however busy this machine is.
    fn count_instructions(&self, cache: &Cache, kernels: &[Kernel], programs: &Programs) -> Result<Vec<Section>> {
        let mut sections = Vec::new();
        for workload in self.workloads() {
            let measured: Result<Vec<_>> = thread::scope(|scope| {
                let start = |kernel: &Kernel| {
                    let kernel = *kernel;
                    scope.spawn(move || pc::measure(cache, kernel, programs, &workload))
                };
                let threads: Vec<_> = kernels.iter().map(start).collect();
                threads.into_iter().map(join).collect()
            });
            let clock = Clock::Instructions;
            let named = kernels.iter().zip(measured?);
            sections.extend(named.map(|(kernel, results)| Section {
                kernel: *kernel,
                size: workload.size,
                clock,
                results,
            }));
        }
        Ok(sections)
    }

    /// One after another: by this clock they would disturb each other.
    fn use_user_mode_linux(&self, kernels: &[Kernel], programs: &Programs) -> Result<Vec<Section>> {
        let mut sections = Vec::new();
        for &kernel in kernels {
            for workload in self.workloads() {
                let results = uml::measure(kernel, programs, &workload)?;
                sections.push(Section { kernel, size: workload.size, clock: Clock::Wall, results });
            }
            let workload =
                Workload { size: CALLS_SIZE, rounds: 1, additions: 1, reload: None, growth: false, watched: None };
            let results = uml::count_calls(kernel, programs, &workload)?;
            sections.push(Section { kernel, size: CALLS_SIZE, clock: Clock::Calls, results });
        }
        Ok(sections)
    }

    fn workloads(&self) -> Vec<Workload> {
        let [small, large] = [300, 1000].map(|services| Size { services, destinations: 10 });
        let sizes = match (self.size.as_slice(), self.quick) {
            ([], true) => vec![small],
            ([], false) => vec![small, large],
            (asked, _) => asked.to_vec(),
        };
        let (rounds, additions) = if self.quick { (1, 5) } else { (3, 15) };
        sizes
            .into_iter()
            .map(|size| Workload { size, rounds, additions, reload: None, growth: false, watched: None })
            .collect()
    }
}

impl Programs {
    fn build(workspace: &Workspace, cache: &Cache) -> Result<Self> {
        let built = workspace.build(&["build", "--release", "-p", "floor"])?;
        let find = |name: &str| {
            let found = built.iter().find(|program| program.name == name);
            found.map(|program| program.path.clone()).ok_or_else(|| Error::Missing(name.into()))
        };
        let ipvs_cli = workspace.build_ipvs_cli()?;
        let ipvsadm = cache.ipvsadm();
        let tools = vec![("ipvs-cli", ipvs_cli), ("ipvsadm", ipvsadm.clone()), ("floor", find("floor")?)];
        Ok(Self { guest: find("bench-guest")?, ipvsadm, tools, peer: None, follow: None })
    }

    fn only_ipvs_cli(mut self) -> Self {
        self.tools.retain(|(name, _)| *name == "ipvs-cli");
        self
    }

    /// Arguments for `bench-guest`.
    fn arguments(&self, workload: &Workload) -> Vec<String> {
        let Workload { size, rounds, additions, reload, growth, watched } = *workload;
        let fixed = [
            format!("size={size}"),
            format!("rounds={rounds}"),
            format!("additions={additions}"),
            format!("reference={}", self.ipvsadm.display()),
        ];
        let tools = self.tools.iter().map(|(name, program)| format!("tool={name}:{}", program.display()));
        let reload = reload.map(|which| format!("reload={}", if which == Reload::Whole { "whole" } else { "short" }));
        let growth = growth.then(|| "growth=yes".to_owned());
        let follow = self.follow.as_ref().filter(|_| watched == Some(Watcher::Monitor));
        let follow = follow.map(|program| format!("follow={}", program.display()));
        let name = |watcher| if watcher == Watcher::Bare { "bare" } else { "monitor" };
        let watched = watched.map(|watcher| format!("watched={}", name(watcher)));
        fixed.into_iter().chain(tools).chain(reload).chain(growth).chain(watched).chain(follow).collect()
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse().ok().filter(|number| *number > 0);
        let parts =
            text.split_once('x').and_then(|(services, destinations)| Some((number(services)?, number(destinations)?)));
        let fits =
            parts.filter(|(services, destinations)| *services <= MOST.services && *destinations <= MOST.destinations);
        fits.map(|(services, destinations)| Self { services, destinations })
            .ok_or_else(|| "write SERVICESxDESTINATIONS, up to 1000000x20000, such as 300x10".into())
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.services, self.destinations)
    }
}

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_two_numbers() {
        assert_eq!("300x10".parse(), Ok(Size { services: 300, destinations: 10 }));
        for wrong in ["300", "0x1", "1x0", "1x20001", "axb"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn meaningless_combinations_of_options_are_refused() {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            bench: Bench,
        }
        let parse = |line: &str| <Cli as clap::Parser>::try_parse_from(line.split(' ')).map(|cli| cli.bench.codec);
        assert!(parse("bench --codec").unwrap());
        assert!(!parse("bench --quick --kernel 6.1 --peers").unwrap());
        for line in [
            "--codec --kernel 6.1",
            "--codec --connections",
            "--connections --quick",
            "--codec --size 3x3",
            "--yields --codec",
        ] {
            assert!(parse(&format!("bench {line}")).is_err(), "{line}");
        }
    }
}
