//! Which connections are wanted.

use ipvs::{Protocol, ServiceKey, proc::Connection};

use super::args::Wanted;
use crate::arguments::network::Network;

impl Wanted {
    pub(super) fn has(&self, connection: &Connection) -> bool {
        let Wanted { client, vip, service, server, state, protocol, expires_within, expires_after, .. } = self;
        any(client, |network| network.contains(connection.client))
            && any(vip, |network| is_at(network, &connection.target))
            && any(service, |key| *key == connection.target)
            && any(server, |network| network.contains(connection.destination))
            && any(state, |name| name.as_bytes().eq_ignore_ascii_case(connection.state.as_bytes()))
            && any(protocol, |protocol| protocol_of(connection) == Some(*protocol))
            && expires_within.is_none_or(|seconds| connection.expires <= seconds)
            && expires_after.is_none_or(|seconds| connection.expires > seconds)
            && (!self.templates || connection.is_template())
            && !(self.no_templates && connection.is_template())
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
