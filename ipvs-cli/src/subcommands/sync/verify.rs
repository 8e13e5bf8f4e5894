//! `sync verify`: what a backup director has not learned from its master.
//!
//! Each entry of the master's table is looked up in the backup's, of which memory holds only two
//! numbers for each entry.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ipvs::desired::parts::Scalar;
use ipvs::proc::Connection;
use ipvs::{Protocol, ServiceKey};
use ipvs_text::escape;

use super::args::Verify;
use crate::env::signals::Signals;
use crate::exit::Exit;
use crate::session::json;
use crate::session::{Session, Trouble};
use crate::subcommands::entries::saved::{Damage, Header, Reader};
use crate::subcommands::entries::{connections, open, row};

/// How long the master may take to announce an entry: it waits up to two seconds for more.
const ANNOUNCED: Duration = Duration::from_secs(10);

/// How many seconds sooner an entry may end on the backup.
const SLACK: u64 = 2;

/// A table, by hashes of what makes an entry the one it is, with a hash of its real server.
struct Table {
    entries: HashMap<u64, u64>,
    hasher: RandomState,
}

impl Table {
    fn add(&mut self, entry: &Connection) {
        let (identity, server) = self.hashes(entry);
        self.entries.insert(identity, server);
    }

    fn hashes(&self, entry: &Connection) -> (u64, u64) {
        let Connection { client, target, destination, engine, .. } = entry;
        (self.hasher.hash_one((client, target, engine)), self.hasher.hash_one(destination))
    }
}

#[derive(Debug, Default)]
struct Summary {
    same: u64,
    missing: u64,
    elsewhere: u64,
    /// Connections that are being set up, and entries whose time may be over.
    skipped: u64,
    only_backup: u64,
    damage: Vec<String>,
}

pub(super) fn verify(options: &Verify, session: &mut Session<'_, '_>) -> Result<Exit, Trouble> {
    let mut text = Vec::new();
    let mut piped: &[u8];
    let mut file;
    let is_piped = options.master.as_os_str() == "-";
    let master = name(&options.master);
    let input: &mut dyn BufRead = if is_piped {
        // As a whole, so that the sender's table does not change while it waits for this program.
        let read = session.environment.stdin.read_to_end(&mut text);
        read.map_err(|error| Trouble::Other(format!("{master}: {error}")))?;
        piped = &text;
        &mut piped
    } else {
        file = open(&options.master, false)?;
        &mut file
    };
    let (reader, header) = Reader::new(input).map_err(|error| wrong(&master, &error))?;
    let mut summary = Summary::default();
    let mut table = Table { entries: HashMap::new(), hasher: RandomState::new() };
    let passed = match &options.backup {
        // What comes through a pipe was read just now, whatever the other machine's clock says.
        None => read_running(options, (!is_piped).then_some(&header), &mut table, session)?,
        Some(backup) => read_saved(options, backup, &header, &mut table, &mut summary)?,
    };
    for entry in reader {
        match entry {
            Ok(entry) if options.wanted.has(&entry) => {
                let found = table.hashes(&entry);
                let found = table.entries.remove(&found.0).map(|server| server == found.1);
                let has_time = u64::from(entry.expires) > passed.as_secs() + SLACK;
                let is_expected = has_time && is_announced(&entry);
                // An error of writing is reported at the end of the run.
                let _ = summary.add(options.json, &entry, found, is_expected, session);
            }
            Ok(_) => {}
            Err(damage) => summary.damage(&master, damage),
        }
    }
    summary.only_backup = table.entries.len() as u64;
    summary.report(options.json, session);
    let compared = summary.same + summary.missing + summary.elsewhere;
    if compared == 0 && summary.skipped > 0 {
        session.message(format!(
            "nothing could be compared: all connections of {master} may have ended since it was saved, {} s ago, or are \
             not announced",
            passed.as_secs()
        ));
    }
    let is_good = summary.missing == 0 && summary.elsewhere == 0 && summary.damage.is_empty();
    let is_good = is_good && (compared > 0 || summary.skipped == 0);
    Ok(if is_good { Exit::Success } else { Exit::No })
}

/// Reads this machine's table, when the master has had the time to announce what it had. Returns
/// how long ago the master's was saved, by its `header` if that counts.
fn read_running(
    options: &Verify,
    header: Option<&Header>,
    table: &mut Table,
    session: &mut Session<'_, '_>,
) -> Result<Duration, Trouble> {
    let now = || Header::now().map_err(|error| Trouble::Other(error.to_string()));
    let age = match header {
        Some(header) => header.age(&now()?).unwrap_or_default(),
        None => Duration::ZERO,
    };
    let started = Instant::now();
    wait(ANNOUNCED.saturating_sub(age), session)?;
    connections(session)?.filter(|entry| options.wanted.is_between(entry)).for_each(|entry| table.add(&entry));
    Ok(age + started.elapsed())
}

/// The same for a table of the backup that was saved, too.
fn read_saved(
    options: &Verify,
    backup: &Path,
    header: &Header,
    table: &mut Table,
    summary: &mut Summary,
) -> Result<Duration, Trouble> {
    let name = name(backup);
    let mut file = open(backup, false)?;
    let (reader, later) = Reader::new(&mut file).map_err(|error| wrong(&name, &error))?;
    let passed = header.age(&later).unwrap_or_default();
    if passed < ANNOUNCED {
        let (seconds, master) = (ANNOUNCED.as_secs(), self::name(&options.master));
        return Err(wrong(&name, &format!("this table must be saved at least {seconds} s after {master}")));
    }
    for entry in reader {
        match entry {
            Ok(entry) if options.wanted.is_between(&entry) => table.add(&entry),
            Ok(_) => {}
            Err(damage) => summary.damage(&name, damage),
        }
    }
    Ok(passed)
}

fn wrong(name: &str, wrong: &str) -> Trouble {
    Trouble::Other(format!("{name}: {wrong}"))
}

fn name(path: &Path) -> String {
    if path.as_os_str() == "-" { "standard input".to_owned() } else { escape::path(path).to_string() }
}

fn wait(time: Duration, session: &Session<'_, '_>) -> Result<(), Trouble> {
    const BLINK: Duration = Duration::from_millis(50);
    let signals = session.environment.owns_process.then(Signals::note).transpose();
    let signals = signals.map_err(|error| Trouble::Other(format!("cannot handle signals: {error}")))?;
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        session.display.progress(|| format!("the backup's table is read in {} s", left.as_secs() + 1));
        thread::sleep(left.min(BLINK));
        if signals.as_ref().is_some_and(|signals| signals.received().is_some()) {
            return Err(Trouble::Other("interrupted: nothing was compared".to_owned()));
        }
    }
    Ok(())
}

/// Does the master announce what is in this state? (`ip_vs_sync_conn_needed`.)
fn is_announced(entry: &Connection) -> bool {
    const TCP: [&[u8]; 5] = [b"ESTABLISHED", b"FIN_WAIT", b"TIME_WAIT", b"CLOSE", b"CLOSE_WAIT"];
    const SCTP: [&[u8]; 5] = [b"ESTABLISHED", b"S-SENT", b"S-RECEIVED", b"S-ACK-SENT", b"CLOSED"];
    let state = &entry.state.as_bytes();
    // An entry that `conns --kill` has ended is there for a second more.
    !entry.destination.ip().is_unspecified()
        && match entry.target {
            _ if entry.is_template() => true,
            ServiceKey::Address { protocol: Protocol::TCP, .. } => TCP.contains(state),
            ServiceKey::Address { protocol: Protocol::SCTP, .. } => SCTP.contains(state),
            _ => true,
        }
}

impl Summary {
    /// `found`: whether the backup's real server is the same, if the entry is there.
    fn add(
        &mut self,
        is_json: bool,
        entry: &Connection,
        found: Option<bool>,
        is_expected: bool,
        session: &mut Session<'_, '_>,
    ) -> io::Result<()> {
        let outcome = match found {
            Some(true) => {
                self.same += 1;
                return Ok(());
            }
            None if !is_expected => {
                self.skipped += 1;
                return Ok(());
            }
            None => {
                self.missing += 1;
                "missing"
            }
            Some(false) => {
                self.elsewhere += 1;
                "elsewhere"
            }
        };
        session.display.end();
        let out = &mut *session.environment.stdout;
        if is_json {
            let mut fields = row::fields(entry);
            fields.insert(0, ("outcome", Scalar::text(outcome)));
            return writeln!(out, "{}", json::object(fields));
        }
        let mut line = format!("{outcome:<9} ").into_bytes();
        row::text(&mut line, entry);
        line.push(b'\n');
        out.write_all(&line)
    }

    fn damage(&mut self, name: &str, damage: Damage) {
        // One of many is enough to know.
        const MOST: usize = 10;
        let text = match damage {
            Damage::Line { number, reason } => format!("{name}:{number}: {reason}"),
            Damage::End(reason) => format!("{name}: {reason}"),
        };
        if self.damage.len() < MOST {
            self.damage.push(text);
        }
    }

    fn report(&self, is_json: bool, session: &mut Session<'_, '_>) {
        self.damage.iter().for_each(|damage| session.message(damage));
        let Summary { same, missing, elsewhere, skipped, only_backup, .. } = *self;
        if is_json {
            let counts = [
                ("same", same),
                ("missing", missing),
                ("elsewhere", elsewhere),
                ("skipped", skipped),
                ("only_backup", only_backup),
            ];
            session.print(json::object(counts.map(|(key, count)| (key, Scalar::Integer(count))).into()));
        } else {
            session.report(format!(
                "{same} the same, {missing} missing, {elsewhere} with another real server; {skipped} not compared; \
                 {only_backup} only on the backup"
            ));
        }
    }
}
