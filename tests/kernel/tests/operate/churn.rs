//! Saves and applies while programs in other network namespaces add and delete services: whole, or
//! an error says that they are not.
//!
//! `CHURN_ROUNDS` is the number of applies and of saves beside each kind of churn, `CHURN_SERVICES`
//! the number of services of the director. A long run has 500 and 1500.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ipvs::{
    Client, Command, Error, Table,
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
/// Services of the director whose weights are changed.
const CHANGED: u32 = 30;

fn number(variable: &str, default: u32) -> u32 {
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
    let mut command = std::process::Command::new(target.program().unwrap_or_else(|error| panic!("{error}")));
    std::os::unix::process::CommandExt::arg0(&mut command, "ipvsadm");
    command.args(["-S", "-n"]);
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
    for (namespaces, milliseconds) in [(1, 1), (1, 20), (10, 1), (10, 20)] {
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
