//! What a director refuses and what it takes, on both sides of each bound.
//!
//! That kernels do the same is shown by `tests/kernel/tests`: `client` has each rule, `causes.rs`
//! each refusal, and `model.rs` tries commands of these values at random.

use super::*;
use crate::name::Module;
use crate::{
    Errno, Family, InterfaceName, Netmask, OtherTunnel, PersistenceEngine, Scheduler, ServiceState, TunnelFlags,
    Weight, table::DestinationState,
};

fn key(text: &str) -> ServiceKey {
    text.parse().unwrap()
}

fn service(text: &str) -> Service {
    Service::new(key(text))
}

fn server(text: &str) -> Destination {
    Destination::new(text.parse().unwrap())
}

fn daemon(role: DaemonRole) -> Daemon {
    Daemon::new(role, InterfaceName::LOOPBACK)
}

/// A director after these commands.
fn director(commands: impl IntoIterator<Item = Command>) -> Table {
    let mut table = Table::new();
    commands.into_iter().for_each(|command| table.apply(&command).unwrap());
    table
}

/// A director as it was read, which may hold what can't be asked for.
fn found(services: impl IntoIterator<Item = (Service, Vec<Destination>)>) -> Table {
    let states = |(service, destinations): (Service, Vec<Destination>)| {
        let destinations = destinations.into_iter().map(DestinationState::new).collect();
        TableEntry::read(ServiceState::new(service), destinations)
    };
    let new = Table::new();
    Table::read(services.into_iter().map(states).collect(), new.timeouts(), Vec::new(), new.info())
}

/// The answer to a command. One that is refused has a cause of the same number, and changes
/// nothing.
#[track_caller]
fn refusal(table: &Table, command: Command) -> Option<Errno> {
    let mut tried = table.clone();
    let errno = tried.apply(&command).err().map(|refusal| refusal.errno);
    assert_eq!(table.explain(&command).map(|cause| cause.errno()), errno, "{command:?}: its cause");
    assert!(errno.is_none() || tried == *table, "{command:?}: refused, and has changed something");
    errno
}

#[test]
fn what_is_there_is_not_added_and_what_is_not_is_not_changed() {
    let (web, other) = (service("tcp 10.0.0.1:80"), service("udp 10.0.0.1:80"));
    let (here, there) = (server("127.0.0.1:80"), server("127.0.0.2:80"));
    let table = director([Command::AddService(web), Command::AddDestination(web.key(), here)]);
    let (esrch, eexist, enoent) = (Some(Errno::ESRCH), Some(Errno::EEXIST), Some(Errno::ENOENT));
    for (command, errno) in [
        (Command::AddService(web), eexist),
        (Command::AddService(other), None),
        (Command::EditService(web), None),
        (Command::EditService(other), esrch),
        (Command::DeleteService(web.key()), None),
        (Command::DeleteService(other.key()), esrch),
        (Command::Zero(Some(web.key())), None),
        (Command::Zero(Some(other.key())), esrch),
        (Command::Zero(None), None),
        (Command::Flush, None),
        (Command::AddDestination(web.key(), here), eexist),
        (Command::AddDestination(web.key(), there), None),
        (Command::AddDestination(other.key(), here), esrch),
        (Command::EditDestination(web.key(), here), None),
        (Command::EditDestination(web.key(), there), enoent),
        (Command::EditDestination(other.key(), here), esrch),
        (Command::DeleteDestination(web.key(), here.address), None),
        (Command::DeleteDestination(web.key(), there.address), enoent),
        (Command::DeleteDestination(other.key(), here.address), esrch),
    ] {
        assert_eq!(refusal(&table, command), errno, "{command:?}");
    }
}

/// Of two things that are wrong, the kernel names the one that it sees first.
#[test]
fn what_is_looked_at_first() {
    let web = service("tcp 10.0.0.1:80");
    let unknown = |service: Service| service.with_scheduler(Scheduler::new("x").unwrap());
    let (here, nobody) = (server("127.0.0.1:80"), server("224.0.0.1:80"));
    let mixed = server("[::1]:80");
    let bad = |destination| Destination { lower_threshold: 1, ..destination };
    let table = director([Command::AddService(web), Command::AddDestination(web.key(), here)]);
    for (first, command, errno) in [
        ("is the service there", Command::AddService(unknown(web)), Errno::EEXIST),
        ("is the service there", Command::EditService(unknown(service("mark 1"))), Errno::ESRCH),
        ("is the service there", Command::AddDestination(key("mark 1"), bad(nobody)), Errno::ESRCH),
        ("do the families fit", Command::AddDestination(web.key(), bad(mixed)), Errno::EINVAL),
        ("are the numbers in range", Command::AddDestination(web.key(), bad(here)), Errno::ERANGE),
        ("are the numbers in range", Command::AddDestination(web.key(), bad(nobody)), Errno::ERANGE),
        ("are the numbers in range", Command::EditDestination(web.key(), bad(nobody)), Errno::ERANGE),
        ("is the destination there", Command::EditDestination(web.key(), nobody), Errno::ENOENT),
    ] {
        assert_eq!(refusal(&table, command), Some(errno), "{first}: {command:?}");
    }
}

#[test]
fn a_new_table_has_the_modules_of_the_tree_and_a_read_one_leaves_the_rest_to_the_kernel() {
    let with = |text: &str, scheduler: &str, engine: Option<&str>| {
        let service = service(text).with_scheduler(scheduler.parse().unwrap());
        engine.map_or(service, |name| service.with_engine(name.parse().unwrap()))
    };
    let new = director([Command::AddService(service("mark 1"))]);
    let read = found([with("mark 1", "own", Some("mine")), service("mark 9")].map(|service| (service, Vec::new())));
    let (own, mine): (Scheduler, PersistenceEngine) = ("own".parse().unwrap(), "mine".parse().unwrap());
    let has_both = new.clone().with_module(own).with_module(mine);
    // Asked, and denied.
    let denied = [Module::from(Scheduler::RR), Scheduler::TWOS.into(), Scheduler::new("mine").unwrap().into()];
    let denied = denied.into_iter().fold(read.clone(), Table::without_module);
    for (scheduler, engine, accepted) in [
        ("wrr", None, [true, true, true, true]),
        ("rr", None, [true, true, true, false]),
        ("twos", None, [true, true, true, false]),
        ("none", None, [true, true, true, true]),
        ("own", None, [false, true, true, true]),
        ("mine", None, [false, false, true, false]),
        ("wrr", Some("sip"), [true, true, true, true]),
        ("wrr", Some("mine"), [false, true, true, true]),
        ("wrr", Some("own"), [false, false, true, true]),
        ("own", Some("mine"), [false, true, true, true]),
        ("mine", Some("mine"), [false, false, true, false]),
    ] {
        for (table, accepted) in [&new, &has_both, &read, &denied].into_iter().zip(accepted) {
            let errno = if accepted { None } else { Some(Errno::ENOENT) };
            let (add, edit) = (with("mark 2", scheduler, engine), with("mark 1", scheduler, engine));
            assert_eq!(refusal(table, Command::AddService(add)), errno, "{add:?}");
            assert_eq!(refusal(table, Command::EditService(edit)), errno, "{edit:?}");
        }
    }
    // What was in use is there, also when nothing uses it any more.
    let emptied = read.without_services();
    assert_eq!([own.into(), mine.into()].map(|module| emptied.has_module(module)), [Some(true); 2]);
    assert_eq!(emptied.has_module(Scheduler::new("other").unwrap().into()), None);
}

/// The types can't make such a prefix; but a service that was read may have it, and be written
/// back.
#[test]
fn prefixes_of_ipv6_have_1_to_128_bits() {
    for (length, errno) in [(0, Some(Errno::EINVAL)), (1, None), (128, None), (129, Some(Errno::EINVAL))] {
        let service = service("mark 1 ipv6").with_netmask(Netmask::from_kernel_v6(length)).unwrap();
        assert_eq!(refusal(&Table::new(), Command::AddService(service)), errno, "{length}");
    }
    let no_bit = service("mark 1").with_netmask(Netmask::v4([0, 0, 0, 0])).unwrap();
    assert_eq!(refusal(&Table::new(), Command::AddService(no_bit)), None, "IPv4 may have any mask");
}

const HOSTS: [&str; 12] = [
    "10.0.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "10.0.0.255",
    "240.0.0.1",
    "0.1.2.3",
    "169.254.1.1",
    "2001:db8::1",
    "::1",
    "::127.0.0.1",
    "fec0::1",
    "64:ff9b::10.0.0.1",
];
const NO_HOSTS: [&str; 11] = [
    "0.0.0.0",
    "224.0.0.1",
    "239.255.255.255",
    "255.255.255.255",
    "127.255.255.255",
    "::",
    "ff02::1",
    "ff0e::1",
    "fe80::1",
    "febf::1",
    "::ffff:10.0.0.1",
];

#[test]
fn a_new_destination_is_a_single_host() {
    let service_of = |at: &Destination| match at.family() {
        Family::V4 => service("mark 1"),
        Family::V6 => service("mark 1 ipv6"),
    };
    let of = |ip: &str| Destination::new(SocketAddr::new(ip.parse().unwrap(), 80));
    for (ip, errno) in HOSTS.map(|ip| (ip, None)).into_iter().chain(NO_HOSTS.map(|ip| (ip, Some(Errno::EINVAL)))) {
        let service = service_of(&of(ip));
        let table = director([Command::AddService(service)]);
        assert_eq!(refusal(&table, Command::AddDestination(service.key(), of(ip))), errno, "{ip}");
        // Of one that is there already it is not asked.
        let table = found([(service, vec![of(ip)])]);
        assert_eq!(refusal(&table, Command::EditDestination(service.key(), of(ip))), None, "{ip}");
    }
}

#[test]
fn families_mix_behind_tunnels_and_without_a_daemon_only() {
    let tunnel = |text| server(text).with_forwarding(Forwarding::Tunnel(Tunnel::Ipip));
    let (v4, v6) = (key("mark 4"), key("mark 6 ipv6"));
    let services = [v4, v6].map(|key| Command::AddService(Service::new(key)));
    let none = director(services);
    let beside = director(services.into_iter().chain([Command::StartDaemon(daemon(DaemonRole::Backup))]));
    let einval = Some(Errno::EINVAL);
    for (service, destination, without_daemon, beside_one) in [
        (v4, server("127.0.0.1:80"), None, None),
        (v6, server("[::1]:80"), None, None),
        (v4, tunnel("127.0.0.1:80"), None, None),
        (v4, server("[::1]:80"), einval, einval),
        (v6, server("127.0.0.1:80"), einval, einval),
        (v4, tunnel("[::1]:80"), None, einval),
        (v6, tunnel("127.0.0.1:80"), None, einval),
    ] {
        let add = Command::AddDestination(service, destination);
        assert_eq!((refusal(&none, add), refusal(&beside, add)), (without_daemon, beside_one), "{add:?}");
        // And the other way round: a daemon beside the destination.
        if without_daemon.is_none() {
            let table = director(services.into_iter().chain([add]));
            let start = Command::StartDaemon(daemon(DaemonRole::Master));
            assert_eq!(refusal(&table, start), beside_one, "beside {add:?}");
        }
    }
}

#[test]
fn weights_and_thresholds_end_at_31_bits() {
    const MOST: u32 = i32::MAX as u32;
    let web = key("tcp 10.0.0.1:80");
    let (erange, einval) = (Some(Errno::ERANGE), Some(Errno::EINVAL));
    // Without and with a signed upper threshold.
    for (weight, lower, upper, unsigned, signed) in [
        (0, 0, 0, None, None),
        (MOST, 0, 0, None, None),
        (MOST + 1, 0, 0, erange, erange),
        (1, 5, 6, None, None),
        (1, 6, 6, None, None),
        (1, 7, 6, erange, erange),
        (1, 1, 0, erange, erange),
        (1, 0, MOST, None, None),
        (1, MOST, MOST, None, None),
        (1, 0, MOST + 1, None, einval),
        (1, u32::MAX, u32::MAX, None, einval),
    ] {
        let weight = Weight::from_kernel(weight);
        let asked = Destination { weight, lower_threshold: lower, upper_threshold: upper, ..server("127.0.0.1:80") };
        let there = [Command::AddService(Service::new(web)), Command::AddDestination(web, server("127.0.0.1:80"))];
        for (behaviors, errno) in [(Behaviors::empty(), unsigned), (Behaviors::SIGNED_UPPER_THRESHOLD, signed)] {
            let on = |table: Table| table.with_behaviors(behaviors);
            let add = refusal(&on(director([there[0]])), Command::AddDestination(web, asked));
            let edit = refusal(&on(director(there)), Command::EditDestination(web, asked));
            assert_eq!((add, edit), (errno, errno), "{behaviors}: {asked:?}");
        }
    }
}

/// As with prefixes: only one that was read can be like that.
#[test]
fn a_tunnel_of_gue_has_a_port() {
    let tunnel = |kind| {
        let other = OtherTunnel { kind, port: 0, flags: TunnelFlags::empty() };
        server("127.0.0.1:80").with_forwarding(Forwarding::Tunnel(Tunnel::Other(other)))
    };
    let table = director([Command::AddService(service("mark 1"))]);
    for (kind, errno) in [(1, Some(Errno::EINVAL)), (3, None), (255, None)] {
        assert_eq!(refusal(&table, Command::AddDestination(key("mark 1"), tunnel(kind))), errno, "{kind}");
    }
}

#[test]
fn timeouts_end_at_31_bits_of_clock_ticks() {
    for (seconds, errno) in [
        (None, None),
        (Some(0), None),
        (Some(1), None),
        (Some(21_474_836), None),
        (Some(21_474_837), Some(Errno::EINVAL)),
        (Some(u32::MAX), Some(Errno::EINVAL)),
    ] {
        let none = Timeouts::default();
        for wanted in [
            Timeouts { tcp: seconds, ..none },
            Timeouts { tcp_fin: seconds, tcp: Some(9), ..none },
            Timeouts { udp: seconds, tcp: Some(9), tcp_fin: Some(9) },
        ] {
            assert_eq!(refusal(&Table::new(), Command::SetTimeouts(wanted)), errno, "{wanted:?}");
        }
    }
}

#[test]
fn a_daemon_of_each_role_runs_once_and_is_stopped_once() {
    use DaemonRole::{Backup, Master};
    let (esrch, eexist) = (Some(Errno::ESRCH), Some(Errno::EEXIST));
    for (running, role, start, stop) in [
        (&[][..], Master, None, esrch),
        (&[Master], Master, eexist, None),
        (&[Master], Backup, None, esrch),
        (&[Backup], Master, None, esrch),
        (&[Master, Backup], Master, eexist, None),
        (&[Master, Backup], Backup, eexist, None),
    ] {
        let table = director(running.iter().map(|role| Command::StartDaemon(daemon(*role))));
        let answers = (refusal(&table, Command::StartDaemon(daemon(role))), refusal(&table, Command::StopDaemon(role)));
        assert_eq!(answers, (start, stop), "{role} beside {running:?}");
    }
}

#[test]
fn the_group_of_a_daemon_is_multicast() {
    for (group, errno) in [
        (None, None),
        (Some("224.0.0.1"), None),
        (Some("239.255.255.255"), None),
        (Some("ff02::81"), None),
        (Some("10.0.0.1"), Some(Errno::EINVAL)),
        (Some("240.0.0.1"), Some(Errno::EINVAL)),
        (Some("fe80::1"), Some(Errno::EINVAL)),
    ] {
        let group = group.map(|text| text.parse().unwrap());
        let start = Command::StartDaemon(Daemon { group, ..daemon(DaemonRole::Backup) });
        assert_eq!(refusal(&Table::new(), start), errno, "{group:?}");
    }
}

#[test]
fn a_daemon_needs_its_interface() {
    let [eth0, eth1] = ["eth0", "eth1"].map(|name| InterfaceName::new(name).unwrap());
    let start = |interface| Command::StartDaemon(Daemon::new(DaemonRole::Master, interface));
    for (director, table, there) in [
        ("a fresh one", Table::new(), [true, false, false]),
        ("with one more", Table::new().with_interface(eth0), [true, true, false]),
        ("with two more", Table::new().with_interface(eth0).with_interface(eth1), [true, true, true]),
        ("with these alone", Table::new().with_interfaces([eth0]), [false, true, false]),
        ("as read, which says nothing of them", found([]), [true, true, true]),
        ("as read, and one more", found([]).with_interface(eth0), [true, true, true]),
    ] {
        for (interface, there) in [InterfaceName::LOOPBACK, eth0, eth1].into_iter().zip(there) {
            let errno = (!there).then_some(Errno::ENODEV);
            assert_eq!(refusal(&table, start(interface)), errno, "{director}: {interface}");
        }
    }
}

/// The nearest service has the same address and port or the same mark; then the same address, best
/// of the same protocol.
#[test]
fn the_service_that_may_have_been_meant() {
    for (there, nearest) in [
        (&["tcp 10.0.0.2:80", "tcp [::1]:80", "mark 1"][..], None),
        (&["tcp 10.0.0.1:81", "udp 10.0.0.1:81", "udp 10.0.0.1:80"], Some("udp 10.0.0.1:80")),
        (&["udp 10.0.0.1:81", "tcp 10.0.0.1:81"], Some("tcp 10.0.0.1:81")),
        (&["tcp 10.0.0.2:80", "udp 10.0.0.1:81"], Some("udp 10.0.0.1:81")),
        (&["udp 10.0.0.1:79", "tcp 10.0.0.1:90"], Some("tcp 10.0.0.1:90")),
    ] {
        assert_eq!(near(there, "tcp 10.0.0.1:80"), nearest.map(key), "of {there:?}");
    }
    assert_eq!(near(&["sctp 10.0.0.1:81", "udp 10.0.0.1:90"], "udp 10.0.0.1:80"), Some(key("udp 10.0.0.1:90")));
    assert_eq!(near(&["mark 1", "mark 2 ipv6"], "mark 2"), Some(key("mark 2 ipv6")));
    assert_eq!(near(&["mark 1", "tcp 0.0.0.2:80"], "mark 2"), None);
}

fn near(there: &[&str], asked: &str) -> Option<ServiceKey> {
    let table = director(there.iter().map(|text| Command::AddService(service(text))));
    match table.explain(&Command::DeleteService(key(asked))) {
        Some(Cause::NoSuchService { key: named, near }) if named == key(asked) => near,
        other => panic!("{asked} of {there:?}: {other:?}"),
    }
}

#[test]
fn the_destination_that_may_have_been_meant() {
    let web = key("tcp 10.0.0.1:80");
    let servers = ["127.0.0.2:80", "127.0.0.1:81", "127.0.0.1:82"].map(|at| Command::AddDestination(web, server(at)));
    let table = director([Command::AddService(Service::new(web))].into_iter().chain(servers));
    for (asked, nearest) in [("127.0.0.1:80", Some("127.0.0.1:81")), ("127.0.0.3:80", None)] {
        let (at, near) = (asked.parse().unwrap(), nearest.map(|text| text.parse().unwrap()));
        let cause = table.explain(&Command::DeleteDestination(web, at));
        assert_eq!(cause, Some(Cause::NoSuchDestination { service: web, at, near }));
    }
}
