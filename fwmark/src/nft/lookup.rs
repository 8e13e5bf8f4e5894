//! Rules as few lookups: their number depends on the kinds of rules, not on the number of rules.
//!
//! A rule is split into elements of maps, one for each of its ports or ranges. A map has all
//! elements of one [`Shape`]: the same chain, family and interface, and the same fields in the key.
//! Where rules overlap, the later one decides, as with iptables. A map has no order, so an element
//! goes to a later *layer* than earlier elements that overlap it. Most rule sets have one layer.

use std::collections::HashMap;
use std::net::IpAddr;

use ipvs::Family;

use crate::interface::InterfacePattern;
use crate::mark::SetMark;
use crate::ports::{PortRange, Ports};
use crate::protocol::Protocol;
use crate::rule::{Hook, MarkRule, Traffic};

/// What the elements of one map have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    pub(super) hook: Hook,
    pub(super) family: Family,
    pub(super) has_source: bool,
    pub(super) has_protocol: bool,
    pub(super) has_port: bool,
    /// Has networks or ranges, which need a slower kind of map.
    pub(super) has_ranges: bool,
    /// Set if only some bits are replaced: the kernel's maps can't do that, so each is a set of its
    /// own.
    pub(super) masked: Option<SetMark>,
}

impl Shape {
    fn of(rule: &MarkRule) -> Self {
        let (protocol, ports) = (rule.traffic().protocol(), ports(rule));
        let is_exact = rule.destination().is_host()
            && (rule.source().is_any() || rule.source().is_host())
            && ports.is_none_or(|range| range.first() == range.last());
        Shape {
            hook: rule.hook(),
            family: rule.family(),
            // The kernel's maps of ranges need at least two fields.
            has_source: !rule.source().is_any() || (!is_exact && protocol.is_none()),
            has_protocol: protocol.is_some(),
            has_port: ports.is_some(),
            has_ranges: !is_exact,
            masked: Some(rule.set()).filter(|set| set.mask() != u32::MAX),
        }
    }

    /// The interfaces, unless it is any.
    pub(super) fn interface(&self) -> Option<&InterfacePattern> {
        match &self.hook {
            Hook::Prerouting { interface } => interface.as_ref(),
            Hook::Output => None,
        }
    }
}

/// The ports of an element.
pub(super) fn ports(rule: &MarkRule) -> Option<PortRange> {
    match rule.traffic() {
        Traffic::Ports(_, ports) => ports.ranges().first().copied(),
        _ => None,
    }
}

/// A rule, or its part for one port or range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Element {
    /// The rule's index, from 0.
    pub(super) number: u32,
    /// The range's index in the rule, from 0.
    pub(super) part: u32,
    /// The rule with at most one range.
    pub(super) rule: MarkRule,
}

/// One map or set, and the rule that uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lookup {
    pub(super) shape: Shape,
    layer: u32,
    pub(super) elements: Vec<Element>,
}

/// The lookups of rules, in the order in which the kernel does them.
pub(super) fn lookups(rules: &[MarkRule]) -> Vec<Lookup> {
    let mut index = Index::default();
    let mut places: HashMap<(u32, Shape), usize> = HashMap::new();
    let mut lookups: Vec<Lookup> = Vec::new();
    for element in split(rules) {
        let shape = Shape::of(&element.rule);
        let layer = index.layer_for(&element.rule, &shape);
        index.add(&element.rule, shape.clone(), layer);
        let place = *places.entry((layer, shape.clone())).or_insert_with(|| {
            lookups.push(Lookup { shape, layer, elements: Vec::new() });
            lookups.len() - 1
        });
        lookups[place].elements.push(element);
    }
    lookups.sort_by_key(|lookup| lookup.layer);
    lookups
}

fn split(rules: &[MarkRule]) -> impl Iterator<Item = Element> + '_ {
    rules.iter().zip(0..).flat_map(|(rule, number)| {
        let parts: Vec<MarkRule> = match rule.traffic() {
            Traffic::Ports(protocol, ports) => {
                let one = |range: &PortRange| Traffic::Ports(*protocol, Ports::from(*range));
                ports.ranges().iter().map(|range| rule.clone().with_traffic(one(range))).collect()
            }
            _ => vec![rule.clone()],
        };
        parts.into_iter().zip(0..).map(move |(rule, part)| Element { number, part, rule })
    })
}

/// Puts elements together again: the rules, in their order.
pub(super) fn join(mut elements: Vec<Element>) -> Vec<MarkRule> {
    elements.sort_unstable_by_key(|element| (element.number, element.part));
    let mut rules: Vec<(u32, MarkRule)> = Vec::new();
    for element in elements {
        let grown = rules
            .last()
            .filter(|(number, _)| *number == element.number)
            .and_then(|(_, rule)| grow(rule, &element.rule));
        match (rules.last_mut(), grown) {
            (Some((_, last)), Some(grown)) => *last = grown,
            _ => rules.push((element.number, element.rule)),
        }
    }
    rules.into_iter().map(|(_, rule)| rule).collect()
}

/// The rule with the ports of another one that is the same but for them.
fn grow(rule: &MarkRule, more: &MarkRule) -> Option<MarkRule> {
    let (Traffic::Ports(protocol, ports), Traffic::Ports(_, added)) = (rule.traffic(), more.traffic()) else {
        return None;
    };
    let ports = Ports::new(ports.ranges().iter().chain(added.ranges()).copied()).ok()?;
    let grown = rule.clone().with_traffic(Traffic::Ports(*protocol, ports));
    (more.clone().with_traffic(grown.traffic().clone()) == grown).then_some(grown)
}

/// The elements so far, indexed by the packets that they match: comparing all pairs would take
/// minutes.
#[derive(Default)]
struct Index {
    all: Vec<Entry>,
    exact: HashMap<(IpAddr, Protocol, u16), Vec<usize>>,
    /// Those that match more than one port of one address.
    wide: Vec<usize>,
}

struct Entry {
    rule: MarkRule,
    shape: Shape,
    layer: u32,
}

impl Index {
    /// The layer after all that the rule must follow.
    fn layer_for(&self, rule: &MarkRule, shape: &Shape) -> u32 {
        let precedes = |place: &usize| {
            let entry = &self.all[*place];
            let matters = entry.rule.set() != rule.set() || entry.shape == *shape;
            (matters && entry.rule.overlaps(rule)).then_some(entry.layer + 1)
        };
        match point(rule) {
            Some(point) => {
                let same = self.exact.get(&point).into_iter().flatten();
                same.chain(&self.wide).filter_map(precedes).max().unwrap_or(0)
            }
            None => (0..self.all.len()).filter_map(|place| precedes(&place)).max().unwrap_or(0),
        }
    }

    fn add(&mut self, rule: &MarkRule, shape: Shape, layer: u32) {
        let place = self.all.len();
        match point(rule) {
            Some(point) => self.exact.entry(point).or_default().push(place),
            None => self.wide.push(place),
        }
        self.all.push(Entry { rule: rule.clone(), shape, layer });
    }
}

/// The one address, protocol and port that an element matches.
fn point(rule: &MarkRule) -> Option<(IpAddr, Protocol, u16)> {
    let (destination, range) = (rule.destination(), ports(rule)?);
    let is_point = destination.is_host() && range.first() == range.last();
    Some((destination.address(), rule.traffic().protocol()?, range.first())).filter(|_| is_point)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(lines: &[&str]) -> Vec<MarkRule> {
        let parse = |line: &&str| crate::parse(&format!("iptables -t mangle -A PREROUTING {line}")).unwrap().rule;
        lines.iter().map(parse).collect()
    }

    #[track_caller]
    fn laid_out(lines: &[&str], expected: &[&[(u32, u32)]]) {
        let rules = rules(lines);
        let lookups = lookups(&rules);
        let numbers: Vec<Vec<_>> = lookups
            .iter()
            .map(|lookup| lookup.elements.iter().map(|element| (element.number, element.part)).collect())
            .collect();
        assert_eq!(numbers, expected);
        assert_eq!(join(lookups.into_iter().flat_map(|lookup| lookup.elements).collect()), rules);
    }

    #[test]
    fn rules_of_one_kind_are_one_map() {
        laid_out(
            &[
                "-d 192.0.2.1 -p tcp -m multiport --dports 80,443 -j MARK --set-mark 1",
                "-d 192.0.2.2 -p udp --dport 53 -j MARK --set-mark 2",
            ],
            &[&[(0, 0), (0, 1), (1, 0)]],
        );
    }

    #[test]
    fn a_later_rule_is_asked_later_where_it_overlaps() {
        laid_out(
            &[
                "-d 192.0.2.1 -p tcp --dport 80 -j MARK --set-mark 1",
                "-d 192.0.2.1 -p tcp --dport 1:1023 -j MARK --set-mark 2",
                "-d 192.0.2.1 -p tcp --dport 80 -j MARK --set-mark 3",
                "-d 192.0.2.2 -p tcp --dport 80 -j MARK --set-mark 4",
            ],
            &[&[(0, 0), (3, 0)], &[(1, 0)], &[(2, 0)]],
        );
    }

    #[test]
    fn an_element_is_in_a_map_once() {
        laid_out(
            &[
                "-d 192.0.2.1 -p tcp -m multiport --dports 80,443 -j MARK --set-mark 1",
                "-d 192.0.2.1 -p tcp -m multiport --dports 443,8443 -j MARK --set-mark 1",
                "-d 192.0.2.1 -j MARK --set-mark 1",
            ],
            &[&[(0, 0), (0, 1), (1, 1)], &[(2, 0)], &[(1, 0)]],
        );
    }

    #[test]
    fn many_ports_of_one_address_are_laid_out_at_once() {
        let vip = "192.0.2.1".parse().unwrap();
        let ports = |port: u16| Traffic::Ports(Protocol::Tcp, Ports::from(PortRange::from(port)));
        let rule = |port: u16| {
            MarkRule::new(vip, crate::FirewallMark::new(u32::from(port) + 1).unwrap()).with_traffic(ports(port))
        };
        let rules: Vec<_> = (0..=u16::MAX).map(rule).collect();
        assert_eq!(lookups(&rules).len(), 1);
    }
}
