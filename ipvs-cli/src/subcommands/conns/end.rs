//! `--kill` and `--move-to`: ends entries of the kernel's table, or gives them another real server.
//!
//! Only what was in the table at the start is touched: it is taken in parts, by a number that is
//! made of the entry, so that memory does not grow with the table and no entry is touched twice.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use ipvs::Protocol;
use ipvs::ServiceKey;
use ipvs::proc::{Connection, EngineData};
use ipvs::sync::{Entry, EntryFlags};

use super::args::{Conns, NewServer};
use super::connections;
use super::load::start;
use super::services::Services;
use crate::director::injection::Injector;
use crate::exit::Exit;
use crate::session::journal::{LogOutcome, Record};
use crate::session::{Session, Trouble, Wait};

/// The most that is under way at a time, roughly.
const PART: u64 = 32_768;

/// How often an entry is sent.
const ATTEMPTS: usize = 3;

/// The kernel needs a second for an entry whose time is over, and its timers are a little late.
const SETTLED: Duration = Duration::from_millis(1300);

/// What is done to each entry.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Kill,
    MoveTo(NewServer),
}

/// What makes an entry the one it is, beside its real server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Identity {
    client: SocketAddr,
    target: ServiceKey,
    engine: Option<EngineData>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) connections: u64,
    pub(super) templates: u64,
}

impl Count {
    fn add(&mut self, connection: &Connection) {
        if connection.is_template() { self.templates += 1 } else { self.connections += 1 }
    }

    fn total(self) -> u64 {
        self.connections + self.templates
    }

    pub(super) fn words(self) -> String {
        let of = |count: u64, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
        format!("{} and {}", of(self.connections, "connection"), of(self.templates, "template"))
    }
}

/// What became of them.
#[derive(Debug, Default)]
struct Done {
    done: Count,
    left: Count,
    /// Why entries were not tried.
    reasons: HashMap<String, u64>,
    is_interrupted: bool,
}

pub(super) fn kill(conns: &Conns, session: &mut Session<'_, '_>) -> Result<Exit, Trouble> {
    run(conns, Deed::Kill, session)
}

pub(super) fn move_to(conns: &Conns, server: NewServer, session: &mut Session<'_, '_>) -> Result<Exit, Trouble> {
    run(conns, Deed::MoveTo(server), session)
}

fn run(conns: &Conns, deed: Deed, session: &mut Session<'_, '_>) -> Result<Exit, Trouble> {
    let (name, verb) = match deed {
        Deed::Kill => ("conns --kill", "end"),
        Deed::MoveTo(_) => ("conns --move-to", "move"),
    };
    if conns.wanted.is_empty() && !conns.all {
        let message = format!("`{name}` needs a filter, such as --client or --server; --all is every entry");
        session.error(message);
        return Ok(Exit::Trouble);
    }
    let mut count = Count::default();
    connections(session)?.filter(|entry| is_meant(conns, deed, entry)).for_each(|entry| count.add(&entry));
    if conns.dry_run || count.total() == 0 {
        session.report(format!("would {verb} {}", count.words()));
        return Ok(Exit::Success);
    }
    if count.total() > 1
        && !conns.yes
        && session.can_ask()
        && !session.confirm(&format!("{} {}?", capital(verb), count.words()))?
    {
        session.note("nothing was changed");
        return Ok(Exit::No);
    }
    let mut turn = session.guard(&Wait::new(conns.common.wait))?;
    turn.protect(session.environment);
    let is_over = || turn.signal().is_some();
    let mut done = Done::default();
    let result = work(conns, deed, count, session, &is_over, &mut done);
    let detail = done.report(deed, session);
    let is_complete = result.is_ok() && done.left.total() == 0 && done.reasons.is_empty() && !done.is_interrupted;
    let outcome = if is_complete { LogOutcome::Done } else { LogOutcome::Failed };
    session.log(&conns.common.logging, &Record { subcommand: name, file: None, outcome, detail: &detail });
    result?;
    Ok(match turn.signal() {
        Some(signal) if done.is_interrupted => Exit::Signal(signal),
        _ if is_complete => Exit::Success,
        _ => Exit::No,
    })
}

fn capital(verb: &str) -> &'static str {
    if verb == "end" { "End" } else { "Move" }
}

/// An ended connection is in the table for a while yet, without a real server. Flows of UDP only
/// can be moved: what TCP and SCTP have agreed on, another real server does not know.
fn is_meant(conns: &Conns, deed: Deed, entry: &Connection) -> bool {
    conns.wanted.has(entry)
        && !is_ended(entry)
        && match deed {
            Deed::Kill => true,
            Deed::MoveTo(server) => {
                let is_udp = matches!(entry.target, ServiceKey::Address { protocol: Protocol::UDP, .. });
                is_udp && !entry.is_template() && server.at(entry) != entry.destination
            }
        }
}

fn is_ended(entry: &Connection) -> bool {
    entry.destination.ip().is_unspecified()
}

fn work(
    conns: &Conns,
    deed: Deed,
    count: Count,
    session: &mut Session<'_, '_>,
    is_over: &dyn Fn() -> bool,
    done: &mut Done,
) -> Result<(), Trouble> {
    let services = Services::new(session.director.table_without_statistics()?);
    let mut injector = start(session)?;
    if matches!(deed, Deed::Kill) && conns.wanted.templates {
        end_what_is_over(conns, session, &mut injector)?;
    }
    let parts = count.total().div_ceil(PART);
    let hasher = RandomState::new();
    for part in 0..parts {
        let mut meant: HashMap<Identity, Connection> = HashMap::new();
        for entry in connections(session)?.filter(|entry| is_meant(conns, deed, entry)) {
            let identity = identity(&entry);
            if hasher.hash_one(&identity) % parts == part {
                meant.insert(identity, entry);
            }
        }
        if let Deed::MoveTo(server) = deed {
            meant.retain(|_, entry| {
                let moved = moved(entry, server);
                services.bind(&moved).map_err(|why| *done.reasons.entry(why.to_string()).or_default() += 1).is_ok()
            });
        }
        let mut all = Count::default();
        meant.values().for_each(|entry| all.add(entry));
        for _ in 0..ATTEMPTS {
            if meant.is_empty() || is_over() {
                break;
            }
            for entry in meant.values() {
                send(deed, entry, &services, &mut injector)?;
            }
            injector.flush()?;
            session.display.progress(|| format!("{} of {} entries", done.done.total(), count.total()));
            if matches!(deed, Deed::Kill) {
                thread::sleep(SETTLED);
            }
            // What is there still, with its real server.
            let mut left = HashMap::new();
            for entry in connections(session)? {
                let identity = identity(&entry);
                let Some(sent) = meant.get(&identity) else { continue };
                if sent.destination == entry.destination {
                    left.insert(identity, entry);
                }
            }
            meant = left;
        }
        let mut left = Count::default();
        meant.values().for_each(|entry| left.add(entry));
        done.left.connections += left.connections;
        done.left.templates += left.templates;
        done.done.connections += all.connections - left.connections;
        done.done.templates += all.templates - left.templates;
        if is_over() {
            done.is_interrupted = true;
            break;
        }
    }
    Ok(injector.finish()?)
}

/// A template stays as long as the table has a connection that used it, such as one that has ended
/// and only waits for late packets.
fn end_what_is_over(conns: &Conns, session: &Session<'_, '_>, injector: &mut Injector) -> Result<(), Trouble> {
    const OVER: [&[u8]; 3] = [b"TIME_WAIT", b"CLOSE", b"CLOSED"];
    let is_over = |entry: &Connection| OVER.contains(&entry.state.as_bytes()) && !entry.is_template();
    for entry in connections(session)?.filter(|entry| is_over(entry) && conns.wanted.is_between(entry)) {
        if let Ok(sent) = Entry::try_from(&entry) {
            injector.push(&Entry { timeout: 1, ..sent })?;
        }
    }
    Ok(injector.flush()?)
}

fn identity(entry: &Connection) -> Identity {
    let Connection { client, target, engine, .. } = entry;
    Identity { client: *client, target: *target, engine: engine.clone() }
}

fn send(deed: Deed, entry: &Connection, services: &Services, injector: &mut Injector) -> Result<(), Trouble> {
    // What the table has in a state of no number can't be sent; it is left, and reported.
    let Ok(mut sent) = Entry::try_from(entry) else { return Ok(()) };
    match deed {
        Deed::Kill => {
            sent.timeout = 1;
            if let Some(closed) = closed(sent.protocol).filter(|_| !entry.is_template()) {
                // Another real server, which takes the place of the connection at once: this
                // machine, which rejects what comes.
                sent.destination = nobody(entry.client);
                sent.flags = LOCAL;
                sent.state = closed;
            }
            injector.push(&sent)?;
        }
        Deed::MoveTo(server) => {
            let moved = moved(entry, server);
            sent.destination = moved.destination;
            sent.mark = services.bind(&moved).unwrap_or_default();
            // Active, so that it takes the place of the other; then as the kernel counts UDP.
            sent.flags = EntryFlags::empty();
            injector.push(&sent)?;
            sent.flags = EntryFlags::INACTIVE;
            injector.push(&sent)?;
        }
    }
    Ok(())
}

fn moved(entry: &Connection, server: NewServer) -> Connection {
    let mut moved = entry.clone();
    moved.destination = server.at(entry);
    moved
}

/// The forwarding method 1, "local".
const LOCAL: EntryFlags = EntryFlags::from_bits_retain(1);

/// The state from which on a new connection of the same client and port is scheduled at once:
/// `CLOSE` of TCP, `CLOSED` of SCTP.
fn closed(protocol: Protocol) -> Option<u16> {
    match protocol {
        Protocol::TCP => Some(6),
        Protocol::SCTP => Some(13),
        _ => None,
    }
}

fn nobody(client: SocketAddr) -> SocketAddr {
    let ip = if client.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    SocketAddr::new(ip, 0)
}

impl Done {
    fn report(&self, deed: Deed, session: &mut Session<'_, '_>) -> String {
        let done = match deed {
            Deed::Kill => format!("ended {}", self.done.words()),
            Deed::MoveTo(_) => format!("moved {}", self.done.words()),
        };
        session.report(&done);
        for (reason, count) in &self.reasons {
            session.error(format!("not moved: {count} of: {reason}"));
        }
        if self.is_interrupted {
            session.error("a signal came before all were tried; the same command goes on");
        }
        let Count { connections, templates } = self.left;
        match deed {
            Deed::Kill if connections > 0 => session.error(format!(
                "{connections} connections are there still: packets came meanwhile. A flow of UDP with packets can't be \
                 ended, but --move-to gives it another real server"
            )),
            Deed::MoveTo(_) if connections > 0 => {
                session.error(format!("{connections} flows are with their old real server still"));
            }
            _ => {}
        }
        if templates > 0 {
            session.error(format!(
                "{templates} templates are there still: connections use them. Without --templates those are ended, too"
            ));
        }
        done
    }
}
