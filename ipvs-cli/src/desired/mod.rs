//! Desired states: texts that say what a director is to hold, in one of two notations, told by their content.
//!
//! - *Rules*: ipvsadm's own commands, as `ipvsadm -S` writes them and `ipvsadm-restore` reads them.
//! - *Typed*: TOML or JSON with the keys that docs/desired-state.md describes.
//!
//! [`read`] makes a [`Desired`] of either: commands that build the state from nothing, each with its place in the text.
//! [`read_for`] leaves out what a director holds already. What is wrong with a text is told all at once, as [`Problem`]s.
//!
//! ```
//! use ipvs::{Client, Table};
//! use ipvs_cli::desired;
//! use ipvs_cli::ipvsadm::{Parser, Posix, value::NoNames};
//!
//! let text = b"-A -t 192.0.2.1:80 -s rr\n-a -t 192.0.2.1:80 -r 192.0.2.11 -m\n";
//! let mut names = NoNames;
//! let wanted = desired::read("shop.rules", text.to_vec(), &mut Parser::new(&mut names, Posix(false))).unwrap();
//! let table = wanted.table(&Table::new()).unwrap();
//! assert_eq!(table.services().len(), 1);
//! ```

pub(crate) mod group;
mod notation;
mod place;
mod rules;
mod same;
mod scope;
mod typed;
mod write;

use ipvs::{Command, Table, TableEntry};

pub use group::Group;
pub use place::{Place, Problem};
pub use scope::Scope;
pub use write::{Shown, write_json, write_toml};
pub(crate) use write::{fields, scalar};

use crate::ipvsadm::Parser;
use notation::Notation;
use place::Problems;
pub(crate) use place::Source;

/// A command, and where the text asks for it.
///
/// ```
/// # fn show(located: &ipvs_cli::desired::Located) {
/// println!("{}: {}", located.place, located.command.kind());
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Located {
    /// Where.
    pub place: Place,
    /// What.
    pub command: Command,
}

/// What a text says a director is to hold.
///
/// ```
/// # fn count(wanted: &ipvs_cli::desired::Desired) -> usize {
/// wanted.commands.len()
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Desired {
    /// Carried out in order on a director that [`Scope::cleared`] has cleared, they make the desired table, but for
    /// [`same`](Self::same).
    pub commands: Vec<Located>,
    /// Services of which the text says, in its own words, what the director held that it was [read for](read_for): as they are there, with
    /// what they have counted. No command is about them.
    pub same: Vec<TableEntry>,
    /// Of services of a mark, if the text says it: which packets get the mark.
    pub groups: Vec<Group>,
    /// Which parts of the director the text speaks of. It leaves the others alone.
    pub scope: Scope,
    /// What was understood, but is hardly meant so.
    pub warnings: Vec<Problem>,
}

impl Source {
    /// Is it ipvsadm's commands, rather than TOML or JSON?
    pub(crate) fn is_rules(&self) -> bool {
        notation::tell(self.text()) == Notation::Rules
    }
}

impl Desired {
    /// The table that `director` would have.
    ///
    /// # Errors
    /// What would be refused, with its place.
    pub fn table(&self, director: &Table) -> Result<Table, Vec<Problem>> {
        let mut table = self.scope.cleared(director);
        self.same.iter().for_each(|entry| table.adopt(entry.clone()));
        let mut problems = Problems::default();
        for Located { place, command } in &self.commands {
            if let Err(refusal) = table.apply(command) {
                if keeps_daemon(&mut table, command, director) {
                    continue;
                }
                let cause = table.explain(command).map(|cause| cause.to_string());
                problems.add(place.clone(), cause.unwrap_or_else(|| refusal.to_string()));
            }
        }
        problems.or(table)
    }

    /// Leaves out timeouts and sync daemons.
    pub(crate) fn keep_services_only(&mut self) {
        self.scope = Scope { timeouts: false, master: false, backup: false, ..self.scope };
        self.commands.retain(|located| {
            !matches!(located.command, Command::SetTimeouts(_) | Command::StartDaemon(_) | Command::StopDaemon(_))
        });
    }
}

/// Is the sync daemon that the command starts the one that runs on the director? Then nothing starts, and it does not matter that the
/// interface, on which it was started, is gone or down by now. Adds it to the table.
fn keeps_daemon(table: &mut Table, command: &Command, director: &Table) -> bool {
    let Command::StartDaemon(daemon) = command else { return false };
    let mut with_interface = table.clone().with_interface(daemon.interface);
    let started = with_interface.apply(command).is_ok();
    let is_running = started
        && with_interface.daemons().iter().any(|other| other.role == daemon.role && director.daemons().contains(other));
    if is_running {
        *table = with_interface;
    }
    is_running
}

/// Reads a text; `name` is what its places are called by, such as the file's name.
///
/// # Errors
/// What is wrong with it: everything, or the first fifty.
pub fn read(name: &str, text: Vec<u8>, parser: &mut Parser<'_>) -> Result<Desired, Vec<Problem>> {
    read_for(&Table::new(), name, text, parser)
}

/// As [`read`], but much faster if the text is made of rules as `ipvsadm -S -n` writes them, and says of most services what this
/// director holds. The desired table is the same, but for what services and destinations have counted.
///
/// # Errors
/// As those of [`read`]; only which service is near to one that is not there may be another.
pub fn read_for(director: &Table, name: &str, text: Vec<u8>, parser: &mut Parser<'_>) -> Result<Desired, Vec<Problem>> {
    understand(&Source::new(name, text), director, parser)
}

pub(crate) fn understand(source: &Source, director: &Table, parser: &mut Parser<'_>) -> Result<Desired, Vec<Problem>> {
    let mut problems = Problems::default();
    let desired = match notation::tell(source.text()) {
        Notation::Rules => rules::read(source, director, parser, &mut problems),
        Notation::Nothing => {
            problems.add(source.place(0), NOTHING);
            Desired::default()
        }
        Notation::Toml => typed::read(source, typed::toml::parts, &mut problems),
        Notation::Json => typed::read(source, typed::json::parts, &mut problems),
    };
    problems.sort();
    problems.or(desired)
}

/// An empty file is left behind by a program that failed more often than it asks for an empty director.
const NOTHING: &str = "The file is empty. For a director without services write `-C`, \
    or `version = 1` and `services = []`";

#[cfg(test)]
mod tests {
    use ipvs::{Daemon, DaemonRole, InterfaceName};

    use super::*;
    use crate::ipvsadm::{Parser, Posix, value::NoNames};

    /// A sync daemon goes on when the interface that it was started on is deleted.
    #[test]
    fn a_daemon_that_runs_as_the_text_says_needs_no_interface() {
        let [eth7, lo] = ["eth7", "lo"].map(|name| InterfaceName::new(name).unwrap());
        let mut director = Table::new().with_interface(eth7);
        director.apply(&Command::StartDaemon(Daemon::new(DaemonRole::Backup, eth7))).unwrap();
        let director = director.with_interfaces([lo]);
        let table = |text: &str| {
            let (mut names, text) = (NoNames, text.as_bytes().to_vec());
            read("test", text, &mut Parser::new(&mut names, Posix(false))).unwrap().table(&director)
        };
        let rules = "-A -f 1\n--start-daemon backup --mcast-interface eth7";
        assert_eq!(table(rules).unwrap().daemons(), director.daemons());
        let problems = table(&format!("{rules} --syncid 9")).unwrap_err();
        assert_eq!(problems[0].to_string(), "test:2: there is no network interface eth7");
        assert!(table("-A -f 1\n--start-daemon master --mcast-interface eth7").is_err(), "it does not run");
    }
}
