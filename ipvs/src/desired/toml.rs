//! TOML, by the crate of that name, in pieces of one service each.
//!
//! A parsed piece takes some fifty times the memory of its text, so thousands of services are not
//! parsed at once.

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::tree::{Entry, Kind, Part, SERVICES, Take, Value};

/// Gives out the parts of a text, and what is wrong with it as TOML.
pub(super) fn parts<'t>(text: &'t str, take: &mut dyn Take<'t>) {
    // What looks like a header is one, unless it stands in a text of several lines.
    let is_cut = !text.contains("\"\"\"") && !text.contains("'''");
    let mut is_listed = false;
    let mut start = 0;
    while start < text.len() && !take.is_full() {
        let end = if is_cut { start + piece(&text[start..]) } else { text.len() };
        read_piece(Piece { text: &text[start..end], start }, &mut is_listed, take);
        start = end;
    }
}

/// The length of a text up to the header of the next service but the one that it may start with.
fn piece(text: &str) -> usize {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if at > 0 && is_service_header(line) {
            break;
        }
        at += line.len();
    }
    at
}

fn is_service_header(line: &str) -> bool {
    line.trim_ascii_start().strip_prefix("[[services]]").is_some_and(|rest| {
        let rest = rest.trim_ascii();
        rest.is_empty() || rest.starts_with('#')
    })
}

#[derive(Clone, Copy)]
struct Piece<'t> {
    text: &'t str,
    start: usize,
}

fn read_piece<'t>(piece: Piece<'t>, is_listed: &mut bool, take: &mut dyn Take<'t>) {
    let (table, errors) = DeTable::parse_recoverable(piece.text);
    for error in &errors {
        let at = error.span().map_or(piece.text.len(), |span| span.start);
        take.fault(piece.start + at, format!("this is not TOML: {}", error.message()));
    }
    // What could be understood of it is not what was meant.
    if !errors.is_empty() {
        return;
    }
    for (key, value) in table.into_inner() {
        let at = piece.start + key.span().start;
        // The key of a header stands inside of it, that of an assignment before its value.
        let is_header = value.span().start < key.span().start;
        if key.get_ref() != SERVICES || !value.get_ref().is_array() {
            take.part(Part::Entry(Entry { at, key: key.into_inner(), value: piece.value(value) }));
        } else if let DeValue::Array(services) = value.into_inner() {
            if !(is_header && *is_listed) {
                take.part(Part::Services { at });
            }
            *is_listed = is_header;
            services.into_iter().for_each(|service| take.part(Part::Service(piece.value(service))));
        }
    }
}

impl<'t> Piece<'t> {
    fn value(self, value: Spanned<DeValue<'t>>) -> Value<'t> {
        let at = self.start + value.span().start;
        let kind = match value.into_inner() {
            DeValue::String(text) => Kind::Text(text),
            DeValue::Integer(integer) => whole(&integer),
            DeValue::Float(float) => Kind::Number(float.as_str().to_owned().into()),
            DeValue::Boolean(value) => Kind::Boolean(value),
            DeValue::Datetime(time) => Kind::Time(time.to_string()),
            DeValue::Array(values) => Kind::List(values.into_iter().map(|value| self.value(value)).collect()),
            DeValue::Table(table) => Kind::Table(self.entries(table)),
        };
        Value { at, kind }
    }

    fn entries(self, table: DeTable<'t>) -> Vec<Entry<'t>> {
        let entry = |(key, value): (Spanned<_>, _)| Entry {
            at: self.start + key.span().start,
            key: key.into_inner(),
            value: self.value(value),
        };
        table.into_iter().map(entry).collect()
    }
}

fn whole(integer: &DeInteger<'_>) -> Kind<'static> {
    match i64::from_str_radix(integer.as_str(), integer.radix()) {
        Ok(value) => Kind::Integer(value),
        Err(_) => Kind::Number(integer.to_string().into()),
    }
}
