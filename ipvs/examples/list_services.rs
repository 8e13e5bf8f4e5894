//! All services of a director with their destinations and connections.
//!
//! Runs on an in-memory director, which holds none; with `--kernel`, as root, on this machine's.

use std::env;
use std::error::Error;
use std::io::{self, Write};

use ipvs::{Client, Table};

fn main() -> Result<(), Box<dyn Error>> {
    let is_real = env::args().any(|word| word == "--kernel");
    let mut director = if is_real { Client::connect()? } else { Client::fake(Table::new()) };
    run(&mut director, &mut io::stdout())
}

/// Lists them. What it shows are no counters, so it reads without statistics, which is much
/// cheaper.
pub(crate) fn run(director: &mut Client, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let mut services = director.services_without_statistics()?;
    services.sort_by_key(|state| state.service.key());
    for state in services {
        let service = state.service;
        let held = service.persistence.map_or(String::new(), |held| format!(", persistent for {} s", held.seconds()));
        writeln!(out, "{} by {}{held}", service.key(), service.scheduler)?;
        for server in director.destinations_without_statistics(&service.key())? {
            let at = server.destination;
            writeln!(
                out,
                "    {} {} weight {}: {} active, {} inactive",
                at.address, at.forwarding, at.weight, server.active_connections, server.inactive_connections
            )?;
        }
    }
    Ok(())
}
