//! Whom to ask for what, and from which address: by the table and this machine's network.

use std::collections::BTreeSet;
use std::net::IpAddr;

use fwmark::{Hook, MarkRule, Network, Traffic};
use ipvs::{Forwarding, Protocol, ServiceKey, Table};

use super::super::machine::{LinkKind, Machine, Route as MachineRoute, whole};
use super::packet::Tunnel;
use super::{Target, kind_of};

/// How a real server can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::subcommands::doctor) enum Route {
    /// Not at all, for this reason.
    None(String),
    /// It is this machine.
    Local,
    /// By an interface.
    Out {
        link: u32,
        mtu: u32,
        /// The next machine on the way, and this machine's address for the question who that is.
        hop: IpAddr,
        hop_source: IpAddr,
        /// This machine's address for packets to the virtual address, and to the real server's own.
        source: IpAddr,
        own_source: IpAddr,
        tunnel: Option<Tunnel>,
        /// The virtual address, if the real server sends replies to it by a router, as to clients.
        outside: Option<IpAddr>,
        /// Whether this machine has the virtual address.
        is_vip_here: bool,
    },
}

/// The real servers of all services for which `is_asked` says so.
pub(in crate::subcommands::doctor) fn targets(
    table: &Table,
    machine: &Machine,
    rules: &[MarkRule],
    is_asked: &dyn Fn(&ServiceKey, std::net::SocketAddr) -> bool,
) -> Vec<Target> {
    let virtual_addresses: BTreeSet<IpAddr> =
        super::super::director::virtual_addresses(table, rules).into_iter().map(|(ip, _)| ip).collect();
    let mut targets = Vec::new();
    for entry in table.services() {
        let service = entry.service().key();
        let ends = ends(service, rules);
        for state in entry.destinations() {
            let destination = &state.destination;
            let server = destination.address;
            if !is_asked(&service, server) {
                continue;
            }
            for (vip, protocol, port) in &ends {
                let port = match (destination.forwarding, server.port()) {
                    (Forwarding::Masquerade, 1..) => Some(server.port()),
                    _ => *port,
                };
                let mut target = Target {
                    service,
                    server,
                    forwarding: destination.forwarding,
                    weight: destination.weight,
                    vip: *vip,
                    protocol: *protocol,
                    port,
                    route: Route::Local,
                };
                target.route = route(&target, machine, &virtual_addresses);
                targets.push(target);
            }
        }
    }
    targets
}

/// What clients of a service ask for: address, protocol and port.
fn ends(service: ServiceKey, rules: &[MarkRule]) -> Vec<(IpAddr, Protocol, Option<u16>)> {
    match service {
        ServiceKey::Address { protocol, at } => vec![(at.ip(), protocol, Some(at.port()).filter(|port| *port != 0))],
        ServiceKey::Mark { mark, .. } => {
            let of_mark = rules.iter().filter(|rule| rule.set().mark() == mark && rule.destination().is_host());
            let from_outside = of_mark.filter(|rule| matches!(rule.hook(), Hook::Prerouting { .. }));
            let end = |rule: &MarkRule| {
                let (protocol, port) = match rule.traffic() {
                    Traffic::Ports(protocol, ports) => {
                        (Some(*protocol), ports.ranges().first().map(|range| range.first()))
                    }
                    Traffic::Protocol(protocol) => (Some(*protocol), None),
                    Traffic::Any => (None, None),
                };
                let protocol = match protocol {
                    Some(fwmark::Protocol::Udp) => Protocol::UDP,
                    Some(fwmark::Protocol::Sctp) => Protocol::SCTP,
                    _ => Protocol::TCP,
                };
                (rule.destination().address(), protocol, port)
            };
            let mut all: Vec<_> = from_outside.map(end).collect();
            all.sort_unstable_by_key(|(vip, protocol, port)| (*vip, protocol.number(), *port));
            all.dedup();
            all
        }
    }
}

fn route(target: &Target, machine: &Machine, virtual_addresses: &BTreeSet<IpAddr>) -> Route {
    let none = |why: &str| Route::None(why.to_owned());
    let server = target.server.ip();
    let (link, gateway) = match machine.route(server, 0) {
        MachineRoute::Local => return Route::Local,
        MachineRoute::Nowhere => return none("there is no route to it"),
        MachineRoute::Out { link, gateway } => (*link, *gateway),
    };
    let Some(interface) = machine.link(link) else { return none("its interface is gone") };
    let name = &interface.name;
    if interface.kind != LinkKind::Wire {
        return Route::None(format!("{name}, on the way to it, is not an interface of Ethernet"));
    }
    if !interface.is_up {
        return Route::None(format!("{name}, on the way to it, is down"));
    }
    let tunnel = match target.forwarding {
        Forwarding::DirectRoute if gateway.is_some() => return none("it is behind a router"),
        Forwarding::DirectRoute | Forwarding::Masquerade => None,
        Forwarding::Tunnel(tunnel) => match kind_of(tunnel) {
            Some(kind) => Some(kind),
            None => return none("its kind of tunnel is unknown"),
        },
        _ => return none("its forwarding method sends no packets"),
    };
    let usual = super::wire::source(server);
    let own = |like: IpAddr| {
        let is_own = |ip: &IpAddr| !virtual_addresses.contains(ip) && ip.is_ipv4() == like.is_ipv4();
        let mut others = machine.addresses.iter().filter(|address| {
            let is_scoped = matches!(address.ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
            address.link == link && address.prefix < whole(address.ip) && !address.is_deprecated && !is_scoped
        });
        usual.filter(is_own).or_else(|| others.find(|address| is_own(&address.ip)).map(|address| address.ip))
    };
    let at_server = if target.forwarding == Forwarding::Masquerade { server } else { target.vip };
    let Some(source) = own(at_server) else {
        let family = if at_server.is_ipv4() { "IPv4" } else { "IPv6" };
        return Route::None(format!("this machine has no address of {family} on {name} that is not a virtual address"));
    };
    let Some(own_source) = own(server) else {
        return Route::None(format!("this machine has no address on {name} that is not a virtual address"));
    };
    // The kernel takes what it takes, even if it is wrong.
    let outer = tunnel.map(|kind| Tunnel { source: usual.unwrap_or(own_source), server, kind });
    let is_near = |ip: IpAddr| {
        let mut networks = machine.addresses.iter().filter(|address| address.link == link);
        networks.any(|address| {
            Network::new(address.ip, address.prefix).is_ok_and(|network| network.contains(ip) && !network.is_host())
        })
    };
    // With the mark of its packets.
    let mut ways = machine.routes.range((target.vip, 0)..=(target.vip, u32::MAX));
    let is_vip_here = ways.any(|(_, route)| *route == MachineRoute::Local);
    let is_outside = target.forwarding == Forwarding::Masquerade
        && is_vip_here
        && target.vip.is_ipv4() == server.is_ipv4()
        && !is_near(target.vip);
    Route::Out {
        link,
        mtu: interface.mtu,
        hop: gateway.unwrap_or(server),
        hop_source: own_source,
        source,
        own_source,
        tunnel: outer,
        outside: is_outside.then_some(target.vip),
        is_vip_here,
    }
}
