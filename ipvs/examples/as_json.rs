//! A director's table as JSON, and back: feature `serde`. `ipvs-cli diff -` and `apply -` take this
//! JSON, too.
//!
//! It runs on an in-memory director only: it empties the director.

use std::error::Error;
use std::io::{self, Write};

use ipvs::{Client, Service, Table, change::Planner};

fn main() -> Result<(), Box<dyn Error>> {
    run(&mut Client::fake(Table::new()), &mut io::stdout())
}

/// Keeps the table, empties the director, and brings it back.
pub(crate) fn run(director: &mut Client, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    director.add_service(&Service::new("tcp 192.0.2.1:80".parse()?))?;
    let kept = serde_json::to_string_pretty(&director.table()?)?;
    director.flush()?;
    let made = director.reconcile(&serde_json::from_str(&kept)?, &Planner::new())?;
    writeln!(out, "{kept}\ncommands that brought it back: {}", made.commands.len())?;
    Ok(())
}
