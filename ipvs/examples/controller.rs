//! A controller: keeps the services of a director as a file has them, even if other programs change
//! them.
//!
//! Each line of the file is a service and its destinations,
//! `tcp 192.0.2.1:80 = 192.0.2.11:80 192.0.2.12:80`. A line `owns 192.0.2.1` says that the services
//! of this virtual address are the controller's and that all others are not: others stay as they
//! are, and a service of that address that is not in the file is found and deleted, after a
//! restart, too. Without such a line all services of the director are the controller's.
//!
//! ```sh
//! cargo run --example controller -- --kernel services.txt
//! ```
//!
//! Runs on an in-memory director; with `--kernel`, as root, on this machine's. A file without
//! services, or one that is not there, is never a desired state: it may be being written. Replace
//! the file by renaming another to its name. A module that is loaded again has lost its table,
//! which the next round brings back. Timeouts, sync daemons and the weights of destinations that
//! are there already are none of its business.

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;
use std::{env, fs, thread};

use ipvs::{
    Client, Command, Destination, Forwarding, Scheduler, Service, ServiceKey, Table,
    change::{Applied, Planner},
};

fn main() -> Result<(), Box<dyn Error>> {
    let (options, words): (Vec<_>, Vec<_>) = env::args().skip(1).partition(|word| word == "--kernel");
    let path = words.first().ok_or("give the file with the services")?;
    let mut director = if options.is_empty() { Client::fake(Table::new()) } else { Client::connect()? };
    let mut last_error = String::new();
    loop {
        // The next round may do better: nothing is left half done.
        let error = match fs::read_to_string(path).map_err(Into::into).and_then(|text| step(&mut director, &text)) {
            Ok(Applied { commands, .. }) if commands.is_empty() => String::new(),
            Ok(applied) => {
                println!("{} commands brought the director to what {path} says", applied.commands.len());
                String::new()
            }
            Err(error) => error.to_string(),
        };
        if !error.is_empty() && error != last_error {
            eprintln!("{path}: {error}");
        }
        last_error = error;
        thread::sleep(Duration::from_secs(1));
    }
}

/// One round: the smallest change that makes the controller's services those of the text.
pub(crate) fn step(director: &mut Client, text: &str) -> Result<Applied, Box<dyn Error>> {
    let Desired { table, owned } = desired(text)?;
    let planner = Planner::new().only_services().keep_weights();
    let planner = if owned.is_empty() { planner } else { planner.services_where(move |key| is_of(key, &owned)) };
    Ok(director.reconcile(&table, &planner)?)
}

/// What a file says.
#[derive(Default)]
struct Desired {
    table: Table,
    /// The virtual addresses that are the controller's; none: all are.
    owned: Vec<IpAddr>,
}

/// What the text says; the error names its line.
fn desired(text: &str) -> Result<Desired, String> {
    let mut desired = Desired::default();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        add_line(&mut desired, line).map_err(|error| format!("line {}: {error}", number + 1))?;
    }
    let Desired { table, owned } = &desired;
    if table.services().len() == 0 {
        return Err("there is no service in it: the director stays as it is".to_owned());
    }
    for key in table.services().map(|entry| entry.service().key()) {
        if !owned.is_empty() && !is_of(&key, owned) {
            return Err(format!("{key} is not of an address that a line `owns` has"));
        }
    }
    Ok(desired)
}

fn is_of(key: &ServiceKey, addresses: &[IpAddr]) -> bool {
    matches!(key, ServiceKey::Address { at, .. } if addresses.contains(&at.ip()))
}

fn add_line(desired: &mut Desired, line: &str) -> Result<(), Box<dyn Error>> {
    if let Some(addresses) = line.trim().strip_prefix("owns ") {
        for address in addresses.split_whitespace() {
            desired.owned.push(address.parse()?);
        }
        return Ok(());
    }
    let (service, servers) = line.split_once('=').ok_or("there is no `='")?;
    let key: ServiceKey = service.trim().parse()?;
    // A table refuses what the kernel would refuse: duplicates, addresses that are no hosts.
    desired.table.apply(&Command::AddService(Service::new(key).with_scheduler(Scheduler::WLC)))?;
    for server in servers.split_whitespace() {
        let server = Destination::new(server.parse()?).with_forwarding(Forwarding::Masquerade);
        desired.table.apply(&Command::AddDestination(key, server))?;
    }
    Ok(())
}
