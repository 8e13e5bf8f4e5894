//! Reads the kernel in a thread of its own, so that keys are obeyed however long that takes.

use std::fs::File;
use std::io::BufReader;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use ipvs::proc::Connections;
use ipvs::{Client, DestinationState, Error, ServiceKey, ServiceState};
use ipvs_text::escape;

use crate::state::notes::Notes;

/// What is to be read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    /// All services; without it only what follows.
    pub(super) services: bool,
    /// This one's destinations.
    pub(super) details: Option<ServiceKey>,
    /// Some of its connections, and the number of all.
    pub(super) connections: Option<usize>,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// On the clock of the screen.
    pub(super) at: Duration,
    pub(super) services: Option<Vec<ServiceState>>,
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
}

/// Some connections of one service.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) total: u64,
    pub(super) some: Vec<ipvs::proc::Connection>,
    /// They can't be read.
    pub(super) trouble: Option<String>,
}

/// Serves requests until the sender is gone.
pub(super) fn serve(
    client: &mut Client,
    connections: &Path,
    state_directory: Option<&Path>,
    begun: Instant,
    asked: &Receiver<Wanted>,
    answers: &Sender<Result<Reading, Error>>,
) {
    while let Ok(wanted) = asked.recv() {
        let reading = read(client, connections, state_directory, begun, wanted);
        if answers.send(reading).is_err() {
            return;
        }
    }
}

fn read(
    client: &mut Client,
    connections: &Path,
    state_directory: Option<&Path>,
    begun: Instant,
    wanted: Wanted,
) -> Result<Reading, ipvs::Error> {
    let started = begun.elapsed();
    let services = wanted.services.then(|| client.services()).transpose()?;
    let at = begun.elapsed();
    let details = match wanted.details {
        None => None,
        Some(key) => {
            let mut destinations = client.destinations(&key)?;
            destinations.sort_unstable_by_key(|state| state.destination.address);
            let connections = wanted.connections.map(|count| listed(connections, key, count));
            // What can't be read is shown as weight 0, which it is.
            let mut notes = Notes::read(state_directory).unwrap_or_default();
            notes.review(key, &destinations);
            let drained = notes.iter().filter(|(service, ..)| *service == key).map(|(_, server, _)| server).collect();
            Some(Details { key, destinations, drained, connections })
        }
    };
    Ok(Reading { at, services, details, took: begun.elapsed().saturating_sub(started) })
}

fn listed(path: &Path, key: ServiceKey, count: usize) -> Listed {
    let mut listed = Listed::default();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return Listed { trouble: Some(format!("{}: {error}", escape::path(path))), ..listed },
    };
    // A line that is not understood is none of a service's.
    let understood = Connections::new(BufReader::with_capacity(64 << 10, file)).filter_map(Result::ok);
    for connection in understood.filter(|connection| connection.target == key) {
        listed.total += 1;
        if listed.some.len() < count {
            listed.some.push(connection);
        }
    }
    listed
}
