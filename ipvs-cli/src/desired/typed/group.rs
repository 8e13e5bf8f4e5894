//! The list `group` of a service: which packets get its mark.

use std::collections::HashSet;

use fwmark::{InterfaceName, Mark, MarkGroup, MarkRule, Network, Origin, PortRange, Protocol, SetMark, Traffic};
use ipvs::{Family, ServiceKey};

use super::Reader;
use super::fields::{Fields, Found};
use super::keys;
use super::tree::{Kind, Value};
use crate::desired::Group;

const ADDRESS: &str = "an IP address or a network, such as \"192.0.2.1\" or \"2001:db8::/64\"";
const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

impl Reader<'_> {
    /// The group of the service, which is none if it was wrong itself.
    pub(super) fn group(&mut self, service: Option<ServiceKey>, fields: &mut Fields<'_>) {
        let Some(at) = fields.place_of("group") else { return };
        let Some(members) = fields.list("group", &mut self.notes) else { return };
        let key = match service {
            Some(ServiceKey::Address { .. }) => {
                return self.notes.problem(at, "`group' is for a `mark': an address needs none");
            }
            Some(ServiceKey::Mark { mark, family }) => Mark::new(mark.get()).ok().map(|mark| (mark, family)),
            None => None,
        };
        let mut rules = Vec::new();
        let mut seen = HashSet::new();
        for member in members {
            let Some(mut fields) = Fields::of(member, &keys::GROUP, &mut self.notes) else { continue };
            let made = self.member(key, &mut fields);
            if made.iter().any(|rule| !seen.insert(rule.clone())) {
                self.notes.problem(fields.at, "these packets are in the group twice");
            }
            rules.extend(made);
        }
        if let Some(service) = service {
            self.groups.push(Group { place: self.notes.place(at), service, rules });
        }
    }

    /// The rules of a member: more than one if it has many ports, none if something is wrong.
    fn member(&mut self, service: Option<(Mark, Family)>, fields: &mut Fields<'_>) -> Vec<MarkRule> {
        fields.require("address", ADDRESS, &mut self.notes);
        let to: Option<Found<Network>> = fields.text("address", &mut self.notes, ADDRESS, |text| text.parse().ok());
        let traffic = self.traffic(fields);
        let source: Option<Found<Network>> = fields.text("source", &mut self.notes, ADDRESS, |text| text.parse().ok());
        let origin = self.origin(fields);
        let set = self.set(service.map(|(mark, _)| mark), fields);
        let (Some((_, family)), Some(to), Some(set)) = (service, to, set) else { return Vec::new() };
        if Family::of(to.value.address()) != family {
            self.notes
                .problem(to.at, format!("the address is of another family than the service, which is of {family}"));
        }
        let rule = MarkRule::new(to.value, set).with_origin(origin);
        let rule = match source {
            None => Ok(rule),
            Some(source) => rule.with_source(source.value).map_err(|error| (source.at, error)),
        };
        match rule {
            Ok(rule) => traffic.into_iter().map(|traffic| rule.clone().with_traffic(traffic)).collect(),
            Err((at, error)) => {
                self.notes.problem(at, error.to_string());
                Vec::new()
            }
        }
    }

    /// The protocol and the ports, of which a rule has fifteen.
    fn traffic(&mut self, fields: &mut Fields<'_>) -> Vec<Traffic> {
        let is_typed = fields.place_of("protocol").is_some();
        let protocol = fields.word("protocol", &PROTOCOLS, &[], &mut self.notes);
        let protocol: Option<Protocol> = protocol.and_then(|found| found.value.parse().ok());
        let at = fields.place_of("ports");
        let ports = fields.list("ports", &mut self.notes);
        let (Some(at), Some(ports)) = (at, ports) else {
            return vec![protocol.map_or(Traffic::Any, Traffic::Protocol)];
        };
        if protocol.is_none() && !is_typed {
            self.notes.problem(at, "`ports' are those of a `protocol'");
        }
        if ports.is_empty() {
            self.notes.problem(at, "`ports' names at least one; without it, all are meant");
        }
        let ranges: Vec<PortRange> = ports.into_iter().filter_map(|port| self.port(&port)).collect();
        let Some(protocol) = protocol else { return Vec::new() };
        spread(protocol, &ranges)
    }

    fn port(&mut self, value: &Value<'_>) -> Option<PortRange> {
        let range = match &value.kind {
            Kind::Integer(port) => u16::try_from(*port).ok().map(PortRange::from),
            Kind::Text(text) => text.parse().ok(),
            _ => None,
        };
        if range.is_none() {
            let found = value.kind.found();
            let reason =
                format!("a port is a whole number from 0 to 65535, or a range such as \"8000:8080\", not {found}");
            self.notes.problem(value.at, reason);
        }
        range
    }

    fn origin(&mut self, fields: &mut Fields<'_>) -> Origin {
        let is = "the name of a network interface, such as \"eth0\": 1 to 15 letters, digits and any of . - _ @ : +";
        let interface: Option<Found<InterfaceName>> =
            fields.text("interface", &mut self.notes, is, |text| text.parse().ok());
        let is_own = fields.boolean("output", &mut self.notes).is_some_and(|found| found.value);
        match interface {
            Some(found) if is_own => {
                self.notes.problem(found.at, "packets of the director itself (`output') come in by no `interface'");
                Origin::Director
            }
            _ if is_own => Origin::Director,
            interface => Origin::Outside { interface: interface.map(|found| found.value) },
        }
    }

    fn set(&mut self, mark: Option<Mark>, fields: &mut Fields<'_>) -> Option<SetMark> {
        let mask: Option<Found<u32>> = fields.integer("mask", 1..=u32::MAX, "", &mut self.notes);
        let mark = mark?;
        let Some(Found { at, value }) = mask else { return Some(mark.into()) };
        match SetMark::masked(mark, value) {
            Ok(set) => Some(set),
            Err(_) => {
                self.notes.problem(at, format!("`mask' has all bits of the mark, {mark}, not only {value}"));
                None
            }
        }
    }
}

/// As few rules as the ports need.
fn spread(protocol: Protocol, ranges: &[PortRange]) -> Vec<Traffic> {
    // The group knows how many fit; whose address and mark it has does not matter.
    let Ok(mark) = Mark::new(1) else { return Vec::new() };
    let all =
        ranges.iter().fold(MarkGroup::new(mark), |group, range| group.with([0, 0, 0, 0].into(), protocol, *range));
    all.rules().map(|rule| rule.traffic().clone()).collect()
}
