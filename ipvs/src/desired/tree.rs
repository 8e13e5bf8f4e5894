//! Values of TOML and JSON alike, with their places: what the typed notation is read from.

use std::borrow::Cow;

/// A value, and the byte where it starts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Value<'t> {
    pub(super) at: usize,
    pub(super) kind: Kind<'t>,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind<'t> {
    Null,
    Boolean(bool),
    Integer(i64),
    /// A number that is not whole, or one of too many digits: as it stands there.
    Number(Cow<'t, str>),
    /// A date or a time: as it stands there.
    Time(String),
    Text(Cow<'t, str>),
    List(Vec<Value<'t>>),
    Table(Vec<Entry<'t>>),
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry<'t> {
    pub(super) at: usize,
    pub(super) key: Cow<'t, str>,
    pub(super) value: Value<'t>,
}

/// What a text comes in: so that of thousands of services only one is in memory as a tree.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part<'t> {
    /// An entry of the top level.
    Entry(Entry<'t>),
    /// The key `services` of the top level, whose value is a list.
    Services { at: usize },
    /// The next element of that list.
    Service(Value<'t>),
}

/// Takes a text's parts as they are found.
pub(super) trait Take<'t> {
    fn part(&mut self, part: Part<'t>);

    /// Here the text is neither TOML nor JSON, or its UTF-8 is broken.
    fn fault(&mut self, at: usize, reason: String);

    /// Nothing more need come.
    fn is_full(&self) -> bool;
}

/// The key of the list that comes in parts.
pub(super) const SERVICES: &str = "services";

impl Kind<'_> {
    /// For a message about what was found.
    pub(super) fn found(&self) -> String {
        match self {
            Kind::Null => "null".to_owned(),
            Kind::Boolean(value) => value.to_string(),
            Kind::Integer(value) => value.to_string(),
            Kind::Number(text) => short(text),
            Kind::Time(text) => format!("the time {text}"),
            Kind::Text(text) => format!("\"{}\"", short(text).escape_debug()),
            Kind::List(_) => "a list".to_owned(),
            Kind::Table(_) => "a table".to_owned(),
        }
    }
}

/// At most as much as fits into a message.
pub(super) fn short(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
