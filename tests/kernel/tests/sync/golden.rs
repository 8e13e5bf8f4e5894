//! The golden datagrams of the codec's tests are what a kernel's master daemon sends: received
//! again on every run.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use ipvs::{
    Client, Daemon, DaemonRole, Destination, Family, Forwarding, Persistence, PersistenceEngine, Protocol, Scheduler,
    Service, ServiceKey, Tunnel,
};
use kernel_tests::network::{Network, Speaks, VIRTUAL4, VIRTUAL6, director, server};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};

const GOLDEN: &str = include_str!("../../../../ipvs/src/sync/golden.txt");

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 81);
const PORT: u16 = 8848;

/// The packet of a connection that is announced: the one that establishes TCP.
const ANNOUNCED: &str = "2 100";

/// Nothing takes so long. The master collects entries for two seconds.
const PATIENCE: Duration = Duration::from_secs(120);

struct World {
    network: Network,
    client: Client,
    master_is_heard_by: UdpSocket,
}

impl World {
    fn new() -> Self {
        let network = Network::build_with_spare(1);
        let spare = network.spare.as_ref().expect("it was asked for");
        let master_is_heard_by = spare.run(|| {
            let socket = UdpSocket::bind((GROUP, PORT)).unwrap();
            socket.join_multicast_v4(&GROUP, &"10.0.0.3".parse().unwrap()).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        });
        let mut client = network.director.run(|| Client::connect().unwrap());
        network.director.set("net/ipv4/vs/sync_threshold", ANNOUNCED);
        let daemon = Daemon::new(DaemonRole::Master, "eth0".parse().unwrap()).with_sync_id(7);
        client.start_daemon(&daemon).unwrap();
        World { network, client, master_is_heard_by }
    }

    fn add(&mut self, service: Service, forwarding: Forwarding) {
        let key = service.key();
        let port = match key {
            ServiceKey::Address { at, .. } => at.port(),
            ServiceKey::Mark { .. } => 0,
        };
        let at = SocketAddr::new(server(1, key.family()), port);
        self.client.add_service(&service.with_scheduler(Scheduler::RR)).unwrap();
        self.client.add_destination(&key, &Destination::new(at).with_forwarding(forwarding)).unwrap();
    }

    /// What the master sends next, in hexadecimal.
    fn sent(&self) -> String {
        let mut datagram = [0; 1500];
        let length = self.master_is_heard_by.recv(&mut datagram).expect("the master sends");
        datagram[..length].iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        })
    }

    /// Two datagrams from a client's fixed port.
    fn udp(&self, from: SocketAddr, to: SocketAddr, text: &str) -> String {
        self.network.client.run(|| say_twice(from, to, text, None));
        self.sent()
    }
}

fn say_twice(from: SocketAddr, to: SocketAddr, text: &str, mark: Option<u32>) {
    let socket = UdpSocket::bind(from).unwrap();
    if let Some(mark) = mark {
        setsockopt(&socket, sockopt::Mark, &mark).unwrap();
    }
    for _ in 0..2 {
        socket.send_to(text.as_bytes(), to).unwrap();
    }
}

fn tcp(from: SocketAddr, to: SocketAddr) -> TcpStream {
    let family = if from.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let stream = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(stream.as_raw_fd(), &SockaddrStorage::from(from)).unwrap();
    connect(stream.as_raw_fd(), &SockaddrStorage::from(to)).unwrap();
    TcpStream::from(stream)
}

fn service(protocol: Protocol, ip: impl Into<IpAddr>, port: u16) -> Service {
    Service::new(ServiceKey::Address { protocol, at: SocketAddr::new(ip.into(), port) })
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn a_master_daemon_sends_the_golden_datagrams() {
    let mut world = World::new();
    let _servers = world.network.serve(&[(80, Speaks::Greeting(Protocol::TCP))]);
    let mut sent = Vec::new();
    let mut number = 5000;
    for (name, forwarding) in [
        ("masquerading", Forwarding::Masquerade),
        ("tunneling", Forwarding::Tunnel(Tunnel::Ipip)),
        ("direct routing", Forwarding::DirectRoute),
    ] {
        for (family, ip, from) in [
            ("ipv4", IpAddr::from(VIRTUAL4), at("10.1.0.1:40001")),
            ("ipv6", IpAddr::from(VIRTUAL6), at("[fd01::1]:40001")),
        ] {
            number += 1;
            world.add(service(Protocol::UDP, ip, number), forwarding);
            sent.push((format!("udp, {name}, {family}"), world.udp(from, SocketAddr::new(ip, number), "?")));
        }
    }
    world.add(service(Protocol::TCP, VIRTUAL4, 80), Forwarding::DirectRoute);
    let stream = world.network.client.run(|| tcp(at("10.1.0.2:40002"), (VIRTUAL4, 80).into()));
    sent.push(("tcp, established".into(), world.sent()));
    drop(stream);
    sent.push(("tcp, ending".into(), world.sent()));
    let persistent = |service: Service| service.with_persistence(Persistence::new(600).unwrap());
    let network = persistent(service(Protocol::UDP, VIRTUAL4, 53)).with_netmask("255.255.255.0".parse().unwrap());
    world.add(network.unwrap(), Forwarding::DirectRoute);
    sent.push(("template".into(), world.udp(at("10.1.0.3:40003"), (VIRTUAL4, 53).into(), "?")));
    for (name, family) in [("ipv4", Family::V4), ("ipv6", Family::V6)] {
        let mark = ServiceKey::Mark { mark: ipvs::FirewallMark::new(7).unwrap(), family };
        world.add(persistent(Service::new(mark)), Forwarding::DirectRoute);
        let to = if family == Family::V4 { VIRTUAL4.into() } else { IpAddr::from(VIRTUAL6) };
        let from = SocketAddr::new(director(family), 40004);
        world.network.director.run(|| say_twice(from, SocketAddr::new(to, 5060), "?", Some(7)));
        sent.push((format!("template of a mark, {name}"), world.sent()));
    }
    let sip = persistent(service(Protocol::UDP, VIRTUAL4, 5060)).with_engine(PersistenceEngine::SIP);
    world.add(sip, Forwarding::Masquerade);
    let call = "OPTIONS sip:a@example.net SIP/2.0\r\nCall-ID: 12345@example.net\r\n\r\n";
    sent.push(("template of sip".into(), world.udp(at("10.1.0.5:40005"), (VIRTUAL4, 5060).into(), call)));
    let text: String = sent.iter().map(|(name, hex)| format!("{name} => {hex}\n")).collect();
    let golden: String = GOLDEN.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    assert_eq!(text, golden, "what was received:\n{text}");
}
