//! What `conns --load` takes for a large table: all of it, and of that the time in which entries
//! came into the kernel's table. Then each entry is compared, with its timer.
//!
//! The second time every tenth packet of the loopback is dropped.

use std::{
    collections::{HashMap, hash_map::RandomState},
    fs,
    hash::BuildHasher,
    io::{BufWriter, Read},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use ipvs::{Client, proc::Connection, proc::Connections};
use kernel_tests::connection_table;

use crate::{Plan, measure::report_wrong, program::run, world::in_own_network};

/// Longer than it takes.
const EXPIRES: u32 = 20_000;
/// How much a timer may be off, in seconds.
const SLACK: u64 = 2;
const BLINK: Duration = Duration::from_millis(10);

/// Loads a table of this number of entries. Gives whether all was right.
pub(crate) fn measure(plan: &Plan, entries: u32) -> Result<bool, String> {
    // As a director with many connections has it: by default Linux has 4,096 buckets.
    let loaded = Command::new("modprobe").args(["ip_vs", "conn_tab_bits=20"]).status();
    if !loaded.is_ok_and(|status| status.success()) {
        return Err("ip_vs can't be loaded with 2^20 buckets".into());
    }
    let mut right = true;
    for (tool, program) in &plan.tools {
        for is_lossy in [false, true] {
            right &= in_own_network(|| Load { tool, program, entries, is_lossy }.measure())?;
        }
    }
    Ok(right)
}

struct Load<'l> {
    tool: &'l str,
    program: &'l Path,
    entries: u32,
    is_lossy: bool,
}

impl Load<'_> {
    fn measure(&self) -> Result<bool, String> {
        let mut client = Client::connect().map_err(|error| error.to_string())?;
        connection_table::configure(&mut client).map_err(|error| error.to_string())?;
        let name = if self.is_lossy { "load-lossy" } else { "load" };
        println!("progress {}: {name}", self.tool);
        if self.is_lossy {
            tc("qdisc add dev lo clsact")?;
            tc("filter add dev lo ingress protocol ip matchall action pass random determ drop 10")?;
        }
        let started = Instant::now();
        let mut command = Command::new(self.program);
        command.args(["conns", "--load", "-"]).env_clear().env("LC_ALL", "C");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", self.program.display()))?;
        let stdin = child.stdin.take().ok_or("no pipe")?;
        let lines = (0..self.entries).map(line);
        let feeding = thread::spawn(move || connection_table::write(&mut BufWriter::new(stdin), lines, 0));
        let (sending, kilobytes) = watch(&mut child, &mut client)?;
        let took = started.elapsed();
        feeding.join().map_err(|_| "a thread panicked")?.map_err(|error| format!("its input: {error}"))?;
        let mut said = String::new();
        let _ = child.stdout.take().ok_or("no pipe")?.read_to_string(&mut said);
        let mut right = child.wait().is_ok_and(|status| status.success()) && said.ends_with("; 0 not loaded\n");
        if !right {
            report_wrong(name, self.tool, said.trim_end());
        }
        println!("figure {name} {} {}", self.tool, took.as_nanos());
        println!("figure {name}-sending {} {}", self.tool, sending.as_nanos());
        println!("kilobytes {name}-memory {} {kilobytes}", self.tool);
        let shown = run(self.program, &["conns", "--count"], "").map_err(|error| error.to_string())?;
        println!("figure {name}-reading {} {}", self.tool, shown.took.as_nanos());
        if self.is_lossy {
            println!("calls load-lost {} {}", self.tool, dropped()?);
        }
        println!("progress {}: {name}, each entry is compared", self.tool);
        if let Err(what) = self.compare(started) {
            report_wrong(name, self.tool, &what);
            right = false;
        }
        Ok(right)
    }

    /// Has the table exactly these entries, with the time that they have left?
    fn compare(&self, started: Instant) -> Result<(), String> {
        let hasher = RandomState::new();
        let hash = |entry: &Connection| {
            let Connection { client, target, destination, state, engine, .. } = entry;
            hasher.hash_one((client, target, destination, state, engine))
        };
        let mut expected = HashMap::new();
        for number in 0..self.entries {
            let entry = Connections::new(line(number).as_bytes()).next();
            let entry = entry.and_then(Result::ok).ok_or_else(|| format!("entry {number} is none"))?;
            expected.insert(hash(&entry), entry.expires);
        }
        if expected.len() != self.entries as usize {
            return Err("two entries are the same".into());
        }
        for entry in Connections::open().map_err(|error| error.to_string())? {
            let entry = entry.map_err(|error| error.to_string())?;
            let passed = started.elapsed().as_secs();
            let whole = expected.remove(&hash(&entry)).ok_or_else(|| format!("not loaded, or twice: {entry:?}"))?;
            let left = u64::from(whole).saturating_sub(passed);
            if left.abs_diff(entry.expires.into()) > SLACK {
                return Err(format!("{left} s should be left of {entry:?}"));
            }
        }
        if expected.is_empty() { Ok(()) } else { Err(format!("{} entries are missing", expected.len())) }
    }
}

fn line(number: u32) -> String {
    connection_table::line(number, EXPIRES + number % 500)
}

/// Until it has ended: how long the table grew, and the most memory it had in use.
fn watch(child: &mut Child, client: &mut Client) -> Result<(Duration, u64), String> {
    let status = format!("/proc/{}/status", child.id());
    let (mut growing, mut kilobytes, mut before, mut then) = (Duration::ZERO, 0, 0, Instant::now());
    while child.try_wait().map_err(|error| error.to_string())?.is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let peak =
            text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_ascii_whitespace().next()?.parse().ok());
        kilobytes = peak.unwrap_or(0).max(kilobytes);
        let table = client.table().map_err(|error| error.to_string())?;
        let states = table.services().flat_map(|entry| entry.destinations());
        let count = states.map(|state| {
            u64::from(state.active_connections)
                + u64::from(state.inactive_connections)
                + u64::from(state.persistent_connections)
        });
        let (count, now) = (count.sum::<u64>(), Instant::now());
        if count > before {
            growing += now - then;
        }
        (before, then) = (count, now);
        thread::sleep(BLINK);
    }
    Ok((growing, kilobytes))
}

/// The packets that were dropped.
fn dropped() -> Result<u64, String> {
    let shown = tc("-s filter show dev lo ingress")?;
    let count = shown.split_once("(dropped ").and_then(|(_, rest)| rest.split(',').next()?.parse().ok());
    count.ok_or_else(|| format!("tc: {shown}"))
}

fn tc(words: &str) -> Result<String, String> {
    let output = Command::new("tc").args(words.split(' ')).output().map_err(|error| format!("tc: {error}"))?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    output.status.success().then(|| text(&output.stdout)).ok_or_else(|| format!("tc {words}: {}", text(&output.stderr)))
}
