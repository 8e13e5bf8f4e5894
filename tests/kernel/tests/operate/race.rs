//! Several writers at once: what is reported as done was done, and nothing else.
//!
//! `RACE_SECONDS` says for how long; a long run takes a minute or more.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use ipvs::{Client, Command, Destination, Errno, Scheduler, Service, ServiceKey, Table};

use super::world::{World, rules, table};

/// Services that all writers add and delete.
const SHARED: u32 = 12;
/// Services that one writer has for itself, with this many destinations.
const OWN: u32 = 12;
const DESTINATIONS: u32 = 4;
/// Commands that are sent together: more than fit into one datagram.
const BATCH: usize = 300;

fn end() -> Instant {
    let seconds = std::env::var("RACE_SECONDS").map_or(2, |text| text.parse().expect("a number of seconds"));
    Instant::now() + Duration::from_secs(seconds)
}

/// Numbers that are never twice the same, and the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32 % limit
    }
}

/// One of the writers.
struct Writer {
    client: Client,
    dice: Dice,
    number: u32,
    /// What it alone writes, as it must be.
    own: Table,
    /// How much more often a shared service was added than deleted, as the kernel acknowledged.
    shared: BTreeMap<ServiceKey, i32>,
    commands: usize,
}

fn mark(number: u32) -> ServiceKey {
    format!("mark {number}").parse().unwrap()
}

impl Writer {
    fn new(number: u32) -> Self {
        let client = Client::connect().unwrap();
        Writer { client, dice: Dice(number.into()), number, own: Table::new(), shared: BTreeMap::new(), commands: 0 }
    }

    fn run_until(mut self, end: Instant) -> Self {
        while Instant::now() < end {
            let commands: Vec<Command> = (0..BATCH).map(|_| self.command()).collect();
            let outcomes = self.client.execute_all(&commands).unwrap();
            self.commands += outcomes.len();
            for (command, outcome) in commands.iter().zip(outcomes) {
                self.check(command, outcome.map_err(|refusal| refusal.errno));
            }
        }
        self
    }

    fn command(&mut self) -> Command {
        let shared = self.dice.below(3) == 0;
        let first = if shared { 1 } else { 1000 * self.number };
        let key = mark(first + self.dice.below(if shared { SHARED } else { OWN }));
        let host = u8::try_from(1 + self.dice.below(DESTINATIONS)).unwrap();
        let server = Destination::new(([192, 0, 2, host], 0).into());
        match (shared, self.dice.below(8)) {
            (true, 0..4) | (false, 0..3) => Command::AddService(Service::new(key).with_scheduler(Scheduler::RR)),
            (true, _) | (false, 3) => Command::DeleteService(key),
            (false, 4..7) => Command::AddDestination(key, server),
            (false, _) => Command::DeleteDestination(key, server.address),
        }
    }

    fn check(&mut self, command: &Command, outcome: Result<(), Errno>) {
        let key = command.service_key().expect("each is about a service");
        if !(mark(1)..=mark(SHARED)).contains(&key) {
            let expected = self.own.apply(command).map_err(|refusal| refusal.errno);
            assert_eq!(outcome, expected, "{command:?}");
            return;
        }
        let count = self.shared.entry(key).or_default();
        match (command, outcome) {
            (Command::AddService(_), Ok(())) => *count += 1,
            (Command::DeleteService(_), Ok(())) => *count -= 1,
            (Command::AddService(_), Err(Errno::EEXIST)) | (_, Err(Errno::ESRCH)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn writers_lose_nothing_without_a_report() {
    let mut world = World::new();
    let end = end();
    let writers: Vec<Writer> = thread::scope(|scope| {
        let started: Vec<_> = (1..=3).map(|number| scope.spawn(move || Writer::new(number).run_until(end))).collect();
        started.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let truth = world.client.table().unwrap();
    for number in 1..=SHARED {
        let sum: i32 = writers.iter().filter_map(|writer| writer.shared.get(&mark(number))).sum();
        assert_eq!(sum, i32::from(truth.service(&mark(number)).is_some()), "mark {number}");
    }
    for writer in &writers {
        let first = 1000 * writer.number;
        let found = truth.services().filter(|entry| (mark(first)..mark(first + OWN)).contains(&entry.service().key()));
        let found: Vec<_> = found.map(|entry| (entry.service().key(), entry.destinations().len())).collect();
        let own = writer.own.services().map(|entry| (entry.service().key(), entry.destinations().len()));
        assert_eq!(BTreeMap::from_iter(found), BTreeMap::from_iter(own), "writer {}", writer.number);
    }
    println!("{} commands", writers.iter().map(|writer| writer.commands).sum::<usize>());
}

/// Each is made as a whole, one after the other: what is there in the end is what one of them
/// wanted, not some of each.
#[test]
fn whole_changes_do_not_mix() {
    let mut world = World::new();
    let end = end();
    let made: usize = thread::scope(|scope| {
        let writers = [1, 2].map(|weight| {
            // A thread has the namespace of the one that starts it.
            scope.spawn(move || {
                let mut made = 0;
                while made == 0 || Instant::now() < end {
                    let services = if weight == 1 { 1..=120 } else { 60..=180 };
                    let done = super::world::run("apply --wait 600 -", &rules(services, weight));
                    assert_eq!((done.status, done.stderr.as_str()), (0, ""));
                    made += 1;
                }
                made
            })
        });
        writers.into_iter().map(|writer| writer.join().unwrap()).sum()
    });
    assert!(world.holds(&table(1..=120, 1)) || world.holds(&table(60..=180, 2)));
    println!("{made} changes");
}
