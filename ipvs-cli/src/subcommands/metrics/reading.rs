//! What is measured, read from the kernel.

use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::BufReader;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use ipvs::{
    Client, Counters, Daemon, Destination, DestinationState, Error, Family, Forwarding, Info, Protocol, Report,
    Service, ServiceKey, ServiceState, Statistics, Timeouts, Tunnel,
    proc::{self, ConnectionState, Connections, Status},
};
use ipvs_text::escape;

use super::args::Metrics;
use crate::director::{Director, is_unavailable};
use crate::session::Trouble;

/// All of one scrape of one director.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// What only a privileged reading has.
    pub(super) settings: Option<Settings>,
    /// The counters of the whole director, where there is `/proc`.
    pub(super) totals: Option<Statistics>,
    /// How full the kernel's tables are, where it shows that.
    pub(super) status: Option<Status>,
    /// By identity; destinations by address.
    pub(super) services: Vec<(ServiceState, Vec<DestinationState>)>,
    pub(super) connections: Option<Census>,
    /// When a reading first differed from the one before.
    pub(super) changed: Option<SystemTime>,
    pub(super) took: Duration,
}

#[derive(Debug)]
pub(super) struct Settings {
    pub(super) info: Info,
    pub(super) timeouts: Timeouts,
    pub(super) daemons: Vec<Daemon>,
}

/// Connections and templates by state. The protocol of a firewall mark's templates is unknown.
#[derive(Debug, Default)]
pub(super) struct Census {
    pub(super) connections: BTreeMap<(Option<Protocol>, ConnectionState), u64>,
    pub(super) templates: BTreeMap<Option<Protocol>, u64>,
}

impl Reading {
    /// `connections` is the kernel's list of connections. With `proc` the files of this thread's
    /// `/proc` may be read.
    pub(super) fn take(
        director: &mut Director,
        counters: &mut Counters,
        connections: &Path,
        proc: bool,
        options: &Metrics,
    ) -> Result<Self, Trouble> {
        let begun = Instant::now();
        let mut reading = match director.client().and_then(|client| Self::privileged(client, counters, options)) {
            Err(refused) if proc && is_unavailable(&refused) => Self::unprivileged(refused)?,
            read => read?,
        };
        reading.services.sort_unstable_by_key(|(state, _)| state.service.key());
        // Who adds one while the kernel lists them may make another appear twice, which no scraper
        // takes.
        reading.services.dedup_by_key(|(state, _)| state.service.key());
        for (_, all) in &mut reading.services {
            all.sort_unstable_by_key(|state| state.destination.address);
            all.dedup_by_key(|state| state.destination.address);
        }
        // After the module has been loaded.
        reading.totals = if proc { proc::totals().ok() } else { None };
        reading.status = if proc { Status::read().ok().flatten() } else { None };
        reading.connections = options.connections.then(|| Census::take(connections)).transpose()?;
        reading.took = begun.elapsed();
        Ok(reading)
    }

    fn privileged(client: &mut Client, counters: &mut Counters, options: &Metrics) -> Result<Self, Error> {
        // What it was first does not hold: the size changes.
        let settings = Settings { info: client.info()?, timeouts: client.timeouts()?, daemons: client.daemons()? };
        if options.destinations {
            let services = counters.all(client)?;
            return Ok(Reading { settings: Some(settings), services, ..Reading::default() });
        }
        let mut services = Vec::new();
        for state in counters.services(client)? {
            services.push((state, client.destinations_without_statistics(&state.service.key())?));
        }
        Ok(Reading { settings: Some(settings), services, ..Reading::default() })
    }

    /// What `/proc` shows to everybody: no thresholds, no kinds of tunnels, no counters of
    /// services, and not the family of a mark.
    fn unprivileged(refused: Error) -> Result<Self, Trouble> {
        let Ok(table) = proc::Table::read() else { return Err(Trouble::Kernel(refused)) };
        let services = table.services.into_iter().map(|service| {
            let key = match service.key {
                proc::Key::Address { protocol, at } => ServiceKey::Address { protocol, at },
                proc::Key::Mark(mark) => ServiceKey::Mark { mark, family: Family::V4 },
            };
            let mut state = ServiceState::new(Service::new(key).with_scheduler(service.scheduler));
            state.statistics = None;
            (state, service.destinations.into_iter().map(destination).collect())
        });
        Ok(Reading { services: services.collect(), ..Reading::default() })
    }

    /// A number for how the director is configured.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        if let Some(Settings { timeouts, daemons, .. }) = &self.settings {
            (timeouts, daemons).hash(&mut hasher);
        }
        for (state, destinations) in &self.services {
            state.service.hash(&mut hasher);
            destinations.len().hash(&mut hasher);
            destinations.iter().for_each(|state| state.destination.hash(&mut hasher));
        }
        hasher.finish()
    }
}

fn destination(listed: proc::Destination) -> DestinationState {
    let forwarding = match listed.forwarding {
        proc::Forwarding::Masquerade => Forwarding::Masquerade,
        proc::Forwarding::Local => Forwarding::Local,
        // Its kind is not shown.
        proc::Forwarding::Tunnel => Forwarding::Tunnel(Tunnel::Ipip),
        proc::Forwarding::Bypass => Forwarding::Bypass,
        _ => Forwarding::DirectRoute,
    };
    let destination = Destination::new(listed.address).with_forwarding(forwarding).with_weight(listed.weight);
    let mut state = DestinationState::new(destination);
    state.active_connections = listed.active_connections;
    state.inactive_connections = listed.inactive_connections;
    state.statistics = None;
    state
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
