//! `--by`: how many connections and templates have the same values of some keys.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use ipvs::desired::parts::{Fields, Scalar};
use ipvs::{
    Protocol, ServiceKey,
    proc::{Connection, ConnectionState},
};
use ipvs_text::render::address::{endpoint, numeric};
use ipvs_text::render::number::{left, right_number};

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
pub(super) struct Groups {
    counts: HashMap<Box<[Group]>, Count>,
    /// Of the entry that is added, to be looked for.
    key: Vec<Group>,
}

impl Groups {
    pub(super) fn add(&mut self, by: &[By], connection: &Connection) {
        self.key.clear();
        self.key.extend(by.iter().map(|by| group(*by, connection)));
        match self.counts.get_mut(self.key.as_slice()) {
            Some(count) => count.add(connection),
            None => self.counts.entry(self.key.as_slice().into()).or_default().add(connection),
        }
    }

    /// How many there are, and what is in all of them.
    pub(super) fn total(&self) -> (usize, Count) {
        let mut total = Count::default();
        self.counts.values().for_each(|count| {
            total.connections += count.connections;
            total.templates += count.templates;
        });
        (self.counts.len(), total)
    }

    /// By the key at this place; without one, the most frequent first.
    pub(super) fn ordered(self, sort: Option<usize>, reverse: bool) -> Vec<(Box<[Group]>, Count)> {
        let mut groups: Vec<_> = self.counts.into_iter().collect();
        groups.sort_unstable_by(|(one, count), (other, other_count)| {
            let order = match sort {
                Some(at) => one[at].cmp(&other[at]),
                None => Ordering::Equal,
            };
            order.then(other_count.total().cmp(&count.total())).then_with(|| one.cmp(other))
        });
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

pub(super) fn titles(line: &mut Vec<u8>, by: &[By]) {
    line.extend_from_slice(b"CONNECTIONS  TEMPLATES  ");
    columns(line, by, |line, at| line.extend_from_slice(by[at].name().to_ascii_uppercase().as_bytes()));
}

pub(super) fn text(line: &mut Vec<u8>, by: &[By], groups: &[Group], count: Count) {
    counted(line, count);
    columns(line, by, |line, at| match groups[at] {
        Group::Client(address) => numeric(line, address),
        Group::Server(at) => endpoint(line, at, None, None),
        Group::Service(key) => row::service(line, key),
        Group::State(state) => line.extend_from_slice(state.as_bytes()),
        Group::Protocol(protocol) => line.extend_from_slice(protocol_name(protocol).as_bytes()),
    });
}

/// The last line: of all groups, also of those that `--limit` leaves out.
pub(super) fn total(line: &mut Vec<u8>, groups: usize, count: Count) {
    counted(line, count);
    line.extend_from_slice(format!("total of {groups} group{}", if groups == 1 { "" } else { "s" }).as_bytes());
}

fn counted(line: &mut Vec<u8>, count: Count) {
    right_number(line, 11, count.connections);
    right_number(line, 11, count.templates);
    line.extend_from_slice(b"  ");
}

/// The keys beside each other. The last one needs no width.
fn columns(line: &mut Vec<u8>, by: &[By], write: impl Fn(&mut Vec<u8>, usize)) {
    for (at, key) in by.iter().enumerate() {
        if at + 1 == by.len() {
            return write(line, at);
        }
        let width = match key {
            By::Client => 15,
            By::Service => row::SERVICE,
            By::Server => row::ENDPOINT,
            By::State => row::STATE,
            By::Protocol => 8,
        };
        left(line, width, |line| write(line, at));
        line.push(b' ');
    }
}

pub(super) fn fields(by: &[By], groups: &[Group], count: Count) -> Fields {
    let value = |group: &Group| match *group {
        Group::Client(address) => Scalar::text(address),
        Group::Server(at) => Scalar::text(at),
        Group::Service(key) => Scalar::text(key),
        Group::State(state) => Scalar::text(state),
        Group::Protocol(protocol) => Scalar::Text(protocol_name(protocol)),
    };
    let mut fields: Fields = by.iter().zip(groups).map(|(by, group)| (by.name(), value(group))).collect();
    fields.extend(count.fields());
    fields
}

fn protocol_name(protocol: Option<Protocol>) -> String {
    protocol.map_or_else(|| "mark".to_owned(), |protocol| protocol.to_string())
}
