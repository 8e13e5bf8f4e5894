//! `sync verify`: what a backup director has not learned from its master.
//!
//! Each entry of the master's table is looked up in the backup's, of which memory holds only two
//! numbers for each entry. What comes through a pipe is held as a whole.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, Cursor};
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
use crate::subcommands::entries::{Wanted, each, open, row};

/// How long the master may take to announce an entry: it waits up to two seconds for more.
const ANNOUNCED: Duration = Duration::from_secs(10);

/// How many seconds sooner an entry may end on the backup.
const SLACK: u64 = 2;

/// A table, by hashes of what makes an entry the one it is, with a hash of its real server.
struct Table {
    entries: HashMap<u64, u64>,
    hasher: RandomState,
}

/// The bit of the real server's hash that says whether the backup's own entry is wanted.
const WANTED: u64 = 1;

impl Table {
    /// An entry may be wanted as the master has it, and not as the backup has it.
    fn add(&mut self, entry: &Connection, wanted: &Wanted) {
        if wanted.is_to_service(entry) {
            let (identity, server) = self.hashes(entry);
            self.entries.insert(identity, server | u64::from(wanted.has(entry)));
        }
    }

    /// Takes an entry of the master. Has it the same real server?
    fn take(&mut self, entry: &Connection) -> Option<bool> {
        let (identity, server) = self.hashes(entry);
        self.entries.remove(&identity).map(|found| found & !WANTED == server)
    }

    /// How many entries are left that are wanted.
    fn left(&self) -> u64 {
        self.entries.values().map(|found| found & WANTED).sum()
    }

    fn hashes(&self, entry: &Connection) -> (u64, u64) {
        let Connection { client, target, destination, engine, .. } = entry;
        (self.hasher.hash_one((client, target, engine)), self.hasher.hash_one(destination) & !WANTED)
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
    let is_piped = options.master.as_os_str() == "-";
    if is_piped && options.backup.as_ref().is_some_and(|backup| backup.as_os_str() == "-") {
        return Ok(
            session.finish(Err(Trouble::Other("only one of MASTER and BACKUP can be `-`".to_owned())), Exit::Trouble)
        );
    }
    let master = name(&options.master);
    let mut input = table(&options.master, session)?;
    let (reader, header) = Reader::new(&mut *input).map_err(|error| wrong(&master, &error))?;
    let mut summary = Summary::default();
    let mut found = Table { entries: HashMap::new(), hasher: RandomState::new() };
    let passed = match &options.backup {
        // What comes through a pipe was read just now, whatever the other machine's clock says.
        None => read_running(options, (!is_piped).then_some(&header), &mut found, session)?,
        Some(backup) => read_saved(options, backup, &header, &mut found, &mut summary, session)?,
    };
    for entry in reader {
        match entry {
            Ok(entry) if options.wanted.has(&entry) => {
                let found = found.take(&entry);
                let has_time = u64::from(entry.expires) > passed.as_secs() + SLACK;
                let is_expected = has_time && is_announced(&entry);
                // An error of writing is reported at the end of the run.
                let _ = summary.add(options.json, &entry, found, is_expected, session);
            }
            // The backup may have it as it is wanted.
            Ok(entry) => _ = found.take(&entry),
            Err(damage) => summary.damage(&master, damage),
        }
    }
    summary.only_backup = found.left();
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
    found: &mut Table,
    session: &mut Session<'_, '_>,
) -> Result<Duration, Trouble> {
    let now = || Header::now().map_err(|error| Trouble::Other(error.to_string()));
    let age = match header {
        Some(header) => header.age(&now()?).unwrap_or_default(),
        None => Duration::ZERO,
    };
    let started = Instant::now();
    wait(ANNOUNCED.saturating_sub(age), session)?;
    each(session, |entry| found.add(&entry, &options.wanted))?;
    Ok(age + started.elapsed())
}

/// The same for a table of the backup that was saved, too.
fn read_saved(
    options: &Verify,
    backup: &Path,
    header: &Header,
    found: &mut Table,
    summary: &mut Summary,
    session: &mut Session<'_, '_>,
) -> Result<Duration, Trouble> {
    let name = name(backup);
    let mut input = table(backup, session)?;
    let (reader, later) = Reader::new(&mut *input).map_err(|error| wrong(&name, &error))?;
    let (seconds, master) = (ANNOUNCED.as_secs(), self::name(&options.master));
    let passed = match header.age(&later) {
        Ok(passed) if passed >= ANNOUNCED => passed,
        Ok(_) => return Err(wrong(&name, &format!("this table must be saved at least {seconds} s after {master}"))),
        Err(ahead) => {
            let ahead = ahead.as_secs();
            let why = format!(
                "saved {ahead} s before {master}, say the clocks of the directors: it must be saved at least {seconds} s \
                 after it; the master's table comes first"
            );
            return Err(wrong(&name, &why));
        }
    };
    for entry in reader {
        match entry {
            Ok(entry) => found.add(&entry, &options.wanted),
            Err(damage) => summary.damage(&name, damage),
        }
    }
    Ok(passed)
}

fn wrong(name: &str, wrong: &str) -> Trouble {
    Trouble::Other(format!("{name}: {wrong}"))
}

/// A saved table. Standard input is read as a whole, so that the sender's table does not change
/// while it waits for this program.
fn table(path: &Path, session: &mut Session<'_, '_>) -> Result<Box<dyn BufRead>, Trouble> {
    if path.as_os_str() != "-" {
        return Ok(Box::new(open(path, false)?));
    }
    let mut text = Vec::new();
    let read = session.environment.stdin.read_to_end(&mut text);
    read.map_err(|error| Trouble::Other(format!("{}: {error}", name(path))))?;
    Ok(Box::new(Cursor::new(text)))
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use ipvs::Client;

    use super::*;
    use crate::director::Director;
    use crate::env::Environment;
    use crate::subcommands::entries::saved::file;

    const ON_11: &str = "TCP CB007101 9C40 C0000201 0050 0A00000B 0050 ESTABLISHED     899";
    const ON_12: &str = "TCP CB007101 9C40 C0000201 0050 0A00000C 0050 FIN_WAIT        899";
    const OTHER_ON_12: &str = "TCP CB007102 9C40 C0000201 0050 0A00000C 0050 ESTABLISHED     899";
    const SHORT: &str = "TCP CB007103 9C40 C0000201 0050 0A00000C 0050 TIME_WAIT         5";

    /// The status, and what it prints, of the master's file with these options and the backup's.
    fn run(master: &str, backup: &str, wanted: Wanted, names: [&str; 2]) -> (Exit, String) {
        static DIRECTORIES: AtomicUsize = AtomicUsize::new(0);
        let number = DIRECTORIES.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("ipvs-cli-verify-{}-{number}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let place = |name: &str| if name == "-" { "-".into() } else { directory.join(name) };
        fs::write(directory.join("master"), master).unwrap();
        fs::write(directory.join("backup"), backup).unwrap();
        let [master, backup] = names.map(place);
        let (text, mut out, mut err) = (fs::read(directory.join("backup")).unwrap(), Vec::new(), Vec::new());
        let mut stdin = &*text;
        let mut environment = Environment::new(&mut stdin, &mut out, &mut err);
        let mut director = Director::with(Client::fake(ipvs::Table::new()));
        let mut session = Session::new(&mut environment, &mut director, false);
        let options = Verify { master, backup: Some(backup), wanted, json: false };
        let done = verify(&options, &mut session);
        let exit = session.finish(done, Exit::No);
        out.extend(err);
        fs::remove_dir_all(&directory).unwrap();
        (exit, String::from_utf8(out).unwrap().replace(&directory.display().to_string(), ""))
    }

    const FILES: [&str; 2] = ["master", "backup"];

    #[test]
    fn another_real_server_is_no_missing_entry_whatever_is_asked_for() {
        let (master, backup) = (file(&[ON_11], 1000, "a", 1), file(&[ON_12, OTHER_ON_12], 1020, "b", 1));
        let of_11 = || Wanted { server: vec!["10.0.0.11".parse().unwrap()], ..Wanted::default() };
        let established = || Wanted { state: vec!["ESTABLISHED".to_owned()], ..Wanted::default() };
        for (wanted, only_backup) in [(Wanted::default(), 1), (of_11(), 0), (established(), 1)] {
            let (exit, text) = run(&master, &backup, wanted, FILES);
            let end = format!(
                "0 the same, 0 missing, 1 with another real server; 0 not compared; {only_backup} only on the backup\n"
            );
            assert!(exit == Exit::No && text.starts_with("elsewhere ") && text.ends_with(&end), "{text}");
        }
        // What the master has in another state is not only on the backup.
        let backup = file(&[ON_11], 1020, "b", 1);
        let (exit, text) = run(&file(&[ON_12], 1000, "a", 1), &backup, established(), FILES);
        assert_eq!((exit, text.ends_with("; 0 only on the backup\n")), (Exit::Success, true), "{text}");
    }

    #[test]
    fn what_could_not_be_compared_is_no_success() {
        let (master, backup) = (file(&[SHORT], 1000, "a", 1), file(&[], 1020, "b", 1));
        let (exit, text) = run(&master, &backup, Wanted::default(), FILES);
        assert!(exit == Exit::No && text.contains("nothing could be compared") && text.contains("20 s ago"), "{text}");
        let (exit, text) = run(&file(&[], 1000, "a", 1), &backup, Wanted::default(), FILES);
        assert_eq!(exit, Exit::Success, "{text}");
    }

    #[test]
    fn the_order_of_the_tables_is_checked_as_far_as_clocks_say_it() {
        let early = file(&[ON_11], 1000, "a", 1);
        for (backup, wrong) in [
            (file(&[ON_11], 1005, "b", 1), "/backup: this table must be saved at least 10 s after /master"),
            (file(&[ON_11], 400, "b", 1), "/backup: saved 600 s before /master, say the clocks of the directors"),
        ] {
            let (exit, text) = run(&early, &backup, Wanted::default(), FILES);
            assert!(exit == Exit::No && text.contains(wrong), "{text}");
        }
        // The backup's may come through a pipe.
        let (exit, text) = run(&early, &file(&[ON_11], 1020, "b", 1), Wanted::default(), ["master", "-"]);
        assert!(exit == Exit::Success && text.starts_with("1 the same"), "{text}");
        let (exit, text) = run(&early, "", Wanted::default(), ["-", "-"]);
        assert_eq!((exit, &*text), (Exit::Trouble, "ipvs-cli: only one of MASTER and BACKUP can be `-`\n"));
    }
}
