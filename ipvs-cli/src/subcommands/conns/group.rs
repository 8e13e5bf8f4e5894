//! `--by`: how many connections and templates have something in common.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use ipvs::desired::parts::{Fields, Scalar};
use ipvs::{
    Protocol, ServiceKey,
    proc::{Connection, ConnectionState},
};
use ipvs_text::render::address::{endpoint, numeric};
use ipvs_text::render::number::right_number;

use super::args::By;
use crate::subcommands::entries::{Count, protocol_of, row};

/// What the entries of a group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Group {
    Client(IpAddr),
    Service(ServiceKey),
    Server(SocketAddr),
    State(ConnectionState),
    /// `None`: of a firewall mark's templates.
    Protocol(Option<Protocol>),
}

/// The groups so far. Memory grows with their number.
#[derive(Debug, Default)]
pub(super) struct Groups(HashMap<Group, Count>);

impl Groups {
    pub(super) fn add(&mut self, by: By, connection: &Connection) {
        self.0.entry(group(by, connection)).or_default().add(connection);
    }

    /// The most frequent first, else by what they have in common.
    pub(super) fn ordered(self, reverse: bool) -> Vec<(Group, Count)> {
        let mut groups: Vec<_> = self.0.into_iter().collect();
        groups.sort_unstable_by_key(|(group, count)| (std::cmp::Reverse(count.total()), *group));
        if reverse {
            groups.reverse();
        }
        groups
    }
}

fn group(by: By, connection: &Connection) -> Group {
    match by {
        By::Client => Group::Client(connection.client.ip()),
        By::Service => Group::Service(connection.target),
        By::Server => Group::Server(connection.destination),
        By::State => Group::State(connection.state),
        By::Protocol => Group::Protocol(protocol_of(connection)),
    }
}

pub(super) fn titles(line: &mut Vec<u8>, by: By) {
    line.extend_from_slice(b"CONNECTIONS  TEMPLATES  ");
    line.extend_from_slice(name(by).to_ascii_uppercase().as_bytes());
}

pub(super) fn text(line: &mut Vec<u8>, group: Group, count: Count) {
    right_number(line, 11, count.connections);
    right_number(line, 11, count.templates);
    line.extend_from_slice(b"  ");
    match group {
        Group::Client(address) => numeric(line, address),
        Group::Server(at) => endpoint(line, at, None, None),
        Group::Service(key) => row::service(line, key),
        Group::State(state) => line.extend_from_slice(state.as_bytes()),
        Group::Protocol(protocol) => line.extend_from_slice(protocol_name(protocol).as_bytes()),
    }
}

pub(super) fn fields(by: By, group: Group, count: Count) -> Fields {
    let value = match group {
        Group::Client(address) => Scalar::text(address),
        Group::Server(at) => Scalar::text(at),
        Group::Service(key) => Scalar::text(key),
        Group::State(state) => Scalar::text(state),
        Group::Protocol(protocol) => Scalar::Text(protocol_name(protocol)),
    };
    let mut fields = vec![(name(by), value)];
    fields.extend(count.fields());
    fields
}

fn protocol_name(protocol: Option<Protocol>) -> String {
    protocol.map_or_else(|| "mark".to_owned(), |protocol| protocol.to_string())
}

fn name(by: By) -> &'static str {
    match by {
        By::Client => "client",
        By::Service => "service",
        By::Server => "server",
        By::State => "state",
        By::Protocol => "protocol",
    }
}
