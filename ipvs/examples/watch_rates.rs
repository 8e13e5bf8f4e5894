//! The load of each server, as a monitoring agent reads it.
//!
//! Runs on an in-memory director; with `--kernel`, as root, on this machine's.

use std::env;
use std::error::Error;
use std::io::{self, Write};

use ipvs::{Client, Destination, Service, Statistics, Table};

fn main() -> Result<(), Box<dyn Error>> {
    let is_real = env::args().any(|word| word == "--kernel");
    let mut director = if is_real { Client::connect()? } else { sample()? };
    run(&mut director, &mut io::stdout())
}

/// A director with one service.
pub(crate) fn sample() -> Result<Client, Box<dyn Error>> {
    let mut director = Client::fake(Table::new());
    let dns = Service::new("udp 192.0.2.1:53".parse()?);
    director.add_service(&dns)?;
    director.add_destination(&dns.key(), &Destination::new("192.0.2.11:53".parse()?))?;
    Ok(director)
}

/// Reads counters and rates. The kernel refreshes them about every two seconds, so asking more
/// often is in vain.
pub(crate) fn run(director: &mut Client, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    for state in director.services()? {
        line(out, &state.service.key().to_string(), &state.statistics)?;
        for server in director.destinations(&state.service.key())? {
            line(out, &server.destination.address.to_string(), &server.statistics)?;
        }
    }
    Ok(())
}

fn line(out: &mut dyn Write, what: &str, load: &Option<Statistics>) -> io::Result<()> {
    // `None` after `services_without_statistics`.
    let Some(Statistics { connections, rates, .. }) = load else { return Ok(()) };
    writeln!(out, "{what}: {connections} connections, {}/s, {} bytes/s in", rates.connections, rates.bytes_in)
}
