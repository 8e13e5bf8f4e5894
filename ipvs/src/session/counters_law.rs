//! What is read again and again is what the kernel has counted, whatever happens meanwhile.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::super::{Blocking, block_on_ready};
use super::*;
use crate::command::Command;
use crate::fake::{Fake, Others, World, log};
use crate::link::Link;
use crate::service::Service;
use crate::table::Table;
use crate::{
    Daemon, DaemonRole, Destination, Forwarding, InterfaceName, Persistence, PersistenceEngine, ServiceKey, Tunnel,
};

/// Services of IPv4, more than are dumped anyway.
const SERVICES: u32 = 24;
/// Destinations of each.
const DESTINATIONS: u32 = 3;

fn service(n: u32) -> ServiceKey {
    format!("mark {}", n + 1).parse().unwrap()
}

fn destination(n: u32) -> Destination {
    Destination::new(SocketAddr::from(([192, 0, 2, n as u8 + 1], 0)))
}

/// What happens at a director.
#[derive(Clone, Debug)]
enum Event {
    Nothing,
    /// A service and one of its destinations get connections, packets of each direction, and bytes
    /// for each packet.
    Traffic {
        service: u32,
        destination: u32,
        connections: u64,
        packets: u64,
        length: u64,
    },
    Zero(Option<u32>),
    /// It is deleted, or added again, without counters.
    ToggleService(u32),
    /// The same; if it was deleted a short time ago, it has its counters.
    ToggleDestination {
        service: u32,
        destination: u32,
        is_revived: bool,
    },
    /// It is added in front of those that are there, or deleted.
    ToggleNewDestination(u32),
    ToggleTunnel(u32),
    ToggleIpv6,
    ToggleEngine,
    ToggleDaemon,
    Elsewhere(u32),
}

fn event() -> impl Strategy<Value = Event> {
    let service = || 0..4u32;
    let number = || {
        prop_oneof![
            4 => 0..1000u64,
            2 => (1u64 << 31)..(1 << 32),
            1 => (1u64 << 32)..(1 << 34),
        ]
    };
    let traffic = (service(), 0..DESTINATIONS, number(), number(), prop_oneof![Just(20u64), Just(60), Just(1500)]);
    prop_oneof![
        6 => Just(Event::Nothing),
        12 => traffic.prop_map(|(service, destination, connections, packets, length)| Event::Traffic {
            service, destination, connections, packets, length,
        }),
        2 => proptest::option::of(service()).prop_map(Event::Zero),
        2 => service().prop_map(Event::ToggleService),
        2 => (service(), 0..DESTINATIONS, any::<bool>()).prop_map(|(service, destination, is_revived)| {
            Event::ToggleDestination { service, destination, is_revived }
        }),
        1 => service().prop_map(Event::ToggleNewDestination),
        1 => service().prop_map(Event::ToggleTunnel),
        1 => Just(Event::ToggleIpv6),
        1 => Just(Event::ToggleEngine),
        1 => Just(Event::ToggleDaemon),
        1 => (0..3u32).prop_map(Event::Elsewhere),
    ]
}

fn toggle_destination(table: &mut Table, key: ServiceKey, server: Destination) -> bool {
    match table.apply(&Command::DeleteDestination(key, server.address)) {
        Ok(()) => false,
        Err(_) => table.apply(&Command::AddDestination(key, server)).is_ok(),
    }
}

impl Event {
    fn happen(&self, world: &mut World, history: &mut History) {
        let before: HashMap<_, _> = History::now(world).collect();
        self.happen_to(world, history);
        for (id, counted) in History::now(world) {
            if before.get(&id).is_none_or(|before| before.bytes_in > counted.bytes_in) {
                history.resets.insert(id, history.round);
            }
        }
    }

    fn happen_to(&self, world: &mut World, history: &mut History) {
        let table = &mut world.table;
        match *self {
            Event::Nothing => {}
            Event::Traffic { service: n, destination: at, connections, packets, length } => {
                let key = service(n);
                // After a reset, less than what may hide it.
                let ids = [(key, None), (key, Some(destination(at).address))];
                let is_new =
                    ids.iter().any(|id| history.resets.get(id).is_some_and(|round| round + 1 >= history.round));
                let packets = if is_new { packets % 1000 } else { packets };
                let connections = connections.min(packets);
                let mut more = Statistics::default();
                (more.connections, more.packets_in, more.packets_out) = (connections, packets, packets / 2);
                (more.bytes_in, more.bytes_out) = (packets * length, packets / 2 * length);
                let Some(entry) = table.service(&key) else { return };
                let Some(state) = entry.destination(&destination(at).address).copied() else { return };
                let counted = entry.state().statistics.unwrap() + more;
                let state = DestinationState { statistics: Some(state.statistics.unwrap() + more), ..state };
                table.set_statistics(&key, counted).unwrap();
                table.set_state(&key, &state).unwrap();
            }
            Event::Zero(n) => drop(table.apply(&Command::Zero(n.map(service)))),
            Event::ToggleService(n) => {
                if table.apply(&Command::DeleteService(service(n))).is_err() {
                    table.apply(&Command::AddService(Service::new(service(n)))).unwrap();
                    for at in 0..DESTINATIONS {
                        table.apply(&Command::AddDestination(service(n), destination(at))).unwrap();
                    }
                }
            }
            Event::ToggleDestination { service: n, destination: at, is_revived } => {
                let (key, server) = (service(n), destination(at));
                let before = table.service(&key).and_then(|entry| entry.destination(&server.address)).copied();
                let is_added = toggle_destination(table, key, server);
                match (before, history.trash.remove(&(key, server.address))) {
                    (Some(before), _) => {
                        history.trash.insert((key, server.address), before.statistics.unwrap());
                    }
                    (None, Some(counted)) if is_added && is_revived => {
                        let state = DestinationState { statistics: Some(counted), ..DestinationState::new(server) };
                        table.set_state(&key, &state).unwrap();
                    }
                    (None, _) => {}
                }
            }
            Event::ToggleNewDestination(n) => {
                toggle_destination(table, service(n), destination(100));
            }
            Event::ToggleTunnel(n) => {
                let server = destination(101).with_forwarding(Forwarding::Tunnel(Tunnel::Ipip));
                toggle_destination(table, service(n), server);
            }
            Event::ToggleIpv6 => {
                let key = "tcp [2001:db8::1]:80".parse().unwrap();
                if table.apply(&Command::DeleteService(key)).is_err() {
                    table.apply(&Command::AddService(Service::new(key))).unwrap();
                }
            }
            Event::ToggleEngine => {
                let Some(entry) = table.service(&service(5)) else { return };
                let mut edited = *entry.service();
                edited.persistence = Some(Persistence::new(60).unwrap());
                edited.engine = edited.engine.is_none().then_some(PersistenceEngine::SIP);
                table.apply(&Command::EditService(edited)).unwrap();
            }
            Event::ToggleDaemon => {
                if table.apply(&Command::StopDaemon(DaemonRole::Master)).is_err() {
                    let daemon = Daemon::new(DaemonRole::Master, InterfaceName::LOOPBACK);
                    table.apply(&Command::StartDaemon(daemon)).unwrap();
                }
            }
            Event::Elsewhere(count) => {
                let mut elsewhere = Table::new();
                for n in 0..count {
                    elsewhere.apply(&Command::AddService(Service::new(service(n)))).unwrap();
                }
                world.elsewhere = vec![elsewhere];
            }
        }
    }
}

type Id = (ServiceKey, Option<SocketAddr>);

/// All that the services and destinations have counted since a reading began.
#[derive(Default)]
struct History {
    counted: HashMap<Id, HashSet<Statistics>>,
    /// What was there all the time.
    there: HashSet<Id>,
    trash: HashMap<(ServiceKey, SocketAddr), Statistics>,
    /// In which round an entry was zeroed or made anew.
    resets: HashMap<Id, usize>,
    round: usize,
}

impl History {
    fn now(world: &World) -> impl Iterator<Item = (Id, Statistics)> {
        world.table.services().flat_map(|entry| {
            let key = entry.service().key();
            let own = std::iter::once(((key, None), entry.state().statistics.unwrap()));
            own.chain(
                entry
                    .destinations()
                    .map(move |state| ((key, Some(state.destination.address)), state.statistics.unwrap())),
            )
        })
    }

    fn begin(&mut self, world: &World) {
        self.there = Self::now(world).map(|(id, _)| id).collect();
        self.counted.clear();
        self.note(world);
    }

    fn note(&mut self, world: &World) {
        let now: HashMap<_, _> = Self::now(world).collect();
        self.there.retain(|id| now.contains_key(id));
        now.into_iter().for_each(|(id, counted)| {
            self.counted.entry(id).or_default().insert(counted);
        });
    }
}

fn cases() -> Config {
    let cases = std::env::var("COUNTERS_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    Config { cases, ..Config::default() }
}

/// A client of a kernel in which these things happen, one before each call.
fn busy(events: Vec<Event>) -> (Session<Blocking>, Arc<Mutex<History>>, Fake) {
    let mut table = Table::new();
    for n in 0..SERVICES {
        table.apply(&Command::AddService(Service::new(service(n)))).unwrap();
        for at in 0..DESTINATIONS {
            table.apply(&Command::AddDestination(service(n), destination(at))).unwrap();
        }
    }
    let mut fake = Fake::new(table);
    fake.world().seed = Some(1);
    let history = Arc::new(Mutex::new(History::default()));
    let (notes, mut events) = (Arc::clone(&history), events.into_iter());
    fake.others = Some(Others(Box::new(move |world| {
        let mut history = notes.lock().unwrap();
        events.next().unwrap_or(Event::Nothing).happen(world, &mut history);
        history.note(world);
    })));
    let outside = fake.of_another_program();
    let link = Link::Fake(Box::new(fake));
    let session = block_on_ready(Session::over(Blocking { link, deadline: Duration::from_secs(1) })).unwrap();
    (session, history, outside)
}

/// Has it counted this at some time of the reading?
fn check(history: &History, id: Id, counted: Option<Statistics>) -> Result<(), TestCaseError> {
    let known = history.counted.get(&id);
    prop_assert!(
        known.is_some_and(|known| known.contains(&counted.unwrap())),
        "{:?} has never been {:?}, but {:?}",
        id,
        counted,
        known
    );
    Ok(())
}

#[test]
fn further_readings_have_the_kernels_counters() {
    let rounds = vec((vec(event(), 0..30), vec(event(), 0..12), 0..400u64), 2..6);
    TestRunner::new(cases())
        .run(&rounds, |rounds| {
            let during: Vec<_> = rounds.iter().flat_map(|(_, during, _)| during.clone()).collect();
            let (mut session, history, outside) = busy(during);
            let (mut memory, mut now) = (Memory::default(), Instant::now());
            for (number, (between, _, seconds)) in rounds.iter().enumerate() {
                now += Duration::from_secs(*seconds);
                {
                    let (mut world, mut history) = (outside.world(), history.lock().unwrap());
                    history.round = number;
                    between.iter().for_each(|event| event.happen(&mut world, &mut history));
                    history.begin(&world);
                }
                let read = if number % 3 == 2 {
                    // As a program that shows some destinations.
                    block_on_ready(async {
                        let (services, _) = session.counted_services_again(&mut memory, now).await?;
                        let mut all = Vec::new();
                        for state in services {
                            let key = state.service.key();
                            let read = session.counted_destinations_again(&mut memory, &key, None, now).await?;
                            all.push((state, read));
                        }
                        Ok(all)
                    })
                } else {
                    block_on_ready(session.counted_table_again(&mut memory, now))
                };
                let read = match read {
                    Ok(read) => read,
                    Err(Error::Unstable) => continue,
                    Err(error) => return Err(TestCaseError::fail(error.to_string())),
                };
                let history = history.lock().unwrap();
                let mut seen = HashSet::new();
                for (state, destinations) in read {
                    let key = state.service.key();
                    prop_assert!(seen.insert((key, None)), "{} is there twice", key);
                    check(&history, (key, None), state.statistics)?;
                    for state in destinations {
                        let id = (key, Some(state.destination.address));
                        prop_assert!(seen.insert(id), "{:?} is there twice", id);
                        check(&history, id, state.statistics)?;
                    }
                }
                for id in &history.there {
                    prop_assert!(seen.contains(id), "{:?} is missing", id);
                }
            }
            Ok(())
        })
        .unwrap();
}

/// What another program counts for a service of these tests.
fn counted(packets: u64, bytes: u64) -> Statistics {
    let mut counted = Statistics::default();
    (counted.connections, counted.packets_in, counted.bytes_in) = (packets / 2, packets, bytes);
    counted
}

/// One service's statistics, read again.
fn read_again(session: &mut Session<Blocking>, memory: &mut Memory, now: Instant) -> Statistics {
    let (services, _) = block_on_ready(session.counted_services_again(memory, now)).unwrap();
    services.iter().find(|state| state.service.key() == service(0)).unwrap().statistics.unwrap()
}

#[test]
fn netlink_is_asked_for_what_32_bits_do_not_tell() {
    let (mut session, _, outside) = busy(Vec::new());
    let (mut memory, now) = (Memory::default(), Instant::now());
    let five = u64::from(u32::MAX) + 5;
    let asked = |event: &log::Event| matches!(event, log::Event::ReadServices | log::Event::AskedService(_));
    for (what, statistics, seconds, is_asked) in [
        ("at first", counted(five, five * 20), 0, true),
        ("nothing", counted(five, five * 20), 1, false),
        ("some", counted(five + 7, five * 20 + 7000), 2, false),
        ("more than 8 GB", counted(five + 7, five * 20 + (9 << 30)), 3, true),
        ("less bytes", counted(five + 7, 1000), 4, true),
        ("less packets", counted(3, 2000), 5, true),
        ("short ones for an hour", counted(9, 3000), 3600, false),
        ("32 bits are used up", counted(five, 4000), 3601, true),
        ("five minutes", counted(five, 6000), 3902, true),
        ("not yet", counted(five, 7000), 4000, false),
    ] {
        outside.world().table.set_statistics(&service(0), statistics).unwrap();
        let before = outside.log.events().len();
        let read = read_again(&mut session, &mut memory, now + Duration::from_secs(seconds));
        assert_eq!(read, statistics, "{what}");
        assert_eq!(outside.log.events()[before..].iter().any(|(_, event)| asked(event)), is_asked, "{what}");
    }
}

/// 86 GB in packets that no network has: after a reset, as many bytes have moved as ever before.
#[test]
fn a_reset_that_is_not_seen_is_put_right_after_five_minutes() {
    let (mut session, _, outside) = busy(Vec::new());
    let (mut memory, now) = (Memory::default(), Instant::now());
    let long = counted(1 << 33, 1 << 38);
    outside.world().table.set_statistics(&service(0), long).unwrap();
    assert_eq!(read_again(&mut session, &mut memory, now), long);
    let anew = counted(1000, (1 << 38) + 1);
    outside.world().table.set_statistics(&service(0), anew).unwrap();
    assert_ne!(read_again(&mut session, &mut memory, now + Duration::from_secs(1)), anew);
    assert_eq!(read_again(&mut session, &mut memory, now + MOST_TIME), anew);
}

/// A rate of more than 32 bits stays one while nothing more moves.
#[test]
fn a_high_rate_is_asked_for_until_it_has_fallen() {
    let (mut session, _, outside) = busy(Vec::new());
    let (mut memory, now) = (Memory::default(), Instant::now());
    for rate in [5 << 30, 5 << 30, 6 << 30, 3 << 30, 2 << 30] {
        let mut statistics = counted(9, 900);
        statistics.rates.bytes_in = rate;
        outside.world().table.set_statistics(&service(0), statistics).unwrap();
        assert_eq!(read_again(&mut session, &mut memory, now), statistics);
    }
}
