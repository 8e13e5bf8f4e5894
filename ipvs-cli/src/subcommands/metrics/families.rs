//! The metrics: names, types, help and labels, as docs/metrics.md describes them.
//!
//! Names that come from the kernel, such as those of interfaces, may be any bytes. OpenMetrics has
//! no escape for control characters, so they are shown as everywhere.

use std::fmt;
use std::sync::Arc;

use ipvs::{DaemonRole, DestinationState, Family, Protocol, ServiceKey, ServiceState, Statistics};
use ipvs_text::escape;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::reading::{Census, Reading};

/// Writes a reading.
#[derive(Debug, Clone)]
pub(super) struct Families(pub(super) Arc<Reading>);

/// A family with a value for each service or destination.
type Row<T> = (&'static str, &'static str, fn(&T) -> u64);

const COUNTERS: [Row<Statistics>; 5] = [
    ("connections", "Connections scheduled", |counted| counted.connections),
    ("incoming_packets", "Packets from clients", |counted| counted.packets_in),
    ("outgoing_packets", "Packets to clients, with masquerading", |counted| counted.packets_out),
    ("incoming_bytes", "Bytes from clients", |counted| counted.bytes_in),
    ("outgoing_bytes", "Bytes to clients, with masquerading", |counted| counted.bytes_out),
];

const GAUGES: [Row<DestinationState>; 5] = [
    ("weight", "Share of new connections; 0 takes none", |state| state.destination.weight.get().into()),
    ("active_connections", "Established connections", |state| state.active_connections.into()),
    ("inactive_connections", "Connections being set up or closed; all of UDP", |state| {
        state.inactive_connections.into()
    }),
    ("persistent_connections", "Clients that persistence holds here", |state| state.persistent_connections.into()),
    ("upper_threshold", "No new connections above this many; 0 is no limit", |state| {
        state.destination.upper_threshold.into()
    }),
];

type Done = Result<(), fmt::Error>;

/// The labels of a series.
type Labels = Vec<(&'static str, String)>;

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Done {
        let reading = &*self.0;
        director(&mut encoder, reading)?;
        services(&mut encoder, reading)?;
        if reading.has_destinations {
            destinations(&mut encoder, reading)?;
        }
        if let Some(census) = &reading.connections {
            connections(&mut encoder, census)?;
        }
        let mut took = gauge(&mut encoder, "ipvs_scrape_duration_seconds", "How long reading all of this took")?;
        took.encode_gauge(&reading.took.as_secs_f64())
    }
}

fn gauge<'e>(encoder: &'e mut DescriptorEncoder, name: &'e str, help: &str) -> Result<MetricEncoder<'e>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)
}

fn value(family: &mut MetricEncoder, labels: &impl EncodeLabelSet, value: u64) -> Done {
    family.encode_family(labels)?.encode_gauge(&value)
}

fn director(encoder: &mut DescriptorEncoder, reading: &Reading) -> Done {
    let mut family = gauge(encoder, "ipvs_info", "The kernel's IPVS; always 1")?;
    value(&mut family, &[("version", reading.info.version.to_string())], 1)?;
    let mut family = gauge(encoder, "ipvs_connection_table_buckets", "Buckets of the connection table")?;
    family.encode_gauge(&reading.info.connection_table_size)?;
    let mut family = gauge(encoder, "ipvs_timeout_seconds", "Timeouts of connections")?;
    let timeouts = reading.timeouts;
    for (kind, seconds) in [("tcp", timeouts.tcp), ("tcp_fin", timeouts.tcp_fin), ("udp", timeouts.udp)] {
        if let Some(seconds) = seconds {
            value(&mut family, &[("kind", kind)], seconds.into())?;
        }
    }
    let mut family = gauge(encoder, "ipvs_sync_daemon_running", "Whether a sync daemon of this role runs")?;
    for role in [DaemonRole::Master, DaemonRole::Backup] {
        let runs = reading.daemons.iter().any(|daemon| daemon.role == role);
        value(&mut family, &[("role", role.to_string())], runs.into())?;
    }
    let mut family = gauge(encoder, "ipvs_sync_daemon_info", "The sync daemons that run; always 1")?;
    for daemon in &reading.daemons {
        let labels = [
            ("role", daemon.role.to_string()),
            ("interface", shown(daemon.interface)),
            ("sync_id", daemon.sync_id.to_string()),
        ];
        value(&mut family, &labels, 1)?;
    }
    let mut family = gauge(encoder, "ipvs_services", "Virtual services")?;
    family.encode_gauge(&(reading.services.len() as u64))
}

fn services(encoder: &mut DescriptorEncoder, reading: &Reading) -> Done {
    let mut family = gauge(encoder, "ipvs_service_info", "The virtual services, taken apart; always 1")?;
    for (state, _) in &reading.services {
        value(&mut family, &parts(state), 1)?;
    }
    // Each text once, for its five series.
    let labelled: Vec<_> = reading.services.iter().map(|(state, _)| (service(&state.service.key()), state)).collect();
    for (name, help, of) in COUNTERS {
        let name = format!("ipvs_service_{name}");
        let mut family = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
        for (labels, state) in &labelled {
            if let Some(statistics) = &state.statistics {
                count(&mut family, labels, of(statistics))?;
            }
        }
    }
    Ok(())
}

fn destinations(encoder: &mut DescriptorEncoder, reading: &Reading) -> Done {
    let labelled = || {
        let of = |(state, all): &'_ (ServiceState, Vec<DestinationState>)| {
            let service = state.service.key().to_string();
            let labels = |state: &DestinationState| -> Labels {
                vec![("service", service.clone()), ("destination", state.destination.address.to_string())]
            };
            all.iter().map(|state| (labels(state), *state)).collect::<Vec<_>>()
        };
        reading.services.iter().flat_map(of)
    };
    let mut family = gauge(encoder, "ipvs_destination_info", "How packets reach the destinations; always 1")?;
    for (mut labels, state) in labelled() {
        labels.push(("forwarding", state.destination.forwarding.to_string()));
        value(&mut family, &labels, 1)?;
    }
    // Each text once, for its ten series.
    let labelled: Vec<_> = labelled().collect();
    for (name, help, of) in GAUGES {
        let name = format!("ipvs_destination_{name}");
        let mut family = gauge(encoder, &name, help)?;
        for (labels, state) in &labelled {
            value(&mut family, labels, of(state))?;
        }
    }
    for (name, help, of) in COUNTERS {
        let name = format!("ipvs_destination_{name}");
        let mut family = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
        for (labels, state) in &labelled {
            if let Some(statistics) = &state.statistics {
                count(&mut family, labels, of(statistics))?;
            }
        }
    }
    Ok(())
}

fn connections(encoder: &mut DescriptorEncoder, census: &Census) -> Done {
    let mut family = gauge(encoder, "ipvs_connections", "Entries of the connection table that are connections")?;
    for ((protocol, state), count) in &census.connections {
        value(&mut family, &[("protocol", protocol_name(*protocol)), ("state", shown(state))], *count)?;
    }
    let mut family = gauge(encoder, "ipvs_templates", "Entries by which persistence remembers clients")?;
    for (protocol, count) in &census.templates {
        value(&mut family, &[("protocol", protocol_name(*protocol))], *count)?;
    }
    Ok(())
}

fn count(family: &mut MetricEncoder, labels: &Labels, value: u64) -> Done {
    family.encode_family(labels)?.encode_counter::<NoLabelSet, u64, u64>(&value, None)
}

/// One label that is the service's identity: no two services have the same.
fn service(key: &ServiceKey) -> Labels {
    vec![("service", key.to_string())]
}

/// The same, with all labels to select by. An empty label counts as absent.
fn parts(state: &ServiceState) -> Labels {
    let key = state.service.key();
    let (protocol, address, port, mark) = match key {
        ServiceKey::Address { protocol, at } => {
            (Some(protocol), at.ip().to_string(), at.port().to_string(), String::new())
        }
        ServiceKey::Mark { mark, .. } => (None, String::new(), String::new(), mark.to_string()),
    };
    let family = match key.family() {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    let mut labels = service(&key);
    labels.extend([
        ("family", family.to_owned()),
        ("protocol", protocol_name(protocol)),
        ("address", address),
        ("port", port),
        ("mark", mark),
        ("scheduler", shown(state.service.scheduler)),
    ]);
    labels
}

fn protocol_name(protocol: Option<Protocol>) -> String {
    protocol.map_or_else(|| "mark".to_owned(), |protocol| protocol.to_string())
}

fn shown(name: impl fmt::Display) -> String {
    escape::text(&name.to_string()).to_string()
}
