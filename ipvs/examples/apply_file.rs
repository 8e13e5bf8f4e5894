//! Makes a director as a file says, TOML or JSON, by the smallest change: feature `desired`.
//!
//! ```sh
//! cargo run --features desired --example apply_file -- --kernel shop.toml
//! ```
//!
//! Runs on an in-memory director; with `--kernel`, as root, on this machine's. Anything that the
//! file does not mention is left alone. A file that is wrong, or that a kernel would refuse,
//! changes nothing.

use std::error::Error;
use std::io::{self, Write};
use std::{env, fs};

use ipvs::desired::{self, Source};
use ipvs::{Client, Table};

fn main() -> Result<(), Box<dyn Error>> {
    let (options, words): (Vec<_>, Vec<_>) = env::args().skip(1).partition(|word| word == "--kernel");
    let path = words.first().ok_or("give the file with the desired state")?;
    let mut director = if options.is_empty() { Client::fake(Table::new()) } else { Client::connect()? };
    run(&mut director, &Source::new(path, fs::read(path)?), &mut io::stdout())
}

/// Reads the file, compares it with the director, and changes what is different.
pub(crate) fn run(director: &mut Client, file: &Source, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let desired = desired::read(file)?;
    for warning in &desired.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    let table = desired.table(&director.table()?)?;
    let applied = director.reconcile(&table, &desired.planner())?;
    for command in &applied.commands {
        writeln!(out, "{command}")?;
    }
    Ok(())
}
