//! What is done, to one service or destination of fifty that are handled together, as in a client's
//! everyday work.

use std::hint::black_box;

use ipvs::fuzzing::codec::{Dump, Requests, sockopt_destinations, sockopt_services};
use ipvs::{
    Command, Destination, DestinationState, Forwarding, Persistence, Scheduler, Service, ServiceKey, ServiceState,
    Statistics, Tunnel, TunnelFlags, Weight,
};

/// The number of requests in a window, messages in a datagram, entries in a table.
pub(crate) const TOGETHER: usize = 50;

/// One of them.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// Does it this many times [`TOGETHER`].
    pub(crate) run: fn(u32),
}

/// All, in the order of the report.
pub(crate) const ALL: [Operation; 10] = [
    Operation { name: "encode-service-ipv4", run: |rounds| encode(Command::AddService(web()), 104, rounds) },
    Operation { name: "encode-service-ipv6", run: |rounds| encode(Command::AddService(web_of_ipv6()), 104, rounds) },
    Operation { name: "encode-destination", run: |rounds| encode(add(Forwarding::Masquerade), 132, rounds) },
    Operation { name: "encode-destination-gue", run: |rounds| encode(add(gue()), 156, rounds) },
    Operation { name: "decode-service", run: |rounds| decode_services(true, rounds) },
    Operation { name: "decode-service-no-statistics", run: |rounds| decode_services(false, rounds) },
    Operation { name: "decode-destination", run: |rounds| decode_destinations(true, rounds) },
    Operation { name: "decode-destination-no-statistics", run: |rounds| decode_destinations(false, rounds) },
    Operation { name: "getsockopt-service", run: decode_sockopt_services },
    Operation { name: "getsockopt-destination", run: decode_sockopt_destinations },
];

// What Linux 7.2 of Debian on x86_64 replies after
// ipvsadm -A -t 10.0.0.1:80 -s rr
// ipvsadm -a -t 10.0.0.1:80 -r 127.0.0.1:8080 -m -w 5 -x 10
const SERVICE: &[u8] = include_bytes!("../../../fuzz/seeds/wire_decode/linux-7.2-amd64-services");
const DESTINATION: &[u8] = include_bytes!("../../../fuzz/seeds/wire_decode/linux-7.2-amd64-destinations");
const SOCKOPT_SERVICE: &[u8] = include_bytes!("../../../fuzz/seeds/sockopt_replies/linux-7.2-amd64-services");
const SOCKOPT_DESTINATION: &[u8] = include_bytes!("../../../fuzz/seeds/sockopt_replies/linux-7.2-amd64-destinations");

/// Where the entries of a reply of `getsockopt` begin.
const SOCKOPT_SERVICES_FROM: usize = 8;
const SOCKOPT_DESTINATIONS_FROM: usize = 24;

fn key() -> ServiceKey {
    "tcp 10.0.0.1:80".parse().expect("a service's identity")
}

fn web() -> Service {
    Service::new(key()).with_scheduler(Scheduler::RR)
}

fn web_of_ipv6() -> Service {
    let key = "tcp [2001:db8::1]:80".parse().expect("a service's identity");
    Service::new(key).with_persistence(Persistence::new(600).expect("ten minutes"))
}

fn destination(forwarding: Forwarding) -> Destination {
    let address = "127.0.0.1:8080".parse().expect("an address");
    let weight = Weight::new(5).expect("a weight");
    Destination::new(address).with_forwarding(forwarding).with_weight(weight).with_upper_threshold(10)
}

fn gue() -> Forwarding {
    let port = 6080.try_into().expect("a port");
    Forwarding::Tunnel(Tunnel::Gue { port, flags: TunnelFlags::CHECKSUM })
}

fn add(forwarding: Forwarding) -> Command {
    Command::AddDestination(key(), destination(forwarding))
}

fn encode(command: Command, length: usize, rounds: u32) {
    let commands = vec![command; TOGETHER];
    let mut requests = Requests::default();
    assert_eq!(requests.write(&commands).len(), length * TOGETHER);
    for _ in 0..rounds {
        black_box(requests.write(black_box(&commands)));
    }
}

fn decode_services(with_statistics: bool, rounds: u32) {
    let datagram = SERVICE.repeat(TOGETHER);
    let dump = Dump::of_services(with_statistics);
    let read = |datagram: &[u8], take: &mut dyn FnMut(&ServiceState)| {
        dump.services(datagram, |state| take(state)).expect("services");
    };
    let mut all = Vec::new();
    read(&datagram, &mut |state| all.push(*state));
    let statistics = with_statistics.then(Statistics::default);
    let mut state = ServiceState::new(web());
    state.statistics = statistics;
    assert_eq!(all, [state; TOGETHER]);
    for _ in 0..rounds {
        read(black_box(&datagram), &mut |state| _ = black_box(state));
    }
}

fn decode_destinations(with_statistics: bool, rounds: u32) {
    let datagram = DESTINATION.repeat(TOGETHER);
    let dump = Dump::of_destinations(key(), with_statistics);
    let read = |datagram: &[u8], take: &mut dyn FnMut(&DestinationState)| {
        dump.destinations(datagram, |state| take(state)).expect("destinations");
    };
    let mut all = Vec::new();
    read(&datagram, &mut |state| all.push(*state));
    let statistics = with_statistics.then(Statistics::default);
    let mut state = DestinationState::new(destination(Forwarding::Masquerade));
    state.statistics = statistics;
    assert_eq!(all, [state; TOGETHER]);
    for _ in 0..rounds {
        read(black_box(&datagram), &mut |state| _ = black_box(state));
    }
}

fn decode_sockopt_services(rounds: u32) {
    let reply = sockopt_reply(SOCKOPT_SERVICE, SOCKOPT_SERVICES_FROM);
    assert_eq!(sockopt_services(&reply), Some(vec![ServiceState::new(web()); TOGETHER]));
    for _ in 0..rounds {
        black_box(sockopt_services(black_box(&reply)));
    }
}

fn decode_sockopt_destinations(rounds: u32) {
    let reply = sockopt_reply(SOCKOPT_DESTINATION, SOCKOPT_DESTINATIONS_FROM);
    let mut state = DestinationState::new(destination(Forwarding::Masquerade));
    state.statistics = None;
    assert_eq!(sockopt_destinations(&reply), Some(vec![state; TOGETHER]));
    for _ in 0..rounds {
        black_box(sockopt_destinations(black_box(&reply)));
    }
}

/// A table of many, made of one with a single entry.
fn sockopt_reply(one: &[u8], entries_from: usize) -> Vec<u8> {
    let (header, entry) = one.split_at(entries_from);
    [header, &entry.repeat(TOGETHER)].concat()
}
