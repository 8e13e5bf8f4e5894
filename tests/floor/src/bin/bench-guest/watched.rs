//! What it costs a program that the director is watched while it restores a table and changes all
//! of its weights; and how soon `ipvs-follow` undoes a deletion.
//!
//! What an addition costs depends on what the kernel's allocators were asked for before. So one PC
//! has only one watcher, and what is compared is the same place in the same sequence on two PCs.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use ipvs::{Client, ServiceKey};
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
    program::run,
    world::{Rules, in_own_network, server, service},
};

/// A monitor has taken in by then what came last, and the kernel has taken the last network apart
/// and given a table of services the buckets it shall have. The time of an idle PC jumps.
const DONE: Duration = Duration::from_secs(15);

/// A deletion that comes later is no reason for `ipvs-follow` to wait.
const FORGOTTEN: Duration = Duration::from_secs(70);

/// How many deletions are undone. The figure is the median.
const DELETIONS: u32 = 5;

/// All protocols, `ETH_P_ALL`.
const ALL: u16 = 3;

/// `BPF_RET`: with 0, nothing of the packet is received.
const RETURN: u16 = 6;

/// Who watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watcher {
    /// A device whose packets are dropped.
    Bare,
    /// `ipvs-cli monitor`.
    Monitor,
}

/// Measures each tool. Gives whether all was right.
pub(crate) fn measure(plan: &Plan, watcher: Watcher) -> Result<bool, String> {
    let ip = plan.ip.as_deref().ok_or("ip=PROGRAM is missing")?;
    let ipvs_cli = plan.tools.iter().find(|(name, _)| name == "ipvs-cli").ok_or("no tool is called ipvs-cli")?;
    let mut right = true;
    for round in 1..=plan.rounds {
        for (name, program) in plan.tools.iter().filter(|(name, _)| name != "floor") {
            println!("progress {watcher:?}, round {round}: {name}");
            // ipvsadm takes ten times as long.
            let services = if name == "ipvsadm" { (plan.size.0 / 10).max(1) } else { plan.size.0 };
            let rules = Rules::new((services, plan.size.1), services * plan.size.1, 0);
            right &= in_own_network(|| {
                let (_bare, monitor) = match watcher {
                    Watcher::Bare => (Some(Bare::new(ip)?), None),
                    Watcher::Monitor => (None, Some(Monitor::start(&ipvs_cli.1)?)),
                };
                restore("restore", name, program, &rules.table)?;
                restore("edit", name, program, &rules.edits)?;
                let changes = rules.table.lines().count() + rules.edits.lines().count();
                monitor.map_or(Ok(true), |monitor| monitor.end(name, changes))
            })?;
        }
    }
    if let Some(program) = &plan.follow {
        println!("progress reaction of ipvs-follow");
        for (operation, services) in [("reaction-one", 1), ("reaction", plan.size.0)] {
            in_own_network(|| react(operation, program, (services, plan.size.1)))?;
        }
    }
    Ok(right)
}

/// `-R`. Prints how long it takes, and how much of that is the program's own time, the kernel's
/// work for it included.
fn restore(operation: &str, name: &str, program: &Path, rules: &str) -> Result<(), String> {
    thread::sleep(DONE);
    let before = spent()?;
    let run = run(program, &["-R"], rules).map_err(|error| format!("{}: {error}", program.display()))?;
    if !run.status.success() {
        return Err(format!("{name}: {}", run.stderr));
    }
    println!("figure {operation} {name} {}", run.took.as_nanos());
    println!("figure {operation}-own {name} {}", (spent()? - before).as_nanos());
    Ok(())
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
struct Monitor {
    child: Child,
    lines: tempfile::NamedTempFile,
}

impl Monitor {
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
        Ok(Monitor { child, lines })
    }

    /// Ends it when it has seen everything, and says what it took. Has it seen all of these
    /// changes?
    fn end(mut self, name: &str, changes: usize) -> Result<bool, String> {
        thread::sleep(DONE);
        let before = spent()?;
        end(&mut self.child)?;
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

fn end(child: &mut Child) -> Result<(), String> {
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM)
        .map_err(|error| format!("end a program: {error}"))?;
    child.wait().map(drop).map_err(|error| format!("wait for a program: {error}"))
}

/// Deletes a destination of a table that is followed, until `ipvs-follow` says that it has put it
/// back. Prints the time.
fn react(operation: &str, program: &Path, size: (u32, u32)) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", program.display());
    let directory = tempfile::tempdir().map_err(failed)?;
    let source = directory.path().join("source.rules");
    fs::write(&source, Rules::new(size, 0, 0).table).map_err(failed)?;
    let mut command = Command::new(program);
    command.arg("--state-dir").arg(directory.path()).arg(&source);
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    let mut messages = BufReader::new(child.stderr.take().ok_or("no pipe")?);
    wait_for("following ", &mut messages)?;
    let key: ServiceKey = format!("tcp {}", service(size.0 / 2)).parse().map_err(|error| format!("{error}"))?;
    let at: SocketAddr = server(size.0 / 2, 0).parse().map_err(|error| format!("{error}"))?;
    let mut client = Client::connect().map_err(|error| error.to_string())?;
    for _ in 0..DELETIONS {
        thread::sleep(FORGOTTEN);
        let start = Instant::now();
        client.delete_destination(&key, at).map_err(|error| error.to_string())?;
        wait_for("put back: 1 destination added", &mut messages)?;
        println!("figure {operation} ipvs-follow {}", start.elapsed().as_nanos());
    }
    end(&mut child)
}

fn wait_for(part: &str, messages: &mut BufReader<ChildStderr>) -> Result<(), String> {
    let mut all = String::new();
    while messages.read_line(&mut all).map_err(|error| format!("ipvs-follow: {error}"))? > 0 {
        if all.contains(part) {
            return Ok(());
        }
    }
    Err(format!("ipvs-follow has ended: {all}"))
}
