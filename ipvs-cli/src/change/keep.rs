//! A change as `apply` makes it, for a program that makes many and has nobody to ask.
//!
//! ```
//! use ipvs::desired::Source;
//! use ipvs::{Client, Table};
//! use ipvs_cli::director::Director;
//! use ipvs_cli::env::Environment;
//! use ipvs_cli::keep::{Keeper, Limits, State, SystemNames};
//!
//! let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
//! let mut stdin = &b""[..];
//! let mut environment = Environment::new(&mut stdin, &mut stdout, &mut stderr);
//! let mut director = Director::with(Client::fake(Table::new()));
//! let source = Source::new("shop.toml", "version = 1\n[[services]]\nmark = 7\n");
//! let state = State::read(&[source], None, &SystemNames, &|| false).unwrap();
//! let mut keeper = Keeper { environment: &mut environment, director: &mut director };
//! let kept = keeper.keep(&state, &Limits::default(), &|| false).unwrap();
//! assert_eq!(kept.summary, "1 service added");
//! assert!(kept.standing.is_disturbed_by(&ipvs::Command::Flush));
//! ```

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use ipvs::change::{DirectorState, Planner};
use ipvs::desired::{Located, Source};
use ipvs::owners::Owner;
use ipvs::{Client, Command, Protocol, Service, ServiceKey, Table};
use ipvs_text::escape;
use ipvs_text::ipvsadm::value::{NoNames, Resolve};
use ipvs_text::ipvsadm::{Parser, Posix, names};

use crate::arguments::value::value;
use crate::change::apply::{self, Made};
use crate::change::args::Restrictions;
use crate::change::claims::Ownership;
use crate::change::prepare::{self, Text, empty_director};
use crate::change::summary::{Summary, counted};
use crate::director::Director;
use crate::env::Environment;
use crate::session::{Session, Trouble, Wait};
use crate::state::file::{FileError, StateDirectory};
use crate::state::lock::{Denied, Lock};

pub use crate::state::hold::Hold;

/// What is left alone, and how much may be deleted, as the options of `apply` of these names.
///
/// ```
/// let limits = ipvs_cli::keep::Limits { max_deletions: Some(5), ..Default::default() };
/// assert!(!limits.keep_weights);
/// ```
#[derive(Clone, Debug)]
pub struct Limits {
    /// Delete only services that this owner applied before; fail if the file
    /// has services of others.
    pub owner: Option<Owner>,
    /// Take over services that others own or nobody owns.
    pub take: bool,
    /// Do not change the weights of existing destinations.
    pub keep_weights: bool,
    /// Change nothing if more services and destinations would be deleted.
    pub max_deletions: Option<usize>,
    /// How long to wait for another program that is changing the director.
    pub wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { owner: None, take: false, keep_weights: false, max_deletions: None, wait: Duration::from_secs(30) }
    }
}

/// The director is as the source says.
#[derive(Debug)]
pub struct Kept {
    /// Was anything changed for that?
    pub is_changed: bool,
    /// What was changed, in a line.
    pub summary: String,
    /// What the director holds now.
    pub standing: Standing,
}

/// Why the director is not as the source says. Unless it is [`Between`](Fault::Between), nothing
/// was changed.
#[derive(Debug)]
pub enum Fault {
    /// The source is wrong, or no kernel or no owner would allow it: it has to be changed.
    Source(String),
    /// More would be deleted than [`Limits::max_deletions`], or this director refuses it.
    Refused(String),
    /// Another program is changing the director.
    Busy(String),
    /// No IPVS, no right to it, or a failed reading.
    Kernel(String),
    /// A person is at work on the director.
    Held(Hold),
    /// The change is half made, or not recorded: it is to be tried again.
    Between(String),
}

impl Fault {
    /// Why, in words.
    pub fn reason(self) -> String {
        match self {
            Fault::Source(reason)
            | Fault::Refused(reason)
            | Fault::Busy(reason)
            | Fault::Kernel(reason)
            | Fault::Between(reason) => reason,
            Fault::Held(hold) => format!("held: {}", hold.reason),
        }
    }
}

/// The state that a director was brought to, and what of it is kept.
#[derive(Debug)]
pub struct Standing {
    desired: Table,
    planner: Planner,
    /// Would anything be missing without its services? Found out when it is asked.
    needs_services: OnceCell<bool>,
}

impl Standing {
    /// What the director holds, other owners' services included.
    pub fn table(&self) -> &Table {
        &self.desired
    }

    /// Does the director differ from what it is to be after this command of another program?
    ///
    /// Decided without asking the director, so it may be wrong if other commands went before.
    pub fn is_disturbed_by(&self, command: &Command) -> bool {
        let Standing { desired, planner, needs_services } = self;
        if matches!(command, Command::Flush) {
            let plan = || planner.plan(&desired.without_services(), desired);
            return *needs_services.get_or_init(|| !plan().is_empty());
        }
        // Of what the command is about only: a large table is not copied.
        let mut wanted = desired.without_services();
        let Some(key) = command.service_key() else {
            let mut now = wanted.clone();
            // What the copy refuses was done on a director that is not as the copy.
            let is_unlike = now.apply(command).is_err() && matches!(command, Command::StartDaemon(_));
            return is_unlike || !planner.plan(&now, &wanted).is_empty();
        };
        if let Some(entry) = desired.service(&key) {
            wanted.adopt(entry.clone());
        }
        let mut now = wanted.clone();
        if now.apply(command).is_ok() {
            return !planner.plan(&now, &wanted).is_empty();
        }
        // The director has what it is not to have; is that of interest?
        if wanted.service(&key).is_some() {
            return true;
        }
        let _ = now.apply(&Command::AddService(Service::new(key)));
        !planner.plan(&now, &wanted).is_empty()
    }
}

/// Where the names of a source come from.
pub trait Names {
    /// The address of a host: `before`, if that is still one of several.
    fn host(&self, name: &[u8], before: Option<Ipv4Addr>) -> Option<Ipv4Addr>;
    /// The port of a service.
    fn port(&self, name: &[u8], protocol: Protocol) -> Option<u16>;
}

/// The resolver of the system, `getent`.
///
/// ```no_run
/// use ipvs_cli::keep::{Names, SystemNames};
/// println!("{:?}", SystemNames.host(b"www.example.net", None));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemNames;

impl Names for SystemNames {
    fn host(&self, name: &[u8], before: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        // DNS gives the addresses of a name in another order each time.
        before.filter(|before| names::has_address(name, *before)).or_else(|| names::lookup_host(name))
    }

    fn port(&self, name: &[u8], protocol: Protocol) -> Option<u16> {
        names::lookup_port(name, protocol)
    }
}

/// The names of a text, and what they stand for; `None`: they were not found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    hosts: BTreeMap<Vec<u8>, Option<Ipv4Addr>>,
    ports: BTreeMap<(Vec<u8>, Protocol), Option<u16>>,
}

/// Looks each name up once.
struct Resolver<'r> {
    names: &'r dyn Names,
    before: Option<&'r Found>,
    found: Found,
    is_over: &'r dyn Fn() -> bool,
}

impl fmt::Debug for Resolver<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("found", &self.found).finish_non_exhaustive()
    }
}

impl Resolve for Resolver<'_> {
    fn host(&mut self, name: &[u8]) -> Option<Ipv4Addr> {
        if let Some(known) = self.found.hosts.get(name) {
            return *known;
        }
        let before = self.before.and_then(|before| *before.hosts.get(name)?);
        let address = if (self.is_over)() { None } else { self.names.host(name, before) };
        *self.found.hosts.entry(name.to_owned()).or_insert(address)
    }

    fn port(&mut self, name: &[u8], protocol: Protocol) -> Option<u16> {
        let key = (name.to_owned(), protocol);
        if let Some(known) = self.found.ports.get(&key) {
            return *known;
        }
        let port = if (self.is_over)() { None } else { self.names.port(name, protocol) };
        *self.found.ports.entry(key).or_insert(port)
    }
}

/// What sources say together. The names in them stand for what they did when they were read.
#[derive(Debug)]
pub struct State {
    text: Text,
    found: Found,
}

/// Why sources are no state, whatever the director holds.
#[derive(Clone, Debug)]
pub struct Unread {
    /// The problems, a line each.
    pub reason: String,
    /// Was a name not found? Then it may be found later.
    pub is_for_names: bool,
}

impl State {
    /// Reads sources. A name keeps the address that it had `before`, if that is still one of its
    /// addresses. `is_over` is called before each name is looked up, and ends that.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read(
        sources: &[Source],
        before: Option<&State>,
        names: &dyn Names,
        is_over: &dyn Fn() -> bool,
    ) -> Result<Self, Unread> {
        let before = before.map(|state| &state.found);
        let mut resolver = Resolver { names, before, found: Found::default(), is_over };
        let text = Text::of(sources, &mut Parser::new(&mut resolver, Posix::of_this_process()));
        let found = resolver.found;
        text.map(|text| State { text, found: found.clone() }).map_err(|trouble| Unread {
            reason: trouble.text().trim_end().to_owned(),
            is_for_names: found.hosts.values().any(Option::is_none) || found.ports.values().any(Option::is_none),
        })
    }

    /// Reads sources that many directors share: they may have neither names, which each could find
    /// to be another address, nor sync daemons, which belong to one director. Returns what they
    /// have, too, in a few words.
    ///
    /// # Errors
    /// What is wrong with them.
    ///
    /// ```
    /// use ipvs::desired::Source;
    /// use ipvs_cli::keep::State;
    ///
    /// let read = |text: &str| State::read_shared(&[Source::new("shop.rules", text)]);
    /// assert_eq!(read("-A -t 192.0.2.1:80 -s rr\n").unwrap().1, "1 service, 0 destinations");
    /// assert!(read("-A -t localhost:80 -s rr\n").is_err());
    /// assert!(read("--start-daemon master --mcast-interface eth0\n").is_err());
    /// ```
    pub fn read_shared(sources: &[Source]) -> Result<(Self, String), Unread> {
        let mut names = NoNames;
        let mut parser = Parser::new(&mut names, Posix(false));
        let unread = |reason: &str| Unread { reason: reason.trim_end().to_owned(), is_for_names: false };
        let failed = |trouble: Trouble| unread(&trouble.text());
        let text = Text::of(sources, &mut parser).map_err(failed)?;
        let desired = text.understand(&empty_director(), &mut parser).map_err(failed)?;
        let is_daemon = |command: &Command| matches!(command, Command::StartDaemon(_) | Command::StopDaemon(_));
        if let Some(located) = desired.state.commands.iter().find(|located| is_daemon(&located.command)) {
            return Err(unread(&format!("{}: a state of several directors must not have sync daemons", located.place)));
        }
        let is_destination = |located: &&Located| matches!(located.command, Command::AddDestination(..));
        let destinations = desired.state.commands.iter().filter(is_destination).count();
        let contents =
            format!("{}, {}", counted(text.services().count(), "service"), counted(destinations, "destination"));
        Ok((State { text, found: Found::default() }, contents))
    }

    /// Was it read from these sources?
    pub fn is_of(&self, sources: &[Source]) -> bool {
        self.text.is_of(sources)
    }

    /// The sources.
    pub fn sources(&self) -> &[Source] {
        self.text.sources()
    }

    /// Are there names in it, which may stand for something else later?
    pub fn has_names(&self) -> bool {
        self.found != Found::default()
    }

    /// Which names stood for something else in an earlier reading of the same sources, in words.
    pub fn renamed_since(&self, earlier: &State) -> Vec<String> {
        let mut renamed = Vec::new();
        for (name, now) in &self.found.hosts {
            if let (Some(now), Some(Some(before))) = (now, earlier.found.hosts.get(name))
                && now != before
            {
                renamed.push(format!("{} has another address: {now}, not {before}", escape::bytes(name)));
            }
        }
        for (key, now) in &self.found.ports {
            if let (Some(now), Some(Some(before))) = (now, earlier.found.ports.get(key))
                && now != before
            {
                renamed.push(format!("{}/{} has another port: {now}, not {before}", escape::bytes(&key.0), key.1));
            }
        }
        renamed
    }

    /// Does it lack services that the other has?
    pub fn lacks_services_of(&self, other: &State) -> bool {
        let services: HashSet<ServiceKey> = self.text.services().collect();
        other.text.services().any(|key| !services.contains(&key))
    }
}

/// The lock of a follower, which an owner's name may follow.
pub(crate) const FOLLOW: &str = "follow";

/// That no other program follows a source for the same owner here. It ends when it is dropped.
#[derive(Debug)]
pub struct Following {
    _lock: Lock,
}

/// Keeps a director as a source says.
#[expect(missing_debug_implementations, reason = "an environment has none")]
pub struct Keeper<'k, 'e> {
    /// Notes go to its standard error.
    pub environment: &'k mut Environment<'e>,
    /// The director.
    pub director: &'k mut Director,
}

impl Keeper<'_, '_> {
    /// Brings the director to this state, all or nothing, under the lock. `is_over` ends the wait
    /// for the lock.
    ///
    /// # Errors
    /// Why the director is not in this state.
    pub fn keep(&mut self, state: &State, limits: &Limits, is_over: &dyn Fn() -> bool) -> Result<Kept, Fault> {
        let session = &mut Session::new(self.environment, self.director, false);
        let text = &state.text;
        let ownership = Ownership { owner: limits.owner.clone(), take: limits.take };
        let restrictions = Restrictions { keep_weights: limits.keep_weights, ownership, ..Restrictions::default() };
        let wait = Wait { is_over, otherwise: "nothing was changed", ..Wait::new(limits.wait) };
        let program = session.program();
        let fault = |trouble, otherwise| fault(trouble, program, otherwise);
        let mut guard = session.guard(&wait).map_err(|trouble| fault(trouble, Fault::Busy))?;
        // Under the lock, so that nothing is changed any more once a hold has begun.
        if let Some(hold) = held(session.environment).map_err(Fault::Kernel)? {
            return Err(Fault::Held(hold));
        }
        let limit = |planner| apply::limit(planner, None, limits.max_deletions);
        let prepared = prepare::plan(session, text, &restrictions, limit);
        let mut prepared = prepared.map_err(|trouble| fault(trouble, Fault::Refused))?;
        let summary = Summary::of(prepared.change.before(), prepared.change.plan().commands());
        apply::check_deletions(&summary, limits.max_deletions).map_err(|trouble| fault(trouble, Fault::Refused))?;
        let made = apply::make(session, &mut prepared, &mut guard, None, false);
        match made.map_err(|trouble| fault(trouble, Fault::Refused))? {
            Ok(Made { incomplete: Some(trouble), .. }) => {
                Err(Fault::Between(format!("the change was made, but {}", trouble.text().trim_end())))
            }
            Ok(Made { summary, .. }) => Ok(Kept {
                is_changed: !summary.is_empty(),
                summary: summary.to_string(),
                standing: Standing {
                    desired: prepared.change.desired().clone(),
                    planner: prepared.claims.planner().clone(),
                    needs_services: OnceCell::new(),
                },
            }),
            Err(error) => {
                let reason = apply::place_of(text, &error).unwrap_or_else(|| apply::describe_failure(&error));
                Err(match error.unmade.state {
                    DirectorState::Untouched | DirectorState::Undone => Fault::Refused(reason),
                    _ => Fault::Between(reason),
                })
            }
        }
    }

    /// Reserves this network namespace for the follower of an owner, or of no owner.
    ///
    /// # Errors
    /// Who follows already, or why that is unknown.
    pub fn follow(&self, owner: Option<&Owner>) -> Result<Option<Following>, String> {
        let Some(directory) = self.environment.state_directory else { return Ok(None) };
        let kind = owner.map_or_else(|| FOLLOW.to_owned(), |owner| format!("{FOLLOW}-{owner}"));
        let of = owner.map_or_else(String::new, |owner| format!(" for the owner {owner}"));
        match Lock::take_other(directory, &kind) {
            Ok(lock) => Ok(Some(Following { _lock: lock })),
            Err(Denied::Held(holder)) => Err(format!("{holder} follows a source here already{of}")),
            Err(Denied::Unavailable(error)) => Err(error.to_string()),
        }
    }

    /// Keeps followers from changing the director. When this returns, no change is under way.
    /// Returns how many followers there are.
    ///
    /// # Errors
    /// Why not.
    pub fn hold(&mut self, hold: &Hold, wait: Duration) -> Result<usize, Fault> {
        self.under_lock(wait, |directory| {
            hold.write(directory)?;
            Ok(Lock::holders(directory, FOLLOW).len())
        })
    }

    /// Ends a hold. Returns whether there was one.
    ///
    /// # Errors
    /// Why not.
    pub fn release(&mut self, wait: Duration) -> Result<bool, Fault> {
        self.under_lock(wait, |directory| {
            let held = Hold::read(directory)?;
            Hold::remove(directory)?;
            Ok(held.is_some())
        })
    }

    fn under_lock<T>(&mut self, wait: Duration, act: impl FnOnce(&Path) -> Result<T, FileError>) -> Result<T, Fault> {
        let Some(directory) = self.environment.state_directory else {
            return Err(Fault::Refused("a hold needs a state directory: name one by --state-dir".to_owned()));
        };
        let session = &mut Session::new(self.environment, self.director, false);
        let program = session.program();
        let _guard = session.guard(&Wait::new(wait)).map_err(|trouble| fault(trouble, program, Fault::Busy))?;
        act(directory).map_err(|error| Fault::Refused(error.to_string()))
    }
}

/// Reads the name of an owner. The error fits behind the name of an option.
///
/// # Errors
/// What is expected.
pub fn owner(text: &str) -> Result<Owner, String> {
    value(text)
}

/// Is there IPVS, and may this process change it?
///
/// # Errors
/// Why not, as `ipvs-cli` says it.
pub fn check_access(director: &mut Director) -> Result<(), String> {
    let asked = director.client().and_then(Client::info);
    asked.map(drop).map_err(|error| Trouble::Kernel(error).text().trim_end().to_owned())
}

/// Is a state directory that a person named there, and can it be used?
///
/// In a new directory no owner is known, so that a misspelt one would have their services deleted:
/// it must exist.
///
/// # Errors
/// Why it can't be used.
pub fn check_state_directory(path: &Path) -> Result<(), String> {
    StateDirectory::check(path, true).map_err(|error| error.to_string())
}

/// Reads a file of a directory that only root and the user who runs this can write to. `None`:
/// there is no such file.
///
/// # Errors
/// Why it can't be read, or should not be.
pub fn read_private(path: &Path) -> Result<Option<String>, String> {
    let (directory, name) = place(path)?;
    StateDirectory::read_if_there(directory, name).map_err(|error| error.to_string())
}

/// Replaces such a file in one step, and creates the directory if only the last component of its
/// path is missing. Readers see the old text or the new one, also after a crash.
///
/// # Errors
/// Why not. The file is as it was then.
pub fn write_private(path: &Path, text: &str) -> Result<(), String> {
    let (directory, name) = place(path)?;
    let written = StateDirectory::open(directory).and_then(|directory| directory.write(name, text));
    written.map_err(|error| error.to_string())
}

fn place(path: &Path) -> Result<(&Path, &str), String> {
    let name = path.file_name().and_then(|name| name.to_str());
    let directory = path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    directory.zip(name).ok_or_else(|| format!("{}: it must name a file", escape::path(path)))
}

/// The hold that there is.
///
/// # Errors
/// Why that is unknown.
pub fn held(environment: &Environment<'_>) -> Result<Option<Hold>, String> {
    environment.state_directory.map_or(Ok(None), Hold::read).map_err(|error| error.to_string())
}

fn fault(trouble: Trouble, program: &str, otherwise: fn(String) -> Fault) -> Fault {
    let text = trouble.text();
    let prefix = format!("{program}: ");
    let text = text.lines().map(|line| line.strip_prefix(&prefix).unwrap_or(line)).collect::<Vec<_>>().join("\n");
    match trouble {
        Trouble::Problems(_) | Trouble::Lines(_) => Fault::Source(text),
        Trouble::Kernel(_) => Fault::Kernel(text),
        Trouble::Other(_) => otherwise(text),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use ipvs_text::ipvsadm::with_parser;

    use super::*;

    fn state(text: &str) -> Result<State, Unread> {
        State::read(&[Source::new("test", text)], None, &SystemNames, &|| false)
    }

    /// A system whose one host has these addresses.
    struct Host<'h>(&'h [[u8; 4]], Cell<usize>);

    impl Names for Host<'_> {
        fn host(&self, name: &[u8], before: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
            self.1.set(self.1.get() + 1);
            let mut addresses = self.0.iter().map(|&address| Ipv4Addr::from(address)).filter(|_| name == b"web1");
            before.filter(|before| addresses.clone().any(|address| address == *before)).or_else(|| addresses.next())
        }

        fn port(&self, _: &[u8], _: Protocol) -> Option<u16> {
            Some(80)
        }
    }

    #[test]
    fn names_are_looked_up_once_and_keep_their_address_while_it_is_one_of_theirs() {
        let text = "-A -t 192.0.2.1:http -s rr\n-a -t 192.0.2.1:http -r web1 -m\n-A -t web1:81 -s rr\n";
        let sources = [Source::new("test", text)];
        let read = |before, host: &Host<'_>| State::read(&sources, before, host, &|| false);
        let host = Host(&[[10, 0, 0, 1], [10, 0, 0, 2]], Cell::new(0));
        let first = read(None, &host).unwrap();
        assert!(first.has_names() && host.1.get() == 1);
        let turned = read(Some(&first), &Host(&[[10, 0, 0, 2], [10, 0, 0, 1]], Cell::new(0))).unwrap();
        assert!(turned.renamed_since(&first).is_empty());
        let moved = read(Some(&first), &Host(&[[10, 0, 0, 7]], Cell::new(0))).unwrap();
        assert_eq!(moved.renamed_since(&first), ["web1 has another address: 10.0.0.7, not 10.0.0.1"]);
        assert!(moved.lacks_services_of(&first) && first.is_of(&sources));
        let gone = read(Some(&first), &Host(&[], Cell::new(0))).unwrap_err();
        assert!(gone.is_for_names && gone.reason.starts_with("test:2: "), "{gone:?}");
        assert!(!state("nonsense").unwrap_err().is_for_names);
        let stopped = State::read(&sources, None, &host, &|| true).unwrap_err();
        assert!(stopped.is_for_names && host.1.get() == 1, "no name is looked up any more");
    }

    fn standing(limits: &Limits, before: &Table, text: &str) -> Standing {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut stdin = &b""[..];
        let mut environment = Environment::new(&mut stdin, &mut stdout, &mut stderr);
        let mut director = Director::with(Client::fake(before.clone()));
        let mut keeper = Keeper { environment: &mut environment, director: &mut director };
        keeper.keep(&state(text).unwrap(), limits, &|| false).unwrap().standing
    }

    fn command(line: &str) -> Command {
        use ipvs_text::ipvsadm::{Invocation, Words};
        let mut words = Words::default();
        words.split_line(line.as_bytes());
        let Ok(Invocation::Change(command)) = with_parser(|parser| parser.parse(&words)) else { panic!("{line}") };
        command
    }

    const SHOP: &str = "-C\n-A -t 192.0.2.1:80 -s rr\n-a -t 192.0.2.1:80 -r 10.0.0.1 -m -w 2\n";

    #[test]
    fn only_what_differs_from_the_source_disturbs() {
        let standing = standing(&Limits::default(), &Table::new(), SHOP);
        for (line, disturbs) in [
            ("-D -t 192.0.2.1:80", true),
            ("-C", true),
            ("-A -f 9 -s rr", true),
            ("-a -f 9 -r 10.0.0.9 -m", true),
            ("-e -t 192.0.2.1:80 -r 10.0.0.1 -m -w 5", true),
            ("-a -t 192.0.2.1:80 -r 10.0.0.2 -m", true),
            ("-d -t 192.0.2.1:80 -r 10.0.0.2", true),
            ("-E -t 192.0.2.1:80 -s wlc", true),
            ("-A -t 192.0.2.1:80 -s rr", true),
            ("-e -t 192.0.2.1:80 -r 10.0.0.1 -m -w 2", false),
            ("-E -t 192.0.2.1:80 -s rr", false),
            ("-Z", false),
            ("-Z -t 192.0.2.1:80", false),
            ("--set 1 2 3", false),
            ("--stop-daemon master", false),
        ] {
            // What this table would refuse was done on one that has changed since.
            assert_eq!(standing.is_disturbed_by(&command(line)), disturbs, "{line}");
        }
    }

    #[test]
    fn weights_that_are_kept_do_not_disturb() {
        let limits = Limits { keep_weights: true, ..Limits::default() };
        let standing = standing(&limits, &Table::new(), SHOP);
        assert!(!standing.is_disturbed_by(&command("-e -t 192.0.2.1:80 -r 10.0.0.1 -m -w 5")));
        assert!(standing.is_disturbed_by(&command("-d -t 192.0.2.1:80 -r 10.0.0.1")));
    }

    #[test]
    fn a_source_without_services_leaves_them_alone() {
        let mut before = Table::new();
        before.apply(&command("-A -f 9 -s rr")).unwrap();
        let standing = standing(&Limits::default(), &before, "version = 1\n[timeouts]\nudp = 60\n");
        assert!(!standing.is_disturbed_by(&command("-D -f 9")));
        assert!(standing.is_disturbed_by(&command("--set 0 0 70")));
    }

    #[test]
    fn more_deletions_than_allowed_are_refused() {
        let mut before = Table::new();
        before.apply(&command("-A -f 9 -s rr")).unwrap();
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut stdin = &b""[..];
        let mut environment = Environment::new(&mut stdin, &mut stdout, &mut stderr);
        let mut director = Director::with(Client::fake(before));
        let mut keeper = Keeper { environment: &mut environment, director: &mut director };
        let limits = Limits { max_deletions: Some(0), ..Limits::default() };
        let fault = keeper.keep(&state(SHOP).unwrap(), &limits, &|| false).unwrap_err();
        assert!(matches!(&fault, Fault::Refused(reason) if reason.contains("--max-deletions is 0")), "{fault:?}");
        let unread = state("nonsense").unwrap_err();
        assert!(unread.reason.starts_with("test:1:"), "{unread:?}");
        assert_eq!(director.client().unwrap().table().unwrap().services().len(), 1);
    }
}
