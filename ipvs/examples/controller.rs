//! A controller: keeps the services of a director as a file has them, whoever else changes them.
//!
//! Each line of the file is a service and its destinations, `tcp 192.0.2.1:80 = 192.0.2.11:80 192.0.2.12:80`. As root:
//!
//! ```sh
//! cargo run --example controller -- services.txt
//! ```
//!
//! Timeouts, sync daemons and the weights of destinations that are there already are none of its business.

use std::error::Error;
use std::time::Duration;
use std::{env, fs, thread};

use ipvs::{Applied, Client, Command, Destination, Forwarding, Planner, Scheduler, Service, ServiceKey, Table};

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).ok_or("give the file with the services")?;
    let mut director = Client::connect()?;
    loop {
        match fs::read_to_string(&path).map_err(Into::into).and_then(|text| step(&mut director, &text)) {
            Ok(applied) if applied.commands.is_empty() => {}
            Ok(made) => println!("{} commands brought the director to what {path} says", made.commands.len()),
            // The next round may do better: nothing is left half done.
            Err(error) => eprintln!("{path}: {error}"),
        }
        thread::sleep(Duration::from_secs(1));
    }
}

/// One round: the smallest change that makes the director's services those of the text.
pub(crate) fn step(director: &mut Client, text: &str) -> Result<Applied, Box<dyn Error>> {
    let planner = Planner::new().only_services().keep_weights();
    Ok(director.reconcile(&desired(text)?, &planner)?)
}

/// The table that the text describes; the error names its line.
fn desired(text: &str) -> Result<Table, String> {
    let mut table = Table::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        add_line(&mut table, line).map_err(|error| format!("line {}: {error}", number + 1))?;
    }
    Ok(table)
}

fn add_line(table: &mut Table, line: &str) -> Result<(), Box<dyn Error>> {
    let (service, servers) = line.split_once('=').ok_or("there is no `='")?;
    let key: ServiceKey = service.trim().parse()?;
    // A table refuses what the kernel would refuse: duplicates, addresses that are no hosts.
    table.apply(&Command::AddService(Service::new(key).with_scheduler(Scheduler::WLC)))?;
    for server in servers.split_whitespace() {
        let server = Destination::new(server.parse()?).with_forwarding(Forwarding::Masquerade);
        table.apply(&Command::AddDestination(key, server))?;
    }
    Ok(())
}
