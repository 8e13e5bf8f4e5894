//! The connection to the kernel, made when it is first needed.

pub(crate) mod injection;
mod marks;

use std::process::{Command, Stdio};

use ipvs::{Client, Errno, Error, Info, Table};
use rustix::net;

use crate::director::marks::MarkRules;

/// The kernel that the commands are for, and the mark rules of its firewall.
#[derive(Debug)]
pub struct Director {
    client: Option<Client>,
    marks: MarkRules,
    info: Option<Info>,
}

impl Director {
    /// The kernel that this process runs on, in its network namespace.
    pub fn of_this_machine() -> Self {
        Director { client: None, marks: MarkRules::of_this_machine(), info: None }
    }

    /// The kernel behind this client, mostly an in-memory one, with an empty firewall in memory.
    pub fn with(client: Client) -> Self {
        Director { client: Some(client), marks: MarkRules::in_memory(), info: None }
    }

    /// A copy in memory that holds this table, to try a change out.
    ///
    /// # Errors
    /// Those of [`Client::connect`] and [`Client::try_clone`].
    pub(crate) fn copy(&mut self, table: Table) -> Result<Self, Error> {
        Ok(Director::with(self.client()?.try_clone()?.dry_run(table)))
    }

    /// The client, connected.
    ///
    /// # Errors
    /// Those of [`Client::connect`].
    pub fn client(&mut self) -> Result<&mut Client, Error> {
        self.client_and_marks().map(|(client, _)| client)
    }

    /// Everything that the director holds.
    ///
    /// # Errors
    /// Those of [`Client::table`].
    pub(crate) fn table(&mut self) -> Result<Table, Error> {
        self.client()?.table()
    }

    /// As [`table`](Self::table), but without statistics, which no plan needs.
    ///
    /// # Errors
    /// Those of [`Client::table_without_statistics`].
    pub(crate) fn table_without_statistics(&mut self) -> Result<Table, Error> {
        self.client()?.table_without_statistics()
    }

    /// The mark rules of ipvs-cli.
    pub(crate) fn marks(&mut self) -> &mut MarkRules {
        &mut self.marks
    }

    /// The client, connected, and the mark rules of ipvs-cli.
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

    /// The kernel's version and table size, as first read: ipvsadm reads them once, so that all
    /// listings of one `-R` have the same first line. The size changes in newer kernels.
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
}

/// The first request makes the kernel load the module if it can; otherwise `modprobe` may find it
/// elsewhere.
fn connect() -> Result<Client, Error> {
    match Client::connect() {
        Err(Error::ModuleMissing) => {
            // Its messages go to standard error. The next line shows whether it worked.
            let _ = Command::new("/sbin/modprobe").args(["--", "ip_vs"]).stdin(Stdio::null()).status();
            Client::connect()
        }
        result => result,
    }
}

/// Is IPVS or the right to use it missing? The kernel checks privileges at the first request.
pub(crate) fn is_unavailable(error: &Error) -> bool {
    matches!(error, Error::ModuleMissing) || error.errno() == Some(Errno::EPERM)
}

/// Does this process lack the right to use IPVS?
pub(crate) fn is_forbidden(error: &Error) -> bool {
    match error {
        Error::ModuleMissing => !has_raw_sockets(),
        error => error.errno() == Some(Errno::EPERM),
    }
}

/// Without the netlink family, ipvsadm tries the getsockopt interface, which needs a raw socket.
/// Root of a container may lack that right.
pub(crate) fn has_raw_sockets() -> bool {
    let socket = net::socket(net::AddressFamily::INET, net::SocketType::RAW, Some(net::ipproto::RAW));
    !matches!(socket, Err(rustix::io::Errno::PERM))
}
