//! Requests: changes, reads, and the question for the family's number.

use std::net::SocketAddr;

use netlink_packet_generic::constants::{
    CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME, CTRL_CMD_GETFAMILY, CTRL_CMD_NEWFAMILY, GENL_ID_CTRL,
};

use super::attr::{Writer, attrs};
use super::daemon::{decode_role, encode_stop};
use super::destination::{RawDestination, emit_request, write_address, write_destination};
use super::message::{Header, emit};
use super::service::{RawService, write_key, write_service};
use super::{FAMILY_NAME, WireError, cmd, decode_daemon, decode_timeouts, encode_daemon, encode_timeouts, top};
use crate::command::{Command, CommandKind};
use crate::service::ServiceKey;

/// A request that changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Services,
    Service(ServiceKey),
    Destinations(ServiceKey),
    Daemons,
    Timeouts,
    Info,
}

impl Read {
    /// Is the reply a dump, rather than one message?
    pub(crate) fn is_dump(&self) -> bool {
        matches!(self, Read::Services | Read::Destinations(_) | Read::Daemons)
    }

    /// What a refusal of it is called.
    pub(crate) fn kind(&self) -> CommandKind {
        match self {
            Read::Services | Read::Service(_) => CommandKind::GetService,
            Read::Destinations(_) => CommandKind::GetDestinations,
            Read::Daemons => CommandKind::GetDaemons,
            Read::Timeouts => CommandKind::GetTimeouts,
            Read::Info => CommandKind::GetInfo,
        }
    }
}

/// Appends the request for the number of the IPVS family.
pub(crate) fn encode_resolve(out: &mut Vec<u8>, sequence: u32) {
    let header = Header::request(GENL_ID_CTRL, sequence);
    emit(out, header, CTRL_CMD_GETFAMILY, |out| out.name(CTRL_ATTR_FAMILY_NAME, FAMILY_NAME));
}

/// The number of the family, from the controller's reply.
pub(crate) fn decode_family_id(bytes: &[u8]) -> Result<u16, WireError> {
    for attr in attrs(bytes) {
        let attr = attr?;
        if attr.kind == CTRL_ATTR_FAMILY_ID {
            return attr.u16("CTRL_ATTR_FAMILY_ID");
        }
    }
    Err(WireError::Missing("CTRL_ATTR_FAMILY_ID"))
}

/// The controller's reply: for the in-memory kernel.
pub(crate) fn encode_family_id(out: &mut Vec<u8>, sequence: u32, id: u16) {
    let header = Header { family: GENL_ID_CTRL, flags: 0, sequence };
    emit(out, header, CTRL_CMD_NEWFAMILY, |out| {
        out.name(CTRL_ATTR_FAMILY_NAME, FAMILY_NAME);
        out.u16(CTRL_ATTR_FAMILY_ID, id);
    });
}

/// Appends the request for a change.
pub(crate) fn encode_change(out: &mut Vec<u8>, header: Header, command: &Command) {
    match command {
        Command::AddService(service) => {
            emit_about(out, header, cmd::NEW_SERVICE, |out| write_service(out, service));
        }
        Command::EditService(service) => {
            emit_about(out, header, cmd::SET_SERVICE, |out| write_service(out, service));
        }
        Command::DeleteService(key) => emit_about(out, header, cmd::DEL_SERVICE, |out| write_key(out, key)),
        Command::AddDestination(key, destination) => {
            emit_request(out, header, cmd::NEW_DEST, key, |out| write_destination(out, key.family(), destination));
        }
        Command::EditDestination(key, destination) => {
            emit_request(out, header, cmd::SET_DEST, key, |out| write_destination(out, key.family(), destination));
        }
        Command::DeleteDestination(key, at) => {
            emit_request(out, header, cmd::DEL_DEST, key, |out| write_address(out, key.family(), at));
        }
        Command::Zero(Some(key)) => emit_about(out, header, cmd::ZERO, |out| write_key(out, key)),
        Command::Zero(None) => emit(out, header, cmd::ZERO, |_| {}),
        Command::Flush => emit(out, header, cmd::FLUSH, |_| {}),
        Command::SetTimeouts(timeouts) => encode_timeouts(out, header, timeouts),
        Command::StartDaemon(daemon) => encode_daemon(out, header, daemon),
        Command::StopDaemon(role) => encode_stop(out, header, *role),
    }
}

/// A request about a service.
fn emit_about(out: &mut Vec<u8>, header: Header, command: u8, nest: impl FnOnce(&mut Writer<'_>)) {
    emit(out, header, command, |out| out.nest(top::SERVICE, nest));
}

/// Appends a request that changes nothing.
pub(crate) fn encode_read(out: &mut Vec<u8>, header: Header, read: &Read) {
    match read {
        Read::Services => emit(out, header, cmd::GET_SERVICE, |_| {}),
        Read::Service(key) => emit_about(out, header, cmd::GET_SERVICE, |out| write_key(out, key)),
        Read::Destinations(key) => emit_about(out, header, cmd::GET_DEST, |out| write_key(out, key)),
        Read::Daemons => emit(out, header, cmd::GET_DAEMON, |_| {}),
        Read::Timeouts => emit(out, header, cmd::GET_CONFIG, |_| {}),
        Read::Info => emit(out, header, cmd::GET_INFO, |_| {}),
    }
}

/// A request as the kernel understands it: for the in-memory kernel.
#[derive(Debug)]
pub(crate) enum Request {
    Resolve,
    Change(Command),
    Read(Read),
}

/// What a message asks for; `None` for a command that no kernel knows.
pub(crate) fn decode_request(header: &Header, command: u8, bytes: &[u8]) -> Result<Option<Request>, WireError> {
    if header.is_for_controller() {
        return Ok((command == CTRL_CMD_GETFAMILY && asks_for_us(bytes)?).then_some(Request::Resolve));
    }
    let key = || RawService::parse(bytes)?.key();
    let change = match command {
        cmd::NEW_SERVICE => Command::AddService(RawService::parse(bytes)?.service()?),
        cmd::SET_SERVICE => Command::EditService(RawService::parse(bytes)?.service()?),
        cmd::DEL_SERVICE => Command::DeleteService(key()?),
        cmd::NEW_DEST => {
            let key = key()?;
            Command::AddDestination(key, RawDestination::parse(bytes)?.destination(key.family())?)
        }
        cmd::SET_DEST => {
            let key = key()?;
            Command::EditDestination(key, RawDestination::parse(bytes)?.destination(key.family())?)
        }
        cmd::DEL_DEST => {
            let key = key()?;
            let at: SocketAddr = RawDestination::parse(bytes)?.address(key.family())?;
            Command::DeleteDestination(key, at)
        }
        cmd::ZERO if bytes.is_empty() => Command::Zero(None),
        cmd::ZERO => Command::Zero(Some(key()?)),
        cmd::FLUSH => Command::Flush,
        cmd::SET_CONFIG => Command::SetTimeouts(decode_timeouts(bytes)?),
        cmd::NEW_DAEMON => Command::StartDaemon(decode_daemon(bytes)?),
        cmd::DEL_DAEMON => Command::StopDaemon(decode_role(bytes)?),
        _ => return Ok(decode_read(header, command, bytes)?.map(Request::Read)),
    };
    Ok(Some(Request::Change(change)))
}

fn decode_read(header: &Header, command: u8, bytes: &[u8]) -> Result<Option<Read>, WireError> {
    let read = match command {
        cmd::GET_SERVICE if header.is_dump() => Read::Services,
        cmd::GET_SERVICE => Read::Service(RawService::parse(bytes)?.key()?),
        cmd::GET_DEST => Read::Destinations(RawService::parse(bytes)?.key()?),
        cmd::GET_DAEMON => Read::Daemons,
        cmd::GET_CONFIG => Read::Timeouts,
        cmd::GET_INFO => Read::Info,
        _ => return Ok(None),
    };
    // Each read is a dump or is not; asked for in the other way it does not exist.
    Ok((read.is_dump() == header.is_dump()).then_some(read))
}

fn asks_for_us(bytes: &[u8]) -> Result<bool, WireError> {
    for attr in attrs(bytes) {
        let attr = attr?;
        if attr.kind == CTRL_ATTR_FAMILY_NAME {
            return Ok(attr.name() == FAMILY_NAME);
        }
    }
    Ok(false)
}
