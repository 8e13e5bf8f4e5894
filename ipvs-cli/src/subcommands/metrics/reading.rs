//! What is measured, read from the kernel.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::{Duration, Instant};

use ipvs::{
    Daemon, DestinationState, Info, Protocol, Report, ServiceKey, ServiceState, Timeouts,
    proc::{ConnectionState, Connections},
};
use ipvs_text::escape;

use super::args::Metrics;
use crate::director::Director;
use crate::session::Trouble;

/// All of one scrape.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) info: Info,
    pub(super) timeouts: Timeouts,
    pub(super) daemons: Vec<Daemon>,
    /// By identity; destinations by address.
    pub(super) services: Vec<(ServiceState, Vec<DestinationState>)>,
    pub(super) has_destinations: bool,
    pub(super) connections: Option<Census>,
    pub(super) took: Duration,
}

/// Connections and templates by state. The protocol of a firewall mark's templates is unknown.
#[derive(Debug, Default)]
pub(super) struct Census {
    pub(super) connections: BTreeMap<(Option<Protocol>, ConnectionState), u64>,
    pub(super) templates: BTreeMap<Option<Protocol>, u64>,
}

impl Reading {
    pub(super) fn take(director: &mut Director, connections: &Path, options: &Metrics) -> Result<Self, Trouble> {
        let begun = Instant::now();
        let connections = options.connections.then(|| Census::take(connections)).transpose()?;
        let client = director.client()?;
        // What it was first does not hold: the size changes.
        let info = client.info()?;
        let timeouts = client.timeouts()?;
        let daemons = client.daemons()?;
        let mut services = Vec::new();
        for state in client.services()? {
            let mut destinations = match options.destinations {
                true => client.destinations(&state.service.key())?,
                false => Vec::new(),
            };
            destinations.sort_unstable_by_key(|state| state.destination.address);
            services.push((state, destinations));
        }
        services.sort_unstable_by_key(|(state, _)| state.service.key());
        // Who adds one while the kernel lists them may make another appear twice, which no scraper
        // takes.
        services.dedup_by_key(|(state, _)| state.service.key());
        services.iter_mut().for_each(|(_, all)| all.dedup_by_key(|state| state.destination.address));
        let has_destinations = options.destinations;
        Ok(Reading { info, timeouts, daemons, services, has_destinations, connections, took: begun.elapsed() })
    }
}

impl Census {
    fn take(path: &Path) -> Result<Self, Trouble> {
        let failure = |error: String| Trouble::Other(format!("{}: {error}", escape::path(path)));
        let file = File::open(path).map_err(|error| failure(error.to_string()))?;
        let mut census = Census::default();
        for connection in Connections::new(BufReader::with_capacity(64 << 10, file)) {
            let connection = connection.map_err(|error| failure(Report::new(&error).to_string()))?;
            let protocol = match connection.target {
                ServiceKey::Address { protocol, .. } => Some(protocol),
                ServiceKey::Mark { .. } => None,
            };
            *match connection.is_template() {
                true => census.templates.entry(protocol).or_default(),
                false => census.connections.entry((protocol, connection.state)).or_default(),
            } += 1;
        }
        Ok(census)
    }
}
