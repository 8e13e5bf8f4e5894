//! Destinations.

use std::net::SocketAddr;

use super::attr::{Raw, Writer, attrs};
use super::message::{Header, emit};
use super::service::{address_bytes, address_of, family_number, family_of, write_key};
use super::{Detail, WireError, cmd, stats, top};
use crate::destination::{Destination, Forwarding, OtherTunnel, ReservedForwarding, Tunnel, TunnelFlags, Weight};
use crate::service::{Family, ServiceKey};
use crate::table::DestinationState;

const ADDR: u16 = 1;
const PORT: u16 = 2;
const FWD_METHOD: u16 = 3;
const WEIGHT: u16 = 4;
const U_THRESH: u16 = 5;
const L_THRESH: u16 = 6;
const ACTIVE_CONNS: u16 = 7;
const INACT_CONNS: u16 = 8;
const PERSIST_CONNS: u16 = 9;
const STATS: u16 = 10;
const ADDR_FAMILY: u16 = 11;
const STATS64: u16 = 12;
const TUN_TYPE: u16 = 13;
const TUN_PORT: u16 = 14;
const TUN_FLAGS: u16 = 15;

/// The kernel keeps other connection flags in the same word.
pub(super) const FWD_MASK: u32 = 0x7;

/// Identity. The family is left out where it is the service's, as the kernel takes it for that.
pub(super) fn write_address(out: &mut Writer<'_>, service: Family, at: &SocketAddr) {
    let family = Family::of(at.ip());
    if family != service {
        out.u16(ADDR_FAMILY, family_number(family));
    }
    out.address(ADDR, address_bytes(at.ip()));
    out.u16_be(PORT, at.port());
}

/// Identity and configuration, in the order of libipvs; of a tunnel only where there is one.
pub(super) fn write_destination(out: &mut Writer<'_>, service: Family, destination: &Destination) {
    write_address(out, service, &destination.address);
    out.u32(FWD_METHOD, forwarding_number(destination.forwarding));
    out.u32(WEIGHT, destination.weight.get());
    if matches!(destination.forwarding, Forwarding::Tunnel(_)) {
        write_tunnel(out, destination.forwarding);
    }
    out.u32(U_THRESH, destination.upper_threshold);
    out.u32(L_THRESH, destination.lower_threshold);
}

fn write_tunnel(out: &mut Writer<'_>, forwarding: Forwarding) {
    let (kind, port, flags) = tunnel_numbers(forwarding);
    out.u8(TUN_TYPE, kind);
    out.u16_be(TUN_PORT, port);
    out.u16(TUN_FLAGS, flags.bits());
}

pub(super) fn forwarding_number(forwarding: Forwarding) -> u32 {
    match forwarding {
        Forwarding::Masquerade => 0,
        Forwarding::Local => 1,
        Forwarding::Tunnel(_) => 2,
        Forwarding::DirectRoute => 3,
        Forwarding::Bypass => 4,
        Forwarding::Reserved(ReservedForwarding(number)) => number,
    }
}

/// The method of this number; `None` if it is a tunnel, which is only described by more than the
/// number.
#[inline]
pub(super) fn forwarding_without_details(number: u32) -> Option<Forwarding> {
    match number {
        0 => Some(Forwarding::Masquerade),
        1 => Some(Forwarding::Local),
        2 => None,
        3 => Some(Forwarding::DirectRoute),
        4 => Some(Forwarding::Bypass),
        reserved => Some(Forwarding::Reserved(ReservedForwarding(reserved))),
    }
}

fn tunnel_numbers(forwarding: Forwarding) -> (u8, u16, TunnelFlags) {
    match forwarding {
        Forwarding::Tunnel(Tunnel::Gue { port, flags }) => (1, port.get(), flags),
        Forwarding::Tunnel(Tunnel::Gre { flags }) => (2, 0, flags),
        Forwarding::Tunnel(Tunnel::Other(OtherTunnel { kind, port, flags })) => (kind, port, flags),
        _ => (0, 0, TunnelFlags::empty()),
    }
}

/// A destination as the kernel reports it, which leaves nothing out: for the in-memory kernel.
pub(crate) fn encode_destination(out: &mut Vec<u8>, header: Header, state: &DestinationState) {
    let Destination { address, forwarding, .. } = state.destination;
    let family = Family::of(address.ip());
    let nest = |out: &mut Writer<'_>| {
        write_destination(out, family, &state.destination);
        out.u16(ADDR_FAMILY, family_number(family));
        if !matches!(forwarding, Forwarding::Tunnel(_)) {
            write_tunnel(out, forwarding);
        }
        out.u32(ACTIVE_CONNS, state.active_connections);
        out.u32(INACT_CONNS, state.inactive_connections);
        out.u32(PERSIST_CONNS, state.persistent_connections);
        if let Some(statistics) = &state.statistics {
            out.nest(STATS64, |out| stats::write(out, statistics));
        }
    };
    emit(out, header, cmd::NEW_DEST, |out| out.nest(top::DEST, nest));
}

/// A request about a destination of a service.
pub(super) fn emit_request(
    out: &mut Vec<u8>,
    header: Header,
    command: u8,
    key: &ServiceKey,
    nest: impl FnOnce(&mut Writer<'_>),
) {
    emit(out, header, command, |out| {
        out.nest(top::SERVICE, |out| write_key(out, key));
        out.nest(top::DEST, nest);
    });
}

/// The destination in a reply about a service of this family.
pub(crate) fn decode_destination(bytes: &[u8], family: Family, detail: Detail) -> Result<DestinationState, WireError> {
    let raw = RawDestination::parse(bytes)?;
    Ok(DestinationState {
        destination: raw.destination(family)?,
        active_connections: raw.active.unwrap_or(0),
        inactive_connections: raw.inactive.unwrap_or(0),
        persistent_connections: raw.persistent.unwrap_or(0),
        statistics: stats::decode_nest(raw.stats64.or(raw.stats), detail)?,
    })
}

/// The attributes of a destination nest, not yet understood: a request may have only some of them.
#[derive(Default)]
pub(super) struct RawDestination<'a> {
    family: Option<u16>,
    address: Option<Raw<'a>>,
    port: Option<u16>,
    forwarding: Option<u32>,
    weight: Option<u32>,
    upper: Option<u32>,
    lower: Option<u32>,
    tunnel: Option<u8>,
    tunnel_port: Option<u16>,
    tunnel_flags: Option<u16>,
    active: Option<u32>,
    inactive: Option<u32>,
    persistent: Option<u32>,
    stats: Option<Raw<'a>>,
    stats64: Option<Raw<'a>>,
}

impl<'a> RawDestination<'a> {
    /// Of the first destination nest in a message.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        for attr in attrs(bytes) {
            let attr = attr?;
            if attr.kind == top::DEST {
                return Self::parse_nest(attr.bytes());
            }
        }
        Err(WireError::Missing("IPVS_CMD_ATTR_DEST"))
    }

    fn parse_nest(nest: &'a [u8]) -> Result<Self, WireError> {
        let mut raw = RawDestination::default();
        for attr in attrs(nest) {
            let attr = attr?;
            match attr.kind {
                ADDR => raw.address = Some(attr),
                PORT => raw.port = Some(attr.u16_be("IPVS_DEST_ATTR_PORT")?),
                FWD_METHOD => raw.forwarding = Some(attr.u32("IPVS_DEST_ATTR_FWD_METHOD")?),
                WEIGHT => raw.weight = Some(attr.u32("IPVS_DEST_ATTR_WEIGHT")?),
                U_THRESH => raw.upper = Some(attr.u32("IPVS_DEST_ATTR_U_THRESH")?),
                L_THRESH => raw.lower = Some(attr.u32("IPVS_DEST_ATTR_L_THRESH")?),
                ACTIVE_CONNS => raw.active = Some(attr.u32("IPVS_DEST_ATTR_ACTIVE_CONNS")?),
                INACT_CONNS => raw.inactive = Some(attr.u32("IPVS_DEST_ATTR_INACT_CONNS")?),
                PERSIST_CONNS => raw.persistent = Some(attr.u32("IPVS_DEST_ATTR_PERSIST_CONNS")?),
                STATS => raw.stats = Some(attr),
                ADDR_FAMILY => raw.family = Some(attr.u16("IPVS_DEST_ATTR_ADDR_FAMILY")?),
                STATS64 => raw.stats64 = Some(attr),
                TUN_TYPE => raw.tunnel = Some(attr.u8("IPVS_DEST_ATTR_TUN_TYPE")?),
                TUN_PORT => raw.tunnel_port = Some(attr.u16_be("IPVS_DEST_ATTR_TUN_PORT")?),
                TUN_FLAGS => raw.tunnel_flags = Some(attr.u16("IPVS_DEST_ATTR_TUN_FLAGS")?),
                _ => {}
            }
        }
        Ok(raw)
    }

    /// Its address; of the service's family unless it says another (kernels before 3.18 never do).
    #[inline]
    pub(super) fn address(&self, service: Family) -> Result<SocketAddr, WireError> {
        let family = match self.family {
            None | Some(0) => service,
            Some(number) => family_of(number, "IPVS_DEST_ATTR_ADDR_FAMILY")?,
        };
        let address = self.address.ok_or(WireError::Missing("IPVS_DEST_ATTR_ADDR"))?.address();
        let port = self.port.ok_or(WireError::Missing("IPVS_DEST_ATTR_PORT"))?;
        Ok(SocketAddr::new(address_of(family, address), port))
    }

    pub(super) fn destination(&self, service: Family) -> Result<Destination, WireError> {
        let missing = WireError::Missing;
        Ok(Destination {
            address: self.address(service)?,
            forwarding: self.forwarding()?,
            weight: Weight::from_kernel(self.weight.ok_or(missing("IPVS_DEST_ATTR_WEIGHT"))?),
            upper_threshold: self.upper.ok_or(missing("IPVS_DEST_ATTR_U_THRESH"))?,
            lower_threshold: self.lower.ok_or(missing("IPVS_DEST_ATTR_L_THRESH"))?,
        })
    }

    fn forwarding(&self) -> Result<Forwarding, WireError> {
        let number = self.forwarding.ok_or(WireError::Missing("IPVS_DEST_ATTR_FWD_METHOD"))?;
        Ok(forwarding_without_details(number & FWD_MASK).unwrap_or_else(|| Forwarding::Tunnel(self.tunnel())))
    }

    fn tunnel(&self) -> Tunnel {
        let flags = TunnelFlags::from_bits_retain(self.tunnel_flags.unwrap_or(0));
        Tunnel::from_numbers(self.tunnel.unwrap_or(0), self.tunnel_port.unwrap_or(0), flags)
    }
}
