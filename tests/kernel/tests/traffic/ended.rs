//! What a client meets whose connection `ipvs-cli conns` has ended or moved. docs/connections.md
//! says it.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ipvs::{
    Client, Destination, Family, Forwarding, Persistence, Protocol, Scheduler, Service, ServiceKey, Tunnel, Weight,
    proc::Connections,
};
use kernel_tests::network::{Conversation, Network, Servers, Speaks, client, server, virtual_address};
use kernel_tests::target::Target;

use super::forwarding::{modules, unwrap_ip};

const PORT: u16 = 1001;

fn director(
    network: &Network,
    protocol: Protocol,
    family: Family,
    forwarding: Forwarding,
    persistence: bool,
) -> ServiceKey {
    let at = virtual_address(family, PORT);
    let key = ServiceKey::Address { protocol, at };
    let mut service = Service::new(key).with_scheduler(Scheduler::RR);
    if persistence {
        service = service.with_persistence(Persistence::new(600).unwrap());
    }
    let mut director = network.director.run(|| Client::connect().unwrap());
    director.add_service(&service).unwrap();
    for number in 1..=2 {
        let server = Destination::new((server(number, family), PORT).into()).with_forwarding(forwarding);
        director.add_destination(&key, &server).unwrap();
    }
    key
}

/// `ipvs-cli` on the director.
fn run(network: &Network, line: &str) -> Output {
    network.director.run(|| Command::new(Target::IpvsCli.program().unwrap()).args(line.split(' ')).output().unwrap())
}

#[track_caller]
fn cli(network: &Network, line: &str) -> String {
    let output = run(network, line);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{line}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// What it said that it could not do.
#[track_caller]
fn failure(output: Output) -> String {
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}{text}", String::from_utf8_lossy(&output.stdout));
    text
}

/// Until this holds of the entries.
#[track_caller]
fn wait_until(network: &Network, holds: impl Fn(&[String]) -> bool) {
    for _ in 0..1000 {
        if holds(&entries(network)) {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("{:#?}", entries(network));
}

fn entries(network: &Network) -> Vec<String> {
    network.director.run(|| {
        let show = |entry: ipvs::proc::Connection| format!("{} {} {}", entry.client, entry.destination, entry.state);
        Connections::open().unwrap().map(|entry| show(entry.unwrap())).collect()
    })
}

/// How an address begins in [`entries`].
fn shown(ip: IpAddr) -> String {
    if ip.is_ipv6() { format!("[{ip}]:") } else { format!("{ip}:") }
}

#[test]
fn a_connection_that_is_ended_is_reset_and_no_other_one() {
    connections_that_are_ended(Protocol::TCP, &[ErrorKind::ConnectionReset, ErrorKind::BrokenPipe]);
}

#[test]
fn an_association_of_sctp_that_is_ended_is_aborted_and_no_other_one() {
    if modules(&["sctp"]) {
        connections_that_are_ended(Protocol::SCTP, &[ErrorKind::ConnectionReset, ErrorKind::BrokenPipe]);
    }
}

fn connections_that_are_ended(protocol: Protocol, resets: &[ErrorKind]) {
    for forwarding in [Forwarding::DirectRoute, Forwarding::Masquerade, Forwarding::Tunnel(Tunnel::Ipip)] {
        let network = Network::build(2);
        if matches!(forwarding, Forwarding::Tunnel(_)) && !unwrap_ip(&network) {
            continue;
        }
        let _servers = network.serve(&[(PORT, Speaks::Greeting(protocol))]);
        if forwarding == Forwarding::Masquerade {
            network.answer_through_director();
        }
        for family in [Family::V4, Family::V6] {
            let key = director(&network, protocol, family, forwarding, false);
            let to = virtual_address(family, PORT);
            let hold = |host| network.hold(protocol, client(family, 1, host), to).unwrap();
            let [mut ended, mut later, mut other] = [1, 2, 3].map(hold);
            let [from, from_later] = [1, 2].map(|host| client(family, 1, host));
            let kill = format!("conns --kill --client {from} --client {from_later}");
            let is_reset = |conversation: &mut Conversation, when: &str| {
                let error = conversation.go_on().unwrap_err();
                assert!(resets.contains(&error.kind()), "{forwarding}, {when}: {error}");
                conversation.answer.asked
            };
            let port = thread::scope(|scope| {
                let killing = scope.spawn(|| cli(&network, &kill));
                // For a second, there is one without a real server.
                let is_there = |entry: &String| entry.starts_with(&shown(from)) && entry.ends_with(" ESTABLISHED");
                wait_until(&network, |entries| !entries.iter().any(is_there));
                let port = is_reset(&mut ended, "at once");
                assert_eq!(killing.join().unwrap(), "ended 2 connections and 0 templates\n");
                port
            });
            wait_until(&network, |entries| !entries.iter().any(|entry| entry.starts_with(&shown(from_later))));
            let port_later = is_reset(&mut later, "when the entry is gone");
            let [server, server_later] = [&ended, &later].map(|conversation| conversation.answer.server.clone());
            assert_ne!(server, server_later, "in turn");
            drop((ended, later));

            // That of `later` still has its side of it.
            prefer(&network, &key, forwarding, &server_later);
            let begins = begin_again(&network, protocol, port_later, to);
            let is_restart = protocol == Protocol::SCTP;
            assert_eq!(begins, if is_restart { Begins::Restarted } else { Begins::New }, "{forwarding}, same server");
            let begins = begin_again(&network, protocol, port, to);
            assert_eq!(begins, Begins::New, "{forwarding}, other server than {server}");
            other.go_on().unwrap();
            network.ask(protocol, from, to).unwrap();
        }
    }
}

/// New connections go to this real server.
fn prefer(network: &Network, service: &ServiceKey, forwarding: Forwarding, name: &str) {
    let mut kernel = network.director.run(|| Client::connect().unwrap());
    for number in 1..=2 {
        let weight = if name == format!("rs{number}") { Weight::new(1).unwrap() } else { Weight::ZERO };
        let at = SocketAddr::new(server(number, service.family()), PORT);
        let server = Destination::new(at).with_forwarding(forwarding).with_weight(weight);
        kernel.edit_destination(service, &server).unwrap();
    }
}

/// What a connection is to the program on the real server.
#[derive(Debug, PartialEq, Eq)]
enum Begins {
    New,
    /// The kernel goes on with the old association (RFC 9260, 5.2.4): the program is not asked.
    Restarted,
}

/// Connects from the port of a connection that was ended.
fn begin_again(network: &Network, protocol: Protocol, from: SocketAddr, to: SocketAddr) -> Begins {
    // The kernel frees the port of an association of SCTP some time after its socket.
    let end = Instant::now() + PATIENCE;
    let mut stream = loop {
        match network.connect(protocol, from, to) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < end => {
                thread::sleep(Duration::from_millis(100));
            }
            connected => break connected.unwrap_or_else(|error| panic!("{from}: {error}")),
        }
    };
    let mut first = [0];
    stream.write_all(b".").and_then(|()| stream.read_exact(&mut first)).unwrap();
    // Its greeting, or what the program repeats that has greeted before.
    match first {
        [b'r'] => Begins::New,
        [b'.'] => Begins::Restarted,
        [other] => panic!("{other}"),
    }
}

#[test]
fn a_new_connection_from_the_port_of_one_that_is_being_ended_is_scheduled() {
    let network = Network::build(2);
    let _servers = network.serve(&[(PORT, Speaks::Greeting(Protocol::TCP))]);
    director(&network, Protocol::TCP, Family::V4, Forwarding::DirectRoute, false);
    let (from, to) = (client(Family::V4, 1, 1), virtual_address(Family::V4, PORT));
    let mut ended = network.hold(Protocol::TCP, from, to).unwrap();
    thread::scope(|scope| {
        let kill = format!("conns --kill --client {from}");
        let network = &network;
        let killing = scope.spawn(move || cli(network, &kill));
        wait_until(network, |entries| !entries.iter().any(|entry| entry.ends_with(" ESTABLISHED")));
        ended.go_on().unwrap_err();
        let port = ended.answer.asked;
        drop(ended);
        assert_eq!(begin_again(network, Protocol::TCP, port, to), Begins::New);
        assert_eq!(killing.join().unwrap(), "ended 1 connection and 0 templates\n");
    });
}

/// How long to wait where a reply is expected.
const PATIENCE: Duration = Duration::from_secs(60);

/// A director with two real servers, and a UDP client that keeps its port and has got a reply.
struct Flow {
    network: Network,
    _servers: Servers,
    service: ServiceKey,
    socket: UdpSocket,
    /// The server that replied.
    first: String,
}

impl Flow {
    fn begin(forwarding: Forwarding) -> Self {
        let network = Network::build(2);
        let servers = network.serve(&[(PORT, Speaks::Greeting(Protocol::UDP))]);
        if forwarding == Forwarding::Masquerade {
            network.answer_through_director();
        }
        let service = director(&network, Protocol::UDP, Family::V4, forwarding, false);
        let socket = network.client.run(|| {
            let from: IpAddr = client(Family::V4, 1, 1);
            let socket = UdpSocket::bind(SocketAddr::new(from, 40_001)).unwrap();
            socket.connect(virtual_address(Family::V4, PORT)).unwrap();
            socket
        });
        let mut flow = Flow { network, _servers: servers, service, socket, first: String::new() };
        flow.first = flow.ask(PATIENCE).expect("both live");
        flow
    }

    /// Sends a packet. Which server replies within this time?
    fn ask(&self, patience: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        self.socket.send(b"?").unwrap();
        let mut buffer = [0; 256];
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).split(' ').next()?.to_owned())
    }

    /// Takes the first server off the network. Returns its number, and that of the other one.
    fn kill_first(&self) -> [u16; 2] {
        let [dead, alive] = if self.first == "rs1" { [1, 2] } else { [2, 1] };
        self.network.servers[usize::from(dead) - 1].ip("link set eth0 down");
        [dead, alive]
    }
}

#[test]
fn a_flow_of_udp_whose_server_is_dead_is_answered_again_when_it_was_moved() {
    for forwarding in [Forwarding::DirectRoute, Forwarding::Masquerade] {
        let flow = Flow::begin(forwarding);
        let [dead, alive] = flow.kill_first();
        assert_eq!(flow.ask(Duration::from_secs(2)), None, "it stays with the dead server");
        let [dead, alive_at] = [dead, alive].map(|number| server(number, Family::V4));
        let moved = cli(&flow.network, &format!("conns --move-to {alive_at} --server {dead}"));
        assert_eq!(moved, "moved 1 connection and 0 templates\n");
        assert_eq!(flow.ask(PATIENCE), Some(format!("rs{alive}")), "{:?}", entries(&flow.network));
    }
}

#[test]
fn a_flow_of_udp_that_is_not_moved_stays_with_its_dead_server_until_the_timeout() {
    let flow = Flow::begin(Forwarding::DirectRoute);
    let network = &flow.network;
    // The next packet gives the entry this timeout.
    cli(network, "--set 0 0 8");
    let [dead, alive] = flow.kill_first();
    // As a health checker does.
    let at = SocketAddr::new(server(dead, Family::V4), PORT);
    let mut kernel = network.director.run(|| Client::connect().unwrap());
    let gone = Destination::new(at).with_weight(ipvs::Weight::ZERO);
    kernel.edit_destination(&flow.service, &gone.with_forwarding(Forwarding::DirectRoute)).unwrap();
    for _ in 0..2 {
        assert_eq!(flow.ask(Duration::from_millis(500)), None, "each packet renews the entry");
        assert!(entries(network)[0].contains(&at.to_string()), "{:?}", entries(network));
    }
    wait_until(network, |entries| entries.is_empty());
    assert_eq!(flow.ask(PATIENCE), Some(format!("rs{alive}")));
}

#[test]
fn a_flow_of_udp_ends_if_no_packet_comes() {
    for forwarding in [Forwarding::DirectRoute, Forwarding::Masquerade] {
        flow_ends_if_no_packet_comes(forwarding);
    }
}

fn flow_ends_if_no_packet_comes(forwarding: Forwarding) {
    let flow = Flow::begin(forwarding);
    let Flow { network, socket, .. } = &flow;
    let kill = format!("conns --kill --client {}", client(Family::V4, 1, 1));
    assert_eq!(cli(network, &kill), "ended 1 connection and 0 templates\n");
    let next = flow.ask(PATIENCE).expect("it is scheduled anew");
    assert_ne!(next, flow.first, "in turn");
    let is_over = AtomicBool::new(false);
    let output = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let _ = socket.send(b"?");
                thread::sleep(Duration::from_millis(20));
            }
        });
        let output = run(network, &kill);
        is_over.store(true, Ordering::Relaxed);
        output
    });
    let said = failure(output);
    assert!(
        said.starts_with("ipvs-cli: sent 3 times, but 1 connection is still there: packets came meanwhile, or "),
        "{said}"
    );
    socket.set_nonblocking(true).unwrap();
    // Replies to those packets.
    while socket.recv(&mut [0; 256]).is_ok() {}
    socket.set_nonblocking(false).unwrap();
    assert_eq!(flow.ask(PATIENCE), Some(next), "its entry was never gone");
}

#[test]
fn a_client_whose_template_is_deleted_gets_the_schedulers_choice() {
    let network = Network::build(2);
    let _servers = network.serve(&[(PORT, Speaks::Greeting(Protocol::TCP))]);
    network.answer_through_director();
    director(&network, Protocol::TCP, Family::V4, Forwarding::Masquerade, true);
    let [one, other] = [1, 2].map(|host| client(Family::V4, 1, host));
    let to = virtual_address(Family::V4, PORT);
    let ask = |from| network.ask(Protocol::TCP, from, to).unwrap().server;
    let before = [ask(one), ask(other)];
    assert_eq!([ask(one), ask(other)], before, "they are remembered");
    let is_over = |entry: &String| entry.ends_with(" TIME_WAIT") || entry.contains(":0 ");
    let kill = format!("conns --kill --templates --client {one}");
    // While a connection uses it, it stays.
    let mut held = network.hold(Protocol::TCP, one, to).unwrap();
    let said = failure(run(&network, &kill));
    assert!(said.starts_with("ipvs-cli: connections use templates, so 1 template is still there."), "{said}");
    held.go_on().unwrap();
    drop(held);
    wait_until(&network, |entries| entries.iter().all(is_over));
    assert_eq!(cli(&network, &kill), "ended 0 connections and 1 template\n", "{:?}", entries(&network));
    // Next is the turn of the server that it had; an unknown client takes it.
    let third = ask(client(Family::V4, 1, 3));
    assert_ne!(ask(one), third, "the next in turn, not the one that was remembered: {before:?}");
    assert_eq!(ask(other), before[1], "nobody else is forgotten");
}

#[test]
fn a_client_that_is_forgotten_is_scheduled_anew() {
    let network = Network::build(2);
    let _servers = network.serve(&[(PORT, Speaks::Greeting(Protocol::TCP))]);
    director(&network, Protocol::TCP, Family::V4, Forwarding::DirectRoute, true);
    let [one, other] = [1, 2].map(|host| client(Family::V4, 1, host));
    let ask = |from| network.ask(Protocol::TCP, from, virtual_address(Family::V4, PORT)).unwrap().server;
    let before = [ask(one), ask(other)];
    assert_eq!([ask(one), ask(other)], before, "they are remembered");
    assert_ne!(before[0], before[1], "in turn");
    let said = cli(&network, &format!("conns --kill --client {one}"));
    assert_eq!(said, "ended 2 connections and 1 template\n", "{:?}", entries(&network));
    // Next is the turn of the server that it had; an unknown client takes it.
    let third = ask(client(Family::V4, 1, 3));
    assert_ne!(ask(one), third, "the next in turn, not the one that was remembered: {before:?}");
    assert_eq!(ask(other), before[1], "nobody else is forgotten");
}
