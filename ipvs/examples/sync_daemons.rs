//! Two directors that share their connections: the daemons that announce them.
//!
//! Runs on an in-memory director; with `--kernel`, as root, on this machine's, unless a sender runs
//! there.

use std::env;
use std::error::Error;
use std::io::{self, Write};

use ipvs::{Client, Daemon, DaemonRole, InterfaceName, Table};

fn main() -> Result<(), Box<dyn Error>> {
    let is_real = env::args().any(|word| word == "--kernel");
    let mut director = if is_real { Client::connect()? } else { Client::fake(Table::new()) };
    run(&mut director, &mut io::stdout())
}

/// Starts the sender, and shows what runs with the kernel's defaults filled in.
pub(crate) fn run(director: &mut Client, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let wanted = Daemon::new(DaemonRole::Master, InterfaceName::new("lo")?).with_sync_id(7);
    director.start_daemon(&wanted)?;
    for daemon in director.daemons()? {
        let group = daemon.group.map_or_else(|| "?".to_owned(), |group| group.to_string());
        writeln!(out, "{} on {}, id {}, group {group}", daemon.role, daemon.interface, daemon.sync_id)?;
    }
    director.stop_daemon(DaemonRole::Master)?;
    Ok(())
}
