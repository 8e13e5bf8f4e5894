//! Places in a text, and what is wrong there.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// A text with its name.
#[derive(Clone)]
pub(crate) struct Source(Arc<Inner>);

struct Inner {
    name: String,
    text: Vec<u8>,
}

impl Source {
    pub(crate) fn new(name: &str, text: Vec<u8>) -> Self {
        Source(Arc::new(Inner { name: name.to_owned(), text: without_mark(text) }))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.0.text
    }

    /// The place of the byte at `offset`.
    pub(super) fn place(&self, offset: usize) -> Place {
        Place { source: self.clone(), offset: offset.min(self.text().len()), whole_line: false }
    }

    /// The line that the byte at `offset` is in.
    pub(super) fn line(&self, offset: usize) -> Place {
        Place { whole_line: true, ..self.place(offset) }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({:?}, {} bytes)", self.0.name, self.0.text.len())
    }
}

/// Editors of some systems put a byte order mark before a text of UTF-8.
fn without_mark(mut text: Vec<u8>) -> Vec<u8> {
    if text.starts_with("\u{feff}".as_bytes()) {
        text.drain(.."\u{feff}".len());
    }
    text
}

/// A place in a text: prints as `file:line:column`, or `file:line` where the whole line is meant.
///
/// Lines and columns count from 1, columns in characters.
///
/// ```
/// use ipvs_cli::desired;
/// use ipvs_cli::ipvsadm::{Parser, Posix, value::NoNames};
/// let mut names = NoNames;
/// let mut parser = Parser::new(&mut names, Posix(false));
/// let problems = desired::read("a.rules", b"# web\n-A -t 192.0.2.1\n".to_vec(), &mut parser).unwrap_err();
/// assert_eq!(problems[0].place.to_string(), "a.rules:2");
/// assert_eq!(problems[0].place.text(), "-A -t 192.0.2.1");
/// ```
#[derive(Clone, Debug)]
pub struct Place {
    source: Source,
    offset: usize,
    whole_line: bool,
}

impl Place {
    /// The name of the text.
    pub fn name(&self) -> &str {
        &self.source.0.name
    }

    /// The line.
    pub fn line(&self) -> usize {
        1 + self.source.text()[..self.offset].iter().filter(|&&byte| byte == b'\n').count()
    }

    /// The column; none where the whole line is meant.
    pub fn column(&self) -> Option<usize> {
        let before = &self.source.text()[self.start()..self.offset];
        (!self.whole_line).then(|| 1 + String::from_utf8_lossy(before).chars().count())
    }

    /// The text of the line, without its end.
    pub fn text(&self) -> Cow<'_, str> {
        let rest = &self.source.text()[self.start()..];
        let line = rest.split(|&byte| byte == b'\n').next().unwrap_or_default();
        String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// Where the line starts.
    fn start(&self) -> usize {
        let before = &self.source.text()[..self.offset];
        before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name(), self.line())?;
        match self.column() {
            Some(column) => write!(f, ":{column}"),
            None => Ok(()),
        }
    }
}

/// Something wrong at a place of a text: what it is, and what would be right.
///
/// Prints as `file:line:column: reason`.
///
/// ```
/// fn tell(problems: &[ipvs_cli::desired::Problem]) {
///     for problem in problems {
///         eprintln!("{problem}");
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

impl std::error::Error for Problem {}

/// Gathers problems.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    /// Nobody reads more at once; and a text of another kind is wrong in every line.
    const MOST: usize = 50;

    pub(super) fn add(&mut self, place: Place, reason: impl Into<String>) {
        if !self.is_full() {
            self.0.push(Problem { place, reason: reason.into() });
        }
    }

    /// No more are taken: looking for them is in vain.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= Self::MOST
    }

    /// In the order of the text.
    pub(super) fn sort(&mut self) {
        self.0.sort_by_key(|problem| problem.place.offset);
    }

    /// All of them.
    pub(super) fn into_vec(self) -> Vec<Problem> {
        self.0
    }

    /// The value, if there are no problems.
    pub(super) fn or<T>(self, value: T) -> Result<T, Vec<Problem>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }
}
