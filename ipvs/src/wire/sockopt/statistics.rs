//! Statistics: `struct ip_vs_stats_user`. All but the counters of bytes have 32 bits, and go on
//! from 0 when those are used up.

use byteorder::{ByteOrder, NativeEndian};

use crate::stats::{Rates, Statistics};

const CONNECTIONS_0: usize = 0;
const PACKETS_IN_4: usize = 4;
const PACKETS_OUT_8: usize = 8;
const BYTES_IN_16: usize = 16;
const BYTES_OUT_24: usize = 24;
const CONNECTION_RATE_32: usize = 32;
const PACKET_RATE_IN_36: usize = 36;
const PACKET_RATE_OUT_40: usize = 40;
const BYTE_RATE_IN_44: usize = 44;
const BYTE_RATE_OUT_48: usize = 48;
/// With what fills them up.
pub(super) const SIZE: usize = 56;

pub(super) fn decode(bytes: &[u8]) -> Statistics {
    let short = |at: usize| u64::from(NativeEndian::read_u32(&bytes[at..]));
    let long = |at: usize| NativeEndian::read_u64(&bytes[at..]);
    Statistics {
        connections: short(CONNECTIONS_0),
        packets_in: short(PACKETS_IN_4),
        packets_out: short(PACKETS_OUT_8),
        bytes_in: long(BYTES_IN_16),
        bytes_out: long(BYTES_OUT_24),
        rates: Rates {
            connections: short(CONNECTION_RATE_32),
            packets_in: short(PACKET_RATE_IN_36),
            packets_out: short(PACKET_RATE_OUT_40),
            bytes_in: short(BYTE_RATE_IN_44),
            bytes_out: short(BYTE_RATE_OUT_48),
        },
    }
}

/// As the kernel does: of what is too long, the lower 32 bits.
pub(super) fn put(bytes: &mut [u8], statistics: &Statistics) {
    let rates = statistics.rates;
    for (at, counter) in [
        (CONNECTIONS_0, statistics.connections),
        (PACKETS_IN_4, statistics.packets_in),
        (PACKETS_OUT_8, statistics.packets_out),
        (CONNECTION_RATE_32, rates.connections),
        (PACKET_RATE_IN_36, rates.packets_in),
        (PACKET_RATE_OUT_40, rates.packets_out),
        (BYTE_RATE_IN_44, rates.bytes_in),
        (BYTE_RATE_OUT_48, rates.bytes_out),
    ] {
        NativeEndian::write_u32(&mut bytes[at..], counter as u32);
    }
    NativeEndian::write_u64(&mut bytes[BYTES_IN_16..], statistics.bytes_in);
    NativeEndian::write_u64(&mut bytes[BYTES_OUT_24..], statistics.bytes_out);
}
