//! What `bench-guest` says, understood.

use std::collections::BTreeMap;

use crate::kernel::Kernel;

/// The operations, in the report's order. The names are `bench-guest`'s.
pub(super) const OPERATIONS: [&str; 12] = [
    "restore",
    "edit",
    "save",
    "list",
    "thresholds",
    "persistent",
    "stats",
    "rate",
    "save-v6",
    "list-v6",
    "add",
    "clear",
];

/// Those of a program that has the library inside, a command.
pub(super) const INSIDE_OPERATIONS: [&str; 2] = ["create", "alter"];

/// Those of a reload.
pub(super) const RELOAD_OPERATIONS: [&str; 14] = [
    "fill",
    "read",
    "read-all",
    "metrics",
    "scrape",
    "count",
    "count-first",
    "apply-same",
    "apply-other-words",
    "apply-one",
    "reconcile-one",
    "reconcile-whole",
    "reload",
    "memory",
];

/// Those of growth.
pub(super) const GROWTH_OPERATIONS: [&str; 11] =
    ["restore", "save", "list", "list-all", "add", "zero", "clear", "fill", "apply-same", "list-memory", "memory"];

/// Those of what is watched.
pub(super) const WATCHED_OPERATIONS: [&str; 5] = ["restore-own", "edit-own", "monitor-own", "reaction-one", "reaction"];

/// Those of loading a connection table.
const LOAD_OPERATIONS: [&str; 9] = [
    "load",
    "load-sending",
    "load-reading",
    "load-memory",
    "load-lossy",
    "load-lossy-sending",
    "load-lossy-reading",
    "load-lossy-memory",
    "load-lost",
];

/// Everything of one run.
#[derive(Debug, Default)]
pub(super) struct Results {
    figures: BTreeMap<(String, String), Vec<u64>>,
    wrong: Vec<String>,
    kernel: Option<String>,
    status: Option<u8>,
}

impl Results {
    /// Takes one line. Gives what is worth showing to somebody who waits.
    pub(super) fn take<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        match kind {
            "figure" | "calls" | "kilobytes" => match figure(rest) {
                Some((key, value)) => self.figures.entry(key).or_default().push(value),
                None => self.wrong.push(format!("not understood: {line}")),
            },
            "kernel" => self.kernel = Some(rest.to_owned()),
            "wrong" => self.wrong.push(rest.to_owned()),
            "end" => self.status = rest.trim().parse().ok(),
            "progress" => return Some(rest),
            _ => {} // the kernel's own messages
        }
        None
    }

    /// Takes all lines.
    pub(super) fn read(text: &str) -> Self {
        let mut results = Self::default();
        for line in text.lines() {
            results.take(line);
        }
        results
    }

    /// Notes that the guest failed.
    pub(super) fn fail(&mut self, why: String) {
        self.wrong.push(why);
    }

    /// The guest's kernel, by its full name.
    pub(super) fn kernel(&self) -> Option<&str> {
        self.kernel.as_deref()
    }

    /// The same, or the kernel that was to be measured.
    pub(super) fn release(&self, kernel: Kernel) -> String {
        self.kernel().map_or_else(|| kernel.to_string(), str::to_owned)
    }

    /// Whether it came to its end, and everything was as the reference says.
    pub(super) fn is_right(&self) -> bool {
        self.status == Some(0) && self.wrong.is_empty()
    }

    /// What was not right.
    pub(super) fn complaints(&self) -> Vec<String> {
        let unfinished = (self.status.is_none()).then(|| "the guest did not come to its end".to_owned());
        self.wrong.iter().cloned().chain(unfinished).collect()
    }

    /// A line for each of them.
    pub(super) fn complaint_lines(&self) -> String {
        self.complaints().iter().map(|complaint| format!("WRONG: {complaint}\n")).collect()
    }

    /// The middle of all figures of a tool's operation.
    pub(super) fn median(&self, operation: &str, tool: &str) -> Option<u64> {
        let mut figures = self.all(operation, tool).to_vec();
        figures.sort_unstable();
        figures.get(figures.len() / 2).copied()
    }

    /// All figures of a tool's operation, in the order in which they were measured.
    pub(super) fn all(&self, operation: &str, tool: &str) -> &[u64] {
        self.figures.get(&(operation.to_owned(), tool.to_owned())).map_or(&[], Vec::as_slice)
    }
}

/// `OPERATION TOOL NUMBER`, of a known operation.
fn figure(text: &str) -> Option<((String, String), u64)> {
    let mut words = text.split_ascii_whitespace();
    let (operation, tool, number) = (words.next()?, words.next()?, words.next()?);
    let all = [
        &OPERATIONS[..],
        &INSIDE_OPERATIONS,
        &RELOAD_OPERATIONS,
        &GROWTH_OPERATIONS,
        &WATCHED_OPERATIONS,
        &LOAD_OPERATIONS,
    ];
    let known = all.iter().any(|known| known.contains(&operation)) && words.next().is_none();
    known.then_some(((operation.to_owned(), tool.to_owned()), number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(lines: &[&str]) -> Results {
        Results::read(&lines.join("\n"))
    }

    #[test]
    fn a_median_is_the_middle() {
        let results =
            results(&["figure add ipvs-cli 9", "figure add ipvs-cli 2", "figure add ipvs-cli 3", "figure add floor 1"]);
        assert_eq!(results.median("add", "ipvs-cli"), Some(3));
        assert_eq!(results.median("add", "ipvsadm"), None);
    }

    #[test]
    fn only_a_finished_run_without_complaints_is_right() {
        assert!(results(&["figure add ipvs-cli 9", "end 0"]).is_right());
        assert!(!results(&["figure add ipvs-cli 9"]).is_right());
        assert!(!results(&["wrong list ipvs-cli: line 3", "end 0"]).is_right());
        assert!(!results(&["figure brew ipvs-cli 9", "end 0"]).is_right());
        assert!(!results(&["end 1"]).is_right());
    }

    #[test]
    fn progress_is_shown_and_kernel_messages_are_not() {
        let mut results = Results::default();
        assert_eq!(results.take("progress round 1: ipvs-cli"), Some("round 1: ipvs-cli"));
        assert_eq!(results.take("[    0.1] IPVS: ipvs loaded."), None);
    }
}
