//! Reads the kernel in a thread of its own, so that keys are obeyed however long that takes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use ipvs::proc::{Connection, Connections};
use ipvs::{Client, Counters, DestinationState, Error, ServiceKey, ServiceState, Weight};
use ipvs_text::escape;

use crate::state::notes::Notes;
use crate::subcommands::entries::order::{First, Sort};
use crate::subcommands::entries::row;

/// What is to be read.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// All services; without it only what follows.
    pub(super) services: bool,
    /// The destinations of these: the services on the screen.
    pub(super) visible: Vec<ServiceKey>,
    /// More of this one.
    pub(super) details: Option<ServiceKey>,
    pub(super) connections: Option<Page>,
    /// Count its connections by server and state.
    pub(super) states: bool,
}

/// Some of the connections of a service.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) first: usize,
    pub(super) lines: usize,
    pub(super) sort: Sort,
    pub(super) reverse: bool,
    /// All of these occur in the line of each.
    pub(super) words: Vec<String>,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// On the clock of the screen.
    pub(super) at: Duration,
    pub(super) services: Option<Vec<ServiceState>>,
    pub(super) destinations: Vec<(ServiceKey, Vec<DestinationState>)>,
    pub(super) details: Option<Details>,
    pub(super) took: Duration,
}

/// Of one service.
#[derive(Debug)]
pub(super) struct Details {
    pub(super) key: ServiceKey,
    /// By address.
    pub(super) destinations: Vec<DestinationState>,
    /// Those that `drain` has given weight 0.
    pub(super) drained: Vec<SocketAddr>,
    pub(super) connections: Option<Listed>,
    pub(super) states: Option<States>,
}

/// Some connections of one service.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Of the service, and how many of them have the words.
    pub(super) total: u64,
    pub(super) matching: usize,
    /// Which of those is the first here.
    pub(super) first: usize,
    pub(super) some: Vec<Connection>,
    /// They can't be read.
    pub(super) trouble: Option<String>,
}

/// How many connections of each server are in which state; templates are none.
#[derive(Debug, Default)]
pub(super) struct States {
    pub(super) of: BTreeMap<SocketAddr, [u64; 5]>,
    pub(super) trouble: Option<String>,
}

/// The states that are counted by themselves.
pub(super) const STATES: [&str; 4] = ["ESTABLISHED", "SYN_RECV", "FIN_WAIT", "TIME_WAIT"];

/// How a service's destinations are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InUse {
    /// That new clients go to, and all.
    pub(super) up: usize,
    pub(super) total: usize,
    pub(super) active: u64,
    pub(super) inactive: u64,
}

impl InUse {
    pub(super) fn of(destinations: &[DestinationState]) -> Self {
        let mut sum = InUse { total: destinations.len(), ..InUse::default() };
        for state in destinations {
            sum.up += usize::from(state.destination.weight != Weight::ZERO && !is_full(state));
            sum.active += u64::from(state.active_connections);
            sum.inactive += u64::from(state.inactive_connections);
        }
        sum
    }
}

/// Has it as many connections as its upper threshold? (`ip_vs_dest_totalconns`.)
pub(super) fn is_full(state: &DestinationState) -> bool {
    let upper = state.destination.upper_threshold;
    upper > 0 && u64::from(state.active_connections) + u64::from(state.inactive_connections) >= u64::from(upper)
}

/// Serves requests until the sender is gone.
pub(super) fn serve(
    client: &mut Client,
    connections: &Path,
    state_directory: Option<&Path>,
    only: Option<ServiceKey>,
    begun: Instant,
    asked: &Receiver<Wanted>,
    answers: &Sender<Result<Reading, Error>>,
) {
    let mut counters = Counters::new();
    while let Ok(wanted) = asked.recv() {
        let reading = read(client, &mut counters, connections, state_directory, only, begun, &wanted);
        if answers.send(reading).is_err() {
            return;
        }
    }
}

fn read(
    client: &mut Client,
    counters: &mut Counters,
    connections: &Path,
    state_directory: Option<&Path>,
    only: Option<ServiceKey>,
    begun: Instant,
    wanted: &Wanted,
) -> Result<Reading, Error> {
    let started = begun.elapsed();
    let services = match only.filter(|_| wanted.services) {
        Some(key) => Some(present(client.service(&key))?.into_iter().collect()),
        None => wanted.services.then(|| counters.services(client)).transpose()?,
    };
    let at = begun.elapsed();
    let mut destinations = Vec::with_capacity(wanted.visible.len());
    for key in &wanted.visible {
        // Another program may have deleted the service since.
        destinations.extend(present(counters.destinations(client, key))?.map(|found| (*key, found)));
    }
    let details = match wanted.details {
        None => None,
        Some(key) => {
            let read = destinations.iter().find(|(visible, _)| *visible == key).map(|(_, found)| found.clone());
            let mut destinations = match read {
                Some(found) => found,
                None => present(counters.destinations(client, &key))?.unwrap_or_default(),
            };
            destinations.sort_unstable_by_key(|state| state.destination.address);
            let listed = wanted.connections.as_ref().map(|page| listed(connections, key, page));
            let states = wanted.states.then(|| states(connections, key));
            // What can't be read is shown as weight 0, which it is.
            let mut notes = Notes::read(state_directory).unwrap_or_default();
            notes.review(key, &destinations);
            let drained = notes.iter().filter(|(service, ..)| *service == key).map(|(_, server, _)| server).collect();
            Some(Details { key, destinations, drained, connections: listed, states })
        }
    };
    Ok(Reading { at, services, destinations, details, took: begun.elapsed().saturating_sub(started) })
}

/// `None`: it is not there.
fn present<T>(read: Result<T, Error>) -> Result<Option<T>, Error> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.errno() == Some(ipvs::Errno::ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The entries of a service; what is not understood is none of them.
fn entries(path: &Path, key: ServiceKey) -> Result<impl Iterator<Item = Connection>, String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", escape::path(path)))?;
    let understood = Connections::new(BufReader::with_capacity(64 << 10, file)).filter_map(Result::ok);
    Ok(understood.filter(move |connection| connection.target == key))
}

fn listed(path: &Path, key: ServiceKey, page: &Page) -> Listed {
    let mut listed = Listed { first: page.first, ..Listed::default() };
    let entries = match entries(path, key) {
        Ok(entries) => entries,
        Err(trouble) => return Listed { trouble: Some(trouble), ..listed },
    };
    // No more is kept than has to be sorted for this page.
    let mut first = First::new(page.sort, page.reverse, Some(page.first + page.lines));
    let mut line = Vec::new();
    for connection in entries {
        listed.total += 1;
        if !page.words.is_empty() {
            line.clear();
            row::text(&mut line, &connection);
            line.make_ascii_lowercase();
            if !page.words.iter().all(|word| memchr::memmem::find(&line, word.as_bytes()).is_some()) {
                continue;
            }
        }
        listed.matching += 1;
        first.add(connection);
    }
    listed.some = first.ordered().split_off(page.first.min(listed.matching));
    listed
}

fn states(path: &Path, key: ServiceKey) -> States {
    let mut states = States::default();
    match entries(path, key) {
        Ok(entries) => {
            for connection in entries.filter(|connection| !connection.is_template()) {
                let name = connection.state.as_bytes();
                let at = STATES.iter().position(|state| state.as_bytes() == name).unwrap_or(STATES.len());
                states.of.entry(connection.destination).or_default()[at] += 1;
            }
        }
        Err(trouble) => states.trouble = Some(trouble),
    }
    states
}
