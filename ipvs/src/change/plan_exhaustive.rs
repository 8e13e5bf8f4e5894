//! All pairs of tables with up to two services of up to two destinations, over a small set of
//! values: each plan is right, minimal, and never leaves a service without a usable destination
//! that has one before and after.
//!
//! Minimal means: one command for each entry that differs, and none for any other. A destination
//! that goes with its service is no entry of its own.
//!
//! Each run of the tests takes a slice; `IPVS_ALL_TABLES=1 cargo test --release -p linux-ipvs --lib
//! plan::exhaustive` takes all.

use std::collections::BTreeMap;

use super::*;
use crate::{Scheduler, Service, Weight};

/// A service has a scheduler and destinations; a destination is absent, or has a weight and an
/// upper threshold.
type Servers = [Option<(u32, u32)>; 2];
type OneService = Option<(Scheduler, Servers)>;
type Shape = [OneService; 2];

fn servers() -> Vec<Servers> {
    let values = [None, Some((0, 0)), Some((1, 0)), Some((2, 0)), Some((1, 5))];
    values.iter().flat_map(|first| values.iter().map(|second| [*first, *second])).collect()
}

fn shapes() -> Vec<Shape> {
    let whole = [Scheduler::RR, Scheduler::WLC]
        .into_iter()
        .flat_map(|scheduler| servers().into_iter().map(move |servers| Some((scheduler, servers))));
    let services: Vec<_> = std::iter::once(None).chain(whole).collect();
    services.iter().flat_map(|first| services.iter().map(|second| [*first, *second])).collect()
}

fn key(at: usize) -> ServiceKey {
    ["tcp 192.0.2.1:80", "mark 1"][at].parse().unwrap()
}

fn table(shape: &Shape) -> Table {
    let mut table = Table::new();
    for (at, (scheduler, servers)) in shape.iter().enumerate().filter_map(|(at, service)| Some((at, (*service)?))) {
        table.apply(&Command::AddService(Service::new(key(at)).with_scheduler(scheduler))).unwrap();
        for (host, (weight, upper_threshold)) in
            (11u8..).zip(servers).filter_map(|(host, server)| Some((host, server?)))
        {
            let address = SocketAddr::from(([192, 0, 2, host], 80));
            let server = Destination { upper_threshold, ..Destination::new(address) };
            let server = server.with_weight(Weight::new(weight).unwrap());
            table.apply(&Command::AddDestination(key(at), server)).unwrap();
        }
    }
    table
}

/// How many entries differ: the fewest commands that there can be.
fn distance(from: &Shape, to: &Shape) -> usize {
    let of_service = |(from, to): (&OneService, &OneService)| match (from, to) {
        (None, None) => 0,
        (Some(_), None) => 1,
        (None, Some((_, servers))) => 1 + servers.iter().flatten().count(),
        (Some((old, from)), Some((new, to))) => {
            usize::from(old != new) + from.iter().zip(to).filter(|(from, to)| from != to).count()
        }
    };
    from.iter().zip(to).map(of_service).sum()
}

fn usable(table: &Table) -> BTreeMap<ServiceKey, bool> {
    let any = |entry: &TableEntry| entry.destinations().any(|state| is_usable(&state.destination));
    table.services().map(|entry| (entry.service().key(), any(entry))).collect()
}

fn check(from: (&Shape, &Table), to: (&Shape, &Table)) {
    let plan = plan(from.1, to.1);
    assert_eq!(plan.commands().len(), distance(from.0, to.0), "{plan:?}");
    let (before, after) = (usable(from.1), usable(to.1));
    let kept: Vec<_> = before.iter().filter(|(key, usable)| **usable && after.get(key) == Some(&true)).collect();
    let mut table = from.1.clone();
    for command in plan.commands() {
        table.apply(command).unwrap_or_else(|refusal| panic!("{command:?}: {refusal}: {plan:?}"));
        for (key, _) in &kept {
            let entry = table.service(key).expect("it is there before and after");
            let has_usable = entry.destinations().any(|state| is_usable(&state.destination));
            assert!(has_usable, "{key} after {command:?}: {plan:?}");
        }
    }
    let shape = |table: &Table| -> BTreeMap<ServiceKey, (Service, BTreeMap<SocketAddr, Destination>)> {
        let destinations = |entry: &TableEntry| {
            entry.destinations().map(|state| (state.destination.address, state.destination)).collect()
        };
        table.services().map(|entry| (entry.service().key(), (*entry.service(), destinations(entry)))).collect()
    };
    assert_eq!(shape(&table), shape(to.1));
}

#[test]
fn each_plan_between_small_tables_is_right_minimal_and_keeps_services_usable() {
    let is_all = std::env::var_os("IPVS_ALL_TABLES").is_some();
    let shapes = shapes();
    let tables: Vec<Table> = shapes.iter().map(table).collect();
    // Both are primes, so that slices of both tables meet in all ways.
    let (from_step, to_step) = if is_all { (1, 1) } else { (37, 41) };
    let mut pairs = 0;
    for from in (0..shapes.len()).step_by(from_step) {
        for to in (0..shapes.len()).step_by(to_step) {
            check((&shapes[from], &tables[from]), (&shapes[to], &tables[to]));
            pairs += 1;
        }
    }
    println!("{pairs} pairs of {} tables", shapes.len());
    assert!(pairs > 4000, "{pairs}");
}
