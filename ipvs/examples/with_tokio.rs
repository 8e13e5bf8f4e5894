//! The asynchronous client beside other work, with a deadline of its own.
//!
//! Runs on an in-memory director; with `--kernel`, as root, on this machine's, where it adds the
//! service tcp 192.0.2.1:80.

use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

use ipvs::{AsyncClient, Service, Table};
use tokio::time::timeout;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let is_real = env::args().any(|word| word == "--kernel");
    let mut director = if is_real { AsyncClient::connect().await? } else { AsyncClient::fake(Table::new()) };
    run(&mut director, &mut io::stdout()).await
}

/// Adds a service and reads the table. Where the deadline passes, the change may have been made or
/// not, and the client is fit for use all the same.
pub(crate) async fn run(director: &mut AsyncClient, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let web = Service::new("tcp 192.0.2.1:80".parse()?);
    timeout(Duration::from_secs(1), director.add_service(&web)).await??;
    writeln!(out, "{} services", director.table().await?.services().len())?;
    Ok(())
}
