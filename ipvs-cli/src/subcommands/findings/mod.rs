//! What `doctor` and `mark check` find.

pub(crate) mod marks;
mod remedies;

use std::fmt;
use std::io::{self, Write};

use ipvs::desired::parts::{Inline, Scalar};
use ipvs_text::escape::ShellCommand;

pub(crate) use self::remedies::Remedy;
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
    /// Where the evidence fits several causes: the likeliest first, at most three.
    pub(crate) causes: Vec<Cause>,
    /// Where to look next, if it takes more than this machine knows.
    pub(crate) look: Option<String>,
    /// None where it takes a person to know.
    pub(crate) mend: Option<Mend>,
}

/// One of several causes that fit the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    /// A word for programs, which stays.
    pub(crate) id: &'static str,
    pub(crate) what: String,
}

/// Commands of a shell that remove a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mend {
    pub(crate) remedy: Remedy,
    pub(crate) commands: Vec<ShellCommand>,
}

impl Finding {
    pub(crate) fn problem(id: &'static str, what: impl Into<String>, why: impl Into<String>) -> Self {
        let (what, why) = (what.into(), why.into());
        Finding { level: Level::Problem, id, what, why, causes: Vec::new(), look: None, mend: None }
    }

    pub(crate) fn hint(id: &'static str, what: impl Into<String>, why: impl Into<String>) -> Self {
        Finding { level: Level::Hint, ..Finding::problem(id, what, why) }
    }

    #[must_use]
    pub(crate) fn mended_by(self, remedy: Remedy, commands: impl IntoIterator<Item = ShellCommand>) -> Self {
        Finding { mend: Some(Mend { remedy, commands: commands.into_iter().collect() }), ..self }
    }

    #[must_use]
    pub(crate) fn caused_by(self, causes: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let causes = causes.into_iter().take(3).map(|(id, what)| Cause { id, what }).collect();
        Finding { causes, ..self }
    }

    #[must_use]
    pub(crate) fn look(self, where_to: impl Into<String>) -> Self {
        Finding { look: Some(where_to.into()), ..self }
    }

    fn commands(&self) -> &[ShellCommand] {
        self.mend.as_ref().map_or(&[], |mend| &mend.commands)
    }

    fn cost(&self) -> Option<&'static str> {
        self.mend.as_ref().map(|mend| mend.remedy.cost()).filter(|cost| !cost.is_empty())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n  why: {}", self.level, self.what, self.why)?;
        for (number, cause) in (1..).zip(&self.causes) {
            write!(f, "\n  cause {number}: {}", cause.what)?;
        }
        self.look.iter().try_for_each(|look| write!(f, "\n  look: {look}"))?;
        self.cost().iter().try_for_each(|cost| write!(f, "\n  cost: {cost}"))?;
        self.commands().iter().try_for_each(|command| write!(f, "\n  # {command}"))
    }
}

/// What an examination read, and what it could not read, for the reader of its findings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Looked {
    pub(crate) at: Vec<String>,
    pub(crate) not_at: Vec<String>,
    /// What was asked by packets, for programs; `None` if nothing was.
    pub(crate) probes: Option<Vec<Scalar>>,
}

impl fmt::Display for Looked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "looked at: {}", self.at.join(", "))?;
        self.not_at.iter().try_for_each(|what| write!(f, "\nnot looked at: {what}"))
    }
}

/// The list of probes, if there is one, with a line for each.
struct Probes<'p>(Option<&'p [Scalar]>);

impl fmt::Display for Probes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(all) = self.0 else { return Ok(()) };
        f.write_str("\n  \"probes\": [")?;
        for (index, probe) in all.iter().enumerate() {
            write!(f, "{}\n    {}", if index == 0 { "" } else { "," }, Inline::Json.of(probe))?;
        }
        f.write_str(if all.is_empty() { "]," } else { "\n  ]," })
    }
}

/// Writes all of them as one JSON object, a line for each.
pub(crate) fn write_json(
    out: &mut dyn Write,
    role: &'static str,
    looked: &Looked,
    findings: &[Finding],
) -> io::Result<()> {
    let texts = |texts: &[String]| Scalar::Texts(texts.to_vec());
    write!(
        out,
        "{{\n  \"version\": {VERSION},\n  \"role\": {},\n  \"examined\": {},\n  \"unread\": {},{}\n  \"findings\": [",
        Inline::Json.of(&Scalar::text(role)),
        Inline::Json.of(&texts(&looked.at)),
        Inline::Json.of(&texts(&looked.not_at)),
        Probes(looked.probes.as_deref()),
    )?;
    for (index, finding) in findings.iter().enumerate() {
        let cause =
            |cause: &Cause| Scalar::Table(vec![("id", Scalar::text(cause.id)), ("what", Scalar::text(&cause.what))]);
        let mut fields = vec![
            ("level", Scalar::text(finding.level)),
            ("id", Scalar::text(finding.id)),
            ("what", Scalar::text(&finding.what)),
            ("why", Scalar::text(&finding.why)),
            ("causes", Scalar::List(finding.causes.iter().map(cause).collect())),
            ("mend", Scalar::Texts(finding.commands().iter().map(ToString::to_string).collect())),
        ];
        fields.extend(finding.look.iter().map(|look| ("look", Scalar::text(look))));
        fields.extend(finding.mend.iter().map(|mend| ("remedy", Scalar::text(mend.remedy.name()))));
        fields.extend(finding.cost().map(|cost| ("cost", Scalar::text(cost))));
        out.write_all(if index == 0 { b"\n    " } else { b",\n    " })?;
        write!(out, "{}", Inline::Json.of(&Scalar::Table(fields)))?;
    }
    out.write_all(if findings.is_empty() { b"]\n}\n" } else { b"\n  ]\n}\n" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding() -> Finding {
        Finding::hint("some-id", "a \"b\"", "why")
            .caused_by([("x", "one".to_owned()), ("y", "two".to_owned())])
            .look("there")
            .mended_by(Remedy::ArpIgnore, ["d", "e"].map(|word| ShellCommand::new([word])))
    }

    #[test]
    fn json_is_json() {
        let looked = Looked { at: vec!["all".to_owned()], ..Looked::default() };
        for findings in [vec![], vec![finding()], vec![finding(); 2]] {
            let mut text = Vec::new();
            write_json(&mut text, "director", &looked, &findings).unwrap();
            let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(value["findings"].as_array().unwrap().len(), findings.len());
            assert_eq!((&value["role"], &value["examined"][0]), (&"director".into(), &"all".into()));
            if let Some(first) = value["findings"].get(0) {
                assert_eq!(first["what"], "a \"b\"");
                assert_eq!((&first["causes"][1]["id"], &first["look"]), (&"y".into(), &"there".into()));
                assert_eq!((&first["mend"][1], &first["remedy"]), (&"e".into(), &"arp-ignore".into()));
                assert_eq!(first["cost"], Remedy::ArpIgnore.cost());
            }
        }
    }

    #[test]
    fn causes_costs_and_commands_stand_below() {
        let text = finding().to_string();
        let cost = Remedy::ArpIgnore.cost();
        let expected = format!(
            "hint: a \"b\"\n  why: why\n  cause 1: one\n  cause 2: two\n  look: there\n  cost: {cost}\n  # d\n  # e"
        );
        assert_eq!(text, expected);
    }
}
