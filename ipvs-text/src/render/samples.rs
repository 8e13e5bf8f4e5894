//! What the tests render: the tables and names over which `recorded` was recorded.

use std::num::NonZeroU16;

use ipvs::{
    Destination, DestinationState, Forwarding, Netmask, Persistence, PersistenceEngine, Protocol, Scheduler,
    SchedulerFlags, Service, ServiceState, Tunnel, TunnelFlags, Weight,
};

use super::order;
use crate::ipvsadm::names::Names;

/// What `write` writes.
pub(super) fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

/// Every kind of service and server, in the order of a listing.
pub(super) fn services() -> Vec<(ServiceState, Vec<DestinationState>)> {
    let mut services = vec![web(), dns(), sip(), signalling(), ah(), web6(), mark(), mark6()];
    let mut order: Vec<_> = services.iter().map(|(service, _)| ServiceState::new(*service)).collect();
    order::sort_services(&mut order);
    services.sort_by_key(|(service, _)| order.iter().position(|state| state.service == *service));
    services
        .into_iter()
        .map(|(service, servers)| {
            (ServiceState::new(service), servers.into_iter().rev().map(DestinationState::new).collect())
        })
        .collect()
}

fn service(key: &str, scheduler: Scheduler) -> Service {
    Service::new(key.parse().unwrap()).with_scheduler(scheduler)
}

fn server(address: &str, forwarding: Forwarding, weight: u32) -> Destination {
    Destination::new(address.parse().unwrap()).with_forwarding(forwarding).with_weight(Weight::new(weight).unwrap())
}

fn gue(port: u16, flags: TunnelFlags) -> Forwarding {
    Forwarding::Tunnel(Tunnel::Gue { port: NonZeroU16::new(port).unwrap(), flags })
}

const IPIP: Forwarding = Forwarding::Tunnel(Tunnel::Ipip);

fn web() -> (Service, Vec<Destination>) {
    let service = service("tcp 192.0.2.1:80", Scheduler::WRR)
        .with_persistence(Persistence::new(60).unwrap())
        .with_netmask(Netmask::v4([255, 255, 255, 0]))
        .unwrap();
    let mut limited = server("192.0.2.11:80", Forwarding::Masquerade, 100);
    limited.upper_threshold = 2000;
    limited.lower_threshold = 1000;
    let servers = vec![
        limited,
        server("192.0.2.12:80", gue(6080, TunnelFlags::CHECKSUM), 50),
        server("192.0.2.13:80", gue(65535, TunnelFlags::REMOTE_CHECKSUM), 1),
        server("192.0.2.14:80", gue(6080, TunnelFlags::empty()), 1),
        server("192.0.2.15:80", Forwarding::Tunnel(Tunnel::Gre { flags: TunnelFlags::CHECKSUM }), 1),
        server("192.0.2.16:80", Forwarding::Tunnel(Tunnel::Gre { flags: TunnelFlags::empty() }), 1),
        server("[2001:db8::11]:80", IPIP, 0),
    ];
    (service, servers)
}

fn dns() -> (Service, Vec<Destination>) {
    let servers = vec![server("192.0.2.11:53", Forwarding::DirectRoute, 2_147_483_647)];
    (service("udp 192.0.2.1:53", Scheduler::WLC).with_one_packet(), servers)
}

fn sip() -> (Service, Vec<Destination>) {
    let service = service("udp 192.0.2.13:5060", Scheduler::RR)
        .with_persistence(Persistence::new(30).unwrap())
        .with_engine(PersistenceEngine::SIP)
        .with_one_packet()
        .with_scheduler_flags(SchedulerFlags::FLAG_1 | SchedulerFlags::FLAG_3);
    (service, vec![])
}

fn signalling() -> (Service, Vec<Destination>) {
    let service = service("sctp 192.0.2.1:2904", Scheduler::SH).with_scheduler_flags(SchedulerFlags::FLAG_3);
    (service, vec![server("192.0.2.11:2904", Forwarding::Masquerade, 1)])
}

/// What ipvsadm can list but not make.
fn ah() -> (Service, Vec<Destination>) {
    let servers = vec![server("192.0.2.21:80", Forwarding::Local, 1), server("192.0.2.24:80", Forwarding::Bypass, 1)];
    (service("51 192.0.2.9:80", Scheduler::RR), servers)
}

fn web6() -> (Service, Vec<Destination>) {
    let service = service("tcp [2001:db8::1]:80", Scheduler::MH)
        .with_persistence(Persistence::new(60).unwrap())
        .with_netmask(Netmask::v6(64).unwrap())
        .unwrap()
        .with_scheduler_flags(SchedulerFlags::MH_PORT);
    let servers = vec![
        server("[2001:db8::14]:8080", Forwarding::Masquerade, 1),
        server("[2001:db8:1111:2222:3333:4444:5555:6666]:65535", Forwarding::Masquerade, 10),
        server("192.0.2.14:80", IPIP, 1),
    ];
    (service, servers)
}

fn mark() -> (Service, Vec<Destination>) {
    (service("mark 7", Scheduler::RR), vec![server("192.0.2.11:80", Forwarding::Masquerade, 1)])
}

fn mark6() -> (Service, Vec<Destination>) {
    (service("mark 7 ipv6", Scheduler::RR), vec![server("[2001:db8::11]:0", Forwarding::DirectRoute, 1)])
}

/// The names of the machine on which was recorded; an empty one stands for none.
pub(super) fn names() -> Names {
    Names::known(
        &[
            ("127.0.0.1", "localhost"),
            ("::1", "localhost6"),
            ("192.0.2.1", "www.example.net"),
            ("192.0.2.9", ""),
            ("192.0.2.11", "app1.example.net"),
            ("192.0.2.12", "app2.example.net"),
            ("192.0.2.13", "a-real-server-with-a-long-name.example.net"),
            ("192.0.2.14", "a-name-that-is-longer-than-all-that-a-listing-can-hold-at-all.example.net"),
            ("192.0.2.15", ""),
            ("192.0.2.16", ""),
            ("192.0.2.21", ""),
            ("192.0.2.24", ""),
            ("192.0.2.99", ""),
            ("2001:db8::1", "six.example.net"),
            ("2001:db8::11", "app6.example.net"),
            ("2001:db8::14", "six-name-that-is-longer-than-all-that-a-listing-can-hold-at-all.example.net"),
            ("2001:db8:1111:2222:3333:4444:5555:6666", ""),
            ("255.255.255.250", ""),
            ("ffff:fffa::", ""),
            ("127.0.0.10", ""),
            ("127.0.0.11", ""),
            ("127.0.0.12", ""),
            ("127.0.0.13", ""),
            ("127.0.0.14", ""),
        ],
        &ports(),
    )
}

fn ports() -> Vec<(Protocol, u16, &'static str)> {
    let named = [
        (Protocol::TCP, 80, "http"),
        (Protocol::TCP, 8080, "http-alt"),
        (Protocol::UDP, 53, "domain"),
        (Protocol::SCTP, 2904, "m2ua"),
    ];
    let without = |protocol| move |port| (protocol, port, "");
    let tcp = [81, 40001, 40002, 40003, 65535].map(without(Protocol::TCP));
    let udp = [0, 54, 55, 56, 57, 58, 5060, 9000].map(without(Protocol::UDP));
    let clients: [_; 14] = std::array::from_fn(|i| (Protocol::UDP, 40004 + i as u16, ""));
    [&named[..], &tcp, &udp, &clients, &[(Protocol::SCTP, 40000, "")]].concat()
}
