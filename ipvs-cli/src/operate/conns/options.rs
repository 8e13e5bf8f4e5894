//! The options of `conns`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ipvs::{Protocol, ServiceKey};

use crate::operate::network::Network;
use crate::operate::service_argument;

#[derive(Args, Debug)]
pub(in crate::operate) struct Conns {
    #[command(flatten)]
    pub(super) wanted: Wanted,
    /// In this order; without it in the kernel's, as they come. Needs memory for all that are shown: --limit bounds it
    #[arg(long, value_name = "KEY", conflicts_with_all = ["by", "count"])]
    pub(super) sort: Option<Sort>,
    /// In the opposite order
    #[arg(long)]
    pub(super) reverse: bool,
    /// Show so many at most
    #[arg(long, value_name = "NUMBER", conflicts_with = "count")]
    pub(super) limit: Option<usize>,
    /// Count them by what they have in common, the most frequent first
    #[arg(long, value_name = "KEY")]
    pub(super) by: Option<By>,
    /// Say only how many they are, templates included
    #[arg(long, conflicts_with = "by")]
    pub(super) count: bool,
    /// As JSON, an object on each line
    #[arg(long)]
    pub(super) json: bool,
    /// Read this copy of /proc/net/ip_vs_conn in place of the kernel's; `-' is standard input
    #[arg(long, value_name = "FILE")]
    pub(super) from: Option<PathBuf>,
}

/// Which ones. Several values of one option: any of them; several options: all of them.
#[derive(Args, Debug, Default)]
pub(super) struct Wanted {
    /// Of this client: an address, a network, or either with a port: 203.0.113.9, 203.0.113.0/24, 203.0.113.9:40001,
    /// [2001:db8::/32]:443
    #[arg(long, value_name = "ADDRESS")]
    pub(super) client: Vec<Network>,
    /// To this virtual address, written as a client's
    #[arg(long, value_name = "ADDRESS")]
    pub(super) vip: Vec<Network>,
    /// To this service, such as tcp:192.0.2.1:80; of a firewall mark, as mark:10, the kernel's table tells only the
    /// templates
    #[arg(long, value_name = "SERVICE", value_parser = service_argument::parse)]
    pub(super) service: Vec<ServiceKey>,
    /// To this real server, written as a client's
    #[arg(long, value_name = "ADDRESS")]
    pub(super) server: Vec<Network>,
    /// In this state, by the kernel's name: ESTABLISHED, SYN_RECV, TIME_WAIT, UDP, NONE ...
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    pub(super) state: Vec<String>,
    /// Of this protocol: tcp, udp, sctp or a number
    #[arg(long, value_name = "PROTOCOL", value_delimiter = ',')]
    pub(super) protocol: Vec<Protocol>,
    /// That the kernel forgets within so many seconds, if no packet comes
    #[arg(long, value_name = "SECONDS")]
    pub(super) expires_within: Option<u32>,
    /// That it keeps for longer than so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(super) expires_after: Option<u32>,
    /// Only templates, by which persistence remembers clients
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
