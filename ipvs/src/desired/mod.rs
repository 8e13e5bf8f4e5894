//! Desired states: files that say what a director is to hold. Feature `desired`.
//!
//! A desired state is TOML or, if its first character is `{`, JSON, both with the same keys.
//! [`read`] makes a [`Desired`] of it, [`write_json`] and [`write_toml`] write a [`Table`] as one.
//! `docs/desired-state.md` lists the keys, `docs/schema/desired-state-1.json` is the JSON Schema.
//!
//! A file is about those parts of a director that it names ([`Scope`]): all services if it has the
//! key `services`, both sync daemons if it has `daemons`, each timeout that it has. The rest stays
//! as it is.
//!
//! ```
//! use ipvs::desired::{self, Source};
//! use ipvs::{Client, Table};
//!
//! let text = r#"
//! version = 1
//!
//! [[services]]
//! address = "192.0.2.1:80"
//! protocol = "tcp"
//!
//! [[services.destinations]]
//! address = "192.0.2.11"
//! forwarding = "masquerade"
//! "#;
//! let desired = desired::read(&Source::new("shop.toml", text))?;
//!
//! let mut director = Client::fake(Table::new()); // or Client::connect()?, as root
//! let wanted = desired.table(&director.table()?)?;
//! director.reconcile(&wanted, &desired.planner())?;
//! # assert_eq!(director.table()?.services().len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is an error
//!
//! Unknown keys, a key twice, values out of range, services or destinations that are there twice:
//! [`Problems`] has them all, the first fifty at least, each with its line and column. What a
//! kernel accepts, but has no effect, is a warning.
//!
//! # Versions
//!
//! `version` is 1. It changes when a file would mean something else, or nothing any more. Keys may
//! be added in the same version. A reader refuses a key that it doesn't know, because to skip it
//! could change a director into what nobody wants; so a file with a new key needs a program that
//! knows it.

mod json;
mod packets;
mod place;
mod reader;
mod scope;
#[cfg(feature = "serde")]
mod serialize;
mod toml;
mod tree;
mod writer;

use crate::cause::Cause;
use crate::change::plan::Planner;
use crate::command::Command;
use crate::refusal::Refusal;
use crate::table::{Table, TableEntry};

pub use packets::{Group, Packets};
pub use place::{Place, Problem, Problems, Source};
pub use scope::Scope;
pub use writer::{WriteOptions, write_json, write_toml};

/// What `ipvs-cli` writes its other JSON with: no part of the stable interface.
#[doc(hidden)]
pub mod parts {
    pub use super::json::flat;
    pub use super::writer::fields::{daemon, destination, packets, service, timeouts};
    pub use super::writer::scalar::{Fields, Inline, Scalar, is_unsafe};
}

/// A command, and where the file asks for it.
///
/// ```
/// use ipvs::desired::{self, Source};
/// let desired = desired::read(&Source::new("a.toml", "version = 1\n[[services]]\nmark = 1"))?;
/// let located = &desired.commands[0];
/// assert_eq!(format!("{}: {}", located.place, located.command), "a.toml:2:1: -A -f 1 -s wlc");
/// # Ok::<(), ipvs::desired::Problems>(())
/// ```
#[derive(Clone, Debug)]
pub struct Located {
    /// The place.
    pub place: Place,
    /// The command.
    pub command: Command,
}

/// What a file says a director is to hold.
///
/// ```
/// use ipvs::desired::{self, Source};
/// let desired = desired::read(&Source::new("a.toml", "version = 1\nservices = []"))?;
/// assert!(desired.scope.services && !desired.scope.timeouts);
/// # Ok::<(), ipvs::desired::Problems>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Desired {
    /// Carried out in order on a director that [`Scope::cleared`] has cleared, they make the
    /// desired table, but for [`same`](Self::same).
    pub commands: Vec<Located>,
    /// Services that are to stay as the director has them, with their statistics. No command is
    /// about them. [`read`] finds none: this is for readers that compare a file with a director.
    pub same: Vec<TableEntry>,
    /// Which packets get the marks of services, as far as the file says it. This crate sets no
    /// firewall rules: it only reads and writes them.
    pub groups: Vec<Group>,
    /// The parts of the director that the file is about.
    pub scope: Scope,
    /// What is valid, but probably a mistake.
    pub warnings: Vec<Problem>,
}

impl Desired {
    /// The table that `director` is to have. Parts that the file does not mention are as in
    /// `director`.
    ///
    /// # Errors
    /// The commands that a kernel would refuse on that director, with their places.
    ///
    /// ```
    /// use ipvs::Table;
    /// use ipvs::desired::{self, Source};
    /// let text = "version = 1\n[timeouts]\nudp = 60";
    /// let table = desired::read(&Source::new("a.toml", text))?.table(&Table::new())?;
    /// assert_eq!(table.timeouts().udp, Some(60));
    /// assert_eq!(table.timeouts().tcp, Some(900));
    /// # Ok::<(), ipvs::desired::Problems>(())
    /// ```
    pub fn table(&self, director: &Table) -> Result<Table, Problems> {
        let mut problems = Problems::default();
        let table = self.build(director, &mut |place, cause, refusal| {
            let cause = cause.map(|cause| cause.to_string());
            problems.add(place.clone(), cause.unwrap_or_else(|| refusal.to_string()));
        });
        problems.or(table)
    }

    /// The table, as far as no command is refused; `refused` is called for the others.
    fn build(&self, director: &Table, refused: &mut dyn FnMut(&Place, Option<Cause>, Refusal)) -> Table {
        let mut table = self.scope.cleared(director);
        self.same.iter().for_each(|entry| table.adopt(entry.clone()));
        for Located { place, command } in &self.commands {
            let Err(refusal) = table.apply(command) else { continue };
            if !keeps_daemon(&mut table, command, director) {
                refused(place, table.explain(command), refusal);
            }
        }
        table
    }

    /// For a file that could be read only in part: adds what every kernel would refuse of the rest.
    /// A service or a destination may be missing only because its line could not be read, and the
    /// reader has reported some causes itself.
    #[doc(hidden)]
    pub fn add_refusals(&self, problems: &mut Problems, is_reported: fn(&Cause) -> bool) {
        if problems.iter().len() == 0 {
            return;
        }
        self.build(&Table::new().on_unknown_kernel(), &mut |place, cause, _| match cause {
            None | Some(Cause::NoSuchService { .. } | Cause::NoSuchDestination { .. }) => {}
            Some(cause) if is_reported(&cause) => {}
            Some(_) if problems.iter().any(|problem| problem.place.line() == place.line()) => {}
            Some(cause) => problems.add(place.clone(), cause.to_string()),
        });
    }

    /// A planner for what the file is about: it leaves everything else as it is, even if others
    /// change it meanwhile.
    ///
    /// ```
    /// use ipvs::desired::{self, Source};
    /// use ipvs::{Client, Table, Timeouts};
    /// let mut director = Client::fake(Table::new());
    /// let desired = desired::read(&Source::new("a.toml", "version = 1\n[timeouts]\nudp = 60"))?;
    /// let table = desired.table(&director.table()?)?;
    /// director.set_timeouts(Timeouts::new().with_tcp(1000))?; // another program
    /// director.reconcile(&table, &desired.planner())?;
    /// assert_eq!(
    ///     director.timeouts()?,
    ///     Timeouts::new().with_tcp(1000).with_tcp_fin(120).with_udp(60)
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn planner(&self) -> Planner {
        let Scope { services, timeouts, master, backup, .. } = self.scope;
        let mut planner = Planner::new().without_timeouts().these_daemons(master, backup);
        if !services {
            planner = planner.without_services();
        }
        for located in self.commands.iter().filter(|_| timeouts) {
            if let Command::SetTimeouts(set) = located.command {
                planner = planner.and_timeouts(set);
            }
        }
        planner
    }
}

/// Does the command start the sync daemon that runs on the director? Nothing is started then, so
/// the interface may be down or gone by now. Adds the daemon to the table.
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

/// Reads a desired state from a text.
///
/// # Errors
/// All that is wrong with it, or the first fifty problems. An empty file is an error: it is what a
/// program leaves behind that failed.
///
/// ```
/// use ipvs::desired::{self, Source};
/// let text = "version = 1\n[[services]]\nmark = 0\nschedular = \"rr\"";
/// let problems = desired::read(&Source::new("shop.toml", text)).unwrap_err();
/// let places: Vec<_> = problems.iter().map(|problem| problem.place.to_string()).collect();
/// assert_eq!(places, ["shop.toml:3:8", "shop.toml:4:1"]);
/// ```
pub fn read(source: &Source) -> Result<Desired, Problems> {
    let mut problems = Problems::default();
    let desired = match first_character(source.text()) {
        Some(b'{') => reader::read(source, json::parts, &mut problems),
        Some(_) => reader::read(source, toml::parts, &mut problems),
        None => {
            problems.add(source.place(0), EMPTY);
            Desired::default()
        }
    };
    desired.add_refusals(&mut problems, |cause| {
        matches!(
            cause,
            Cause::MixedFamilies { .. }
                | Cause::MixedFamiliesBesideDaemon { .. }
                | Cause::DaemonBesideMixedFamilies { .. }
        )
    });
    problems.or(desired)
}

/// The first byte outside of lines that are empty or comments.
fn first_character(text: &[u8]) -> Option<u8> {
    let mut lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    lines.find_map(|line| line.first().copied().filter(|&byte| byte != b'#'))
}

const EMPTY: &str = "The file is empty. For a director without services write `version = 1` and `services = []`";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Client, Daemon, DaemonRole, InterfaceName, Timeouts};

    fn read(text: &str) -> Desired {
        super::read(&Source::new("test", text)).unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// A sync daemon keeps running when its interface is deleted.
    #[test]
    fn a_running_daemon_needs_no_interface() {
        let [eth7, lo] = ["eth7", "lo"].map(|name| InterfaceName::new(name).unwrap());
        let mut director = Table::new().with_interface(eth7);
        director.apply(&Command::StartDaemon(Daemon::new(DaemonRole::Backup, eth7))).unwrap();
        let director = director.with_interfaces([lo]);
        let table =
            |daemon: &str| read(&format!("version = 1\n[[daemons]]\ninterface = 'eth7'\n{daemon}")).table(&director);
        assert_eq!(table("role = 'backup'").unwrap().daemons(), director.daemons());
        let problems = table("role = 'backup'\nsync_id = 9").unwrap_err();
        assert_eq!(problems.to_string(), "test:2:1: there is no network interface eth7");
        assert!(table("role = 'master'").is_err(), "it does not run");
    }

    /// Another program changes, after the reading, what the file does not name.
    #[test]
    fn what_a_file_does_not_name_stays_as_others_make_it() {
        let lo = InterfaceName::new("lo").unwrap();
        let started = |role| Command::StartDaemon(Daemon::new(role, lo));
        let set = |tcp, udp| Command::SetTimeouts(Timeouts { tcp, tcp_fin: None, udp });
        let located = |command| Located { place: Source::new("test", "").place(0), command };
        let mut desired = read("version = 1\n[timeouts]\nudp = 60");
        desired.scope.master = true;
        // 0 sets nothing.
        desired.commands.extend([started(DaemonRole::Master), set(Some(0), Some(50))].map(located));
        let mut director = Client::fake(Table::new().with_interface(lo));
        let table = desired.table(&director.table().unwrap()).unwrap();
        for command in [set(Some(1000), Some(70)), started(DaemonRole::Backup)] {
            director.execute(&command).unwrap();
        }
        director.reconcile(&table, &desired.planner()).unwrap();
        assert_eq!(director.timeouts().unwrap(), Timeouts { tcp: Some(1000), tcp_fin: Some(120), udp: Some(50) });
        assert_eq!(director.daemons().unwrap().len(), 2);
        // And what it names goes.
        desired.commands.clear();
        let table = desired.table(&director.table().unwrap()).unwrap();
        director.reconcile(&table, &desired.planner()).unwrap();
        let roles: Vec<_> = director.daemons().unwrap().iter().map(|daemon| daemon.role).collect();
        assert_eq!(roles, [DaemonRole::Backup]);
    }

    #[test]
    fn the_first_character_selects_the_notation() {
        for json in ["{\"version\": 1}", "\n\t {\"version\": 1}", "\u{feff}{\"version\": 1}"] {
            assert!(read(json).commands.is_empty(), "{json}");
        }
        for toml in ["version = 1", "# {\nversion = 1", "\n  version = 1"] {
            assert!(read(toml).commands.is_empty(), "{toml}");
        }
        for empty in ["", "\n # only a comment\n\t\n"] {
            let problems = super::read(&Source::new("test", empty)).unwrap_err();
            assert_eq!(problems.to_string(), format!("test:1:1: {EMPTY}"));
        }
    }
}
