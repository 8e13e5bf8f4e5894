//! Laws: printing and reading gives the same value, a group marks its packets and no others, and no
//! text makes the parser panic or point at a word that isn't there.

use std::collections::HashSet;
use std::net::IpAddr;
use std::num::NonZeroU32;

use fwmark::{Action, CommandLine, FirewallMark, Hook, InterfacePattern, MarkGroup, MarkRule, Network};
use fwmark::{PortRange, Ports, Protocol, SetMark, Traffic, parse, parse_mark};
use proptest::prelude::*;

fn mark() -> impl Strategy<Value = FirewallMark> {
    prop_oneof![1..100u32, any::<u32>().prop_map(|value| value.max(1))]
        .prop_map(|value| FirewallMark::new(value).unwrap())
}

fn set() -> impl Strategy<Value = SetMark> {
    prop_oneof![
        mark().prop_map(SetMark::from),
        (mark(), any::<u32>()).prop_map(|(mark, more)| SetMark::masked(mark, mark.get() | more).unwrap()),
    ]
}

fn network(is_v4: bool) -> impl Strategy<Value = Network> {
    if is_v4 {
        (any::<[u8; 4]>(), 0..=32u8).prop_map(|(address, prefix)| Network::new(address.into(), prefix).unwrap()).boxed()
    } else {
        (any::<[u8; 16]>(), 0..=128u8)
            .prop_map(|(address, prefix)| Network::new(address.into(), prefix).unwrap())
            .boxed()
    }
}

fn range() -> impl Strategy<Value = PortRange> {
    let between = (any::<u16>(), any::<u16>()).prop_map(|(a, b)| PortRange::new(a.min(b), a.max(b)).unwrap());
    prop_oneof![any::<u16>().prop_map(PortRange::from), between]
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop::sample::select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp])
}

fn traffic() -> impl Strategy<Value = Traffic> {
    // Seven ranges are fourteen of the fifteen places.
    let ports = prop::collection::vec(range(), 1..=7).prop_map(|ranges| Ports::new(ranges).unwrap());
    prop_oneof![
        Just(Traffic::Any),
        protocol().prop_map(Traffic::Protocol),
        (protocol(), ports).prop_map(|(protocol, ports)| Traffic::Ports(protocol, ports)),
    ]
}

fn hook() -> impl Strategy<Value = Hook> {
    let name = "[-a-zA-Z0-9._@:+]{1,15}".prop_map(|name| name.parse::<InterfacePattern>().unwrap());
    prop_oneof![Just(Hook::Output), prop::option::of(name).prop_map(|interface| Hook::Prerouting { interface })]
}

fn rule() -> impl Strategy<Value = MarkRule> {
    let networks = any::<bool>().prop_flat_map(|is_v4| (network(is_v4), network(is_v4)));
    (networks, set(), traffic(), hook()).prop_map(|((source, destination), set, traffic, hook)| {
        MarkRule::new(destination, set).with_source(source).unwrap().with_traffic(traffic).with_hook(hook)
    })
}

fn action() -> impl Strategy<Value = Action> {
    let place = prop_oneof![1..4u32, 1..=u32::MAX];
    let insert = place.prop_map(|place| Action::Insert(NonZeroU32::new(place).unwrap()));
    prop_oneof![Just(Action::Append), Just(Action::Delete), insert]
}

/// Words that lines are made of, and some that they are not.
fn word() -> impl Strategy<Value = String> {
    let known = "iptables ip6tables -t mangle -A -I -D PREROUTING OUTPUT -d -s -i -p -m -j MARK tcp udp multiport --dport \
                 --dports --set-mark --set-xmark 80 443:444 10 0x6/0xff 192.0.2.1 192.0.2.0/24 ::1 eth0 --dport=80 \
                 -d10.0.0.1 - -- = --= ! –A";
    let known: Vec<String> = known.split(' ').map(str::to_owned).collect();
    prop_oneof![9 => prop::sample::select(known), 1 => any::<String>()]
}

proptest! {
    #[test]
    fn printed_lines_are_read_as_the_same(action in action(), rule in rule()) {
        let line = CommandLine { action, rule };
        prop_assert_eq!(parse(&line.to_string()), Ok(line));
    }

    #[test]
    fn values_are_read_back_too(network in any::<bool>().prop_flat_map(network), range in range(), mark in mark()) {
        prop_assert_eq!(network.to_string().parse(), Ok(network));
        prop_assert_eq!(range.to_string().parse(), Ok(range));
        prop_assert_eq!(parse_mark(&mark.to_string()), Ok(mark));
    }

    #[test]
    fn refusals_point_into_the_line(words in prop::collection::vec(word(), 0..24)) {
        let line = words.join(" ");
        match parse(&line) {
            Ok(understood) => prop_assert_eq!(parse(&understood.to_string()), Ok(understood)),
            Err(error) => {
                prop_assert!(line[error.offset()..].starts_with(error.word()));
                prop_assert_eq!(error.column(), line[..error.offset()].chars().count() + 1);
                prop_assert!(!error.word().contains(' '));
            }
        }
    }

    #[test]
    fn a_masked_mark_replaces_its_bits_alone(set in set(), before in any::<u32>()) {
        let after = set.applied_to(before);
        prop_assert_eq!(after & set.mask(), set.mark().get());
        prop_assert_eq!(after & !set.mask(), before & !set.mask());
    }

    #[test]
    fn a_network_has_its_addresses_alone(network in network(true), address in any::<u32>()) {
        let IpAddr::V4(first) = network.address() else { panic!("an IPv4 network") };
        let size = 1u64 << (32 - network.prefix());
        let first = u64::from(first.to_bits());
        let inside = (first..first + size).contains(&u64::from(address));
        prop_assert_eq!(network.contains(std::net::Ipv4Addr::from_bits(address).into()), inside);
    }

    #[test]
    fn a_group_marks_its_packets_and_no_others(
        members in prop::collection::vec((0..3u8, protocol(), 0..60u16, 0..3u16), 0..50),
    ) {
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        let mut expected = HashSet::new();
        let mut group = MarkGroup::new(FirewallMark::new(10).unwrap());
        for (last, protocol, first, more) in members {
            group = group.with(address(last), protocol, PortRange::new(first, first + more).unwrap());
            expected.extend((first..=first + more).map(|port| (address(last), protocol, port)));
        }
        let mut marked = HashSet::new();
        for rule in group.rules() {
            let Traffic::Ports(protocol, ports) = rule.traffic() else { panic!("a rule for ports") };
            let covered = ports.ranges().iter().flat_map(|range| range.first()..=range.last());
            marked.extend(covered.map(|port| (rule.destination().address(), *protocol, port)));
        }
        prop_assert_eq!(marked, expected);
    }
}
