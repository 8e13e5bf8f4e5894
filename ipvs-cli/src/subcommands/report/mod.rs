//! `report`: one archive with what others need to find a fault.

mod archive;
mod args;
mod pseudonyms;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ipvs_text::escape::{self, EscapingWriter};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::system::uname;

use self::pseudonyms::{Form, Pseudonyms};
use crate::director::Director;
use crate::env::Environment;
use crate::exit::Exit;
use crate::session::{Session, Trouble};
use crate::state::file;

pub(super) use args::Report;

/// Runs a subcommand.
pub(super) type Run = fn(&[OsString], &mut Environment<'_>, &mut Director) -> Exit;

/// What this program says of the director. Each name is that of a file.
const SUBCOMMANDS: [(&str, &[&str]); 11] = [
    ("show", &["show"]),
    ("show.rules", &["show", "--rules"]),
    ("show.json", &["show", "--json", "--statistics", "--daemons"]),
    ("connections-by-state", &["conns", "--by", "state"]),
    ("connections-by-service", &["conns", "--by", "service"]),
    ("connections-by-server", &["conns", "--by", "server"]),
    ("metrics", &["metrics", "--destinations", "--connections"]),
    ("doctor", &["doctor"]),
    ("doctor.json", &["doctor", "--json"]),
    ("mark-rules", &["mark", "list"]),
    ("owners", &["owners"]),
];

/// What programs of the system say.
const PROGRAMS: [(&str, &[&str]); 11] = [
    ("ip-link", &["ip", "-s", "-d", "link"]),
    ("ip-address", &["ip", "address"]),
    ("ip-rule", &["ip", "rule"]),
    ("ip-rule-6", &["ip", "-6", "rule"]),
    ("ip-route", &["ip", "route", "show", "table", "all"]),
    ("ip-route-6", &["ip", "-6", "route", "show", "table", "all"]),
    ("ip-neighbour", &["ip", "neighbour"]),
    ("nft-ruleset", &["nft", "list", "ruleset"]),
    ("iptables-save", &["iptables-save"]),
    ("ip6tables-save", &["ip6tables-save"]),
    ("journal", &["journalctl", "--no-pager", "--no-hostname", "-n", "5000", "-t", "ipvs-cli", "-t", "ipvs-follow"]),
];

/// What the kernel and the system show.
const FILES: [(&str, Form); 11] = [
    ("proc/version", Form::Text),
    (MODULES, Form::Text),
    ("proc/thread-self/net/ip_vs", Form::Hexadecimal),
    ("proc/thread-self/net/ip_vs_stats", Form::Text),
    ("proc/thread-self/net/ip_vs_stats_percpu", Form::Text),
    ("proc/thread-self/net/route", Form::Routes),
    ("proc/thread-self/net/ipv6_route", Form::Routes6),
    ("proc/thread-self/net/if_inet6", Form::Hexadecimal),
    ("proc/thread-self/net/arp", Form::Text),
    ("proc/thread-self/net/snmp", Form::Text),
    ("etc/os-release", Form::Text),
];

const MODULES: &str = "proc/modules";

/// Where settings of the kernel are that matter to a director.
const SETTINGS: [&str; 6] = [
    "net/ipv4/vs",
    "net/ipv4/conf",
    "net/ipv6/conf",
    "net/ipv4/ip_forward",
    "net/netfilter/nf_conntrack_max",
    "net/netfilter/nf_conntrack_count",
];

/// A program of the system that takes longer is ended.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn run(report: &Report, session: &mut Session<'_, '_>, run: Run) -> Exit {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let system = uname();
    let host = system.nodename().to_string_lossy();
    let pseudonyms = report.anonymize.then(|| Pseudonyms::new(&host));
    let mut parts = Parts { pseudonyms, archive: Vec::new(), now, missing: String::new() };
    for (name, words) in SUBCOMMANDS {
        session.progress(name);
        let (text, status) = of_subcommand(words, session, run);
        // The doctor has found something.
        let is_whole = status == 0 || status == 1 && words[0] == "doctor";
        if !is_whole {
            parts.miss(&format!("ipvs-cli {}: status {status}", words.join(" ")));
        }
        parts.add(name, &text, Form::Text);
    }
    if session.environment.proc.is_some() {
        for (name, words) in PROGRAMS {
            session.progress(name);
            match of_program(words) {
                Ok((text, status)) => {
                    if !status.success() {
                        parts.miss(&format!("{}: {status}", words.join(" ")));
                    }
                    parts.add(name, &shown(&text), Form::Text);
                }
                Err(error) => parts.miss(&format!("{}: {error}", words.join(" "))),
            }
        }
        for (path, form) in FILES {
            match fs::read(Path::new("/").join(path)) {
                Ok(text) => {
                    let text = if path == MODULES { without_addresses(&text) } else { shown(&text) };
                    parts.add(&path.replace("thread-self/", ""), &text, form);
                }
                Err(error) => parts.miss(&format!("/{path}: {error}")),
            }
        }
        parts.add("sysctl", settings().as_bytes(), Form::Text);
    }
    let archive = parts.finish(&format!(
        "A report of ipvs-cli {} about an IPVS director, at {now} seconds since 1970.\nLinux {} {}\n",
        env!("CARGO_PKG_VERSION"),
        system.release().to_string_lossy(),
        system.machine().to_string_lossy(),
    ));
    // It has what only root may read.
    let written = file::write(&report.file, &archive, 0o600).map_err(|error| Trouble::Other(error.to_string()));
    session.finish(written.map(|()| Exit::Success), Exit::No)
}

/// What goes into the archive.
struct Parts {
    pseudonyms: Option<Pseudonyms>,
    archive: Vec<u8>,
    now: u64,
    /// What could not be read, a line for each.
    missing: String,
}

impl Parts {
    fn miss(&mut self, what: &str) {
        self.missing += &format!("- {what}\n");
    }

    fn add(&mut self, name: &str, text: &[u8], form: Form) {
        let name = format!("ipvs-report/{name}");
        match &self.pseudonyms {
            None => archive::append(&mut self.archive, &name, self.now, text),
            Some(pseudonyms) => {
                // Bytes that are no text are shown as escapes, so that none hides an address.
                let text = String::from_utf8(text.to_vec()).unwrap_or_else(|_| escape::bytes(text).to_string());
                let text = pseudonyms.text(&text, form);
                archive::append(&mut self.archive, &name, self.now, text.as_bytes());
            }
        }
    }

    fn finish(mut self, title: &str) -> Vec<u8> {
        let anonymous = if self.pseudonyms.is_some() { "Addresses and the host's name are pseudonyms.\n" } else { "" };
        let missing = match self.missing.as_str() {
            "" => "Nothing is missing.\n".to_owned(),
            missing => format!("What could not be read, or not as a whole:\n{missing}"),
        };
        self.add("README", format!("{title}{anonymous}{missing}").as_bytes(), Form::Text);
        archive::finish(&mut self.archive);
        self.archive
    }
}

/// Both streams of a subcommand in one text, and its status.
fn of_subcommand(words: &[&str], session: &mut Session<'_, '_>, run: Run) -> (Vec<u8>, u8) {
    let arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
    let (mut stdin, mut stdout, mut stderr) = (&b""[..], Vec::new(), Vec::new());
    let mut environment = Environment {
        stdin: &mut stdin,
        stdout: &mut stdout,
        stderr: &mut stderr,
        hints: || false,
        colors: || false,
        owns_process: false,
        ..*session.environment
    };
    let status = run(&arguments, &mut environment, session.director);
    stdout.extend_from_slice(&stderr);
    (stdout, status.into())
}

/// Both streams of a program in one text, and its status.
fn of_program(words: &[&str]) -> io::Result<(Vec<u8>, ExitStatus)> {
    let mut file = File::from(memfd_create("ipvs-report", MemfdFlags::CLOEXEC)?);
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file.try_clone()?);
    let mut child = command.spawn()?;
    let end = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(Duration::from_millis(5));
    };
    let mut text = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut text)?;
    Ok((text, status))
}

/// Names of interfaces and rules may have characters that a terminal obeys: escapes show them.
fn shown(text: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(text.len());
    // Writing to memory does not fail.
    let _ = EscapingWriter::new(&mut shown).write_all(text);
    shown
}

/// Lines of `/proc/modules` without where modules are in memory: attacks on the kernel need that.
fn without_addresses(modules: &[u8]) -> Vec<u8> {
    let modules = String::from_utf8_lossy(modules);
    let line = |line: &str| line.split(' ').filter(|word| !word.starts_with("0x")).collect::<Vec<_>>().join(" ") + "\n";
    modules.lines().map(line).collect::<String>().into_bytes()
}

/// As sysctl(8) prints them.
fn settings() -> String {
    let mut text = String::new();
    for path in SETTINGS {
        add_settings(&Path::new("/proc/sys").join(path), &mut text);
    }
    text
}

fn add_settings(path: &Path, text: &mut String) {
    match fs::read_dir(path) {
        Ok(entries) => {
            let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            // By this secret, addresses are made that nobody shall foresee.
            paths.retain(|path| !path.ends_with("stable_secret"));
            paths.sort();
            paths.iter().for_each(|path| add_settings(path, text));
        }
        Err(_) => {
            let name = path.strip_prefix("/proc/sys").unwrap_or(path);
            // One that can't be read is a command.
            if let Ok(value) = fs::read_to_string(path) {
                *text += &format!("{} = {}\n", escape::path(name), value.trim_end());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_says_is_kept_with_its_status() {
        let (text, status) = of_program(&["sh", "-c", "echo one; echo two >&2; exit 3"]).unwrap();
        assert_eq!((text.as_slice(), status.code()), (&b"one\ntwo\n"[..], Some(3)));
        assert!(of_program(&["/nowhere/ip"]).is_err());
    }

    #[test]
    fn what_a_terminal_obeys_and_where_modules_are_is_left_out() {
        assert_eq!(shown(b"2: a\x1b]0;x\x07: <UP>\n\tlink\n"), b"2: a\\x1b]0;x\\x07: <UP>\n\tlink\n");
        let modules = b"ip_vs_rr 12288 1 - Live 0xffffffffc0a3e000\nfou 16384 0 - Live 0xffffffffc0a31000 (OE)\n";
        assert_eq!(without_addresses(modules), b"ip_vs_rr 12288 1 - Live\nfou 16384 0 - Live (OE)\n");
    }
}
