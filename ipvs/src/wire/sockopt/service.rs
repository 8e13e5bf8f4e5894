//! Services: `struct ip_vs_service_entry`, and `ip_vs_get_services`, a table of them.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use byteorder::{BigEndian, ByteOrder, NativeEndian};

use super::super::Detail;
use super::super::service::{F_HASHED, flags, service_of};
use super::{blank, blank_table, name, statistics, written};
use crate::service::{Family, FirewallMark, Netmask, Persistence, Protocol, ServiceKey};
use crate::table::ServiceState;

const PROTOCOL_0: usize = 0;
const ADDRESS_4: usize = 4;
const PORT_8: usize = 8;
const MARK_12: usize = 12;
const SCHEDULER_16: usize = 16;
const FLAGS_32: usize = 32;
const TIMEOUT_36: usize = 36;
const NETMASK_40: usize = 40;
/// How many destinations it has, those of IPv6 included.
const DESTINATIONS_44: usize = 44;
const STATISTICS_48: usize = 48;
pub(super) const SIZE: usize = STATISTICS_48 + statistics::SIZE;

/// In a table: for how many services there is room.
const ROOM_0: usize = 0;
/// There they begin.
const ENTRIES_8: usize = 8;

/// Writes the question for a service; false if it can't be asked about.
pub(crate) fn ask_service(buffer: &mut Vec<u8>, key: &ServiceKey) -> bool {
    blank(buffer, SIZE);
    put_key(buffer, key)
}

/// How many destinations the service has, those of the other family included.
pub(crate) fn destination_count(reply: &[u8]) -> Option<usize> {
    let count = reply.get(DESTINATIONS_44..SIZE).map(NativeEndian::read_u32)?;
    usize::try_from(count).ok()
}

/// Writes the question for all services, with room for this number; false if the number is too
/// large.
pub(crate) fn ask_services(buffer: &mut Vec<u8>, room: usize) -> bool {
    let Some(count) = blank_table(buffer, ENTRIES_8, room, SIZE) else { return false };
    NativeEndian::write_u32(&mut buffer[ROOM_0..], count);
    true
}

/// The services of a reply, without persistence engines. `None` if it is none.
pub(crate) fn services(reply: &[u8]) -> Option<Vec<ServiceState>> {
    reply.get(ENTRIES_8..)?;
    counted_services(reply, Detail::Statistics).map(|entry| Some(entry?.0)).collect()
}

/// The same, each with the number of its destinations, those of the other family included.
pub(crate) fn counted_services(reply: &[u8], detail: Detail) -> impl Iterator<Item = Option<(ServiceState, usize)>> {
    let entries = reply.get(ENTRIES_8..).unwrap_or_default();
    written(entries, SIZE).map(move |entry| Some((decode(entry, detail)?, destination_count(entry)?)))
}

/// The identities of the services of a reply, and how many destinations each has, those of the
/// other family included. `None` if it is none.
pub(crate) fn service_counts(reply: &[u8]) -> Option<Vec<(ServiceKey, usize)>> {
    let entries = reply.get(ENTRIES_8..)?;
    let mut counts = Vec::with_capacity(entries.len() / SIZE);
    for entry in written(entries, SIZE) {
        counts.push((key(entry)?, destination_count(entry)?));
    }
    Some(counts)
}

fn decode(entry: &[u8], detail: Detail) -> Option<ServiceState> {
    let number = |at: usize| NativeEndian::read_u32(&entry[at..]);
    let scheduler = name(&entry[SCHEDULER_16..FLAGS_32]);
    let netmask: [u8; 4] = *entry[NETMASK_40..].first_chunk()?;
    let service = service_of(key(entry)?, scheduler, number(FLAGS_32), number(TIMEOUT_36));
    let statistics = (detail == Detail::Statistics).then(|| statistics::decode(&entry[STATISTICS_48..]));
    Some(ServiceState { service: service.with_netmask(Netmask::v4(netmask)).ok()?, statistics })
}

/// Whose identity begins a structure.
pub(super) fn key(bytes: &[u8]) -> Option<ServiceKey> {
    if let Ok(mark) = FirewallMark::new(NativeEndian::read_u32(bytes.get(MARK_12..SCHEDULER_16)?)) {
        return Some(ServiceKey::Mark { mark, family: Family::V4 });
    }
    let ip: [u8; 4] = *bytes[ADDRESS_4..].first_chunk()?;
    let port = BigEndian::read_u16(&bytes[PORT_8..]);
    Some(ServiceKey::Address {
        protocol: Protocol::from_number(NativeEndian::read_u16(&bytes[PROTOCOL_0..])),
        at: SocketAddrV4::new(Ipv4Addr::from(ip), port).into(),
    })
}

/// Begins a structure with the identity of a service; false if it is of IPv6.
pub(super) fn put_key(buffer: &mut [u8], key: &ServiceKey) -> bool {
    match key {
        ServiceKey::Mark { mark, family: Family::V4 } => {
            NativeEndian::write_u32(&mut buffer[MARK_12..], mark.get());
            true
        }
        ServiceKey::Address { protocol, at: SocketAddr::V4(at) } => {
            NativeEndian::write_u16(&mut buffer[PROTOCOL_0..], protocol.number());
            buffer[ADDRESS_4..][..4].copy_from_slice(&at.ip().octets());
            BigEndian::write_u16(&mut buffer[PORT_8..], at.port());
            true
        }
        _ => false,
    }
}

/// For how many services a question has room, if it has the length for them.
pub(super) fn room(question: &[u8]) -> Option<usize> {
    let room = usize::try_from(NativeEndian::read_u32(question.get(ROOM_0..ENTRIES_8)?)).ok()?;
    (question.len() == room.checked_mul(SIZE)?.checked_add(ENTRIES_8)?).then_some(room)
}

/// Writes a service with this number of destinations: for the in-memory kernel.
pub(crate) fn put_service(entry: &mut [u8], state: &ServiceState, destinations: usize) {
    let service = &state.service;
    put_key(entry, &service.key());
    // A mark's service has a protocol, too.
    if matches!(service.key(), ServiceKey::Mark { .. }) {
        NativeEndian::write_u16(&mut entry[PROTOCOL_0..], Protocol::TCP.number());
    }
    let scheduler = service.scheduler.as_bytes();
    entry[SCHEDULER_16..][..scheduler.len()].copy_from_slice(scheduler);
    for (at, number) in [
        (FLAGS_32, flags(service) | F_HASHED),
        (TIMEOUT_36, service.persistence.map_or(0, Persistence::seconds)),
        (DESTINATIONS_44, destinations as u32),
    ] {
        NativeEndian::write_u32(&mut entry[at..], number);
    }
    if let Some(mask) = service.netmask().as_v4() {
        entry[NETMASK_40..][..4].copy_from_slice(&mask.octets());
    }
    statistics::put(&mut entry[STATISTICS_48..], &state.statistics.unwrap_or_default());
}

/// Writes the services of IPv4 with the numbers of their destinations, as many as there is room
/// for: for the in-memory kernel.
pub(crate) fn put_services<'s>(buffer: &mut [u8], all: impl Iterator<Item = (&'s ServiceState, usize)>) {
    let entries = buffer[ENTRIES_8..].chunks_exact_mut(SIZE);
    for (entry, (state, count)) in entries.zip(all.filter(|(state, _)| state.service.key().family() == Family::V4)) {
        put_service(entry, state, count);
    }
}
