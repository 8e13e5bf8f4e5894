//! Readings are whole, or an error, whatever others do between any two datagrams.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::super::{Blocking, block_on_ready};
use super::*;
use crate::change::Planner;
use crate::command::Command;
use crate::fake::{Fake, Others, World};
use crate::link::Link;
use crate::service::Service;
use crate::{Destination, Forwarding, Tunnel};

/// What others do between two calls.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Nothing,
    /// Another namespace, and how many services it has then.
    Elsewhere(usize, u32),
    /// This namespace gets a service, or loses it.
    Toggle(u32),
    /// A service that stays gets a destination of IPv4, or loses it.
    ToggleDestination(u32),
    /// The services stand in another order.
    Rehash(u64),
}

/// The services of this namespace that stay.
#[derive(Clone, Debug)]
pub(crate) struct Staying {
    pub(crate) ipv4: u32,
    pub(crate) ipv6: u32,
    /// How many destinations the first of each have.
    pub(crate) destinations: u32,
    /// The first of IPv4 has one of IPv6, too.
    pub(crate) is_mixed: bool,
    /// All others have one destination.
    pub(crate) all_have_one: bool,
}

impl Staying {
    pub(crate) fn key(n: u32, family: Family) -> ServiceKey {
        match family {
            Family::V4 => format!("mark {}", n + 1).parse().unwrap(),
            Family::V6 => format!("mark {} ipv6", n + 1).parse().unwrap(),
        }
    }

    fn keys(&self) -> Vec<ServiceKey> {
        let ipv4 = (0..self.ipv4).map(|n| Self::key(n, Family::V4));
        ipv4.chain((0..self.ipv6).map(|n| Self::key(n, Family::V6))).collect()
    }

    /// Destinations that stay.
    fn addresses(&self, key: &ServiceKey) -> Vec<SocketAddr> {
        let address = |n: u32| match key.family() {
            Family::V4 => SocketAddr::from(([10, 0, (n / 200) as u8, (n % 200) as u8 + 1], 0)),
            Family::V6 => format!("[2001:db8::{:x}]:0", n + 1).parse().unwrap(),
        };
        if *key != Self::key(0, key.family()) {
            return self.all_have_one.then(|| address(0)).into_iter().collect();
        }
        let of_ipv6 = (self.is_mixed && key.family() == Family::V4).then(|| "[2001:db8::1]:0".parse().unwrap());
        of_ipv6.into_iter().chain((0..self.destinations).map(address)).collect()
    }

    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new();
        for key in self.keys() {
            table.apply(&Command::AddService(Service::new(key))).unwrap();
            for address in self.addresses(&key) {
                let mut server = Destination::new(address);
                if Family::of(address.ip()) != key.family() {
                    server = server.with_forwarding(Forwarding::Tunnel(Tunnel::Ipip));
                }
                table.apply(&Command::AddDestination(key, server)).unwrap();
            }
        }
        table
    }
}

fn many(count: u32) -> Table {
    let mut table = Table::new();
    for n in 0..count {
        table.apply(&Command::AddService(Service::new(Staying::key(n, Family::V4)))).unwrap();
    }
    table
}

/// Numbers of services that come and go are above this.
const TOGGLED: u32 = 10_000;

impl Event {
    /// May the service come and go?
    pub(crate) fn toggles(key: &ServiceKey) -> bool {
        matches!(key, ServiceKey::Mark { mark, .. } if mark.get() > TOGGLED)
    }

    /// May the destination of the first service?
    pub(crate) fn toggles_destination(at: &SocketAddr) -> bool {
        matches!(at, SocketAddr::V4(at) if at.ip().octets()[..2] == [10, 9])
    }

    fn happen(&self, world: &mut World) {
        match *self {
            Event::Nothing => {}
            Event::Elsewhere(at, count) => {
                world.elsewhere.resize(3, Table::new());
                world.elsewhere[at] = many(count);
            }
            Event::Toggle(n) => {
                let key = Staying::key(TOGGLED + n, if n % 2 == 0 { Family::V4 } else { Family::V6 });
                if world.table.apply(&Command::AddService(Service::new(key))).is_err() {
                    world.table.apply(&Command::DeleteService(key)).unwrap();
                }
            }
            Event::ToggleDestination(n) => {
                let key = Staying::key(0, Family::V4);
                let server = Destination::new(SocketAddr::from(([10, 9, (n / 200) as u8, (n % 200) as u8 + 1], 0)));
                if world.table.apply(&Command::AddDestination(key, server)).is_err() {
                    let _ = world.table.apply(&Command::DeleteDestination(key, server.address));
                }
            }
            Event::Rehash(seed) => world.seed = Some(seed),
        }
    }
}

pub(crate) fn event(rehashes: bool) -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => Just(Event::Nothing),
        4 => (0..3usize, prop_oneof![Just(0u32), 0..300u32]).prop_map(|(at, count)| Event::Elsewhere(at, count)),
        2 => (0..4u32).prop_map(Event::Toggle),
        2 => (0..4u32).prop_map(Event::ToggleDestination),
        u32::from(rehashes) => (0..100u64).prop_map(Event::Rehash),
    ]
}

pub(crate) fn staying() -> impl Strategy<Value = Staying> {
    let some = || prop_oneof![2 => Just(0u32), 1 => 0..5u32, 3 => 90..330u32];
    let given = (some(), some(), prop_oneof![0..4u32, 80..250u32], any::<bool>(), any::<bool>());
    given.prop_map(|(ipv4, ipv6, destinations, is_mixed, all_have_one)| Staying {
        ipv4,
        ipv6,
        destinations,
        is_mixed,
        all_have_one,
    })
}

/// A client of a kernel in which these things happen, one before each call, over and over.
fn core(staying: &Staying, seed: u64, events: Vec<Event>) -> Session<Blocking> {
    let link = Link::Fake(Box::new(busy(staying, seed, events)));
    block_on_ready(Session::over(Blocking { link, deadline: Duration::from_secs(1) })).unwrap()
}

/// How many destinations come at most where none goes.
const MOST_ADDED: u32 = 1000;

/// That kernel.
pub(crate) fn busy(staying: &Staying, seed: u64, events: Vec<Event>) -> Fake {
    let mut fake = Fake::new(staying.table());
    fake.world().seed = Some(seed);
    let mut events = events.into_iter().cycle();
    // One added and later one deleted can hide one of IPv6: docs/kernels.md. So none is deleted
    // there.
    let is_mixed = staying.is_mixed;
    let mut added = 0;
    fake.others = Some(Others(Box::new(move |world| match events.next().unwrap_or(Event::Nothing) {
        Event::ToggleDestination(_) if is_mixed => {
            // If one came before each datagram of a dump, the dump would not end.
            if added < MOST_ADDED {
                Event::ToggleDestination(added).happen(world);
                added += 1;
            }
        }
        event => event.happen(world),
    })));
    fake
}

pub(crate) fn cases() -> Config {
    let cases = std::env::var("READING_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(80);
    Config { cases, ..Config::default() }
}

/// What stays is there exactly once.
fn assert_whole(staying: &Staying, keys: &[ServiceKey]) -> Result<(), TestCaseError> {
    let once: HashSet<_> = keys.iter().collect();
    prop_assert_eq!(once.len(), keys.len(), "something is there twice");
    let missing: Vec<_> = staying.keys().into_iter().filter(|key| !once.contains(key)).collect();
    prop_assert!(missing.is_empty(), "{} are missing, such as {}", missing.len(), missing[0]);
    Ok(())
}

#[test]
fn readings_are_whole_or_an_error() {
    let given = (staying(), any::<u64>(), vec(event(true), 0..40));
    TestRunner::new(cases())
        .run(&given, |(staying, seed, events)| {
            let is_quiet = events.iter().all(|event| matches!(event, Event::Nothing));
            let mut session = core(&staying, seed, events);
            for detail in [Detail::NoStatistics, Detail::Statistics] {
                let keys =
                    |services: &[ServiceState]| services.iter().map(|state| state.service.key()).collect::<Vec<_>>();
                match block_on_ready(session.services(detail)) {
                    Ok(services) => assert_whole(&staying, &keys(&services))?,
                    Err(Error::Unstable) if !is_quiet => {}
                    Err(error) => return Err(TestCaseError::fail(error.to_string())),
                }
                let table = match block_on_ready(session.table(detail)) {
                    Ok(table) => table,
                    Err(Error::Unstable) if !is_quiet => continue,
                    Err(error) => return Err(TestCaseError::fail(error.to_string())),
                };
                for key in staying.keys() {
                    let entry = table.service(&key).ok_or_else(|| TestCaseError::fail(format!("{key} is missing")))?;
                    for address in staying.addresses(&key) {
                        prop_assert!(entry.destination(&address).is_some(), "{} of {}", address, key);
                    }
                }
            }
            Ok(())
        })
        .unwrap();
}

/// However busy the other namespaces are, and however IPv4 changes here.
#[test]
fn readings_of_ipv4_do_not_fail() {
    let given = (90..330u32, any::<u64>(), vec(event(false), 20..40));
    TestRunner::new(cases())
        .run(&given, |(ipv4, seed, mut events)| {
            events.retain(|event| !matches!(event, Event::Toggle(n) if n % 2 == 1));
            let staying = Staying { ipv4, ipv6: 0, destinations: 2, is_mixed: false, all_have_one: false };
            let services = block_on_ready(core(&staying, seed, events).services(Detail::NoStatistics));
            let services = services.map_err(|error| TestCaseError::fail(error.to_string()))?;
            assert_whole(&staying, &services.iter().map(|state| state.service.key()).collect::<Vec<_>>())
        })
        .unwrap();
}

/// The in-memory kernel does have the faults: what one dump shows is short, or has something twice.
#[test]
fn one_dump_is_not_whole() {
    let staying = Staying { ipv4: 300, ipv6: 0, destinations: 0, is_mixed: false, all_have_one: false };
    for (events, what) in [
        (vec![Event::Elsewhere(0, 300), Event::Elsewhere(0, 0)], "another namespace"),
        (vec![Event::Rehash(1), Event::Rehash(2), Event::Rehash(3)], "another order"),
    ] {
        let mut seen = HashMap::new();
        for seed in 0..10 {
            let dump =
                block_on_ready(core(&staying, seed, events.clone()).dump_services(Detail::NoStatistics, 0)).unwrap();
            let once: HashSet<_> = dump.entries.iter().map(|state| state.service.key()).collect();
            *seen.entry((once.len() < 300, once.len() < dump.entries.len())).or_insert(0) += 1;
        }
        assert!(seen.keys().any(|(is_short, _)| *is_short), "{what}: {seen:?}");
    }
}

/// The kernel draws a new key for its hashes with each new number of buckets. Orders that are alike
/// would be a fault that no kernel has: datagrams from before and after would overlap.
#[test]
fn another_order_has_nothing_in_common_with_the_one_before() {
    let mut world = World { table: many(300), ..World::default() };
    let mut orders = (0..20).map(|seed| {
        world.seed = Some(seed);
        world.order()
    });
    let first: HashSet<Vec<ServiceKey>> = orders.next().unwrap().windows(3).map(<[_]>::to_vec).collect();
    let alike = orders.map(|order| order.windows(3).filter(|three| first.contains(*three)).count());
    assert_eq!(alike.collect::<Vec<_>>(), [0; 19]);
}

#[test]
fn a_service_is_read_alone() {
    let staying = Staying { ipv4: 3, ipv6: 2, destinations: 3, is_mixed: true, all_have_one: true };
    let mut session = core(&staying, 0, Vec::new());
    for key in staying.keys() {
        let entry = block_on_ready(session.entry(&key, Detail::NoStatistics)).unwrap().unwrap();
        assert_eq!(Some(&entry), staying.table().service(&key));
    }
    assert!(block_on_ready(session.entry(&"mark 99".parse().unwrap(), Detail::NoStatistics)).unwrap().is_none());
}

/// What is asked for is what decides; what is not read is not taken for what is not there.
#[test]
fn a_part_of_a_table_is_read_for_some_services() {
    let key = |n| Staying::key(n, Family::V4);
    let planner = Planner::new().only_these_services([key(1), key(2)]);
    let part = |desired: &Table, planner: &Planner| {
        let mut part = planner.part_of(desired)?;
        part.services.sort();
        Some((part.services, part.timeouts, part.daemons))
    };
    assert_eq!(part(&Table::new(), &planner), Some((vec![key(1), key(2)], false, false)));
    assert_eq!(part(&Table::new(), &Planner::new()), None);
    // Beside a sync daemon, the kernel takes no destination of another family.
    let mut mixed = many(2);
    let tunnel = Forwarding::Tunnel(Tunnel::Ipip);
    let server = Destination::new("[2001:db8::1]:0".parse().unwrap()).with_forwarding(tunnel);
    mixed.apply(&Command::AddDestination(key(1), server)).unwrap();
    assert_eq!(part(&mixed, &planner), Some((vec![key(1), key(2)], false, true)));
}
