//! A thousand services in a few system calls, and what was refused of them.
//!
//! It runs on an in-memory director only: it leaves a thousand services behind.

use std::error::Error;
use std::io::{self, Write};

use ipvs::{Client, Command, Service, Table};

fn main() -> Result<(), Box<dyn Error>> {
    run(&mut Client::fake(Table::new()), &mut io::stdout())
}

/// Sends them. A refusal does not stop the others; each command has its own outcome.
pub(crate) fn run(director: &mut Client, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let add = |mark: u32| Ok(Command::AddService(Service::new(format!("mark {mark}").parse()?)));
    // The first one is there already when it comes again.
    let commands = (1..=1000).chain([1]).map(add).collect::<Result<Vec<_>, ipvs::InvalidValue>>()?;
    let outcomes = director.execute_all(&commands)?;
    for (command, outcome) in commands.iter().zip(&outcomes) {
        if let (Some(key), Err(refusal)) = (command.service_key(), outcome) {
            writeln!(out, "{key}: {refusal}")?;
        }
    }
    writeln!(out, "{} of {} were made", outcomes.iter().filter(|outcome| outcome.is_ok()).count(), commands.len())?;
    Ok(())
}
