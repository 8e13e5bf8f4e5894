//! The list `group` of a service: which packets get its mark.

use std::collections::HashSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::Reader;
use super::fields::{Fields, Found, Keys};
use crate::desired::tree::{Kind, Value};
use crate::desired::{Group, Packets};
use crate::name::InterfaceName;
use crate::service::{Family, FirewallMark, Protocol, ServiceKey};

/// The keys of a member.
const KEYS: Keys = Keys {
    what: "a member of a group",
    names: &["address", "protocol", "ports", "source", "interface", "output", "mask"],
    others: &[
        ("ip", "address"),
        ("destination", "address"),
        ("port", "ports"),
        ("dports", "ports"),
        ("dport", "ports"),
    ],
};

const ADDRESS: &str = "an IP address or a network, such as \"192.0.2.1\" or \"2001:db8::/64\"";
const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

impl Reader<'_> {
    /// The group of the service, which is `None` if its own keys are wrong.
    pub(super) fn group(&mut self, service: Option<ServiceKey>, fields: &mut Fields<'_>) {
        let Some(at) = fields.place_of("group") else { return };
        let Some(members) = fields.list("group", &mut self.notes) else { return };
        let key = match service {
            Some(ServiceKey::Address { .. }) => {
                return self.notes.problem(at, "'group' is only for a 'mark': an address needs none");
            }
            Some(ServiceKey::Mark { mark, family }) => Some((mark, family)),
            None => None,
        };
        let (mut packets, mut seen) = (Vec::new(), HashSet::new());
        for member in members {
            let Some(mut fields) = Fields::of(member, &KEYS, &mut self.notes) else { continue };
            let Some(member) = self.packets(key, &mut fields) else { continue };
            if !seen.insert(member.clone()) {
                self.notes.problem(fields.at, "these packets are in the group twice");
            }
            packets.push((self.notes.place(fields.at), member));
        }
        if let Some(service) = service {
            self.groups.push(Group { place: self.notes.place(at), service, packets });
        }
    }

    fn packets(&mut self, service: Option<(FirewallMark, Family)>, fields: &mut Fields<'_>) -> Option<Packets> {
        fields.require("address", ADDRESS, &mut self.notes);
        let address = fields.text("address", &mut self.notes, ADDRESS, network);
        let (protocol, ports) = self.traffic(fields);
        let source = fields.text("source", &mut self.notes, ADDRESS, network);
        let (interface, output) = self.origin(fields);
        let mask = self.mask(service.map(|(mark, _)| mark), fields);
        let (address, (_, family)) = (address?, service?);
        let is_of_another = |network: IpNet| Family::of(network.addr()) != family;
        for found in [Some(address), source].into_iter().flatten().filter(|found| is_of_another(found.value)) {
            let reason = format!("the address must be of the service's family, {family}");
            self.notes.problem(found.at, reason);
        }
        let source = source.map(|found| found.value);
        Some(Packets { address: address.value, protocol, ports, source, interface, output, mask })
    }

    fn traffic(&mut self, fields: &mut Fields<'_>) -> (Option<Protocol>, Vec<RangeInclusive<u16>>) {
        let has_protocol = fields.place_of("protocol").is_some();
        let protocol = fields.word("protocol", &PROTOCOLS, &[], &mut self.notes);
        let protocol = protocol.and_then(|found| found.value.parse().ok());
        let at = fields.place_of("ports");
        let ports = fields.list("ports", &mut self.notes);
        let (Some(at), Some(ports)) = (at, ports) else { return (protocol, Vec::new()) };
        if !has_protocol {
            self.notes.problem(at, "'ports' needs 'protocol'");
        }
        if ports.is_empty() {
            self.notes.problem(at, "'ports' must have at least one port; for all ports, leave it out");
        }
        let mut seen = HashSet::new();
        let ranges = ports.iter().filter_map(|port| self.ports(port));
        (protocol, ranges.filter(|range| seen.insert(range.clone())).collect())
    }

    /// A port, or the first and the last of a range: `80`, `"8000:8080"`.
    fn ports(&mut self, value: &Value<'_>) -> Option<RangeInclusive<u16>> {
        let range = match &value.kind {
            Kind::Integer(port) => u16::try_from(*port).ok().map(|port| port..=port),
            Kind::Text(text) => range(text),
            _ => None,
        };
        if range.is_none() {
            let found = value.kind.found();
            let reason =
                format!("a port must be a whole number from 0 to 65535, or a range such as \"8000:8080\", not {found}");
            self.notes.problem(value.at, reason);
        }
        range
    }

    /// The interface, and if the packets are those that the director itself sends.
    fn origin(&mut self, fields: &mut Fields<'_>) -> (Option<InterfaceName>, bool) {
        let is = "the name of a network interface, such as \"eth0\": 1 to 15 letters, digits and any of . - _ @ : +";
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_@:+".contains(&byte);
        let interface = fields.text("interface", &mut self.notes, is, |text| {
            text.parse::<InterfaceName>().ok().filter(|name| name.as_bytes().iter().copied().all(is_allowed))
        });
        let output = fields.boolean("output", &mut self.notes).is_some_and(|found| found.value);
        match interface {
            Some(found) if output => {
                self.notes.problem(
                    found.at,
                    "'interface' can't be with 'output': packets of the director itself come in by no interface",
                );
                (None, output)
            }
            found => (found.map(|found| found.value), output),
        }
    }

    fn mask(&mut self, mark: Option<FirewallMark>, fields: &mut Fields<'_>) -> u32 {
        let mask: Option<Found<u32>> = fields.integer("mask", 1..=u32::MAX, "", &mut self.notes);
        let Some(Found { at, value }) = mask else { return u32::MAX };
        if let Some(mark) = mark.filter(|mark| mark.get() & !value != 0) {
            self.notes.problem(at, format!("'mask' must have all bits of the mark, {mark}: {value} has not"));
        }
        value
    }
}

/// A network without the bits behind its prefix, or an address.
fn network(text: &str) -> Option<IpNet> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    address.ok().or_else(|| text.parse().ok()).map(|network: IpNet| network.trunc())
}

/// The ports of `"8000:8080"`, `"8000:"`, `":80"` or `"80"`.
fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let port = |text: &str| text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let or = |text: &str, otherwise| if text.is_empty() { Some(otherwise) } else { port(text) };
    let range = match text.split_once(':') {
        None => port(text)?..=port(text)?,
        Some((first, last)) => or(first, 0)?..=or(last, u16::MAX)?,
    };
    (!range.is_empty()).then_some(range)
}
