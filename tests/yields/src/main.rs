//! Makes one call of the asynchronous client on a large table: `cargo lab bench --yields` counts
//! the instructions of each step.
//!
//! `yields` alone prints the names of the calls, one on each line; `yields CALL` makes one, between
//! what prepares it and a last step of nothing, which separates the call from what comes after it.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::task::{Context, Poll, Waker};

use ipvs::change::{Change, ChangeError, Phase, Planner, Progress};
use ipvs::{AsyncClient, Command, Destination, Service, ServiceKey, Table, Weight};

/// The calls, by name.
const CALLS: &[(&str, fn())] = &[
    ("reconcile_from_nothing", || reconcile(Table::new(), &many())),
    ("reconcile_of_ipv6_from_nothing", || reconcile(Table::new(), &many_of_ipv6())),
    ("reconcile_without_difference", || reconcile(many(), &many())),
    ("reconcile_of_ipv6_without_difference", || reconcile(many_of_ipv6(), &many_of_ipv6())),
    ("reconcile_of_all_weights", || reconcile(reweighted(&many()), &many())),
    ("reconcile_of_named_services", named_services),
    ("reconcile_to_nothing", || reconcile(many(), &Table::new())),
    ("table_with_statistics", || drop(count(AsyncClient::fake(many()).table()).unwrap())),
    ("undo", || drop(undo(Table::new(), many()))),
    ("large_service_from_nothing", || reconcile(Table::new(), &large())),
    ("large_service_without_difference", || reconcile(large(), &large())),
    ("large_service_of_ipv6_without_difference", || reconcile(large_of_ipv6(), &large_of_ipv6())),
    ("large_service_in_another_order", || reconcile(reversed(&large()), &large())),
    ("large_service_of_all_weights", || reconcile(reweighted(&large()), &large())),
    ("large_service_to_nothing", || reconcile(large(), &Table::new())),
    ("large_service_to_no_destinations", || reconcile(large(), &table([mark(1)], destinations(0)))),
    ("large_service_beside_the_same_work", beside_the_same_work),
    ("undo_of_a_large_service", || drop(undo(Table::new(), large()))),
    ("undo_of_a_deleted_large_service", undo_of_a_deletion),
    ("undo_of_all_weights_of_a_large_service", || drop(undo(large(), reweighted(&large())))),
];

/// How many services [`many`] has.
const SERVICES: u32 = 10_000;

/// How many destinations each of them has.
const EACH: u32 = 5;

/// How many destinations the only service of [`large`] has.
const DESTINATIONS: u32 = 10_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => CALLS.iter().for_each(|(name, _)| println!("{name}")),
        [name] if CALLS.iter().any(|(call, _)| call == name) => {
            CALLS.iter().filter(|(call, _)| call == name).for_each(|(_, call)| call());
        }
        _ => {
            eprintln!("usage: yields [CALL]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// One step of a call, from one yield to the next: a function of its own, for callgrind to find it
/// by its name.
#[inline(never)]
fn poll_once<F: Future>(call: Pin<&mut F>) -> Poll<F::Output> {
    call.poll(&mut Context::from_waker(Waker::noop()))
}

fn steps<F: Future>(call: F) -> F::Output {
    let mut call = pin!(call);
    loop {
        if let Poll::Ready(output) = poll_once(call.as_mut()) {
            return output;
        }
    }
}

fn count<F: Future>(call: F) -> F::Output {
    let output = steps(call);
    steps(async {});
    output
}

fn table(
    services: impl IntoIterator<Item = ServiceKey>,
    destinations: impl Iterator<Item = Destination> + Clone,
) -> Table {
    let mut table = Table::new();
    for key in services {
        table.apply(&Command::AddService(Service::new(key))).unwrap();
        for destination in destinations.clone() {
            table.apply(&Command::AddDestination(key, destination)).unwrap();
        }
    }
    table
}

fn destinations(count: u32) -> impl Iterator<Item = Destination> + Clone {
    (1..=count).map(|n| Destination::new(([10, (n >> 16) as u8, (n >> 8) as u8, n as u8], 0).into()))
}

fn destinations_of_ipv6(count: u32) -> impl Iterator<Item = Destination> + Clone {
    (1..=count).map(|n| {
        let address = [0x2001, 0xdb8, 1, 0, 0, 0, (n >> 16) as u16, n as u16];
        Destination::new((address, 80).into())
    })
}

fn mark(n: u32) -> ServiceKey {
    format!("mark {n}").parse().unwrap()
}

fn many() -> Table {
    table((1..=SERVICES).map(mark), destinations(EACH))
}

/// Services of IPv6, which are read in another way.
fn many_of_ipv6() -> Table {
    let key = |n| format!("tcp [2001:db8::{:x}:{:x}]:80", n >> 16, n & 0xffff).parse().unwrap();
    table((1..=SERVICES).map(key), destinations_of_ipv6(EACH))
}

fn large() -> Table {
    table([mark(1)], destinations(DESTINATIONS))
}

fn large_of_ipv6() -> Table {
    table(["tcp [2001:db8::1]:80".parse().unwrap()], destinations_of_ipv6(DESTINATIONS))
}

/// The destinations of each service in the reverse order.
fn reversed(table: &Table) -> Table {
    let mut other = Table::new();
    for entry in table.services() {
        let key = entry.service().key();
        other.apply(&Command::AddService(*entry.service())).unwrap();
        for state in entry.destinations().rev() {
            other.apply(&Command::AddDestination(key, state.destination)).unwrap();
        }
    }
    other
}

/// The same services and destinations with other weights.
fn reweighted(table: &Table) -> Table {
    let mut other = table.clone();
    for entry in table.services() {
        for state in entry.destinations() {
            let heavier = state.destination.with_weight(Weight::new(7).unwrap());
            other.apply(&Command::EditDestination(entry.service().key(), heavier)).unwrap();
        }
    }
    other
}

fn reconcile(present: Table, desired: &Table) {
    let mut director = AsyncClient::fake(present);
    count(director.reconcile(desired, &Planner::new().only_services())).unwrap();
}

fn named_services() {
    let desired = many();
    let planner = Planner::new().only_these_services(desired.services().map(|entry| entry.service().key()));
    let mut director = AsyncClient::fake(reweighted(&desired));
    count(director.reconcile(&desired, &planner)).unwrap();
}

/// Another program has made the same service, with its destinations in another order, after the
/// reading.
fn beside_the_same_work() {
    let change = Change::prepare(Table::new(), large(), Planner::new()).unwrap();
    let mut director = AsyncClient::fake(reversed(&large()));
    let applied = count(director.apply(&change, |_| ControlFlow::Continue(()))).unwrap();
    assert!(applied.commands.is_empty());
}

/// Of the commands that add and edit.
fn undo(before: Table, desired: Table) -> ChangeError {
    let change = Change::prepare(before.clone(), desired, Planner::new()).unwrap();
    let mut director = AsyncClient::fake(before);
    let hook = |phase| if phase == Phase::Undoing { Ok(()) } else { Err("no".to_owned()) };
    count(director.apply_with(&change, hook, |_| ControlFlow::Continue(()))).unwrap_err()
}

/// Of the deletion of a service, which is asked for before: it is interrupted before the next
/// deletion.
fn undo_of_a_deletion() {
    let mut before = table([mark(2)], destinations(1));
    large().services().for_each(|entry| before.adopt(entry.clone()));
    let change = Change::prepare(before.clone(), Table::new(), Planner::new().max_deletions(usize::MAX)).unwrap();
    let mut director = AsyncClient::fake(before);
    let interrupt = |progress: Progress| {
        if progress.done == 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let error = count(director.apply(&change, interrupt)).unwrap_err();
    assert_eq!(error.report.applied, [Command::DeleteService(mark(1))]);
}
