//! The connection to the kernel, made when it is first needed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ipvs::{Client, Error};

/// The kernel that the commands are for.
#[derive(Debug)]
pub struct Kernel {
    client: Option<Client>,
    connections: PathBuf,
}

impl Kernel {
    /// The kernel that this process runs on, in its network namespace.
    pub fn of_this_machine() -> Self {
        Kernel { client: None, connections: PathBuf::from("/proc/net/ip_vs_conn") }
    }

    /// The kernel behind this client, which may be an in-memory one, and the file that lists its connections.
    pub fn with(client: Client, connections: impl Into<PathBuf>) -> Self {
        Kernel { client: Some(client), connections: connections.into() }
    }

    /// The client, connected.
    ///
    /// # Errors
    /// Those of [`Client::connect`].
    pub fn client(&mut self) -> Result<&mut Client, Error> {
        match &mut self.client {
            Some(client) => Ok(client),
            none => Ok(none.insert(connect()?)),
        }
    }

    /// Where the kernel lists its connections.
    pub fn connections(&self) -> &Path {
        &self.connections
    }
}

/// Asking for the family makes the kernel load the module, if it is set up to; `modprobe` may find it elsewhere.
fn connect() -> Result<Client, Error> {
    match Client::connect() {
        Err(Error::ModuleMissing) => {
            // What it has to say goes to standard error, where it belongs; whether it worked, the next line shows.
            let _ = Command::new("/sbin/modprobe").args(["--", "ip_vs"]).stdin(Stdio::null()).status();
            Client::connect()
        }
        result => result,
    }
}
