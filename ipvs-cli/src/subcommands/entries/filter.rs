//! Which connections are wanted.

use clap::Args;
use clap::builder::PossibleValuesParser;
use ipvs::proc::{Connection, ConnectionState};
use ipvs::{Protocol, ServiceKey};

use crate::arguments::network::Network;
use crate::arguments::number::whole;
use crate::arguments::service;
use crate::arguments::value::value;

/// The kernel's names of all states, each once; the last two are those of no known state.
fn states() -> Vec<&'static str> {
    let connections = [Protocol::TCP, Protocol::UDP, Protocol::SCTP].map(|protocol| (protocol, false));
    let mut all = Vec::new();
    for (protocol, is_template) in connections.into_iter().chain([(Protocol::TCP, true)]) {
        let names = ConnectionState::names(protocol, is_template);
        let new: Vec<_> = names.iter().copied().filter(|name| !all.contains(name)).collect();
        all.extend(new);
    }
    all.extend(["ERR!", "BUG!"]);
    all
}

/// The filters. An entry must match any value of each option that is given.
#[derive(Args, Debug, Default)]
pub(in crate::subcommands) struct Wanted {
    /// Only of this client: an address or a network, with or without a port:
    /// 203.0.113.9, 203.0.113.0/24, [2001:db8::/32]:443
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::subcommands) client: Vec<Network>,
    /// Only to this virtual address, written as for --client
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::subcommands) vip: Vec<Network>,
    /// Only to this service, such as tcp:192.0.2.1:80; of mark:10 the kernel
    /// lists only persistence templates
    #[arg(long, value_name = "SERVICE", value_parser = service::parse)]
    pub(in crate::subcommands) service: Vec<ServiceKey>,
    /// Only to this real server, written as for --client
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::subcommands) server: Vec<Network>,
    /// Only in this state: ESTABLISHED, SYN_RECV, TIME_WAIT, UDP, NONE ...
    #[arg(long, value_name = "STATE", value_delimiter = ',', ignore_case = true, hide_possible_values = true,
        value_parser = PossibleValuesParser::new(states()))]
    pub(in crate::subcommands) state: Vec<String>,
    /// Only of this protocol: tcp, udp, sctp or a number
    #[arg(long, value_name = "PROTOCOL", value_delimiter = ',', value_parser = value::<Protocol>)]
    pub(in crate::subcommands) protocol: Vec<Protocol>,
    /// Only what expires within SECONDS if no packet comes
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = whole::<u32>(0, u32::MAX))]
    pub(in crate::subcommands) expires_within: Option<u32>,
    /// Only what expires after SECONDS or later
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = whole::<u32>(0, u32::MAX))]
    pub(in crate::subcommands) expires_after: Option<u32>,
    /// Only persistence templates
    #[arg(long, conflicts_with = "no_templates")]
    pub(in crate::subcommands) templates: bool,
    /// Only connections
    #[arg(long)]
    pub(in crate::subcommands) no_templates: bool,
}

impl Wanted {
    /// Are all entries wanted?
    pub(in crate::subcommands) fn is_empty(&self) -> bool {
        let Wanted {
            client,
            vip,
            service,
            server,
            state,
            protocol,
            expires_within,
            expires_after,
            templates,
            no_templates,
        } = self;
        [client, vip, server].iter().all(|networks| networks.is_empty())
            && (service.is_empty() && state.is_empty() && protocol.is_empty())
            && (expires_within.is_none() && expires_after.is_none())
            && !(*templates || *no_templates)
    }

    pub(in crate::subcommands) fn has(&self, connection: &Connection) -> bool {
        let Wanted { state, expires_within, expires_after, .. } = self;
        self.is_between(connection)
            && any(state, |name| name.as_bytes().eq_ignore_ascii_case(connection.state.as_bytes()))
            && expires_within.is_none_or(|seconds| connection.expires <= seconds)
            && expires_after.is_none_or(|seconds| connection.expires > seconds)
            && (!self.templates || connection.is_template())
            && !(self.no_templates && connection.is_template())
    }

    /// Is it between those that are wanted, whatever it is and its state?
    pub(in crate::subcommands) fn is_between(&self, connection: &Connection) -> bool {
        self.is_to_service(connection) && any(&self.server, |network| network.contains(connection.destination))
    }

    /// As [`is_between`](Self::is_between), whatever its real server.
    pub(in crate::subcommands) fn is_to_service(&self, connection: &Connection) -> bool {
        let Wanted { client, vip, service, protocol, .. } = self;
        any(client, |network| network.contains(connection.client))
            && any(vip, |network| is_at(network, &connection.target))
            && any(service, |key| *key == connection.target)
            && any(protocol, |protocol| protocol_of(connection) == Some(*protocol))
    }
}

/// An option that is not given restricts nothing.
fn any<T>(asked: &[T], is_met: impl Fn(&T) -> bool) -> bool {
    asked.is_empty() || asked.iter().any(is_met)
}

fn is_at(network: &Network, target: &ServiceKey) -> bool {
    match target {
        ServiceKey::Address { at, .. } => network.contains(*at),
        ServiceKey::Mark { .. } => false,
    }
}

/// That of a mark's template is not known.
pub(in crate::subcommands) fn protocol_of(connection: &Connection) -> Option<Protocol> {
    match connection.target {
        ServiceKey::Address { protocol, .. } => Some(protocol),
        ServiceKey::Mark { .. } => None,
    }
}
