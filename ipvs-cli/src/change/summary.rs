//! A plan in a line.

use std::fmt;

use ipvs::desired::parts::{Fields, Scalar};
use ipvs::{Command, DaemonRole, ServiceKey, Table};

use crate::change::drained::{LeftDrained, describe as describe_left};
use crate::change::marks::MarkChange;

/// Counts, such as `3 services added, 1 edited; 2 destinations added`.
#[derive(Default)]
pub(crate) struct Summary {
    services: Counts,
    destinations: Counts,
    /// The services that are deleted.
    pub(crate) deleted_services: Vec<ServiceKey>,
    /// Number of destinations deleted with them, not counted in `destinations`.
    with_services: usize,
    marks: Counts,
    left_drained: Vec<LeftDrained>,
    timeouts_set: bool,
    daemons_started: Vec<DaemonRole>,
    daemons_stopped: Vec<DaemonRole>,
}

#[derive(Default)]
struct Counts {
    added: usize,
    edited: usize,
    deleted: usize,
}

impl Summary {
    /// Counts commands that change this table.
    pub(crate) fn of(before: &Table, commands: &[Command]) -> Self {
        let mut summary = Summary::default();
        for command in commands {
            summary.count(before, command);
        }
        summary
    }

    /// Adds the mark rules.
    pub(crate) fn with_marks(mut self, marks: &MarkChange) -> Self {
        self.marks = Counts { added: marks.added().count(), edited: 0, deleted: marks.removed().count() };
        self
    }

    /// Adds the destinations that stay drained, which are no change.
    pub(crate) fn with_drained(mut self, left: &[LeftDrained]) -> Self {
        self.left_drained = left.to_vec();
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        let counts = [&self.services, &self.destinations, &self.marks];
        counts.into_iter().all(Counts::is_empty)
            && !self.timeouts_set
            && self.daemons_started.is_empty()
            && self.daemons_stopped.is_empty()
    }

    /// Numbers of deleted services and destinations, those of deleted services included.
    pub(crate) fn deletions(&self) -> (usize, usize) {
        (self.services.deleted, self.destinations.deleted + self.with_services)
    }

    fn count(&mut self, before: &Table, command: &Command) {
        match command {
            Command::AddService(_) => self.services.added += 1,
            Command::EditService(_) => self.services.edited += 1,
            Command::DeleteService(key) => {
                self.services.deleted += 1;
                self.deleted_services.push(*key);
                self.with_services += before.service(key).map_or(0, |entry| entry.destinations().len());
            }
            Command::AddDestination(..) => self.destinations.added += 1,
            Command::EditDestination(..) => self.destinations.edited += 1,
            Command::DeleteDestination(..) => self.destinations.deleted += 1,
            Command::SetTimeouts(_) => self.timeouts_set = true,
            Command::StartDaemon(daemon) => self.daemons_started.push(daemon.role),
            Command::StopDaemon(role) => self.daemons_stopped.push(*role),
            // Plans do not contain others.
            _ => {}
        }
    }

    /// The JSON fields.
    pub(crate) fn fields(&self, is_dry_run: bool) -> Fields {
        let roles = |roles: &[DaemonRole]| Scalar::Texts(roles.iter().map(ToString::to_string).collect());
        let mut fields = vec![
            ("dry_run", Scalar::Boolean(is_dry_run)),
            ("services", self.services.scalar()),
            ("destinations", self.destinations.scalar()),
            ("destinations_of_deleted_services", Scalar::Integer(self.with_services as u64)),
            ("mark_rules", self.marks.scalar()),
            ("timeouts_set", Scalar::Boolean(self.timeouts_set)),
            ("daemons_started", roles(&self.daemons_started)),
            ("daemons_stopped", roles(&self.daemons_stopped)),
        ];
        if !self.left_drained.is_empty() {
            let left = self.left_drained.iter().map(|left| Scalar::Table(left.fields())).collect();
            fields.push(("left_drained", Scalar::List(left)));
        }
        fields
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        parts.extend(self.services.describe("service").map(|text| match self.with_services {
            0 => text,
            count => format!("{text} with {}", counted(count, "destination")),
        }));
        parts.extend(self.destinations.describe("destination"));
        parts.extend(self.marks.describe("mark rule"));
        parts.extend(self.timeouts_set.then(|| "timeouts set".to_owned()));
        parts.extend(self.daemons_stopped.iter().map(|role| format!("{role} daemon stopped")));
        parts.extend(self.daemons_started.iter().map(|role| format!("{role} daemon started")));
        if parts.is_empty() {
            parts.push("nothing to change".to_owned());
        }
        parts.extend(describe_left(&self.left_drained));
        f.pad(&parts.join("; "))
    }
}

impl Counts {
    fn scalar(&self) -> Scalar {
        let counts = [("added", self.added), ("edited", self.edited), ("deleted", self.deleted)];
        Scalar::Table(counts.into_iter().map(|(verb, count)| (verb, Scalar::Integer(count as u64))).collect())
    }

    fn is_empty(&self) -> bool {
        self.added + self.edited + self.deleted == 0
    }

    fn describe(&self, noun: &str) -> Option<String> {
        let counts = [(self.added, "added"), (self.edited, "edited"), (self.deleted, "deleted")];
        let mut counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let (count, verb) = counts.next()?;
        let first = format!("{} {verb}", counted(count, noun));
        Some(counts.fold(first, |text, (count, verb)| format!("{text}, {count} {verb}")))
    }
}

/// `1 service`, `2 services`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_each_noun_once() {
        let counts = |added, edited, deleted| Counts { added, edited, deleted };
        let text = |services, destinations, timeouts_set| {
            Summary { services, destinations, timeouts_set, ..Summary::default() }.to_string()
        };
        assert_eq!(text(counts(0, 0, 0), counts(0, 0, 0), false), "nothing to change");
        assert_eq!(text(counts(1, 2, 0), counts(0, 0, 0), false), "1 service added, 2 edited");
        let services = Summary { services: counts(1, 0, 2), with_services: 5, ..Summary::default() };
        assert_eq!(services.to_string(), "1 service added, 2 deleted with 5 destinations");
        assert_eq!(
            text(counts(0, 0, 2), counts(0, 1, 3), true),
            "2 services deleted; 1 destination edited, 3 deleted; timeouts set"
        );
    }
}
