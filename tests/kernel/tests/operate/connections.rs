//! `conns --save`, `--load`, `--kill` and `--move-to` on a real kernel, and what becomes of its
//! sync daemons.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ipvs::proc::{Connection, Connections};
use ipvs::sync::{Datagram, Entry, Sender};
use ipvs::{Client, Daemon, DaemonRole, Destination, Forwarding, InterfaceName, ServiceKey, Tunnel};
use kernel_tests::{connection_table, on_the_fastest_kernel};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::world::{Done, World, calls, ipvs_cli, run, scratch, start};

/// A director whose services take what [`table`] has.
pub(super) fn director() -> World {
    let mut world = World::new();
    connection_table::configure(&mut world.client).unwrap();
    world
}

/// This number of entries of each kind, as a file of `--save` has them.
pub(super) fn table(count: u32) -> Vec<String> {
    (0..count).map(|number| connection_table::line(number, 1000 + number % 500)).collect()
}

/// A file of `--save`, saved some seconds ago in another boot.
pub(super) fn file(lines: &[String], age: u64) -> String {
    let mut text = Vec::new();
    connection_table::write(&mut text, lines.iter().cloned(), age).unwrap();
    String::from_utf8(text).unwrap()
}

pub(super) fn parse(line: &str) -> Connection {
    Connections::new(line.as_bytes()).next().unwrap().unwrap()
}

/// Each entry without its time, and that.
pub(super) fn entries(all: impl Iterator<Item = Connection>) -> BTreeMap<String, u32> {
    all.map(|Connection { client, target, destination, state, expires, engine, .. }| {
        (format!("{client} {target} {destination} {state} {engine:?}"), expires)
    })
    .collect()
}

pub(super) fn shown() -> BTreeMap<String, u32> {
    entries(Connections::open().unwrap().map(Result::unwrap))
}

/// Are these the same entries, with times that are at most this number of seconds less?
#[track_caller]
pub(super) fn assert_same(shown: &BTreeMap<String, u32>, expected: &BTreeMap<String, u32>, seconds: u32) {
    let missing: Vec<_> = expected.keys().filter(|entry| !shown.contains_key(*entry)).take(5).collect();
    let more: Vec<_> = shown.keys().filter(|entry| !expected.contains_key(*entry)).take(5).collect();
    assert!(missing.is_empty() && more.is_empty(), "missing: {missing:#?}, more: {more:#?}");
    for (entry, expires) in expected {
        let shown = shown[entry];
        assert!(shown <= *expires && shown + seconds >= *expires, "{entry}: {shown} s of {expires} s");
    }
}

fn daemons(client: &mut Client) -> Vec<Daemon> {
    client.daemons().unwrap()
}

/// As a director has them that receives from another one.
pub(super) fn some_daemons(world: &mut World) -> Vec<Daemon> {
    for (role, sync_id) in [(DaemonRole::Master, 3), (DaemonRole::Backup, 5)] {
        let daemon = Daemon::new(role, InterfaceName::LOOPBACK).with_sync_id(sync_id).with_max_len(1400).with_ttl(2);
        world.client.start_daemon(&daemon).unwrap();
    }
    daemons(&mut world.client)
}

/// No note, and no daemon but these.
#[track_caller]
pub(super) fn assert_daemons(world: &mut World, expected: &[Daemon]) {
    assert_eq!(daemons(&mut world.client), expected);
    let number = std::os::unix::fs::MetadataExt::ino(&fs::metadata("/proc/thread-self/ns/net").unwrap());
    let note = format!("/run/ipvs-cli/{number}.daemon");
    assert!(!fs::exists(&note).unwrap(), "{note}");
}

/// `CONNS_ENTRIES` makes the table larger.
#[test]
fn what_was_saved_comes_back_as_it_was() {
    let mut world = director();
    let count = std::env::var("CONNS_ENTRIES").map_or(20_000, |text| text.parse().unwrap());
    let lines = table(count);
    let before = some_daemons(&mut world);
    let path = scratch("saved");
    fs::write(&path, file(&lines, 100)).unwrap();
    let started = Instant::now();
    let done = run(&format!("conns --load {path}"), "");
    println!("{count} entries loaded in {} ms", started.elapsed().as_millis());
    let expected = entries(lines.iter().map(|line| {
        let mut connection = parse(line);
        connection.expires -= 100;
        connection
    }));
    let templates = lines.iter().filter(|line| parse(line).is_template()).count();
    let connections = expected.len() - templates;
    let summary = format!(
        "loaded {connections} connections and {templates} templates; 0 were there, 0 with another real server; 0 have \
         expired; 0 not loaded\n"
    );
    assert_eq!(done, Done { status: 0, stdout: summary, stderr: String::new() });
    assert_same(&shown(), &expected, u32::try_from(started.elapsed().as_secs()).unwrap() + 2);
    assert_daemons(&mut world, &before);
    // Saved and loaded again, nothing is to be done.
    let again = scratch("again");
    let done = run(&format!("conns --save {again}"), "");
    assert_eq!((done.status, done.stdout), (0, format!("saved {count} entries to {again}\n")));
    let done = run("conns --load -", &fs::read_to_string(&again).unwrap());
    let summary = format!(
        "loaded 0 connections and 0 templates; {count} were there, 0 with another real server; 0 have expired; 0 not \
         loaded\n"
    );
    assert_eq!(done, Done { status: 0, stdout: summary, stderr: String::new() });
    fs::remove_file(path).unwrap();
    fs::remove_file(again).unwrap();
}

/// Of which each is there for a second or two: what `cat` shows lacks some of the others now and
/// then.
fn come_and_go(is_over: &AtomicBool) {
    let daemon = Daemon::new(DaemonRole::Backup, InterfaceName::LOOPBACK);
    let sender = Sender::open(&daemon).unwrap();
    for number in (0..u32::MAX).step_by(20).take_while(|_| !is_over.load(Ordering::Relaxed)) {
        let mut datagram = Datagram::new(5, 1472);
        for number in number..number + 20 {
            let line = format!(
                "TCP {:08X} 9C40 C0000201 0050 7F000001 0050 CLOSE {}",
                0x0B00_0000 + number % 0x10_0000,
                1 + number % 3
            );
            assert!(datagram.push(&Entry::try_from(&parse(&line)).unwrap()).unwrap());
        }
        sender.send(&datagram).unwrap();
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_is_there_is_saved_while_other_entries_come_and_go() {
    let mut world = director();
    let lines = table(3000);
    assert_eq!(run("conns --load -", &file(&lines, 0)).status, 0);
    let staying = entries(lines.iter().map(|line| parse(line)));
    world.client.start_daemon(&Daemon::new(DaemonRole::Backup, InterfaceName::LOOPBACK)).unwrap();
    let is_over = AtomicBool::new(false);
    let saved: Vec<_> = thread::scope(|scope| {
        scope.spawn(|| come_and_go(&is_over));
        thread::sleep(Duration::from_secs(3));
        let saved = (0..10).map(|_| run("conns --save -", "")).collect();
        is_over.store(true, Ordering::Relaxed);
        saved
    });
    for done in saved {
        assert_eq!((done.status, &*done.stderr), (0, ""));
        let lines =
            done.stdout.lines().filter(|line| !line.starts_with("ipvs-connections ") && !line.starts_with("end "));
        let saved = entries(lines.map(parse));
        let missing: Vec<_> = staying.keys().filter(|entry| !saved.contains_key(*entry)).collect();
        assert!(missing.is_empty(), "{missing:#?}");
    }
}

#[test]
fn what_has_no_real_server_or_expired_or_is_unknown_is_reported_and_not_loaded() {
    let mut world = director();
    let there = "UDP CB007101 9C40 C0000201 0035 7F000002 0035 UDP             299";
    assert_eq!(run("conns --load -", &file(&[there.into()], 0)).status, 0);
    let lines = [
        "TCP CB007101 9C40 C0000201 0050 7F000001 0050 ESTABLISHED     899",
        "TCP CB007102 9C40 C0000201 0050 7F000009 0050 ESTABLISHED     899",
        "TCP CB007103 9C40 C0000205 0050 7F000001 0050 ESTABLISHED     899",
        "TCP CB007104 9C40 C0000201 0050 7F000001 0050 TIME_WAIT        99",
        "TCP CB007105 9C40 C0000201 0050 7F000001 0050 DREAMING        899",
        "IP_51 CB007106 9C40 C0000201 0050 7F000001 0050 NONE            899",
        "UDP CB007101 9C40 C0000201 0035 7F000001 0035 UDP             299",
    ]
    .map(String::from);
    let done = run("conns --load -", &file(&lines, 100));
    let stderr = "\
ipvs-cli: not loaded: 1 of: protocol 51 has no state NONE that could be synchronised
ipvs-cli: not loaded: 1 of: protocol tcp has no state DREAMING that could be synchronised
ipvs-cli: not loaded: 1 of: tcp 192.0.2.1:80 has no real server 127.0.0.9:80
ipvs-cli: not loaded: 1 of: the director has no service tcp 192.0.2.5:80
ipvs-cli: add these services and real servers first; --unbound loads the entries without them, and the kernel forwards them by NAT
";
    let summary =
        "loaded 1 connection and 0 templates; 0 were there, 1 with another real server; 1 have expired; 4 not loaded\n";
    assert_eq!(done, Done { status: 1, stdout: summary.into(), stderr: stderr.into() });
    // What the table had stays: the client is with another real server by now.
    let expected = entries([there, &lines[0]].map(parse).into_iter());
    assert_same(&shown(), &expected, 130);
    let done = run("conns --load - --unbound --client 203.0.113.2", &file(&lines, 100));
    assert_eq!(done.status, 0, "{done:?}");
    assert_eq!(shown().len(), 3);
    assert_daemons(&mut world, &[]);
}

#[test]
fn a_wrong_file_starts_no_daemon() {
    let mut world = director();
    let before = some_daemons(&mut world);
    let good = file(&table(20), 0);
    for (text, expected) in [
        ("", "no file of `ipvs-cli conns --save`"),
        ("ipvs-connections 2 time=1\n", "the file has version 2"),
        (good.split_once('\n').unwrap().1, "no file of `ipvs-cli conns --save`"),
    ] {
        let done = run("conns --load -", text);
        assert!(done.status == 1 && done.stdout.is_empty() && done.stderr.contains(expected), "{done:?}");
    }
    assert_eq!(shown().len(), 0);
    // What can be read of a damaged one is loaded.
    let done = run("conns --load -", &good[..good.len() / 2]);
    assert!(done.status == 1 && done.stderr.contains("the file is cut off after entry"), "{done:?}");
    assert!((5..15).contains(&shown().len()));
    assert_daemons(&mut world, &before);
}

#[test]
fn where_no_daemon_can_run_nothing_is_changed_and_it_is_said_why() {
    let mut world = director();
    let text = file(&table(20), 0);
    let refused = |expected: &str| {
        let done = run("conns --load -", &text);
        assert!(done.status != 0 && done.stderr.contains(expected), "{done:?}");
        assert!(done.stdout.ends_with("; 20 not loaded\n"), "{done:?}");
        assert_eq!(shown().len(), 0);
    };
    fs::write("/proc/sys/net/ipv4/vs/backup_only", "1").unwrap();
    refused("). While no backup sync daemon runs, it has no effect: set it to 0 for this command");
    let backup = Daemon::new(DaemonRole::Backup, InterfaceName::LOOPBACK).with_sync_id(5);
    world.client.start_daemon(&backup).unwrap();
    refused("): with 0 it would schedule again what another director sends to it");
    world.client.stop_daemon(DaemonRole::Backup).unwrap();
    assert!(!run("conns --load -", &text).stderr.contains("sysctl"));
    world.client.flush().unwrap();
    assert!(
        run("conns --load - --unbound", &text).stderr.contains("None of the real servers is this machine: `sysctl")
    );
    connection_table::configure(&mut world.client).unwrap();
    fs::write("/proc/sys/net/ipv4/vs/backup_only", "0").unwrap();
    let key: ServiceKey = "tcp 192.0.2.1:80".parse().unwrap();
    let other = Destination::new("[::1]:80".parse().unwrap()).with_forwarding(Forwarding::Tunnel(Tunnel::Ipip));
    world.client.add_destination(&key, &other).unwrap();
    refused("while tcp 192.0.2.1:80 has the real server [::1]:80 of the other address family");
    world.client.delete_destination(&key, other.address).unwrap();
    assert!(Command::new("ip").args(["link", "set", "lo", "down"]).status().unwrap().success());
    refused("`ip link set lo up` brings it up");
    assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
    if on_the_fastest_kernel() {
        tool("tc", "qdisc add dev lo clsact");
        tool("tc", "filter add dev lo ingress protocol ip matchall action drop");
        refused("what is sent does not arrive; nothing was changed. The firewall must accept UDP");
        tool("tc", "qdisc delete dev lo clsact");
    }
    assert_daemons(&mut world, &[]);
    assert_eq!(run("conns --load -", &text).status, 0);
    assert_daemons(&mut world, &[]);
}

#[test]
fn the_daemons_are_as_they_were_whatever_signal_came() {
    let mut world = director();
    let text = file(&table(3000), 0);
    let before = some_daemons(&mut world);
    let all = calls(&world, "sendto", "conns --load -", &text);
    assert!(all > 20, "{all}");
    for at in (1..=all).step_by(5) {
        for (signal, status) in [("SIGTERM", 128 + 15), ("SIGKILL", 128 + 9)] {
            run("conns --kill --all", "");
            let done = world.injecting(&format!("sendto:signal={signal}:when={at}"), "conns --load -", &text);
            if signal == "SIGKILL" {
                assert_eq!(done.status, status, "{at}: {done:?}");
                // The next one that changes something finds it.
                let next = run("weight tcp:192.0.2.1:80 127.0.0.1 1", "");
                assert_eq!(next.status, 0, "{next:?}");
            } else {
                assert!([0, status].contains(&done.status), "{at}: {done:?}");
            }
            assert_daemons(&mut world, &before);
        }
    }
}

#[test]
fn the_time_that_it_takes_to_send_is_taken_off_the_timers() {
    let mut world = director();
    let lines = table(6000);
    let text = file(&lines, 0);
    let started = Instant::now();
    let sent = datagrams("conns --load -", &text);
    let half = sent[sent.len() / 2];
    assert_eq!(run("conns --kill --all", "").status, 0);
    let done = stopped_at(half, "conns --load -", &text, || thread::sleep(Duration::from_secs(6)));
    assert_eq!(done.status, 0, "{done:?}");
    let passed = u32::try_from(started.elapsed().as_secs()).unwrap();
    let shown = shown();
    assert_eq!(shown.len(), lines.len());
    let expected = entries(lines.iter().map(|line| parse(line)));
    let late = |(entry, whole): (&String, &u32)| shown[entry] + passed > whole + 3;
    let late = expected.iter().filter(|entry| late(*entry)).count();
    // What was in the datagram, or about to be.
    assert!(late < 512, "{late}");
    assert_daemons(&mut world, &[]);
}

#[test]
fn a_backup_daemon_that_another_program_starts_meanwhile_stays() {
    let mut world = director();
    let text = file(&table(20), 0);
    let daemon = Daemon::new(DaemonRole::Backup, InterfaceName::LOOPBACK).with_sync_id(5);
    let all = calls(&world, "sendto", "conns --load -", &text);
    // Stopped at each point, while another program starts its own.
    let (mut started, mut loaded) = (0, 0);
    for at in (1..=all).step_by(3) {
        let mut is_started = false;
        let done = stopped_at(at, "conns --load -", &text, || {
            is_started = world.client.start_daemon(&daemon).is_ok();
        });
        started += usize::from(is_started);
        loaded += usize::from(done.status == 0);
        let expected = if is_started { 1 } else { 0 };
        assert_eq!(daemons(&mut world.client).len(), expected, "{at}: {done:?}");
        if is_started {
            assert_eq!(daemons(&mut world.client)[0].sync_id, 5, "{at}: {done:?}");
            world.client.stop_daemon(DaemonRole::Backup).unwrap();
        }
    }
    assert!(started > 2 && loaded > 2, "{started} {loaded}");
}

/// Runs the program, and does this while it is stopped before its system call `sendto` of this
/// number.
fn stopped_at(at: usize, arguments: &str, input: &str, meanwhile: impl FnOnce()) -> Done {
    let mut command = super::world::strace(&[&format!("inject=sendto:signal=SIGSTOP:when={at}")], "/dev/null");
    command.arg(super::world::program()).args(arguments.split(' '));
    let mut child = start(command, input);
    // It may have ended, if it had less to send this time.
    (0..100).take_while(|_| !is_stopped_for_good()).for_each(|_| thread::sleep(Duration::from_millis(20)));
    meanwhile();
    while child.try_wait().unwrap().is_none() {
        for pid in stopped() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGCONT);
        }
        thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap().into()
}

/// Which of its system calls `sendto` send datagrams to a sync daemon.
fn datagrams(arguments: &str, input: &str) -> Vec<usize> {
    let log = scratch("datagrams");
    let mut command = super::world::strace(&["trace=sendto"], &log);
    command.arg(super::world::program()).args(arguments.split(' '));
    start(command, input).wait_with_output().unwrap();
    let text = fs::read_to_string(&log).unwrap();
    fs::remove_file(&log).unwrap();
    let own = text.split(' ').next().unwrap().to_owned();
    let calls = text.lines().filter(|line| line.starts_with(&own) && line.contains("sendto("));
    // strace shows messages of netlink as structures.
    let is_datagram = |line: &str| line.split_once(", ").is_some_and(|(_, rest)| rest.starts_with('"'));
    (1..).zip(calls).filter(|(_, line)| is_datagram(line)).map(|(number, _)| number).collect()
}

/// The processes of the program that are stopped, by a signal or by strace between two system
/// calls.
fn stopped() -> Vec<i32> {
    let stats =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    let stopped = stats.filter_map(|stat| {
        let (head, rest) = stat.rsplit_once(") ")?;
        let is_stopped = head.ends_with("(ipvs-cli") && rest.starts_with(['T', 't']);
        is_stopped.then(|| head.split(' ').next()?.parse().ok()).flatten()
    });
    stopped.collect()
}

fn is_stopped_for_good() -> bool {
    (0..10).all(|_| {
        thread::sleep(Duration::from_millis(5));
        !stopped().is_empty()
    })
}

#[test]
fn exactly_the_chosen_entries_end() {
    let mut world = director();
    let before = some_daemons(&mut world);
    // To show a table takes Linux before 7 the longer the larger it is.
    let usual = if on_the_fastest_kernel() { 100_000 } else { 10_000 };
    let lines = table(std::env::var("CONNS_ENTRIES").map_or(usual, |text| text.parse().unwrap()));
    let started = Instant::now();
    assert_eq!(run("conns --load -", &file(&lines, 0)).status, 0);
    let of_server = |line: &&String| parse(line).destination.ip() == std::net::Ipv4Addr::new(127, 0, 0, 2);
    let chosen = lines.iter().filter(of_server).count();
    let templates = lines.iter().filter(of_server).filter(|line| parse(line).is_template()).count();
    let words = format!("{} connections and {templates} templates", chosen - templates);
    let done = run("conns --kill --server 127.0.0.2 --dry-run", "");
    assert_eq!(done, Done { status: 0, stdout: format!("would end {words}\n"), stderr: String::new() });
    assert_eq!(shown().len(), lines.len());
    let done = run("conns --kill --server 127.0.0.2", "");
    assert_eq!(done, Done { status: 0, stdout: format!("ended {words}\n"), stderr: String::new() });
    thread::sleep(Duration::from_secs(2));
    let kept = entries(lines.iter().filter(|line| !of_server(line)).map(|line| parse(line)));
    let shown_then = shown();
    assert_same(&shown_then, &kept, u32::try_from(started.elapsed().as_secs()).unwrap() + 2);
    let done = run("conns --kill --templates --service mark:7", "");
    let marks = lines.iter().filter(|line| line.starts_with("IP ")).count();
    assert_eq!(done.stdout, format!("ended 0 connections and {marks} templates\n"), "{done:?}");
    assert_daemons(&mut world, &before);
    let done = run("conns --kill", "");
    assert!(done.status == 2 && done.stderr.contains("needs a filter"), "{done:?}");
}

#[test]
fn flows_of_udp_move_to_another_real_server_of_their_service() {
    let mut world = director();
    let lines = table(1000);
    assert_eq!(run("conns --load -", &file(&lines, 0)).status, 0);
    let moved = lines.iter().map(|line| parse(line)).map(|mut entry| {
        if entry.target.to_string() == "udp 192.0.2.1:53" && !entry.is_template() {
            entry.destination = "127.0.0.2:53".parse().unwrap();
        }
        entry
    });
    let expected = entries(moved);
    let done = run("conns --move-to 127.0.0.2 --server 127.0.0.1", "");
    let count = lines
        .iter()
        .filter(|line| line.starts_with("UDP") && line.contains(" 0035 7F000001") && !line.contains(" 0000 "))
        .count();
    assert_eq!(
        done,
        Done { status: 0, stdout: format!("moved {count} connections and 0 templates\n"), stderr: String::new() }
    );
    assert_same(&shown(), &expected, 600);
    let state = world.client.destinations(&"udp 192.0.2.1:53".parse().unwrap()).unwrap();
    let counts: Vec<_> =
        state.iter().map(|state| (state.destination.address.to_string(), state.active_connections)).collect();
    assert!(counts.iter().all(|(_, active)| *active == 0), "UDP counts as inactive: {counts:?}");
    let done = run("conns --move-to 127.0.0.77 --service udp:192.0.2.1:53", "");
    assert!(done.status == 1 && done.stderr.contains("udp 192.0.2.1:53 has no real server 127.0.0.77:53"), "{done:?}");
    assert_same(&shown(), &expected, 600);
    assert_daemons(&mut world, &[]);
}

fn tool(program: &str, arguments: &str) -> String {
    let output = Command::new(program).args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_is_lost_on_the_way_is_sent_again() {
    if !on_the_fastest_kernel() {
        return;
    }
    let mut world = director();
    let lines = table(20_000);
    let before = some_daemons(&mut world);
    tool("tc", "qdisc add dev lo clsact");
    tool("tc", "filter add dev lo ingress protocol ip matchall action pass random determ drop 10");
    let dropped = || {
        let shown = tool("tc", "-s filter show dev lo ingress");
        let (_, rest) = shown.split_once("(dropped ").unwrap();
        rest.split(',').next().unwrap().parse::<usize>().unwrap()
    };
    let started = Instant::now();
    let done = run("conns --load -", &file(&lines, 0));
    assert!(done.status == 0 && done.stdout.ends_with(" have expired; 0 not loaded\n"), "{done:?}");
    let of_load = dropped();
    assert!(of_load > 3, "{of_load}");
    let expected = entries(lines.iter().map(|line| parse(line)));
    assert_same(&shown(), &expected, u32::try_from(started.elapsed().as_secs()).unwrap() + 2);
    let done = run("conns --kill --server 127.0.0.2", "");
    assert_eq!((done.status, &*done.stderr), (0, ""), "{done:?}");
    assert!(dropped() > of_load);
    let kept = lines.iter().map(|line| parse(line)).filter(|entry| entry.destination.ip().to_string() != "127.0.0.2");
    assert_same(&shown(), &entries(kept), 600);
    assert_daemons(&mut world, &before);
}

/// A datagram is larger than the kernel's smallest buffer.
#[test]
fn the_smallest_receive_buffer_is_large_enough() {
    let mut world = director();
    fs::write("/proc/sys/net/ipv4/vs/sync_sock_size", "1").unwrap();
    let lines = table(20_000);
    let done = run("conns --load -", &file(&lines, 0));
    assert_eq!((done.status, &*done.stderr), (0, ""), "{done:?}");
    assert_same(&shown(), &entries(lines.iter().map(|line| parse(line))), 600);
    assert_daemons(&mut world, &[]);
}

#[test]
fn a_loopback_that_goes_down_midway_is_reported() {
    if !on_the_fastest_kernel() {
        return;
    }
    let mut world = director();
    let before = some_daemons(&mut world);
    let text = file(&table(3000), 0);
    let datagrams = datagrams("conns --load -", &text);
    run("conns --kill --all", "");
    // The first one, which has no entries, shows whether the loopback is up.
    let at = datagrams[datagrams.len() / 2];
    let done = stopped_at(at, "conns --load -", &text, || _ = tool("ip", "link set lo down"));
    assert!(done.status == 1 && done.stderr.contains("ipvs-cli: the loopback interface: "), "{done:?}");
    tool("ip", "link set lo up");
    assert_daemons(&mut world, &before);
    let done = run("conns --load -", &text);
    assert_eq!((done.status, shown().len()), (0, 3000), "{done:?}");
}

#[test]
fn without_rights_nothing_is_changed_and_it_is_said_why() {
    if !on_the_fastest_kernel() {
        return;
    }
    let mut world = director();
    let before = some_daemons(&mut world);
    let text = file(&table(200), 0);
    assert_eq!(run("conns --load - --protocol udp", &text).status, 0);
    let table = shown();
    let without: [&[&str]; 3] = [
        &["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"],
        &["setpriv", "--reuid", "65534", "--clear-groups"],
        &["unshare", "-U", "-r"],
    ];
    let lines = [
        "conns --load -",
        "conns --kill --all",
        "conns --move-to 127.0.0.2 --all",
        "drain udp:192.0.2.1:53 127.0.0.1 --kill-after 0",
    ];
    for (who, line) in without.iter().flat_map(|who| lines.map(|line| (who, line))) {
        let mut command = Command::new(who[0]);
        command.args(&who[1..]).arg(super::world::program()).args(line.split(' '));
        let done: Done = start(command, &text).wait_with_output().unwrap().into();
        let said = "Permission denied (you must be root)";
        assert!(done.status == 2 && done.stderr.contains(said), "{who:?} {line}: {done:?}");
        assert!(done.stdout.is_empty(), "{who:?} {line}: {done:?}");
    }
    assert_same(&shown(), &table, 600);
    assert_daemons(&mut world, &before);
}

#[test]
fn the_daemons_are_as_they_were_wherever_it_is_killed_while_it_ends_and_moves() {
    if !on_the_fastest_kernel() {
        return;
    }
    let mut world = director();
    let text = file(&table(20), 0);
    let before = some_daemons(&mut world);
    let load = || assert_eq!(run("conns --load -", &text).status, 0);
    for line in ["conns --kill --all", "conns --move-to 127.0.0.2 --all"] {
        load();
        let all = calls(&world, "sendto", line, "");
        assert!(all > 5, "{line}: {all}");
        for at in (1..=all).step_by(2) {
            load();
            let done = world.injecting(&format!("sendto:signal=SIGKILL:when={at}"), line, "");
            assert!([0, 128 + 9].contains(&done.status), "{line}: {at}: {done:?}");
            assert_eq!(run("weight tcp:192.0.2.1:80 127.0.0.1 1", "").status, 0);
            assert_daemons(&mut world, &before);
        }
    }
}

/// `conns --kill`, stopped while its backup daemon runs, and its guard.
fn while_its_daemon_runs(world: &mut World, before: &[Daemon]) -> (std::process::Child, Pid) {
    for _ in 0..5 {
        let child = start(ipvs_cli("conns --kill --server 127.0.0.1"), "");
        let pid = Pid::from_raw(child.id().cast_signed());
        let is_as_before = |world: &mut World| daemons(&mut world.client).iter().all(|daemon| before.contains(daemon));
        let is_running = || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        while is_running() && is_as_before(world) {
            thread::sleep(Duration::from_millis(5));
        }
        kill(pid, Signal::SIGSTOP).unwrap();
        if let Some(guard) = guard_of(pid).filter(|_| !is_as_before(world)) {
            return (child, guard);
        }
        // It was faster.
        let _ = kill(pid, Signal::SIGCONT);
        child.wait_with_output().unwrap();
        let text = file(&table(100), 0);
        assert_eq!(run("conns --load -", &text).status, 0);
    }
    panic!("its daemon was never seen");
}

fn guard_of(parent: Pid) -> Option<Pid> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().into_string().ok()?.parse::<i32>().ok());
    let is_guard = |pid: &i32| {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        read("cmdline").contains("--guard") && read("status").contains(&format!("PPid:\t{parent}\n"))
    };
    pids.into_iter().find(is_guard).map(Pid::from_raw)
}

#[test]
fn a_killed_one_is_put_right_by_its_guard_or_by_the_next() {
    let mut world = director();
    let before = some_daemons(&mut world);
    let text = file(&table(100), 0);
    assert_eq!(run("conns --load -", &text).status, 0);
    let (mut child, _) = while_its_daemon_runs(&mut world, &before);
    child.kill().unwrap();
    child.wait().unwrap();
    let number = std::os::unix::fs::MetadataExt::ino(&fs::metadata("/proc/thread-self/ns/net").unwrap());
    let note = format!("/run/ipvs-cli/{number}.daemon");
    (0..1000).take_while(|_| fs::exists(&note).unwrap()).for_each(|_| thread::sleep(Duration::from_millis(20)));
    assert_daemons(&mut world, &before);

    assert_eq!(run("conns --load -", &text).status, 0);
    let (mut child, guard) = while_its_daemon_runs(&mut world, &before);
    kill(guard, Signal::SIGKILL).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(fs::exists(&note).unwrap());
    assert_ne!(daemons(&mut world.client), before, "nobody was left who could");
    let done = run("weight tcp:192.0.2.1:80 127.0.0.1 1", "");
    let said = "ipvs-cli: an earlier ipvs-cli was killed while its backup sync daemon ran: it is stopped, and that of lo \
                runs again\n";
    assert_eq!((done.status, &*done.stderr), (0, said), "{done:?}");
    assert_daemons(&mut world, &before);
}
