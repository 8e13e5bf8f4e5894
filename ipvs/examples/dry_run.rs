//! What a change would do, before anything is sent.
//!
//! Runs on an in-memory director; with `--kernel`, as root, on this machine's, where it adds the
//! service tcp 192.0.2.1:80.

use std::env;
use std::error::Error;
use std::io::{self, Write};

use ipvs::{
    Client, Command, Destination, Service, Table,
    change::{Change, Planner},
};

fn main() -> Result<(), Box<dyn Error>> {
    let is_real = env::args().any(|word| word == "--kernel");
    let mut director = if is_real { Client::connect()? } else { Client::fake(Table::new()) };
    run(&mut director, &mut io::stdout())
}

/// Plans a change, tries it out on a copy of the director's table, shows it, and only then makes
/// it.
pub(crate) fn run(director: &mut Client, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let before = director.table_without_statistics()?;
    let mut desired = before.clone();
    let web = Service::new("tcp 192.0.2.1:80".parse()?);
    // A table refuses what the kernel would refuse.
    desired.apply(&Command::AddService(web))?;
    desired.apply(&Command::AddDestination(web.key(), Destination::new("192.0.2.11:80".parse()?)))?;

    let change = Change::prepare(before, desired, Planner::new())?;
    for command in change.plan().commands() {
        writeln!(out, "would {}", command.kind())?;
    }
    let made = change.apply(director, |_| std::ops::ControlFlow::Continue(()))?;
    writeln!(out, "{} commands were sent", made.commands.len())?;
    Ok(())
}
