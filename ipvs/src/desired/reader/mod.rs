//! Reads TOML and JSON, one file for each kind of table, with its keys.
//! docs/schema/ and docs/desired-state.md say the same; tests compare.

pub(super) mod daemon;
pub(super) mod destination;
mod fields;
mod group;
pub(super) mod service;
mod suggest;

use std::collections::HashMap;

use self::fields::Keys;
pub(super) use self::fields::{Fields, Found, Notes};
use super::place::{Problems, Source};
use super::tree::{Entry, Kind, Part, SERVICES, Take, Value};
use super::{Desired, Group, Located, Scope};
use crate::command::Command;
use crate::daemon::DaemonRole;
use crate::service::ServiceKey;
use crate::timeouts::Timeouts;

/// The version of the notation that this program writes, and the only one that it reads.
pub(super) const VERSION: i64 = 1;

pub(super) fn unknown_version(version: i64) -> String {
    format!("version {version} is unknown: this program reads version {VERSION}")
}

const TOP: Keys = Keys {
    what: "a desired state",
    names: &["version", "timeouts", "daemons", "services", "kernel"],
    others: &[("virtual_services", "services"), ("sync_daemons", "daemons"), ("ipvs", "version")],
};

pub(super) const TIMEOUTS: Keys =
    Keys { what: "'timeouts'", names: &["tcp", "tcp_fin", "udp"], others: &[("fin", "tcp_fin")] };

/// Reads a text that `parts` takes apart.
pub(super) fn read(
    source: &Source,
    parts: impl for<'t, 'r> Fn(&'t str, &'r mut dyn Take<'t>),
    problems: &mut Problems,
) -> Desired {
    let text = match std::str::from_utf8(source.text()) {
        Ok(text) => text,
        Err(error) => {
            problems.add(source.place(error.valid_up_to()), "TOML and JSON must be UTF-8");
            return Desired::default();
        }
    };
    let mut warnings = Problems::default();
    let notes = Notes { source, problems, warnings: &mut warnings };
    let mut reader = Reader::new(notes);
    parts(text, &mut reader);
    let desired = reader.finish();
    let warnings = warnings.or(()).err().map(Vec::from).unwrap_or_default();
    Desired { warnings, ..desired }
}

pub(super) struct Reader<'s> {
    pub(super) notes: Notes<'s>,
    /// The values are those of a kernel: a newer one may have some that no desired state has.
    is_of_kernel: bool,
    commands: Vec<Located>,
    groups: Vec<Group>,
    scope: Scope,
    /// The keys of the top level so far, and where.
    seen: Vec<(&'static str, usize)>,
    /// A version that this program doesn't know.
    foreign: Option<(usize, i64)>,
    /// Where services and daemons are defined.
    services: HashMap<ServiceKey, usize>,
    daemons: Vec<(DaemonRole, usize)>,
    /// A destination of another family than its service.
    mixed: Option<usize>,
    /// It is no use to say that something is missing in what could not be read.
    is_broken: bool,
}

impl<'t> Take<'t> for Reader<'_> {
    fn part(&mut self, part: Part<'t>) {
        match part {
            Part::Services { at } => {
                self.scope.services = true;
                self.scope.marks = true;
                self.see(SERVICES, at);
            }
            Part::Service(value) => self.service(value),
            Part::Entry(entry) => self.entry(entry),
        }
    }

    fn fault(&mut self, at: usize, reason: String) {
        self.is_broken = true;
        self.notes.problem(at, reason);
    }

    fn is_full(&self) -> bool {
        self.notes.problems.is_full()
    }
}

impl<'s> Reader<'s> {
    fn new(notes: Notes<'s>) -> Self {
        Reader {
            notes,
            is_of_kernel: false,
            commands: Vec::new(),
            groups: Vec::new(),
            scope: Scope::default(),
            seen: Vec::new(),
            foreign: None,
            services: HashMap::new(),
            daemons: Vec::new(),
            mixed: None,
            is_broken: false,
        }
    }

    /// For values that were written of what a kernel holds.
    #[cfg(feature = "serde")]
    pub(super) fn of_kernel(notes: Notes<'s>) -> Self {
        Reader { is_of_kernel: true, ..Self::new(notes) }
    }

    fn command(&mut self, at: usize, command: Command) {
        let place = self.notes.place(at);
        self.commands.push(Located { place, command });
    }

    /// Is the key of the top level the first of its name?
    fn see(&mut self, key: &str, at: usize) -> bool {
        if self.is_full() {
            return false;
        }
        let Some(&name) = TOP.names.iter().find(|name| **name == key) else {
            self.notes.problem(at, fields::unknown(key, &TOP));
            return false;
        };
        if let Some((_, first)) = self.seen.iter().find(|(seen, _)| *seen == name) {
            let reason = format!("'{name}' is already defined{}", self.notes.first(*first));
            self.notes.problem(at, reason);
            return false;
        }
        self.seen.push((name, at));
        true
    }

    fn entry(&mut self, entry: Entry<'_>) {
        if !self.see(&entry.key, entry.at) {
            return;
        }
        let Value { at, kind } = &entry.value;
        match &*entry.key {
            "version" => match kind {
                Kind::Integer(VERSION) => {}
                Kind::Integer(version) => self.foreign = Some((*at, *version)),
                other => self.notes.problem(*at, format!("'version' must be {VERSION}, not {}", other.found())),
            },
            "timeouts" => self.timeouts(entry.value),
            "daemons" => self.daemon_list(entry.value),
            "kernel" if matches!(kind, Kind::Table(_)) => {}
            "kernel" => self.notes.problem(*at, format!("'kernel' must be a table, not {}", kind.found())),
            // A list would have come in parts.
            _ => self.notes.problem(*at, format!("'{}' must be a list, not {}", entry.key, kind.found())),
        }
    }

    pub(super) fn seconds(&mut self, fields: &mut Fields<'_>) -> Timeouts {
        // What `Table` takes: clock ticks, at least 100 a second, are counted in an `int`.
        const LONGEST: u32 = i32::MAX as u32 / 100;
        let range = if self.is_of_kernel { 0..=u32::MAX } else { 1..=LONGEST };
        let mut seconds = |key| {
            let found: Option<Found<u32>> = fields.integer(key, range.clone(), " (seconds)", &mut self.notes);
            found.map(|found| found.value)
        };
        Timeouts { tcp: seconds("tcp"), tcp_fin: seconds("tcp_fin"), udp: seconds("udp") }
    }

    fn timeouts(&mut self, value: Value<'_>) {
        let Some(mut fields) = Fields::of(value, &TIMEOUTS, &mut self.notes) else { return };
        let timeouts = self.seconds(&mut fields);
        if timeouts != Timeouts::default() {
            self.scope.timeouts = true;
            self.command(fields.at, Command::SetTimeouts(timeouts));
        }
    }

    fn finish(mut self) -> Desired {
        if let Some((at, version)) = self.foreign {
            // What else there seems to be wrong may be right in that version.
            *self.notes.problems = Problems::default();
            self.notes.problem(at, unknown_version(version));
        } else if !self.is_broken && !self.seen.iter().any(|(key, _)| *key == "version") {
            let reason =
                format!("the version is missing: write `version = {VERSION}`, in JSON `\"version\": {VERSION}`");
            self.notes.problem(first_word(self.notes.source.text()), reason);
        }
        if let (Some(mixed), Some((_, daemon))) = (self.mixed, self.daemons.first()) {
            let mixed = self.notes.place(mixed);
            let reason = format!(
                "sync daemons can't run while a destination and its service are of different address families, as at {mixed}"
            );
            self.notes.problem(*daemon, reason);
        }
        Desired { commands: self.commands, groups: self.groups, scope: self.scope, ..Desired::default() }
    }

    /// The problem of something that is there already.
    fn twice(&mut self, at: usize, what: &str, first: usize) {
        if !self.is_full() {
            let reason = format!("{what} is already defined{}", self.notes.first(first));
            self.notes.problem(at, reason);
        }
    }
}

fn first_word(text: &[u8]) -> usize {
    text.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0)
}
