//! What a director holds after a command. What it refuses: `rules_tests.rs`.
//!
//! That kernels then hold the same is shown by `tests/kernel/tests`: `client` reads back what was
//! written, and `model.rs` compares a table with the kernel after each of many random commands.

use std::hash::BuildHasher;
use std::net::{Ipv6Addr, SocketAddrV6};

use super::*;
use crate::errno::Errno;
use crate::{Forwarding, Rates, Weight};

fn key(text: &str) -> ServiceKey {
    text.parse().unwrap()
}

fn server(n: u8) -> Destination {
    Destination::new(([10, 0, 0, n], 80).into())
}

fn done(table: &mut Table, commands: impl IntoIterator<Item = Command>) {
    commands.into_iter().for_each(|command| table.apply(&command).unwrap());
}

/// Two services with two destinations each, all of which have counted.
fn busy() -> Table {
    let statistics = Some(Statistics {
        connections: 9,
        packets_in: 8,
        rates: Rates { bytes_in: 7, ..Rates::default() },
        ..Statistics::default()
    });
    let destination = |n| DestinationState {
        statistics,
        active_connections: 3,
        inactive_connections: 4,
        persistent_connections: 5,
        ..DestinationState::new(server(n))
    };
    let service = |text| ServiceState { statistics, ..ServiceState::new(Service::new(key(text))) };
    let entries =
        ["mark 2", "mark 1"].map(|text| TableEntry::read(service(text), vec![destination(12), destination(11)]));
    let timeouts = Timeouts { tcp: Some(1), tcp_fin: Some(2), udp: Some(3) };
    let info = Info { version: Version { major: 1, minor: 2, patch: 3 }, connection_table_size: 256 };
    Table::read(entries.into(), timeouts, vec![Daemon::new(DaemonRole::Backup, InterfaceName::LOOPBACK)], info)
}

fn connections(statistics: Option<Statistics>) -> u64 {
    statistics.unwrap().connections
}

fn keys(table: &Table) -> Vec<String> {
    table.services().map(|entry| entry.service().key().to_string()).collect()
}

fn hosts(entry: &TableEntry) -> Vec<SocketAddr> {
    entry.destinations().map(|state| state.destination.address).collect()
}

#[test]
fn what_was_read_is_there_with_the_oldest_first() {
    let table = busy();
    assert_eq!(keys(&table), ["mark 1", "mark 2"]);
    for entry in table.services() {
        assert_eq!(hosts(entry), [server(11).address, server(12).address]);
        assert_eq!(connections(entry.state().statistics), 9);
    }
    assert_eq!(table.timeouts(), Timeouts { tcp: Some(1), tcp_fin: Some(2), udp: Some(3) });
    assert_eq!((table.info().version.to_string().as_str(), table.info().connection_table_size), ("1.2.3", 256));
    assert_eq!((table.daemons().len(), table.behaviors()), (1, Behaviors::TUNNEL_KINDS));
}

#[test]
fn the_newest_comes_last_and_what_is_edited_keeps_its_place_and_its_counters() {
    let mut table = busy();
    let edited = Service::new(key("mark 1")).with_one_packet();
    let heavier = server(11).with_weight(Weight::new(5).unwrap()).with_forwarding(Forwarding::Local);
    let second = key("mark 2");
    done(
        &mut table,
        [
            Command::AddService(Service::new(key("mark 3"))),
            Command::EditService(edited),
            Command::AddDestination(second, server(10)),
            Command::EditDestination(second, heavier),
        ],
    );
    assert_eq!(keys(&table), ["mark 1", "mark 2", "mark 3"]);
    let state = table.service(&key("mark 1")).unwrap().state();
    assert_eq!((state.service, connections(state.statistics)), (edited, 9));
    let entry = table.service(&second).unwrap();
    assert_eq!(hosts(entry), [11, 12, 10].map(|n| server(n).address));
    let state = entry.destination(&heavier.address).unwrap();
    assert_eq!((state.destination, connections(state.statistics), state.active_connections), (heavier, 9, 3));
    assert_eq!(entry.destination(&server(10).address), Some(&DestinationState::new(server(10))));
    done(&mut table, [Command::DeleteDestination(second, server(11).address), Command::DeleteService(key("mark 1"))]);
    assert_eq!(keys(&table), ["mark 2", "mark 3"]);
    assert_eq!(hosts(table.service(&second).unwrap()), [12, 10].map(|n| server(n).address));
}

#[test]
fn tables_are_equal_if_they_are_configured_alike() {
    let unread = |mut state: DestinationState| {
        (state.statistics, state.active_connections) = (None, 0);
        state
    };
    let table = busy();
    let services = table.services().map(|entry| {
        let state = ServiceState { statistics: None, ..*entry.state() };
        // In another order, too.
        TableEntry::read(state, entry.destinations().copied().map(unread).collect())
    });
    let daemons = table.daemons().to_vec();
    let other = Table::read(services.collect(), table.timeouts(), daemons, Table::new().info());
    assert_eq!(other.with_behaviors(Behaviors::empty()), table);
    let heavier = server(11).with_weight(Weight::new(5).unwrap());
    for command in [
        Command::EditService(Service::new(key("mark 1")).with_one_packet()),
        Command::DeleteService(key("mark 1")),
        Command::EditDestination(key("mark 1"), heavier),
        Command::DeleteDestination(key("mark 1"), heavier.address),
        Command::AddDestination(key("mark 1"), server(13)),
        Command::SetTimeouts(Timeouts { tcp: Some(9), ..Timeouts::default() }),
        Command::StopDaemon(DaemonRole::Backup),
    ] {
        let mut changed = busy();
        done(&mut changed, [command]);
        assert!(changed != busy() && busy() != changed, "{command:?}");
    }
}

/// `tests/kernel/cases/zero.case` and `statistics_tcp.case`.
#[test]
fn zeroing_ends_what_was_counted_and_no_connection() {
    for (zero, zeroed) in [(None, [true, true]), (Some("mark 1"), [true, false]), (Some("mark 2"), [false, true])] {
        let mut table = busy();
        done(&mut table, [Command::Zero(zero.map(key))]);
        for ((entry, before), zeroed) in table.services().zip(busy().services()).zip(zeroed) {
            let left = |statistics| if zeroed { Some(Statistics::default()) } else { statistics };
            let service = before.state();
            assert_eq!(*entry.state(), ServiceState { statistics: left(service.statistics), ..*service });
            let expected: Vec<_> = before
                .destinations()
                .map(|state| DestinationState { statistics: left(state.statistics), ..*state })
                .collect();
            assert_eq!(entry.destinations().copied().collect::<Vec<_>>(), expected, "{zero:?}");
        }
    }
}

#[test]
fn a_flush_spares_all_but_the_services() {
    let mut table = busy().with_behaviors(Behaviors::empty()).with_interfaces([InterfaceName::LOOPBACK]);
    let without = table.without_services();
    done(&mut table, [Command::Flush]);
    assert_eq!(table, without);
    assert_eq!((table.services().len(), table.daemons().len(), table.info()), (0, 1, busy().info()));
    assert_eq!((table.timeouts(), table.behaviors()), (busy().timeouts(), Behaviors::empty()));
    assert!(table.interface(InterfaceName::new("eth0").unwrap()).is_none());
}

#[test]
fn a_timeout_of_zero_or_none_is_left_as_it_is() {
    let mut table = Table::new();
    assert_eq!(table.timeouts(), Timeouts { tcp: Some(900), tcp_fin: Some(120), udp: Some(300) });
    for (wanted, reached) in [
        ([Some(5), None, Some(0)], [5, 120, 300]),
        ([Some(0), Some(6), None], [5, 6, 300]),
        ([None, Some(0), Some(7)], [5, 6, 7]),
        ([None, None, None], [5, 6, 7]),
    ] {
        let [tcp, tcp_fin, udp] = wanted;
        done(&mut table, [Command::SetTimeouts(Timeouts { tcp, tcp_fin, udp })]);
        let [tcp, tcp_fin, udp] = reached.map(Some);
        assert_eq!(table.timeouts(), Timeouts { tcp, tcp_fin, udp }, "after {wanted:?}");
    }
}

/// The daemon that runs once this one was started.
fn running(mut table: Table, daemon: Daemon) -> Daemon {
    done(&mut table, [Command::StartDaemon(daemon)]);
    table.daemons()[0]
}

#[test]
fn what_a_daemon_leaves_out_the_kernel_chooses() {
    let plain = Daemon { sync_id: 7, ..Daemon::new(DaemonRole::Master, InterfaceName::LOOPBACK) };
    let usual = Daemon {
        max_len: Some(1472),
        group: Some(IpAddr::from([224, 0, 0, 81])),
        port: Some(8848),
        ttl: Some(1),
        ..plain
    };
    let zeros = Daemon { max_len: Some(0), port: Some(0), ttl: Some(0), ..plain };
    let own =
        Daemon { max_len: Some(1000), group: Some("239.1.2.3".parse().unwrap()), port: Some(1), ttl: Some(2), ..plain };
    for (asked, runs) in [(plain, usual), (zeros, usual), (own, own)] {
        assert_eq!(running(Table::new(), asked), runs, "{asked:?}");
    }
}

/// A master takes every interface for Ethernet; a backup asks it for its MTU.
#[test]
fn a_message_of_a_daemon_fits_in_a_packet() {
    use DaemonRole::{Backup, Master};
    let eth0 = InterfaceName::new("eth0").unwrap();
    let loopback = (InterfaceName::LOOPBACK, Table::new());
    let ethernet = (eth0, Table::new().with_interface(eth0));
    let unknown = (eth0, Table::new().with_interfaces([eth0]));
    let (v4, v6) = ("224.0.0.81", "ff02::81");
    for (role, group, asked, (interface, table), length) in [
        (Master, v4, None, &loopback, Some(1472)),
        (Master, v6, None, &loopback, Some(1452)),
        (Master, v4, None, &unknown, Some(1472)),
        (Master, v4, Some(1), &loopback, Some(1)),
        (Master, v4, Some(65_535), &ethernet, Some(65_507)),
        (Master, v6, Some(65_535), &ethernet, Some(65_487)),
        (Backup, v4, None, &loopback, Some(65_507)),
        (Backup, v6, None, &loopback, Some(65_487)),
        (Backup, v4, None, &ethernet, Some(1472)),
        (Backup, v6, None, &ethernet, Some(1452)),
        (Backup, v4, None, &unknown, None),
        (Backup, v4, Some(1), &unknown, Some(1024)),
        (Backup, v4, Some(1025), &loopback, Some(1025)),
        (Backup, v6, Some(65_535), &unknown, Some(65_487)),
    ] {
        let daemon = Daemon { max_len: asked, group: Some(group.parse().unwrap()), ..Daemon::new(role, *interface) };
        assert_eq!(running(table.clone(), daemon).max_len, length, "{role} on {interface}, {group}, {asked:?}");
    }
}

#[test]
fn daemons_are_in_the_order_of_their_roles_and_stop_alone() {
    let [master, backup] = [DaemonRole::Master, DaemonRole::Backup];
    let start = |role| Command::StartDaemon(Daemon::new(role, InterfaceName::LOOPBACK));
    let roles = |table: &Table| table.daemons().iter().map(|daemon| daemon.role).collect::<Vec<_>>();
    let mut table = Table::new();
    done(&mut table, [start(backup), start(master)]);
    assert_eq!(roles(&table), [master, backup]);
    done(&mut table, [Command::StopDaemon(master)]);
    assert_eq!(roles(&table), [backup]);
}

#[test]
fn a_service_that_is_taken_over_replaces_its_like() {
    let mut table = Table::new();
    done(&mut table, [Command::AddService(Service::new(key("mark 1")).with_one_packet())]);
    busy().services().for_each(|entry| table.adopt(entry.clone()));
    assert!(table.services().eq(busy().services()));
}

/// Where nothing was changed there is nothing to compare: [`crate::change::plan`] does not look at
/// it.
#[test]
fn copies_share_what_none_of_them_changed() {
    let table = busy();
    let mut copy = table.clone();
    done(&mut copy, [Command::AddDestination(key("mark 1"), server(13))]);
    let shared = |text| copy.service(&key(text)).unwrap().is_shared_with(table.service(&key(text)).unwrap());
    assert!(!shared("mark 1") && shared("mark 2"));
    assert_eq!(table, busy(), "the other copy is not changed");
    let equal = busy();
    let alike = equal.service(&key("mark 2")).unwrap();
    assert!(!alike.is_shared_with(table.service(&key("mark 2")).unwrap()), "equal, not the same");
}

/// Of 10,000 destinations with one hash, each would be compared with each.
#[test]
fn addresses_of_destinations_have_hashes_of_their_own() {
    let state = RandomState::default();
    let ports = (0..1000).map(|port| SocketAddr::from(([10, 0, 0, 1], port)));
    let hosts = (0..1000).map(|n| SocketAddr::from((Ipv6Addr::from_bits(n), 80)));
    let hashes: HashSet<_> = ports.chain(hosts).map(|at| state.hash_one(At(at))).collect();
    assert_eq!(hashes.len(), 2000);
}

#[test]
fn zones_of_addresses_are_not_part_of_a_table() {
    let at = |zone| SocketAddr::from(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 7, zone));
    let key = |zone| ServiceKey::tcp(at(zone));
    let mut table = Table::new();
    table.apply(&Command::AddService(Service::new(key(1)))).unwrap();
    assert_eq!(table.apply(&Command::AddService(Service::new(key(2)))).unwrap_err().errno, Errno::EEXIST);
    table.apply(&Command::AddDestination(key(3), Destination::new(at(4)))).unwrap();
    assert!(table.service(&key(5)).unwrap().destination(&at(6)).is_some());
    table.apply(&Command::DeleteDestination(key(7), at(8))).unwrap();
}
