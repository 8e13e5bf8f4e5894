//! Every way of forwarding: the packets arrive in the envelope that was asked for, and the server
//! sees the client's address.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::process::Command;

use ipvs::{Client, Destination, Family, Forwarding, Protocol, Scheduler, Service, ServiceKey, Tunnel, TunnelFlags};
use kernel_tests::network::{Network, Servers, Speaks, client, director, server, virtual_address};

use super::envelope::{Capture, Envelope, GUE_PORT};

const PORT: u16 = 7;
/// On the real servers, behind NAT.
const OTHER_PORT: u16 = 1007;
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// Two real servers that speak all protocols that the kernel has.
struct Scene {
    network: Network,
    protocols: Vec<Protocol>,
    director: Client,
    captures: [Capture; 2],
    /// The number of checks so far. Each has clients of its own: a late packet of another's makes
    /// no difference.
    checks: u8,
    _servers: Servers,
}

/// Whether the kernel has these modules; says so if not.
pub(super) fn modules(names: &[&str]) -> bool {
    names.iter().all(|name| {
        let there = Command::new("modprobe").arg(name).output().is_ok_and(|output| output.status.success());
        if !there {
            println!("skipped: this kernel has no module {name}");
        }
        there
    })
}

impl Scene {
    fn build() -> Self {
        let mut protocols = vec![Protocol::TCP, Protocol::UDP];
        protocols.extend(modules(&["sctp"]).then_some(Protocol::SCTP));
        let network = Network::build(2);
        let greetings = |port| protocols.iter().map(move |protocol| (port, Speaks::Greeting(*protocol)));
        let servers = network.serve(&greetings(PORT).chain(greetings(OTHER_PORT)).collect::<Vec<_>>());
        let captures = [0, 1].map(|number: usize| Capture::begin(&network.servers[number]));
        let director = network.director.run(|| Client::connect().unwrap());
        Scene { network, protocols, director, captures, checks: 0, _servers: servers }
    }

    /// The virtual service is of the family `outside`, the real servers are of the family `inside`.
    fn check(&mut self, outside: Family, inside: Family, way: Forwarding, expected: Envelope) {
        for protocol in self.protocols.clone() {
            let key = ServiceKey::Address { protocol, at: virtual_address(outside, PORT) };
            let what = format!("{key}, {way:?} to {inside:?}");
            self.add(key, inside, way);
            self.checks += 1;
            let clients = [1, 2].map(|host| client(outside, self.checks, host));
            self.ask(protocol, clients, &what);
            for capture in &self.captures {
                let mut seen = capture.seen(&clients);
                if let Some(other) = expected.of_a_complete_packet() {
                    seen.remove(&(inside, other));
                }
                assert_eq!(seen, BTreeSet::from([(inside, expected)]), "{what}");
            }
            println!("{what}: 2 of 2 clients served, and seen by their own addresses");
            self.director.delete_service(&key).unwrap();
        }
    }

    fn add(&mut self, key: ServiceKey, inside: Family, way: Forwarding) {
        let port = if way == Forwarding::Masquerade { OTHER_PORT } else { PORT };
        self.director.add_service(&Service::new(key).with_scheduler(Scheduler::RR)).unwrap();
        for number in [1, 2] {
            let destination = Destination::new((server(number, inside), port).into()).with_forwarding(way);
            self.director.add_destination(&key, &destination).unwrap();
        }
    }

    /// Each server answers one client, and sees the client's address and port.
    fn ask(&self, protocol: Protocol, clients: [IpAddr; 2], what: &str) {
        let answers = clients.map(|client| {
            let answer = self.network.ask(protocol, client, virtual_address(Family::of(client), PORT));
            answer.unwrap_or_else(|error| panic!("{what}: {error}"))
        });
        for answer in &answers {
            assert_eq!(answer.seen, answer.asked, "{what}: {} should see the client", answer.server);
        }
        let both: BTreeSet<_> = answers.iter().map(|answer| &*answer.server).collect();
        assert_eq!(both, BTreeSet::from(["rs1", "rs2"]), "{what}");
    }
}

#[test]
fn direct_routing() {
    let mut scene = Scene::build();
    for family in FAMILIES {
        scene.check(family, family, Forwarding::DirectRoute, Envelope::None);
    }
}

#[test]
fn network_address_translation() {
    let mut scene = Scene::build();
    scene.network.answer_through_director();
    for family in FAMILIES {
        scene.check(family, family, Forwarding::Masquerade, Envelope::Translated(OTHER_PORT));
    }
}

/// All pairs of families: the virtual service's, and the real servers'.
fn pairs() -> impl Iterator<Item = (Family, Family)> {
    FAMILIES.into_iter().flat_map(|outside| FAMILIES.map(|inside| (outside, inside)))
}

/// Lets the real servers take out of plain IP tunnels what is in them.
pub(super) fn unwrap_ip(network: &Network) -> bool {
    let there = modules(&["ipip", "sit", "ip6_tunnel"]);
    for machine in network.servers.iter().filter(|_| there) {
        machine.ip("link set tunl0 up\nlink set sit0 up\ntunnel change ip6tnl0 mode any\nlink set ip6tnl0 up");
        for device in ["tunl0", "sit0"] {
            machine.set(&format!("net/ipv4/conf/{device}/rp_filter"), "0");
        }
    }
    there
}

#[test]
fn tunnels_of_ip_in_ip() {
    let mut scene = Scene::build();
    if !unwrap_ip(&scene.network) {
        return;
    }
    for (outside, inside) in pairs() {
        scene.check(outside, inside, Forwarding::Tunnel(Tunnel::Ipip), Envelope::Ipip);
    }
}

#[test]
fn tunnels_of_gue() {
    let mut scene = Scene::build();
    if !unwrap_ip(&scene.network) || !modules(&["fou", "fou6"]) {
        return;
    }
    for machine in &scene.network.servers {
        machine.ip(&format!("fou add port {GUE_PORT} gue\nfou add port {GUE_PORT} gue -6"));
    }
    for (outside, inside) in pairs() {
        for flags in [TunnelFlags::empty(), TunnelFlags::CHECKSUM, TunnelFlags::REMOTE_CHECKSUM] {
            let tunnel = Tunnel::Gue { port: NonZeroU16::new(GUE_PORT).unwrap(), flags };
            let envelope =
                Envelope::Gue { checksum: !flags.is_empty(), remote_checksum: flags == TunnelFlags::REMOTE_CHECKSUM };
            scene.check(outside, inside, Forwarding::Tunnel(tunnel), envelope);
        }
    }
}

#[test]
fn tunnels_of_gre() {
    let mut scene = Scene::build();
    if !modules(&["ip_gre", "ip6_gre"]) {
        return;
    }
    for flags in [TunnelFlags::empty(), TunnelFlags::CHECKSUM] {
        let checksum = flags == TunnelFlags::CHECKSUM;
        unwrap_gre(&scene.network, if checksum { "csum" } else { "" });
        for (outside, inside) in pairs() {
            let tunnel = Tunnel::Gre { flags };
            scene.check(outside, inside, Forwarding::Tunnel(tunnel), Envelope::Gre { checksum });
        }
        scene.network.servers.iter().for_each(|machine| machine.ip("link delete unwrap4\nlink delete unwrap6"));
    }
}

/// Lets the real servers take out what the director puts into GRE. They refuse packets whose
/// checksum is missing, and those that have one unasked.
fn unwrap_gre(network: &Network, checksum: &str) {
    for (number, machine) in (1..).zip(&network.servers) {
        let device = |name, kind, family| {
            let (local, remote) = (server(number, family), director(family));
            format!("link add {name} type {kind} local {local} remote {remote} {checksum}\nlink set {name} up\n")
        };
        machine.ip(&(device("unwrap4", "gre", Family::V4) + &device("unwrap6", "ip6gre", Family::V6)));
        machine.set("net/ipv4/conf/unwrap4/rp_filter", "0");
    }
}
