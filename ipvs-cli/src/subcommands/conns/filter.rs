//! Which connections are wanted.

use ipvs::{Protocol, ServiceKey, proc::Connection};

use super::args::Wanted;
use crate::arguments::network::Network;

impl Wanted {
    /// Are all entries wanted?
    pub(super) fn is_empty(&self) -> bool {
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

    pub(super) fn has(&self, connection: &Connection) -> bool {
        let Wanted { state, expires_within, expires_after, .. } = self;
        self.is_between(connection)
            && any(state, |name| name.as_bytes().eq_ignore_ascii_case(connection.state.as_bytes()))
            && expires_within.is_none_or(|seconds| connection.expires <= seconds)
            && expires_after.is_none_or(|seconds| connection.expires > seconds)
            && (!self.templates || connection.is_template())
            && !(self.no_templates && connection.is_template())
    }

    /// Is it between those that are wanted, whatever it is and its state?
    pub(super) fn is_between(&self, connection: &Connection) -> bool {
        let Wanted { client, vip, service, server, protocol, .. } = self;
        any(client, |network| network.contains(connection.client))
            && any(vip, |network| is_at(network, &connection.target))
            && any(service, |key| *key == connection.target)
            && any(server, |network| network.contains(connection.destination))
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
pub(super) fn protocol_of(connection: &Connection) -> Option<Protocol> {
    match connection.target {
        ServiceKey::Address { protocol, .. } => Some(protocol),
        ServiceKey::Mark { .. } => None,
    }
}
