//! Each refusal has a cause, which says the same on a kernel as on the in-memory kernel, and fits
//! what the kernel answered.

use std::collections::HashSet;
use std::mem::{Discriminant, discriminant};
use std::process;

use ipvs::{
    Behaviors, Cause, Client, Command, Daemon, DaemonRole, Destination, Errno, Error, Forwarding, InterfaceName,
    PersistenceEngine, Scheduler, Service, ServiceKey, Table, Timeouts, Tunnel,
};
use kernel_tests::{behaviors, sandbox};

#[test]
fn fake_each_refusal_has_its_cause() {
    each_refusal_has_its_cause(&mut Client::fake(Table::new()), Behaviors::default());
}

#[test]
fn kernel_each_refusal_has_its_cause() {
    sandbox::enter_network().unwrap();
    each_refusal_has_its_cause(&mut Client::connect().unwrap(), behaviors::of_this_kernel());
}

fn each_refusal_has_its_cause(client: &mut Client, behaviors: Behaviors) {
    let mut seen = HashSet::new();
    for (commands, errno, sentence) in refusals() {
        let (last, before) = commands.split_last().unwrap();
        for command in before {
            client.execute(command).unwrap_or_else(|error| panic!("{command:?}: {error}"));
        }
        seen.insert(discriminant(&cause(client, last, errno, sentence)));
        clean(client);
    }
    if behaviors.contains(Behaviors::SIGNED_UPPER_THRESHOLD) {
        let (key, upper) = (key("tcp 10.0.0.1:80"), server("127.0.0.1:80").with_upper_threshold(1 << 31));
        client.execute(&Command::AddService(Service::new(key))).unwrap();
        let sentence = "an upper threshold is 0 to 2147483647, not 2147483648";
        seen.insert(discriminant(&cause(client, &Command::AddDestination(key, upper), Errno::EINVAL, sentence)));
    } else {
        seen.insert(discriminant(&Cause::UpperThreshold(0)));
    }
    assert_eq!(seen, provokable(), "a cause without a case");
}

/// All causes, but for those that only requests have which the library's types can't make, and the
/// one that needs a kernel without its modules.
fn provokable() -> HashSet<Discriminant<Cause>> {
    let (service, at) = (key("mark 1"), "127.0.0.1:80".parse().unwrap());
    let role = DaemonRole::Master;
    [
        Cause::ServiceExists(service),
        Cause::NoSuchService { key: service, near: None },
        Cause::NoSuchScheduler(Scheduler::RR),
        Cause::NoSuchEngine(PersistenceEngine::SIP),
        Cause::DestinationExists { service, at },
        Cause::NoSuchDestination { service, at, near: None },
        Cause::MixedFamilies { service, at },
        Cause::MixedFamiliesBesideDaemon { service, at, role },
        Cause::Thresholds { lower: 0, upper: 0 },
        Cause::UpperThreshold(0),
        Cause::NotAHost(at.ip()),
        Cause::TimeoutTooLong(0),
        Cause::GroupNotMulticast(at.ip()),
        Cause::DaemonBesideMixedFamilies { service, at },
        Cause::NoSuchInterface(InterfaceName::LOOPBACK),
        Cause::DaemonRuns(daemon(role)),
        Cause::NoSuchDaemon { role, running: None },
    ]
    .map(|cause| discriminant(&cause))
    .into()
}

/// Why the client's kernel refuses this; the kernel must.
#[track_caller]
fn cause(client: &mut Client, command: &Command, errno: Errno, sentence: &str) -> Cause {
    let mut table = client.table().unwrap();
    client.probe(&mut table, [command]).unwrap();
    let predicted = table.explain(command);
    match client.execute(command) {
        Err(Error::Refused(refusal)) => assert_eq!(refusal.errno, errno, "{command:?}"),
        other => panic!("{command:?}: {other:?}, not refused"),
    }
    let cause = client.explain(command, errno).unwrap().unwrap_or_else(|| panic!("{command:?}: no cause"));
    assert_eq!((cause.to_string().as_str(), cause.errno()), (sentence, errno), "{command:?}");
    // A table that was read does not know the machine's interfaces.
    let expected = if errno == Errno::ENODEV { None } else { Some(cause) };
    assert_eq!(predicted, expected, "{command:?}: what was predicted");
    cause
}

fn clean(client: &mut Client) {
    client.flush().unwrap();
    for daemon in client.daemons().unwrap() {
        client.stop_daemon(daemon.role).unwrap();
    }
}

fn key(text: &str) -> ServiceKey {
    text.parse().unwrap()
}

fn server(text: &str) -> Destination {
    Destination::new(text.parse().unwrap())
}

fn tunnel(text: &str) -> Destination {
    server(text).with_forwarding(Forwarding::Tunnel(Tunnel::Ipip))
}

fn daemon(role: DaemonRole) -> Daemon {
    Daemon::new(role, InterfaceName::LOOPBACK).with_sync_id(7)
}

/// Commands of which the last is refused, with which number, and why.
fn refusals() -> Vec<(Vec<Command>, Errno, &'static str)> {
    [of_services(), of_destinations(), of_addresses(), of_the_rest()].concat()
}

fn of_services() -> Vec<(Vec<Command>, Errno, &'static str)> {
    let add = |text| Command::AddService(Service::new(key(text)));
    let delete = |text| Command::DeleteService(key(text));
    let web = Service::new(key("tcp 10.0.0.1:80"));
    let unknown_scheduler = web.with_scheduler(Scheduler::new("x").unwrap());
    let unknown_engine = web.with_engine(PersistenceEngine::new("x").unwrap());
    let schedulers = "the kernel says that it has no scheduler x (module ip_vs_x); Linux has rr wrr lc wlc lblc lblcr \
                      dh sh sed nq fo ovf mh twos";
    vec![
        (vec![add("mark 1"), add("mark 1")], Errno::EEXIST, "there is a service mark 1 already"),
        (vec![delete("mark 1")], Errno::ESRCH, "there is no service mark 1"),
        (vec![add("mark 2"), delete("mark 1")], Errno::ESRCH, "there is no service mark 1"),
        (vec![add("mark 1 ipv6"), delete("mark 1")], Errno::ESRCH, "there is no service mark 1, but mark 1 ipv6"),
        (
            vec![add("tcp 10.0.0.1:81"), add("udp 10.0.0.1:80"), add("tcp 10.0.0.2:80"), delete("tcp 10.0.0.1:80")],
            Errno::ESRCH,
            "there is no service tcp 10.0.0.1:80, but udp 10.0.0.1:80",
        ),
        (
            vec![add("sctp 10.0.0.1:80"), add("udp 10.0.0.1:53"), Command::Zero(Some(key("udp 10.0.0.1:5353")))],
            Errno::ESRCH,
            "there is no service udp 10.0.0.1:5353, but udp 10.0.0.1:53",
        ),
        (
            vec![add("tcp 10.0.0.1:80"), Command::EditService(Service::new(key("tcp 10.0.0.1:0")))],
            Errno::ESRCH,
            "there is no service tcp 10.0.0.1:0, but tcp 10.0.0.1:80",
        ),
        (vec![Command::AddService(unknown_scheduler)], Errno::ENOENT, schedulers),
        (vec![add("tcp 10.0.0.1:80"), Command::EditService(unknown_scheduler)], Errno::ENOENT, schedulers),
        (
            vec![Command::AddService(unknown_engine)],
            Errno::ENOENT,
            "the kernel says that it has no persistence engine x (module ip_vs_pe_x); Linux has sip",
        ),
    ]
}

fn of_destinations() -> Vec<(Vec<Command>, Errno, &'static str)> {
    let web = key("tcp 10.0.0.1:80");
    let service = Command::AddService(Service::new(web));
    let here = server("127.0.0.1:80");
    let with = |upper_threshold, lower_threshold| {
        here.with_upper_threshold(upper_threshold).with_lower_threshold(lower_threshold)
    };
    let added = [service, Command::AddDestination(web, here)];
    let then = |command| [&added[..], &[command]].concat();
    vec![
        (
            then(Command::AddDestination(web, here)),
            Errno::EEXIST,
            "tcp 10.0.0.1:80 has a destination 127.0.0.1:80 already",
        ),
        (
            then(Command::EditDestination(web, server("127.0.0.2:80"))),
            Errno::ENOENT,
            "tcp 10.0.0.1:80 has no destination 127.0.0.2:80",
        ),
        (
            then(Command::DeleteDestination(web, "127.0.0.1:8080".parse().unwrap())),
            Errno::ENOENT,
            "tcp 10.0.0.1:80 has no destination 127.0.0.1:8080, but 127.0.0.1:80",
        ),
        (
            then(Command::AddDestination(key("udp 10.0.0.1:80"), here)),
            Errno::ESRCH,
            "there is no service udp 10.0.0.1:80, but tcp 10.0.0.1:80",
        ),
        (
            then(Command::EditDestination(web, with(0, 1))),
            Errno::ERANGE,
            "the lower threshold, 1, needs an upper one that is not below it",
        ),
        (
            vec![service, Command::AddDestination(web, with(5, 6))],
            Errno::ERANGE,
            "the lower threshold, 6, is above the upper one, 5",
        ),
    ]
}

fn of_addresses() -> Vec<(Vec<Command>, Errno, &'static str)> {
    let add = |service: &str, destination: &str| {
        let key = key(service);
        vec![Command::AddService(Service::new(key)), Command::AddDestination(key, server(destination))]
    };
    let einval = Errno::EINVAL;
    vec![
        (add("mark 1", "224.0.0.1:80"), einval, "224.0.0.1 is a multicast address, and a destination is one host"),
        (add("mark 1", "0.0.0.0:80"), einval, "0.0.0.0 is no address, and a destination is one host"),
        (
            add("mark 1", "255.255.255.255:80"),
            einval,
            "255.255.255.255 is a broadcast address, and a destination is one host",
        ),
        (add("mark 1 ipv6", "[ff02::1]:80"), einval, "ff02::1 is a multicast address, and a destination is one host"),
        (add("mark 1 ipv6", "[fe80::1]:80"), einval, "fe80::1 is a link-local address, and a destination is one host"),
        (add("mark 1 ipv6", "[::]:80"), einval, ":: is no address, and a destination is one host"),
        (
            add("mark 1 ipv6", "[::ffff:127.0.0.1]:80"),
            einval,
            "::ffff:127.0.0.1 is an IPv4 address written as IPv6, and a destination is one host",
        ),
        (
            add("mark 1", "[::1]:80"),
            einval,
            "mark 1 is ipv4, its destination [::1]:80 is ipv6: that goes through a tunnel only",
        ),
    ]
}

fn of_the_rest() -> Vec<(Vec<Command>, Errno, &'static str)> {
    let key = key("mark 1 ipv6");
    let service = Command::AddService(Service::new(key));
    let mixed = Command::AddDestination(key, tunnel("127.0.0.1:80"));
    let (master, backup) = (daemon(DaemonRole::Master), daemon(DaemonRole::Backup));
    let start = Command::StartDaemon;
    let stop = |daemon: Daemon| Command::StopDaemon(daemon.role);
    vec![
        (
            vec![service, mixed, start(master)],
            Errno::EINVAL,
            "mark 1 ipv6 is ipv6, its destination 127.0.0.1:80 is ipv4: no sync daemon can run beside that",
        ),
        (
            vec![service, start(backup), mixed],
            Errno::EINVAL,
            "mark 1 ipv6 is ipv6, its destination 127.0.0.1:80 is ipv4: that is impossible while a sync daemon (backup) runs",
        ),
        (vec![start(master), start(master)], Errno::EEXIST, "a master daemon runs already, on lo with sync id 7"),
        (vec![stop(master)], Errno::ESRCH, "no sync daemon runs, so no master"),
        (vec![start(master), stop(backup)], Errno::ESRCH, "no backup daemon runs, but a master"),
        (
            vec![start(master.with_group("10.0.0.1".parse::<std::net::IpAddr>().unwrap()))],
            Errno::EINVAL,
            "10.0.0.1 is not a multicast address",
        ),
        (
            vec![start(Daemon::new(DaemonRole::Master, InterfaceName::new("nonesuch0").unwrap()))],
            Errno::ENODEV,
            "there is no network interface nonesuch0",
        ),
        (
            vec![Command::SetTimeouts(Timeouts::new().with_udp(u32::MAX).with_tcp(1))],
            Errno::EINVAL,
            "a timeout of 4294967295 s is too long: the most is 2147483 s where a second has 1000 clock ticks, and 21474836 s \
             where it has 100",
        ),
    ]
}

/// A table can't know the machine's networks; what was refused is looked at.
#[test]
fn kernel_broadcast_addresses_of_this_machine() {
    sandbox::enter_network().unwrap();
    ip("address add 10.9.9.1/24 broadcast 10.9.9.255 dev lo");
    let mut client = Client::connect().unwrap();
    let key = key("tcp 10.0.0.1:80");
    client.add_service(&Service::new(key)).unwrap();
    let add = Command::AddDestination(key, server("10.9.9.255:80"));
    assert_eq!(client.execute(&add).unwrap_err().errno(), Some(Errno::EINVAL));
    let cause = client.explain(&add, Errno::EINVAL).unwrap();
    assert_eq!(cause, Some(Cause::NotAHost("10.9.9.255".parse().unwrap())));
    let host = Command::AddDestination(key, server("10.9.9.254:80"));
    assert_eq!(client.explain(&host, Errno::EINVAL).unwrap(), None);
}

/// Nor its routes.
#[test]
fn kernel_interfaces_that_a_master_cannot_use() {
    sandbox::enter_network().unwrap();
    ip("link add v0 type veth peer name v1");
    let interface = InterfaceName::new("v0").unwrap();
    let group = Some("ff02::81".parse().unwrap());
    let mut client = Client::connect().unwrap();
    let daemon = Daemon::new(DaemonRole::Master, interface).with_group(group);
    let start = Command::StartDaemon(daemon);
    assert_eq!(client.execute(&start).unwrap_err().errno(), Some(Errno::ENETUNREACH));
    let cause = client.explain(&start, Errno::ENETUNREACH).unwrap().unwrap();
    let sentence = "nothing can be sent to the group ff02::81 through v0: the interface is down, or there is no route";
    assert_eq!((cause.errno(), cause.to_string().as_str()), (Errno::ENETUNREACH, sentence));
    ip("link set v0 up");
    client.start_daemon(&daemon.with_group(None)).unwrap();
}

fn ip(words: &str) {
    let done = process::Command::new("ip").args(words.split(' ')).status().expect("the program ip");
    assert!(done.success(), "ip {words}");
}

/// What the table says now may not be what it said when the command was refused.
#[test]
fn fake_a_cause_fits_the_errno_even_if_the_table_has_changed() {
    let mut client = Client::fake(Table::new());
    let key = key("mark 1");
    let service = Service::new(key);
    let explain = |client: &mut Client, command, errno| client.explain(&command, errno).unwrap();
    let missing = Some(Cause::NoSuchService { key, near: None });
    assert_eq!(explain(&mut client, Command::AddService(service), Errno::EEXIST), Some(Cause::ServiceExists(key)));
    client.add_service(&service).unwrap();
    assert_eq!(explain(&mut client, Command::DeleteService(key), Errno::ESRCH), missing);
    assert_eq!(explain(&mut client, Command::AddDestination(key, server("10.0.0.1:0")), Errno::ESRCH), missing);
    assert_eq!(explain(&mut client, Command::Flush, Errno::ENOMEM), None);
    // An IPv6 address that is not ready yet.
    let start = Command::StartDaemon(daemon(DaemonRole::Master));
    let unready = Some(Cause::NoAddress(InterfaceName::LOOPBACK));
    assert_eq!(explain(&mut client, start, Errno::EADDRNOTAVAIL), unready);
    let (sip, rr) = (service.with_engine(PersistenceEngine::SIP), service.with_scheduler(Scheduler::RR));
    let edit = Command::EditService;
    for service in [rr, sip, rr.with_engine(PersistenceEngine::SIP)] {
        assert_eq!(explain(&mut client, edit(service), Errno::ENOENT), None, "the kernel has it by now");
    }
}

/// The kernel has one error number for both; it is asked which of them it meant.
#[test]
fn fake_a_missing_engine_is_not_taken_for_a_missing_scheduler() {
    let both = Service::new(key("mark 1")).with_scheduler(Scheduler::RR).with_engine(PersistenceEngine::SIP);
    let cause = |table: Table| {
        let mut client = Client::fake(table);
        let add = Command::AddService(both);
        let refusal = client.execute_all([&add]).unwrap()[0].unwrap_err();
        client.explain(&add, refusal.errno).unwrap()
    };
    let (scheduler, engine) = (Cause::NoSuchScheduler(Scheduler::RR), Cause::NoSuchEngine(PersistenceEngine::SIP));
    assert_eq!(cause(Table::new().without_module(Scheduler::RR)), Some(scheduler));
    assert_eq!(cause(Table::new().without_module(PersistenceEngine::SIP)), Some(engine));
    let neither = Table::new().without_module(Scheduler::RR).without_module(PersistenceEngine::SIP);
    assert_eq!(cause(neither), Some(scheduler), "the kernel looks for the scheduler first");
}
