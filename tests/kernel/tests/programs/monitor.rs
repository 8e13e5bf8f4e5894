//! Many programs change one director at once, watched by the library's monitor.
//!
//! `MONITOR_CHANGES` says how many changes they make, and otherwise there are some 6,000.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::io::Write as _;
use std::net::IpAddr;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use ipvs::monitor::{Action, EventKind, Monitor, Outcome, Sender};
use ipvs::{Client, Command, Errno, Service, ServiceKey};
use kernel_tests::system::{Installation, OBSERVER, PYROUTE2, System};
use kernel_tests::target::Target;
use nix::sys::signal::Signal;

use crate::keepalived::{CONFIGURED, Daemon};

/// `ipvs-cli`, under the name of the original.
const IPVSADM: &str = "/usr/sbin/ipvsadm";

/// Each rule of the two kinds that are used here by a call of pyroute2.
const PYTHON: &str = r#"
import sys
sys.path.insert(0, sys.argv[1])
from socket import IPPROTO_TCP
from pyroute2 import IPVS, IPVSService
from pyroute2.netlink.exceptions import NetlinkError

with IPVS() as ipvs:
    for rule in sys.stdin:
        verb, _, at = rule.split()[:3]
        address, port = at.split(":")
        service = IPVSService(protocol=IPPROTO_TCP, addr=address, port=int(port), sched_name="wlc")
        try:
            ipvs.service("add" if verb == "-A" else "del", service)
        except NetlinkError:
            pass
"#;

/// No writer has as many services.
const KEYS: u32 = 100_000;
const OF_KEEPALIVED: u32 = 6;

fn key(number: u32) -> ServiceKey {
    format!("tcp 192.0.2.{}:{}", number / 50_000, number % 50_000 + 1).parse().unwrap()
}

/// Which writer's service it is.
fn writer(command: &Command) -> u32 {
    let Some(ServiceKey::Address { at, .. }) = command.service_key() else { panic!("{command}") };
    let IpAddr::V4(address) = at.ip() else { panic!("{command}") };
    u32::from(address.octets()[3]) / 2
}

/// Changes with their outcomes.
type Changes = Vec<(Command, Outcome)>;

/// What a writer does, with the outcome of each: to services that are no other's.
fn script(writer: u32, rounds: u32) -> (String, Changes) {
    let mut lines = String::new();
    let mut expected = Vec::new();
    for number in (writer * KEYS..).take(rounds as usize) {
        let (add, delete) = (Command::AddService(Service::new(key(number))), Command::DeleteService(key(number)));
        let exists = Outcome::Refused(Errno::EEXIST);
        for (command, outcome) in [(add, Outcome::Accepted), (add, exists), (delete, Outcome::Accepted)] {
            writeln!(lines, "{command}").unwrap();
            expected.push((command, outcome));
        }
    }
    (lines, expected)
}

/// Runs a program with this input, and returns its process id.
fn run(system: &System, program: &str, arguments: &[&str], input: &str) -> u32 {
    let mut command = system.command(program);
    // The second tries are refused, which is reported.
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait().unwrap();
    child.id()
}

/// A process for each rule.
fn run_each(system: &System, program: &str, rules: &str) -> Vec<u32> {
    rules.lines().map(|rule| run(system, program, &rule.split(' ').collect::<Vec<_>>(), "")).collect()
}

/// keepalived's services, with a real server each, until all are there; then they go with it.
fn run_keepalived(system: &System, services: u32) {
    let mut configuration = String::new();
    for number in (OF_KEEPALIVED * KEYS..).take(services as usize) {
        let ServiceKey::Address { at, .. } = key(number) else { unreachable!() };
        let (address, port) = (at.ip(), at.port());
        write!(
            configuration,
            "virtual_server {address} {port} {{\n lvs_sched rr\n lvs_method NAT\n protocol TCP\n \
             real_server 192.0.2.9 80 {{\n weight 1\n }}\n}}\n"
        )
        .unwrap();
    }
    system.write(CONFIGURED, &configuration);
    let mut daemon = Daemon::start(system);
    let mut client = Client::connect().unwrap();
    let last = key(OF_KEEPALIVED * KEYS + services - 1);
    let all_are_there = || client.destinations(&last).is_ok_and(|servers| !servers.is_empty()).then_some(());
    system.wait_for(all_are_there).expect("keepalived has not made its services");
    daemon.signal(Signal::SIGTERM);
    daemon.wait();
}

/// What was seen of one writer.
type Seen = Vec<(Sender, Command, Outcome)>;

/// Waits for all events of writers that have ended.
#[derive(Default)]
struct Watched {
    seen: HashMap<u32, Seen>,
    received: usize,
    lost: u32,
}

impl Watched {
    fn take(&mut self, monitor: &mut Monitor, until: Duration) -> bool {
        let Some(event) = monitor.next_before(Instant::now() + until).unwrap() else { return false };
        match event.kind {
            EventKind::Request { sender, action: Action::Change(command), outcome } => {
                self.received += 1;
                self.seen.entry(writer(&command)).or_default().push((sender, command, outcome));
            }
            EventKind::Lost { packets } => self.lost += packets,
            other => panic!("{other:?}"),
        }
        true
    }
}

#[test]
fn changes_of_many_programs_are_seen() {
    System::on(Installation::of(Target::IpvsCli), watch);
}

fn watch(system: &System) {
    let changes: u32 = std::env::var("MONITOR_CHANGES").map_or(6000, |text| text.parse().unwrap());
    let services = changes / 100;
    let few = (changes / 100).min(167);
    let has_pyroute2 = std::path::Path::new(PYROUTE2).exists();
    let rounds = (changes - 4 * services - 6 * few) / 12;
    let mut monitor = Monitor::builder().without_comparison().open().unwrap();
    assert!(monitor.proves_replies());
    let mut watched = Watched::default();
    let written: Vec<(Changes, Vec<u32>)> = thread::scope(|scope| {
        type Work = fn(&System, &str, &[(Command, Outcome)]) -> Vec<u32>;
        let works: [(u32, Work); 6] = [
            (rounds, |system, rules, _| vec![run(system, OBSERVER, &["-R"], rules)]),
            (rounds, |system, rules, _| vec![run(system, IPVSADM, &["-R"], rules)]),
            (rounds, |_, _, expected| {
                Client::connect().unwrap().execute_all(expected.iter().map(|(command, _)| command)).unwrap();
                vec![std::process::id()]
            }),
            (few, |system, rules, _| run_each(system, OBSERVER, rules)),
            (few, |system, rules, _| run_each(system, IPVSADM, rules)),
            (if has_pyroute2 { rounds } else { 0 }, |system, rules, _| {
                vec![run(system, "/usr/bin/python3", &["-c", PYTHON, PYROUTE2], rules)]
            }),
        ];
        let writers: Vec<_> = (0..)
            .zip(works)
            .map(|(number, (rounds, work))| {
                scope.spawn(move || {
                    let (rules, expected) = script(number, rounds);
                    let pids = work(system, &rules, &expected);
                    (expected, pids)
                })
            })
            .collect();
        let keepalived = scope.spawn(move || run_keepalived(system, services));
        while !keepalived.is_finished() || writers.iter().any(|writer| !writer.is_finished()) {
            watched.take(&mut monitor, Duration::from_millis(100));
        }
        keepalived.join().unwrap();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    // No request is waited for longer.
    while watched.take(&mut monitor, Duration::from_secs(12)) {}
    let Watched { mut seen, received, lost } = watched;
    let (mut named, mut unknown) = (0, 0);
    let mut count = |own: &Seen| {
        named += own.iter().filter(|(sender, ..)| sender.process.is_some()).count();
        unknown += own.iter().filter(|(.., outcome)| *outcome == Outcome::Unknown).count();
    };
    for (number, (expected, pids)) in (0..).zip(written) {
        let own = seen.remove(&number).unwrap_or_default();
        count(&own);
        for (sender, command, _) in &own {
            let process = sender.process.as_ref();
            assert!(process.is_none_or(|process| pids.contains(&process.pid)), "{sender} did not send {command}");
        }
        if lost == 0 {
            assert_eq!(own.len(), expected.len(), "writer {number}");
            for ((sender, command, outcome), (sent, became)) in own.iter().zip(&expected) {
                assert_eq!(command.to_string(), sent.to_string(), "writer {number}, {sender}");
                assert!(outcome == became || *outcome == Outcome::Unknown, "{sender}: {command}: {outcome}");
            }
        }
    }
    let own = seen.remove(&OF_KEEPALIVED).unwrap_or_default();
    count(&own);
    let mut table = ipvs::Table::new();
    let mut most = 0;
    for (sender, command, outcome) in &own {
        let name = sender.process.as_ref().map_or("keepalived", |process| &process.name);
        assert!(name.to_lowercase().starts_with("keepalived"), "{sender}: {command}");
        if *outcome == Outcome::Accepted && lost == 0 {
            table.apply(command).unwrap_or_else(|error| panic!("{sender}: {command}: {error}"));
            most = most.max(table.services().filter(|entry| entry.destinations().count() == 1).count());
        }
    }
    if lost == 0 {
        // keepalived may leave some behind, if it takes long; the others have deleted what they
        // made.
        let keys = |table: &ipvs::Table| table.services().map(|entry| entry.service().key()).collect::<BTreeSet<_>>();
        let left = Client::connect().unwrap().table_without_statistics().unwrap();
        assert_eq!((most, keys(&table)), (services as usize, keys(&left)));
    }
    assert!(seen.is_empty(), "{:?}", seen.keys());
    let without = if has_pyroute2 { "" } else { ", none by pyroute2, which could not be fetched" };
    println!(
        "figures: {received} changes seen, {lost} packets lost, {named} with their process, {unknown} of unknown \
         outcome{without}"
    );
    assert!(unknown * 100 <= received || lost > 0, "{unknown} of {received} are unknown");
}
