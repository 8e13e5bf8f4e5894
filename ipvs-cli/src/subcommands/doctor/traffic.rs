//! What the connection table shows of each real server: evidence, as plain values.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use ipvs::proc::{Connection, Connections, ConnectionsError};
use ipvs::{Protocol, ServiceKey, Timeouts};

/// The number of clients that are remembered of each flow: enough to know that there are several.
const CLIENTS: usize = 1000;

/// The connections of a director, by real server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    /// All entries of the table.
    pub(super) entries: usize,
    timeouts: Timeouts,
    flows: BTreeMap<IpAddr, Vec<Flow>>,
}

/// The connections from one virtual address and port to one real server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) target: SocketAddr,
    pub(super) protocol: Protocol,
    pub(super) destination: SocketAddr,
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
        self.entries += 1;
        let ServiceKey::Address { protocol, at: target } = connection.target else { return };
        if connection.is_template() {
            return;
        }
        let destination = connection.destination;
        let flows = self.flows.entry(destination.ip()).or_default();
        let is_same = |flow: &Flow| (flow.target, flow.protocol, flow.destination) == (target, protocol, destination);
        let at = flows.iter().position(is_same).unwrap_or_else(|| {
            flows.push(Flow {
                target,
                protocol,
                destination,
                opening: BTreeSet::new(),
                opened: u32::MAX,
                answered: u32::MAX,
                reset: 0,
                others: 0,
            });
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

    /// Whether some real server has so many connections being set up that a second look is due.
    pub(super) fn is_suspicious(&self) -> bool {
        self.flows.values().flatten().any(|flow| flow.opening.len() >= super::silent::ENOUGH)
    }

    /// The same, where only clients count as opening that already were so in an earlier look.
    #[must_use]
    pub(super) fn since(mut self, earlier: &Traffic) -> Self {
        for flow in self.flows.values_mut().flatten() {
            let same = |old: &&Flow| {
                (old.target, old.protocol, old.destination) == (flow.target, flow.protocol, flow.destination)
            };
            let old = earlier.flows.get(&flow.destination.ip()).and_then(|flows| flows.iter().find(same));
            flow.opening.retain(|client| old.is_some_and(|old| old.opening.contains(client)));
        }
        self
    }

    /// The connections of a service to one of its real servers.
    pub(super) fn of(&self, key: ServiceKey, destination: SocketAddr) -> impl Iterator<Item = &Flow> {
        let is_of = move |flow: &&Flow| {
            let is_target = match key {
                ServiceKey::Address { protocol, at } => {
                    protocol == flow.protocol
                        && at.ip() == flow.target.ip()
                        && [0, flow.target.port()].contains(&at.port())
                }
                // The table has only the address; another service of the same real server may share it.
                ServiceKey::Mark { .. } => true,
            };
            is_target && [0, flow.destination.port()].contains(&destination.port())
        };
        self.flows.get(&destination.ip()).into_iter().flatten().filter(is_of)
    }
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
