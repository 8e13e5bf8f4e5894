//! Sync daemons. Unlike a service's, their port is in native order.

use std::net::IpAddr;

use super::attr::{Writer, attrs};
use super::message::{Header, emit};
use super::{WireError, cmd, top};
use crate::daemon::{Daemon, DaemonRole};
use crate::name::InterfaceName;

const STATE: u16 = 1;
const MCAST_IFN: u16 = 2;
const SYNC_ID: u16 = 3;
const SYNC_MAXLEN: u16 = 4;
const MCAST_GROUP: u16 = 5;
const MCAST_GROUP6: u16 = 6;
const MCAST_PORT: u16 = 7;
const MCAST_TTL: u16 = 8;

fn write_role(out: &mut Writer<'_>, role: DaemonRole) {
    let number = match role {
        DaemonRole::Master => 1,
        DaemonRole::Backup => 2,
    };
    out.u32(STATE, number);
}

/// The daemon in a message, whether request or reply.
pub(crate) fn decode_daemon(bytes: &[u8]) -> Result<Daemon, WireError> {
    let nest = nest(bytes)?;
    let role = role(nest)?;
    let [mut interface, mut group, mut group6] = [None; 3];
    let (mut sync_id, mut max_len, mut port, mut ttl) = (None, None, None, None);
    for attr in attrs(nest) {
        let attr = attr?;
        match attr.kind {
            MCAST_IFN => interface = Some(attr),
            SYNC_ID => sync_id = Some(attr.u32("IPVS_DAEMON_ATTR_SYNC_ID")?),
            SYNC_MAXLEN => max_len = Some(attr.u16("IPVS_DAEMON_ATTR_SYNC_MAXLEN")?),
            MCAST_GROUP => group = Some(attr),
            MCAST_GROUP6 => group6 = Some(attr),
            MCAST_PORT => port = Some(attr.u16("IPVS_DAEMON_ATTR_MCAST_PORT")?),
            MCAST_TTL => ttl = Some(attr.u8("IPVS_DAEMON_ATTR_MCAST_TTL")?),
            _ => {}
        }
    }
    let interface = interface.ok_or(WireError::Missing("IPVS_DAEMON_ATTR_MCAST_IFN"))?.name();
    let group = match (group, group6) {
        (Some(v4), _) => Some(IpAddr::from(v4.v4("IPVS_DAEMON_ATTR_MCAST_GROUP")?)),
        (None, Some(v6)) => Some(IpAddr::from(v6.address())),
        (None, None) => None,
    };
    Ok(Daemon {
        role,
        interface: InterfaceName::new(interface).map_err(|_| WireError::Missing("IPVS_DAEMON_ATTR_MCAST_IFN"))?,
        sync_id: sync_id.ok_or(WireError::Missing("IPVS_DAEMON_ATTR_SYNC_ID"))?,
        max_len,
        group,
        port,
        ttl,
    })
}

/// Which daemon a request to stop one means.
pub(super) fn decode_role(bytes: &[u8]) -> Result<DaemonRole, WireError> {
    role(nest(bytes)?)
}

fn nest(bytes: &[u8]) -> Result<&[u8], WireError> {
    for attr in attrs(bytes) {
        let attr = attr?;
        if attr.kind == top::DAEMON {
            return Ok(attr.bytes());
        }
    }
    Err(WireError::Missing("IPVS_CMD_ATTR_DAEMON"))
}

fn role(nest: &[u8]) -> Result<DaemonRole, WireError> {
    for attr in attrs(nest) {
        let attr = attr?;
        if attr.kind == STATE {
            return match attr.u32("IPVS_DAEMON_ATTR_STATE")? {
                1 => Ok(DaemonRole::Master),
                2 => Ok(DaemonRole::Backup),
                value => Err(WireError::Value { attribute: "IPVS_DAEMON_ATTR_STATE", value }),
            };
        }
    }
    Err(WireError::Missing("IPVS_DAEMON_ATTR_STATE"))
}

/// A message about a daemon: the request to start it, or the reply that it runs.
pub(crate) fn encode_daemon(out: &mut Vec<u8>, header: Header, daemon: &Daemon) {
    let nest = |out: &mut Writer<'_>| {
        write_role(out, daemon.role);
        out.name(MCAST_IFN, daemon.interface.as_bytes());
        out.u32(SYNC_ID, daemon.sync_id);
        if let Some(bytes) = daemon.max_len {
            out.u16(SYNC_MAXLEN, bytes);
        }
        if let Some(port) = daemon.port {
            out.u16(MCAST_PORT, port);
        }
        if let Some(ttl) = daemon.ttl {
            out.u8(MCAST_TTL, ttl);
        }
        match daemon.group {
            Some(IpAddr::V4(v4)) => out.v4(MCAST_GROUP, v4.octets()),
            Some(IpAddr::V6(v6)) => out.address(MCAST_GROUP6, v6.octets()),
            None => {}
        }
    };
    emit(out, header, cmd::NEW_DAEMON, |out| out.nest(top::DAEMON, nest));
}

pub(super) fn encode_stop(out: &mut Vec<u8>, header: Header, role: DaemonRole) {
    emit(out, header, cmd::DEL_DAEMON, |out| out.nest(top::DAEMON, |out| write_role(out, role)));
}
