//! A server taken out of service without cutting a connection.
//!
//! Runs on an in-memory director; with `--kernel`, as root, on this machine's, where it adds the
//! service tcp 192.0.2.1:80.

use std::env;
use std::error::Error;
use std::io::{self, Write};

use ipvs::{
    Client, Destination, Service, ServiceKey, Table,
    drain::{Drain, DrainStep},
};

fn main() -> Result<(), Box<dyn Error>> {
    let is_real = env::args().any(|word| word == "--kernel");
    let mut director = if is_real { Client::connect()? } else { Client::fake(Table::new()) };
    run(&mut director, &mut io::stdout())
}

/// Drains it. `Drain` neither sleeps nor reads a clock: the loop is the caller's.
pub(crate) fn run(director: &mut Client, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let (web, server): (ServiceKey, _) = ("tcp 192.0.2.1:80".parse()?, "192.0.2.11:80".parse()?);
    director.add_service(&Service::new(web))?;
    director.add_destination(&web, &Destination::new(server))?;

    let mut drain = Drain::new(web, server);
    loop {
        let found = director.destinations(&web)?;
        match drain.next(found.iter().find(|state| state.destination.address == server)) {
            DrainStep::Quiesce { command, weight } => {
                director.execute(&command)?;
                writeln!(out, "{server} gets no new connections; its weight was {weight}")?;
            }
            // A program would sleep here for a second or so.
            DrainStep::Wait(in_use) => writeln!(out, "{server}: {in_use}")?,
            DrainStep::Drained => {
                director.delete_destination(&web, server)?;
                writeln!(out, "{server} is out of service")?;
                return Ok(());
            }
            DrainStep::Missing(_) | DrainStep::WeightChanged(_) => return Err("somebody else has changed it".into()),
        }
    }
}
