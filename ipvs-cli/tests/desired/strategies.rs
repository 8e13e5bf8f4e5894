//! Arbitrary tables.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use ipvs::{
    Command, Daemon, DaemonRole, Destination, Family, FirewallMark, Forwarding, InterfaceName, Netmask, Persistence,
    PersistenceEngine, Protocol, Scheduler, SchedulerFlags, Service, ServiceKey, Table, Timeouts, Tunnel, TunnelFlags,
    Weight,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Unknown to `ipvs`: a kernel may have more than those of the Linux tree.
const OWN_SCHEDULERS: [&str; 3] = ["own", "rr2", "fifteen-letters"];
const OWN_ENGINES: [&str; 2] = ["quic", "sixteen-letters-"];

/// An empty director with a network, whose kernel has schedulers and persistence engines of its
/// own.
pub(crate) fn director() -> Table {
    let table = Table::new().with_interface(InterfaceName::new("eth0").unwrap());
    let table = OWN_SCHEDULERS.into_iter().fold(table, |table, name| table.with_module(Scheduler::new(name).unwrap()));
    OWN_ENGINES.into_iter().fold(table, |table, name| table.with_module(PersistenceEngine::new(name).unwrap()))
}

fn ip(family: Family) -> BoxedStrategy<IpAddr> {
    match family {
        // Few, so that there are duplicates.
        Family::V4 => {
            prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), (1..5u8).prop_map(|d| [192, 0, 2, d].into())].boxed()
        }
        Family::V6 => any::<[u8; 16]>().prop_map(IpAddr::from).boxed(),
    }
}

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![3 => Just(Family::V4), 1 => Just(Family::V6)]
}

fn address() -> impl Strategy<Value = SocketAddr> {
    (family().prop_flat_map(ip), any::<u16>()).prop_map(SocketAddr::from)
}

fn key() -> impl Strategy<Value = ServiceKey> {
    let protocol = prop_oneof![
        4 => Just(Protocol::TCP),
        2 => Just(Protocol::UDP),
        1 => Just(Protocol::SCTP),
        1 => any::<u16>().prop_map(Protocol::from_number),
    ];
    prop_oneof![
        2 => (protocol, address()).prop_map(|(protocol, at)| ServiceKey::Address { protocol, at }),
        1 => (1..=u32::MAX, family())
            .prop_map(|(mark, family)| ServiceKey::Mark { mark: FirewallMark::new(mark).unwrap(), family }),
    ]
}

fn service() -> impl Strategy<Value = Service> {
    let own = proptest::sample::select(&OWN_SCHEDULERS[..]).prop_map(|name| Scheduler::new(name).unwrap());
    let scheduler =
        prop_oneof![4 => proptest::sample::select(&Scheduler::IN_TREE[..]), 1 => Just(Scheduler::NONE), 2 => own];
    let flags = prop_oneof![(0..8u32).prop_map(|flags| flags << 3), any::<u32>().prop_map(|bits| bits & !7)];
    let persistence = option::of((1..=Persistence::MAX).prop_map(|seconds| Persistence::new(seconds).unwrap()));
    let own = proptest::sample::select(&OWN_ENGINES[..]).prop_map(|name| PersistenceEngine::new(name).unwrap());
    let engine = option::of(prop_oneof![Just(PersistenceEngine::SIP), own]);
    (key(), scheduler, flags, persistence, option::of((any::<[u8; 4]>(), 1..=128u32)), engine, any::<bool>()).prop_map(
        |(key, scheduler, flags, persistence, netmask, engine, one_packet)| {
            let mut service = Service::new(key).with_scheduler(scheduler);
            service.scheduler_flags = SchedulerFlags::from_bits_retain(flags);
            service.persistence = persistence;
            service.engine = engine;
            service.one_packet = one_packet;
            let Some((v4, v6)) = netmask else { return service };
            let netmask = match key.family() {
                Family::V4 => Netmask::v4(v4),
                Family::V6 => Netmask::v6(v6).unwrap(),
            };
            service.with_netmask(netmask).unwrap()
        },
    )
}

fn forwarding() -> impl Strategy<Value = Forwarding> {
    let flags = prop_oneof![0..4u16, any::<u16>()].prop_map(TunnelFlags::from_bits_retain);
    prop_oneof![
        2 => Just(Forwarding::DirectRoute),
        2 => Just(Forwarding::Masquerade),
        1 => Just(Forwarding::Local),
        1 => Just(Forwarding::Bypass),
        1 => Just(Forwarding::Tunnel(Tunnel::Ipip)),
        1 => (any::<NonZeroU16>(), flags.clone()).prop_map(|(port, flags)| Forwarding::Tunnel(Tunnel::Gue { port, flags })),
        1 => flags.prop_map(|flags| Forwarding::Tunnel(Tunnel::Gre { flags })),
    ]
}

fn destination() -> impl Strategy<Value = Destination> {
    let weight = (0..=Weight::MAX.get()).prop_map(|weight| Weight::new(weight).unwrap());
    let thresholds = prop_oneof![Just((0, 0)), (0..=i32::MAX as u32).prop_flat_map(|upper| (Just(upper), 0..=upper))];
    (address(), forwarding(), weight, thresholds).prop_map(|(address, forwarding, weight, (upper, lower))| {
        Destination::new(address)
            .with_forwarding(forwarding)
            .with_weight(weight)
            .with_upper_threshold(upper)
            .with_lower_threshold(lower)
    })
}

fn daemon() -> impl Strategy<Value = Daemon> {
    let role = prop_oneof![Just(DaemonRole::Master), Just(DaemonRole::Backup)];
    let interface = proptest::sample::select(&["lo", "eth0"][..]);
    let group = option::of(prop_oneof![Just([224, 0, 0, 9].into()), Just("ff05::1".parse().unwrap())]);
    let numbers = (any::<u32>(), option::of(1..=u16::MAX), option::of(1..=u16::MAX), option::of(1..=u8::MAX));
    (role, interface, group, numbers).prop_map(|(role, interface, group, (sync_id, max_len, port, ttl))| {
        Daemon::new(role, InterfaceName::new(interface).unwrap())
            .with_sync_id(sync_id)
            .with_max_len(max_len)
            .with_group(group)
            .with_port(port)
            .with_ttl(ttl)
    })
}

fn command_list() -> impl Strategy<Value = Vec<Command>> {
    let services = vec((service(), vec(destination(), 0..5)), 0..6).prop_map(|services| {
        let commands = services.into_iter().flat_map(|(service, destinations)| {
            let key = service.key();
            let add = destinations.into_iter().map(move |destination| Command::AddDestination(key, destination));
            [Command::AddService(service)].into_iter().chain(add)
        });
        commands.collect::<Vec<_>>()
    });
    let seconds = 1..=i32::MAX as u32 / 100;
    let timeouts = (option::of(seconds.clone()), option::of(seconds.clone()), option::of(seconds));
    (services, timeouts, vec(daemon(), 0..3)).prop_map(|(mut commands, (tcp, tcp_fin, udp), daemons)| {
        commands.push(Command::SetTimeouts(Timeouts::new().with_tcp(tcp).with_tcp_fin(tcp_fin).with_udp(udp)));
        commands.extend(daemons.into_iter().map(Command::StartDaemon));
        commands
    })
}

fn made_by(commands: &[Command]) -> Table {
    let mut table = director();
    for command in commands {
        // What is refused is not part of the table: that's the kernel's word on it.
        let _ = table.apply(command);
    }
    table
}

/// Any table that this library can make.
pub(crate) fn table() -> impl Strategy<Value = Table> {
    command_list().prop_map(|commands| made_by(&commands))
}

/// Any services that ipvsadm has options for.
pub(crate) fn services_of_ipvsadm() -> impl Strategy<Value = Table> {
    command_list().prop_map(|commands| made_by(&commands.into_iter().filter_map(with_options).collect::<Vec<_>>()))
}

/// The command as near to what ipvsadm's options can say as possible; none if they can't say it at
/// all.
fn with_options(command: Command) -> Option<Command> {
    match command {
        Command::AddService(mut service) if has_option(service.key()) => {
            let is_udp = matches!(service.key(), ServiceKey::Address { protocol: Protocol::UDP, .. });
            service.one_packet &= is_udp || matches!(service.key(), ServiceKey::Mark { .. });
            // `sh' and `mh' have no name for the third flag.
            service.scheduler_flags &= SchedulerFlags::FLAG_1 | SchedulerFlags::FLAG_2;
            let seconds = service.persistence.map_or(360, |persistence| 1 + persistence.seconds() % 2_678_400);
            service.persistence = Some(Persistence::new(seconds).unwrap());
            Some(Command::AddService(service))
        }
        Command::AddDestination(key, mut destination) if has_option(key) => {
            destination.forwarding = match destination.forwarding {
                Forwarding::Tunnel(Tunnel::Gue { port, flags }) => {
                    Forwarding::Tunnel(Tunnel::Gue { port, flags: one_of(flags) })
                }
                Forwarding::Tunnel(Tunnel::Gre { flags }) => {
                    Forwarding::Tunnel(Tunnel::Gre { flags: flags & TunnelFlags::CHECKSUM })
                }
                Forwarding::Local | Forwarding::Bypass => Forwarding::Masquerade,
                other => other,
            };
            if let (ServiceKey::Address { at, .. }, false) = (key, destination.forwarding == Forwarding::Masquerade) {
                destination.address.set_port(at.port());
            }
            Some(Command::AddDestination(key, destination))
        }
        _ => None,
    }
}

fn has_option(key: ServiceKey) -> bool {
    match key {
        ServiceKey::Address { protocol, .. } => [Protocol::TCP, Protocol::UDP, Protocol::SCTP].contains(&protocol),
        ServiceKey::Mark { .. } => true,
    }
}

/// The options for checksums exclude each other.
fn one_of(flags: TunnelFlags) -> TunnelFlags {
    match flags {
        both if both.contains(TunnelFlags::CHECKSUM) => TunnelFlags::CHECKSUM,
        other => other & TunnelFlags::REMOTE_CHECKSUM,
    }
}

/// Rules that mark packets, none twice.
pub(crate) fn mark_rules() -> impl Strategy<Value = Vec<fwmark::MarkRule>> {
    vec(mark_rule(), 0..8).prop_map(|mut rules| {
        let mut seen = std::collections::HashSet::new();
        rules.retain(|rule| seen.insert(rule.clone()));
        rules
    })
}

fn mark_rule() -> impl Strategy<Value = fwmark::MarkRule> {
    use fwmark::{FirewallMark, Hook, MarkRule, Network, PortRange, Ports, SetMark, Traffic};
    let network = (any::<u32>(), 1..=32u8)
        .prop_map(|(bits, prefix)| Network::new(std::net::Ipv4Addr::from_bits(bits).into(), prefix).unwrap());
    let network6 = (any::<u128>(), 1..=128u8)
        .prop_map(|(bits, prefix)| Network::new(std::net::Ipv6Addr::from_bits(bits).into(), prefix).unwrap());
    let pair =
        prop_oneof![(network.clone(), option::of(network)).boxed(), (network6.clone(), option::of(network6)).boxed()];
    let range = (any::<u16>(), any::<u16>()).prop_map(|(a, b)| PortRange::new(a.min(b), a.max(b)).unwrap());
    let ports = vec(prop_oneof![any::<u16>().prop_map(PortRange::from), range], 1..=7);
    // The same twice is once.
    let ports = ports.prop_map(|mut ranges| {
        ranges.sort_unstable();
        ranges.dedup();
        Ports::new(ranges).unwrap()
    });
    let protocol =
        proptest::sample::select(&[fwmark::Protocol::Tcp, fwmark::Protocol::Udp, fwmark::Protocol::Sctp][..]);
    let traffic = prop_oneof![
        1 => Just(Traffic::Any),
        1 => protocol.clone().prop_map(Traffic::Protocol),
        3 => (protocol, ports).prop_map(|(protocol, ports)| Traffic::Ports(protocol, ports)),
    ];
    let hook = prop_oneof![
        Just(Hook::Output),
        Just(Hook::Prerouting { interface: None }),
        Just(Hook::Prerouting { interface: Some("eth+".parse().unwrap()) }),
    ];
    let set = (1..4u32, any::<u32>(), any::<bool>()).prop_map(|(mark, mask, is_masked)| {
        let mark = FirewallMark::new(mark).unwrap();
        if is_masked { SetMark::masked(mark, mask | mark.get()).unwrap() } else { mark.into() }
    });
    (pair, traffic, hook, set).prop_map(|((to, source), traffic, hook, set)| {
        let rule = MarkRule::new(to, set).with_traffic(traffic).with_hook(hook);
        source.map_or(rule.clone(), |source| rule.with_source(source).unwrap())
    })
}
