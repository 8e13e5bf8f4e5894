//! The entries of one table: each is asked for by its key and must be of the right kind.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;

use super::{service, suggest};
use crate::desired::place::{Place, Problems, Source};
use crate::desired::tree::{Entry, Kind, Value, short};

/// The keys of one kind of table.
#[derive(Debug)]
pub(in crate::desired) struct Keys {
    /// The table, in messages.
    pub(super) what: &'static str,
    pub(super) names: &'static [&'static str],
    /// What other programs call some of them.
    pub(super) others: &'static [(&'static str, &'static str)],
}

/// No table has more keys than a service.
const MOST: usize = service::KEYS.names.len();

/// What is noticed on the way.
pub(in crate::desired) struct Notes<'s> {
    pub(in crate::desired) source: &'s Source,
    pub(in crate::desired) problems: &'s mut Problems,
    pub(in crate::desired) warnings: &'s mut Problems,
}

impl Notes<'_> {
    pub(in crate::desired) fn problem(&mut self, at: usize, reason: impl Into<String>) {
        self.problems.add(self.source.place(at), reason);
    }

    pub(super) fn warn(&mut self, at: usize, reason: impl Into<String>) {
        self.warnings.add(self.source.place(at), reason);
    }

    pub(super) fn place(&self, at: usize) -> Place {
        self.source.place(at)
    }

    /// Where something was first, if there is a text.
    pub(super) fn first(&self, at: usize) -> String {
        if self.source.text().is_empty() { String::new() } else { format!(" at {}", self.place(at)) }
    }
}

/// A value that is as it should be, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(in crate::desired) struct Found<T> {
    pub(super) at: usize,
    pub(in crate::desired) value: T,
}

/// The entries of a table.
#[derive(Debug)]
pub(in crate::desired) struct Fields<'t> {
    /// Where the table starts.
    pub(super) at: usize,
    keys: &'static Keys,
    entries: Vec<Entry<'t>>,
    /// Are all of its keys known? If not, what is missing may only be misspelt.
    is_sound: bool,
}

impl<'t> Fields<'t> {
    /// The table's entries; those of unknown keys, and all but the first of one key, are reported.
    pub(in crate::desired) fn of(value: Value<'t>, keys: &'static Keys, notes: &mut Notes<'_>) -> Option<Self> {
        let Kind::Table(mut entries) = value.kind else {
            notes.problem(value.at, format!("{} must be a table, not {}", keys.what, value.kind.found()));
            return None;
        };
        let mut first = [None; MOST];
        let before = entries.len();
        entries.retain(|entry| accept(entry, keys, &mut first, notes));
        let is_sound = entries.len() == before;
        Some(Fields { at: value.at, keys, entries, is_sound })
    }

    /// Reports that a key must be there, if it isn't; `is` is what it would be.
    pub(super) fn require(&self, key: &'static str, is: impl Display, notes: &mut Notes<'_>) {
        if self.is_sound && self.place_of(key).is_none() {
            notes.problem(self.at, format!("{} needs '{key}': {is}", self.keys.what));
        }
    }

    /// Reports that what must be there isn't.
    pub(super) fn missing(&self, reason: &str, notes: &mut Notes<'_>) {
        if self.is_sound {
            notes.problem(self.at, reason);
        }
    }

    /// Where the key stands, if it is there.
    pub(in crate::desired) fn place_of(&self, key: &str) -> Option<usize> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| entry.at)
    }

    /// The value as `convert` makes it; if it makes none, the message is what the key `is` and what
    /// was found.
    pub(super) fn get<T>(
        &mut self,
        key: &'static str,
        notes: &mut Notes<'_>,
        is: impl Display,
        convert: impl FnOnce(&Kind<'t>) -> Option<T>,
    ) -> Option<Found<T>> {
        let Value { at, kind } = self.take(key)?;
        match convert(&kind) {
            Some(value) => Some(Found { at, value }),
            None => {
                notes.problem(at, format!("'{key}' must be {is}, not {}", kind.found()));
                None
            }
        }
    }

    /// What stands under the key.
    pub(super) fn peek(&self, key: &str) -> Option<&Kind<'t>> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value.kind)
    }

    fn take(&mut self, key: &'static str) -> Option<Value<'t>> {
        debug_assert!(self.keys.names.contains(&key), "{key} is no key of {}", self.keys.what);
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.swap_remove(at).value)
    }

    /// A whole number within the range; `unit` is put behind the range in the message.
    pub(super) fn integer<T>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<T>,
        unit: &str,
        notes: &mut Notes<'_>,
    ) -> Option<Found<T>>
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        let (first, last) = (range.start(), range.end());
        self.get(key, notes, format_args!("a whole number from {first} to {last}{unit}"), |kind| match kind {
            Kind::Integer(value) => T::try_from(*value).ok().filter(|value| range.contains(value)),
            _ => None,
        })
    }

    pub(super) fn boolean(&mut self, key: &'static str, notes: &mut Notes<'_>) -> Option<Found<bool>> {
        self.get(key, notes, "true or false", |kind| match kind {
            Kind::Boolean(value) => Some(*value),
            _ => None,
        })
    }

    /// A text that `convert` understands.
    pub(super) fn text<T>(
        &mut self,
        key: &'static str,
        notes: &mut Notes<'_>,
        is: impl Display,
        convert: impl FnOnce(&str) -> Option<T>,
    ) -> Option<Found<T>> {
        self.get(key, notes, is, |kind| match kind {
            Kind::Text(text) => convert(text),
            _ => None,
        })
    }

    /// One of these words.
    pub(super) fn word(
        &mut self,
        key: &'static str,
        words: &[&'static str],
        others: &[(&str, &'static str)],
        notes: &mut Notes<'_>,
    ) -> Option<Found<&'static str>> {
        let Value { at, kind } = self.take(key)?;
        let text = if let Kind::Text(text) = &kind { &**text } else { "" };
        if let Some(word) = words.iter().find(|word| **word == text) {
            return Some(Found { at, value: word });
        }
        let question = did_you_mean(suggest::meant(text, words, others), "\"", "\"");
        notes.problem(at, format!("'{key}' must be {}, not {}{question}", Words(words), kind.found()));
        None
    }

    /// A list, in its values.
    pub(super) fn list(&mut self, key: &'static str, notes: &mut Notes<'_>) -> Option<Vec<Value<'t>>> {
        let Value { at, kind } = self.take(key)?;
        match kind {
            Kind::List(values) => Some(values),
            other => {
                notes.problem(at, format!("'{key}' must be a list, not {}", other.found()));
                None
            }
        }
    }

    /// The table under this key.
    pub(super) fn table(
        &mut self,
        key: &'static str,
        keys: &'static Keys,
        notes: &mut Notes<'_>,
    ) -> Option<Fields<'t>> {
        Fields::of(self.take(key)?, keys, notes)
    }

    /// A table that was written for information, and is not looked into.
    pub(super) fn ignore(&mut self, key: &'static str, notes: &mut Notes<'_>) {
        self.get(key, notes, "a table, for information only", |kind| matches!(kind, Kind::Table(_)).then_some(()));
    }
}

/// Is the entry one to keep?
fn accept(entry: &Entry<'_>, keys: &Keys, first: &mut [Option<usize>], notes: &mut Notes<'_>) -> bool {
    if notes.problems.is_full() {
        return false;
    }
    let Some(index) = keys.names.iter().position(|name| *name == entry.key) else {
        notes.problem(entry.at, unknown(&entry.key, keys));
        return false;
    };
    if let Some(at) = first[index] {
        notes.problem(entry.at, format!("'{}' is already defined{}", entry.key, notes.first(at)));
        return false;
    }
    first[index] = Some(entry.at);
    true
}

/// That the table has no such key, and which it may have.
pub(super) fn unknown(key: &str, keys: &Keys) -> String {
    let meant = suggest::meant(key, keys.names, keys.others);
    let help = match meant {
        Some(_) => did_you_mean(meant, "'", "'"),
        None => format!("; expected {}", keys.names.join(", ")),
    };
    format!("unknown key '{}' in {}{help}", short(key).escape_debug(), keys.what)
}

pub(super) fn did_you_mean(meant: Option<&str>, open: &str, close: &str) -> String {
    meant.map(|word| format!(": did you mean {open}{word}{close}?")).unwrap_or_default()
}

/// `"a", "b" or "c"`
struct Words<'w>(&'w [&'static str]);

impl Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.0.iter().enumerate() {
            let before = match index {
                0 => "",
                _ if index + 1 == self.0.len() => " or ",
                _ => ", ",
            };
            write!(f, "{before}\"{word}\"")?;
        }
        Ok(())
    }
}
