//! Saves and applies while programs in other network namespaces add and delete services: whole, or
//! an error says that they are not.
//!
//! `CHURN_ROUNDS` is the number of applies and of saves beside each kind of churn, `CHURN_SERVICES`
//! the number of services of the director: a dump of 300 has several datagrams. A long run has 500
//! rounds of these, and some of 1,500. `CHURN_KIND` is one of the four kinds, from 1, for a guest
//! of its own. `CHURN_TABLES` is the number of tables that are read while
//! destinations of one service change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ipvs::{
    Client, Command, Destination, Error, Forwarding, Service, ServiceKey, Table, Tunnel,
    change::{Planner, plan},
    sockopt,
};
use kernel_tests::sandbox;
use kernel_tests::target::Target;

use super::world::{Done, World, rules, run, start, table};

/// Services that each other namespace adds and deletes.
const ELSEWHERE: u32 = 600;
/// One round in this many shows by the original's save that the churn makes dumps incomplete.
const WITNESSED: u32 = 10;
/// Ten of this niceness get as much of a processor as one program of the usual one. Without it the
/// programs that are tested would have an eleventh.
const NICENESS: i32 = 10;
/// Services of the director whose weights are changed.
const CHANGED: u32 = 30;

pub(crate) fn number(variable: &str, default: u32) -> u32 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

/// Threads in network namespaces of their own. Each adds services and clears them, over and over,
/// until this is dropped.
struct Churn {
    is_over: Arc<AtomicBool>,
    tables: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

impl Churn {
    /// Waits until each namespace has had its services once.
    fn begin(namespaces: usize, pause: Duration) -> Self {
        let (is_over, tables) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (ready, begun) = std::sync::mpsc::channel();
        let threads = (0..namespaces).map(|_| {
            let (is_over, tables, ready) = (Arc::clone(&is_over), Arc::clone(&tables), ready.clone());
            thread::spawn(move || {
                sandbox::enter_network().unwrap_or_else(|error| panic!("{error}"));
                if namespaces > 1 {
                    // Of this thread only.
                    rustix::process::nice(NICENESS).unwrap();
                }
                let mut client = Client::connect().unwrap();
                let mut services = plan(&Table::new(), &table(0..ELSEWHERE, 1)).commands().to_vec();
                services.retain(|command| matches!(command, Command::AddService(_)));
                while !is_over.load(Ordering::Relaxed) {
                    client.execute_all(&services).unwrap().into_iter().for_each(|outcome| outcome.unwrap());
                    if tables.fetch_add(1, Ordering::Relaxed) < namespaces {
                        let _ = ready.send(());
                    }
                    thread::sleep(pause);
                    client.execute(&Command::Flush).unwrap();
                    thread::sleep(pause);
                }
            })
        });
        let threads = threads.collect();
        begun.iter().take(namespaces).for_each(drop);
        Churn { is_over, tables, threads }
    }

    /// How often a namespace had all its services.
    fn end(mut self) -> usize {
        self.is_over.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
        self.tables.load(Ordering::Relaxed)
    }
}

impl Drop for Churn {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn rules_with(weight: u32, services: u32) -> String {
    rules(0..CHANGED, weight) + rules(CHANGED..services, 1).trim_start_matches("-C\n")
}

fn table_with(weight: u32, services: u32) -> Table {
    let mut with = table(CHANGED..services, 1);
    plan(&Table::new(), &table(0..CHANGED, weight)).commands().iter().for_each(|command| with.apply(command).unwrap());
    with
}

/// Reads the director without dumps: `getsockopt` copies all services in one call, and nobody else
/// changes this director.
fn is_held(desired: &Table) -> bool {
    let held = sockopt::Table::read().unwrap();
    held.ipv6_destinations.is_empty() && Planner::new().only_services().plan(&held.table, desired).is_empty()
}

fn save(target: Target) -> Done {
    call(target, "-S -n")
}

fn call(target: Target, arguments: &str) -> Done {
    let mut command = std::process::Command::new(target.program().unwrap_or_else(|error| panic!("{error}")));
    std::os::unix::process::CommandExt::arg0(&mut command, "ipvsadm");
    command.args(arguments.split(' '));
    start(command, "").wait_with_output().unwrap().into()
}

fn is_all(saved: &Done, rules: &str) -> bool {
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    sorted(&saved.stdout) == sorted(rules.trim_start_matches("-C\n"))
}

/// The only excuse for a failure.
fn says_unstable(done: &Done) -> bool {
    done.stderr.contains(&Error::Unstable.to_string())
}

#[test]
fn saves_and_applies_are_whole_beside_other_namespaces() {
    let (rounds, services) = (number("CHURN_ROUNDS", 2), number("CHURN_SERVICES", 1000));
    // By the weight of what is changed.
    let rules = [1, 2].map(|weight| rules_with(weight, services));
    let tables = [1, 2].map(|weight| table_with(weight, services));
    let mut world = World::new();
    world.hold(&tables[0]);
    let mut now = 0;
    let kinds = [(1, 1), (1, 20), (10, 1), (10, 20)];
    let only = number("CHURN_KIND", 0);
    for (_, (namespaces, milliseconds)) in (1..).zip(kinds).filter(|(kind, _)| [0, *kind].contains(&only)) {
        let churn = Churn::begin(namespaces, Duration::from_millis(milliseconds));
        let (mut applies, mut saves, mut compared, mut short) = (0, 0, 0, 0);
        for round in 0..rounds {
            let next = 1 - now;
            let applied = run("apply -", &rules[next]);
            assert!(applied.status == 0 || says_unstable(&applied), "apply {round}: {applied:?}");
            if applied.status == 0 || is_held(&tables[next]) {
                now = next;
            }
            applies += u32::from(applied.status != 0);

            let saved = save(Target::IpvsCli);
            match saved.status {
                // Each line is there once, so the director has it, too.
                0 => assert!(is_all(&saved, &rules[now]), "save {round}: {} lines", saved.stdout.lines().count()),
                _ => {
                    assert!(says_unstable(&saved), "save {round}: {}", saved.stderr);
                    assert!(is_held(&tables[now]), "apply {round}: {applied:?}");
                }
            }
            saves += u32::from(saved.status != 0);
            if round % WITNESSED == 0 {
                compared += 1;
                short += u32::from(!is_all(&save(Target::Ipvsadm), &rules[now]));
            }
        }
        println!(
            "{namespaces} namespaces, pauses of {milliseconds} ms, {} tables: of {rounds} applies and {rounds} saves \
             {applies} and {saves} reported an unstable director; {short} of {compared} saves of ipvsadm were not whole",
            churn.end()
        );
    }
}

/// A service of IPv4 has a destination of IPv6, of which `getsockopt` shows only that it is one
/// more. A long-lived writer adds and deletes one of IPv4.
#[test]
fn a_destination_of_ipv6_is_read_beside_a_writer_of_its_service() {
    let (tables, services) = (number("CHURN_TABLES", 60), 1500);
    let mut world = World::new();
    let mut writer = world.client.try_clone().unwrap();
    let key: ServiceKey = "mark 1".parse().unwrap();
    let of_ipv6 =
        Destination::new("[2001:db8::11]:0".parse().unwrap()).with_forwarding(Forwarding::Tunnel(Tunnel::Ipip));
    let (stays, toggled) = (server("192.0.2.11:0"), server("192.0.2.12:0"));
    let add = (1..=services).map(|n| Command::AddService(Service::new(format!("mark {n}").parse().unwrap())));
    let add = add.chain([stays, of_ipv6].map(|server| Command::AddDestination(key, server)));
    let add: Vec<_> = add.collect();
    writer.execute_all(&add).unwrap().into_iter().for_each(|outcome| outcome.unwrap());
    let is_over = AtomicBool::new(false);
    let toggles = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let n = toggles.fetch_add(1, Ordering::Relaxed) as u64;
                writer.add_destination(&key, &toggled).unwrap();
                thread::sleep(Duration::from_millis(n % 7));
                writer.delete_destination(&key, toggled.address).unwrap();
                thread::sleep(Duration::from_millis(n % 5));
            }
        });
        let (mut short, mut errors) = ([0; 3], [0; 3]);
        let mut note = |what: usize, has: Option<bool>| match has {
            Some(has) => short[what] += u32::from(!has),
            None => errors[what] += 1,
        };
        // Errors of the writer end the test, too.
        let ends = Ended(&is_over);
        for _ in 0..tables {
            let read = world.client.table_without_statistics();
            note(0, read.ok().map(|table| table.service(&key).unwrap().destination(&of_ipv6.address).is_some()));
            for (what, arguments) in [(1, "-S -n"), (2, "-L -n")] {
                let done = call(Target::IpvsCli, arguments);
                assert!(done.status == 0 || says_unstable(&done), "{done:?}");
                note(what, (done.status == 0).then(|| done.stdout.contains("[2001:db8::11]:0")));
            }
        }
        drop(ends);
        println!(
            "of {tables} tables, saves and listings {short:?} were short and {errors:?} reported an unstable director; \
             {} changes",
            toggles.load(Ordering::Relaxed)
        );
        assert_eq!(short, [0; 3]);
    });
}

/// Ends the writer, however this thread ends.
pub(crate) struct Ended<'o>(pub(crate) &'o AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn server(address: &str) -> Destination {
    Destination::new(address.parse().unwrap())
}
