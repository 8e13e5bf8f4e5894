//! What a client meets whose connection `ipvs-cli conns` has ended or moved. docs/connections.md
//! says it.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use ipvs::{
    Client, Destination, Family, Forwarding, Persistence, Protocol, Scheduler, Service, ServiceKey, Tunnel,
    proc::Connections,
};
use kernel_tests::network::{Network, Speaks, client, server, virtual_address};
use kernel_tests::target::Target;

use super::forwarding::unwrap_ip;

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
#[track_caller]
fn cli(network: &Network, line: &str) -> String {
    let output = network
        .director
        .run(|| Command::new(Target::IpvsCli.program().unwrap()).args(line.split(' ')).output().unwrap());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{line}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn entries(network: &Network) -> Vec<String> {
    network.director.run(|| {
        let show = |entry: ipvs::proc::Connection| format!("{} {} {}", entry.client, entry.destination, entry.state);
        Connections::open().unwrap().map(|entry| show(entry.unwrap())).collect()
    })
}

#[test]
fn a_connection_that_is_ended_is_reset_and_no_other_one() {
    for forwarding in [Forwarding::DirectRoute, Forwarding::Masquerade, Forwarding::Tunnel(Tunnel::Ipip)] {
        let network = Network::build(2);
        if matches!(forwarding, Forwarding::Tunnel(_)) && !unwrap_ip(&network) {
            continue;
        }
        let _servers = network.serve(&[(PORT, Speaks::Greeting(Protocol::TCP))]);
        if forwarding == Forwarding::Masquerade {
            network.answer_through_director();
        }
        for family in [Family::V4, Family::V6] {
            director(&network, Protocol::TCP, family, forwarding, false);
            let to = virtual_address(family, PORT);
            let [mut ended, mut other] =
                [1, 2].map(|host| network.hold(Protocol::TCP, client(family, 1, host), to).unwrap());
            let from = client(family, 1, 1);
            assert_eq!(cli(&network, &format!("conns --kill --client {from}")), "ended 1 connection and 0 templates\n");
            let error = ended.go_on().unwrap_err();
            assert!(
                [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].contains(&error.kind()),
                "{forwarding}: {error}"
            );
            other.go_on().unwrap();
            network.ask(Protocol::TCP, from, to).unwrap();
        }
    }
}

/// Asks, and says who has answered, if anybody has.
/// Where an answer is expected.
const PATIENCE: Duration = Duration::from_secs(60);

fn ask(socket: &UdpSocket, patience: Duration) -> Option<String> {
    socket.set_read_timeout(Some(patience)).unwrap();
    socket.send(b"?").unwrap();
    let mut buffer = [0; 256];
    let length = socket.recv(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).split(' ').next()?.to_owned())
}

#[test]
fn a_flow_of_udp_whose_server_is_dead_is_answered_again_when_it_was_moved() {
    for forwarding in [Forwarding::DirectRoute, Forwarding::Masquerade] {
        let network = Network::build(2);
        let _servers = network.serve(&[(PORT, Speaks::Greeting(Protocol::UDP))]);
        if forwarding == Forwarding::Masquerade {
            network.answer_through_director();
        }
        director(&network, Protocol::UDP, Family::V4, forwarding, false);
        let socket = network.client.run(|| {
            let from: IpAddr = client(Family::V4, 1, 1);
            let socket = UdpSocket::bind(SocketAddr::new(from, 40_001)).unwrap();
            socket.connect(virtual_address(Family::V4, PORT)).unwrap();
            socket
        });
        let first = ask(&socket, PATIENCE).expect("both live");
        let [dead, alive] = if first == "rs1" { [1, 2] } else { [2, 1] };
        network.servers[usize::from(dead) - 1].ip("link set eth0 down");
        assert_eq!(ask(&socket, Duration::from_secs(2)), None, "it stays with the dead server");
        let [dead, alive_at] = [dead, alive].map(|number| server(number, Family::V4));
        let moved = cli(&network, &format!("conns --move-to {alive_at} --server {dead}"));
        assert_eq!(moved, "moved 1 connection and 0 templates\n");
        assert_eq!(ask(&socket, PATIENCE), Some(format!("rs{alive}")), "{:?}", entries(&network));
    }
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
