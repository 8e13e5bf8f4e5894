//! Who is connected to whom: the kernel's connection table, streamed.
//!
//! It is a file that everybody may read; of a million entries only one is in memory at a time.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};

use ipvs::Connections;

fn main() -> Result<(), Box<dyn Error>> {
    run(BufReader::new(File::open("/proc/net/ip_vs_conn")?), &mut io::stdout())
}

/// Lists connections, but not what persistence remembers.
pub(crate) fn run(table: impl BufRead, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    for connection in Connections::new(table) {
        let connection = connection?;
        if connection.client.port() != 0 {
            let (client, server) = (connection.client, connection.destination);
            writeln!(out, "{client} -> {} -> {server}: {}", connection.target, connection.state)?;
        }
    }
    Ok(())
}
