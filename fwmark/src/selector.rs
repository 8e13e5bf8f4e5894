//! The packets that a rule of any program matches, as far as this crate understands it.

use std::fmt;
use std::net::IpAddr;

use ipvs::Family;

use crate::interface::InterfacePattern;
use crate::mark::SetMark;
use crate::network::Network;
use crate::ports::Ports;
use crate::protocol::Protocol;
use crate::rule::{Hook, MarkRule, Traffic};

/// Addresses of one family from a first to a last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: IpAddr,
    pub(crate) last: IpAddr,
}

impl Span {
    fn overlaps(self, network: Network) -> bool {
        self.first.is_ipv4() == network.address().is_ipv4()
            && self.first <= network.last()
            && network.address() <= self.last
    }

    /// The network, if it is one.
    fn network(self) -> Option<Network> {
        let width = Network::from(self.first).prefix();
        let networks = (0..=width).filter_map(|prefix| Network::new(self.first, prefix).ok());
        networks.into_iter().find(|network| network.address() == self.first && network.last() == self.last)
    }
}

impl From<Network> for Span {
    fn from(network: Network) -> Self {
        Span { first: network.address(), last: network.last() }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.network() {
            Some(network) => write!(f, "{network}"),
            None => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// The known conditions on packets. `None` is no condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    /// Does it match packets of other machines?
    pub(crate) outside: bool,
    /// Does it match packets of the director itself?
    pub(crate) director: bool,
    pub(crate) family: Option<Family>,
    pub(crate) interface: Option<InterfacePattern>,
    pub(crate) source: Option<Span>,
    pub(crate) destination: Option<Span>,
    /// The protocol's number.
    pub(crate) protocol: Option<u8>,
    pub(crate) ports: Option<Ports>,
    /// There are unknown conditions: the packets are these or fewer.
    pub(crate) is_narrower: bool,
}

/// Are there packets in both?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overlap {
    No,
    /// There are unknown conditions.
    Perhaps,
    Yes,
}

impl Selector {
    /// All packets at a hook.
    pub(crate) fn all(outside: bool, director: bool, family: Option<Family>) -> Self {
        Selector {
            outside,
            director,
            family,
            interface: None,
            source: None,
            destination: None,
            protocol: None,
            ports: None,
            is_narrower: false,
        }
    }

    pub(crate) fn overlap(&self, rule: &MarkRule) -> Overlap {
        let is_apart = self.is_elsewhere(rule.hook())
            || self.family.is_some_and(|family| family != rule.family())
            || self.source.is_some_and(|span| !span.overlaps(rule.source()))
            || self.destination.is_some_and(|span| !span.overlaps(rule.destination()))
            || self.is_other_traffic(rule.traffic());
        match (is_apart, self.is_narrower) {
            (true, _) => Overlap::No,
            (false, true) => Overlap::Perhaps,
            (false, false) => Overlap::Yes,
        }
    }

    fn is_elsewhere(&self, hook: Hook) -> bool {
        match (hook, &self.interface) {
            (Hook::Output, _) => !self.director,
            (Hook::Prerouting { interface: Some(own) }, Some(foreign)) => !self.outside || !own.overlaps(foreign),
            (Hook::Prerouting { .. }, _) => !self.outside,
        }
    }

    fn is_other_traffic(&self, traffic: &Traffic) -> bool {
        let other_protocol = match (self.protocol, traffic.protocol()) {
            (Some(foreign), Some(own)) => foreign != own.number(),
            _ => false,
        };
        let other_ports = match (&self.ports, traffic) {
            (Some(foreign), Traffic::Ports(_, own)) => !own.overlaps(foreign),
            _ => false,
        };
        other_protocol || other_ports
    }

    /// The rule with just these conditions that sets a mark, if there is one.
    pub(crate) fn to_rule(&self, set: SetMark) -> Option<MarkRule> {
        let family = self.family.filter(|_| !self.is_narrower)?;
        let network = |span: Option<Span>| match span {
            None => Some(Network::any(family)),
            Some(span) => span.network().filter(|network| network.family() == family),
        };
        let hook = match (self.outside, self.director) {
            (true, false) => Hook::Prerouting { interface: self.interface },
            (false, true) => Hook::Output,
            _ => return None,
        };
        let protocol = match self.protocol {
            None => None,
            Some(number) => Some(Protocol::from_number(number)?),
        };
        let traffic = match (protocol, &self.ports) {
            (None, None) => Traffic::Any,
            (None, Some(_)) => return None,
            (Some(protocol), None) => Traffic::Protocol(protocol),
            (Some(protocol), Some(ports)) => Traffic::Ports(protocol, ports.clone()),
        };
        let rule = MarkRule::new(network(self.destination)?, set).with_source(network(self.source)?).ok()?;
        Some(rule.with_traffic(traffic).with_hook(hook))
    }
}

impl fmt::Display for Selector {
    /// The conditions as options of iptables.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        let mut say =
            |option: &str, value: Option<String>| words.extend(value.map(|value| format!("{option} {value}")));
        say("-i", self.interface.as_ref().map(ToString::to_string));
        say("-s", self.source.map(|span| span.to_string()));
        say("-d", self.destination.map(|span| span.to_string()));
        let protocol =
            |number| Protocol::from_number(number).map_or_else(|| number.to_string(), |known| known.to_string());
        say("-p", self.protocol.map(protocol));
        say("--dports", self.ports.as_ref().map(ToString::to_string));
        if self.is_narrower {
            words.push("and more".to_owned());
        }
        if words.is_empty() { f.write_str("all packets") } else { f.write_str(&words.join(" ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_network_only_if_it_fills_one() {
        let span = |first: &str, last: &str| Span { first: first.parse().unwrap(), last: last.parse().unwrap() };
        assert_eq!(span("192.0.2.0", "192.0.2.255").to_string(), "192.0.2.0/24");
        assert_eq!(span("192.0.2.1", "192.0.2.1").to_string(), "192.0.2.1");
        assert_eq!(span("192.0.2.1", "192.0.2.2").to_string(), "192.0.2.1-192.0.2.2");
        assert_eq!(span("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff").to_string(), "::/0");
    }

    #[test]
    fn unknown_conditions_may_overlap() {
        let rule = crate::parse("iptables -t mangle -A PREROUTING -d 192.0.2.1 -p tcp --dport 80 -j MARK --set-mark 1");
        let rule = rule.unwrap().rule;
        let all = Selector::all(true, false, Some(Family::V4));
        assert_eq!(all.overlap(&rule), Overlap::Yes);
        assert_eq!(Selector { is_narrower: true, ..all.clone() }.overlap(&rule), Overlap::Perhaps);
        for other in [
            Selector { outside: false, director: true, ..all.clone() },
            Selector { family: Some(Family::V6), ..all.clone() },
            Selector { protocol: Some(17), ..all.clone() },
            Selector { ports: Some("81".parse().unwrap()), ..all.clone() },
            Selector { destination: Some("192.0.2.2".parse::<Network>().unwrap().into()), ..all },
        ] {
            assert_eq!(other.overlap(&rule), Overlap::No, "{other}");
        }
    }
}
