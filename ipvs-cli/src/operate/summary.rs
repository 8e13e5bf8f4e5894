//! A plan in a line.

use std::fmt;

use ipvs::{Command, Plan};

use super::mark_change::MarkChange;

/// How many of what: `3 services added, 1 edited; 2 destinations added`.
#[derive(Default)]
pub(super) struct Summary {
    services: Counts,
    destinations: Counts,
    marks: Counts,
    others: Vec<String>,
}

#[derive(Default)]
struct Counts {
    added: usize,
    edited: usize,
    deleted: usize,
}

impl Summary {
    pub(super) fn of(plan: &Plan) -> Self {
        let mut summary = Summary::default();
        for command in plan.commands() {
            summary.count(command);
        }
        summary
    }

    /// And of our rules that mark packets.
    pub(super) fn with_marks(mut self, marks: &MarkChange) -> Self {
        self.marks = Counts { added: marks.coming().count(), edited: 0, deleted: marks.going().count() };
        self
    }

    fn count(&mut self, command: &Command) {
        match command {
            Command::AddService(_) => self.services.added += 1,
            Command::EditService(_) => self.services.edited += 1,
            Command::DeleteService(_) => self.services.deleted += 1,
            Command::AddDestination(..) => self.destinations.added += 1,
            Command::EditDestination(..) => self.destinations.edited += 1,
            Command::DeleteDestination(..) => self.destinations.deleted += 1,
            Command::SetTimeouts(_) => self.others.push("timeouts set".to_owned()),
            Command::StartDaemon(daemon) => self.others.push(format!("{} daemon started", daemon.role)),
            Command::StopDaemon(role) => self.others.push(format!("{role} daemon stopped")),
            // No plan has them.
            Command::Flush | Command::Zero(_) => {}
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts =
            [self.services.told("service"), self.destinations.told("destination"), self.marks.told("mark rule")];
        let parts: Vec<String> = parts.into_iter().flatten().chain(self.others.iter().cloned()).collect();
        f.pad(&if parts.is_empty() { "nothing to change".to_owned() } else { parts.join("; ") })
    }
}

impl Counts {
    fn told(&self, noun: &str) -> Option<String> {
        let counts = [(self.added, "added"), (self.edited, "edited"), (self.deleted, "deleted")];
        let mut counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let (count, verb) = counts.next()?;
        let plural = if count == 1 { "" } else { "s" };
        let first = format!("{count} {noun}{plural} {verb}");
        Some(counts.fold(first, |told, (count, verb)| format!("{told}, {count} {verb}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nouns_are_said_once() {
        let counts = |added, edited, deleted| Counts { added, edited, deleted };
        let told = |services, destinations, others: &[&str]| {
            let others = others.iter().map(|text| (*text).to_owned()).collect();
            Summary { services, destinations, others, ..Summary::default() }.to_string()
        };
        assert_eq!(told(counts(0, 0, 0), counts(0, 0, 0), &[]), "nothing to change");
        assert_eq!(told(counts(1, 2, 0), counts(0, 0, 0), &[]), "1 service added, 2 edited");
        assert_eq!(
            told(counts(0, 0, 2), counts(0, 1, 3), &["timeouts set"]),
            "2 services deleted; 1 destination edited, 3 deleted; timeouts set"
        );
    }
}
