//! The ledger: claims, what a writer may change, and the text in which it is stored.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::owner::Owner;
use crate::change::plan::Planner;
use crate::service::{Persistence, Service, ServiceKey};
use crate::table::Table;

/// The services of a director that have an owner.
///
/// A value: it reads and writes no file. Its text form ([`Display`](fmt::Display) and [`FromStr`])
/// has a line for each service: owner, service, and the configurations that it may have, separated
/// by tabs. Store it in a file for each network namespace, on a file system that is empty after a
/// boot, as the kernel's table is (`/run`).
///
/// ```
/// use ipvs::owners::{Ledger, Writer};
/// use ipvs::{Service, Table, change::Planner};
/// let key = "tcp 192.0.2.1:80".parse()?;
/// let mut desired = Table::new();
/// desired.apply(&ipvs::Command::AddService(Service::new(key)))?;
/// let mut ledger = Ledger::new();
/// ledger.claim(&Writer::of("shop".parse()?), &Planner::new(), &Table::new(), &desired);
/// assert_eq!(ledger.owner(&key).map(ToString::to_string).as_deref(), Some("shop"));
/// assert_eq!(ledger.to_string().parse(), Ok(ledger));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    claims: BTreeMap<ServiceKey, Claim>,
}

/// That a service belongs to an owner.
///
/// ```
/// fn owner(claim: &ipvs::owners::Claim) -> &str { claim.owner().as_str() }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    owner: Owner,
    /// How this owner configured the service: once, or, while a change is under way, as it was
    /// before, too.
    configurations: Vec<String>,
}

impl Claim {
    /// Who owns the service.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    fn is_about(&self, service: &Service) -> bool {
        self.configurations.contains(&configuration(service))
    }
}

/// Who makes a change.
///
/// ```
/// use ipvs::owners::Writer;
/// let shop = Writer::of("shop".parse()?).take();
/// assert!(shop.takes && shop.owner.is_some());
/// # Ok::<(), ipvs::InvalidValue>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Writer {
    /// The owner for whom it writes; `None` for nobody.
    pub owner: Option<Owner>,
    /// Whether services that the desired state names are taken over from others.
    pub takes: bool,
}

impl Writer {
    /// A writer for this owner.
    pub fn of(owner: Owner) -> Self {
        Writer { owner: Some(owner), takes: false }
    }

    /// A writer that takes over what the desired state names.
    #[must_use]
    pub fn take(self) -> Self {
        Writer { takes: true, ..self }
    }
}

/// A service that the desired state names and the writer may not change.
///
/// ```
/// use ipvs::owners::Conflict;
/// fn is_free(conflict: &Conflict) -> bool {
///     conflict.owner.is_none() // and could be taken over
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conflict {
    /// The service.
    pub service: ServiceKey,
    /// Who owns it; `None` if it is there and nobody does.
    pub owner: Option<Owner>,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.owner {
            Some(owner) => write!(f, "{} belongs to the owner {owner}", self.service),
            None => write!(f, "{} is there and has no owner", self.service),
        }
    }
}

/// All services of a desired state that its writer may not change; at least one.
///
/// ```
/// use ipvs::owners::{Ledger, Writer};
/// use ipvs::{Command, Service, Table, change::Planner};
/// let mut table = Table::new();
/// table.apply(&Command::AddService(Service::new("tcp 192.0.2.1:80".parse()?)))?;
/// let shop = Writer::of("shop".parse()?);
/// let conflicts = Ledger::new().restrict(Planner::new(), &shop, &table, &table).unwrap_err();
/// assert_eq!(conflicts.0.len(), 1);
/// assert!(Ledger::new().restrict(Planner::new(), &shop.take(), &table, &table).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", description(.0))]
pub struct Conflicts(pub Vec<Conflict>);

fn description(conflicts: &[Conflict]) -> String {
    match conflicts {
        [] => "no service".to_owned(),
        [only] => only.to_string(),
        [first, others @ ..] => format!("{first}, and {} more", others.len()),
    }
}

/// A text that is no ledger.
///
/// ```
/// let error = "nonsense".parse::<ipvs::owners::Ledger>().unwrap_err();
/// assert_eq!(error.line, 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
#[non_exhaustive]
pub struct LedgerError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl Ledger {
    /// A ledger without owners.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether no service has an owner.
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    /// The services that have an owner, in the order of their keys.
    ///
    /// ```
    /// fn list(ledger: &ipvs::owners::Ledger) {
    ///     for (service, claim) in ledger.claims() {
    ///         println!("{service} belongs to {}", claim.owner());
    ///     }
    /// }
    /// ```
    pub fn claims(&self) -> impl ExactSizeIterator<Item = (&ServiceKey, &Claim)> {
        self.claims.iter()
    }

    /// The owner of a service, as far as the ledger knows: [`prune`](Self::prune) it first.
    pub fn owner(&self, service: &ServiceKey) -> Option<&Owner> {
        self.claims.get(service).map(Claim::owner)
    }

    /// Forgets each claim that the kernel's table does not confirm: the service is gone, or is
    /// configured otherwise than its owner applied it. Returns the claims that were forgotten.
    ///
    /// `present` must be a whole table of the director: a service that is missing in it loses its
    /// owner.
    ///
    /// ```
    /// use ipvs::owners::{Ledger, Writer};
    /// use ipvs::{Command, Service, Table, change::Planner};
    /// let mut desired = Table::new();
    /// desired.apply(&Command::AddService(Service::new("mark 1".parse()?)))?;
    /// let mut ledger = Ledger::new();
    /// ledger.claim(&Writer::of("shop".parse()?), &Planner::new(), &Table::new(), &desired);
    /// assert!(ledger.prune(&desired).is_empty());
    /// // Another program has deleted the service.
    /// assert_eq!(ledger.prune(&Table::new()).len(), 1);
    /// assert!(ledger.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prune(&mut self, present: &Table) -> Vec<(ServiceKey, Owner)> {
        let mut forgotten = Vec::new();
        self.claims.retain(|key, claim| {
            let is_confirmed = present.service(key).is_some_and(|entry| claim.is_about(entry.service()));
            if !is_confirmed {
                forgotten.push((*key, claim.owner.clone()));
            }
            is_confirmed
        });
        forgotten
    }

    /// The planner for a change by this writer from `present`, of which the ledger was just
    /// [pruned](Self::prune), to `desired`: it concerns what `desired` names, and what it does not
    /// name as far as the writer may delete it. Unless the writer [takes](Writer::take), a
    /// [`Change`](crate::change::Change) with this planner stops, and is undone, where somebody
    /// else makes one of these services after `present` was read, even exactly as desired, or makes
    /// it anew differently, or adds or edits a destination that the change would delete or edit.
    /// Plan from `present`, by [`Change::prepare`](crate::change::Change::prepare):
    /// [`Client::reconcile`](crate::Client::reconcile) would read the table again, and change what
    /// another program made since `present` was read.
    ///
    /// # Errors
    /// The services that `desired` names, that the planner concerns and that are there, but belong
    /// to somebody else, unless the writer [takes](Writer::take) them over.
    pub fn restrict(
        &self,
        planner: Planner,
        writer: &Writer,
        present: &Table,
        desired: &Table,
    ) -> Result<Planner, Conflicts> {
        let is_named = |key: &ServiceKey| desired.service(key).is_some();
        let is_writers = |key: &ServiceKey| self.owner(key) == writer.owner.as_ref();
        let there = present.services().map(|entry| entry.service().key()).filter(|key| planner.concerns_service(key));
        let (mut concerned, mut conflicts) = (Vec::new(), Vec::new());
        for key in there {
            if is_writers(&key) {
                concerned.push(key);
            } else if is_named(&key) {
                concerned.push(key);
                conflicts.push(Conflict { service: key, owner: self.owner(&key).cloned() });
            }
        }
        if !conflicts.is_empty() && !writer.takes {
            return Err(Conflicts(conflicts));
        }
        concerned
            .extend(desired.services().map(|entry| entry.service().key()).filter(|key| planner.concerns_service(key)));
        let planner = planner.these_services(concerned);
        Ok(if writer.owner.is_some() && !writer.takes { planner.leaving_others() } else { planner })
    }

    /// Before a change: what will be there when it is made belongs to the writer, as it is now and
    /// as it will be.
    ///
    /// A writer without an owner claims nothing.
    pub fn claim(&mut self, writer: &Writer, planner: &Planner, present: &Table, desired: &Table) {
        let Some(owner) = &writer.owner else { return };
        for entry in desired.services().filter(|entry| planner.concerns_service(&entry.service().key())) {
            let key = entry.service().key();
            let mut configurations = vec![configuration(entry.service())];
            // If the change stops early, it may still be as it was.
            configurations.extend(
                present
                    .service(&key)
                    .map(|entry| configuration(entry.service()))
                    .filter(|before| *before != configurations[0]),
            );
            self.claims.insert(key, Claim { owner: owner.clone(), configurations });
        }
    }

    /// After a change that was made: what is there belongs to the writer as it was desired, and
    /// what it deleted to nobody.
    ///
    /// After a change that was undone, go back to the ledger of before instead.
    pub fn settle(&mut self, writer: &Writer, planner: &Planner, desired: &Table) {
        self.claims.retain(|key, claim| {
            if !planner.concerns_service(key) {
                return true;
            }
            match desired.service(key) {
                // A writer without an owner has taken it over.
                Some(_) if writer.owner.is_none() => false,
                Some(entry) => {
                    if planner.edits() {
                        claim.configurations = vec![configuration(entry.service())];
                    }
                    true
                }
                None => !planner.deletes_services(),
            }
        });
    }
}

/// The configuration of a service in printable characters, none of them a tab: two services of one
/// key are configured alike if this is equal.
fn configuration(service: &Service) -> String {
    let Service { scheduler, scheduler_flags, persistence, engine, one_packet, .. } = service;
    let name = |bytes: &[u8]| bytes.escape_ascii().to_string();
    format!(
        "scheduler={} flags={:#x} persistence={} netmask={} engine={} one-packet={one_packet}",
        name(scheduler.as_bytes()),
        scheduler_flags.bits(),
        persistence.map_or(0, Persistence::seconds),
        service.netmask(),
        engine.map_or_else(String::new, |engine| name(engine.as_bytes())),
    )
}

/// The first line: what the file is, and the version of its form.
const TITLE: &str = "ipvs owners 1";

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{TITLE}")?;
        for (key, claim) in &self.claims {
            writeln!(f, "{}\t{key}\t{}", claim.owner, claim.configurations.join("\t"))?;
        }
        Ok(())
    }
}

impl FromStr for Ledger {
    type Err = LedgerError;

    fn from_str(text: &str) -> Result<Self, LedgerError> {
        let error = |line: usize, reason: String| LedgerError { line, reason };
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
        match lines.next() {
            Some((_, TITLE)) => {}
            _ => return Err(error(1, format!("expected '{TITLE}'"))),
        }
        let mut ledger = Ledger::new();
        for (number, line) in lines {
            let mut fields = line.split('\t');
            let (Some(owner), Some(key)) = (fields.next(), fields.next()) else {
                return Err(error(
                    number,
                    "expected an owner, a service and its configuration, separated by tabs".to_owned(),
                ));
            };
            let owner: Owner = owner.parse().map_err(|wrong| error(number, format!("{wrong}")))?;
            let key: ServiceKey = key.parse().map_err(|wrong| error(number, format!("{wrong}")))?;
            let configurations: Vec<_> = fields.map(str::to_owned).collect();
            if configurations.is_empty() {
                return Err(error(number, "expected the configuration of the service".to_owned()));
            }
            if ledger.claims.insert(key, Claim { owner, configurations }).is_some() {
                return Err(error(number, format!("{key} has an owner in a line above")));
            }
        }
        Ok(ledger)
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
