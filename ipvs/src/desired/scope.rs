//! Which parts of a director a desired state is about.

use crate::command::Command;
use crate::daemon::DaemonRole;
use crate::table::Table;

/// The parts of a director that a desired state is about. It leaves the others alone.
///
/// ```
/// use ipvs::desired::Scope;
/// use ipvs::{Command, Service, Table};
/// let mut table = Table::new();
/// table.apply(&Command::AddService(Service::new("mark 1".parse().unwrap()))).unwrap();
/// assert_eq!(Scope { services: true, ..Scope::default() }.cleared(&table), Table::new());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// All services and destinations.
    pub services: bool,
    /// At least one of the timeouts; the commands say which.
    pub timeouts: bool,
    /// The sync daemon that sends.
    pub master: bool,
    /// The sync daemon that receives.
    pub backup: bool,
    /// The rules that mark packets for services that are deleted. Those of other services are in
    /// [`Desired::groups`](super::Desired::groups).
    pub marks: bool,
}

impl Scope {
    /// All of a director.
    pub const EVERYTHING: Scope = Scope { services: true, timeouts: true, master: true, backup: true, marks: true };

    /// The table without these parts, so that commands can make them anew.
    ///
    /// ```
    /// use ipvs::Table;
    /// use ipvs::desired::Scope;
    /// assert_eq!(Scope::EVERYTHING.cleared(&Table::new()), Table::new());
    /// ```
    pub fn cleared(self, table: &Table) -> Table {
        let mut table = if self.services { table.without_services() } else { table.clone() };
        for role in [DaemonRole::Master, DaemonRole::Backup] {
            if self.daemon(role) {
                // Refused if it doesn't run: then there is nothing to take out.
                let _ = table.apply(&Command::StopDaemon(role));
            }
        }
        table
    }

    /// Is the daemon of this role part of it?
    ///
    /// ```
    /// use ipvs::DaemonRole;
    /// use ipvs::desired::Scope;
    /// assert!(Scope { master: true, ..Scope::default() }.daemon(DaemonRole::Master));
    /// ```
    pub fn daemon(self, role: DaemonRole) -> bool {
        match role {
            DaemonRole::Master => self.master,
            DaemonRole::Backup => self.backup,
        }
    }

    /// Makes the daemon of this role part of it.
    ///
    /// ```
    /// use ipvs::DaemonRole;
    /// use ipvs::desired::Scope;
    /// let mut scope = Scope::default();
    /// scope.add_daemon(DaemonRole::Backup);
    /// assert!(scope.backup);
    /// ```
    pub fn add_daemon(&mut self, role: DaemonRole) {
        match role {
            DaemonRole::Master => self.master = true,
            DaemonRole::Backup => self.backup = true,
        }
    }
}
