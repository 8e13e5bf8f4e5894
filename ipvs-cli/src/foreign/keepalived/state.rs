//! What keepalived makes of its configuration while all checks succeed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use ipvs::{
    Command, Destination, Family, FirewallMark, Forwarding, Netmask, Persistence, PersistenceEngine, Protocol,
    Scheduler, Service, ServiceKey, Weight,
};

use super::super::Output;
use super::blocks::{Configuration, DEFAULT_PERSISTENCE, Entry, Group, Key, Real, Virtual};

/// Writes the commands that make the state.
pub(super) fn write(configuration: &Configuration, output: &mut Output) {
    if let Some((place, timeouts)) = &configuration.timeouts {
        output.foreign.desired.scope.timeouts = true;
        output.command(place, Command::SetTimeouts(*timeouts));
    }
    let mut groups = BTreeMap::new();
    for group in &configuration.groups {
        if groups.insert(group.name.as_str(), group).is_some() {
            output.problem(&group.place, format!("the group {} is there twice", group.name));
        }
    }
    let mut seen = BTreeSet::new();
    for service in &configuration.services {
        if output.is_full() {
            return;
        }
        Writer { service, output, seen: &mut seen, family: None, persistence: persistence(service) }.write(&groups);
    }
}

/// A granularity alone makes a service persistent.
fn persistence(service: &Virtual) -> Option<u32> {
    service.persistence.or_else(|| service.granularity.as_ref().map(|_| DEFAULT_PERSISTENCE))
}

struct Writer<'w> {
    service: &'w Virtual,
    output: &'w mut Output,
    /// The services that were written, as they print.
    seen: &'w mut BTreeSet<String>,
    /// The family of all real servers; `None`: they have both.
    family: Option<Family>,
    /// The given one, or the one that keepalived sets for port 0.
    persistence: Option<u32>,
}

impl Writer<'_> {
    fn write(&mut self, groups: &BTreeMap<&str, &Group>) {
        let service = self.service;
        if service.servers.is_empty() {
            let reason = "keepalived ignores a virtual_server without a real_server";
            return self.output.note(&service.place, format!("virtual_server {}: {reason}", service.name));
        }
        if let Some(place) = service.sorry.as_ref().filter(|_| service.servers.iter().all(|server| server.weight == 0))
        {
            let reason = "all real servers have the weight 0: keepalived has the sorry server in the table";
            return self.output.problem(place, reason);
        }
        let is_v6 = |server: &Real| server.address.is_ipv6();
        let all_are = |is_v6_wanted: bool| service.servers.iter().all(|server| is_v6(server) == is_v6_wanted);
        self.family = match (all_are(false), all_are(true)) {
            (true, _) => Some(Family::V4),
            (_, true) => Some(Family::V6),
            _ => None,
        };
        let all_are_tunnels =
            service.servers.iter().all(|server| matches!(self.forwarding(server), Forwarding::Tunnel(_)));
        match &service.key {
            Key::Address(address, port) => {
                if service.family.is_some_and(|family| family != Family::of(*address)) {
                    return self.output.problem(&service.place, "ip_family differs from the family of the address");
                }
                self.imply_persistence(*port == 0);
                self.address(*address, *port);
            }
            Key::Mark(mark) => {
                let family = match (service.family, self.family) {
                    // keepalived drops servers of another family, which may be all of them.
                    (given, None) if !all_are_tunnels => {
                        let first = service.servers.first().map(|server| Family::of(server.address));
                        given.or(first)
                    }
                    (given, own) => given.or(own),
                };
                self.mark(*mark, family.unwrap_or(Family::V4));
            }
            Key::Group(name) => match groups.get(name.as_str()) {
                None => {
                    let reason =
                        format!("virtual_server group {name}: there is no such group, so keepalived ignores it");
                    self.output.note(&service.place, reason);
                }
                Some(group) => self.group(group),
            },
        }
    }

    fn group(&mut self, group: &Group) {
        let is_family = |family: Family| {
            group
                .entries
                .iter()
                .any(|(_, entry)| matches!(entry, Entry::Addresses(range, _) if Family::of(range.first) == family))
        };
        let has_mark_without_family = group.entries.iter().any(|(_, entry)| matches!(entry, Entry::Mark(_, None)));
        if is_family(Family::V4) && is_family(Family::V6) && has_mark_without_family {
            let reason = "keepalived refuses a group with IPv4, IPv6 and a mark without `inet` or `inet6`";
            return self.output.problem(&group.place, reason);
        }
        // The first real server behind no tunnel decides which family keepalived takes it for.
        let is_plain = |server: &&Real| !matches!(self.forwarding(server), Forwarding::Tunnel(_));
        let plain = self.service.servers.iter().find(is_plain).map(|server| Family::of(server.address));
        if let Some(family) = plain
            && is_family(Family::V4) != is_family(Family::V6)
            && !is_family(family)
        {
            let reason = "its first real server behind no tunnel is of another family, so keepalived ignores it";
            return self.output.note(&self.service.place, format!("virtual_server {}: {reason}", self.service.name));
        }
        self.imply_persistence(group.entries.iter().any(|(_, entry)| matches!(entry, Entry::Addresses(_, 0))));
        let of_addresses = [Family::V4, Family::V6].into_iter().find(|family| is_family(*family));
        for (_, entry) in &group.entries {
            match entry {
                Entry::Addresses(range, port) => {
                    for address in range.addresses() {
                        if self.output.is_full() {
                            return;
                        }
                        self.address(address, *port);
                    }
                }
                Entry::Mark(mark, family) => {
                    let family = family.or(of_addresses).or(self.service.family).or(self.family);
                    self.mark(*mark, family.unwrap_or(Family::V4));
                }
            }
        }
    }

    /// Without persistence, the kernel serves nothing on port 0.
    fn imply_persistence(&mut self, has_port_0: bool) {
        if has_port_0 && self.persistence.is_none() {
            self.persistence = Some(DEFAULT_PERSISTENCE);
            let reason = "without a port it must be persistent: keepalived makes it so, for 360 seconds";
            self.output.note(&self.service.place, format!("virtual_server {}: {reason}", self.service.name));
        }
    }

    fn address(&mut self, address: IpAddr, port: u16) {
        let protocol = self.service.protocol.unwrap_or(Protocol::UDP);
        self.key(ServiceKey::Address { protocol, at: SocketAddr::new(address, port) }, port);
    }

    fn mark(&mut self, mark: u32, family: Family) {
        match FirewallMark::new(mark) {
            Ok(mark) => self.key(ServiceKey::Mark { mark, family }, 0),
            Err(error) => self.output.problem(&self.service.place, error.to_string()),
        }
    }

    fn key(&mut self, key: ServiceKey, port: u16) {
        let place = &self.service.place;
        if !self.seen.insert(key.to_string()) {
            let reason = format!("the service {key} is there twice: keepalived mixes their real servers");
            return self.output.problem(place, reason);
        }
        let Some(service) = self.configured(key) else { return };
        self.output.service(place, service);
        let mut addresses = BTreeSet::new();
        for server in &self.service.servers {
            let Some(destination) = self.destination(key, port, server) else { continue };
            if addresses.insert(destination.address) {
                self.output.destination(&server.place, key, destination);
            } else {
                let reason = "this real_server is there twice: keepalived takes the first";
                self.output.remark(&server.place, "real_server", reason);
            }
        }
    }

    fn configured(&mut self, key: ServiceKey) -> Option<Service> {
        let given = self.service;
        let mut service = Service::new(key);
        if let Some(name) = &given.scheduler {
            service.scheduler = Scheduler::new(name).ok()?;
        }
        service.scheduler_flags = given.flags;
        service.persistence = self.persistence.and_then(|seconds| Persistence::new(seconds).ok());
        let takes_one_packet = match key {
            ServiceKey::Address { protocol, .. } => protocol == Protocol::UDP,
            ServiceKey::Mark { .. } => true,
        };
        service.one_packet = given.one_packet.is_some() && takes_one_packet;
        if let Some(place) = given.one_packet.as_ref().filter(|_| !takes_one_packet) {
            self.output.remark(place, "ops", "keepalived ignores it but for UDP and marks");
        }
        if given.engine.is_some() && service.persistence.is_none() {
            self.output.note(&given.place, "persistence_engine: keepalived ignores it without persistence");
        }
        if let Some(name) = given.engine.as_ref().filter(|_| service.persistence.is_some()) {
            match PersistenceEngine::new(name) {
                Ok(engine) => service.engine = Some(engine),
                Err(error) => self.output.problem(&given.place, format!("persistence_engine: {error}")),
            }
        }
        if let Some((place, text)) = &given.granularity {
            let netmask = match key.family() {
                Family::V4 => text.parse::<std::net::Ipv4Addr>().ok().map(Netmask::v4),
                Family::V6 => text.parse().ok().and_then(|prefix| Netmask::v6(prefix).ok()),
            };
            match netmask.and_then(|netmask| service.with_netmask(netmask).ok()) {
                Some(with) => service = with,
                None => {
                    self.output.problem(place, "persistence_granularity must be a mask such as 255.255.255.0, or for IPv6 a length from 1 to 128");
                }
            }
        }
        Some(service)
    }

    fn forwarding(&self, server: &Real) -> Forwarding {
        server.forwarding.or(self.service.forwarding).unwrap_or(Forwarding::Masquerade)
    }

    fn destination(&mut self, key: ServiceKey, port: u16, server: &Real) -> Option<Destination> {
        let forwarding = self.forwarding(server);
        if key.family() != Family::of(server.address) && !matches!(forwarding, Forwarding::Tunnel(_)) {
            let reason = "keepalived leaves out servers of the other family, but for tunnels";
            self.output.remark(&server.place, "real_server", reason);
            return None;
        }
        let weight = Weight::new(server.weight).ok()?;
        let port = self.port(key, port, server, forwarding);
        Some(
            Destination::new(SocketAddr::new(server.address, port))
                .with_forwarding(forwarding)
                .with_weight(weight)
                .with_upper_threshold(server.upper)
                .with_lower_threshold(server.lower),
        )
    }

    /// Only masquerading can change the port.
    fn port(&self, key: ServiceKey, port: u16, server: &Real, forwarding: Forwarding) -> u16 {
        let is_mark = matches!(key, ServiceKey::Mark { .. });
        match forwarding {
            Forwarding::Masquerade if server.port != 0 => server.port,
            // A single service gives its port to servers without one, a group does not.
            Forwarding::Masquerade if matches!(self.service.key, Key::Group(_)) => 0,
            _ if is_mark => 0,
            _ => port,
        }
    }
}
