//! What is written of each thing, under the keys that `reader/` knows. What has its default is left
//! out, but for what is looked for in every service and destination.

// Public for `ipvs-cli` only: `desired::parts`.
#![allow(missing_docs)]

use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::scalar::{Fields, Scalar};
use crate::daemon::Daemon;
use crate::desired::Packets;
use crate::desired::reader::destination::{CHECKSUM, REMOTE_CHECKSUM};
use crate::destination::{Destination, Forwarding, Tunnel, TunnelFlags};
use crate::name::Scheduler;
use crate::rule::parts::flag_names;
use crate::service::{Family, Protocol, SchedulerFlags, Service, ServiceKey, without_scope_id};
use crate::stats::{Rates, Statistics};
use crate::table::{DestinationState, ServiceState, Table};
use crate::timeouts::Timeouts;

pub fn timeouts(timeouts: Timeouts) -> Fields {
    let all = [("tcp", timeouts.tcp), ("tcp_fin", timeouts.tcp_fin), ("udp", timeouts.udp)];
    all.into_iter().filter_map(|(key, seconds)| Some((key, seconds?.into()))).collect()
}

pub fn daemon(daemon: &Daemon) -> Fields {
    let mut fields = vec![
        ("role", Scalar::text(daemon.role)),
        ("interface", Scalar::text(daemon.interface)),
        ("sync_id", daemon.sync_id.into()),
    ];
    fields.extend(daemon.group.map(|group| ("group", Scalar::text(group))));
    fields.extend(daemon.port.map(|port| ("port", u32::from(port).into())));
    fields.extend(daemon.ttl.map(|ttl| ("ttl", u32::from(ttl).into())));
    fields.extend(daemon.max_len.map(|bytes| ("max_len", u32::from(bytes).into())));
    fields
}

pub fn service(service: &Service) -> Fields {
    let mut fields = match service.key() {
        ServiceKey::Address { protocol, at } => {
            vec![("address", Scalar::text(at)), ("protocol", protocol_field(protocol))]
        }
        ServiceKey::Mark { mark, family: Family::V4 } => vec![("mark", mark.get().into())],
        ServiceKey::Mark { mark, family } => vec![("mark", mark.get().into()), ("family", Scalar::text(family))],
    };
    fields.push(("scheduler", Scalar::text(service.scheduler)));
    let flags = scheduler_flags(service.scheduler, service.scheduler_flags);
    if !flags.is_empty() {
        fields.push(("scheduler_flags", Scalar::Texts(flags)));
    }
    fields.extend(service.persistence.map(|persistence| ("persistence", persistence.seconds().into())));
    let netmask = service.netmask();
    if !netmask.is_whole() {
        fields.push(("netmask", netmask.as_v6().map_or_else(|| Scalar::text(netmask), Scalar::from)));
    }
    fields.extend(service.engine.map(|engine| ("engine", Scalar::text(engine))));
    if service.one_packet {
        fields.push(("one_packet", Scalar::Boolean(true)));
    }
    fields
}

/// A member of the group of packets that get a mark.
pub fn packets(packets: &Packets) -> Fields {
    let mut fields = vec![("address", network(packets.address))];
    fields.extend(packets.protocol.map(|protocol| ("protocol", protocol_field(protocol))));
    if !packets.ports.is_empty() {
        fields.push(("ports", Scalar::List(packets.ports.iter().map(port).collect())));
    }
    fields.extend(packets.source.map(|source| ("source", network(source))));
    if packets.output {
        fields.push(("output", Scalar::Boolean(true)));
    }
    fields.extend(packets.interface.map(|name| ("interface", Scalar::text(name))));
    if packets.mask != u32::MAX {
        fields.push(("mask", packets.mask.into()));
    }
    fields
}

/// A host is written without its prefix.
fn network(network: IpNet) -> Scalar {
    if network.prefix_len() == network.max_prefix_len() { Scalar::text(network.addr()) } else { Scalar::text(network) }
}

fn port(range: &RangeInclusive<u16>) -> Scalar {
    let (first, last) = (*range.start(), *range.end());
    if first == last { u32::from(first).into() } else { Scalar::Text(format!("{first}:{last}")) }
}

fn protocol_field(protocol: Protocol) -> Scalar {
    match protocol {
        Protocol::TCP | Protocol::UDP | Protocol::SCTP => Scalar::text(protocol),
        other => u32::from(other.number()).into(),
    }
}

/// The scheduler's names for its flags; bits without a name as a number.
fn scheduler_flags(scheduler: Scheduler, flags: SchedulerFlags) -> Vec<String> {
    let named = || flag_names(scheduler).filter(|known| flags.contains(known.flag));
    let mut words: Vec<String> = named().map(|known| known.name.to_owned()).collect();
    let rest = named().fold(flags.bits(), |rest, known| rest & !known.flag.bits());
    if rest != 0 {
        words.push(format!("{rest:#x}"));
    }
    words
}

pub fn destination(destination: &Destination) -> Fields {
    let mut fields = vec![("address", Scalar::text(without_scope_id(destination.address)))];
    fields.extend(forwarding(destination.forwarding));
    fields.push(("weight", destination.weight.get().into()));
    for (key, threshold) in
        [("upper_threshold", destination.upper_threshold), ("lower_threshold", destination.lower_threshold)]
    {
        if threshold != 0 {
            fields.push((key, threshold.into()));
        }
    }
    fields
}

/// A method without a name is a number, which can't be read again: it can't be made up.
pub(in crate::desired) fn forwarding(forwarding: Forwarding) -> Fields {
    match forwarding {
        Forwarding::Tunnel(Tunnel::Ipip) => vec![("forwarding", Scalar::text("tunnel"))],
        Forwarding::Tunnel(tunnel) => {
            vec![("forwarding", Scalar::text("tunnel")), ("tunnel", Scalar::Table(tunnel_fields(tunnel)))]
        }
        Forwarding::Reserved(method) => vec![("forwarding", method.number().into())],
        named => vec![("forwarding", Scalar::text(named))],
    }
}

/// A type without a name is a number, too.
fn tunnel_fields(tunnel: Tunnel) -> Fields {
    let (kind, port, flags) = match tunnel {
        Tunnel::Gue { port, flags } => (Scalar::text("gue"), port.get(), flags),
        Tunnel::Gre { flags } => (Scalar::text("gre"), 0, flags),
        Tunnel::Other(other) => (u32::from(other.kind()).into(), other.port(), other.flags()),
        _ => (Scalar::text("ipip"), 0, TunnelFlags::empty()),
    };
    let mut fields = vec![("type", kind)];
    if port != 0 {
        fields.push(("port", u32::from(port).into()));
    }
    if !flags.is_empty() {
        fields.push(("flags", Scalar::Texts(tunnel_flags(flags))));
    }
    fields
}

fn tunnel_flags(flags: TunnelFlags) -> Vec<String> {
    let names = [(TunnelFlags::CHECKSUM, CHECKSUM), (TunnelFlags::REMOTE_CHECKSUM, REMOTE_CHECKSUM)];
    let mut words: Vec<String> =
        names.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, name)| (*name).to_owned()).collect();
    let rest = names.iter().fold(flags.bits(), |rest, (flag, _)| rest & !flag.bits());
    if rest != 0 {
        words.push(format!("{rest:#x}"));
    }
    words
}

/// A service with its counters, if they were read.
pub(in crate::desired) fn service_state(state: &ServiceState) -> Fields {
    let mut fields = service(&state.service);
    fields.extend(state.statistics.map(|statistics| ("statistics", Scalar::Table(counters(statistics)))));
    fields
}

/// A destination with its connections, and its counters if they were read.
pub(in crate::desired) fn destination_state(state: &DestinationState) -> Fields {
    let mut statistics = vec![
        ("active_connections", state.active_connections.into()),
        ("inactive_connections", state.inactive_connections.into()),
        ("persistent_connections", state.persistent_connections.into()),
    ];
    statistics.extend(state.statistics.into_iter().flat_map(counters));
    let mut fields = destination(&state.destination);
    fields.push(("statistics", Scalar::Table(statistics)));
    fields
}

fn counters(statistics: Statistics) -> Fields {
    let Statistics { connections, packets_in, packets_out, bytes_in, bytes_out, rates } = statistics;
    let mut fields = five([connections, packets_in, packets_out, bytes_in, bytes_out]);
    let Rates { connections, packets_in, packets_out, bytes_in, bytes_out } = rates;
    fields.push(("rates", Scalar::Table(five([connections, packets_in, packets_out, bytes_in, bytes_out]))));
    fields
}

fn five(values: [u64; 5]) -> Fields {
    let keys = ["connections", "packets_in", "packets_out", "bytes_in", "bytes_out"];
    keys.into_iter().zip(values.map(Scalar::Integer)).collect()
}

pub(in crate::desired) fn kernel(table: &Table) -> Fields {
    let info = table.info();
    vec![
        ("version", Scalar::text(info.version)),
        ("connection_table_size", info.connection_table_size.into()),
        ("behaviors", Scalar::text(table.behaviors())),
    ]
}
