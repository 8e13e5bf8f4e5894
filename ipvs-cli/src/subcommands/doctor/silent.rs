//! Real servers that do not answer, as the director sees it. Judges facts only.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use ipvs::{Destination, Family, Forwarding, Protocol, Scheduler, ServiceKey, TableEntry, Tunnel, TunnelFlags, Weight};
use ipvs_text::escape::ShellCommand;

use super::director::{Director, virtual_addresses};
use super::machine::{NeighbourAnswer, Route};
use super::probed::{Verdict, verdict};
use crate::subcommands::findings::Finding;

/// Connections that are not established: one or two are everyday life.
pub(super) const ENOUGH: usize = 3;
/// Packets of UDP without a reply, or of one flow.
const MANY: u64 = 50;
/// How many seconds ago a neighbour must have been silent to be so now.
const RECENT: u32 = 60;

/// One real server of one service, with what its connections show.
struct Server<'d> {
    key: ServiceKey,
    destination: &'d Destination,
    /// Clients that get no connection, and the address that they ask for.
    waiting: BTreeSet<SocketAddr>,
    target: Option<SocketAddr>,
    /// Seconds since one of them sent a packet, and since a connection did that it confirmed.
    opened: u32,
    answered: u32,
    reset: usize,
    others: usize,
    connections: u64,
    packets_in: u64,
    packets_out: u64,
}

impl<'d> Server<'d> {
    /// One without connections.
    fn new(key: ServiceKey, destination: &'d Destination, target: Option<SocketAddr>) -> Self {
        Server {
            key,
            destination,
            waiting: BTreeSet::new(),
            target,
            opened: u32::MAX,
            answered: u32::MAX,
            reset: 0,
            others: 0,
            connections: 0,
            packets_in: 0,
            packets_out: 0,
        }
    }
}

pub(super) fn judge(director: &Director) -> Vec<Finding> {
    let mut found = Vec::new();
    let absent = absent_neighbours(director, &mut found);
    for entry in director.table.services() {
        let (servers, key) = (servers(director, entry), entry.service().key());
        // If it answered after the last of them, it does now.
        let is_silent = |server: &Server<'_>| server.waiting.len() >= ENOUGH && server.answered >= server.opened;
        let silent = servers.iter().filter(|server| is_silent(server)).count();
        for server in servers.iter().filter(|server| !absent.contains(&server.destination.address.ip())) {
            let finding = if is_silent(server) {
                let is_alone = silent == 1 && servers.len() > 1;
                let is_certain = server.others == 0 || is_alone && is_spread(entry, server);
                is_certain.then(|| no_answer(director, server, silent == servers.len() && servers.len() > 1))
            } else if server.reset >= ENOUGH && server.others == 0 {
                Some(refuses(director, server))
            } else {
                is_one_way(server).then(|| no_reply(director, server))
            };
            // What the probe finds is closer to the cause.
            found.extend(finding.filter(|_| verdict(director, key, server.destination.address) != Verdict::Fails));
        }
    }
    found
}

/// The real servers that get new clients.
fn servers<'d>(director: &'d Director, entry: &'d TableEntry) -> Vec<Server<'d>> {
    let key = entry.service().key();
    let with_weight = entry.destinations().filter(|state| state.destination.weight != Weight::ZERO);
    let server = |state: &'d ipvs::DestinationState| {
        let statistics = state.statistics.unwrap_or_default();
        let mut server = Server {
            connections: statistics.connections,
            packets_in: statistics.packets_in,
            packets_out: statistics.packets_out,
            ..Server::new(key, &state.destination, None)
        };
        for flow in director.traffic.iter().flat_map(|traffic| traffic.of(key, state.destination.address)) {
            server.waiting.extend(&flow.opening);
            server.target = server.target.or(Some(flow.target));
            server.opened = server.opened.min(flow.opened);
            server.answered = server.answered.min(flow.answered);
            server.reset += flow.reset;
            server.others += flow.others;
        }
        server
    };
    with_weight.map(server).collect()
}

/// Whether it is the real server, and not one client, that the waiting connections have in common.
fn is_spread(entry: &TableEntry, server: &Server<'_>) -> bool {
    let service = entry.service();
    let is_bound =
        service.persistence.is_some() || [Scheduler::SH, Scheduler::MH, Scheduler::DH].contains(&service.scheduler);
    let clients: BTreeSet<IpAddr> = server.waiting.iter().map(SocketAddr::ip).collect();
    !is_bound || clients.len() > 1
}

/// The real servers that no machine of the network answers for.
fn absent_neighbours(director: &Director, found: &mut Vec<Finding>) -> BTreeSet<IpAddr> {
    let machine = &director.machine;
    let (mut reported, mut absent) = (BTreeSet::new(), BTreeSet::new());
    for entry in director.table.services() {
        for server in servers(director, entry) {
            let ip = server.destination.address.ip();
            let Some(hop) = machine.next_hop(ip).filter(|hop| hop.answer != NeighbourAnswer::Came) else { continue };
            let is_now = hop.answer == NeighbourAnswer::Awaited || hop.age < RECENT;
            if !reported.insert(ip) || verdict(director, server.key, server.destination.address) != Verdict::Unknown {
                continue;
            }
            if is_now {
                absent.insert(ip);
            }
            let asked = if hop.ip == ip { String::new() } else { format!(", the router {}", hop.ip) };
            let link = machine.name_of(hop.link);
            let what = format!("no machine on {link} answers for the real server {ip}{asked}");
            let ago =
                if is_now { "it was asked just now".to_owned() } else { format!("it was asked {} s ago", hop.age) };
            let how = if hop.ip.is_ipv4() { "ARP" } else { "neighbour discovery" };
            let why = format!("{how} got no reply ({ago}), so no packet is sent");
            let finding = if is_now {
                Finding::problem("no-neighbour", what, why)
            } else {
                Finding::hint("no-neighbour", what, why)
            };
            found.push(finding.caused_by(causes_of_absence(link, hop.ip)).look(look(director, &server)));
        }
    }
    absent
}

/// Why no machine answers for an address.
pub(super) fn causes_of_absence(link: &str, ip: IpAddr) -> [(&'static str, String); 3] {
    [
        ("link-down", format!("the machine {ip} is off, or its interface or cable")),
        ("wrong-address", format!("no machine has the address {ip} (any more)")),
        ("wrong-network", format!("{link} is in another network or VLAN than {ip}")),
    ]
}

fn no_answer(director: &Director, server: &Server<'_>, are_all: bool) -> Finding {
    let (at, key) = (server.destination.address, server.key);
    let waiting = server.waiting.len();
    let none = if server.others == 0 { ", and none is established" } else { ", and at no other real server" };
    let what = format!("the real server {at} of {key} answers no new client: {waiting} connections wait{none}");
    let mut why = "the clients sent SYN more than a second ago and have not confirmed a reply".to_owned();
    if are_all {
        why.push_str("; so it is at all real servers of the service, so look first at what they share");
    }
    Finding::problem("no-answer", what, why).caused_by(causes(director, server)).look(look(director, server))
}

/// What fits, the likeliest first. By the method, and by whether packets came back.
fn causes(director: &Director, server: &Server<'_>) -> Vec<(&'static str, String)> {
    let virtual_address = server.target.map_or_else(|| "the virtual address".to_owned(), |at| at.ip().to_string());
    let address = ("address", format!("it does not have {virtual_address}, or its loopback is down"));
    let hangs = (
        "server",
        "nothing listens there at this address and port, the server hangs, or a firewall drops packets".to_owned(),
    );
    let own_network = "its replies do not reach the clients: a route or reverse path check there".to_owned();
    if verdict(director, server.key, server.destination.address) == Verdict::Answers {
        // So it has the address and serves: only the clients' addresses are different.
        return vec![("way-back", own_network)];
    }
    let is_local = *director.machine.route(server.destination.address.ip(), 0) == Route::Local;
    match server.destination.forwarding {
        _ if is_local => vec![hangs],
        Forwarding::Masquerade if server.packets_out == 0 => {
            let past = "its replies do not come back through this director: its route to the clients must lead here"
                .to_owned();
            vec![("way-back", past), hangs]
        }
        Forwarding::Masquerade => {
            let lost = "its replies come here, and are lost on the way to the clients".to_owned();
            vec![hangs, ("way-back", lost)]
        }
        Forwarding::Tunnel(_) => {
            let tunnel =
                "it does not unwrap the packets: no device, another kind, port or checksum, or rp_filter of the device";
            vec![("tunnel", tunnel.to_owned()), address, ("server", format!("{}, or {own_network}", hangs.1))]
        }
        _ => vec![address, hangs, ("way-back", own_network)],
    }
}

/// Each connection was one packet and one reply to it: a reset.
fn refuses(director: &Director, server: &Server<'_>) -> Finding {
    let (at, key) = (server.destination.address, server.key);
    let what = format!(
        "the real server {at} of {key} refuses connections: {} were reset, and none is established",
        server.reset
    );
    let is_certain = server.packets_in == server.connections && server.packets_out == server.connections;
    let finding = if is_certain && server.connections > 0 {
        Finding::problem(
            "refused",
            what,
            "each connection was one packet and one reply, so nothing listens at its port",
        )
    } else {
        let why =
            "either nothing listens at its port, or clients reset all their connections, as some health checks do";
        Finding::hint("refused", what, why)
    };
    finding.look(look(director, server))
}

/// NAT counts replies.
fn is_one_way(server: &Server<'_>) -> bool {
    let is_udp = matches!(server.key, ServiceKey::Address { protocol: Protocol::UDP, .. });
    is_udp
        && server.destination.forwarding == Forwarding::Masquerade
        && server.packets_in >= MANY
        && server.packets_out == 0
}

fn no_reply(director: &Director, server: &Server<'_>) -> Finding {
    let (at, key, count) = (server.destination.address, server.key, server.packets_in);
    let what = format!("the real server {at} of {key} got {count} packets, and no reply came back");
    let why = "right if its clients expect none, as with syslog";
    let past = "its replies do not come back through this director: its route to the clients must lead here".to_owned();
    let causes =
        [("way-back", past), ("server", "nothing listens at its port, or a firewall drops packets".to_owned())];
    Finding::hint("no-reply", what, why).caused_by(causes).look(look(director, server))
}

/// One flow of UDP stays with one real server.
pub(super) fn one_flow(director: &Director) -> Vec<Finding> {
    let mut found = Vec::new();
    for entry in director.table.services() {
        let (service, key) = (entry.service(), entry.service().key());
        let is_udp = matches!(key, ServiceKey::Address { protocol: Protocol::UDP, .. });
        let servers = servers(director, entry);
        let flows: usize = servers.iter().map(|server| server.others).sum();
        let packets = entry.state().statistics.unwrap_or_default().packets_in;
        if !is_udp || service.one_packet || servers.len() < 2 || flows != 1 || packets < MANY {
            continue;
        }
        let what = format!(
            "all packets of {key} go to one of {} real servers, as they have one client and port",
            servers.len()
        );
        let why = "packets from one port are one connection";
        let is_nat = servers.iter().any(|server| server.destination.forwarding == Forwarding::Masquerade);
        found.push(if is_nat || service.persistence.is_some() {
            let why = format!("{why}. Scheduling each packet by itself (-o) suits neither NAT, whose replies it loses, nor persistence");
            Finding::hint("one-flow", what, why)
        } else {
            let edit = ipvs::Command::EditService(service.with_one_packet()).to_string();
            let edit = ShellCommand::new(std::iter::once("ipvsadm").chain(edit.split(' ')));
            Finding::hint("one-flow", what, why).mended_by(crate::subcommands::findings::Remedy::OnePacket, [edit])
        });
    }
    found
}

/// The command for the real server itself, to which clients send packets for this address.
pub(super) fn look_at(director: &Director, key: ServiceKey, destination: &Destination, target: SocketAddr) -> String {
    look(director, &Server::new(key, destination, Some(target)))
}

/// The command for the real server itself.
fn look(director: &Director, server: &Server<'_>) -> String {
    let ip = server.destination.address.ip();
    if *director.machine.route(ip, 0) == Route::Local {
        return format!("on this machine: ss -ltn 'sport = :{}'", server.destination.address.port());
    }
    let target = server.target.map(|at| at.ip()).or(match server.key {
        ServiceKey::Address { at, .. } => Some(at.ip()),
        ServiceKey::Mark { .. } => {
            virtual_addresses(&director.table, &director.rules).into_iter().map(|(ip, _)| ip).next()
        }
    });
    let Some(vip) = target else { return format!("on {ip}: ipvs-cli doctor --real-server VIP") };
    let mut words: Vec<String> = ["ipvs-cli", "doctor", "--real-server", &vip.to_string()].map(str::to_owned).to_vec();
    let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
    let own = own_address(director, ip).map(|ip| ip.to_string());
    match server.destination.forwarding {
        Forwarding::Masquerade => {
            add("--forwarding", "masquerade".to_owned());
            add("--director", own.unwrap_or_else(|| "DIRECTOR".to_owned()));
            if server.waiting.is_empty() {
                add("--client", "CLIENT".to_owned());
            }
        }
        Forwarding::Tunnel(tunnel) => {
            add("--forwarding", "tunnel".to_owned());
            if Family::of(ip) == Family::V6 {
                add("--over", "ipv6".to_owned());
            }
            match tunnel {
                Tunnel::Gue { port, .. } => {
                    add("--tunnel", "gue".to_owned());
                    add("--tunnel-port", port.to_string());
                }
                Tunnel::Gre { flags } => {
                    add("--tunnel", "gre".to_owned());
                    add("--director", own.unwrap_or_else(|| "DIRECTOR".to_owned()));
                    if flags.contains(TunnelFlags::CHECKSUM) {
                        words.push("--checksum".to_owned());
                    }
                }
                _ => {}
            }
        }
        _ => {}
    }
    let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
    if let Some(client) = server.waiting.first() {
        add("--client", client.ip().to_string());
    }
    let port = match server.destination.address.port() {
        0 => server.target.map_or(0, |at| at.port()),
        port => port,
    };
    match server.key {
        _ if port == 0 => {}
        ServiceKey::Address { protocol: Protocol::UDP, .. } => add("--udp", port.to_string()),
        ServiceKey::Address { protocol: Protocol::TCP, .. } => add("--tcp", port.to_string()),
        _ if !server.waiting.is_empty() => add("--tcp", port.to_string()),
        _ => {}
    }
    format!("on {ip}: {}", ShellCommand::new(words))
}

/// The director's address in the network that leads to the real server.
fn own_address(director: &Director, to: IpAddr) -> Option<IpAddr> {
    let machine = &director.machine;
    let Route::Out { link, gateway } = machine.route(to, 0) else { return None };
    let hop = gateway.unwrap_or(to);
    let is_near = |address: &&super::machine::Address| {
        let network = fwmark::Network::new(address.ip, address.prefix);
        address.link == *link
            && address.prefix < super::machine::whole(address.ip)
            && network.is_ok_and(|network| network.contains(hop))
    };
    machine.addresses.iter().find(is_near).map(|address| address.ip)
}
