//! Times tools that speak ipvsadm's language, inside a guest, and checks what they did.
//! `cargo lab bench` runs it.
//!
//! On an emulated PC it is also process 1, see [`machine`]. What it finds goes to stdout, a line
//! each:
//!
//! ```text
//! figure OPERATION TOOL NANOSECONDS    one run's time
//! calls OPERATION TOOL NUMBER          one run's system calls, all of its processes
//! kilobytes OPERATION TOOL NUMBER      the most memory that a run of the tool had in use
//! wrong OPERATION TOOL: WHAT           a tool's result is not the reference's
//! kernel RELEASE                       where it was measured
//! progress WHAT                        shown while waiting
//! end STATUS                           the last line; 0: all was measured, and all was right
//! ```

mod calls;
mod growth;
mod library;
mod load;
mod machine;
mod measure;
mod memory;
mod peer;
mod program;
mod reload;
mod watched;
mod world;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, ExitCode},
};

use watched::Watcher;

/// What one run is to do, from the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Plan {
    /// Services and, for each, destinations.
    size: (u32, u32),
    /// How often each tool does everything.
    rounds: u32,
    /// How many destinations are added one by one in a round.
    additions: u32,
    /// The program whose word is taken for what a table is.
    reference: PathBuf,
    /// What is measured, in this order, in turn: names and programs.
    tools: Vec<(String, PathBuf)>,
    /// Counts system calls with this strace in place of time.
    strace: Option<PathBuf>,
    /// Measures how a table is brought to another one, instead of single operations; see
    /// [`reload`].
    reload: Option<Reload>,
    /// Measures how `ipvs-cli` grows with the table, instead of single operations; see [`growth`].
    growth: bool,
    /// A library of another language, whose commands are counted as those of `ipvs-cli` are.
    peer: Option<peer::Peer>,
    /// Measures what it costs the tools that they are watched so; see [`watched`].
    watched: Option<Watcher>,
    /// Makes network devices, for that.
    ip: Option<PathBuf>,
    /// Measures how soon this `ipvs-follow` undoes a deletion, after that.
    follow: Option<PathBuf>,
    /// Measures how a connection table of this number of entries is loaded; see [`load`].
    load: Option<u32>,
    /// Loads modules; only an emulated PC, which has nothing yet, needs it.
    modprobe: Option<PathBuf>,
}

/// How much of [`reload`] is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reload {
    /// All but clearing and refilling, which takes minutes by any clock.
    Short,
    /// All.
    Whole,
}

const USAGE: &str = "bench-guest size=SERVICESxDESTINATIONS rounds=N additions=N reference=PROGRAM [reload=short|whole] [growth=yes] \
                     [watched=bare|monitor ip=PROGRAM [follow=PROGRAM]] [load=ENTRIES] [strace=PROGRAM] [modprobe=PROGRAM] [peer=PYTHON:DIRECTORY] tool=NAME:PROGRAM…";

fn main() -> ExitCode {
    if process::id() == 1 {
        let plan = Plan::parse(machine::arguments());
        machine::run(|| plan.and_then(|plan| work(&plan)));
    }
    let words: Vec<String> = env::args().skip(1).collect();
    if let [memory::PEAK, program] = words.iter().map(String::as_str).take(2).collect::<Vec<_>>()[..] {
        let is_good = memory::peak(program, &words[2..]).unwrap_or(false);
        return ExitCode::from(u8::from(!is_good));
    }
    let plan = Plan::parse(words.into_iter());
    ExitCode::from(conclude(plan.and_then(|plan| work(&plan))))
}

/// Does what the plan says. Gives whether all was right.
fn work(plan: &Plan) -> Result<bool, String> {
    if let Some(modprobe) = &plan.modprobe {
        machine::prepare(modprobe)?;
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease");
    println!("kernel {}", release.map_err(|error| format!("cannot read the kernel's release: {error}"))?.trim_end());
    match (&plan.strace, plan.reload, plan.watched) {
        (Some(strace), ..) => calls::count(plan, strace),
        (None, Some(which), _) => reload::measure(plan, which),
        (None, None, Some(watcher)) => watched::measure(plan, watcher),
        (None, None, None) if plan.growth => growth::measure(plan),
        (None, None, None) if plan.load.is_some() => load::measure(plan, plan.load.unwrap_or_default()),
        (None, None, None) => measure::measure(plan),
    }
}

/// Says how it ended: the exit status.
fn conclude(result: Result<bool, String>) -> u8 {
    let status = match result {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(why) => {
            println!("wrong set-up bench-guest: {why}");
            2
        }
    };
    println!("end {status}");
    status
}

impl Plan {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut plan = Self::default();
        for argument in arguments {
            plan.take(&argument).ok_or_else(|| format!("cannot understand `{argument}'; usage: {USAGE}"))?;
        }
        let complete = plan.size.0 > 0 && plan.rounds > 0 && !plan.tools.is_empty() && plan.reference.is_absolute();
        if complete { Ok(plan) } else { Err(format!("something is missing; usage: {USAGE}")) }
    }

    fn take(&mut self, argument: &str) -> Option<()> {
        let path = |text: &str| Some(PathBuf::from(text)).filter(|path: &PathBuf| Path::is_absolute(path));
        let (name, value) = argument.split_once('=')?;
        match name {
            "size" => {
                let (services, destinations) = value.split_once('x')?;
                self.size = (services.parse().ok()?, destinations.parse().ok()?);
            }
            "rounds" => self.rounds = value.parse().ok()?,
            "additions" => self.additions = value.parse().ok()?,
            "reference" => self.reference = path(value)?,
            "reload" if value == "short" => self.reload = Some(Reload::Short),
            "reload" if value == "whole" => self.reload = Some(Reload::Whole),
            "growth" => self.growth = value == "yes",
            "watched" if value == "bare" => self.watched = Some(Watcher::Bare),
            "watched" if value == "monitor" => self.watched = Some(Watcher::Monitor),
            "load" => self.load = Some(value.parse().ok()?),
            "ip" => self.ip = Some(path(value)?),
            "follow" => self.follow = Some(path(value)?),
            "strace" => self.strace = Some(path(value)?),
            "modprobe" => self.modprobe = Some(path(value)?),
            "peer" => {
                let (python, directory) = value.split_once(':')?;
                self.peer = Some(peer::Peer { python: path(python)?, directory: path(directory)? });
            }
            "tool" => {
                let (name, program) = value.split_once(':')?;
                self.tools.push((name.to_owned(), path(program)?));
            }
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Plan, String> {
        Plan::parse(line.split(' ').map(str::to_owned))
    }

    #[test]
    fn a_plan_is_read() {
        let plan = parse("size=300x10 rounds=3 additions=5 reference=/r tool=ipvs-cli:/o tool=floor:/f").unwrap();
        assert_eq!((plan.size, plan.rounds, plan.additions), ((300, 10), 3, 5));
        assert_eq!(plan.tools, [("ipvs-cli".into(), "/o".into()), ("floor".into(), "/f".into())]);
        assert!(plan.peer.is_none());
        let with_peer = parse("size=3x1 rounds=1 reference=/r tool=ipvs-cli:/o peer=/python:/pyroute2").unwrap();
        assert_eq!(with_peer.peer, Some(peer::Peer { python: "/python".into(), directory: "/pyroute2".into() }));
    }

    #[test]
    fn a_plan_that_would_measure_nothing_is_refused() {
        assert!(parse("size=300x10 rounds=3 reference=/r").is_err());
        assert!(parse("size=300x10 reference=/r tool=ipvs-cli:/o").is_err());
        assert!(parse("size=300 rounds=1 reference=/r tool=ipvs-cli:/o").unwrap_err().contains("`size=300'"));
        assert!(parse("size=3x1 rounds=1 reference=r tool=ipvs-cli:/o").unwrap_err().contains("`reference=r'"));
    }
}
