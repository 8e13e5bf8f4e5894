//! Two directors that share their connections: the daemons that tell them to each other.
//!
//! Runs on an in-memory director; with `Client::connect()?` in its place, as root, on this machine's.

use std::error::Error;
use std::io::{self, Write};

use ipvs::{Client, Daemon, DaemonRole, InterfaceName, Table};

fn main() -> Result<(), Box<dyn Error>> {
    run(&mut Client::fake(Table::new()), &mut io::stdout())
}

/// Starts the sender, and shows what runs with the kernel's defaults filled in.
pub(crate) fn run(director: &mut Client, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let wanted = Daemon { sync_id: 7, ..Daemon::new(DaemonRole::Master, InterfaceName::new("lo")?) };
    director.start_daemon(&wanted)?;
    for daemon in director.daemons()? {
        let group = daemon.group.map_or_else(|| "?".to_owned(), |group| group.to_string());
        writeln!(out, "{} on {}, id {}, group {group}", daemon.role, daemon.interface, daemon.sync_id)?;
    }
    director.stop_daemon(DaemonRole::Master)?;
    Ok(())
}
