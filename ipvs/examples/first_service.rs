//! A virtual service with two real servers behind NAT.
//!
//! Runs on an in-memory director; with `--kernel`, as root, on this machine's, where it adds the
//! service tcp 192.0.2.1:80.

use std::env;
use std::error::Error;
use std::io::{self, Write};

use ipvs::{Client, Destination, Forwarding, Scheduler, Service, Table, Weight};

fn main() -> Result<(), Box<dyn Error>> {
    let is_real = env::args().any(|word| word == "--kernel");
    let mut director = if is_real { Client::connect()? } else { Client::fake(Table::new()) };
    run(&mut director, &mut io::stdout())
}

/// Makes it, and shows what the director says of it.
pub(crate) fn run(director: &mut Client, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let web = Service::new("tcp 192.0.2.1:80".parse()?).with_scheduler(Scheduler::WRR);
    director.add_service(&web)?;
    for (address, weight) in [("192.0.2.11:8080", 3), ("192.0.2.12:8080", 1)] {
        let server = Destination::new(address.parse()?).with_forwarding(Forwarding::Masquerade);
        director.add_destination(&web.key(), &server.with_weight(Weight::new(weight)?))?;
    }
    let found = director.service(&web.key())?.service;
    writeln!(out, "{} is scheduled by {}", found.key(), found.scheduler)?;
    Ok(())
}
