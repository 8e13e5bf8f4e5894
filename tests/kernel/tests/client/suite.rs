//! One test function for every director and every client: `Client` is the one of the module around
//! it.

use ipvs::{
    Cause, Command, CommandKind, Daemon, DaemonRole, Destination, DestinationState, Errno, Error, Forwarding,
    InterfaceName, Netmask, Persistence, PersistenceEngine, Refusal, Scheduler, SchedulerFlags, Service, ServiceKey,
    Table, Timeouts, Tunnel, TunnelFlags, Weight, change::Planner,
};
use kernel_tests::on_each_director;

use super::Client;

on_each_director! {
    if super::super::is_tried_here;
    an_untouched_director_is_empty
    a_service_reads_back_as_written
    services_of_all_kinds_live_side_by_side
    editing_a_service_replaces_all_of_it
    services_are_refused_as_by_the_kernel
    unknown_schedulers_and_engines_are_refused
    asking_for_schedulers_and_engines_changes_nothing
    asking_about_thresholds_changes_nothing
    a_destination_reads_back_as_written
    editing_a_destination_replaces_all_of_it
    destinations_are_refused_as_by_the_kernel
    destinations_need_a_service
    thresholds_are_checked_before_the_destination_is_looked_up
    thresholds_of_more_than_31_bits_are_refused_for_this_or_accepted
    addresses_that_are_no_hosts_are_refused
    families_mix_behind_tunnels_only
    families_do_not_mix_while_a_daemon_runs
    daemons_start_and_stop
    daemons_stopped_before_they_ran_are_stopped
    daemons_are_refused_as_by_the_kernel
    the_kernel_chooses_missing_and_extreme_values_of_a_daemon
    timeouts_change_one_by_one
    zeroing_needs_a_service
    flush_spares_timeouts_and_daemons
    outcomes_come_in_the_order_of_the_commands
    more_commands_than_any_window_holds
    many_destinations_are_all_read
    readings_without_statistics_differ_only_in_them
    a_client_goes_on_after_a_refusal
    a_table_that_is_read_is_the_table_that_was_written
    a_director_is_reconciled
}

fn key(text: &str) -> ServiceKey {
    text.parse().unwrap()
}

fn service(text: &str) -> Service {
    Service::new(key(text)).with_scheduler(Scheduler::RR)
}

fn server(text: &str) -> Destination {
    Destination::new(text.parse().unwrap()).with_forwarding(Forwarding::Masquerade)
}

fn tunnel(text: &str) -> Destination {
    server(text).with_forwarding(Forwarding::Tunnel(Tunnel::Ipip))
}

fn loopback_daemon(role: DaemonRole) -> Daemon {
    Daemon::new(role, InterfaceName::new("lo").unwrap())
}

#[track_caller]
fn done(client: &mut Client, commands: &[Command]) {
    for (command, outcome) in commands.iter().zip(client.execute_all(commands).unwrap()) {
        assert_eq!(outcome, Ok(()), "{command:?}");
    }
}

#[track_caller]
fn refused(client: &mut Client, command: Command, errno: Errno) {
    match client.execute(&command) {
        Err(Error::Refused(refusal)) => {
            assert_eq!((refusal.command, refusal.errno), (command.kind(), errno), "{command:?}");
            let cause = client.explain(&command, errno).unwrap().map(|cause| cause.errno());
            assert_eq!(cause, Some(errno), "{command:?}: its cause");
        }
        other => panic!("{command:?}: {other:?}, not refused with {errno:?}"),
    }
}

fn an_untouched_director_is_empty(client: &mut Client) {
    assert_eq!(client.services().unwrap(), []);
    assert_eq!(client.daemons().unwrap(), []);
    assert_eq!(client.timeouts().unwrap(), Timeouts::new().with_tcp(900).with_tcp_fin(120).with_udp(300));
    assert_eq!(client.info().unwrap().version.to_string(), "1.2.1");
}

fn a_service_reads_back_as_written(client: &mut Client) {
    let mut written = Vec::new();
    for (n, scheduler) in [Scheduler::RR, Scheduler::WLC, Scheduler::SH, Scheduler::MH].into_iter().enumerate() {
        let text = format!("tcp 10.0.0.{}:80", n + 1);
        written.push(service(&text).with_scheduler(scheduler).with_scheduler_flags(SchedulerFlags::FLAG_1));
    }
    let persistent = |text, seconds| service(text).with_persistence(Persistence::new(seconds).unwrap());
    written.push(persistent("tcp 10.0.0.9:0", 1).with_netmask(Netmask::v4([255, 255, 0, 255])).unwrap());
    written.push(persistent("tcp [2001:db8::9]:0", 2_678_400).with_netmask(Netmask::v6(1).unwrap()).unwrap());
    written.push(service("udp 10.0.0.10:53").with_one_packet());
    written.push(persistent("udp 10.0.0.11:5060", 30).with_engine(PersistenceEngine::SIP));
    for service in written {
        client.add_service(&service).unwrap_or_else(|error| panic!("{service:?}: {error}"));
        assert_eq!(client.service(&service.key()).unwrap().service, service);
    }
}

fn services_of_all_kinds_live_side_by_side(client: &mut Client) {
    let keys = [
        "tcp 10.0.0.1:80",
        "udp 10.0.0.1:80",
        "sctp 10.0.0.1:80",
        "tcp [2001:db8::1]:80",
        "mark 1",
        "mark 1 ipv6",
        "mark 4294967295",
    ];
    for key in keys {
        client.add_service(&service(key)).unwrap();
    }
    let mut read: Vec<_> = client.services().unwrap().iter().map(|state| state.service.key().to_string()).collect();
    read.sort();
    let mut expected = keys.map(String::from);
    expected.sort();
    assert_eq!(read, expected);
}

fn editing_a_service_replaces_all_of_it(client: &mut Client) {
    let before = service("udp 10.0.0.1:53")
        .with_persistence(Persistence::new(99).unwrap())
        .with_engine(PersistenceEngine::SIP)
        .with_scheduler_flags(SchedulerFlags::FLAG_2 | SchedulerFlags::FLAG_3)
        .with_one_packet();
    let after = Service::new(before.key()).with_scheduler(Scheduler::LC);
    client.add_service(&before).unwrap();
    client.add_destination(&before.key(), &server("127.0.0.1:53")).unwrap();
    client.edit_service(&after).unwrap();
    assert_eq!(client.service(&before.key()).unwrap().service, after);
    assert_eq!(client.destinations(&before.key()).unwrap().len(), 1);
}

fn services_are_refused_as_by_the_kernel(client: &mut Client) {
    let web = service("tcp 10.0.0.1:80");
    refused(client, Command::EditService(web), Errno::ESRCH);
    refused(client, Command::DeleteService(web.key()), Errno::ESRCH);
    assert!(matches!(client.service(&web.key()), Err(Error::Refused(refusal))
        if (refusal.command, refusal.errno) == (CommandKind::GetService, Errno::ESRCH)));
    client.add_service(&web).unwrap();
    refused(client, Command::AddService(web), Errno::EEXIST);
    // That it exists is noticed before what is wrong with it.
    let unknown = web.with_scheduler(Scheduler::new("unheard-of").unwrap());
    refused(client, Command::AddService(unknown), Errno::EEXIST);
    client.delete_service(&web.key()).unwrap();
    assert_eq!(client.services().unwrap(), []);
}

fn unknown_schedulers_and_engines_are_refused(client: &mut Client) {
    let web = service("tcp 10.0.0.1:80");
    let scheduler = web.with_scheduler(Scheduler::new("unheard-of").unwrap());
    let engine = web.with_engine(PersistenceEngine::new("unheard-of").unwrap());
    refused(client, Command::AddService(scheduler), Errno::ENOENT);
    refused(client, Command::AddService(engine), Errno::ENOENT);
    let none = web.with_scheduler(Scheduler::NONE);
    client.add_service(&none).unwrap();
    assert_eq!(client.service(&none.key()).unwrap().service, none);
    refused(client, Command::EditService(scheduler), Errno::ENOENT);
    refused(client, Command::EditService(engine), Errno::ENOENT);
    assert_eq!(client.service(&none.key()).unwrap().service, none);
}

fn asking_for_schedulers_and_engines_changes_nothing(client: &mut Client) {
    let web = service("tcp 10.0.0.1:80");
    let scheduler = |name: &str| web.with_scheduler(Scheduler::new(name).unwrap());
    let engine = |name: &str| web.with_engine(PersistenceEngine::new(name).unwrap());
    let asked = [scheduler("unheard-of"), engine("unheard-of"), scheduler("twos"), scheduler("none"), engine("sip")];
    let info = client.info().unwrap();
    let mut table = client.table().unwrap();
    client.probe(&mut table, &asked.map(Command::AddService)).unwrap();
    // A kernel that makes its connection table with the first service has not made it.
    assert_eq!((client.info().unwrap(), client.services().unwrap()), (info, vec![]));
    for service in asked {
        let foreseen = table.explain(&Command::AddService(service));
        match client.add_service(&service) {
            Ok(()) => client.delete_service(&web.key()).unwrap(),
            Err(error) => assert_eq!(error.errno(), Some(Errno::ENOENT)),
        }
        let refused = client.execute_all([&Command::AddService(service), &Command::Flush]).unwrap()[0].err();
        assert_eq!(foreseen.map(|cause| cause.errno()), refused.map(|refusal| refusal.errno), "{service:?}");
    }
}

fn asking_about_thresholds_changes_nothing(client: &mut Client) {
    let services = [service("tcp 10.0.0.1:80"), service("mark 6 ipv6")];
    for service in services {
        client.add_service(&service).unwrap();
        client.add_destination(&service.key(), &tunnel("127.0.0.1:80")).unwrap();
        let high = tunnel("127.0.0.2:80").with_upper_threshold(u32::MAX);
        let add = Command::AddDestination(service.key(), high);
        let (before, mut table) = (client.table().unwrap(), client.table().unwrap());
        client.probe(&mut table, [&add]).unwrap();
        assert_eq!(client.table().unwrap(), before);
        let refused = client.execute_all([&add]).unwrap()[0].err().map(|refusal| refusal.errno);
        assert_eq!(table.explain(&add).map(|cause| cause.errno()), refused);
        client.flush().unwrap();
    }
}

fn a_destination_reads_back_as_written(client: &mut Client) {
    let gue = |flags| Forwarding::Tunnel(Tunnel::Gue { port: 6080.try_into().unwrap(), flags });
    let methods = [
        Forwarding::Masquerade,
        Forwarding::Local,
        Forwarding::DirectRoute,
        Forwarding::Bypass,
        Forwarding::Tunnel(Tunnel::Ipip),
        gue(TunnelFlags::empty()),
        gue(TunnelFlags::CHECKSUM),
        gue(TunnelFlags::REMOTE_CHECKSUM),
        Forwarding::Tunnel(Tunnel::Gre { flags: TunnelFlags::CHECKSUM }),
    ];
    let web = service("tcp 10.0.0.1:80");
    client.add_service(&web).unwrap();
    let mut written = Vec::new();
    for (n, method) in methods.into_iter().enumerate() {
        let mut destination = server(&format!("127.0.0.{}:8080", n + 1)).with_forwarding(method);
        destination.weight = if n == 0 { Weight::MAX } else { Weight::new(n as u32).unwrap() };
        (destination.upper_threshold, destination.lower_threshold) = (10 * n as u32, n as u32);
        client.add_destination(&web.key(), &destination).unwrap_or_else(|error| panic!("{destination:?}: {error}"));
        written.push(DestinationState::new(destination));
    }
    written.reverse(); // the kernel lists the newest first
    assert_eq!(client.destinations(&web.key()).unwrap(), written);
}

fn editing_a_destination_replaces_all_of_it(client: &mut Client) {
    let web = service("tcp 10.0.0.1:80");
    let before = server("127.0.0.1:80").with_weight(Weight::new(7).unwrap()).with_upper_threshold(9);
    let after = Destination::new(before.address);
    done(client, &[Command::AddService(web), Command::AddDestination(web.key(), before)]);
    client.edit_destination(&web.key(), &after).unwrap();
    assert_eq!(client.destinations(&web.key()).unwrap(), [DestinationState::new(after)]);
}

fn destinations_are_refused_as_by_the_kernel(client: &mut Client) {
    let web = service("tcp 10.0.0.1:80");
    let (here, elsewhere) = (server("127.0.0.1:80"), server("127.0.0.2:80"));
    client.add_service(&web).unwrap();
    client.add_destination(&web.key(), &here).unwrap();
    refused(client, Command::AddDestination(web.key(), here), Errno::EEXIST);
    refused(client, Command::EditDestination(web.key(), elsewhere), Errno::ENOENT);
    refused(client, Command::DeleteDestination(web.key(), elsewhere.address), Errno::ENOENT);
    client.delete_destination(&web.key(), here.address).unwrap();
    assert_eq!(client.destinations(&web.key()).unwrap(), []);
}

fn destinations_need_a_service(client: &mut Client) {
    let (nowhere, server) = (key("tcp 10.0.0.1:80"), server("127.0.0.1:80"));
    refused(client, Command::AddDestination(nowhere, server), Errno::ESRCH);
    refused(client, Command::EditDestination(nowhere, server), Errno::ESRCH);
    refused(client, Command::DeleteDestination(nowhere, server.address), Errno::ESRCH);
    // Reading is no refusal: the kernel's dump is just empty.
    assert_eq!(client.destinations(&nowhere).unwrap(), []);
}

fn thresholds_are_checked_before_the_destination_is_looked_up(client: &mut Client) {
    let web = service("tcp 10.0.0.1:80");
    client.add_service(&web).unwrap();
    let with = |upper_threshold, lower_threshold| {
        server("127.0.0.1:80").with_upper_threshold(upper_threshold).with_lower_threshold(lower_threshold)
    };
    refused(client, Command::AddDestination(web.key(), with(5, 6)), Errno::ERANGE);
    refused(client, Command::EditDestination(web.key(), with(0, 1)), Errno::ERANGE);
    client.add_destination(&web.key(), &with(i32::MAX as u32, i32::MAX as u32)).unwrap();
}

/// Which of the two, `model.rs` compares with what was probed.
fn thresholds_of_more_than_31_bits_are_refused_for_this_or_accepted(client: &mut Client) {
    let web = service("tcp 10.0.0.1:80");
    client.add_service(&web).unwrap();
    let limited = server("127.0.0.1:80").with_upper_threshold(1 << 31);
    let add = Command::AddDestination(web.key(), limited);
    match client.execute_all([&add]).unwrap()[0] {
        Ok(()) => assert_eq!(client.destinations(&web.key()).unwrap(), [DestinationState::new(limited)]),
        Err(Refusal { errno, .. }) => {
            let cause = client.explain(&add, errno).unwrap();
            assert_eq!((errno, cause), (Errno::EINVAL, Some(Cause::UpperThreshold(1 << 31))));
        }
    }
}

fn addresses_that_are_no_hosts_are_refused(client: &mut Client) {
    let (v4, v6) = (service("tcp 10.0.0.1:80"), service("tcp [2001:db8::1]:80"));
    done(client, &[Command::AddService(v4), Command::AddService(v6)]);
    for address in ["224.0.0.1:80", "255.255.255.255:80", "0.0.0.0:80"] {
        refused(client, Command::AddDestination(v4.key(), server(address)), Errno::EINVAL);
    }
    for address in ["[ff02::1]:80", "[fe80::1]:80", "[::]:80", "[::ffff:127.0.0.1]:80"] {
        refused(client, Command::AddDestination(v6.key(), server(address)), Errno::EINVAL);
    }
    // Odd, but the kernel finds nothing wrong with them.
    client.add_destination(&v4.key(), &server("240.0.0.1:80")).unwrap();
    client.add_destination(&v4.key(), &server("0.1.2.3:80")).unwrap();
    client.add_destination(&v6.key(), &server("[::1]:80")).unwrap();
}

fn families_mix_behind_tunnels_only(client: &mut Client) {
    let (v4, v6) = (service("tcp 10.0.0.1:80"), service("mark 6 ipv6"));
    done(client, &[Command::AddService(v4), Command::AddService(v6)]);
    refused(client, Command::AddDestination(v4.key(), server("[::1]:80")), Errno::EINVAL);
    refused(client, Command::AddDestination(v6.key(), server("127.0.0.1:80")), Errno::EINVAL);
    client.add_destination(&v4.key(), &tunnel("[::1]:80")).unwrap();
    client.add_destination(&v6.key(), &tunnel("127.0.0.1:80")).unwrap();
    assert_eq!(client.destinations(&v6.key()).unwrap()[0].destination, tunnel("127.0.0.1:80"));
    refused(client, Command::StartDaemon(loopback_daemon(DaemonRole::Master)), Errno::EINVAL);
    client.delete_destination(&v4.key(), "[::1]:80".parse().unwrap()).unwrap();
}

fn families_do_not_mix_while_a_daemon_runs(client: &mut Client) {
    let web = service("tcp 10.0.0.1:80");
    client.add_service(&web).unwrap();
    client.start_daemon(&loopback_daemon(DaemonRole::Backup)).unwrap();
    refused(client, Command::AddDestination(web.key(), tunnel("[::1]:80")), Errno::EINVAL);
    client.add_destination(&web.key(), &tunnel("127.0.0.1:80")).unwrap();
}

fn daemons_start_and_stop(client: &mut Client) {
    let master = loopback_daemon(DaemonRole::Master)
        .with_sync_id(255)
        .with_max_len(1000)
        .with_group("224.0.0.99".parse::<std::net::IpAddr>().unwrap())
        .with_port(9999)
        .with_ttl(7);
    client.start_daemon(&loopback_daemon(DaemonRole::Backup)).unwrap();
    client.start_daemon(&master).unwrap();
    let running = client.daemons().unwrap();
    assert_eq!(running.len(), 2);
    assert_eq!(running[0], master);
    let backup = running[1];
    assert_eq!((backup.group, backup.port, backup.ttl), (Some("224.0.0.81".parse().unwrap()), Some(8848), Some(1)));
    client.stop_daemon(DaemonRole::Master).unwrap();
    assert_eq!(client.daemons().unwrap(), [backup]);
    client.stop_daemon(DaemonRole::Backup).unwrap();
}

fn daemons_stopped_before_they_ran_are_stopped(client: &mut Client) {
    for role in [DaemonRole::Master, DaemonRole::Backup] {
        done(client, &[Command::StartDaemon(loopback_daemon(role)), Command::StopDaemon(role)]);
        client.start_daemon(&loopback_daemon(role)).unwrap();
        client.stop_daemon(role).unwrap();
        refused(client, Command::StopDaemon(role), Errno::ESRCH);
    }
    assert_eq!(client.daemons().unwrap(), []);
}

fn daemons_are_refused_as_by_the_kernel(client: &mut Client) {
    let master = loopback_daemon(DaemonRole::Master);
    refused(client, Command::StopDaemon(DaemonRole::Master), Errno::ESRCH);
    let unicast = master.with_group("10.0.0.1".parse::<std::net::IpAddr>().unwrap());
    refused(client, Command::StartDaemon(unicast), Errno::EINVAL);
    let nowhere = Daemon::new(DaemonRole::Master, InterfaceName::new("nonesuch0").unwrap());
    refused(client, Command::StartDaemon(nowhere), Errno::ENODEV);
    client.start_daemon(&master).unwrap();
    refused(client, Command::StartDaemon(master), Errno::EEXIST);
    refused(client, Command::StopDaemon(DaemonRole::Backup), Errno::ESRCH);
}

fn the_kernel_chooses_missing_and_extreme_values_of_a_daemon(client: &mut Client) {
    use DaemonRole::{Backup, Master};
    for (role, group, asked, length) in [
        (Master, "224.0.0.5", None, 1472),
        (Master, "224.0.0.5", Some(0), 1472),
        (Master, "224.0.0.5", Some(1), 1),
        (Master, "224.0.0.5", Some(65_535), 65_507),
        (Backup, "224.0.0.5", None, 65_507),
        (Backup, "224.0.0.5", Some(1), 1024),
        (Backup, "224.0.0.5", Some(65_508), 65_507),
        (Backup, "ff02::81", None, 65_487),
        (Backup, "ff02::81", Some(65_507), 65_487),
    ] {
        let group = Some(group.parse().unwrap());
        let daemon = loopback_daemon(role).with_max_len(asked).with_group(group).with_port(0).with_ttl(0);
        client.start_daemon(&daemon).unwrap();
        let expected = daemon.with_max_len(length).with_port(8848).with_ttl(1);
        assert_eq!(client.daemons().unwrap(), [expected]);
        client.stop_daemon(role).unwrap();
    }
}

fn timeouts_change_one_by_one(client: &mut Client) {
    client.set_timeouts(Timeouts::new().with_udp(77)).unwrap();
    client.set_timeouts(Timeouts::new().with_tcp(0).with_tcp_fin(9).with_udp(0)).unwrap();
    assert_eq!(client.timeouts().unwrap(), Timeouts::new().with_tcp(900).with_tcp_fin(9).with_udp(77));
    let endless = Timeouts::new().with_tcp(u32::MAX).with_tcp_fin(1).with_udp(None);
    refused(client, Command::SetTimeouts(endless), Errno::EINVAL);
    assert_eq!(client.timeouts().unwrap().tcp_fin, Some(9));
}

fn zeroing_needs_a_service(client: &mut Client) {
    let web = service("tcp 10.0.0.1:80");
    refused(client, Command::Zero(Some(web.key())), Errno::ESRCH);
    client.zero(None).unwrap();
    client.add_service(&web).unwrap();
    client.zero(Some(&web.key())).unwrap();
}

fn flush_spares_timeouts_and_daemons(client: &mut Client) {
    done(
        client,
        &[
            Command::AddService(service("tcp 10.0.0.1:80")),
            Command::AddService(service("mark 7")),
            Command::SetTimeouts(Timeouts::new().with_tcp(5)),
            Command::StartDaemon(loopback_daemon(DaemonRole::Backup)),
        ],
    );
    client.flush().unwrap();
    client.flush().unwrap(); // an empty table is no reason to refuse
    assert_eq!(client.services().unwrap(), []);
    assert_eq!(client.timeouts().unwrap().tcp, Some(5));
    assert_eq!(client.daemons().unwrap().len(), 1);
}

fn outcomes_come_in_the_order_of_the_commands(client: &mut Client) {
    let add = |n: u32| Command::AddService(service(&format!("mark {n}")));
    let commands = [add(1), add(2), add(2), add(3), Command::DeleteService(key("mark 9")), Command::Flush];
    let outcomes = client.execute_all(&commands).unwrap();
    let errnos: Vec<_> = outcomes.iter().map(|outcome| outcome.err().map(|refusal| refusal.errno)).collect();
    assert_eq!(errnos, [None, None, Some(Errno::EEXIST), None, Some(Errno::ESRCH), None]);
}

fn more_commands_than_any_window_holds(client: &mut Client) {
    // The worst case for the receive buffer: all but the first are refused, each with a reply.
    let add = Command::AddService(service("mark 1"));
    let outcomes = client.execute_all(std::iter::repeat_n(&add, 5000)).unwrap();
    assert_eq!(outcomes.len(), 5000);
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes[0].is_ok());
}

fn many_destinations_are_all_read(client: &mut Client) {
    let web = service("tcp 10.0.0.1:80");
    client.add_service(&web).unwrap();
    let servers: Vec<_> = (0..1000u32)
        .map(|n| server(&format!("127.0.{}.{}:80", n / 250, n % 250 + 1)).with_weight(Weight::new(n).unwrap()))
        .collect();
    let commands: Vec<_> = servers.iter().map(|server| Command::AddDestination(web.key(), *server)).collect();
    done(client, &commands);
    let read: Vec<_> =
        client.destinations(&web.key()).unwrap().into_iter().rev().map(|state| state.destination).collect();
    assert_eq!(read, servers);
}

fn readings_without_statistics_differ_only_in_them(client: &mut Client) {
    let limited = server("127.0.0.2:81").with_upper_threshold(9).with_lower_threshold(4);
    let services = [
        ("tcp 10.0.0.1:80", vec![server("127.0.0.1:80"), limited, Destination::new("127.0.0.3:80".parse().unwrap())]),
        ("mark 7", vec![server("127.0.0.1:0").with_weight(Weight::ZERO)]),
        ("udp 10.0.0.1:53", vec![]),
        ("tcp 10.0.0.2:80", vec![server("127.0.0.1:80"), tunnel("127.0.0.2:80")]),
        ("tcp 10.0.0.3:80", vec![server("127.0.0.1:80"), tunnel("[2001:db8::2]:80")]),
        ("sctp [2001:db8::1]:80", vec![server("[2001:db8::2]:80")]),
        ("mark 7 ipv6", vec![server("[2001:db8::2]:0"), tunnel("127.0.0.1:0")]),
    ];
    for (text, servers) in &services {
        client.add_service(&service(text)).unwrap();
        let commands: Vec<_> = servers.iter().map(|server| Command::AddDestination(key(text), *server)).collect();
        done(client, &commands);
    }
    for (text, servers) in &services {
        let mut whole = client.destinations(&key(text)).unwrap();
        assert_eq!(whole.len(), servers.len(), "{text}");
        whole.iter_mut().for_each(|state| assert!(state.statistics.take().is_some()));
        assert_eq!(client.destinations_without_statistics(&key(text)).unwrap(), whole, "{text}");
    }
    assert_eq!(client.destinations_without_statistics(&key("mark 8")).unwrap(), []);
    let mut services = client.services().unwrap();
    services.iter_mut().for_each(|state| assert!(state.statistics.take().is_some()));
    assert_eq!(client.services_without_statistics().unwrap(), services);
    assert_eq!(client.table_without_statistics().unwrap(), client.table().unwrap());
}

fn a_client_goes_on_after_a_refusal(client: &mut Client) {
    refused(client, Command::DeleteService(key("mark 1")), Errno::ESRCH);
    {
        let mut pipeline = client.pipeline();
        pipeline.push(&Command::DeleteService(key("mark 1"))).unwrap();
        // Dropped unsent: the next call must not be confused by it.
    }
    client.add_service(&service("mark 1")).unwrap();
    assert_eq!(client.services().unwrap().len(), 1);
}

fn a_table_that_is_read_is_the_table_that_was_written(client: &mut Client) {
    let mut expected = Table::new();
    let commands = [
        Command::AddService(service("tcp 10.0.0.1:80").with_persistence(Persistence::default())),
        Command::AddService(service("mark 5")),
        Command::AddDestination(key("mark 5"), server("127.0.0.1:0")),
        Command::AddDestination(key("mark 5"), server("127.0.0.2:0")),
        Command::EditDestination(key("mark 5"), server("127.0.0.1:0").with_weight(Weight::ZERO)),
        Command::SetTimeouts(Timeouts::new().with_tcp_fin(33)),
    ];
    for command in &commands {
        expected.apply(command).unwrap();
    }
    done(client, &commands);
    let read = client.table().unwrap();
    assert_eq!(read.services().len(), expected.services().len());
    for entry in expected.services() {
        assert_eq!(read.service(&entry.service().key()), Some(entry));
    }
    assert_eq!((read.timeouts(), read.daemons()), (expected.timeouts(), expected.daemons()));
}

fn a_director_is_reconciled(client: &mut Client) {
    let mut desired = client.table_without_statistics().unwrap();
    for n in 1..=200 {
        let web = key(&format!("tcp 10.0.0.{n}:80"));
        desired.apply(&Command::AddService(service(&web.to_string()))).unwrap();
        desired.apply(&Command::AddDestination(web, server("127.0.0.1:80"))).unwrap();
    }
    let planner = Planner::new();
    assert_eq!(client.reconcile(&desired, &planner).unwrap().commands.len(), 400);
    assert_eq!(client.reconcile(&desired, &planner).unwrap().commands.len(), 0);
    desired.apply(&Command::DeleteService(key("tcp 10.0.0.7:80"))).unwrap();
    assert_eq!(client.reconcile(&desired, &planner).unwrap().commands.len(), 1);
}
