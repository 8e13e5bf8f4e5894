//! What the kernel's error numbers mean.
//!
//! Runs on an in-memory director; with `--kernel`, as root, on this machine's, where it adds the
//! service tcp 192.0.2.1:80 and deletes it again.

use std::env;
use std::error::Error;
use std::io::{self, Write};

use ipvs::{Client, Command, Error as IpvsError, Service, Table};

fn main() -> Result<(), Box<dyn Error>> {
    let is_real = env::args().any(|word| word == "--kernel");
    let mut director = if is_real { Client::connect()? } else { Client::fake(Table::new()) };
    run(&mut director, &mut io::stdout())
}

/// Asks for what can't be, and says why it can't: `EPERM`, `ESRCH`, and the like may mean many
/// things.
pub(crate) fn run(director: &mut Client, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    director.add_service(&Service::new("tcp 192.0.2.1:80".parse()?))?;
    let wrong = [
        Command::AddService(Service::new("tcp 192.0.2.1:80".parse()?)),
        Command::DeleteService("tcp 192.0.2.1:8080".parse()?),
        Command::AddService(Service::new("mark 1".parse()?).with_scheduler("rrr".parse()?)),
    ];
    for command in wrong {
        match director.execute(&command) {
            Err(IpvsError::Refused(refusal)) => {
                let cause = director.explain(&command, refusal.errno)?;
                let why = cause.map_or_else(|| "nobody knows why".to_owned(), |cause| cause.to_string());
                writeln!(out, "{:?}: {refusal}: {why}", refusal.errno)?;
            }
            // No privileges, no IPVS, or a conversation that broke off: see `Error`.
            Err(error) => return Err(error.into()),
            Ok(()) => writeln!(out, "it was possible after all")?,
        }
    }
    director.delete_service(&"tcp 192.0.2.1:80".parse()?)?;
    Ok(())
}
