//! Statistics: a nest of ten counters, twice: with 32 bits, and since Linux 4.1 with 64.

use super::attr::{Raw, Writer, attrs};
use super::{Detail, WireError};
use crate::stats::{Rates, Statistics};

const CONNS: u16 = 1;
const INPKTS: u16 = 2;
const OUTPKTS: u16 = 3;
const INBYTES: u16 = 4;
const OUTBYTES: u16 = 5;
const CPS: u16 = 6;
const INPPS: u16 = 7;
const OUTPPS: u16 = 8;
const INBPS: u16 = 9;
const OUTBPS: u16 = 10;

/// Those of a service or destination; `None` where they are absent or not asked for.
pub(super) fn decode_nest(nest: Option<Raw<'_>>, detail: Detail) -> Result<Option<Statistics>, WireError> {
    match (nest, detail) {
        (Some(nest), Detail::Statistics) => decode(nest.bytes()).map(Some),
        _ => Ok(None),
    }
}

fn decode(nest: &[u8]) -> Result<Statistics, WireError> {
    let mut stats = Statistics::default();
    for attr in attrs(nest) {
        let attr = attr?;
        let counter = match attr.kind {
            CONNS => &mut stats.connections,
            INPKTS => &mut stats.packets_in,
            OUTPKTS => &mut stats.packets_out,
            INBYTES => &mut stats.bytes_in,
            OUTBYTES => &mut stats.bytes_out,
            CPS => &mut stats.rates.connections,
            INPPS => &mut stats.rates.packets_in,
            OUTPPS => &mut stats.rates.packets_out,
            INBPS => &mut stats.rates.bytes_in,
            OUTBPS => &mut stats.rates.bytes_out,
            _ => continue,
        };
        *counter = attr.counter("IPVS_STATS_ATTR")?;
    }
    Ok(stats)
}

/// The ten counters of a nest: for the in-memory kernel.
pub(super) fn write(out: &mut Writer<'_>, stats: &Statistics) {
    let Rates { connections, packets_in, packets_out, bytes_in, bytes_out } = stats.rates;
    out.u64(CONNS, stats.connections);
    out.u64(INPKTS, stats.packets_in);
    out.u64(OUTPKTS, stats.packets_out);
    out.u64(INBYTES, stats.bytes_in);
    out.u64(OUTBYTES, stats.bytes_out);
    out.u64(CPS, connections);
    out.u64(INPPS, packets_in);
    out.u64(OUTPPS, packets_out);
    out.u64(INBPS, bytes_in);
    out.u64(OUTBPS, bytes_out);
}
