//! Desired states: files that describe the services of a director.
//!
//! - *Rules*: ipvsadm's own commands, as `ipvsadm -S` writes them and `ipvsadm-restore` reads them.
//! - TOML or JSON, which [`ipvs::desired`] reads and writes.
//!
//! [`read`] makes a [`Desired`] of either: commands that build the state from nothing, each with
//! its place in the file. [`read_for`] leaves out what a director holds already.
//!
//! ```
//! use ipvs::Table;
//! use ipvs_cli::desired;
//! use ipvs_cli::ipvsadm::{Parser, Posix, value::NoNames};
//!
//! let text = b"-A -t 192.0.2.1:80 -s rr\n-a -t 192.0.2.1:80 -r 192.0.2.11 -m\n";
//! let mut names = NoNames;
//! let wanted =
//!     desired::read("shop.rules", text.to_vec(), &mut Parser::new(&mut names, Posix(false)))
//!         .unwrap();
//! let table = wanted.state.table(&Table::new()).unwrap();
//! assert_eq!(table.services().len(), 1);
//! ```

pub(crate) mod group;
mod rules;
mod same;

use ipvs::desired::{self as state, Problem, Problems, Source};
use ipvs::{Command, Table};
use ipvs_text::ipvsadm::Parser;

use crate::hint::{self, first_line};

pub use group::{Group, groups_of};

/// The contents of a desired state.
///
/// ```
/// # fn count(wanted: &ipvs_cli::desired::Desired) -> usize {
/// wanted.state.commands.len()
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Desired {
    /// Services, timeouts and sync daemons.
    pub state: state::Desired,
    /// The rules that mark packets for services: those of `state.groups`.
    pub groups: Vec<Group>,
}

impl Desired {
    /// Adds what another text says. A service that both have is refused when a table is made.
    fn join(&mut self, other: Desired) -> Option<Problem> {
        let (state, added) = (&mut self.state, other.state);
        let sets_timeouts = |located: &&state::Located| matches!(located.command, Command::SetTimeouts(_));
        let twice = added.commands.iter().find(sets_timeouts).filter(|_| state.scope.timeouts);
        let problem = twice.map(|located| Problem {
            place: located.place.clone(),
            reason: "another file sets timeouts, too: one file must have all of them".to_owned(),
        });
        let (scope, of) = (&mut state.scope, added.scope);
        scope.services |= of.services;
        scope.timeouts |= of.timeouts;
        scope.master |= of.master;
        scope.backup |= of.backup;
        scope.marks |= of.marks;
        state.commands.extend(added.commands);
        state.groups.extend(added.groups);
        state.warnings.extend(added.warnings);
        self.groups.extend(other.groups);
        problem
    }

    /// Leaves out timeouts and sync daemons.
    pub(crate) fn keep_services_only(&mut self) {
        let scope = &mut self.state.scope;
        (scope.timeouts, scope.master, scope.backup) = (false, false, false);
        self.state.commands.retain(|located| {
            !matches!(located.command, Command::SetTimeouts(_) | Command::StartDaemon(_) | Command::StopDaemon(_))
        });
    }
}

/// Reads a text; `name` is used in places, such as the file's name.
///
/// # Errors
/// All problems, or the first fifty.
pub fn read(name: &str, text: Vec<u8>, parser: &mut Parser<'_>) -> Result<Desired, Vec<Problem>> {
    read_for(&Table::new(), name, text, parser)
}

/// As [`read`], but much faster for rules as `ipvsadm -S -n` writes them, if this director holds
/// most of the services already. The desired table is the same, but for statistics.
///
/// # Errors
/// As [`read`], but a hint may suggest another similar service.
pub fn read_for(director: &Table, name: &str, text: Vec<u8>, parser: &mut Parser<'_>) -> Result<Desired, Vec<Problem>> {
    understand(&Source::new(name, text), director, parser)
}

pub(crate) fn understand(source: &Source, director: &Table, parser: &mut Parser<'_>) -> Result<Desired, Vec<Problem>> {
    let mut problems = Problems::default();
    if let Some(what) = hint::file(source.text()) {
        problems.add(source.place(0), what);
        return Err(problems.into());
    }
    let desired = match first_line(source.text()) {
        None => {
            problems.add(source.place(0), EMPTY);
            Desired::default()
        }
        Some(line) if is_rule(line) => {
            Desired { state: rules::read(source, director, parser, &mut problems), groups: Vec::new() }
        }
        Some(_) => {
            let state = state::read(source)?;
            let groups = group::rules_of(&state, &mut problems);
            Desired { state, groups }
        }
    };
    Ok(problems.or(desired)?)
}

/// As [`understand`], of texts that are one desired state together.
pub(crate) fn understand_all(
    sources: &[Source],
    director: &Table,
    parser: &mut Parser<'_>,
) -> Result<Desired, Vec<Problem>> {
    if let [source] = sources {
        return understand(source, director, parser);
    }
    // Services that the director has already are not left out: they would not be noticed if they
    // were there twice.
    let empty = Table::new();
    let (mut all, mut problems) = (Desired::default(), Vec::new());
    for source in sources {
        match understand(source, &empty, parser) {
            Ok(desired) => problems.extend(all.join(desired)),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(all) } else { Err(problems) }
}

/// Is the text rules, and not TOML or JSON?
pub(crate) fn is_rules(source: &Source) -> bool {
    first_line(source.text()).is_some_and(is_rule)
}

/// Is the line one of rules? Dashes may be those of a word processor, and the program may stand
/// before them, as in a script: `sudo /sbin/ipvsadm -A`.
fn is_rule(line: &[u8]) -> bool {
    let is_option = |word: &&[u8]| matches!(word, [b'-', ..] | [0xe2, 0x80, 0x90..=0x95, ..] | [0xe2, 0x88, 0x92, ..]);
    let is_program = |word: &[u8]| {
        let name = word.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        name == b"ipvsadm" || name == b"ipvs-cli" || name.eq_ignore_ascii_case(b"$ipvsadm")
    };
    let words: Vec<&[u8]> = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
    match words.iter().position(is_option) {
        Some(0) => true,
        Some(first) => words[..first].iter().any(|word| is_program(word)),
        None => words.first().is_some_and(|word| *word == b"ipvsadm"),
    }
}

/// An empty file is an error: a program that failed leaves one behind.
const EMPTY: &str = "The file is empty. For a director without services write `-C`, \
    or `version = 1` and `services = []`";

#[cfg(test)]
mod tests {
    use super::*;
    use ipvs_text::ipvsadm::with_parser;

    fn together(texts: &[&str]) -> Result<Table, String> {
        let sources: Vec<_> =
            (1..).zip(texts).map(|(number, text)| Source::new(format!("{number}"), text.as_bytes())).collect();
        let lines = |problems: Vec<Problem>| {
            let lines = problems.iter().map(|problem| format!("{}: {}", problem.place, problem.reason));
            lines.collect::<Vec<_>>().join("\n")
        };
        let desired = with_parser(|parser| understand_all(&sources, &Table::new(), parser)).map_err(lines)?;
        desired.state.table(&Table::new()).map_err(|problems| problems.to_string())
    }

    #[test]
    fn files_are_one_state_together() {
        let mark = |mark: u32| format!("version = 1\n[[services]]\nmark = {mark}\n");
        let timeouts = "version = 1\n[timeouts]\nudp = 60\n";
        let table = together(&[&mark(1), "-C\n-A -f 2 -s rr\n", &mark(3), timeouts]).unwrap();
        assert_eq!((table.services().len(), table.timeouts().udp), (3, Some(60)));
        let twice = together(&[&mark(1), "-A -f 1 -s rr\n"]).unwrap_err();
        assert!(twice.starts_with("2:1: "), "{twice}");
        let twice = together(&[timeouts, timeouts]).unwrap_err();
        assert_eq!(twice, "2:2:1: another file sets timeouts, too: one file must have all of them");
        let wrong = together(&["version = 1\n[[services]]\n", "nonsense\n"]).unwrap_err();
        assert!(wrong.contains("1:") && wrong.contains("\n2:"), "all files are read: {wrong}");
    }

    #[test]
    fn the_first_word_selects_the_notation() {
        let is_rules = |text: &str| is_rules(&Source::new("test", text));
        for rules in
            ["-A -f 1", "# saved\n\n  -C", "ipvsadm -A -f 1", "\u{2013}A -f 1", "\u{2212}A -f 1", "--set 1 2 3"]
        {
            assert!(is_rules(rules), "{rules:?}");
        }
        for other in [
            "",
            "\n # only\n\t\n",
            "{}",
            "\n\t {\"version\": 1}",
            "version = 1",
            "# shop\n[[services]]",
            "ipvsadmin = 1",
        ] {
            assert!(!is_rules(other), "{other:?}");
        }
    }
}
