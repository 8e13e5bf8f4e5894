//! Places in a text, and what is wrong there.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// A text, and the name that messages call it by.
///
/// A copy shares the text.
///
/// ```
/// use ipvs::desired::Source;
/// let source = Source::new("shop.toml", "version = 1");
/// assert_eq!(source.name(), "shop.toml");
/// ```
#[derive(Clone)]
pub struct Source(Arc<Inner>);

struct Inner {
    name: String,
    text: Vec<u8>,
}

impl Source {
    /// A text with a name, such as that of its file. A byte order mark in front of the text is left
    /// out.
    ///
    /// ```no_run
    /// let source = ipvs::desired::Source::new("shop.toml", std::fs::read("shop.toml")?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(name: impl Into<String>, text: impl Into<Vec<u8>>) -> Self {
        Source(Arc::new(Inner { name: name.into(), text: without_mark(text.into()) }))
    }

    /// The name.
    ///
    /// ```
    /// assert_eq!(ipvs::desired::Source::new("a.toml", "").name(), "a.toml");
    /// ```
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The text.
    ///
    /// ```
    /// let source = ipvs::desired::Source::new("a.toml", "\u{feff}version = 1");
    /// assert_eq!(source.text(), b"version = 1");
    /// ```
    pub fn text(&self) -> &[u8] {
        &self.0.text
    }

    /// The place of the byte at `offset`; behind the text, its end.
    ///
    /// ```
    /// let source = ipvs::desired::Source::new("a.toml", "version = 1\nservices = []");
    /// assert_eq!(source.place(23).to_string(), "a.toml:2:12");
    /// ```
    pub fn place(&self, offset: usize) -> Place {
        Place { source: self.clone(), offset: offset.min(self.text().len()), whole_line: false }
    }

    /// The line of the byte at `offset`.
    ///
    /// ```
    /// let source = ipvs::desired::Source::new("a.toml", "version = 1\nservices = []");
    /// assert_eq!(source.line(23).to_string(), "a.toml:2");
    /// ```
    pub fn line(&self, offset: usize) -> Place {
        Place { whole_line: true, ..self.place(offset) }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({:?}, {} bytes)", self.0.name, self.0.text.len())
    }
}

/// Some editors put a byte order mark in front of UTF-8.
fn without_mark(mut text: Vec<u8>) -> Vec<u8> {
    if text.starts_with("\u{feff}".as_bytes()) {
        text.drain(.."\u{feff}".len());
    }
    text
}

/// A place in a text. Prints as `file:line:column`, or `file:line` where the whole line is meant.
///
/// Lines and columns count from 1, columns in characters.
///
/// ```
/// use ipvs::desired::{self, Source};
/// let problems = desired::read(&Source::new("a.toml", "version = 1\nservice = []")).unwrap_err();
/// let place = &problems.iter().next().unwrap().place;
/// assert_eq!((place.name(), place.line(), place.column()), ("a.toml", 2, Some(1)));
/// assert_eq!(place.text(), "service = []");
/// ```
#[derive(Clone, Debug)]
pub struct Place {
    source: Source,
    offset: usize,
    whole_line: bool,
}

impl Place {
    /// The name of the text.
    ///
    /// ```
    /// use ipvs::desired::Source;
    /// assert_eq!(Source::new("a.toml", "").place(0).name(), "a.toml");
    /// ```
    pub fn name(&self) -> &str {
        &self.source.0.name
    }

    /// The line.
    ///
    /// ```
    /// use ipvs::desired::Source;
    /// assert_eq!(Source::new("a.toml", "\n\n").place(1).line(), 2);
    /// ```
    pub fn line(&self) -> usize {
        1 + self.source.text()[..self.offset].iter().filter(|&&byte| byte == b'\n').count()
    }

    /// The column; `None` where the whole line is meant.
    ///
    /// ```
    /// use ipvs::desired::Source;
    /// assert_eq!(Source::new("a.toml", "ab").place(1).column(), Some(2));
    /// assert_eq!(Source::new("a.toml", "ab").line(1).column(), None);
    /// ```
    pub fn column(&self) -> Option<usize> {
        let before = &self.source.text()[self.start()..self.offset];
        (!self.whole_line).then(|| 1 + String::from_utf8_lossy(before).chars().count())
    }

    /// The text of the line, without its end.
    ///
    /// ```
    /// use ipvs::desired::Source;
    /// assert_eq!(Source::new("a.toml", "a\nb\r\nc").place(2).text(), "b");
    /// ```
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
/// use ipvs::desired::{Problem, Source};
/// let place = Source::new("a.toml", "version = 2").place(10);
/// let problem = Problem { place, reason: "no such version".to_owned() };
/// assert_eq!(problem.to_string(), "a.toml:1:11: no such version");
/// ```
#[derive(Clone, Debug)]
pub struct Problem {
    /// Where it is wrong.
    pub place: Place,
    /// What is wrong, and what would be right.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

impl std::error::Error for Problem {}

/// All that is wrong with a text, in its order. Prints a line for each.
///
/// ```
/// use ipvs::desired::{self, Source};
/// let problems =
///     desired::read(&Source::new("a.toml", "version = 1\n[timeouts]\ntcp = -1")).unwrap_err();
/// for problem in &problems {
///     eprintln!("{problem}");
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Nobody reads more at once; and a text of another kind is wrong in every line.
    const MOST: usize = 50;

    /// Adds a problem, unless there are fifty already.
    ///
    /// ```
    /// use ipvs::desired::{Problems, Source};
    /// let mut problems = Problems::default();
    /// problems.add(Source::new("a.toml", "").place(0), "the file is empty");
    /// assert_eq!(problems.to_string(), "a.toml:1:1: the file is empty");
    /// ```
    pub fn add(&mut self, place: Place, reason: impl Into<String>) {
        if !self.is_full() {
            self.0.push(Problem { place, reason: reason.into() });
        }
    }

    /// Are there fifty? No more are added, so a reader can stop.
    ///
    /// ```
    /// assert!(!ipvs::desired::Problems::default().is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        self.0.len() >= Self::MOST
    }

    /// The problems.
    ///
    /// ```
    /// assert_eq!(ipvs::desired::Problems::default().iter().len(), 0);
    /// ```
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// The value, if there are no problems.
    ///
    /// # Errors
    /// These problems, in the order of the text.
    ///
    /// ```
    /// assert_eq!(ipvs::desired::Problems::default().or(1).unwrap(), 1);
    /// ```
    pub fn or<T>(mut self, value: T) -> Result<T, Problems> {
        self.0.sort_by_key(|problem| problem.place.offset);
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'p> IntoIterator for &'p Problems {
    type Item = &'p Problem;
    type IntoIter = std::slice::Iter<'p, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl From<Problems> for Vec<Problem> {
    fn from(problems: Problems) -> Self {
        problems.0
    }
}
