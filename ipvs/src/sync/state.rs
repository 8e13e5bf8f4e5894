//! The numbers of states.

use crate::proc::ConnectionState;
use crate::service::Protocol;

pub(super) fn number(state: &ConnectionState, protocol: Protocol, is_template: bool) -> Option<u16> {
    let names = ConnectionState::names(protocol, is_template);
    let found = names.iter().position(|name| name.as_bytes() == state.as_bytes())?;
    u16::try_from(found).ok()
}

pub(super) fn state(number: u16, protocol: Protocol, is_template: bool) -> Option<ConnectionState> {
    let name = ConnectionState::names(protocol, is_template).get(usize::from(number))?;
    ConnectionState::from_name(name.as_bytes())
}

/// Does a connection in this state count in the active connections of its destination?
/// (`tcp_state_active_table`, `set_sctp_state`.)
pub(super) fn is_active(protocol: Protocol, number: u16) -> bool {
    match protocol {
        Protocol::TCP => matches!(number, 1..=3 | 10),
        Protocol::SCTP => number == 8,
        _ => false,
    }
}
