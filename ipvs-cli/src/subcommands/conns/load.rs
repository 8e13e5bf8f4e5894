//! `--load`: brings saved connections into the kernel's table.
//!
//! Nothing replies to what is sent, so the table is read again: what is not there is sent again.
//! Entries are taken in batches, each as large as a fixed number, and the table is read once for
//! each batch, so memory does not grow with either. Batches are large, as it takes Linux before 7
//! long to show a large table: for each page it begins anew.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use ipvs::proc::EngineData;
use ipvs::sync::{Entry, EntryFlags};
use ipvs::{FirewallMark, Protocol};
use ipvs_text::escape;

use super::args::Conns;
use crate::director::injection::Injector;
use crate::exit::Exit;
use crate::io::Stdin;
use crate::session::guard::ChangeGuard;
use crate::session::journal::{LogOutcome, Record};
use crate::session::{Session, Trouble, Wait};
use crate::subcommands::entries::saved::{Damage, Header, Reader};
use crate::subcommands::entries::services::{Services, Unbound};
use crate::subcommands::entries::{CHUNK, Count, each, start};

/// The most that is under way at a time: some 40 MB, and no more before the map would have to grow.
const BATCH: usize = (1 << 18) / 8 * 7;

/// How often an entry is sent that does not appear in the table: of a million, while each tenth
/// datagram is lost, less than one remains.
const ATTEMPTS: u8 = 8;

/// How many kinds of reasons are counted.
const REASONS: usize = 20;

pub(super) fn load(conns: &Conns, from: &Path, session: &mut Session<'_, '_>) -> Result<Exit, Trouble> {
    let mut summary = Summary::default();
    let name = if from.as_os_str() == "-" { "standard input".into() } else { escape::path(from).to_string() };
    let done = if from.as_os_str() == "-" {
        // Standard input belongs to the session, which is needed beside it. What takes its place
        // has no size.
        let stdin = std::mem::replace(&mut session.environment.stdin, Box::leak(Box::new(Stdin)));
        let mut input = BufReader::with_capacity(CHUNK, stdin);
        run(conns, &name, &mut input, session, &mut summary)
    } else {
        let file = File::open(from).map_err(|error| Trouble::Other(format!("{name}: {error}")))?;
        run(conns, &name, &mut BufReader::with_capacity(CHUNK, file), session, &mut summary)
    };
    if summary.read == 0
        && let Err(trouble) = done
    {
        return Err(trouble);
    }
    let is_complete = summary.report(conns, &name, session);
    if !conns.dry_run {
        let outcome = if done.is_ok() && is_complete { LogOutcome::Done } else { LogOutcome::Failed };
        let detail = summary.in_a_line();
        session.log(
            &conns.common.logging,
            &Record { subcommand: "conns --load", file: Some(&name), outcome, detail: &detail },
        );
    }
    Ok(match done? {
        Some(signal) if summary.left > 0 => Exit::Signal(signal),
        _ if is_complete => Exit::Success,
        _ => Exit::No,
    })
}

/// What makes an entry of the kernel's table the one it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Identity {
    protocol: Protocol,
    client: SocketAddr,
    virtual_address: SocketAddr,
    engine: Option<Box<EngineData>>,
}

/// The rest of an entry that is to be loaded.
#[derive(Clone, Copy, Debug)]
struct Rest {
    destination: SocketAddr,
    mark: Option<FirewallMark>,
    flags: EntryFlags,
    state: u16,
    sent: u8,
    /// Counted from the time in the file's header.
    expires: u32,
}

fn split(entry: Entry) -> (Identity, Rest) {
    let Entry { protocol, client, virtual_address, destination, mark, flags, state, timeout, engine, .. } = entry;
    let engine = engine.map(Box::new);
    let rest = Rest { destination, mark, flags, state, sent: 0, expires: timeout };
    (Identity { protocol, client, virtual_address, engine }, rest)
}

/// The entry again, with the time that it has left.
fn join(identity: Identity, rest: Rest, timeout: u32) -> Entry {
    let Identity { protocol, client, virtual_address, engine } = identity;
    let mut entry = Entry::new(protocol, client, virtual_address, rest.destination);
    (entry.mark, entry.flags, entry.state, entry.timeout) = (rest.mark, rest.flags, rest.state, timeout);
    entry.engine = engine.map(|engine| *engine);
    entry
}

type Batch = HashMap<Identity, Rest>;

struct Load<'l> {
    conns: &'l Conns,
    reader: Reader<'l>,
    /// When the file was saved, as an age at the start, in seconds, and the start.
    age: u64,
    started: Instant,
    batch: Batch,
}

fn run(
    conns: &Conns,
    name: &str,
    input: &mut dyn BufRead,
    session: &mut Session<'_, '_>,
    summary: &mut Summary,
) -> Result<Option<i32>, Trouble> {
    let (reader, header) = Reader::new(input).map_err(|wrong| Trouble::Other(format!("{name}: {wrong}")))?;
    let now = Header::now().map_err(|error| Trouble::Other(error.to_string()))?;
    let age = header.age(&now).unwrap_or_else(|ahead| {
        let ahead = ahead.as_secs();
        session
            .note(format!("{name}: saved {ahead} s from now, says the clock; the times that are left stay as saved"));
        std::time::Duration::ZERO
    });
    let age = age.as_secs();
    let mut load = Load { conns, reader, age, started: Instant::now(), batch: HashMap::new() };
    let done = load.run(session, summary);
    summary.left = load.batch.len() as u64;
    done
}

/// Seconds since the file was saved.
fn passed_since(age: u64, started: Instant) -> u64 {
    age + started.elapsed().as_secs()
}

impl Load<'_> {
    fn run(&mut self, session: &mut Session<'_, '_>, summary: &mut Summary) -> Result<Option<i32>, Trouble> {
        let is_dry = self.conns.dry_run;
        // The first batch is read before another ipvs-cli is kept waiting: it may come from the
        // network.
        let mut services = Services::new(session.director.table_without_statistics()?);
        self.fill(&services, summary);
        let mut turn =
            if is_dry { ChangeGuard::new(None) } else { session.guard(&Wait::new(self.conns.common.wait))? };
        if !self.batch.is_empty() && !is_dry {
            turn.protect(session.environment);
        }
        let is_over = || turn.signal().is_some();
        let mut injector = None;
        while !self.batch.is_empty() && !is_over() {
            self.compare(session, summary)?;
            // If the table has all of it, no daemon is touched.
            if injector.is_none() && !is_dry && !self.batch.is_empty() {
                services = Services::new(session.director.table_without_statistics()?);
                injector = Some(start(session)?);
            }
            self.send(injector.as_mut(), &is_over, summary)?;
            session.display.progress(|| format!("loading connections: {}", summary.in_a_line()));
            self.fill(&services, summary);
        }
        if let Some(injector) = injector {
            injector.finish()?;
        }
        Ok(turn.signal())
    }

    /// Reads entries, until the batch is full or the file at its end.
    fn fill(&mut self, services: &Services, summary: &mut Summary) {
        let passed = passed_since(self.age, self.started);
        // What was taken out has left marks, for which the map would grow to twice its size.
        let left: Vec<_> = self.batch.drain().collect();
        self.batch.extend(left);
        while self.batch.len() < BATCH {
            let connection = match self.reader.next() {
                None => return,
                Some(Ok(connection)) => connection,
                Some(Err(damage)) => {
                    summary.damage(damage);
                    continue;
                }
            };
            if !self.conns.wanted.has(&connection) {
                continue;
            }
            summary.read += 1;
            if u64::from(connection.expires) <= passed {
                summary.expired += 1;
                continue;
            }
            let mut entry = match Entry::try_from(&connection) {
                Ok(entry) => entry,
                Err(error) => {
                    summary.not_loaded(error.to_string());
                    continue;
                }
            };
            entry.mark = match services.bind(&connection) {
                Ok(mark) => mark,
                Err(_) if self.conns.unbound => entry.mark,
                Err(unbound) => {
                    summary.unbound(unbound);
                    continue;
                }
            };
            let (identity, rest) = split(entry);
            if self.batch.insert(identity, rest).is_some() {
                // The table was read while it changed.
                summary.read -= 1;
            }
        }
    }

    /// Takes out what the table has.
    fn compare(&mut self, session: &mut Session<'_, '_>, summary: &mut Summary) -> Result<(), Trouble> {
        each(session, |connection| {
            let is_template = connection.is_template();
            // What can't be sent is no entry of the file.
            let Ok(entry) = Entry::try_from(&connection) else { return };
            let (identity, shown) = split(entry);
            let Some(rest) = self.batch.remove(&identity) else { return };
            match rest.sent {
                0 if rest.destination == shown.destination => summary.present += 1,
                _ if rest.destination != shown.destination => summary.elsewhere += 1,
                _ if is_template => summary.templates += 1,
                _ => summary.connections += 1,
            }
        })
    }

    /// Sends what is left.
    fn send(
        &mut self,
        injector: Option<&mut Injector>,
        is_over: &dyn Fn() -> bool,
        summary: &mut Summary,
    ) -> Result<(), Trouble> {
        let Some(injector) = injector else {
            // A dry run.
            for (identity, _) in self.batch.drain() {
                if identity.client.port() == 0 { summary.templates += 1 } else { summary.connections += 1 }
            }
            return Ok(());
        };
        let (mut gone, mut passed) = (Vec::new(), 0);
        for (number, (identity, rest)) in self.batch.iter_mut().enumerate() {
            if number % 64 == 0 {
                if is_over() {
                    break;
                }
                // To send a batch may take seconds.
                passed = passed_since(self.age, self.started);
            }
            let left = u64::from(rest.expires).saturating_sub(passed);
            if left == 0 || rest.sent == ATTEMPTS {
                gone.push(identity.clone());
                if left == 0 {
                    summary.expired += 1
                } else {
                    summary.lost += 1
                }
                continue;
            }
            let timeout = u32::try_from(left).unwrap_or(u32::MAX);
            let entry = join(identity.clone(), *rest, timeout);
            injector.push(&entry)?;
            rest.sent += 1;
        }
        gone.iter().for_each(|identity| _ = self.batch.remove(identity));
        injector.flush()?;
        Ok(())
    }
}

/// What became of the entries of a file.
#[derive(Debug, Default)]
struct Summary {
    read: u64,
    connections: u64,
    templates: u64,
    /// In the table before, with the same real server and with another one.
    present: u64,
    elsewhere: u64,
    expired: u64,
    unbound: u64,
    lost: u64,
    /// Not tried, or not known to be loaded: a signal came, or a fault.
    left: u64,
    /// Why entries were not loaded, and how many.
    reasons: BTreeMap<String, u64>,
    /// Reasons beyond those that are counted.
    more: u64,
    damaged: u64,
    first_damage: Option<(u64, String)>,
    end: Option<String>,
}

impl Summary {
    fn not_loaded(&mut self, reason: String) {
        if self.reasons.len() == REASONS && !self.reasons.contains_key(&reason) {
            self.more += 1;
        } else {
            *self.reasons.entry(reason).or_default() += 1;
        }
    }

    fn unbound(&mut self, unbound: Unbound) {
        self.unbound += 1;
        self.not_loaded(unbound.to_string());
    }

    fn damage(&mut self, damage: Damage) {
        match damage {
            Damage::Line { number, reason } => {
                self.damaged += 1;
                self.first_damage.get_or_insert((number, reason));
            }
            Damage::End(reason) => self.end = Some(reason),
        }
    }

    fn in_a_line(&self) -> String {
        let Summary { connections, templates, present, elsewhere, expired, .. } = *self;
        let loaded = Count { connections, templates }.words();
        let failed = self.reasons.values().sum::<u64>() + self.more + self.lost + self.left;
        format!(
            "loaded {loaded}; {present} were there, {elsewhere} with another \
             real server; {expired} have expired; {failed} not loaded"
        )
    }

    /// Says it. Is all that the file has in the table, or expired?
    fn report(&self, conns: &Conns, name: &str, session: &mut Session<'_, '_>) -> bool {
        if let Some((number, reason)) = &self.first_damage {
            let more = match self.damaged {
                1 => String::new(),
                lines => format!("; {} more lines are damaged", lines - 1),
            };
            session.message(format!("{name}:{number}: {reason}{more}"));
        }
        if let Some(end) = &self.end {
            session.error(format!("{name}: {end}"));
        }
        for (reason, count) in &self.reasons {
            session.error(format!("not loaded: {count} of: {reason}"));
        }
        if self.more > 0 {
            session.error(format!("not loaded: {} for more reasons", self.more));
        }
        if self.unbound > 0 {
            session.note("add these services and real servers first; --unbound loads the entries without them, and the kernel forwards them by NAT");
        }
        if self.lost > 0 {
            session.error(format!("not loaded: {} did not appear in the table, after {ATTEMPTS} attempts", self.lost));
        }
        if self.left > 0 {
            session.error("not loaded: what is left of the file; loading it again continues");
        }
        let prefix = if conns.dry_run { "would have " } else { "" };
        session.report(format!("{prefix}{}", self.in_a_line()));
        self.damaged == 0 && self.end.is_none() && self.reasons.is_empty() && self.lost == 0 && self.left == 0
    }
}
