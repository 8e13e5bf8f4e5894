//! Arbitrary values of the domain, for property tests.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::*;

pub(crate) fn address() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)];
    (ip, any::<u16>()).prop_map(SocketAddr::from)
}

/// With a flow label and a zone.
#[cfg(feature = "serde")]
pub(crate) fn zoned() -> impl Strategy<Value = SocketAddr> {
    any::<([u8; 16], u16, u32, u32)>()
        .prop_map(|(ip, port, label, zone)| std::net::SocketAddrV6::new(ip.into(), port, label, zone).into())
}

pub(crate) fn key() -> impl Strategy<Value = ServiceKey> {
    let family = prop_oneof![Just(Family::V4), Just(Family::V6)];
    prop_oneof![
        (any::<u16>(), address())
            .prop_map(|(number, at)| ServiceKey::Address { protocol: Protocol::from_number(number), at }),
        (1..=u32::MAX, family)
            .prop_map(|(mark, family)| ServiceKey::Mark { mark: FirewallMark::new(mark).unwrap(), family }),
    ]
}

fn name(longest: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(1..=u8::MAX, 1..=longest)
}

pub(crate) fn service() -> impl Strategy<Value = Service> {
    let netmask = (any::<[u8; 4]>(), 1..=128u32);
    let persistence = option::of((1..=Persistence::MAX).prop_map(|seconds| Persistence::new(seconds).unwrap()));
    // The lowest three bits have fields of their own.
    let flags = any::<u32>().prop_map(|bits| SchedulerFlags::from_bits_retain(bits & !7));
    (key(), name(15), flags, persistence, netmask, option::of(name(16)), any::<bool>()).prop_map(
        |(key, scheduler, scheduler_flags, persistence, (v4, v6), engine, one_packet)| {
            let mut service = Service::new(key).with_scheduler(Scheduler::new(scheduler).unwrap());
            service.scheduler_flags = scheduler_flags;
            service.persistence = persistence;
            service.engine = engine.map(|name| PersistenceEngine::new(name).unwrap());
            service.one_packet = one_packet;
            let netmask = match key.family() {
                Family::V4 => Netmask::v4(v4),
                Family::V6 => Netmask::v6(v6).unwrap(),
            };
            service.with_netmask(netmask).unwrap()
        },
    )
}

fn forwarding() -> impl Strategy<Value = Forwarding> {
    let flags = any::<u16>().prop_map(TunnelFlags::from_bits_retain);
    prop_oneof![
        Just(Forwarding::Masquerade),
        Just(Forwarding::Local),
        Just(Forwarding::DirectRoute),
        Just(Forwarding::Bypass),
        (5..8u32).prop_map(|number| Forwarding::Reserved(ReservedForwarding(number))),
        Just(Forwarding::Tunnel(Tunnel::Ipip)),
        (any::<NonZeroU16>(), flags.clone()).prop_map(|(port, flags)| Forwarding::Tunnel(Tunnel::Gue { port, flags })),
        flags.clone().prop_map(|flags| Forwarding::Tunnel(Tunnel::Gre { flags })),
        (3..=u8::MAX, any::<u16>(), flags)
            .prop_map(|(kind, port, flags)| Forwarding::Tunnel(Tunnel::Other(OtherTunnel { kind, port, flags }))),
    ]
}

pub(crate) fn destination() -> impl Strategy<Value = Destination> {
    let weight = (0..=Weight::MAX.get()).prop_map(|weight| Weight::new(weight).unwrap());
    (address(), forwarding(), weight, any::<u32>(), any::<u32>()).prop_map(
        |(address, forwarding, weight, upper_threshold, lower_threshold)| Destination {
            address,
            forwarding,
            weight,
            upper_threshold,
            lower_threshold,
        },
    )
}

pub(crate) fn destination_state() -> impl Strategy<Value = DestinationState> {
    let gauges = any::<[u32; 3]>();
    (destination(), gauges, statistics()).prop_map(|(destination, [active, inactive, persistent], statistics)| {
        DestinationState {
            destination,
            active_connections: active,
            inactive_connections: inactive,
            persistent_connections: persistent,
            statistics: Some(statistics),
        }
    })
}

pub(crate) fn statistics() -> impl Strategy<Value = Statistics> {
    any::<[u64; 10]>().prop_map(|[connections, packets_in, packets_out, bytes_in, bytes_out, a, b, c, d, e]| {
        Statistics {
            connections,
            packets_in,
            packets_out,
            bytes_in,
            bytes_out,
            rates: Rates { connections: a, packets_in: b, packets_out: c, bytes_in: d, bytes_out: e },
        }
    })
}

pub(crate) fn daemon() -> impl Strategy<Value = Daemon> {
    let role = prop_oneof![Just(DaemonRole::Master), Just(DaemonRole::Backup)];
    let group = option::of(address().prop_map(|at| at.ip()));
    let numbers = (any::<u32>(), any::<Option<u16>>(), any::<Option<u16>>(), any::<Option<u8>>());
    (role, name(15), group, numbers).prop_map(|(role, interface, group, (sync_id, max_len, port, ttl))| Daemon {
        role,
        interface: InterfaceName::new(interface).unwrap(),
        sync_id,
        max_len,
        group,
        port,
        ttl,
    })
}

pub(crate) fn timeouts() -> impl Strategy<Value = Timeouts> {
    any::<[Option<u32>; 3]>().prop_map(|[tcp, tcp_fin, udp]| Timeouts { tcp, tcp_fin, udp })
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        service().prop_map(Command::AddService),
        service().prop_map(Command::EditService),
        key().prop_map(Command::DeleteService),
        (key(), destination()).prop_map(|(key, destination)| Command::AddDestination(key, destination)),
        (key(), destination()).prop_map(|(key, destination)| Command::EditDestination(key, destination)),
        (key(), address()).prop_map(|(key, at)| Command::DeleteDestination(key, at)),
        option::of(key()).prop_map(Command::Zero),
        Just(Command::Flush),
        timeouts().prop_map(Command::SetTimeouts),
        daemon().prop_map(Command::StartDaemon),
        prop_oneof![Just(DaemonRole::Master), Just(DaemonRole::Backup)].prop_map(Command::StopDaemon),
    ]
}
