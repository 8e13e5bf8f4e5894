//! `conns --save`, `--load`, `--kill` and `--move-to` on a real kernel, and what becomes of its
//! sync daemons.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ipvs::proc::{Connection, Connections};
use ipvs::{
    Client, Daemon, DaemonRole, Destination, Forwarding, InterfaceName, Persistence, PersistenceEngine, Scheduler,
    Service, ServiceKey, Tunnel,
};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::world::{Done, World, calls, run, scratch};

/// A director whose services take what [`table`] has.
pub(super) fn director() -> World {
    let mut world = World::new();
    for (key, servers) in [
        ("tcp 192.0.2.1:80", ["127.0.0.1:80", "127.0.0.2:80"]),
        ("udp 192.0.2.1:53", ["127.0.0.1:53", "127.0.0.2:53"]),
        ("udp 192.0.2.1:5060", ["127.0.0.1:5060", "127.0.0.2:5060"]),
        ("sctp 192.0.2.1:2904", ["127.0.0.1:2904", "127.0.0.2:2904"]),
        ("tcp [2001:db8::1]:443", ["[::1]:443", "[2001:db8::12]:443"]),
        ("mark 7", ["127.0.0.3:0", "127.0.0.4:0"]),
    ] {
        let key: ServiceKey = key.parse().unwrap();
        let mut service =
            Service::new(key).with_scheduler(Scheduler::RR).with_persistence(Persistence::new(600).unwrap());
        if key.to_string().ends_with(":5060") {
            service = service.with_engine(PersistenceEngine::SIP);
        }
        world.client.add_service(&service).unwrap();
        for server in servers {
            // The kernel takes no foreign address of IPv6 without a route to it.
            let server = Destination::new(server.parse().unwrap()).with_forwarding(Forwarding::Masquerade);
            world.client.add_destination(&key, &server).unwrap();
        }
    }
    world
}

/// This number of entries of each kind, as a file of `--save` has them.
pub(super) fn table(count: u32) -> Vec<String> {
    const STATES: [&str; 4] = ["ESTABLISHED", "TIME_WAIT", "FIN_WAIT", "SYN_RECV"];
    let mut lines = Vec::new();
    for number in 0..count {
        let (client, port) = (0x0A01_0000 + number / 100, 1024 + number % 100 * 7);
        let (server, expires) = (1 + number % 2, 1000 + number % 500);
        let state = STATES[number as usize / 3 % 4];
        lines.push(match number % 10 {
            0 => format!("UDP {client:08X} {port:04X} C0000201 0035 7F00000{server} 0035 UDP         {expires:7}"),
            1 => format!("UDP {client:08X} 0000 C0000201 13C4 7F00000{server} 13C4 NONE        {expires:7} sip {number}@example.net"),
            2 => format!("SCTP {client:08X} {port:04X} C0000201 0B58 7F00000{server} 0B58 ESTABLISHED {expires:7}"),
            3 => format!(
                "TCP 2001:0db8:0000:0000:0000:0000:{:04x}:{:04x} {port:04X} 2001:0db8:0000:0000:0000:0000:0000:0001 01BB \
                 0000:0000:0000:0000:0000:0000:0000:0001 01BB {state:<11} {expires:7}",
                number >> 16,
                number & 0xffff
            ),
            // The mark's service is found by the real server.
            4 => format!("TCP {client:08X} {port:04X} C0000209 0050 7F00000{} 0050 {state:<11} {expires:7}", server + 2),
            5 => format!("IP  {:08X} 0000 00000007 0000 7F000003 0000 NONE        {expires:7}", 0x0A02_0000 + number),
            6 => format!("UDP {:08X} 0000 C0000201 0035 7F00000{server} 0035 NONE        {expires:7}", 0x0A02_0000 + number),
            _ => format!("TCP {client:08X} {port:04X} C0000201 0050 7F00000{server} 0050 {state:<11} {expires:7}"),
        });
    }
    lines
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A file of `--save`, saved some seconds ago in another boot.
pub(super) fn file(lines: &[String], age: u64) -> String {
    let mut text = format!("ipvs-connections 1 time={} boot=another uptime=9 kernel=6.1.0\n", seconds() - age);
    let mut checksum = 0xcbf2_9ce4_8422_2325u64;
    for line in lines {
        let line = format!("{line}\n");
        for byte in line.bytes() {
            checksum = (checksum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        text += &line;
    }
    writeln!(text, "end {} {checksum:016x}", lines.len()).unwrap();
    text
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
    let started = std::time::Instant::now();
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
    let passed = u32::try_from(started.elapsed().as_secs()).unwrap();
    assert_same(&shown(), &expected, passed + 2);
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
ipvs-cli: --unbound loads what has no real server here: it is forwarded by masquerading
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
    assert!(done.status == 1 && done.stderr.contains("the file is cut off after"), "{done:?}");
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
        assert_eq!(shown().len(), 0);
    };
    fs::write("/proc/sys/net/ipv4/vs/backup_only", "1").unwrap();
    refused("backup_only=1: this director would forward no packet");
    fs::write("/proc/sys/net/ipv4/vs/backup_only", "0").unwrap();
    let key: ServiceKey = "tcp 192.0.2.1:80".parse().unwrap();
    let other = Destination::new("[::1]:80".parse().unwrap()).with_forwarding(Forwarding::Tunnel(Tunnel::Ipip));
    world.client.add_destination(&key, &other).unwrap();
    refused("while tcp 192.0.2.1:80 has the real server [::1]:80 of the other address family");
    world.client.delete_destination(&key, other.address).unwrap();
    assert!(Command::new("ip").args(["link", "set", "lo", "down"]).status().unwrap().success());
    refused("`ip link set lo up` brings it up");
    assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
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
fn a_backup_daemon_that_another_program_starts_meanwhile_stays() {
    let mut world = director();
    let text = file(&table(20), 0);
    let daemon = Daemon::new(DaemonRole::Backup, InterfaceName::LOOPBACK).with_sync_id(5);
    let all = calls(&world, "sendto", "conns --load -", &text);
    // Stopped at each point, while another program starts its own.
    let (mut started, mut loaded) = (0, 0);
    for at in (1..=all).step_by(3) {
        let mut command = super::world::strace(&[&format!("inject=sendto:signal=SIGSTOP:when={at}")], "/dev/null");
        command.arg(super::world::program()).args(["conns", "--load", "-"]);
        let mut child = world.start(command, &text);
        // It may have ended, if it had less to send this time.
        (0..100).take_while(|_| !is_stopped_for_good()).for_each(|_| thread::sleep(Duration::from_millis(20)));
        let is_started = world.client.start_daemon(&daemon).is_ok();
        started += usize::from(is_started);
        while child.try_wait().unwrap().is_none() {
            for pid in stopped() {
                let _ = kill(Pid::from_raw(pid), Signal::SIGCONT);
            }
            thread::sleep(Duration::from_millis(20));
        }
        let done: Done = child.wait_with_output().unwrap().into();
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
    let lines = table(10_000);
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
    assert_same(&shown(), &kept, 600);
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
