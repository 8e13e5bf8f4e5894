//! Ends entries of the kernel's table, or gives them another real server.
//!
//! Only what was in the table at the start is touched. It is taken in parts, by a hash of the
//! entry, so that memory does not grow with the table and no entry is touched twice.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use ipvs::Protocol;
use ipvs::ServiceKey;
use ipvs::desired::parts::{Fields, Scalar};
use ipvs::proc::{Connection, EngineData};
use ipvs::sync::{Entry, EntryFlags};

use super::services::Services;
use super::{each, start};
use crate::director::injection::Injector;
use crate::session::{Session, Trouble};

/// The most that is under way at a time, roughly.
const PART: u64 = 32_768;

/// How often an entry is sent.
const ATTEMPTS: usize = 3;

/// The kernel needs a second for an entry whose time is over, and its timers are a little late.
const SETTLED: Duration = Duration::from_millis(1300);

/// What is done to entries.
#[derive(Clone, Copy)]
pub(in crate::subcommands) enum Deed<'d> {
    End,
    /// Only to flows of UDP, to this real server. What TCP and SCTP have agreed on, another real
    /// server does not know.
    Move(&'d dyn Fn(&Connection) -> SocketAddr),
}

/// Which entries are changed, and how.
#[derive(Clone, Copy)]
pub(in crate::subcommands) struct Task<'t> {
    pub(in crate::subcommands) deed: Deed<'t>,
    pub(in crate::subcommands) is_wanted: &'t dyn Fn(&Connection) -> bool,
    /// Of these connections, those that are over are ended first: they would hold the templates.
    pub(in crate::subcommands) holds: Option<&'t dyn Fn(&Connection) -> bool>,
}

/// What makes an entry the one it is, beside its real server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Identity {
    client: SocketAddr,
    target: ServiceKey,
    engine: Option<EngineData>,
}

type Entries = HashMap<Identity, Connection>;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::subcommands) struct Count {
    pub(in crate::subcommands) connections: u64,
    pub(in crate::subcommands) templates: u64,
}

impl Count {
    pub(in crate::subcommands) fn add(&mut self, connection: &Connection) {
        if connection.is_template() { self.templates += 1 } else { self.connections += 1 }
    }

    fn of<'e>(entries: impl IntoIterator<Item = &'e Connection>) -> Self {
        let mut count = Count::default();
        entries.into_iter().for_each(|entry| count.add(entry));
        count
    }

    pub(in crate::subcommands) fn total(self) -> u64 {
        self.connections + self.templates
    }

    pub(in crate::subcommands) fn fields(self) -> Fields {
        vec![("connections", Scalar::Integer(self.connections)), ("templates", Scalar::Integer(self.templates))]
    }

    pub(in crate::subcommands) fn words(self) -> String {
        let of = |count: u64, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
        format!("{} and {}", of(self.connections, "connection"), of(self.templates, "template"))
    }
}

/// What became of them.
#[derive(Debug, Default)]
pub(in crate::subcommands) struct Done {
    done: Count,
    left: Count,
    /// Why entries were not tried.
    reasons: HashMap<String, u64>,
    pub(in crate::subcommands) is_interrupted: bool,
}

impl Task<'_> {
    /// The entries that it would change now.
    pub(in crate::subcommands) fn count(&self, session: &Session<'_, '_>) -> Result<Count, Trouble> {
        let mut count = Count::default();
        each(session, |entry| {
            if self.is_meant(&entry) {
                count.add(&entry);
            }
        })?;
        Ok(count)
    }

    /// An ended connection stays in the table for a second, without a real server.
    fn is_meant(&self, entry: &Connection) -> bool {
        let is_ended = entry.destination.ip().is_unspecified();
        let is_for = |deed| match deed {
            Deed::End => true,
            Deed::Move(to) => {
                let is_udp = matches!(entry.target, ServiceKey::Address { protocol: Protocol::UDP, .. });
                is_udp && !entry.is_template() && to(entry) != entry.destination
            }
        };
        !is_ended && (self.is_wanted)(entry) && is_for(self.deed)
    }

    /// Changes them, of which there are `count`. The caller holds the lock of the director.
    pub(in crate::subcommands) fn run(
        &self,
        count: Count,
        session: &mut Session<'_, '_>,
        is_over: &dyn Fn() -> bool,
        done: &mut Done,
    ) -> Result<(), Trouble> {
        let services = Services::new(session.director.table_without_statistics()?);
        let mut injector = start(session)?;
        if let Some(holds) = self.holds {
            end_what_is_over(holds, session, &mut injector)?;
        }
        let parts = count.total().div_ceil(PART);
        let hasher = RandomState::new();
        for part in 0..parts {
            let is_in_part = |identity: &Identity| hasher.hash_one(identity) % parts == part;
            let mut meant = self.meant(is_in_part, session)?;
            if let Deed::Move(to) = self.deed {
                meant.retain(|_, entry| {
                    let bound = services.bind(&moved(entry, to));
                    bound.map_err(|why| *done.reasons.entry(why.to_string()).or_default() += 1).is_ok()
                });
            }
            let all = Count::of(meant.values());
            for _ in 0..ATTEMPTS {
                if meant.is_empty() || is_over() {
                    break;
                }
                for entry in meant.values() {
                    self.send(entry, &services, &mut injector)?;
                }
                injector.flush()?;
                session.display.progress(|| format!("{} of {} entries", done.done.total(), count.total()));
                if matches!(self.deed, Deed::End) {
                    thread::sleep(SETTLED);
                }
                meant = unchanged(&meant, session)?;
            }
            done.add(all, Count::of(meant.values()));
            if is_over() {
                done.is_interrupted = true;
                break;
            }
        }
        Ok(injector.finish()?)
    }

    /// The entries of a part that are to be changed.
    fn meant(&self, is_in_part: impl Fn(&Identity) -> bool, session: &Session<'_, '_>) -> Result<Entries, Trouble> {
        let mut meant = Entries::new();
        each(session, |entry| {
            let identity = identity(&entry);
            if self.is_meant(&entry) && is_in_part(&identity) {
                meant.insert(identity, entry);
            }
        })?;
        Ok(meant)
    }

    fn send(&self, entry: &Connection, services: &Services, injector: &mut Injector) -> Result<(), Trouble> {
        // What the table has in a state of no number can't be sent; it is left, and reported.
        let Ok(mut sent) = Entry::try_from(entry) else { return Ok(()) };
        match self.deed {
            Deed::End => {
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
            Deed::Move(to) => {
                let moved = moved(entry, to);
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
}

/// A template stays as long as the table has a connection that used it, such as one that has ended
/// and only waits for late packets.
fn end_what_is_over(
    holds: &dyn Fn(&Connection) -> bool,
    session: &Session<'_, '_>,
    injector: &mut Injector,
) -> Result<(), Trouble> {
    const OVER: [&[u8]; 3] = [b"TIME_WAIT", b"CLOSE", b"CLOSED"];
    let is_over = |entry: &Connection| OVER.contains(&entry.state.as_bytes()) && !entry.is_template();
    let mut pushed = Ok(());
    each(session, |entry| {
        if is_over(&entry)
            && holds(&entry)
            && pushed.is_ok()
            && let Ok(mut sent) = Entry::try_from(&entry)
        {
            sent.timeout = 1;
            pushed = injector.push(&sent);
        }
    })?;
    pushed?;
    Ok(injector.flush()?)
}

/// Those of the sent entries that are still in the table with their real server.
fn unchanged(sent: &Entries, session: &Session<'_, '_>) -> Result<Entries, Trouble> {
    let mut unchanged = HashMap::new();
    each(session, |entry| {
        let identity = identity(&entry);
        if sent.get(&identity).is_some_and(|sent| sent.destination == entry.destination) {
            unchanged.insert(identity, entry);
        }
    })?;
    Ok(unchanged)
}

fn identity(entry: &Connection) -> Identity {
    let Connection { client, target, engine, .. } = entry;
    Identity { client: *client, target: *target, engine: engine.clone() }
}

fn moved(entry: &Connection, to: &dyn Fn(&Connection) -> SocketAddr) -> Connection {
    let mut moved = entry.clone();
    moved.destination = to(entry);
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
    /// Adds the outcome of a part.
    fn add(&mut self, all: Count, left: Count) {
        self.left.connections += left.connections;
        self.left.templates += left.templates;
        self.done.connections += all.connections - left.connections;
        self.done.templates += all.templates - left.templates;
    }

    pub(in crate::subcommands) fn is_complete(&self) -> bool {
        self.left.total() == 0 && self.reasons.is_empty() && !self.is_interrupted
    }

    pub(in crate::subcommands) fn has_begun(&self) -> bool {
        self.done.total() > 0
    }

    /// What was done.
    pub(in crate::subcommands) fn words(&self, deed: Deed<'_>) -> String {
        let verb = if matches!(deed, Deed::End) { "ended" } else { "moved" };
        format!("{verb} {}", self.done.words())
    }

    /// Reports what was not done.
    pub(in crate::subcommands) fn report_left(&self, deed: Deed<'_>, session: &mut Session<'_, '_>) {
        for (reason, count) in &self.reasons {
            session.error(format!("not moved: {count} of: {reason}"));
        }
        if self.is_interrupted {
            session.error("a signal came before all were tried; the same command goes on");
        }
        let Count { connections, templates } = self.left;
        let of = |count: u64, one: &str| match count {
            1 => format!("1 {one} is"),
            _ => format!("{count} {one}s are"),
        };
        match deed {
            Deed::End if connections > 0 => session.error(format!(
                "sent {ATTEMPTS} times, but {} still there: packets came meanwhile, or what was sent to the kernel was \
                 lost. The same command tries again. A flow of UDP with packets can't be ended; `conns --move-to` gives \
                 it another real server",
                of(connections, "connection")
            )),
            Deed::Move(_) if connections > 0 => {
                session.error(format!("{} still with the old real server", of(connections, "flow")));
            }
            _ => {}
        }
        if templates > 0 {
            session.error(format!(
                "connections use templates, so {} still there. `conns --kill` without `--templates` ends both",
                of(templates, "template")
            ));
        }
    }
}
