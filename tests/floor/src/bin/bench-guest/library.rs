//! What a command, and a reconciliation of one service, cost a program that has the library inside:
//! no start, no text to read.

use std::{ops::ControlFlow, path::Path, thread, time::Instant};

use ipvs::{
    Client, Command, Counters, Destination, Forwarding, Scheduler, Service, ServiceKey, Table, Weight,
    change::{Change, Planner},
};

use crate::{
    measure::{Expected, SETTLE, is_table, report_wrong},
    world::{Edit, edits, server, service},
};

/// How often one service is reconciled each way. The figure is the median: the first time, the
/// program's pages are loaded.
const RECONCILIATIONS: u32 = 3;

/// Makes the table and changes its weights, each as one batch. Gives whether the reference finds
/// its own tables then.
pub(crate) fn measure(reference: &Path, size: (u32, u32), count: u32, expected: &Expected) -> Result<bool, String> {
    let mut client = Client::connect().map_err(|error| error.to_string())?;
    let is_made = time("create", &mut client, &creation(size)?, reference, &expected.restored)?;
    let is_altered = time("alter", &mut client, &alteration(size, count)?, reference, &expected.edited)?;
    Ok(is_made && is_altered)
}

/// Gives the first destination of one service another weight, as a controller does in a table of
/// many services: by `reconcile`, which reads this service, and by a reading of the whole table.
/// Gives the service's number and its last weight.
pub(crate) fn reconcile((services, destinations): (u32, u32)) -> Result<(u32, u32), String> {
    let number = services / 2;
    let key = key(number)?;
    let planner = Planner::new().only_these_services([key]);
    let mut client = Client::connect().map_err(|error| error.to_string())?;
    let mut weight = 1000;
    for _ in 0..RECONCILIATIONS {
        for operation in ["reconcile-one", "reconcile-whole"] {
            weight += 1;
            let desired = one_service(key, number, destinations, weight)?;
            thread::sleep(SETTLE);
            let start = Instant::now();
            let done = match operation {
                "reconcile-one" => client.reconcile(&desired, &planner).map_err(|error| error.to_string())?,
                _ => {
                    let before = client.table_without_statistics().map_err(|error| error.to_string())?;
                    let change =
                        Change::prepare(before, desired, planner.clone()).map_err(|error| error.to_string())?;
                    let done = change.apply(&mut client, |_| ControlFlow::Continue(()));
                    done.map_err(|error| error.to_string())?
                }
            };
            println!("figure {operation} ipvs-cli {}", start.elapsed().as_nanos());
            if done.commands.len() != 1 {
                return Err(format!("{operation} has sent {} commands", done.commands.len()));
            }
        }
    }
    Ok((number, weight))
}

/// How often counters are read again. The figure is the median.
const READINGS: u32 = 3;

/// Reads all counters, as an exporter does, for the first time and then again.
pub(crate) fn count((services, destinations): (u32, u32)) -> Result<(), String> {
    let mut client = Client::connect().map_err(|error| error.to_string())?;
    let mut counters = Counters::new();
    for number in 0..=READINGS {
        let operation = if number == 0 { "count-first" } else { "count" };
        thread::sleep(SETTLE);
        let start = Instant::now();
        let read = counters.all(&mut client).map_err(|error| error.to_string())?;
        println!("figure {operation} ipvs-cli {}", start.elapsed().as_nanos());
        if read.len() != services as usize || read.iter().any(|(_, all)| all.len() != destinations as usize) {
            return Err(format!("{operation}: services or destinations are missing"));
        }
    }
    Ok(())
}

/// The service, with this weight for its first destination.
fn one_service(key: ServiceKey, number: u32, destinations: u32, weight: u32) -> Result<Table, String> {
    let mut commands = vec![Command::AddService(Service::new(key).with_scheduler(Scheduler::RR))];
    for index in 0..destinations {
        let weight = if index == 0 { weight } else { 1 + index % 100 };
        commands.push(Command::AddDestination(key, destination(number, index, weight)?));
    }
    let mut table = Table::new();
    commands.iter().try_for_each(|command| table.apply(command)).map_err(|refusal| refusal.to_string())?;
    Ok(table)
}

/// Prints the time of a command.
fn time(
    operation: &str,
    client: &mut Client,
    commands: &[Command],
    reference: &Path,
    expected: &str,
) -> Result<bool, String> {
    thread::sleep(SETTLE);
    let start = Instant::now();
    let outcomes = client.execute_all(commands).map_err(|error| error.to_string())?;
    let took = start.elapsed();
    println!("figure {operation} library {}", took.as_nanos() / commands.len() as u128);
    if let Some(refusal) = outcomes.into_iter().find_map(Result::err) {
        report_wrong(operation, "library", &refusal.to_string());
        return Ok(false);
    }
    is_table(operation, "library", reference, expected)
}

fn creation((services, destinations): (u32, u32)) -> Result<Vec<Command>, String> {
    let mut commands = Vec::new();
    for number in 0..services {
        let key = key(number)?;
        commands.push(Command::AddService(Service::new(key).with_scheduler(Scheduler::RR)));
        for index in 0..destinations {
            commands.push(Command::AddDestination(key, destination(number, index, 1 + index % 100)?));
        }
    }
    Ok(commands)
}

fn alteration(size: (u32, u32), count: u32) -> Result<Vec<Command>, String> {
    let alter = |Edit { service, destination: index, weight }| {
        Ok(Command::EditDestination(key(service)?, destination(service, index, weight)?))
    };
    edits(size, count).map(alter).collect()
}

fn key(number: u32) -> Result<ServiceKey, String> {
    format!("tcp {}", service(number)).parse().map_err(|error| format!("{error}"))
}

fn destination(number: u32, index: u32, weight: u32) -> Result<Destination, String> {
    let at = server(number, index).parse().map_err(|error| format!("{error}"))?;
    let weight = Weight::new(weight).map_err(|error| error.to_string())?;
    Ok(Destination::new(at).with_forwarding(Forwarding::Masquerade).with_weight(weight))
}
