//! Metrics as text, in the two forms that Prometheus reads.
//!
//! ```
//! use ipvs_text::exposition::{Format, Kind, Labels, Page};
//!
//! let mut page = Page::new(Format::Classic);
//! let mut family = page.family(Kind::Counter, "connections", "Connections scheduled");
//! family.count(&Labels::default().with("virtual_service", &"mark 7"), 5);
//! let text = String::from_utf8(page.finish()).unwrap();
//! assert!(text.ends_with("\nconnections_total{virtual_service=\"mark 7\"} 5\n"));
//! ```

use std::fmt::{Display, Write as _};
use std::io::Write as _;
use std::time::Duration;

use ipvs::rule::parts::decimal;

use crate::escape;

/// A form of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4, the only one that node_exporter's textfile collector reads.
    Classic,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The value of the header `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its values go up and down.
    Gauge,
    /// Its values only go up. The names of its series end in `_total`.
    Counter,
}

/// The labels of a series, already formatted: several series can share them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(String);

impl Labels {
    /// Adds a label. An empty value is left out: in Prometheus it means that there is no such
    /// label.
    ///
    /// Names from the kernel may have control characters, which neither format can represent. They
    /// are written as escapes, as in all other output.
    #[must_use]
    pub fn with(mut self, name: &str, value: &dyn Display) -> Self {
        let start = self.0.len();
        let comma = if start == 0 { "" } else { "," };
        // Writing to a string does not fail.
        let _ = write!(self.0, "{comma}{name}=\"");
        let value_start = self.0.len();
        let _ = write!(self.0, "{value}");
        if self.0.len() == value_start {
            self.0.truncate(start);
            return self;
        }
        let is_plain = |char: char| matches!(char, ' '..='~') && !matches!(char, '"' | '\\');
        if !self.0[value_start..].chars().all(is_plain) {
            let raw = self.0.split_off(value_start);
            let shown = escape::text(&raw).to_string();
            self.0.push_str(&shown.replace('\\', "\\\\").replace('"', "\\\""));
        }
        self.0.push('"');
        self
    }
}

/// A page that is being written. A family must not be added twice.
#[derive(Debug)]
pub struct Page {
    text: Vec<u8>,
    format: Format,
}

impl Page {
    /// An empty page.
    pub fn new(format: Format) -> Self {
        Self::with_capacity(format, 0)
    }

    /// An empty page with room for this number of bytes.
    pub fn with_capacity(format: Format, bytes: usize) -> Self {
        Page { text: Vec::with_capacity(bytes), format }
    }

    /// Begins a family. `name` must not end in `_total`. `name` and `help` must not need escapes.
    pub fn family(&mut self, kind: Kind, name: &str, help: &str) -> Family<'_> {
        let (kind, end) = match kind {
            Kind::Gauge => ("gauge", ""),
            Kind::Counter => ("counter", "_total"),
        };
        // In OpenMetrics, the name of a counter family does not have the `_total` of its series.
        let title_end = if self.format == Format::Classic { end } else { "" };
        // Writing to a vector does not fail.
        let _ = write!(self.text, "# HELP {name}{title_end} {help}\n# TYPE {name}{title_end} {kind}\n");
        Family { name: format!("{name}{end}"), text: &mut self.text }
    }

    /// The whole text.
    pub fn finish(mut self) -> Vec<u8> {
        if self.format == Format::OpenMetrics {
            self.text.extend_from_slice(b"# EOF\n");
        }
        self.text
    }
}

/// The series of one name.
#[derive(Debug)]
pub struct Family<'p> {
    name: String,
    text: &'p mut Vec<u8>,
}

impl Family<'_> {
    fn series(&mut self, labels: &Labels) {
        self.text.extend_from_slice(self.name.as_bytes());
        if !labels.0.is_empty() {
            self.text.push(b'{');
            self.text.extend_from_slice(labels.0.as_bytes());
            self.text.push(b'}');
        }
        self.text.push(b' ');
    }

    /// Adds a series with a whole number.
    pub fn count(&mut self, labels: &Labels, value: u64) {
        self.series(labels);
        decimal(self.text, value);
        self.text.push(b'\n');
    }

    /// Adds a series with a duration, or a time since 1970, in seconds.
    pub fn seconds(&mut self, labels: &Labels, value: Duration) {
        self.series(labels);
        // Writing to a vector does not fail.
        let _ = writeln!(self.text, "{}.{:06}", value.as_secs(), value.subsec_micros());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(format: Format) -> String {
        let mut page = Page::new(format);
        page.family(Kind::Gauge, "a", "An a").count(&Labels::default(), 3);
        let mut family = page.family(Kind::Counter, "b", "A b");
        let labels = Labels::default().with("one", &1).with("none", &"").with("two", &"x");
        family.count(&labels, u64::MAX);
        family.count(&Labels::default().with("one", &"a\"\\b\x1b\n"), 0);
        page.family(Kind::Gauge, "c_seconds", "A c").seconds(&labels, Duration::from_micros(1_000_050));
        String::from_utf8(page.finish()).unwrap()
    }

    #[test]
    fn the_formats_differ_in_the_titles_of_counters_and_the_end() {
        let classic = "\
# HELP a An a
# TYPE a gauge
a 3
# HELP b_total A b
# TYPE b_total counter
b_total{one=\"1\",two=\"x\"} 18446744073709551615
b_total{one=\"a\\\"\\\\b\\\\x1b\\\\n\"} 0
# HELP c_seconds A c
# TYPE c_seconds gauge
c_seconds{one=\"1\",two=\"x\"} 1.000050
";
        assert_eq!(page(Format::Classic), classic);
        let titles = classic.replace("HELP b_total", "HELP b").replace("TYPE b_total", "TYPE b");
        assert_eq!(page(Format::OpenMetrics), titles + "# EOF\n");
    }
}
