//! What the connection table shows of each real server: evidence, as plain values.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use ipvs::proc::{Connection, Connections, ConnectionsError};
use ipvs::{Protocol, ServiceKey, Timeouts};

/// The number of clients that are remembered of each flow: enough to know that there are several.
const CLIENTS: usize = 1000;

/// The connections of a director, by real server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    timeouts: Timeouts,
    /// By real server and virtual address; of each protocol, if a port has several.
    flows: BTreeMap<(SocketAddr, SocketAddr), Vec<Flow>>,
}

/// The connections from one virtual address and port to one real server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) target: SocketAddr,
    protocol: Protocol,
    /// TCP clients that began a connection which is not established.
    pub(super) opening: BTreeSet<SocketAddr>,
    /// How many seconds ago the last of them sent a packet.
    pub(super) opened: u32,
    /// How many seconds ago a packet came of a connection that the real server has confirmed.
    pub(super) answered: u32,
    /// TCP connections that were reset, by the client or by the real server.
    pub(super) reset: usize,
    /// All other connections.
    pub(super) others: usize,
}

impl Traffic {
    /// Reads the connection table of this thread's network namespace.
    pub(super) fn read(timeouts: Timeouts) -> Result<Self, ConnectionsError> {
        let mut traffic = Traffic { timeouts, ..Traffic::default() };
        for connection in Connections::open()? {
            traffic.add(&connection?);
        }
        Ok(traffic)
    }

    pub(super) fn add(&mut self, connection: &Connection) {
        let ServiceKey::Address { protocol, at: target } = connection.target else { return };
        if connection.is_template() {
            return;
        }
        let flows = self.flows.entry((connection.destination, target)).or_default();
        let at = flows.iter().position(|flow| flow.protocol == protocol).unwrap_or_else(|| {
            flows.push(Flow::new(target, protocol));
            flows.len() - 1
        });
        let flow = &mut flows[at];
        let timeout = timeout(connection.state.as_bytes(), self.timeouts).filter(|_| protocol == Protocol::TCP);
        let age = timeout.map_or(u32::MAX, |timeout| timeout.saturating_sub(connection.expires));
        match (protocol, connection.state.as_bytes()) {
            (Protocol::TCP, b"SYN_RECV") if flow.opening.len() < CLIENTS => {
                flow.opening.insert(connection.client);
                flow.opened = flow.opened.min(age);
            }
            (Protocol::TCP, b"SYN_RECV" | b"NONE") => {}
            (Protocol::TCP, b"CLOSE") => flow.reset += 1,
            _ => {
                flow.others += 1;
                flow.answered = flow.answered.min(age);
            }
        }
    }

    /// Whether a real server has enough connections being set up for a second look.
    pub(super) fn is_suspicious(&self) -> bool {
        self.flows.values().flatten().any(|flow| flow.opening.len() >= super::silent::ENOUGH)
    }

    /// The same, where only clients count as opening that already were so in an earlier look.
    #[must_use]
    pub(super) fn since(mut self, earlier: &Traffic) -> Self {
        for (key, flows) in &mut self.flows {
            let old = earlier.flows.get(key);
            for flow in flows {
                let old = old.and_then(|old| old.iter().find(|old| old.protocol == flow.protocol));
                flow.opening.retain(|client| old.is_some_and(|old| old.opening.contains(client)));
            }
        }
        self
    }

    /// The connections of a service to one of its real servers.
    pub(super) fn of(&self, key: ServiceKey, destination: SocketAddr) -> impl Iterator<Item = &Flow> {
        let target = match key {
            ServiceKey::Address { at, .. } => ports(at),
            // The table has only the address; another service of the same real server may share it.
            ServiceKey::Mark { .. } => {
                let (first, last) = (Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::from_bits(u128::MAX).into());
                SocketAddr::new(first, 0)..=SocketAddr::new(last, u16::MAX)
            }
        };
        let servers = ports(destination);
        let all = self.flows.range((*servers.start(), *target.start())..=(*servers.end(), *target.end()));
        let is_of = move |flow: &&Flow| match key {
            ServiceKey::Address { protocol, .. } => protocol == flow.protocol && target.contains(&flow.target),
            ServiceKey::Mark { .. } => true,
        };
        all.flat_map(|(_, flows)| flows).filter(is_of)
    }
}

impl Flow {
    fn new(target: SocketAddr, protocol: Protocol) -> Self {
        let (opened, answered) = (u32::MAX, u32::MAX);
        Flow { target, protocol, opening: BTreeSet::new(), opened, answered, reset: 0, others: 0 }
    }
}

/// An address with its port, or with any port if that is 0.
fn ports(at: SocketAddr) -> RangeInclusive<SocketAddr> {
    let last = if at.port() == 0 { u16::MAX } else { at.port() };
    at..=SocketAddr::new(at.ip(), last)
}

/// For how many seconds the kernel keeps a TCP connection of this state after a packet:
/// `tcp_timeouts`, of which two can be set.
fn timeout(state: &[u8], timeouts: Timeouts) -> Option<u32> {
    match state {
        b"ESTABLISHED" => timeouts.tcp,
        b"FIN_WAIT" => timeouts.tcp_fin,
        b"TIME_WAIT" => Some(120),
        b"SYN_RECV" | b"CLOSE_WAIT" => Some(60),
        b"LAST_ACK" => Some(30),
        _ => None,
    }
}

#[cfg(test)]
impl Traffic {
    /// From lines of `/proc/net/ip_vs_conn`.
    pub(super) fn parse(lines: &str) -> Self {
        let timeouts = Timeouts::new().with_tcp(900).with_tcp_fin(120);
        let mut traffic = Traffic { timeouts, ..Traffic::default() };
        Connections::new(lines.as_bytes()).for_each(|connection| traffic.add(&connection.unwrap()));
        traffic
    }
}
