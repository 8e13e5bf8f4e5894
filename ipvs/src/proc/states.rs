//! What the kernel calls the states of connections: `tcp_state_name_table`,
//! `sctp_state_name_table`, `udp_state_name_table` and `ip_vs_state_name`.

use super::ConnectionState;
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

impl ConnectionState {
    /// The names of the states of a protocol's connections, or of its persistence templates, in the
    /// order of the kernel's numbers: those of Linux 6.1 to 7.2. None of a protocol that IPVS does
    /// not balance.
    ///
    /// ```
    /// use ipvs::Protocol;
    /// use ipvs::proc::ConnectionState;
    /// assert_eq!(ConnectionState::names(Protocol::UDP, false), ["UDP"]);
    /// assert_eq!(ConnectionState::names(Protocol::TCP, false)[1], "ESTABLISHED");
    /// ```
    pub fn names(protocol: Protocol, is_template: bool) -> &'static [&'static str] {
        match protocol {
            _ if is_template => &TEMPLATE,
            Protocol::TCP => &TCP,
            Protocol::UDP => &UDP,
            Protocol::SCTP => &SCTP,
            _ => &[],
        }
    }
}
