//! Rules at random, for packets over the loopback interface: few addresses and ports, so that many
//! rules meet.

use fwmark::{Family, FirewallMark, Hook, MarkRule, Network, PortRange, Ports, Protocol, SetMark, Traffic};
use proptest::prelude::*;
use proptest::sample::select;
use std::net::{IpAddr, SocketAddr};

const V4: [&str; 6] = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.0/30", "127.0.0.2/31", "0.0.0.0/0"];
const V6: [&str; 4] = ["::1", "::2", "::/64", "::/0"];
const INTERFACES: [&str; 5] = ["lo", "l+", "+", "eth0", "eth+"];

/// Up to `most` rules of both families.
pub(crate) fn rules(most: usize) -> impl Strategy<Value = Vec<MarkRule>> {
    prop::collection::vec(rule(), 0..=most)
}

fn rule() -> impl Strategy<Value = MarkRule> {
    (networks(), set(), traffic(), hook()).prop_map(|((source, destination), set, traffic, hook)| {
        let rule = MarkRule::new(destination, set).with_source(source).expect("networks of one family");
        rule.with_traffic(traffic).with_hook(hook)
    })
}

fn networks() -> impl Strategy<Value = (Network, Network)> {
    let of = |texts: &'static [&'static str], family| {
        let one = select(texts).prop_map(|text| text.parse::<Network>().expect("a network"));
        // Most rules have no source.
        (prop_oneof![3 => Just(Network::any(family)), 2 => one.clone()], one)
    };
    prop_oneof![3 => of(&V4, Family::V4), 1 => of(&V6, Family::V6)]
}

fn set() -> impl Strategy<Value = SetMark> {
    let mark = |value| FirewallMark::new(value).expect("not 0");
    prop_oneof![
        4 => (1..5_u32).prop_map(move |value| mark(value).into()),
        1 => Just(u32::MAX).prop_map(move |value| mark(value).into()),
        1 => (1..4_u32).prop_map(move |value| SetMark::masked(mark(value << 8), 0xff00).expect("within the mask")),
        1 => Just(SetMark::masked(mark(0x10), 0x10).expect("within the mask")),
    ]
}

fn traffic() -> impl Strategy<Value = Traffic> {
    let protocol = || prop_oneof![3 => Just(Protocol::Tcp), 1 => Just(Protocol::Udp), 1 => Just(Protocol::Sctp)];
    let one = (PORT..PORT + 5).prop_map(PortRange::from);
    let some =
        (PORT..PORT + 5, 0..4_u16).prop_map(|(first, more)| PortRange::new(first, first + more).expect("in order"));
    let ports = prop::collection::vec(prop_oneof![3 => one, 1 => some], 1..=4);
    prop_oneof![
        1 => Just(Traffic::Any),
        1 => protocol().prop_map(Traffic::Protocol),
        5 => (protocol(), ports).prop_map(|(protocol, ports)| Traffic::Ports(protocol, Ports::new(ports).expect("few"))),
    ]
}

fn hook() -> impl Strategy<Value = Hook> {
    let interface = select(&INTERFACES).prop_map(|name| name.parse().expect("an interface"));
    prop_oneof![
        4 => Just(Hook::Prerouting { interface: None }),
        2 => interface.prop_map(|name| Hook::Prerouting { interface: Some(name) }),
        2 => Just(Hook::Output),
    ]
}

/// The lowest port that rules look at.
const PORT: u16 = 7000;

/// Packets that many of the rules meet.
pub(crate) fn packets() -> Vec<(IpAddr, SocketAddr)> {
    let pairs = [("127.0.0.1", "127.0.0.1"), ("127.0.0.2", "127.0.0.1"), ("127.0.0.1", "127.0.0.3"), ("::1", "::1")];
    let ports = [PORT, PORT + 3];
    let address = |text: &str| text.parse::<IpAddr>().expect("an address");
    let all = pairs.iter().flat_map(|pair| ports.map(|port| (*pair, port)));
    all.map(|((from, to), port)| (address(from), SocketAddr::new(address(to), port))).collect()
}
