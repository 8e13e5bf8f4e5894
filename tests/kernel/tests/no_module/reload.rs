//! Clients when the module goes and comes back, with another number of its family each time.

use std::sync::PoisonError;

use ipvs::monitor::{EventKind, Monitor};
use ipvs::{AsyncClient, Client, Command, Errno, Error, Service, ServiceKey, Table, change::Planner};
use kernel_tests::sandbox;

#[path = "../../../../ipvs/examples/controller.rs"]
#[expect(dead_code, reason = "a program of its own, too")]
mod controller;

use super::{MACHINE, NoLoader, unload};

fn key(n: u32) -> ServiceKey {
    format!("mark {n}").parse().unwrap()
}

fn add(n: u32) -> Command {
    Command::AddService(Service::new(key(n)))
}

fn services(client: &mut Client) -> usize {
    client.table().unwrap().services().len()
}

/// Unloads the module as an administrator would: with services it is in use.
fn unload_with(client: &mut Client) {
    client.flush().unwrap();
    unload();
}

#[test]
fn clients_outlive_the_module() {
    if std::env::var_os("LAB_KERNEL").is_none() {
        eprintln!("not run: it unloads ip_vs, which only the lab's guest can do without");
        return;
    }
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    sandbox::enter_network().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut client = Client::connect().unwrap();
    let mut asynchronous = runtime.block_on(AsyncClient::connect()).unwrap();
    client.execute(&add(1)).unwrap();

    // Without it, that is what each call says, and nothing else.
    let loader = NoLoader::new();
    unload_with(&mut client);
    assert!(matches!(client.table(), Err(Error::ModuleMissing)));
    assert!(matches!(client.execute(&add(1)), Err(Error::ModuleMissing)));
    assert!(matches!(client.execute_all(&[add(1), Command::Flush]), Err(Error::ModuleMissing)));
    assert!(matches!(client.try_clone().unwrap().info(), Err(Error::ModuleMissing)));
    assert!(matches!(runtime.block_on(asynchronous.table()), Err(Error::ModuleMissing)));
    drop(loader);

    // The first request has the kernel load it, and is then carried out.
    client.execute(&add(2)).unwrap();
    assert_eq!(services(&mut client), 1);
    assert_eq!(runtime.block_on(asynchronous.services()).unwrap().len(), 1);

    // Many at once, and reads, come through as well.
    unload_with(&mut client);
    let many: Vec<_> = (1..=300).map(add).collect();
    assert!(client.execute_all(&many).unwrap().iter().all(Result::is_ok));
    assert_eq!(runtime.block_on(asynchronous.table()).unwrap().services().len(), 300);
    unload_with(&mut client);
    assert_eq!(services(&mut client), 0);
    assert_eq!(runtime.block_on(asynchronous.table()).unwrap().services().len(), 0);

    // A change that was not foreseen to meet a new module is made all the same.
    let mut desired = Table::new();
    (1..=10).for_each(|n| desired.apply(&add(n)).unwrap());
    unload_with(&mut client);
    client.reconcile(&desired, &Planner::new().only_services()).unwrap();
    unload_with(&mut client);
    runtime.block_on(asynchronous.reconcile(&desired, &Planner::new().only_services())).unwrap();
    assert_eq!(services(&mut client), 10);

    // A scheduler that is missing has the same error number, and is not taken for it.
    unload_with(&mut client);
    let unknown = Command::AddService(Service::new(key(1)).with_scheduler("zz".parse().unwrap()));
    for _ in 0..2 {
        assert!(matches!(client.execute(&unknown), Err(Error::Refused(refusal)) if refusal.errno == Errno::ENOENT));
    }
    client.flush().unwrap();

    // The example loses its table with the module, and makes it again.
    let text = "tcp 192.0.2.1:80 = 127.0.0.1:80\n";
    for _ in 0..2 {
        assert_eq!(controller::step(&mut client, text).unwrap().commands.len(), 2);
        unload_with(&mut client);
    }
}

#[test]
fn a_monitor_follows_the_module() {
    if std::env::var_os("LAB_KERNEL").is_none() {
        eprintln!("not run: it unloads ip_vs, which only the lab's guest can do without");
        return;
    }
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    sandbox::enter_network().unwrap();
    let mut client = Client::connect().unwrap();
    let monitor = Monitor::open().unwrap();
    client.execute(&add(1)).unwrap();
    unload_with(&mut client);
    client.execute(&add(2)).unwrap();
    let mut events = monitor.map(|event| event.unwrap().kind);
    let mut until = |last: &dyn Fn(&EventKind) -> bool| while !last(&events.next().unwrap()) {};
    until(&|kind| *kind == EventKind::ModuleUnloaded);
    until(&|kind| *kind == EventKind::ModuleLoaded);
    // By a request, or, if the filter was not replaced in time, by comparing.
    let is_add = |number: u32| {
        move |kind: &EventKind| match kind {
            EventKind::Request { action, .. } => action.command() == Some(&add(number)),
            EventKind::Found(command) => *command == add(number),
            _ => false,
        }
    };
    until(&is_add(2));
    client.execute(&add(3)).unwrap();
    let is_request = |kind: &EventKind| matches!(kind, EventKind::Request { .. });
    until(&|kind| is_request(kind) && is_add(3)(kind));
}
