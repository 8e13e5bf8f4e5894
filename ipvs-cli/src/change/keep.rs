//! A change as `apply` makes it, for a program that makes many and has nobody to ask.
//!
//! ```
//! use ipvs::desired::Source;
//! use ipvs::{Client, Table};
//! use ipvs_cli::director::Director;
//! use ipvs_cli::env::Environment;
//! use ipvs_cli::keep::{Keeper, Limits};
//!
//! let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
//! let mut stdin = &b""[..];
//! let mut environment = Environment::new(&mut stdin, &mut stdout, &mut stderr);
//! let mut director = Director::with(Client::fake(Table::new()));
//! let source = Source::new("shop.toml", "version = 1\n[[services]]\nmark = 7\n");
//! let mut keeper = Keeper { environment: &mut environment, director: &mut director };
//! let kept = keeper.keep(&[source], &Limits::default(), &|| false).unwrap();
//! assert_eq!(kept.summary, "1 service added");
//! assert!(kept.standing.is_disturbed_by(&ipvs::Command::Flush));
//! ```

use std::path::Path;
use std::time::Duration;

use ipvs::change::{DirectorState, Planner};
use ipvs::desired::Source;
use ipvs::owners::Owner;
use ipvs::{Command, Service, Table};
use ipvs_text::ipvsadm::with_parser;

use crate::change::apply::{self, Made};
use crate::change::args::Restrictions;
use crate::change::claims::Ownership;
use crate::change::prepare::{self, Text, empty_director};
use crate::change::summary::Summary;
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
    /// Delete only what this owner applied before; refuse what others have.
    pub owner: Option<Owner>,
    /// Take over services that others own or nobody owns.
    pub take: bool,
    /// Leave the weights of destinations that are there as they are.
    pub keep_weights: bool,
    /// Change nothing if more services and destinations would go.
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

/// The state that a director was brought to, and what of it is kept.
#[derive(Debug)]
pub struct Standing {
    desired: Table,
    planner: Planner,
}

impl Standing {
    /// Does the director differ from what it is to be after this command of another program?
    ///
    /// Decided without asking the director, so it may be wrong if other commands went before.
    pub fn is_disturbed_by(&self, command: &Command) -> bool {
        let Standing { desired, planner } = self;
        let Some(key) = command.service_key() else {
            let mut now = desired.clone();
            // What the copy refuses was done on a director that is not as the copy.
            let is_unlike = now.apply(command).is_err() && matches!(command, Command::StartDaemon(_));
            return is_unlike || !planner.plan(&now, desired).is_empty();
        };
        // Of the one service only.
        let mut wanted = desired.without_services();
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
    /// Finds what is wrong with a source whatever the director holds.
    ///
    /// # Errors
    /// Its problems, a line each.
    pub fn check(sources: &[Source]) -> Result<(), String> {
        let text = Text::of(sources);
        let checked = with_parser(|parser| text.understand(&empty_director(), parser))
            .and_then(|desired| Ok(desired.state.table(&empty_director()).map(drop)?));
        checked.map_err(|trouble| trouble.text().trim_end().to_owned())
    }

    /// Brings the director to what these texts say together, all or nothing, under the lock.
    /// `is_over` ends the wait for the lock.
    ///
    /// # Errors
    /// Why the director is not as they say.
    pub fn keep(&mut self, sources: &[Source], limits: &Limits, is_over: &dyn Fn() -> bool) -> Result<Kept, Fault> {
        let session = &mut Session::new(self.environment, self.director, false);
        let text = Text::of(sources);
        let ownership = Ownership { owner: limits.owner.clone(), take: limits.take };
        let restrictions = Restrictions { keep_weights: limits.keep_weights, ownership, ..Restrictions::default() };
        let wait = Wait { is_over, otherwise: "nothing was changed", ..Wait::new(limits.wait) };
        let mut guard = session.guard(&wait).map_err(|trouble| fault(trouble, Fault::Busy))?;
        // Under the lock, so that nothing is changed any more once a hold has begun.
        if let Some(hold) = held(session.environment).map_err(Fault::Kernel)? {
            return Err(Fault::Held(hold));
        }
        let limit = |planner| apply::limit(planner, None, limits.max_deletions);
        let prepared = prepare::plan(session, &text, &restrictions, limit);
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
                },
            }),
            Err(error) => {
                let reason =
                    apply::place_of(&text, &prepared, &error).unwrap_or_else(|| apply::describe_failure(&error));
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
        let kind = owner.map_or_else(|| "follow".to_owned(), |owner| format!("follow-{owner}"));
        let of = owner.map_or_else(String::new, |owner| format!(" for the owner {owner}"));
        match Lock::take_other(directory, &kind) {
            Ok(lock) => Ok(Some(Following { _lock: lock })),
            Err(Denied::Held(holder)) => Err(format!("{holder} follows a source here already{of}")),
            Err(Denied::Unavailable(error)) => Err(error.to_string()),
        }
    }

    /// Keeps followers from changing the director. When this returns, no change is under way.
    ///
    /// # Errors
    /// Why not.
    pub fn hold(&mut self, hold: &Hold, wait: Duration) -> Result<(), String> {
        self.under_lock(wait, |directory| hold.write(directory))
    }

    /// Ends a hold.
    ///
    /// # Errors
    /// Why not.
    pub fn release(&mut self, wait: Duration) -> Result<(), String> {
        self.under_lock(wait, Hold::remove)
    }

    fn under_lock(&mut self, wait: Duration, act: impl FnOnce(&Path) -> Result<(), FileError>) -> Result<(), String> {
        let Some(directory) = self.environment.state_directory else {
            return Err("a hold needs a state directory: name one by --state-dir".to_owned());
        };
        let session = &mut Session::new(self.environment, self.director, false);
        let guard = session.guard(&Wait::new(wait));
        let _guard = guard.map_err(|trouble| trouble.text().trim_end().to_owned())?;
        act(directory).map_err(|error| error.to_string())
    }
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

/// The hold that there is.
///
/// # Errors
/// Why that is unknown.
pub fn held(environment: &Environment<'_>) -> Result<Option<Hold>, String> {
    environment.state_directory.map_or(Ok(None), Hold::read).map_err(|error| error.to_string())
}

fn fault(trouble: Trouble, otherwise: fn(String) -> Fault) -> Fault {
    let text = trouble.text().trim_end().to_owned();
    match trouble {
        Trouble::Problems(_) | Trouble::Lines(_) => Fault::Source(text),
        Trouble::Kernel(_) => Fault::Kernel(text),
        Trouble::Other(_) => otherwise(text),
    }
}

#[cfg(test)]
mod tests {
    use ipvs::Client;

    use super::*;

    fn standing(limits: &Limits, before: &Table, text: &str) -> Standing {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut stdin = &b""[..];
        let mut environment = Environment::new(&mut stdin, &mut stdout, &mut stderr);
        let mut director = Director::with(Client::fake(before.clone()));
        let mut keeper = Keeper { environment: &mut environment, director: &mut director };
        keeper.keep(&[Source::new("test", text)], limits, &|| false).unwrap().standing
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
        let fault = keeper.keep(&[Source::new("test", SHOP)], &limits, &|| false).unwrap_err();
        assert!(matches!(&fault, Fault::Refused(reason) if reason.contains("--max-deletions is 0")), "{fault:?}");
        let fault = keeper.keep(&[Source::new("test", "nonsense")], &limits, &|| false).unwrap_err();
        assert!(matches!(&fault, Fault::Source(reason) if reason.starts_with("test:1:")), "{fault:?}");
        assert_eq!(director.client().unwrap().table().unwrap().services().len(), 1);
    }
}
