//! `cargo lab bench --connections`: what it costs to read a large connection table, beside `cat` of
//! the same file.
//!
//! The file is made up; it needs no kernel. Time is the best of some runs, as others only add to
//! it. Memory is the most that the program ever had in use when it has been fed the whole table and
//! waits for the end.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use crate::{
    error::{Context, Error, Result},
    workspace::Workspace,
};

const RUNS: usize = 7;

/// What is asked of the table.
const WAYS: [&str; 8] = [
    "conns",
    "conns --count",
    "conns --by server",
    "conns --by client",
    "conns --state ESTABLISHED --server 10.1.0.7",
    "conns --sort expires --limit 20",
    "conns --sort client",
    "conns --json",
];

pub(super) fn run(entries: u32) -> Result<ExitCode> {
    let program = Workspace::find()?.build_ipvs_cli()?;
    let directory = tempfile::tempdir().context(|| "make a directory".into())?;
    let table = directory.path().join("ip_vs_conn");
    write_table(&table, entries).context(|| format!("write {}", table.display()))?;
    let size = fs::metadata(&table).context(|| format!("read {}", table.display()))?.len();
    println!("{entries} entries, {} MB", size / 1_000_000);
    println!("{:<50} {:>8} {:>10} {:>10}", "", "ms", "/ cat", "peak kB");
    let cat = best(|| command("cat", &[]).arg(&table).spawn())?;
    row("cat", cat, cat, memory("cat", &[], &table)?);
    let wc = best(|| command("wc", &["-l"]).arg(&table).spawn())?;
    row("wc -l", wc, cat, memory("wc", &["-l"], &table)?);
    for way in WAYS {
        let mut words: Vec<&str> = way.split(' ').collect();
        words.push("--from");
        let time = best(|| command(&program, &words).arg(&table).spawn())?;
        words.push("-");
        row(way, time, cat, memory(&program, &words, &table)?);
    }
    Ok(ExitCode::SUCCESS)
}

fn row(name: &str, time: Duration, cat: Duration, kilobytes: u64) {
    let milliseconds = time.as_secs_f64() * 1000.0;
    let ratio = time.as_secs_f64() / cat.as_secs_f64();
    println!("{name:<50} {milliseconds:>8.0} {ratio:>10.1} {kilobytes:>10}");
    println!("bench connections {} ms={milliseconds:.1} peak_kb={kilobytes}", name.replace(' ', "_"));
}

fn command(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn best(mut start: impl FnMut() -> io::Result<Child>) -> Result<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..RUNS {
        let started = Instant::now();
        let child = start().context(|| "start what is measured".into())?;
        done(child)?;
        best = best.min(started.elapsed());
    }
    Ok(best)
}

/// Feeds it the table by a pipe, so that it still runs when it has seen all.
fn memory(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str], table: &Path) -> Result<u64> {
    let what = || "feed what is measured".to_owned();
    let mut child = command(program, arguments).stdin(Stdio::piped()).spawn().context(what)?;
    let mut input = child.stdin.take().ok_or(Error::Missing("a pipe".into()))?;
    io::copy(&mut File::open(table).context(what)?, &mut input).context(what)?;
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).context(what)?;
    drop(input);
    done(child)?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|peak| peak.split_ascii_whitespace().next()?.parse().ok()).ok_or(Error::Missing("VmHWM".into()))
}

fn done(mut child: Child) -> Result<()> {
    let status = child.wait().context(|| "wait for what is measured".into())?;
    let output = String::new();
    let command = "what is measured".to_owned();
    status.success().then_some(()).ok_or(Error::Command { command, status, output })
}

/// A busy director: 100 real servers behind 10 virtual addresses; every tenth entry is of IPv6,
/// every fiftieth a template.
fn write_table(path: &Path, entries: u32) -> io::Result<()> {
    const STATES: [&str; 5] = ["ESTABLISHED", "ESTABLISHED", "TIME_WAIT", "FIN_WAIT", "SYN_RECV"];
    let mut out = BufWriter::new(File::create(path)?);
    writeln!(out, "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData")?;
    for number in 0..entries {
        let (vip, server) = (number % 10 + 1, number % 100 + 1);
        let (port, expires) = (1024 + number % 60_000, number % 900);
        let state = STATES[number as usize / 100 % STATES.len()];
        if number % 50 == 7 {
            let client = 0xCB00_7100 + number / 50;
            writeln!(
                out,
                "UDP {client:08X} 0000 C00002{vip:02X} 13C4 0A0100{server:02X} 13C4 NONE        {expires:7} sip {number}@example.net"
            )?;
        } else if number % 10 == 3 {
            writeln!(
                out,
                "TCP 2001:0db8:0000:0000:0000:0000:{:04x}:{:04x} {port:04X} 2001:0db8:0000:0000:0000:0000:0001:{vip:04x} 01BB \
                 2001:0db8:0000:0000:0000:0000:0002:{server:04x} 01BB {state:<11} {expires:7}",
                number >> 16,
                number & 0xffff,
            )?;
        } else {
            let client = 0x0A80_0000 + number / 4;
            writeln!(
                out,
                "TCP {client:08X} {port:04X} C00002{vip:02X} 0050 0A0100{server:02X} 1F90 {state:<11} {expires:7}"
            )?;
        }
    }
    out.flush()
}
