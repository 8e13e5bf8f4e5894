//! `--move-udp` and `--kill-after`: the connections of the real servers that are drained.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ipvs::proc::Connection;
use ipvs::{Family, Protocol, ServiceKey, Table, Weight};

use super::Clock;
use super::args::Drain;
use super::targets::Target;
use crate::session::{Session, Trouble, Wait};
use crate::subcommands::entries::services::Services;
use crate::subcommands::entries::{self, Count, Deed, Done, Task};

/// What is left to do, and what was done, for the log.
pub(super) struct Ending<'d> {
    drain: &'d Drain,
    clock: &'d Clock,
    /// When connections are ended; `None`: never, or it was done.
    at: Option<Instant>,
    pub(super) done: Vec<String>,
}

const NOT_ENDED: &str = "no connection was ended or moved, and the weights are 0; --wait SECONDS waits longer";

impl<'d> Ending<'d> {
    /// Finds out before anything is changed whether connections can be ended or moved at all.
    pub(super) fn prepare(drain: &'d Drain, clock: &'d Clock, session: &mut Session<'_, '_>) -> Result<Self, Trouble> {
        if drain.kill_after.is_some() || drain.move_udp {
            entries::check(session)?;
        }
        let at = drain.kill_after.and_then(|after| Instant::now().checked_add(after));
        Ok(Ending { drain, clock, at, done: Vec::new() })
    }

    /// Ends what is left, once, if it is time to.
    pub(super) fn end_if_due(&mut self, targets: &[Target], session: &mut Session<'_, '_>) -> Result<(), Trouble> {
        if self.at.is_none_or(|at| Instant::now() < at) || self.clock.signal().is_some() {
            return Ok(());
        }
        self.at = None;
        let services = Services::new(session.director.table_without_statistics()?);
        let is_wanted = |entry: &Connection| is_of(targets, &services, entry);
        self.change(Task { deed: Deed::End, is_wanted: &is_wanted, holds: Some(&is_wanted) }, session)
    }

    /// Gives the flows of UDP to other real servers of their services, and ends the templates of
    /// UDP services, which would bring clients back.
    pub(super) fn move_udp(&mut self, targets: &[Target], session: &mut Session<'_, '_>) -> Result<(), Trouble> {
        let table = session.director.table_without_statistics()?;
        let others = Others::new(&table, targets);
        let services = Services::new(table);
        for key in others.without() {
            session.note(format!("{key}: no other real server has a weight; flows of UDP are not moved"));
        }
        let (wanted, to) = (
            |entry: &Connection| others.has(targets, &services, entry),
            |entry: &Connection| others.choose(targets, &services, entry),
        );
        self.change(Task { deed: Deed::Move(&to), is_wanted: &wanted, holds: None }, session)?;
        let templates = |entry: &Connection| is_udp_template(entry) && others.has(targets, &services, entry);
        self.change(Task { deed: Deed::End, is_wanted: &templates, holds: None }, session)
    }

    fn change(&mut self, task: Task<'_>, session: &mut Session<'_, '_>) -> Result<(), Trouble> {
        let Ending { drain, clock, .. } = *self;
        let is_over = || clock.signal().is_some();
        let wait = Wait { is_over: &is_over, otherwise: NOT_ENDED, ..Wait::new(drain.common.wait) };
        let _lock = session.lock(&wait)?;
        let count = task.count(session)?;
        if count.total() == 0 {
            return Ok(());
        }
        let mut done = Done::default();
        let result = task.run(count, session, &is_over, &mut done);
        let words = done.words(task.deed);
        // JSON is for programs.
        if drain.json {
            session.note(&words)
        } else {
            session.report(&words)
        }
        done.report_left(task.deed, session);
        self.done.push(words);
        result
    }
}

/// What would be moved and ended now.
pub(super) fn dry_run(targets: &[Target], drain: &Drain, session: &mut Session<'_, '_>) -> Result<(), Trouble> {
    for target in targets {
        let (weight, in_use) = (target.destination.weight, target.in_use);
        let set = if drain.keep_weight { String::new() } else { format!("would set weight 0, is {weight}; ") };
        session.report(format!("{target}: {set}{in_use}"));
    }
    let table = session.director.table_without_statistics()?;
    let others = Others::new(&table, targets);
    let services = Services::new(table);
    if drain.move_udp {
        let to = |entry: &Connection| others.choose(targets, &services, entry);
        let is_wanted = |entry: &Connection| others.has(targets, &services, entry);
        let flows = Task { deed: Deed::Move(&to), is_wanted: &is_wanted, holds: None }.count(session)?;
        let is_wanted = |entry: &Connection| is_udp_template(entry) && others.has(targets, &services, entry);
        let ended = Task { deed: Deed::End, is_wanted: &is_wanted, holds: None }.count(session)?;
        let both = Count { connections: flows.connections, templates: ended.templates };
        session.report(format!("would move flows of UDP and end their templates: {}", both.words()));
    }
    if let Some(after) = drain.kill_after {
        let is_wanted = |entry: &Connection| is_of(targets, &services, entry);
        let count = Task { deed: Deed::End, is_wanted: &is_wanted, holds: None }.count(session)?;
        session.report(format!("would end after {} s what is left of {}", seconds(after), count.words()));
    }
    Ok(())
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

fn is_udp_template(entry: &Connection) -> bool {
    entry.is_template() && matches!(entry.target, ServiceKey::Address { protocol: Protocol::UDP, .. })
}

/// Is it an entry of a real server that is waited for? Without a port, one has all.
fn is_of(targets: &[Target], services: &Services, entry: &Connection) -> bool {
    let is_at = |target: &&Target| {
        let at = target.drain.address();
        target.is_waiting() && (at == entry.destination || at.port() == 0 && at.ip() == entry.destination.ip())
    };
    let keys: Vec<_> = targets.iter().filter(is_at).map(|target| target.drain.service()).collect();
    !keys.is_empty() && services.are_meant(entry, &|key| keys.contains(&key))
}

/// The real servers that take flows, for each service.
struct Others {
    servers: Vec<(ServiceKey, Vec<(SocketAddr, Weight)>)>,
    /// A client's flows all go to one.
    hasher: RandomState,
}

impl Others {
    fn new(table: &Table, targets: &[Target]) -> Self {
        let mut servers: Vec<(ServiceKey, Vec<(SocketAddr, Weight)>)> = Vec::new();
        for key in targets.iter().map(|target| target.drain.service()) {
            if servers.iter().any(|(known, _)| *known == key) {
                continue;
            }
            let is_target = |at: SocketAddr| {
                targets.iter().any(|target| target.drain.service() == key && target.drain.address() == at)
            };
            let states = table.service(&key).into_iter().flat_map(|entry| entry.destinations());
            let all = states.map(|state| (state.destination.address, state.destination.weight));
            // Sync messages have one family.
            let takes = |(at, weight): &(SocketAddr, Weight)| {
                *weight != Weight::ZERO && !is_target(*at) && Family::of(at.ip()) == key.family()
            };
            servers.push((key, all.filter(takes).collect()));
        }
        Others { servers, hasher: RandomState::new() }
    }

    /// The services that have none.
    fn without(&self) -> impl Iterator<Item = ServiceKey> {
        self.servers.iter().filter(|(_, servers)| servers.is_empty()).map(|(key, _)| *key)
    }

    fn of(&self, targets: &[Target], services: &Services, entry: &Connection) -> &[(SocketAddr, Weight)] {
        if !is_of(targets, services, entry) {
            return &[];
        }
        let is_its = |(key, _): &&(ServiceKey, Vec<_>)| services.may_be_of(entry, *key);
        self.servers.iter().find(is_its).map_or(&[], |(_, servers)| servers)
    }

    fn has(&self, targets: &[Target], services: &Services, entry: &Connection) -> bool {
        !self.of(targets, services, entry).is_empty()
    }

    /// By its client, in proportion to the weights.
    fn choose(&self, targets: &[Target], services: &Services, entry: &Connection) -> SocketAddr {
        let servers = self.of(targets, services, entry);
        let weight = |weight: &Weight| u64::from(weight.get());
        let total: u64 = servers.iter().map(|(_, of)| weight(of)).sum();
        let mut rest = self.hasher.hash_one(entry.client.ip()) % total.max(1);
        for (at, of) in servers {
            if rest < weight(of) {
                let port = if at.port() == 0 { entry.destination.port() } else { at.port() };
                return SocketAddr::new(at.ip(), port);
            }
            rest -= weight(of);
        }
        entry.destination
    }
}
