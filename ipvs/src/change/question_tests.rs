//! How often a change asks the kernel for a service of many destinations, and what it does with the
//! reply.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::client::Client;
use crate::fake::log::Event;
use crate::fake::{Fake, Others};
use crate::link::Link;
use crate::wire::{self, Body, Read, Request};
use crate::{Destination, Scheduler, Service, ServiceKey, Weight};

/// How many destinations: several datagrams.
const MANY: u16 = 1000;

/// Commands in one datagram.
const WINDOW: usize = crate::exchange::MAX_WINDOW as usize;

fn key() -> ServiceKey {
    "mark 1".parse().unwrap()
}

fn server(port: u16) -> Destination {
    Destination::new(([192, 0, 2, 1], port).into())
}

fn table(ports: impl IntoIterator<Item = u16>, upper_threshold: u32) -> Table {
    let mut table = Table::new();
    table.apply(&Command::AddService(Service::new(key()))).unwrap();
    for port in ports {
        let destination = Destination { upper_threshold, ..server(port) };
        table.apply(&Command::AddDestination(key(), destination)).unwrap();
    }
    table
}

fn client_of(link: Link) -> Client {
    Client::over(link, Duration::from_secs(1)).unwrap()
}

/// Makes a change, which the hook may end, on a kernel that has `present`. How often was asked for
/// the service, and for its destinations?
fn questions(change: &Change, present: Table, is_undone: bool) -> (Result<Applied, ChangeError>, usize, usize) {
    let kernel = Fake::new(present);
    let witness = kernel.another();
    let hook = |phase| if is_undone && phase != Phase::Undoing { Err("no".to_owned()) } else { Ok(()) };
    let made = change.apply_with(&mut client_of(Link::Fake(Box::new(kernel))), hook, |_| ControlFlow::Continue(()));
    let events = witness.log.events();
    let count = |asked| events.iter().filter(|(_, event)| *event == asked).count();
    (made, count(Event::AskedService(key())), count(Event::AskedDestinations(key())))
}

/// Another program has made the same service, with its destinations in another order.
#[test]
fn what_exists_already_is_compared_without_another_plan() {
    let plans = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&plans);
    let planner = Planner::new().services_where(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        true
    });
    let change = Change::prepare(Table::new(), table(1..=MANY, 0), planner).unwrap();
    let planned = plans.load(Ordering::Relaxed);
    let (made, asked, _) = questions(&change, table((1..=MANY).rev(), 0), false);
    let applied = made.unwrap();
    assert_eq!((applied.commands.len(), applied.already_done.len(), applied.attempts), (0, 1 + usize::from(MANY), 1));
    assert_eq!(plans.load(Ordering::Relaxed), planned, "nothing is planned again");
    assert_eq!(asked, 1, "to compare");
}

/// They are read together, not one by one.
#[test]
fn other_services_of_ipv6_are_read_in_a_dump() {
    let all = |ports: std::ops::RangeInclusive<u16>| {
        let mut table = Table::new();
        for port in ports {
            let key = ServiceKey::tcp(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], port));
            table.apply(&Command::AddService(Service::new(key))).unwrap();
        }
        table
    };
    let (before, desired) = (all(2..=MANY), all(1..=MANY));
    let change = Change::prepare(before.clone(), desired, Planner::new()).unwrap();
    let kernel = Fake::new(before);
    let witness = kernel.another();
    change.apply(&mut client_of(Link::Fake(Box::new(kernel))), |_| ControlFlow::Continue(())).unwrap();
    let events = witness.log.events();
    let asked = events.iter().filter(|(_, event)| matches!(event, Event::AskedService(_))).count();
    assert_eq!(asked, 1, "the service that was added");
}

/// Services without destinations, with these numbers.
fn services(numbers: std::ops::RangeInclusive<u32>) -> Table {
    let mut table = Table::new();
    for number in numbers {
        let key = ServiceKey::tcp(([192, 0, 2, 1], u16::try_from(number).unwrap()));
        table.apply(&Command::AddService(Service::new(key))).unwrap();
    }
    table
}

/// What the change asked for, but for the destinations of services: readings of all services, and
/// questions about one.
fn readings(planner: Planner, before: &Table, desired: &Table, others: Option<Others>) -> (Applied, usize, usize) {
    let change = Change::prepare(before.clone(), desired.clone(), planner).unwrap();
    let mut kernel = Fake::new(before.clone());
    // So that services are dumped, and dumps can be counted.
    kernel.world().elsewhere = vec![services(1..=1)];
    kernel.others = others;
    let witness = kernel.another();
    let applied = change.apply(&mut client_of(Link::Fake(Box::new(kernel))), |_| ControlFlow::Continue(())).unwrap();
    let events = witness.log.events();
    let count = |is: fn(&Event) -> bool| events.iter().filter(|(_, event)| is(event)).count();
    let asked = count(|event| matches!(event, Event::AskedService(_)));
    (applied, count(|event| *event == Event::ReadServices), asked)
}

#[test]
fn many_changed_services_are_read_together_and_few_by_themselves() {
    let (empty, some, all) = (Table::new(), services(2..=40), services(1..=40));
    for (before, desired, expected) in
        [(&empty, &all, (1, 0)), (&all, &empty, (1, 0)), (&some, &all, (0, 1)), (&all, &some, (0, 1))]
    {
        let (applied, readings, asked) = readings(Planner::new(), before, desired, None);
        assert_eq!((applied.attempts, (readings, asked)), (1, expected));
    }
    // What a plan for a part costs does not grow with the director.
    let keys = all.services().map(|entry| entry.service().key());
    let (applied, readings, asked) = readings(Planner::new().only_these_services(keys), &empty, &all, None);
    assert_eq!((applied.attempts, readings, asked), (1, 0, 40));
}

/// Services of other programs, which make the kernel give them all other places.
#[test]
fn a_result_that_no_reading_shows_whole_is_asked_for_service_by_service() {
    let desired = services(1..=300);
    let mut seed = 0;
    let others = Others(Box::new(move |world| {
        seed += 1;
        world.seed = Some(seed);
    }));
    let (applied, readings, asked) = readings(Planner::new(), &Table::new(), &desired, Some(others));
    assert_eq!((applied.attempts, asked), (1, 300));
    assert!(readings > 1, "{readings}");
}

#[test]
fn a_change_that_sends_nothing_asks_nothing() {
    let table = table(1..=2, 0);
    let change = Change::prepare(table.clone(), table.clone(), Planner::new()).unwrap();
    let kernel = Fake::new(table);
    let witness = kernel.another();
    let made = change.apply(&mut client_of(Link::Fake(Box::new(kernel))), |_| ControlFlow::Continue(()));
    assert_eq!((made.unwrap(), witness.log.events()), (Applied::default(), vec![]));
}

#[test]
fn one_reply_covers_as_many_commands_as_it_has_entries() {
    let owner = || Planner::new().leaving_others();
    let (plain, limited, empty) = (table(1..=MANY, 0), table(1..=MANY, 9), Table::new());
    for (planner, before, desired) in [
        (owner(), &plain, &limited),
        (owner(), &plain, &table([1], 0)),
        (owner(), &plain, &empty),
        (Planner::new().keep_weights(), &plain, &limited),
        (Planner::new().keep_weights(), &plain, &table([1], 0)),
        (Planner::new().max_deletions(usize::MAX), &plain, &empty),
    ] {
        let change = Change::prepare(before.clone(), desired.clone(), planner.clone()).unwrap();
        let (made, asked, _) = questions(&change, before.clone(), false);
        assert_eq!((made.unwrap().attempts, asked), (1, 1), "{planner:?}");
    }
}

/// Whose service it is decides about additions, and its destinations do not.
#[test]
fn before_additions_an_owner_asks_for_the_service_alone() {
    let (before, desired) = (table(1..=MANY, 0), table(1..=2 * MANY, 0));
    let change = Change::prepare(before.clone(), desired, Planner::new().leaving_others()).unwrap();
    let (made, asked, destinations) = questions(&change, before, false);
    let datagrams = usize::from(MANY).div_ceil(WINDOW);
    assert_eq!((made.unwrap().attempts, asked, destinations), (1, datagrams, 1), "destinations are read at the end");
}

#[test]
fn an_undo_asks_a_few_times_for_a_service_of_many_destinations() {
    let (plain, limited, one) = (table(1..=MANY, 0), table(1..=MANY, 9), table([1], 0));
    for (before, desired) in [(&plain, &limited), (&one, &plain)] {
        let change = Change::prepare(before.clone(), desired.clone(), Planner::new()).unwrap();
        let (made, asked, _) = questions(&change, before.clone(), true);
        let error = made.unwrap_err();
        assert_eq!((error.state, error.report.undone.len()), (DirectorState::Undone, error.report.applied.len()));
        assert!(asked <= 3, "{asked}");
    }
}

/// What comes back may at any moment become another writer's, so its first destinations go one
/// datagram at a time.
#[test]
fn a_service_that_comes_back_is_asked_for_again_and_again() {
    let mut before = Table::new();
    before.apply(&Command::AddService(Service::new("mark 2".parse().unwrap()))).unwrap();
    before.adopt(table(1..=MANY, 0).service(&key()).unwrap().clone());
    let kernel = Fake::new(before.clone());
    let witness = kernel.another();
    let change = Change::prepare(before, Table::new(), Planner::new().max_deletions(usize::MAX)).unwrap();
    let error = change
        .apply(&mut client_of(Link::Fake(Box::new(kernel))), |progress| match progress.done {
            0 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        })
        .unwrap_err();
    assert_eq!((error.state, &error.report.applied[..]), (DirectorState::Undone, &[Command::DeleteService(key())][..]));
    // How many destinations the service has when it is asked for: before the deletion, then in the
    // first pass, then in the second.
    let mut counts = vec![];
    let mut count = usize::from(MANY);
    for (_, event) in witness.log.events() {
        match event {
            Event::AskedService(asked) if asked == key() => counts.push(count),
            Event::Done(Command::AddDestination(..)) => count += 1,
            Event::Done(Command::DeleteService(_)) => count = 0,
            _ => {}
        }
    }
    assert_eq!(counts, [1000, 0, 0, WINDOW, 2 * WINDOW, 4 * WINDOW, 8 * WINDOW, 1000, 1000]);
}

/// Does a datagram change something, or read? `None`: it goes on with a question.
fn is_change(datagram: &[u8]) -> Option<bool> {
    let kind = |message: Result<(wire::Header, Body<'_>), _>| {
        let Ok((header, Body::Family { command, attrs })) = message else { return None };
        match wire::decode_request(&header, command, attrs).ok()?? {
            Request::Change(_) => Some(true),
            Request::Read(Read::Destinations(_)) | Request::Resolve => None,
            Request::Read(_) => Some(false),
        }
    };
    wire::messages(datagram).find_map(kind)
}

/// Another program deletes a service or its destination right before the service is asked for, and
/// makes it anew after the reply.
#[test]
fn nothing_is_sent_about_what_was_not_there_when_asked_for() {
    let (owner, keeping, limited) =
        (Planner::new().leaving_others(), Planner::new().keep_weights(), Planner::new().max_deletions(9));
    let (edited, emptied, extended) = (table([1], 9), table([], 0), table(1..=3, 0));
    let foreign = server(1).with_weight(Weight::new(7).unwrap());
    let anew = [
        Command::AddService(Service::new(key()).with_scheduler(Scheduler::LC)),
        Command::AddDestination(key(), foreign),
    ];
    for (planner, desired, deletion, anew) in [
        (&owner, &edited, Command::DeleteService(key()), &anew[..]),
        (&owner, &emptied, Command::DeleteService(key()), &anew),
        (&owner, &extended, Command::DeleteService(key()), &anew),
        (&owner, &Table::new(), Command::DeleteService(key()), &anew),
        (&keeping, &edited, Command::DeleteService(key()), &anew),
        (&limited, &Table::new(), Command::DeleteService(key()), &anew),
        (&owner, &edited, Command::DeleteDestination(key(), foreign.address), &anew[1..]),
        (&owner, &emptied, Command::DeleteDestination(key(), foreign.address), &anew[1..]),
        (&keeping, &edited, Command::DeleteDestination(key(), foreign.address), &anew[1..]),
    ] {
        let before = table([1], 0);
        let kernel = Fake::new(before.clone());
        let mut other = client_of(Link::Fake(Box::new(kernel.of_another_program())));
        let (mut to_do, anew) = (vec![anew.to_vec(), vec![deletion]], anew.to_vec());
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        kernel.script().writer = Some(Box::new(move |datagram| match (is_change(datagram), to_do.len()) {
            (None, _) | (_, 0) | (Some(true), 2) => {}
            (Some(is_change), _) => {
                counted.fetch_add(usize::from(is_change), Ordering::Relaxed);
                to_do.pop().unwrap().iter().for_each(|command| other.execute(command).unwrap());
            }
        }));
        let change = Change::prepare(before, desired.clone(), planner.clone()).unwrap();
        let made = change.apply(&mut client_of(Link::Fake(Box::new(kernel))), |_| ControlFlow::Continue(()));
        assert_eq!(sent.load(Ordering::Relaxed), 0, "{planner:?} {desired:?} {anew:?}: {made:?}");
    }
}
