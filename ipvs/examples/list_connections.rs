//! Who is connected to whom: the kernel's connection table, streamed.
//!
//! It is a file that everybody may read; of a million entries only one is in memory at a time. Runs
//! on a sample of it; with `--kernel`, on this machine's.

use std::env;
use std::error::Error;
use std::io::{self, BufRead, Write};

use ipvs::proc::Connections;

fn main() -> Result<(), Box<dyn Error>> {
    if env::args().any(|word| word == "--kernel") {
        return run(Connections::open()?, &mut io::stdout());
    }
    run(Connections::new(SAMPLE.as_bytes()), &mut io::stdout())
}

/// A connection, and the template that persistence holds of its client.
pub(crate) const SAMPLE: &str = "TCP 7F000001 9C41 7F00000A 0050 7F00000A 1F90 ESTABLISHED     899
TCP 7F000001 0000 7F00000A 0050 7F00000A 1F90 NONE             99
";

/// Lists connections, but not the templates of persistence.
pub(crate) fn run(table: Connections<impl BufRead>, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    for connection in table {
        let connection = connection?;
        if connection.client.port() != 0 {
            let (client, server) = (connection.client, connection.destination);
            writeln!(out, "{client} -> {} -> {server}: {}", connection.target, connection.state)?;
        }
    }
    Ok(())
}
