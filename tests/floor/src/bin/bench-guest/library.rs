//! What a command costs a program that has the library inside: no start, no text to read.

use std::{path::Path, thread, time::Instant};

use ipvs::{Client, Command, Destination, Forwarding, Scheduler, Service, ServiceKey, Weight};

use crate::{
    measure::{Expected, SETTLE, is_table, tell_wrong},
    world::{Edit, edits, server, service},
};

/// Makes the table and changes its weights, each as one batch. Gives whether the reference finds its own tables then.
pub(crate) fn measure(reference: &Path, size: (u32, u32), count: u32, expected: &Expected) -> Result<bool, String> {
    let mut client = Client::connect().map_err(|error| error.to_string())?;
    let is_made = time("create", &mut client, &creation(size)?, reference, &expected.restored)?;
    let is_altered = time("alter", &mut client, &alteration(size, count)?, reference, &expected.edited)?;
    Ok(is_made && is_altered)
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
        tell_wrong(operation, "library", &refusal.to_string());
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
