//! The older interface of the kernel, `getsockopt`: fixed structures in place of attributes.
//!
//! It says less (IPv4 only, no kinds of tunnels, counters of 32 bits), but costs the kernel a tenth. Of it we use what a
//! listing without statistics needs: how many destinations a service has, and the destinations. The numbers in the names
//! below are the places of fields in `struct ip_vs_service_entry`, `ip_vs_get_dests` and `ip_vs_dest_entry`.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use byteorder::{BigEndian, ByteOrder, NativeEndian};

use super::destination::{FWD_MASK, forwarding_without_details};
use crate::destination::{Destination, Weight};
use crate::service::ServiceKey;
use crate::stats::Statistics;
use crate::table::DestinationState;

/// `IP_VS_SO_GET_SERVICE`: one service.
pub(crate) const GET_SERVICE: i32 = 64 + 1024 + 64 + 3;
/// `IP_VS_SO_GET_DESTS`: the destinations of one service.
pub(crate) const GET_DESTINATIONS: i32 = GET_SERVICE + 1;

/// Does this target lay the structures out as written here? Numbers of 64 bits in them must start at multiples of eight bytes.
pub(crate) const IS_KNOWN: bool = align_of::<u64>() == 8;

/// Both structures begin with the identity of a service.
mod service {
    pub(super) const PROTOCOL_0: usize = 0;
    pub(super) const ADDRESS_4: usize = 4;
    pub(super) const PORT_8: usize = 8;
    pub(super) const MARK_12: usize = 12;
    /// Of `GET_SERVICE`: how many destinations it has.
    pub(super) const COUNT_44: usize = 44;
    pub(super) const SIZE: usize = 104;
    /// Of `GET_DESTINATIONS`: for how many destinations there is room.
    pub(super) const ROOM_16: usize = 16;
    /// There they begin.
    pub(super) const DESTINATIONS_24: usize = 24;
}

mod destination {
    pub(super) const ADDRESS_0: usize = 0;
    pub(super) const PORT_4: usize = 4;
    pub(super) const FLAGS_8: usize = 8;
    pub(super) const WEIGHT_12: usize = 12;
    pub(super) const UPPER_16: usize = 16;
    pub(super) const LOWER_20: usize = 20;
    pub(super) const ACTIVE_24: usize = 24;
    pub(super) const INACTIVE_28: usize = 28;
    pub(super) const PERSISTENT_32: usize = 32;
    pub(super) const SIZE: usize = 96;
}

/// Writes the question for a service, in the buffer that the answer comes in; false if it can't be asked about.
pub(crate) fn ask_service(buffer: &mut Vec<u8>, key: &ServiceKey) -> bool {
    buffer.clear();
    buffer.resize(service::SIZE, 0);
    put_key(buffer, key)
}

/// How many destinations the service has, those of the other family included.
pub(crate) fn count(answer: &[u8]) -> Option<usize> {
    let count = answer.get(service::COUNT_44..service::SIZE).map(NativeEndian::read_u32)?;
    usize::try_from(count).ok()
}

/// Writes the question for the destinations of a service, with room for so many; false if it can't be asked about.
pub(crate) fn ask_destinations(buffer: &mut Vec<u8>, key: &ServiceKey, room: usize) -> bool {
    let Ok(count) = u32::try_from(room) else { return false };
    buffer.clear();
    buffer.resize(service::DESTINATIONS_24 + room * destination::SIZE, 0);
    NativeEndian::write_u32(&mut buffer[service::ROOM_16..], count);
    put_key(buffer, key)
}

fn put_key(buffer: &mut [u8], key: &ServiceKey) -> bool {
    match key {
        ServiceKey::Mark { mark, family: crate::Family::V4 } => {
            NativeEndian::write_u32(&mut buffer[service::MARK_12..], mark.get());
            true
        }
        ServiceKey::Address { protocol, at: SocketAddr::V4(at) } => {
            NativeEndian::write_u16(&mut buffer[service::PROTOCOL_0..], protocol.number());
            buffer[service::ADDRESS_4..][..4].copy_from_slice(&at.ip().octets());
            BigEndian::write_u16(&mut buffer[service::PORT_8..], at.port());
            true
        }
        _ => false,
    }
}

/// The destinations of an answer, without statistics. `None` if one of them is behind a tunnel, of which this interface does
/// not tell the kind.
///
/// The kernel does not say how many it has written; what it has not is 0, which is no destination's address.
pub(crate) fn destinations(answer: &[u8]) -> Option<Vec<DestinationState>> {
    let entries = answer.get(service::DESTINATIONS_24..)?.chunks_exact(destination::SIZE);
    let mut all = Vec::with_capacity(entries.len());
    for entry in entries.take_while(|entry| entry[destination::ADDRESS_0..][..4] != [0; 4]) {
        all.push(decode(entry)?);
    }
    Some(all)
}

fn decode(entry: &[u8]) -> Option<DestinationState> {
    let number = |at: usize| NativeEndian::read_u32(&entry[at..]);
    let ip: [u8; 4] = *entry[destination::ADDRESS_0..].first_chunk()?;
    let port = BigEndian::read_u16(&entry[destination::PORT_4..]);
    Some(DestinationState {
        destination: Destination {
            address: SocketAddrV4::new(Ipv4Addr::from(ip), port).into(),
            forwarding: forwarding_without_details(number(destination::FLAGS_8) & FWD_MASK)?,
            weight: Weight::carried(number(destination::WEIGHT_12)),
            upper_threshold: number(destination::UPPER_16),
            lower_threshold: number(destination::LOWER_20),
        },
        active_connections: number(destination::ACTIVE_24),
        inactive_connections: number(destination::INACTIVE_28),
        persistent_connections: number(destination::PERSISTENT_32),
        statistics: Statistics::default(),
    })
}

/// What the other side does: for the in-memory kernel.
pub(crate) mod answer {
    use super::super::destination::forwarding_number;
    use super::{
        BigEndian, ByteOrder, DestinationState, Ipv4Addr, NativeEndian, ServiceKey, SocketAddr, SocketAddrV4,
        destination, service,
    };
    use crate::service::{Family, FirewallMark, Protocol};

    /// The service that a question is about, if the question has the length of its kind.
    pub(crate) fn key(option: i32, question: &[u8]) -> Option<ServiceKey> {
        let is_whole = match option {
            super::GET_SERVICE => question.len() == service::SIZE,
            _ => question.len() == service::DESTINATIONS_24 + room(question)?.checked_mul(destination::SIZE)?,
        };
        if !is_whole {
            return None;
        }
        if let Ok(mark) = FirewallMark::new(NativeEndian::read_u32(&question[service::MARK_12..])) {
            return Some(ServiceKey::Mark { mark, family: Family::V4 });
        }
        let ip: [u8; 4] = *question[service::ADDRESS_4..].first_chunk()?;
        let port = BigEndian::read_u16(&question[service::PORT_8..]);
        Some(ServiceKey::Address {
            protocol: Protocol::from_number(NativeEndian::read_u16(question)),
            at: SocketAddrV4::new(Ipv4Addr::from(ip), port).into(),
        })
    }

    fn room(question: &[u8]) -> Option<usize> {
        let room = question.get(service::ROOM_16..service::DESTINATIONS_24).map(NativeEndian::read_u32)?;
        usize::try_from(room).ok()
    }

    /// Writes how many destinations there are.
    pub(crate) fn put_count(buffer: &mut [u8], count: usize) {
        NativeEndian::write_u32(&mut buffer[service::COUNT_44..], count as u32);
    }

    /// Writes the destinations, as many as there is room for.
    pub(crate) fn put_destinations<'d>(buffer: &mut [u8], all: impl Iterator<Item = &'d DestinationState>) {
        let entries = buffer[service::DESTINATIONS_24..].chunks_exact_mut(destination::SIZE);
        // Those of the other family are left out.
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
        entry[destination::ADDRESS_0..][..4].copy_from_slice(&at.ip().octets());
        BigEndian::write_u16(&mut entry[destination::PORT_4..], at.port());
        for (place, number) in [
            (destination::FLAGS_8, forwarding_number(configured.forwarding)),
            (destination::WEIGHT_12, configured.weight.get()),
            (destination::UPPER_16, configured.upper_threshold),
            (destination::LOWER_20, configured.lower_threshold),
            (destination::ACTIVE_24, state.active_connections),
            (destination::INACTIVE_28, state.inactive_connections),
            (destination::PERSISTENT_32, state.persistent_connections),
        ] {
            NativeEndian::write_u32(&mut entry[place..], number);
        }
    }
}

#[cfg(test)]
#[path = "sockopt_tests.rs"]
mod tests;
