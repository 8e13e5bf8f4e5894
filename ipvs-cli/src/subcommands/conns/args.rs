//! The options of `conns`.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use ipvs::{Protocol, ServiceKey};

use crate::arguments::network::Network;
use crate::arguments::number::whole;
use crate::arguments::service;

const HELP: &str = "\
Exit status: 0 shown; 1 the table can't be read; 2 wrong usage, or no IPVS.

Examples:
  ipvs-cli conns --service tcp:192.0.2.1:80 --state ESTABLISHED
  ipvs-cli conns --client 203.0.113.0/24 --sort expires --limit 20
  ipvs-cli conns --by server";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Conns {
    #[command(flatten)]
    pub(super) wanted: Wanted,
    /// Sort by KEY instead of the kernel's order; takes memory for all that is
    /// shown, which --limit bounds
    #[arg(long, value_name = "KEY", conflicts_with_all = ["by", "count"])]
    pub(super) sort: Option<Sort>,
    /// Reverse the order
    #[arg(long)]
    pub(super) reverse: bool,
    /// Show at most NUMBER
    #[arg(long, value_name = "NUMBER", conflicts_with = "count", allow_negative_numbers = true,
        value_parser = whole::<usize>(0, u32::MAX))]
    pub(super) limit: Option<usize>,
    /// Count by KEY, the most frequent first
    #[arg(long, value_name = "KEY")]
    pub(super) by: Option<By>,
    /// Show only the number, including persistence templates
    #[arg(long, conflicts_with = "by")]
    pub(super) count: bool,
    /// Print as JSON, an object on each line
    #[arg(long)]
    pub(super) json: bool,
    /// Read a copy of /proc/net/ip_vs_conn; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(super) from: Option<PathBuf>,
}

/// Kernel: `tcp_state_name_table`, `sctp_state_name_table`, `udp_state_name_table` and
/// `ip_vs_state_name`.
const STATES: [&str; 27] = [
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
    "UDP",
    "INIT1",
    "INIT",
    "COOKIE_SENT",
    "COOKIE_REPLIED",
    "COOKIE_WAIT",
    "COOKIE",
    "COOKIE_ECHOED",
    "SHUTDOWN_SENT",
    "SHUTDOWN_RECEIVED",
    "SHUTDOWN_ACK_SENT",
    "REJECTED",
    "CLOSED",
    "ASSURED",
    "ERR!",
    "BUG!",
];

/// The filters. An entry must match any value of each option that is given.
#[derive(Args, Debug, Default)]
pub(super) struct Wanted {
    /// Only of this client: an address or a network, with or without a port:
    /// 203.0.113.9, 203.0.113.0/24, [2001:db8::/32]:443
    #[arg(long, value_name = "ADDRESS")]
    pub(super) client: Vec<Network>,
    /// Only to this virtual address, written as for --client
    #[arg(long, value_name = "ADDRESS")]
    pub(super) vip: Vec<Network>,
    /// Only to this service, such as tcp:192.0.2.1:80; of mark:10 the kernel
    /// lists only persistence templates
    #[arg(long, value_name = "SERVICE", value_parser = service::parse)]
    pub(super) service: Vec<ServiceKey>,
    /// Only to this real server, written as for --client
    #[arg(long, value_name = "ADDRESS")]
    pub(super) server: Vec<Network>,
    /// Only in this state: ESTABLISHED, SYN_RECV, TIME_WAIT, UDP, NONE ...
    #[arg(long, value_name = "STATE", value_delimiter = ',', ignore_case = true, hide_possible_values = true,
        value_parser = PossibleValuesParser::new(STATES))]
    pub(super) state: Vec<String>,
    /// Only of this protocol: tcp, udp, sctp or a number
    #[arg(long, value_name = "PROTOCOL", value_delimiter = ',')]
    pub(super) protocol: Vec<Protocol>,
    /// Only what expires within SECONDS if no packet comes
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = whole::<u32>(0, u32::MAX))]
    pub(super) expires_within: Option<u32>,
    /// Only what expires after SECONDS or later
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = whole::<u32>(0, u32::MAX))]
    pub(super) expires_after: Option<u32>,
    /// Only persistence templates
    #[arg(long, conflicts_with = "no_templates")]
    pub(super) templates: bool,
    /// Only connections
    #[arg(long)]
    pub(super) no_templates: bool,
}

/// An order.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Client,
    Service,
    Server,
    State,
    Expires,
}

/// What connections may have in common.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Client,
    Service,
    Server,
    State,
    Protocol,
}
