//! The connection to the kernel, made when it is first needed.

mod marks;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ipvs::{Client, Errno, Error, Info, InterfaceName, Table};
use rustix::net;

use crate::director::marks::MarkRules;
use crate::state;

/// The kernel that the commands are for.
#[derive(Debug)]
pub struct Director {
    client: Option<Client>,
    marks: MarkRules,
    connections: PathBuf,
    is_of_this_machine: bool,
    /// Where the lock and the notes are. `None`: the usual place, or for a director in this process, nowhere.
    state_directory: Option<PathBuf>,
    info: Option<Info>,
}

impl Director {
    /// The kernel that this process runs on, in its network namespace. Who changes its table as a whole takes turns with other
    /// processes, and takes the signals of this one.
    pub fn of_this_machine() -> Self {
        let connections = PathBuf::from("/proc/thread-self/net/ip_vs_conn");
        Director {
            client: None,
            marks: MarkRules::of_this_machine(),
            connections,
            is_of_this_machine: true,
            state_directory: None,
            info: None,
        }
    }

    /// The kernel behind this client, which may be an in-memory one, and the file that lists its connections. Its firewall is in
    /// memory, and has no rules.
    pub fn with(client: Client, connections: impl Into<PathBuf>) -> Self {
        let connections = connections.into();
        Director {
            client: Some(client),
            marks: MarkRules::in_memory(),
            connections,
            is_of_this_machine: false,
            state_directory: None,
            info: None,
        }
    }

    /// Keeps the lock and the notes in this directory, which is made when it is needed: for tests, and for `--state-dir`.
    #[must_use]
    pub fn with_state_directory(self, path: impl Into<PathBuf>) -> Self {
        Director { state_directory: Some(path.into()), ..self }
    }

    /// As [`with_state_directory`](Self::with_state_directory).
    pub(crate) fn set_state_directory(&mut self, path: PathBuf) {
        self.state_directory = Some(path);
    }

    /// Where the lock and the notes are.
    pub(crate) fn state_directory(&self) -> Option<PathBuf> {
        self.state_directory.clone().or_else(|| self.is_of_this_machine.then(|| PathBuf::from(state::DIRECTORY)))
    }

    /// The client, connected.
    ///
    /// # Errors
    /// Those of [`Client::connect`].
    pub fn client(&mut self) -> Result<&mut Client, Error> {
        self.client_and_marks().map(|(client, _)| client)
    }

    /// Everything that the director holds, and, if it is this machine, which network interfaces there are.
    ///
    /// # Errors
    /// Those of [`Client::table`].
    pub(crate) fn table(&mut self) -> Result<Table, Error> {
        let table = self.client()?.table()?;
        Ok(self.with_interfaces(table))
    }

    /// As [`table`](Self::table), but without statistics, which are no part of what is planned and changed.
    ///
    /// # Errors
    /// Those of [`Client::table_without_statistics`].
    pub(crate) fn table_without_statistics(&mut self) -> Result<Table, Error> {
        let table = self.client()?.table_without_statistics()?;
        Ok(self.with_interfaces(table))
    }

    fn with_interfaces(&self, table: Table) -> Table {
        match self.is_of_this_machine.then(interfaces).flatten() {
            Some(names) => table.with_interfaces(names),
            None => table,
        }
    }

    /// Our rules that mark packets.
    pub(crate) fn marks(&mut self) -> &mut MarkRules {
        &mut self.marks
    }

    /// The client, connected, and our rules that mark packets.
    ///
    /// # Errors
    /// Those of [`Client::connect`].
    pub(crate) fn client_and_marks(&mut self) -> Result<(&mut Client, &mut MarkRules), Error> {
        let client = match &mut self.client {
            Some(client) => client,
            none => none.insert(connect()?),
        };
        Ok((client, &mut self.marks))
    }

    /// Is it the one that other processes have, too?
    pub(crate) fn is_of_this_machine(&self) -> bool {
        self.is_of_this_machine
    }

    /// What the kernel says of itself, as it was when it was first asked: like ipvsadm, which asks when it starts, so that each
    /// listing of one `-R` has the same first line. The size in it changes in newer kernels.
    ///
    /// # Errors
    /// Those of [`Client::connect`] and [`Client::info`].
    pub fn info(&mut self) -> Result<Info, Error> {
        let info = match self.info {
            Some(info) => info,
            None => self.client()?.info()?,
        };
        self.info = Some(info);
        Ok(info)
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

/// Is there no IPVS to talk to, or no right to? The kernel checks privileges at the first request, whichever it is.
pub(crate) fn is_unavailable(error: &Error) -> bool {
    matches!(error, Error::ModuleMissing) || error.errno() == Some(Errno::EPERM)
}

/// Has this process no right to talk to IPVS?
pub(crate) fn is_forbidden(error: &Error) -> bool {
    match error {
        Error::ModuleMissing => !has_raw_sockets(),
        error => error.errno() == Some(Errno::EPERM),
    }
}

/// Without the netlink family, ipvsadm tries the kernel's older interface, which needs a raw socket: a right that the root of a
/// container may lack.
pub(crate) fn has_raw_sockets() -> bool {
    let socket = net::socket(net::AddressFamily::INET, net::SocketType::RAW, Some(net::ipproto::RAW));
    !matches!(socket, Err(rustix::io::Errno::PERM))
}
