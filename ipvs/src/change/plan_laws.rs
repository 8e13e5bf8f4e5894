//! What every plan keeps, for tables that random commands made.

use std::net::SocketAddr;

use proptest::collection::{hash_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use super::*;
use crate::{
    DaemonRole, Forwarding, InterfaceName, Persistence, PersistenceEngine, Scheduler, SchedulerFlags, Service, Tunnel,
    Weight,
};

/// A world small enough that two tables have much in common.
pub(crate) fn key() -> impl Strategy<Value = ServiceKey> {
    let texts = ["tcp 192.0.2.1:80", "udp 192.0.2.1:80", "tcp [2001:db8::1]:80", "mark 1", "mark 1 ipv6"];
    select(texts.to_vec()).prop_map(|text| text.parse().unwrap())
}

pub(crate) fn service() -> impl Strategy<Value = Service> {
    let schedulers = [Scheduler::RR, Scheduler::WLC];
    let persistence = option::of(select(vec![300, 600]));
    (key(), select(schedulers.to_vec()), 0..2u32, persistence, any::<bool>(), any::<bool>()).prop_map(
        |(key, scheduler, flag, persistence, engine, one_packet)| {
            let mut service = Service::new(key).with_scheduler(scheduler);
            service.scheduler_flags = SchedulerFlags::from_bits_retain(flag << 3);
            service.persistence = persistence.map(|seconds| Persistence::new(seconds).unwrap());
            service.engine = engine.then_some(PersistenceEngine::SIP);
            service.one_packet = one_packet;
            service
        },
    )
}

pub(crate) fn destination() -> impl Strategy<Value = Destination> {
    let addresses = ["192.0.2.11:80", "192.0.2.12:80", "192.0.2.13:80", "[2001:db8::11]:80", "[2001:db8::12]:80"];
    let methods = [Forwarding::Masquerade, Forwarding::Tunnel(Tunnel::Ipip)];
    (select(addresses.to_vec()), select(methods.to_vec()), 0..3u32, 0..2u32).prop_map(
        |(address, forwarding, weight, upper_threshold)| Destination {
            upper_threshold,
            weight: Weight::new(weight).unwrap(),
            ..Destination::new(address.parse::<SocketAddr>().unwrap()).with_forwarding(forwarding)
        },
    )
}

fn command() -> impl Strategy<Value = Command> {
    let daemon = (select(vec![DaemonRole::Master, DaemonRole::Backup]), 0..2u32, option::of(1..3u8))
        .prop_map(|(role, sync_id, ttl)| Daemon { sync_id, ttl, ..Daemon::new(role, InterfaceName::LOOPBACK) });
    let timeout = || option::of(select(vec![60, 900]));
    prop_oneof![
        8 => service().prop_map(Command::AddService),
        20 => (key(), destination()).prop_map(|(key, destination)| Command::AddDestination(key, destination)),
        1 => daemon.prop_map(Command::StartDaemon),
        1 => (timeout(), timeout(), timeout())
            .prop_map(|(tcp, tcp_fin, udp)| Command::SetTimeouts(Timeouts { tcp, tcp_fin, udp })),
    ]
}

/// What some commands leave, the refused ones among them not counted.
pub(crate) fn table() -> impl Strategy<Value = Table> {
    vec(command(), 0..40).prop_map(|commands| {
        let mut table = Table::new();
        for command in &commands {
            let _ = table.apply(command);
        }
        table
    })
}

/// The table after the commands, none of which may be refused.
fn after(table: &Table, commands: &[Command]) -> Table {
    let mut table = table.clone();
    for command in commands {
        table.apply(command).unwrap_or_else(|refusal| panic!("{command:?}: {refusal}"));
    }
    table
}

/// With daemons that stay, families can't be mixed, whatever is desired.
fn without_daemons(table: &Table) -> Table {
    let stops: Vec<_> = table.daemons().iter().map(|daemon| Command::StopDaemon(daemon.role)).collect();
    after(table, &stops)
}

/// How many destinations of the service get connections.
fn usable(table: &Table, key: &ServiceKey) -> usize {
    let destinations = table.service(key).into_iter().flat_map(TableEntry::destinations);
    destinations.filter(|state| state.destination.weight != Weight::new(0).unwrap()).count()
}

fn holds(law: impl Fn(Table, Table) -> Result<(), TestCaseError>) {
    TestRunner::default().run(&(table(), table()), |(current, desired)| law(current, desired)).unwrap();
}

#[test]
fn a_plan_reaches_what_is_desired_and_is_then_done() {
    holds(|current, desired| {
        let reached = after(&current, plan(&current, &desired).commands());
        prop_assert!(plan(&reached, &desired).is_empty(), "{reached:?}");
        let same = |table: &Table, other: &Table| {
            table.services().all(|entry| {
                let destinations =
                    |entry: &TableEntry| entry.destinations().map(|state| state.destination).collect::<HashSet<_>>();
                other
                    .service(&entry.service().key())
                    .is_some_and(|twin| twin.service() == entry.service() && destinations(twin) == destinations(entry))
            }) && table.services().len() == other.services().len()
        };
        prop_assert!(same(&reached, &desired));
        prop_assert_eq!((reached.timeouts(), reached.daemons()), (desired.timeouts(), desired.daemons()));
        Ok(())
    });
}

/// On the whole way from one table to another.
#[test]
fn a_plan_is_empty_exactly_between_equal_tables() {
    holds(|current, desired| {
        let commands = plan(&current, &desired).commands().to_vec();
        let mut table = current;
        for command in commands {
            prop_assert!(table != desired && !plan(&table, &desired).is_empty());
            table.apply(&command).unwrap();
        }
        prop_assert!(table == desired && plan(&table, &desired).is_empty());
        Ok(())
    });
}

/// Without any one of its commands, something is refused or not as desired.
#[test]
fn no_command_of_a_plan_is_needless() {
    holds(|current, desired| {
        let whole = plan(&current, &desired);
        for skipped in 0..whole.commands().len() {
            let mut table = current.clone();
            let rest = whole.commands().iter().enumerate().filter(|(at, _)| *at != skipped);
            let refused = rest.filter(|(_, command)| table.apply(command).is_err()).count();
            let needless = refused == 0 && plan(&table, &desired).is_empty();
            prop_assert!(!needless, "{:?} of {whole:?}", whole.commands()[skipped]);
        }
        Ok(())
    });
}

#[test]
fn no_service_that_can_be_used_before_and_after_is_ever_without_a_destination() {
    holds(|current, desired| {
        let plan = plan(&current, &desired);
        let kept: Vec<_> = desired
            .services()
            .map(|entry| entry.service().key())
            .filter(|key| usable(&current, key) > 0 && usable(&desired, key) > 0)
            .collect();
        let mut table = current;
        for command in plan.commands() {
            table.apply(command).unwrap();
            for key in &kept {
                prop_assert!(usable(&table, key) > 0, "{key} after {command:?} of {plan:?}");
            }
        }
        Ok(())
    });
}

/// Rare among random tables: two servers change places, whichever is the first.
#[test]
fn a_server_is_retired_when_another_has_taken_over() {
    let key: ServiceKey = "tcp 192.0.2.1:80".parse().unwrap();
    let table = |weights: [u32; 2]| {
        let server = |(host, weight): (u8, u32)| {
            let server = Destination::new(SocketAddr::from(([192, 0, 2, host], 80)));
            Command::AddDestination(key, server.with_weight(Weight::new(weight).unwrap()))
        };
        let servers: Vec<_> = (11..).zip(weights).map(server).collect();
        after(&after(&Table::new(), &[Command::AddService(Service::new(key))]), &servers)
    };
    for (current, desired) in [([1, 0], [0, 1]), ([0, 1], [1, 0])] {
        let plan = plan(&table(current), &table(desired));
        assert_eq!((plan.commands().len(), plan.parts().0.len()), (2, 1));
        assert_eq!(usable(&after(&table(current), plan.parts().0), &key), 2);
    }
}

/// Whatever of the first part is refused, it takes nothing from any service.
#[test]
fn the_first_part_of_a_plan_only_widens() {
    holds(|current, desired| {
        let plan = plan(&current, &desired);
        for command in plan.parts().0 {
            let takes = match command {
                Command::DeleteService(_) | Command::DeleteDestination(..) => true,
                Command::EditDestination(_, destination) => !is_usable(destination),
                _ => false,
            };
            prop_assert!(!takes, "{command:?}");
        }
        Ok(())
    });
}

#[test]
fn a_plan_back_undoes_any_part_of_a_plan() {
    holds(|current, desired| {
        let there = plan(&current, &desired);
        for end in 0..=there.commands().len() {
            let midway = after(&current, &there.commands()[..end]);
            let back = plan(&midway, &current);
            prop_assert!(plan(&after(&midway, back.commands()), &current).is_empty());
        }
        Ok(())
    });
}

#[test]
fn a_plan_that_only_adds_adds() {
    holds(|current, desired| {
        let is_addition = |command: &Command| {
            matches!(command, Command::AddService(_) | Command::AddDestination(..) | Command::StartDaemon(_))
        };
        prop_assert!(Planner::new().only_additions().plan(&current, &desired).commands().iter().all(is_addition));
        Ok(())
    });
}

#[test]
fn a_plan_without_deletions_deletes_nothing() {
    holds(|current, desired| {
        let current = without_daemons(&current);
        let plan = Planner::new().without_deletions().only_services().plan(&current, &desired);
        let reached = after(&current, plan.commands());
        for entry in current.services() {
            let twin = reached.service(&entry.service().key());
            prop_assert!(twin.is_some_and(|twin| twin.destinations().len() >= entry.destinations().len()));
        }
        for entry in desired.services() {
            let twin = reached.service(&entry.service().key()).unwrap();
            prop_assert_eq!(twin.service(), entry.service());
        }
        Ok(())
    });
}

#[test]
fn weights_that_are_kept_stay() {
    holds(|current, desired| {
        let current = without_daemons(&current);
        let plan = Planner::new().keep_weights().only_services().plan(&current, &desired);
        let reached = after(&current, plan.commands());
        for entry in reached.services() {
            let Some(before) = current.service(&entry.service().key()) else { continue };
            for state in entry.destinations() {
                if let Some(before) = before.destination(&state.destination.address) {
                    prop_assert_eq!(state.destination.weight, before.destination.weight);
                }
            }
        }
        Ok(())
    });
}

#[test]
fn only_the_services_that_were_named_change() {
    let keys = hash_set(key(), 0..3);
    TestRunner::default()
        .run(&(table(), table(), keys), |(current, desired, keys)| {
            let current = without_daemons(&current);
            let plan = Planner::new().only_these_services(keys.clone()).plan(&current, &desired);
            let reached = after(&current, plan.commands());
            for entry in current.services().chain(desired.services()) {
                let key = entry.service().key();
                let from = if keys.contains(&key) { &desired } else { &current };
                prop_assert_eq!(reached.service(&key).is_some(), from.service(&key).is_some());
            }
            prop_assert_eq!((reached.timeouts(), reached.daemons()), (current.timeouts(), current.daemons()));
            Ok(())
        })
        .unwrap();
}

#[test]
fn how_long_messages_are_may_be_left_to_the_kernel() {
    let plain = Daemon::new(DaemonRole::Backup, InterfaceName::LOOPBACK);
    let running = |daemon| after(&Table::new(), &[Command::StartDaemon(daemon)]);
    let current = running(Daemon { max_len: Some(7000), ..plain });
    let mut desired = Table::read(Vec::new(), current.timeouts(), Vec::new(), current.info());
    desired.apply(&Command::StartDaemon(plain)).unwrap();
    assert_eq!(desired.daemons()[0].max_len, None, "the interface is not known");
    assert!(plan(&current, &desired).is_empty());
    let other = running(Daemon { sync_id: 5, ..plain });
    assert_eq!(plan(&current, &other).commands()[0], Command::StopDaemon(DaemonRole::Backup));
}

#[test]
fn what_is_not_said_of_a_daemon_may_be_anything() {
    let plain = Daemon::new(DaemonRole::Master, InterfaceName::LOOPBACK);
    let (group, port, ttl) = (Some("224.0.0.82".parse().unwrap()), Some(8849), Some(2));
    let with = |daemon| Table::read(Vec::new(), Timeouts::default(), vec![daemon], Table::new().info());
    let all = Daemon { group, port, ttl, max_len: Some(1000), ..plain };
    assert!(plan(&with(all), &with(plain)).is_empty());
    for wrong in [
        Daemon { group: Some("224.0.0.83".parse().unwrap()), ..plain },
        Daemon { port: Some(8850), ..plain },
        Daemon { ttl: Some(3), ..plain },
        Daemon { max_len: Some(1001), ..plain },
    ] {
        assert_eq!(plan(&with(all), &with(wrong)).commands().len(), 2, "{wrong:?}");
    }
}
