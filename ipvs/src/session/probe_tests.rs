//! What is asked of the kernel, over the in-memory kernel. That kernels answer alike:
//! `tests/kernel/tests/client/suite.rs`.

use std::ops::ControlFlow;

use super::*;
use crate::client::Client;
use crate::{
    PersistenceEngine,
    change::{Change, Planner, ReconcileError},
};

fn key(n: u32) -> ServiceKey {
    format!("mark {n}").parse().unwrap()
}

/// A kernel with a scheduler and a persistence engine of its own.
fn own_modules() -> (Scheduler, PersistenceEngine, Table) {
    let (scheduler, engine) = (Scheduler::new("own").unwrap(), PersistenceEngine::new("mine").unwrap());
    (scheduler, engine, Table::new().with_module(scheduler).with_module(engine))
}

/// A desired state with this service, whatever any director has.
fn desired(service: Service) -> Table {
    let table = Table::new().with_module(service.scheduler);
    let mut table = service.engine.into_iter().fold(table, Table::with_module);
    table.apply(&Command::AddService(service)).unwrap();
    table
}

#[test]
fn names_outside_the_list_are_asked_of_the_kernel_and_not_refused() {
    let (scheduler, engine, table) = own_modules();
    let own = Service::new(key(1)).with_scheduler(scheduler).with_engine(engine);
    let mut client = Client::fake(table);
    assert_eq!(client.reconcile(&desired(own), &Planner::new()).unwrap().commands.len(), 1);
    assert_eq!(client.reconcile(&desired(own), &Planner::new()).unwrap().commands.len(), 0);
    assert_eq!(client.services().unwrap()[0].service, own);
    let other = own.with_scheduler(Scheduler::new("other").unwrap());
    let sap = own.with_engine(PersistenceEngine::new("sap").unwrap());
    for (service, said) in [
        (other, "the kernel says that it has no scheduler other (module ip_vs_other)"),
        (sap, "the kernel says that it has no persistence engine sap (module ip_vs_pe_sap)"),
    ] {
        let mut more = desired(service);
        more.apply(&Command::AddService(Service::new(key(2)))).unwrap();
        let error = client.reconcile(&more, &Planner::new()).unwrap_err();
        let ReconcileError::Rejected(rejected) = error else { panic!("{error}") };
        assert!(rejected.refusals[0].1.to_string().starts_with(said), "{rejected}");
        assert_eq!(client.services().unwrap().len(), 1, "nothing was sent");
    }
}

#[test]
fn a_kernel_without_a_module_of_the_tree_says_so_before_anything_is_sent() {
    let mut client = Client::fake(Table::new().without_module(Scheduler::TWOS));
    let mut table = desired(Service::new(key(1)));
    table.apply(&Command::AddService(Service::new(key(2)).with_scheduler(Scheduler::TWOS))).unwrap();
    let error = client.reconcile(&table, &Planner::new()).unwrap_err();
    assert!(matches!(&error, ReconcileError::Rejected(rejected) if rejected.refusals.len() == 1), "{error}");
    assert_eq!(client.services().unwrap().len(), 0);
}

/// Where nobody asked the kernel, or nobody can.
#[test]
fn what_was_not_asked_is_left_to_the_kernel_and_undone() {
    let (scheduler, _, table) = own_modules();
    let mut more = desired(Service::new(key(1)).with_scheduler(scheduler));
    more.apply(&Command::AddService(Service::new(key(2)))).unwrap();
    for (table, is_there) in [(table, true), (Table::new(), false)] {
        let mut client = Client::fake(table);
        let change = Change::prepare(client.table().unwrap(), more.clone(), Planner::new()).unwrap();
        let applied = change.apply(&mut client, |_| ControlFlow::Continue(()));
        assert_eq!(applied.is_ok(), is_there);
        assert_eq!(client.services().unwrap().len(), if is_there { 2 } else { 0 });
    }
}

/// A file of 10,000 made-up names must not make the kernel look for 10,000 modules.
#[test]
fn after_ten_missing_modules_no_more_are_asked_for() {
    let named = |n: u32| Service::new(key(n)).with_scheduler(Scheduler::new(format!("made-up-{n}")).unwrap());
    let commands: Vec<_> = (1..=100).map(|n| Command::AddService(named(n))).collect();
    let mut client = Client::fake(Table::new());
    let mut table = client.table().unwrap();
    client.probe(&mut table, &commands).unwrap();
    assert_eq!(commands.iter().filter(|command| table.explain(command).is_some()).count(), 10);
}

#[test]
fn thresholds_are_asked_of_a_kernel_that_has_a_service() {
    let with = |behaviors| {
        let mut client = Client::fake(desired(Service::new(key(1))).with_behaviors(behaviors));
        // As of a version that is known for the opposite.
        let mut read = client.table().unwrap().with_behaviors(Behaviors::all() - behaviors);
        let high = Destination { upper_threshold: 1 << 31, ..Destination::new("192.0.2.13:80".parse().unwrap()) };
        let add = Command::AddDestination(key(1), high);
        client.probe(&mut read, [&add]).unwrap();
        assert_eq!(read.explain(&add).map(|cause| cause.errno()), client.execute(&add).err().and_then(|e| e.errno()));
        read.behaviors().contains(Behaviors::SIGNED_UPPER_THRESHOLD)
    };
    assert!(with(Behaviors::SIGNED_UPPER_THRESHOLD));
    assert!(!with(Behaviors::empty()));
}
