//! `Table` against the kernel: random commands, valid and not, must be refused alike and leave equal tables, at every step.
//!
//! `MODEL_CASES` sequences (default 200) of up to 40 commands; `MODEL_SEED` repeats a run.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ipvs::{
    Client, Command, Daemon, DaemonRole, Destination, Error, Forwarding, InterfaceName, KernelVersion, Netmask,
    Persistence, PersistenceEngine, Scheduler, SchedulerFlags, Service, ServiceKey, Table, Timeouts, Tunnel,
    TunnelFlags, Weight,
};
use kernel_tests::sandbox;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed, TestRunner};

#[test]
fn the_table_does_what_the_kernel_does() {
    let number = |name: &str, default: u32| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let config = Config {
        cases: number("MODEL_CASES", 200),
        rng_seed: RngSeed::Fixed(number("MODEL_SEED", 1).into()),
        failure_persistence: None,
        ..Config::default()
    };
    let result = TestRunner::new(config).run(&vec(command(), 1..40), |commands| run(&commands));
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// Runs the commands on both, in a fresh network namespace.
fn run(commands: &[Command]) -> Result<(), TestCaseError> {
    sandbox::enter_network().unwrap();
    let mut kernel = Client::connect().unwrap();
    let mut table = Table::new().with_kernel(KernelVersion::running());
    for (step, command) in commands.iter().enumerate() {
        let theirs = match kernel.execute(command) {
            Ok(()) => Ok(()),
            Err(Error::Refused(refusal)) => Err(refusal),
            Err(error) => return Err(TestCaseError::fail(format!("step {step}, {command:?}: {error}"))),
        };
        let ours = table.apply(command);
        prop_assert_eq!(&ours, &theirs, "step {}, {:?}: the table, then the kernel", step, command);
        prop_assert_eq!(contents(&table), contents(&kernel.table().unwrap()), "after step {}, {:?}", step, command);
    }
    Ok(())
}

/// What a table holds, in an order of its own: the kernel's means nothing.
#[derive(Debug, PartialEq)]
struct Contents {
    services: BTreeMap<ServiceKey, (Service, Vec<Destination>)>,
    timeouts: Timeouts,
    daemons: Vec<Daemon>,
}

fn contents(table: &Table) -> Contents {
    let services = table.services().map(|entry| {
        let destinations = entry.destinations().map(|state| state.destination).collect();
        (entry.service().key(), (*entry.service(), destinations))
    });
    Contents { services: services.collect(), timeouts: table.timeouts(), daemons: table.daemons().to_vec() }
}

/// A world small enough that commands meet.
fn key() -> impl Strategy<Value = ServiceKey> {
    let texts =
        ["tcp 10.0.0.1:80", "udp 10.0.0.1:80", "tcp 10.0.0.1:0", "tcp [2001:db8::1]:80", "mark 1", "mark 1 ipv6"];
    select(texts.to_vec()).prop_map(|text| text.parse().unwrap())
}

fn address() -> impl Strategy<Value = SocketAddr> {
    let texts = [
        "127.0.0.1:80",
        "127.0.0.2:80",
        "127.0.0.1:0",
        "[::1]:80",
        "[2001:db8::2]:80",
        "224.0.0.1:80",
        "0.0.0.0:80",
        "[fe80::1]:80",
        "[ff02::1]:80",
    ];
    select(texts.to_vec()).prop_map(|text| text.parse().unwrap())
}

fn service() -> impl Strategy<Value = Service> {
    let schedulers = ["rr", "wlc", "sh", "mh", "none", "unheard-of"];
    let scheduler = select(schedulers.to_vec()).prop_map(|name| name.parse::<Scheduler>().unwrap());
    let persistence = option::of((1..2_678_400u32).prop_map(|seconds| Persistence::new(seconds).unwrap()));
    let engine = option::weighted(0.2, select(&["sip", "unheard-of"][..]));
    let mask = (any::<[u8; 4]>(), 1..=128u32);
    (key(), scheduler, 0..8u32, persistence, mask, engine, any::<bool>()).prop_map(
        |(key, scheduler, flags, persistence, (v4, v6), engine, one_packet)| {
            let mut service = Service::new(key).with_scheduler(scheduler);
            service.scheduler_flags = SchedulerFlags::from_bits_retain(flags << 3);
            service.persistence = persistence;
            service.engine = engine.map(|name| name.parse::<PersistenceEngine>().unwrap());
            service.one_packet = one_packet;
            let netmask = match key.family() {
                ipvs::Family::V4 => Netmask::v4(v4),
                ipvs::Family::V6 => Netmask::v6(v6).unwrap(),
            };
            service.with_netmask(netmask).unwrap()
        },
    )
}

fn destination() -> impl Strategy<Value = Destination> {
    let gue = Tunnel::Gue { port: 6080.try_into().unwrap(), flags: TunnelFlags::CHECKSUM };
    let methods = [
        Forwarding::Masquerade,
        Forwarding::Local,
        Forwarding::DirectRoute,
        Forwarding::Bypass,
        Forwarding::Tunnel(Tunnel::Ipip),
        Forwarding::Tunnel(gue),
        Forwarding::Tunnel(Tunnel::Gre { flags: TunnelFlags::empty() }),
    ];
    let threshold = || select(&[0, 1, 5, 6, i32::MAX as u32, 1 << 31, u32::MAX][..]);
    (address(), select(methods.to_vec()), 0..=3u32, threshold(), threshold()).prop_map(
        |(address, forwarding, weight, upper_threshold, lower_threshold)| Destination {
            upper_threshold,
            lower_threshold,
            weight: Weight::new(weight).unwrap(),
            ..Destination::new(address).with_forwarding(forwarding)
        },
    )
}

fn daemon() -> impl Strategy<Value = Daemon> {
    let role = select(&[DaemonRole::Master, DaemonRole::Backup][..]);
    let group = option::of(select(&["224.0.0.5", "10.0.0.1"][..]));
    let interface = select(&["lo", "nonesuch0"][..]);
    (role, interface, 0..=255u32, group, option::of(1..=255u8)).prop_map(|(role, interface, sync_id, group, ttl)| {
        Daemon {
            sync_id,
            // The default depends on the interface; an IPv6 group needs a route, which the loopback has not.
            max_len: Some(1400),
            group: group.map(|text| text.parse().unwrap()),
            ttl,
            ..Daemon::new(role, InterfaceName::new(interface).unwrap())
        }
    })
}

fn command() -> impl Strategy<Value = Command> {
    let timeout = || option::of(select(&[0, 1, 900, 21_474_836, 21_474_837, u32::MAX][..]));
    prop_oneof![
        6 => service().prop_map(Command::AddService),
        3 => service().prop_map(Command::EditService),
        2 => key().prop_map(Command::DeleteService),
        12 => (key(), destination()).prop_map(|(key, destination)| Command::AddDestination(key, destination)),
        5 => (key(), destination()).prop_map(|(key, destination)| Command::EditDestination(key, destination)),
        4 => (key(), address()).prop_map(|(key, at)| Command::DeleteDestination(key, at)),
        1 => option::of(key()).prop_map(Command::Zero),
        1 => Just(Command::Flush),
        1 => (timeout(), timeout(), timeout()).prop_map(|(tcp, tcp_fin, udp)| Command::SetTimeouts(Timeouts { tcp, tcp_fin, udp })),
        1 => daemon().prop_map(Command::StartDaemon),
        1 => select(&[DaemonRole::Master, DaemonRole::Backup][..]).prop_map(Command::StopDaemon),
    ]
}
