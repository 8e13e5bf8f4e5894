//! Timeouts: attributes without a nest.

use super::attr::attrs;
use super::message::{Header, emit};
use super::{WireError, cmd, top};
use crate::timeouts::Timeouts;

pub(crate) fn decode_timeouts(bytes: &[u8]) -> Result<Timeouts, WireError> {
    let mut timeouts = Timeouts::default();
    for attr in attrs(bytes) {
        let attr = attr?;
        match attr.kind {
            top::TIMEOUT_TCP => timeouts.tcp = Some(attr.u32("IPVS_CMD_ATTR_TIMEOUT_TCP")?),
            top::TIMEOUT_TCP_FIN => timeouts.tcp_fin = Some(attr.u32("IPVS_CMD_ATTR_TIMEOUT_TCP_FIN")?),
            top::TIMEOUT_UDP => timeouts.udp = Some(attr.u32("IPVS_CMD_ATTR_TIMEOUT_UDP")?),
            _ => {}
        }
    }
    Ok(timeouts)
}

/// Both the request to set them and the reply that has them.
pub(crate) fn encode_timeouts(out: &mut Vec<u8>, header: Header, timeouts: &Timeouts) {
    let given =
        [(top::TIMEOUT_TCP, timeouts.tcp), (top::TIMEOUT_TCP_FIN, timeouts.tcp_fin), (top::TIMEOUT_UDP, timeouts.udp)];
    emit(out, header, cmd::SET_CONFIG, |out| {
        for (kind, seconds) in given {
            if let Some(seconds) = seconds {
                out.u32(kind, seconds);
            }
        }
    });
}
