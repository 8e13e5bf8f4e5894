//! Destinations: `struct ip_vs_get_dests`, a table of `ip_vs_dest_entry`.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use byteorder::{BigEndian, ByteOrder, NativeEndian};

use super::super::Detail;
use super::super::destination::{FWD_MASK, forwarding_number, forwarding_without_details};
use super::service::put_key;
use super::{blank_table, statistics};
use crate::destination::{Destination, Forwarding, Tunnel, Weight};
use crate::service::ServiceKey;
use crate::stats::Statistics;
use crate::table::DestinationState;

/// Of the table, which begins with the identity of a service: for how many destinations there is
/// room.
const ROOM_16: usize = 16;
/// There they begin.
const ENTRIES_24: usize = 24;

const ADDRESS_0: usize = 0;
const PORT_4: usize = 4;
const FLAGS_8: usize = 8;
const WEIGHT_12: usize = 12;
const UPPER_16: usize = 16;
const LOWER_20: usize = 20;
const ACTIVE_24: usize = 24;
const INACTIVE_28: usize = 28;
const PERSISTENT_32: usize = 32;
const STATISTICS_40: usize = 40;
const SIZE: usize = STATISTICS_40 + statistics::SIZE;

/// Writes the question for the destinations of a service, with room for this number; false if it
/// can't be asked about, or the number is too large.
pub(crate) fn ask_destinations(buffer: &mut Vec<u8>, key: &ServiceKey, room: usize) -> bool {
    let Some(count) = blank_table(buffer, ENTRIES_24, room, SIZE) else { return false };
    NativeEndian::write_u32(&mut buffer[ROOM_16..], count);
    put_key(buffer, key)
}

/// The destinations of a reply. This interface does not show the kinds of tunnels: `tunnel` is
/// what they are taken for; without it, `None` is returned if there is one.
pub(crate) fn destinations(reply: &[u8], detail: Detail, tunnel: Option<Tunnel>) -> Option<Vec<DestinationState>> {
    // A loop of its own for each: listings of large tables are mostly this one.
    match detail {
        Detail::Statistics => decode_all(reply, tunnel, |entry| Some(statistics::decode(&entry[STATISTICS_40..]))),
        Detail::NoStatistics => decode_all(reply, tunnel, |_| None),
    }
}

fn decode_all(
    reply: &[u8],
    tunnel: Option<Tunnel>,
    statistics: impl Fn(&[u8]) -> Option<Statistics>,
) -> Option<Vec<DestinationState>> {
    let entries = reply.get(ENTRIES_24..)?.chunks_exact(SIZE);
    let mut all = Vec::with_capacity(entries.len());
    for entry in entries.take_while(|entry| entry[ADDRESS_0..][..4] != [0; 4]) {
        all.push(DestinationState { statistics: statistics(entry), ..decode(entry, tunnel)? });
    }
    Some(all)
}

/// Without its statistics.
fn decode(entry: &[u8], tunnel: Option<Tunnel>) -> Option<DestinationState> {
    let number = |at: usize| NativeEndian::read_u32(&entry[at..]);
    let ip: [u8; 4] = *entry[ADDRESS_0..].first_chunk()?;
    let port = BigEndian::read_u16(&entry[PORT_4..]);
    let forwarding =
        forwarding_without_details(number(FLAGS_8) & FWD_MASK).or_else(|| tunnel.map(Forwarding::Tunnel))?;
    // What this interface does not have keeps its default.
    let destination = Destination {
        forwarding,
        weight: Weight::from_kernel(number(WEIGHT_12)),
        upper_threshold: number(UPPER_16),
        lower_threshold: number(LOWER_20),
        ..Destination::new(SocketAddrV4::new(Ipv4Addr::from(ip), port).into())
    };
    Some(DestinationState {
        active_connections: number(ACTIVE_24),
        inactive_connections: number(INACTIVE_28),
        persistent_connections: number(PERSISTENT_32),
        ..DestinationState::new(destination)
    })
}

/// For how many destinations a question has room, if it has the length for them.
pub(super) fn room(question: &[u8]) -> Option<usize> {
    let room = usize::try_from(NativeEndian::read_u32(question.get(ROOM_16..ENTRIES_24)?)).ok()?;
    (question.len() == room.checked_mul(SIZE)?.checked_add(ENTRIES_24)?).then_some(room)
}

/// Writes the destinations of IPv4, as many as there is room for: for the in-memory kernel.
pub(crate) fn put_destinations<'d>(buffer: &mut [u8], all: impl Iterator<Item = &'d DestinationState>) {
    let entries = buffer[ENTRIES_24..].chunks_exact_mut(SIZE);
    let all = all.filter_map(|state| match state.destination.address {
        SocketAddr::V4(at) => Some((at, state)),
        SocketAddr::V6(_) => None,
    });
    for (entry, (at, state)) in entries.zip(all) {
        put(entry, at, state);
    }
}

fn put(entry: &mut [u8], at: SocketAddrV4, state: &DestinationState) {
    let configured = &state.destination;
    entry[ADDRESS_0..][..4].copy_from_slice(&at.ip().octets());
    BigEndian::write_u16(&mut entry[PORT_4..], at.port());
    for (place, number) in [
        (FLAGS_8, forwarding_number(configured.forwarding)),
        (WEIGHT_12, configured.weight.get()),
        (UPPER_16, configured.upper_threshold),
        (LOWER_20, configured.lower_threshold),
        (ACTIVE_24, state.active_connections),
        (INACTIVE_28, state.inactive_connections),
        (PERSISTENT_32, state.persistent_connections),
    ] {
        NativeEndian::write_u32(&mut entry[place..], number);
    }
    statistics::put(&mut entry[STATISTICS_40..], &state.statistics.unwrap_or_default());
}
