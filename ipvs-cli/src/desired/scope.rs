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
/// Scope { services: true, ..Scope::default() }.clear(&mut table);
/// assert_eq!(table, Table::new());
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
}

impl Scope {
    /// Takes out of the table what the text speaks of, so that the text's commands can make it anew.
    pub fn clear(self, table: &mut Table) {
        if self.services {
            // Is never refused.
            let _ = table.apply(&Command::Flush);
        }
        for role in [DaemonRole::Master, DaemonRole::Backup] {
            if self.daemon(role) {
                // Refused if it doesn't run: then there is nothing to take out.
                let _ = table.apply(&Command::StopDaemon(role));
            }
        }
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
