//! Virtual services.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::attr::{Raw, Writer, attrs};
use super::message::{Header, emit};
use super::{Detail, WireError, cmd, stats, top};
use crate::name::{PersistenceEngine, Scheduler};
use crate::service::{Family, FirewallMark, Netmask, Persistence, Protocol, SchedulerFlags, Service, ServiceKey};
use crate::table::ServiceState;

const AF: u16 = 1;
const PROTOCOL: u16 = 2;
const ADDR: u16 = 3;
const PORT: u16 = 4;
const FWMARK: u16 = 5;
const SCHED_NAME: u16 = 6;
const FLAGS: u16 = 7;
const TIMEOUT: u16 = 8;
const NETMASK: u16 = 9;
const STATS: u16 = 10;
const PE_NAME: u16 = 11;
const STATS64: u16 = 12;

const F_PERSISTENT: u32 = 0x1;
/// The kernel's own: the service is in its hash table. Always set as read.
pub(super) const F_HASHED: u32 = 0x2;
const F_ONEPACKET: u32 = 0x4;
const NAMED: u32 = F_PERSISTENT | F_HASHED | F_ONEPACKET;

/// `AF_INET` and `AF_INET6`.
pub(super) fn family_number(family: Family) -> u16 {
    match family {
        Family::V4 => 2,
        Family::V6 => 10,
    }
}

pub(super) fn family_of(number: u16, attribute: &'static str) -> Result<Family, WireError> {
    match number {
        2 => Ok(Family::V4),
        10 => Ok(Family::V6),
        _ => Err(WireError::Value { attribute, value: number.into() }),
    }
}

/// Sixteen bytes whatever the family, as the kernel's union has.
pub(super) fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&v4.octets());
            bytes
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

pub(super) fn address_of(family: Family, bytes: [u8; 16]) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into(),
        Family::V6 => bytes.into(),
    }
}

/// The attributes that identify a service, in the order of libipvs.
pub(super) fn write_key(out: &mut Writer<'_>, key: &ServiceKey) {
    out.u16(AF, family_number(key.family()));
    match key {
        ServiceKey::Mark { mark, .. } => out.u32(FWMARK, mark.get()),
        ServiceKey::Address { protocol, at } => {
            out.u16(PROTOCOL, protocol.number());
            out.address(ADDR, address_bytes(at.ip()));
            out.u16_be(PORT, at.port());
        }
    }
}

/// Identity and configuration, in the order of libipvs.
pub(super) fn write_service(out: &mut Writer<'_>, service: &Service) {
    write_with_flags(out, service, flags(service));
}

fn write_with_flags(out: &mut Writer<'_>, service: &Service, flags: u32) {
    write_key(out, &service.key());
    out.name(SCHED_NAME, service.scheduler.as_bytes());
    if let Some(engine) = &service.engine {
        out.name(PE_NAME, engine.as_bytes());
    }
    out.flags(FLAGS, flags, !0);
    out.u32(TIMEOUT, service.persistence.map_or(0, Persistence::seconds));
    let netmask = service.netmask();
    match netmask.as_v4() {
        Some(mask) => out.v4(NETMASK, mask.octets()),
        None => out.u32(NETMASK, netmask.as_v6().unwrap_or(128)),
    }
}

pub(super) fn flags(service: &Service) -> u32 {
    let bit = |set: bool, flag: u32| if set { flag } else { 0 };
    (service.scheduler_flags.bits() & !NAMED)
        | bit(service.persistence.is_some(), F_PERSISTENT)
        | bit(service.one_packet, F_ONEPACKET)
}

/// The service of the kernel's words and numbers; netmask and persistence engine are not among
/// them.
pub(super) fn service_of(key: ServiceKey, scheduler: &[u8], flags: u32, timeout: u32) -> Service {
    let mut service = Service::new(key);
    // A service may lose its scheduler when its module fails to bind: then the kernel reports none.
    service.scheduler = Scheduler::new(scheduler).unwrap_or(Scheduler::NONE);
    service.scheduler_flags = SchedulerFlags::from_bits_retain(flags & !NAMED);
    service.one_packet = flags & F_ONEPACKET != 0;
    service.persistence = (flags & F_PERSISTENT != 0).then(|| Persistence::from_kernel(timeout));
    service
}

/// A service as the kernel reports it: for the in-memory kernel.
pub(crate) fn encode_service(out: &mut Vec<u8>, header: Header, state: &ServiceState) {
    let nest = |out: &mut Writer<'_>| {
        write_with_flags(out, &state.service, flags(&state.service) | F_HASHED);
        if let Some(statistics) = &state.statistics {
            out.nest(STATS64, |out| stats::write(out, statistics));
        }
    };
    emit(out, header, cmd::NEW_SERVICE, |out| out.nest(top::SERVICE, nest));
}

/// The service in a reply.
pub(crate) fn decode_service(bytes: &[u8], detail: Detail) -> Result<ServiceState, WireError> {
    let raw = RawService::parse(bytes)?;
    let statistics = stats::decode_nest(raw.stats64.or(raw.stats), detail)?;
    Ok(ServiceState { service: raw.service()?, statistics })
}

/// The attributes of a service nest, not yet understood: a request may have only some of them.
#[derive(Default)]
pub(super) struct RawService<'a> {
    family: Option<u16>,
    protocol: Option<u16>,
    address: Option<Raw<'a>>,
    port: Option<u16>,
    mark: Option<u32>,
    scheduler: Option<Raw<'a>>,
    flags: Option<u32>,
    timeout: Option<u32>,
    netmask: Option<Raw<'a>>,
    engine: Option<Raw<'a>>,
    stats: Option<Raw<'a>>,
    stats64: Option<Raw<'a>>,
}

impl<'a> RawService<'a> {
    /// Of the first service nest in a message.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        for attr in attrs(bytes) {
            let attr = attr?;
            if attr.kind == top::SERVICE {
                return Self::parse_nest(attr.bytes());
            }
        }
        Err(WireError::Missing("IPVS_CMD_ATTR_SERVICE"))
    }

    fn parse_nest(nest: &'a [u8]) -> Result<Self, WireError> {
        let mut raw = RawService::default();
        for attr in attrs(nest) {
            let attr = attr?;
            match attr.kind {
                AF => raw.family = Some(attr.u16("IPVS_SVC_ATTR_AF")?),
                PROTOCOL => raw.protocol = Some(attr.u16("IPVS_SVC_ATTR_PROTOCOL")?),
                ADDR => raw.address = Some(attr),
                PORT => raw.port = Some(attr.u16_be("IPVS_SVC_ATTR_PORT")?),
                FWMARK => raw.mark = Some(attr.u32("IPVS_SVC_ATTR_FWMARK")?),
                SCHED_NAME => raw.scheduler = Some(attr),
                // Behind them is the mask of those that count: all of them, from kernels as from
                // us.
                FLAGS => raw.flags = Some(attr.u32("IPVS_SVC_ATTR_FLAGS")?),
                TIMEOUT => raw.timeout = Some(attr.u32("IPVS_SVC_ATTR_TIMEOUT")?),
                NETMASK => raw.netmask = Some(attr),
                STATS => raw.stats = Some(attr),
                PE_NAME => raw.engine = Some(attr),
                STATS64 => raw.stats64 = Some(attr),
                _ => {}
            }
        }
        Ok(raw)
    }

    #[inline]
    pub(super) fn key(&self) -> Result<ServiceKey, WireError> {
        let missing = WireError::Missing;
        let family = family_of(self.family.ok_or(missing("IPVS_SVC_ATTR_AF"))?, "IPVS_SVC_ATTR_AF")?;
        if let Some(mark) = self.mark {
            let mark = FirewallMark::new(mark)
                .map_err(|_| WireError::Value { attribute: "IPVS_SVC_ATTR_FWMARK", value: mark })?;
            return Ok(ServiceKey::Mark { mark, family });
        }
        let protocol = self.protocol.ok_or(missing("IPVS_SVC_ATTR_PROTOCOL"))?;
        let address = self.address.ok_or(missing("IPVS_SVC_ATTR_ADDR"))?.address();
        let port = self.port.ok_or(missing("IPVS_SVC_ATTR_PORT"))?;
        Ok(ServiceKey::Address {
            protocol: Protocol::from_number(protocol),
            at: SocketAddr::new(address_of(family, address), port),
        })
    }

    pub(super) fn service(&self) -> Result<Service, WireError> {
        let missing = WireError::Missing;
        let key = self.key()?;
        let scheduler = self.scheduler.ok_or(missing("IPVS_SVC_ATTR_SCHED_NAME"))?.name();
        let flags = self.flags.ok_or(missing("IPVS_SVC_ATTR_FLAGS"))?;
        let timeout = self.timeout.ok_or(missing("IPVS_SVC_ATTR_TIMEOUT"))?;
        let mut service = service_of(key, scheduler, flags, timeout);
        service.engine = self.engine.and_then(|name| PersistenceEngine::new(name.name()).ok());
        let netmask = self.netmask(key.family())?;
        service.with_netmask(netmask).map_err(|_| missing("IPVS_SVC_ATTR_NETMASK"))
    }

    fn netmask(&self, family: Family) -> Result<Netmask, WireError> {
        let attr = self.netmask.ok_or(WireError::Missing("IPVS_SVC_ATTR_NETMASK"))?;
        Ok(match family {
            Family::V4 => Netmask::v4(attr.v4("IPVS_SVC_ATTR_NETMASK")?),
            Family::V6 => Netmask::from_kernel_v6(attr.u32("IPVS_SVC_ATTR_NETMASK")?),
        })
    }
}
