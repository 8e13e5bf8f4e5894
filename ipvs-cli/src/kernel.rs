//! The connection to the kernel, made when it is first needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ipvs::{Client, Error, InterfaceName, Table};

/// The kernel that the commands are for.
#[derive(Debug)]
pub struct Kernel {
    client: Option<Client>,
    connections: PathBuf,
    is_of_this_machine: bool,
}

impl Kernel {
    /// The kernel that this process runs on, in its network namespace. Who changes its table as a whole takes turns with other
    /// processes, and takes the signals of this one.
    pub fn of_this_machine() -> Self {
        Kernel { client: None, connections: PathBuf::from("/proc/net/ip_vs_conn"), is_of_this_machine: true }
    }

    /// The kernel behind this client, which may be an in-memory one, and the file that lists its connections.
    pub fn with(client: Client, connections: impl Into<PathBuf>) -> Self {
        Kernel { client: Some(client), connections: connections.into(), is_of_this_machine: false }
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

    /// Everything that the director holds, and, if it is this machine, which network interfaces there are.
    ///
    /// # Errors
    /// Those of [`Client::table`].
    pub(crate) fn table(&mut self) -> Result<Table, Error> {
        let table = self.client()?.table()?;
        Ok(match self.is_of_this_machine.then(interfaces).flatten() {
            Some(names) => table.with_interfaces(names),
            None => table,
        })
    }

    /// Is it the one that other processes have, too?
    pub(crate) fn is_of_this_machine(&self) -> bool {
        self.is_of_this_machine
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

/// The network interfaces of this thread's namespace, if that can be found out.
fn interfaces() -> Option<Vec<InterfaceName>> {
    let text = fs::read_to_string("/proc/thread-self/net/dev").ok()?;
    // Two lines of titles, and one for each, with its name up to a colon.
    Some(text.lines().skip(2).filter_map(|line| InterfaceName::new(line.split(':').next()?.trim()).ok()).collect())
}
