//! The metrics: names, types, help and labels, as docs/metrics.md describes them.
//!
//! Prometheus adds labels of a target to each series, and renames the series' own labels of the
//! same names. So the labels that distinguish series have names that nobody gives a
//! target.

use ipvs::{DaemonRole, DestinationState, Family, Protocol, ServiceKey, ServiceState, Statistics};
use ipvs_text::exposition::{Format, Kind, Labels, Page};

use super::reading::Reading;

/// A family with a value for each service or destination.
type Row<T> = (&'static str, &'static str, fn(&T) -> u64);

const COUNTERS: [Row<Statistics>; 5] = [
    ("connections", "Connections scheduled", |counted| counted.connections),
    ("incoming_packets", "Packets from clients", |counted| counted.packets_in),
    ("outgoing_packets", "Packets to clients, with masquerading", |counted| counted.packets_out),
    ("incoming_bytes", "Bytes from clients", |counted| counted.bytes_in),
    ("outgoing_bytes", "Bytes to clients, with masquerading", |counted| counted.bytes_out),
];

const GAUGES: [Row<DestinationState>; 3] = [
    ("weight", "Share of new connections; 0 takes none", |state| state.destination.weight.get().into()),
    ("active_connections", "Established connections", |state| state.active_connections.into()),
    ("inactive_connections", "Connections being set up or closed; all of UDP", |state| {
        state.inactive_connections.into()
    }),
];

/// Those that an unprivileged reading does not have.
const PRIVILEGED_GAUGES: [Row<DestinationState>; 2] = [
    ("persistent_connections", "Clients that persistence holds here", |state| state.persistent_connections.into()),
    ("upper_threshold", "No new connections above this many; 0 is no limit", |state| {
        state.destination.upper_threshold.into()
    }),
];

const SERVICES: [Row<Vec<DestinationState>>; 2] = [
    ("destinations", "Real servers", |all| all.len() as u64),
    (
        "usable_destinations",
        "Real servers that take new connections: weight above 0, and below the upper threshold",
        |all| all.iter().filter(|state| is_usable(state)).count() as u64,
    ),
];

/// The kernel gives it new connections. Once a server has been at its upper threshold, it gets none
/// until it is below the lower one, which the kernel does not show.
fn is_usable(state: &DestinationState) -> bool {
    let upper = state.destination.upper_threshold;
    let connections = u64::from(state.active_connections) + u64::from(state.inactive_connections);
    state.destination.weight.get() > 0 && (upper == 0 || connections < upper.into())
}

/// A director, and the text of its labels.
pub(super) struct Scraped {
    base: Labels,
    /// `None`: it can't be read.
    reading: Option<Reading>,
    /// One for each service, and one for each destination of each, if those are written.
    services: Vec<Labels>,
    destinations: Vec<Labels>,
}

impl Scraped {
    /// `namespace`: where several directors are read.
    pub(super) fn new(namespace: Option<&str>, reading: Option<Reading>, has_destinations: bool) -> Self {
        let base = namespace.map_or_else(Labels::default, |name| Labels::default().with("netns", &name));
        let all = reading.as_ref().map_or(&[][..], |reading| &reading.services);
        let services: Vec<_> = all.iter().map(|(state, _)| service(&base, &state.service.key())).collect();
        let mut destinations = Vec::new();
        if has_destinations {
            for (labels, (_, states)) in services.iter().zip(all) {
                destinations
                    .extend(states.iter().map(|state| labels.clone().with("destination", &state.destination.address)));
            }
        }
        Scraped { base, reading, services, destinations }
    }

    fn services(&self) -> impl Iterator<Item = (&Labels, &(ServiceState, Vec<DestinationState>))> {
        self.services.iter().zip(self.reading.iter().flat_map(|reading| &reading.services))
    }

    fn destinations(&self) -> impl Iterator<Item = (&Labels, &DestinationState)> {
        self.destinations.iter().zip(self.reading.iter().flat_map(|reading| &reading.services).flat_map(|(_, all)| all))
    }

    fn is_privileged(&self) -> bool {
        self.reading.as_ref().is_some_and(|reading| reading.settings.is_some())
    }
}

/// Writes all of it.
pub(super) fn write(scraped: &[Scraped], format: Format, capacity: usize) -> Vec<u8> {
    let mut page = Page::with_capacity(format, capacity);
    let labels = Labels::default().with("version", &env!("CARGO_PKG_VERSION"));
    page.family(Kind::Gauge, "ipvs_cli_build_info", "The program that writes this; always 1").count(&labels, 1);
    let mut family = page.family(Kind::Gauge, "ipvs_up", "Whether the director can be read");
    for director in scraped {
        family.count(&director.base, director.reading.is_some().into());
    }
    directors(&mut page, scraped);
    services(&mut page, scraped);
    if scraped.iter().any(|director| !director.destinations.is_empty()) {
        destinations(&mut page, scraped);
    }
    connections(&mut page, scraped);
    let readings = || scraped.iter().filter_map(|director| Some((&director.base, director.reading.as_ref()?)));
    if readings().any(|(_, reading)| reading.changed.is_some()) {
        let help = "When a scrape first found the director configured otherwise than the scrape before";
        let mut family = page.family(Kind::Gauge, "ipvs_change_seen_timestamp_seconds", help);
        for (base, reading) in readings() {
            let since = reading.changed.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
            if let Some(since) = since {
                family.seconds(base, since);
            }
        }
    }
    let mut family = page.family(Kind::Gauge, "ipvs_scrape_duration_seconds", "How long reading the director took");
    for (base, reading) in readings() {
        family.seconds(base, reading.took);
    }
    page.finish()
}

fn directors(page: &mut Page, scraped: &[Scraped]) {
    let readings = || scraped.iter().filter_map(|director| Some((&director.base, director.reading.as_ref()?)));
    let settings = || readings().filter_map(|(base, reading)| Some((base, reading.settings.as_ref()?)));
    let help = "Whether all could be read; 0 without CAP_NET_ADMIN";
    let mut family = page.family(Kind::Gauge, "ipvs_scrape_privileged", help);
    for (base, reading) in readings() {
        family.count(base, reading.settings.is_some().into());
    }
    let mut family = page.family(Kind::Gauge, "ipvs_info", "The kernel's IPVS; always 1");
    for (base, settings) in settings() {
        family.count(&base.clone().with("version", &settings.info.version), 1);
    }
    let mut family = page.family(Kind::Gauge, "ipvs_connection_table_buckets", "Buckets of the connection table");
    for (base, settings) in settings() {
        family.count(base, settings.info.connection_table_size.into());
    }
    let filled = || readings().filter_map(|(base, reading)| Some((base, reading.status?.connections)));
    if filled().next().is_some() {
        let help = "Entries of the connection table: connections and persistence templates";
        let mut family = page.family(Kind::Gauge, "ipvs_connection_table_entries", help);
        filled().for_each(|(base, table)| family.count(base, table.entries.into()));
        let help = "Entries of the fullest bucket of the connection table; 7 is 7 or more";
        let mut family = page.family(Kind::Gauge, "ipvs_connection_table_longest_chain", help);
        filled().for_each(|(base, table)| family.count(base, table.longest() as u64));
    }
    let mut family = page.family(Kind::Gauge, "ipvs_timeout_seconds", "Timeouts of connections");
    for (base, settings) in settings() {
        let timeouts = settings.timeouts;
        for (kind, seconds) in [("tcp", timeouts.tcp), ("tcp_fin", timeouts.tcp_fin), ("udp", timeouts.udp)] {
            if let Some(seconds) = seconds {
                family.count(&base.clone().with("kind", &kind), seconds.into());
            }
        }
    }
    let mut family = page.family(Kind::Gauge, "ipvs_sync_daemon_running", "Whether a sync daemon of this role runs");
    for (base, settings) in settings() {
        for role in [DaemonRole::Master, DaemonRole::Backup] {
            let runs = settings.daemons.iter().any(|daemon| daemon.role == role);
            family.count(&base.clone().with("sync_role", &role), runs.into());
        }
    }
    let mut family = page.family(Kind::Gauge, "ipvs_sync_daemon_info", "The sync daemons that run; always 1");
    for (base, settings) in settings() {
        for daemon in &settings.daemons {
            let labels = base.clone().with("sync_role", &daemon.role).with("interface", &daemon.interface);
            family.count(&labels.with("sync_id", &daemon.sync_id), 1);
        }
    }
    let mut family = page.family(Kind::Gauge, "ipvs_services", "Virtual services");
    for (base, reading) in readings() {
        family.count(base, reading.services.len() as u64);
    }
    counters(page, "director", || readings().filter_map(|(base, reading)| Some((base, reading.totals.as_ref()?))));
}

fn services(page: &mut Page, scraped: &[Scraped]) {
    let all = || scraped.iter().flat_map(Scraped::services);
    let mut family = page.family(Kind::Gauge, "ipvs_service_info", "The virtual services, taken apart; always 1");
    for director in scraped {
        for (labels, (state, _)) in director.services() {
            family.count(&parts(labels, state, director.is_privileged()), 1);
        }
    }
    for (name, help, of) in SERVICES {
        let mut family = page.family(Kind::Gauge, &format!("ipvs_service_{name}"), help);
        all().for_each(|(labels, (_, destinations))| family.count(labels, of(destinations)));
    }
    counters(page, "service", || all().filter_map(|(labels, (state, _))| Some((labels, state.statistics.as_ref()?))));
}

fn destinations(page: &mut Page, scraped: &[Scraped]) {
    let all = || scraped.iter().flat_map(Scraped::destinations);
    let privileged = || scraped.iter().filter(|director| director.is_privileged()).flat_map(Scraped::destinations);
    let help = "How packets reach the destinations; always 1";
    let mut family = page.family(Kind::Gauge, "ipvs_destination_info", help);
    for (labels, state) in privileged() {
        family.count(&labels.clone().with("forwarding", &state.destination.forwarding), 1);
    }
    for (name, help, of) in GAUGES {
        let mut family = page.family(Kind::Gauge, &format!("ipvs_destination_{name}"), help);
        all().for_each(|(labels, state)| family.count(labels, of(state)));
    }
    for (name, help, of) in PRIVILEGED_GAUGES {
        let mut family = page.family(Kind::Gauge, &format!("ipvs_destination_{name}"), help);
        privileged().for_each(|(labels, state)| family.count(labels, of(state)));
    }
    counters(page, "destination", || all().filter_map(|(labels, state)| Some((labels, state.statistics.as_ref()?))));
}

fn connections(page: &mut Page, scraped: &[Scraped]) {
    let all = || {
        scraped.iter().filter_map(|director| Some((&director.base, director.reading.as_ref()?.connections.as_ref()?)))
    };
    if all().next().is_none() {
        return;
    }
    let help = "Entries of the connection table that are connections";
    let mut family = page.family(Kind::Gauge, "ipvs_connections", help);
    for (base, census) in all() {
        for ((protocol, state), count) in &census.connections {
            family.count(&protocol_label(base.clone(), *protocol).with("state", state), *count);
        }
    }
    let help = "Entries by which persistence remembers clients";
    let mut family = page.family(Kind::Gauge, "ipvs_templates", help);
    for (base, census) in all() {
        for (protocol, count) in &census.templates {
            family.count(&protocol_label(base.clone(), *protocol), *count);
        }
    }
}

/// Five families of counters.
fn counters<'s, I: Iterator<Item = (&'s Labels, &'s Statistics)>>(page: &mut Page, of_what: &str, all: impl Fn() -> I) {
    for (name, help, of) in COUNTERS {
        let mut family = page.family(Kind::Counter, &format!("ipvs_{of_what}_{name}"), help);
        all().for_each(|(labels, statistics)| family.count(labels, of(statistics)));
    }
}

/// One label that is the service's identity: no two services of a director have the same.
fn service(base: &Labels, key: &ServiceKey) -> Labels {
    base.clone().with("virtual_service", key)
}

/// The same, with all labels to select by.
fn parts(identity: &Labels, state: &ServiceState, is_privileged: bool) -> Labels {
    let key = state.service.key();
    let family = match key.family() {
        // The family of a mark is not shown to everybody.
        Family::V4 if !is_privileged && matches!(key, ServiceKey::Mark { .. }) => "",
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    let labels = identity.clone().with("family", &family);
    let labels = match key {
        ServiceKey::Address { protocol, at } => {
            protocol_label(labels, Some(protocol)).with("virtual_address", &at.ip()).with("virtual_port", &at.port())
        }
        ServiceKey::Mark { mark, .. } => protocol_label(labels, None).with("mark", &mark),
    };
    labels.with("scheduler", &state.service.scheduler)
}

fn protocol_label(labels: Labels, protocol: Option<Protocol>) -> Labels {
    match protocol {
        Some(protocol) => labels.with("protocol", &protocol),
        None => labels.with("protocol", &"mark"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::{Duration, UNIX_EPOCH};

    use ipvs::{Destination, Service, proc::Status};

    use super::*;

    fn server(active: u32, inactive: u32, weight: u32, upper: u32) -> DestinationState {
        let destination = Destination::new("192.0.2.11:80".parse().unwrap())
            .with_weight(ipvs::Weight::new(weight).unwrap())
            .with_upper_threshold(upper);
        let mut state = DestinationState::new(destination);
        (state.active_connections, state.inactive_connections) = (active, inactive);
        state
    }

    #[test]
    fn a_server_is_usable_if_it_takes_new_connections() {
        for (active, inactive, weight, upper, usable) in
            [(0, 0, 1, 0, true), (9, 9, 1, 0, true), (0, 0, 0, 0, false), (1, 1, 1, 3, true), (1, 2, 1, 3, false)]
        {
            assert_eq!(is_usable(&server(active, inactive, weight, upper)), usable);
        }
    }

    fn director(key: &str) -> Reading {
        let mut state = ServiceState::new(Service::new(key.parse().unwrap()));
        state.statistics.as_mut().unwrap().connections = 5;
        let mut totals = Statistics::default();
        totals.connections = 7;
        Reading {
            totals: Some(totals),
            status: Status::parse("Conns:\t3\nConn buckets len-2:\t1 (100%)\n").ok(),
            services: vec![(state, vec![server(0, 0, 1, 0)])],
            changed: Some(UNIX_EPOCH + Duration::from_millis(1500)),
            ..Reading::default()
        }
    }

    /// A format that has a family in two pieces is refused.
    #[test]
    fn several_directors_share_each_family() {
        let directors = [("blue", Some("mark 7")), ("green", Some("mark 7")), ("red", None)];
        let scraped = directors.map(|(name, key)| Scraped::new(Some(name), key.map(director), true));
        let text = String::from_utf8(write(&scraped, Format::OpenMetrics, 0)).unwrap();
        let titles: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
        assert_eq!(titles.iter().collect::<HashSet<_>>().len(), titles.len(), "{text}");
        for line in [
            "ipvs_up{netns=\"green\"} 1",
            "ipvs_up{netns=\"red\"} 0",
            "ipvs_scrape_privileged{netns=\"blue\"} 0",
            "ipvs_director_connections_total{netns=\"blue\"} 7",
            "ipvs_connection_table_entries{netns=\"blue\"} 3",
            "ipvs_connection_table_longest_chain{netns=\"blue\"} 2",
            "ipvs_change_seen_timestamp_seconds{netns=\"blue\"} 1.500000",
            "ipvs_service_connections_total{netns=\"green\",virtual_service=\"mark 7\"} 5",
            "ipvs_service_info{netns=\"blue\",virtual_service=\"mark 7\",protocol=\"mark\",mark=\"7\",scheduler=\"wlc\"} 1",
            "ipvs_destination_weight{netns=\"green\",virtual_service=\"mark 7\",destination=\"192.0.2.11:80\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains("upper_threshold{"), "what /proc does not show is left out: {text}");
    }
}
