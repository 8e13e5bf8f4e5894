//! The numbers of states, and what the kernel calls them (`tcp_state_name_table` and its like).

use crate::proc::ConnectionState;
use crate::service::Protocol;

const TCP: [&str; 11] = [
    "NONE",
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "SYNACK",
];

const UDP: [&str; 1] = ["UDP"];

const SCTP: [&str; 14] = [
    "NONE",
    "INIT1",
    "INIT",
    "C-SENT",
    "C-REPLIED",
    "C-WAIT",
    "COOKIE",
    "C-ECHOED",
    "ESTABLISHED",
    "S-SENT",
    "S-RECEIVED",
    "S-ACK-SENT",
    "REJECTED",
    "CLOSED",
];

const TEMPLATE: [&str; 2] = ["NONE", "ASSURED"];

/// The names of a protocol's states, in the order of their numbers; none of a protocol that IPVS
/// does not balance.
fn names(protocol: Protocol, is_template: bool) -> &'static [&'static str] {
    match protocol {
        _ if is_template => &TEMPLATE,
        Protocol::TCP => &TCP,
        Protocol::UDP => &UDP,
        Protocol::SCTP => &SCTP,
        _ => &[],
    }
}

pub(super) fn number(state: &ConnectionState, protocol: Protocol, is_template: bool) -> Option<u16> {
    let names = names(protocol, is_template);
    let found = names.iter().position(|name| name.as_bytes() == state.as_bytes())?;
    u16::try_from(found).ok()
}

pub(super) fn state(number: u16, protocol: Protocol, is_template: bool) -> Option<ConnectionState> {
    let name = names(protocol, is_template).get(usize::from(number))?;
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
