//! Replies: those of kernels, and those that the in-memory kernel makes in their likeness.

use super::attr::{Writer, attrs};
use super::message::emit;
use super::tests::recorded;
use super::*;
use crate::stats::Rates;
use crate::table::{DestinationState, ServiceState};
use crate::{Destination, Family, Forwarding, Service, Statistics, Tunnel, TunnelFlags};

// Of Linux 6.1 (user-mode Linux, which pads 64-bit attributes).
const INFO: &str = "0e01000008000100010201000800020000100000";
const SERVICE: &str = "010100005401010006000100020000000600020006000000140003000a0000010000000000000000000000000600040000\
    50000008000600776c63000c00070002000000ffffffff080008000000000008000900ffffffff60000a0008000100000000000800020000000000\
    08000300000000000c000400000000000000000004000b000c00050000000000000000000800060000000000080007000000000008000800000000\
    00080009000000000008000a0000000000a0000c000c000100000000000000000004000b000c000200000000000000000004000b000c0003000000\
    00000000000004000b000c000400000000000000000004000b000c000500000000000000000004000b000c000600000000000000000004000b000c\
    000700000000000000000004000b000c000800000000000000000004000b000c000900000000000000000004000b000c000a000000000000000000";
const DESTINATION: &str = "050100007c010200140001007f0000010000000000000000000000000600020000500000080003000300000008000400\
    0100000005000d000000000006000e000000000006000f000000000008000500000000000800060000000000080007000000000008000800000000\
    0008000900000000000600\
    0b000200000064000a0008000100000000000800020000000000080003000000000004000b000c000400000000000000000004000b000c00050000\
    00000000000000080006000000000008000700000000000800080000000000080009000000000008000a0000000000a0000c000c00010000000000\
    0000000004000b000c000200000000000000000004000b000c000300000000000000000004000b000c000400000000000000000004000b000c0005\
    00000000000000000004000b000c000600000000000000000004000b000c000700000000000000000004000b000c00080000000000000000000400\
    0b000c000900000000000000000004000b000c000a000000000000000000";

#[test]
fn a_kernels_info() {
    let info = decode_info(&recorded(INFO)[4..]).unwrap();
    assert_eq!((info.version.to_string().as_str(), info.connection_table_size), ("1.2.1", 4096));
}

#[test]
fn a_kernels_service() {
    let state = decode_service(&recorded(SERVICE)[4..], Detail::Statistics).unwrap();
    assert_eq!(state, ServiceState::new(Service::new("tcp 10.0.0.1:80".parse().unwrap())));
}

#[test]
fn a_kernels_destination() {
    let state = decode_destination(&recorded(DESTINATION)[4..], Family::V4, Detail::Statistics).unwrap();
    assert_eq!(state, DestinationState::new(Destination::new("127.0.0.1:80".parse().unwrap())));
}

/// Attributes of a destination.
const STATS: u16 = 10;
const STATS64: u16 = 12;

fn header() -> Header {
    Header::request(0x1c, 1)
}

/// The attributes of a message's only nest.
fn inside(message: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let nest = attrs(&message[4..]).next().unwrap().unwrap();
    attrs(nest.bytes()).map(|attr| attr.map(|attr| (attr.kind, attr.bytes())).unwrap())
}

fn reply(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out.split_off(16)
}

/// A kernel describes the tunnel of what is none, too, and nothing twice. Short counters are left
/// out: we read the long ones.
#[test]
fn the_in_memory_kernel_tells_what_a_kernel_tells() {
    let sorted = |message: &[u8]| {
        let mut kinds: Vec<_> = inside(message).map(|(kind, _)| kind).filter(|kind| *kind != STATS).collect();
        kinds.sort_unstable();
        kinds
    };
    let state = ServiceState::new(Service::new("tcp 10.0.0.1:80".parse().unwrap()));
    assert_eq!(sorted(&reply(|out| encode_service(out, header(), &state))), sorted(&recorded(SERVICE)));
    for forwarding in [Forwarding::DirectRoute, Forwarding::Masquerade, Forwarding::Tunnel(Tunnel::Ipip)] {
        let destination = Destination::new("127.0.0.1:80".parse().unwrap()).with_forwarding(forwarding);
        let encoded = reply(|out| encode_destination(out, header(), &DestinationState::new(destination)));
        assert_eq!(sorted(&encoded), sorted(&recorded(DESTINATION)), "{forwarding:?}");
    }
}

/// All different. A kernel's short counters of bytes are long, too.
fn counted() -> Statistics {
    let rates = Rates { connections: 6, packets_in: 7, packets_out: 8, bytes_in: 9, bytes_out: 10 };
    Statistics { connections: 1, packets_in: 2, packets_out: 3, bytes_in: 4 << 32, bytes_out: 5 << 32, rates }
}

fn short_counters(out: &mut Writer<'_>) {
    out.nest(STATS, |out| {
        [1, 2, 3].into_iter().for_each(|number| out.u32(number, number.into()));
        [4, 5].into_iter().for_each(|number| out.u64(number, u64::from(number) << 32));
        [6, 7, 8, 9, 10].into_iter().for_each(|number| out.u32(number, number.into()));
    });
}

/// The replies about a service and a destination with such counters.
fn with_counters(counters: impl Fn(&mut Writer<'_>)) -> [Vec<u8>; 2] {
    let service = Service::new("tcp 10.0.0.1:80".parse().unwrap());
    let destination = Destination::new("127.0.0.1:80".parse().unwrap());
    let service = |out: &mut Writer<'_>| {
        service::write_service(out, &service);
        counters(out);
    };
    let destination = |out: &mut Writer<'_>| {
        destination::write_destination(out, Family::V4, &destination);
        counters(out);
    };
    [
        reply(|out| emit(out, header(), cmd::NEW_SERVICE, |out| out.nest(top::SERVICE, service))),
        reply(|out| emit(out, header(), cmd::NEW_DEST, |out| out.nest(top::DEST, destination))),
    ]
}

fn statistics([service, destination]: &[Vec<u8>; 2], detail: Detail) -> [Result<Option<Statistics>, WireError>; 2] {
    [
        decode_service(&service[4..], detail).map(|state| state.statistics),
        decode_destination(&destination[4..], Family::V4, detail).map(|state| state.statistics),
    ]
}

#[test]
fn before_linux_4_1_counters_are_short() {
    let replies = with_counters(short_counters);
    assert_eq!(statistics(&replies, Detail::Statistics), [Ok(Some(counted())), Ok(Some(counted()))]);
    assert_eq!(statistics(&replies, Detail::NoStatistics), [Ok(None), Ok(None)]);
}

#[test]
fn of_both_counters_the_long_ones_count() {
    let long = Statistics { connections: 1 << 40, ..counted() };
    let replies = with_counters(|out| {
        short_counters(out);
        out.nest(STATS64, |out| stats::write(out, &long));
    });
    assert_eq!(statistics(&replies, Detail::Statistics), [Ok(Some(long)), Ok(Some(long))]);
}

#[test]
fn a_counter_of_half_its_bytes_is_an_error() {
    let replies = with_counters(|out| out.nest(STATS, |out| out.u16(1, 1)));
    let error = Err(WireError::Short { attribute: "IPVS_STATS_ATTR", length: 2 });
    assert_eq!(statistics(&replies, Detail::Statistics), [error, error]);
}

/// Only what is in all a plain tunnel is taken for one: what else there is would be lost when the
/// destination is edited.
#[test]
fn an_unknown_tunnel_keeps_its_numbers() {
    let flags = TunnelFlags::CHECKSUM;
    let plain = Tunnel::from_numbers(0, 0, TunnelFlags::empty());
    assert_eq!(plain, Tunnel::Ipip);
    for (kind, port, flags) in
        [(0, 0, flags), (0, 7, TunnelFlags::empty()), (1, 0, flags), (2, 7, flags), (9, 7, flags)]
    {
        let tunnel = Tunnel::from_numbers(kind, port, flags);
        assert!(matches!(tunnel, Tunnel::Other(_)), "{kind} {port} {flags:?}");
        let destination = Destination::new("127.0.0.1:80".parse().unwrap()).with_forwarding(Forwarding::Tunnel(tunnel));
        let state = DestinationState::new(destination);
        let encoded = reply(|out| encode_destination(out, header(), &state));
        assert_eq!(decode_destination(&encoded[4..], Family::V4, Detail::Statistics), Ok(state));
    }
}
