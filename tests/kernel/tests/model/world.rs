//! Commands of a world small enough that they meet, and with something of every kind in it.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use ipvs::{
    Command, Daemon, DaemonRole, Destination, Family, Forwarding, InterfaceName, Netmask, Persistence,
    PersistenceEngine, Scheduler, SchedulerFlags, Service, ServiceKey, Timeouts, Tunnel, TunnelFlags, Weight,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Services, each often enough to be there when another command is about it.
const KEYS: [&str; 6] =
    ["tcp 10.0.0.1:80", "udp 10.0.0.1:80", "tcp 10.0.0.1:0", "tcp [2001:db8::1]:80", "mark 1", "mark 1 ipv6"];
const RARE_KEYS: [&str; 9] = [
    "sctp 10.0.0.1:80",
    "udp [2001:db8::1]:53",
    "sctp [2001:db8::1]:65535",
    "tcp 0.0.0.0:80",
    "tcp [::]:0",
    "tcp 224.0.0.1:80",
    "51 10.0.0.1:80",
    "mark 4294967295",
    "mark 2147483648 ipv6",
];

/// Hosts.
const HOSTS: [&str; 5] = ["127.0.0.1:80", "127.0.0.2:80", "127.0.0.1:0", "[::1]:80", "[2001:db8::2]:80"];
/// Hosts, if odd ones.
const ODD_HOSTS: [&str; 10] = [
    "192.0.2.1:65535",
    "10.0.0.255:80",
    "240.0.0.1:80",
    "0.1.2.3:80",
    "169.254.1.1:80",
    "[fec0::1]:80",
    "[fd00::1]:80",
    "[64:ff9b::10.0.0.1]:80",
    "[::127.0.0.1]:80",
    "[2002:7f00:1::]:80",
];
/// No hosts.
const NO_HOSTS: [&str; 12] = [
    "224.0.0.1:80",
    "239.255.255.255:80",
    "0.0.0.0:80",
    "255.255.255.255:80",
    "127.255.255.255:80",
    "[::]:80",
    "[fe80::1]:80",
    "[febf::1]:80",
    "[ff02::1]:80",
    "[ff0e::1]:80",
    "[::ffff:127.0.0.1]:80",
    "[::ffff:10.0.0.1]:80",
];

/// A number and those next to its bounds.
const NUMBERS: [u32; 8] = [0, 1, 5, 6, 1000, i32::MAX as u32, 1 << 31, u32::MAX];

fn key() -> impl Strategy<Value = ServiceKey> {
    prop_oneof![14 => select(&KEYS[..]), 1 => select(&RARE_KEYS[..])].prop_map(|text| text.parse().unwrap())
}

fn address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![8 => select(&HOSTS[..]), 1 => select(&ODD_HOSTS[..]), 2 => select(&NO_HOSTS[..])]
        .prop_map(|text| text.parse().unwrap())
}

/// Those of the Linux tree, but `twos`, which Debian leaves out of some of its kernels.
pub(crate) fn schedulers() -> Vec<Scheduler> {
    let mut there = Scheduler::IN_TREE.to_vec();
    there.retain(|scheduler| *scheduler != Scheduler::TWOS);
    there
}

fn scheduler() -> impl Strategy<Value = Scheduler> {
    let none = select(&["none", "unheard-of", "RR", "fifteen-letters"][..]).prop_map(|name| name.parse().unwrap());
    prop_oneof![6 => select(schedulers()), 1 => none]
}

fn scheduler_flags() -> impl Strategy<Value = SchedulerFlags> {
    // The lowest three bits have fields of their own; the rest is of the future.
    let bits = prop_oneof![4 => Just(0), 4 => (0..8u32).prop_map(|bits| bits << 3), 1 => any::<u32>().prop_map(|bits| bits & !7)];
    bits.prop_map(SchedulerFlags::from_bits_retain)
}

fn netmask(family: Family) -> BoxedStrategy<Netmask> {
    let whole = Just(Netmask::whole(family));
    match family {
        Family::V4 => prop_oneof![whole, any::<[u8; 4]>().prop_map(Netmask::v4)].boxed(),
        Family::V6 => prop_oneof![whole, (1..=128u32).prop_map(|prefix| Netmask::v6(prefix).unwrap())].boxed(),
    }
}

fn service() -> impl Strategy<Value = Service> {
    let seconds = prop_oneof![1..=Persistence::MAX, select(&[1, 360, Persistence::MAX][..])];
    let persistence = option::of(seconds.prop_map(|seconds| Persistence::new(seconds).unwrap()));
    let engine = option::weighted(0.2, select(&["sip", "sip", "unheard-of", "sixteen-letters-"][..]));
    let key = key().prop_flat_map(|key| (Just(key), netmask(key.family())));
    (key, scheduler(), scheduler_flags(), persistence, engine, any::<bool>()).prop_map(
        |((key, netmask), scheduler, scheduler_flags, persistence, engine, one_packet)| {
            let mut service = Service::new(key).with_scheduler(scheduler).with_scheduler_flags(scheduler_flags);
            service.persistence = persistence;
            service.engine = engine.map(|name| name.parse::<PersistenceEngine>().unwrap());
            service.one_packet = one_packet;
            service.with_netmask(netmask).unwrap()
        },
    )
}

fn forwarding() -> impl Strategy<Value = Forwarding> {
    let flags = || prop_oneof![(0..4u16), any::<u16>()].prop_map(TunnelFlags::from_bits_retain);
    let gue = (any::<NonZeroU16>(), flags()).prop_map(|(port, flags)| Tunnel::Gue { port, flags });
    let gre = flags().prop_map(|flags| Tunnel::Gre { flags });
    let plain = [Forwarding::Masquerade, Forwarding::Local, Forwarding::DirectRoute, Forwarding::Bypass];
    prop_oneof![
        4 => select(plain.to_vec()),
        2 => Just(Forwarding::Tunnel(Tunnel::Ipip)),
        2 => prop_oneof![gue.prop_map(Forwarding::Tunnel), gre.prop_map(Forwarding::Tunnel)],
    ]
}

fn destination() -> impl Strategy<Value = Destination> {
    let threshold = || prop_oneof![2 => Just(0), 1 => select(&NUMBERS[..])];
    let weight = select(vec![0, 1, 2, 3, 100_000, Weight::MAX.get()]).prop_map(|weight| Weight::new(weight).unwrap());
    (address(), forwarding(), weight, threshold(), threshold()).prop_map(
        |(address, forwarding, weight, upper_threshold, lower_threshold)| {
            Destination::new(address)
                .with_forwarding(forwarding)
                .with_weight(weight)
                .with_upper_threshold(upper_threshold)
                .with_lower_threshold(lower_threshold)
        },
    )
}

/// A destination that a service of this family takes.
fn fitting(family: Family) -> impl Strategy<Value = Destination> {
    let hosts: Vec<SocketAddr> = HOSTS.iter().map(|text| text.parse().unwrap()).collect();
    let hosts: Vec<_> = hosts.into_iter().filter(|at| Family::of(at.ip()) == family).collect();
    let thresholds = select(vec![(0, 0), (6, 5), (6, 0), (i32::MAX as u32, 1)]);
    (destination(), select(hosts), thresholds).prop_map(|(destination, address, (upper_threshold, lower_threshold))| {
        let destination =
            Destination::new(address).with_forwarding(destination.forwarding).with_weight(destination.weight);
        destination.with_upper_threshold(upper_threshold).with_lower_threshold(lower_threshold)
    })
}

/// A service and some destination.
fn server() -> impl Strategy<Value = (ServiceKey, Destination)> {
    key().prop_flat_map(|key| (Just(key), prop_oneof![fitting(key.family()), destination()]))
}

fn role() -> impl Strategy<Value = DaemonRole> {
    select(&[DaemonRole::Master, DaemonRole::Backup][..])
}

fn group(role: DaemonRole) -> impl Strategy<Value = Option<IpAddr>> {
    let groups = ["224.0.0.5", "239.1.2.3", "10.0.0.1", "2001:db8::1", "ff02::81"];
    // Only a backup needs no route to it, which the loopback has not for IPv6.
    let usable = if role == DaemonRole::Master { &groups[..4] } else { &groups[..] };
    option::of(select(usable.to_vec()).prop_map(|text| text.parse().unwrap()))
}

fn daemon() -> impl Strategy<Value = Daemon> {
    let interface = prop_oneof![5 => Just("lo"), 1 => Just("nonesuch0")];
    let sync_id = prop_oneof![0..=255u32, select(&NUMBERS[..])];
    let max_len = option::of(select(&[0, 1, 1000, 1024, 1472, 65_487, 65_488, 65_507, 65_508, u16::MAX][..]));
    let role = role().prop_flat_map(|role| (Just(role), group(role)));
    let (port, ttl) = (option::of(any::<u16>()), option::of(any::<u8>()));
    (role, interface, sync_id, max_len, port, ttl).prop_map(
        |((role, group), interface, sync_id, max_len, port, ttl)| {
            Daemon::new(role, InterfaceName::new(interface).unwrap())
                .with_sync_id(sync_id)
                .with_max_len(max_len)
                .with_group(group)
                .with_port(port)
                .with_ttl(ttl)
        },
    )
}

fn timeouts() -> impl Strategy<Value = Timeouts> {
    let seconds = || option::of(select(&[0, 1, 900, 21_474_836, 21_474_837, u32::MAX][..]));
    (seconds(), seconds(), seconds())
        .prop_map(|(tcp, tcp_fin, udp)| Timeouts::new().with_tcp(tcp).with_tcp_fin(tcp_fin).with_udp(udp))
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        20 => service().prop_map(Command::AddService),
        16 => service().prop_map(Command::EditService),
        4 => key().prop_map(Command::DeleteService),
        30 => server().prop_map(|(key, destination)| Command::AddDestination(key, destination)),
        24 => server().prop_map(|(key, destination)| Command::EditDestination(key, destination)),
        12 => (key(), address()).prop_map(|(key, at)| Command::DeleteDestination(key, at)),
        4 => option::of(key()).prop_map(Command::Zero),
        1 => Just(Command::Flush),
        3 => timeouts().prop_map(Command::SetTimeouts),
        5 => daemon().prop_map(Command::StartDaemon),
        4 => role().prop_map(Command::StopDaemon),
    ]
}

/// A service with some destinations, so that what follows has something to be about.
fn opening() -> impl Strategy<Value = Vec<Command>> {
    let key = select(&KEYS[..]).prop_map(|text| text.parse::<ServiceKey>().unwrap());
    key.prop_flat_map(|key| (Just(key), select(schedulers()), vec(fitting(key.family()), 0..4))).prop_map(
        |(key, scheduler, servers)| {
            let service = Command::AddService(Service::new(key).with_scheduler(scheduler));
            let servers = servers.into_iter().map(|server| Command::AddDestination(key, server));
            std::iter::once(service).chain(servers).collect()
        },
    )
}

/// What is done to one director, in order.
pub(crate) fn commands() -> impl Strategy<Value = Vec<Command>> {
    (vec(opening(), 0..10), vec(command(), 1..40)).prop_map(|(openings, then)| [openings.concat(), then].concat())
}
