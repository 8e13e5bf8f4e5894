//! What it costs a program that the director is watched while it changes all weights of a table.
//!
//! Additions would not do: what one costs differs by a quarter between places in a run, with and
//! without a watcher.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        signal::{Signal, kill},
    },
    unistd::Pid,
};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::{
    Plan,
    measure::report_wrong,
    program::{Run, run},
    world::{Rules, in_own_network},
};

/// A monitor has taken in by then what came last, and the kernel has taken the last network apart
/// and given a table of services the buckets it shall have. The time of an idle PC jumps.
const DONE: Duration = Duration::from_secs(15);

/// All protocols, `ETH_P_ALL`.
const ALL: u16 = 3;

/// `BPF_RET`: with 0, nothing of the packet is received.
const RETURN: u16 = 6;

/// Measures each tool beside a device whose packets are dropped, and beside `ipvs-cli monitor`.
/// Gives whether all was right.
pub(crate) fn measure(plan: &Plan, ip: &Path) -> Result<bool, String> {
    let ipvs_cli = plan.tools.iter().find(|(name, _)| name == "ipvs-cli").ok_or("no tool is called ipvs-cli")?;
    let mut right = true;
    for (name, program) in &plan.tools {
        if name == "floor" {
            continue;
        }
        // ipvsadm takes ten times as long.
        let services = if name == "ipvsadm" { (plan.size.0 / 10).max(1) } else { plan.size.0 };
        let rules = Rules::new((services, plan.size.1), services * plan.size.1, 0);
        println!("progress {name}: beside a device whose packets are dropped");
        in_own_network(|| {
            send(name, program, &rules.table)?;
            let _device = Bare::new(ip)?;
            edit("bare", name, program, &rules.edits)
        })?;
        println!("progress {name}: beside a monitor");
        right &= in_own_network(|| {
            send(name, program, &rules.table)?;
            let monitor = Watching::start(&ipvs_cli.1)?;
            edit("watched", name, program, &rules.edits)?;
            monitor.end(name, rules.edits.lines().count())
        })?;
    }
    Ok(right)
}

/// Changes the weights. Prints how long it takes, and how much of that is the program's own time,
/// the kernel's work for it included.
fn edit(situation: &str, name: &str, program: &Path, edits: &str) -> Result<(), String> {
    thread::sleep(DONE);
    let before = spent()?;
    let run = send(name, program, edits)?;
    println!("figure {situation} {name} {}", run.took.as_nanos());
    println!("figure {situation}-own {name} {}", (spent()? - before).as_nanos());
    Ok(())
}

fn send(name: &str, program: &Path, rules: &str) -> Result<Run, String> {
    let run = run(program, &["-R"], rules).map_err(|error| format!("{}: {error}", program.display()))?;
    if run.status.success() { Ok(run) } else { Err(format!("{name}: {}", run.stderr)) }
}

/// The processor's time that children took which have ended.
fn spent() -> Result<Duration, String> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|error| format!("getrusage: {error}"))?;
    let times = [usage.user_time(), usage.system_time()];
    Ok(times
        .into_iter()
        .map(|time| Duration::new(time.tv_sec().unsigned_abs(), time.tv_usec().unsigned_abs() as u32 * 1000))
        .sum())
}

/// A device of which all packets are dropped.
struct Bare {
    _socket: Socket,
}

impl Bare {
    fn new(ip: &Path) -> Result<Self, String> {
        for words in ["link add nlmon0 type nlmon", "link set nlmon0 up"] {
            let status = Command::new(ip).args(words.split(' ')).status();
            if !status.map_err(|error| format!("ip: {error}"))?.success() {
                return Err(format!("ip {words} failed"));
            }
        }
        let socket = || {
            let all = Protocol::from(i32::from(ALL.to_be()));
            let socket = Socket::new(Domain::PACKET, Type::RAW, Some(all))?;
            socket.attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)])?;
            Ok(socket)
        };
        socket().map(|socket| Bare { _socket: socket }).map_err(|error: std::io::Error| format!("a socket: {error}"))
    }
}

/// `ipvs-cli monitor`, with its lines in a file.
struct Watching {
    child: Child,
    lines: tempfile::NamedTempFile,
}

impl Watching {
    fn start(program: &Path) -> Result<Self, String> {
        let lines = tempfile::NamedTempFile::new().map_err(|error| format!("a file for lines: {error}"))?;
        let output = lines.reopen().map_err(|error| format!("a file for lines: {error}"))?;
        let mut command = Command::new(program);
        command.args(["monitor", "--compare", "0"]).stdin(Stdio::null()).stdout(output);
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        let is_bound = || {
            let sockets = fs::read_to_string("/proc/thread-self/net/packet").unwrap_or_default();
            sockets.lines().skip(1).any(|line| line.split_ascii_whitespace().nth(4) != Some("0"))
        };
        while !is_bound() {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(format!("the monitor: {status}"));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(Watching { child, lines })
    }

    /// Ends it when it has seen everything, and says what it took. Has it seen all of these
    /// changes?
    fn end(mut self, name: &str, changes: usize) -> Result<bool, String> {
        thread::sleep(DONE);
        let before = spent()?;
        let ended = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        ended.map_err(|error| format!("end the monitor: {error}"))?;
        self.child.wait().map_err(|error| format!("wait for the monitor: {error}"))?;
        println!("figure monitor-own {name} {}", (spent()? - before).as_nanos());
        let text = fs::read_to_string(self.lines.path()).map_err(|error| format!("read lines: {error}"))?;
        // Accepted ones begin with two spaces.
        let seen = text.lines().filter(|line| line.starts_with("  ")).count();
        if seen != changes {
            report_wrong("watched", name, &format!("{seen} of {changes} changes were seen"));
        }
        Ok(seen == changes)
    }
}
