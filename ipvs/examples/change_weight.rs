//! Half of the new connections for a server that is being warmed up.
//!
//! Runs on an in-memory director; with `--kernel`, as root, on this machine's, where it adds the
//! service tcp 192.0.2.1:80.

use std::env;
use std::error::Error;
use std::io::{self, Write};

use ipvs::{Client, Destination, Service, ServiceKey, Table, Weight};

fn main() -> Result<(), Box<dyn Error>> {
    let is_real = env::args().any(|word| word == "--kernel");
    let mut director = if is_real { Client::connect()? } else { Client::fake(Table::new()) };
    run(&mut director, &mut io::stdout())
}

/// Changes the weight of one server, and nothing else about it: an edit replaces the whole
/// configuration, so it starts from what is there.
pub(crate) fn run(director: &mut Client, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let web: ServiceKey = "tcp 192.0.2.1:80".parse()?;
    director.add_service(&Service::new(web))?;
    director.add_destination(&web, &Destination::new("192.0.2.11:80".parse()?).with_weight(Weight::new(100)?))?;

    let address = "192.0.2.11:80".parse()?;
    let found = director.destinations(&web)?.into_iter().map(|state| state.destination);
    let server = found.into_iter().find(|server| server.address == address).ok_or("there is no such server")?;
    let half = server.with_weight(Weight::new(server.weight.get() / 2)?);
    director.edit_destination(&web, &half)?;
    writeln!(out, "{address}: weight {} became {}", server.weight, half.weight)?;
    Ok(())
}
