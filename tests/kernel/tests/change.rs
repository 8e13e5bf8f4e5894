//! Changes of whole tables, with interruptions and other writers, on the in-memory kernel and on
//! real ones.

use std::ops::ControlFlow;

use ipvs::{
    Client, Command, Destination, Forwarding, Scheduler, Service, ServiceKey, Table, Weight,
    change::{Applied, Change, ChangeError, DirectorState, Phase, Planner, Progress},
};
use kernel_tests::on_each_director;

#[path = "../../../ipvs/examples/controller.rs"]
#[expect(dead_code, reason = "a program of its own, too")]
mod controller;

on_each_director! {
    a_change_reaches_what_is_desired
    a_change_that_is_interrupted_is_undone
    a_change_bears_another_writer
    a_controller_brings_back_what_others_change
    a_controller_makes_nothing_of_a_file_with_an_error
}

fn key(n: u32) -> ServiceKey {
    format!("tcp 10.{}.{}.1:80", n / 250, n % 250).parse().unwrap()
}

/// The number of services, of three destinations each.
fn table(services: impl IntoIterator<Item = u32>, weight: u32) -> Table {
    let mut table = Table::new();
    for n in services {
        table.apply(&Command::AddService(Service::new(key(n)).with_scheduler(Scheduler::WRR))).unwrap();
        for host in 1..=3 {
            let server = Destination::new(([127, 0, 0, host], 80).into()).with_forwarding(Forwarding::Masquerade);
            let server = server.with_weight(Weight::new(weight).unwrap());
            table.apply(&Command::AddDestination(key(n), server)).unwrap();
        }
    }
    table
}

fn services_only() -> Planner {
    Planner::new().only_services()
}

fn is_as(client: &mut Client, table: &Table) -> bool {
    services_only().plan(&client.table().unwrap(), table).is_empty()
}

fn change(
    client: &mut Client,
    to: &Table,
    mut watch: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<Applied, ChangeError> {
    let change = Change::prepare(client.table().unwrap(), to.clone(), services_only()).unwrap();
    change.apply(client, &mut watch)
}

fn a_change_reaches_what_is_desired(client: &mut Client) {
    let (first, second) = (table(1..=300, 1), table(100..=400, 2));
    for desired in [&first, &second, &first, &Table::new()] {
        let made = change(client, desired, |_| ControlFlow::Continue(())).unwrap();
        assert!(!made.commands.is_empty() && made.attempts == 1);
        assert!(is_as(client, desired));
        assert_eq!(client.reconcile(desired, &services_only()).unwrap().commands.len(), 0);
    }
}

fn a_change_that_is_interrupted_is_undone(client: &mut Client) {
    let (from, to) = (table(1..=60, 1), table(41..=120, 2));
    change(client, &from, |_| ControlFlow::Continue(())).unwrap();
    for point in 0.. {
        let mut step = 0;
        let made = change(client, &to, |progress| {
            step += usize::from(progress.phase == Phase::Applying);
            if step > point { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let Err(unmade) = made else { break };
        assert_eq!(
            unmade.state,
            if point == 0 { DirectorState::Untouched } else { DirectorState::Undone },
            "{point}: {unmade}"
        );
        assert!(is_as(client, &from), "{point}");
    }
    assert!(is_as(client, &to));
}

fn a_change_bears_another_writer(client: &mut Client) {
    let mut other = client.try_clone().unwrap();
    let (to, service) = (table(1..=100, 1), Service::new(key(100)).with_scheduler(Scheduler::WRR));
    let made = change(client, &to, |progress| {
        if (progress.phase, progress.done, progress.total) == (Phase::Applying, 0, 400) {
            other.add_service(&service).unwrap();
        }
        ControlFlow::Continue(())
    });
    assert_eq!(made.unwrap().already_done, [Command::AddService(service)]);
    assert!(is_as(client, &to));
}

const FILE: &str = "tcp 192.0.2.1:80 = 127.0.0.1:80 127.0.0.2:80\n\nmark 10 = 127.0.0.1:0\n";

fn a_controller_brings_back_what_others_change(client: &mut Client) {
    let mut other = client.try_clone().unwrap();
    assert_eq!(controller::step(client, FILE).unwrap().commands.len(), 5);
    assert_eq!(controller::step(client, FILE).unwrap().commands.len(), 0);
    let web: ServiceKey = "tcp 192.0.2.1:80".parse().unwrap();
    other.delete_destination(&web, "127.0.0.2:80".parse().unwrap()).unwrap();
    other.add_service(&Service::new(key(1))).unwrap();
    let mut drained = other.destinations(&web).unwrap()[0].destination;
    drained.weight = Weight::ZERO;
    other.edit_destination(&web, &drained).unwrap();
    assert_eq!(controller::step(client, FILE).unwrap().commands.len(), 2, "the weight is none of its business");
    let table = client.table().unwrap();
    assert_eq!(table.services().len(), 2);
    assert_eq!(table.service(&web).unwrap().destination(&drained.address).unwrap().destination.weight, Weight::ZERO);
}

fn a_controller_makes_nothing_of_a_file_with_an_error(client: &mut Client) {
    for (line, reason) in [
        ("tcp 192.0.2.1:80 127.0.0.1:80", "there is no `='"),
        ("tcp 192.0.2.1 = 127.0.0.1:80", "192.0.2.1"),
        ("mark 10 = 127.0.0.1:0", "the service exists already"),
        ("mark 11 = 224.0.0.1:0", "does not accept one of the values"),
    ] {
        let error = controller::step(client, &format!("{FILE}{line}\n")).unwrap_err().to_string();
        assert!(error.starts_with("line 4: ") && error.contains(reason), "{error}");
        assert_eq!(client.services().unwrap().len(), 0);
    }
}
