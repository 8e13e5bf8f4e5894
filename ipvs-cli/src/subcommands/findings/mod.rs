//! What `doctor` and `mark check` find.

pub(crate) mod marks;

use std::fmt;
use std::io::{self, Write};

use ipvs::desired::parts::{Inline, Scalar};
use ipvs_text::escape::ShellCommand;

use crate::session::json::VERSION;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Packets are lost, or go astray.
    Problem,
    /// It works, and there is something to know.
    Hint,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Level::Problem => "problem",
            Level::Hint => "hint",
        })
    }
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    /// A word for programs, which stays.
    pub(crate) id: &'static str,
    pub(crate) what: String,
    pub(crate) why: String,
    /// Commands of a shell that mend it; none where it takes a person to know.
    pub(crate) mend: Vec<ShellCommand>,
}

impl Finding {
    pub(crate) fn problem(id: &'static str, what: impl Into<String>, why: impl Into<String>) -> Self {
        Finding { level: Level::Problem, id, what: what.into(), why: why.into(), mend: Vec::new() }
    }

    pub(crate) fn hint(id: &'static str, what: impl Into<String>, why: impl Into<String>) -> Self {
        Finding { level: Level::Hint, ..Finding::problem(id, what, why) }
    }

    #[must_use]
    pub(crate) fn mended_by(mut self, commands: impl IntoIterator<Item = ShellCommand>) -> Self {
        self.mend.extend(commands);
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n  why: {}", self.level, self.what, self.why)?;
        self.mend.iter().try_for_each(|command| write!(f, "\n  # {command}"))
    }
}

/// Writes all of them as one JSON object, a line for each.
pub(crate) fn write_json(out: &mut dyn Write, role: &'static str, findings: &[Finding]) -> io::Result<()> {
    write!(
        out,
        "{{\n  \"version\": {VERSION},\n  \"role\": {},\n  \"findings\": [",
        Inline::Json.of(&Scalar::text(role))
    )?;
    for (index, finding) in findings.iter().enumerate() {
        let fields = Scalar::Table(vec![
            ("level", Scalar::text(finding.level)),
            ("id", Scalar::text(finding.id)),
            ("what", Scalar::text(&finding.what)),
            ("why", Scalar::text(&finding.why)),
            ("mend", Scalar::Texts(finding.mend.iter().map(ToString::to_string).collect())),
        ]);
        out.write_all(if index == 0 { b"\n    " } else { b",\n    " })?;
        write!(out, "{}", Inline::Json.of(&fields))?;
    }
    out.write_all(if findings.is_empty() { b"]\n}\n" } else { b"\n  ]\n}\n" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_json() {
        let finding =
            Finding::problem("some-id", "a \"b\"", "c").mended_by(["d", "e"].map(|word| ShellCommand::new([word])));
        for findings in [vec![], vec![finding.clone()], vec![finding; 2]] {
            let mut text = Vec::new();
            write_json(&mut text, "director", &findings).unwrap();
            let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(value["findings"].as_array().unwrap().len(), findings.len());
            assert_eq!(value["role"], "director");
            if let Some(first) = value["findings"].get(0) {
                assert_eq!(first["what"], "a \"b\"");
                assert_eq!(first["mend"][1], "e");
            }
        }
    }

    #[test]
    fn commands_stand_below() {
        let finding = Finding::hint("some-id", "what", "why").mended_by([ShellCommand::new(["true"])]);
        assert_eq!(finding.to_string(), "hint: what\n  why: why\n  # true");
    }
}
