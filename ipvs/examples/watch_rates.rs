//! The load of each server, as a monitoring agent reads it.
//!
//! Runs on an in-memory director; with `Client::connect()?` in its place, as root, on this machine's.

use std::error::Error;
use std::io::{self, Write};

use ipvs::{Client, Destination, Service, Statistics, Table};

fn main() -> Result<(), Box<dyn Error>> {
    run(&mut Client::fake(Table::new()), &mut io::stdout())
}

/// Reads counters and rates. The kernel refreshes them about every two seconds, so asking more often is in vain.
pub(crate) fn run(director: &mut Client, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let dns = Service::new("udp 192.0.2.1:53".parse()?);
    director.add_service(&dns)?;
    director.add_destination(&dns.key(), &Destination::new("192.0.2.11:53".parse()?))?;

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
