//! Which parts of a director a text speaks of.

use ipvs::{Command, DaemonRole, Table};

/// Which parts of a director a text speaks of: what it does not name it leaves alone.
///
/// Of timeouts the commands themselves say which.
///
/// ```
/// use ipvs::{Command, Service, Table};
/// use ipvs_cli::desired::Scope;
/// let mut table = Table::new();
/// table.apply(&Command::AddService(Service::new("mark 1".parse().unwrap()))).unwrap();
/// assert_eq!(Scope { services: true, ..Scope::default() }.cleared(&table), Table::new());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// All services and destinations.
    pub services: bool,
    /// At least one of the timeouts.
    pub timeouts: bool,
    /// The sync daemon that sends.
    pub master: bool,
    /// The sync daemon that receives.
    pub backup: bool,
    /// Our rules for the marks of services that it takes away. Of those that stay, their groups say.
    pub marks: bool,
}

impl Scope {
    /// All of a director.
    pub const EVERYTHING: Scope = Scope { services: true, timeouts: true, master: true, backup: true, marks: true };

    /// The table without what the text speaks of, so that the text's commands can make it anew.
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

    /// Is it about the daemon of this role?
    pub fn daemon(self, role: DaemonRole) -> bool {
        match role {
            DaemonRole::Master => self.master,
            DaemonRole::Backup => self.backup,
        }
    }

    pub(super) fn add_daemon(&mut self, role: DaemonRole) {
        match role {
            DaemonRole::Master => self.master = true,
            DaemonRole::Backup => self.backup = true,
        }
    }
}
