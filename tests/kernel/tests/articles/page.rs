//! Reads the files of `tests/kernel/articles`; its README describes the format.

use std::fmt;
use std::path::Path;

/// What stands between the words of pages made with some editors, and separates nothing for a
/// shell.
pub(crate) const NO_BREAK_SPACE: char = '\u{a0}';

/// The programs whose lines are kept.
const PROGRAMS: [&str; 2] = ["iptables", "ipvsadm"];

/// A part of an article that a reader follows in one go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) heading: String,
    pub(crate) lines: Vec<Line>,
}

/// A command line and what happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Where it stands in the file, from 1.
    pub(crate) number: usize,
    /// What is pasted into a shell.
    pub(crate) command: String,
    /// Whether the page has it, and not a reader corrected it.
    pub(crate) verbatim: bool,
    pub(crate) expected: Expected,
}

/// What a line does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) why: Option<String>,
    pub(crate) status: i32,
    pub(crate) says: Vec<String>,
    pub(crate) shell: Vec<String>,
    pub(crate) shows: Vec<String>,
    pub(crate) meant: Option<String>,
    pub(crate) warns: Vec<String>,
}

/// What is wrong with a file, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PageError {
    pub(crate) number: usize,
    pub(crate) problem: String,
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.number, self.problem)
    }
}

impl Line {
    /// Whether it needs iptables.
    pub(crate) fn is_iptables(&self) -> bool {
        self.command.starts_with(PROGRAMS[0])
    }
}

/// Reads a file of the directory `articles`.
pub(crate) fn read(name: &str) -> Vec<Section> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("articles").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Reads a file's text.
pub(crate) fn parse(text: &str) -> Result<Vec<Section>, PageError> {
    let mut sections = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        parse_line(&mut sections, number, line).map_err(|problem| PageError { number, problem })?;
    }
    Ok(sections)
}

fn parse_line(sections: &mut Vec<Section>, number: usize, line: &str) -> Result<(), String> {
    if let Some(heading) = line.strip_prefix("== ") {
        sections.push(Section { heading: heading.into(), lines: Vec::new() });
        return Ok(());
    }
    let section = sections.last_mut().ok_or("no section before this line; begin one with `== HEADING'")?;
    let (command, verbatim) = match (line.strip_prefix("> "), line.strip_prefix("then: ")) {
        (Some(pasted), _) => (without_prompt(pasted)?, true),
        (_, Some(corrected)) => (corrected, false),
        _ => {
            let line_above = section.lines.last_mut().ok_or("no command before this line; begin one with `> '")?;
            return annotate(&mut line_above.expected, line);
        }
    };
    section.lines.push(Line { number, command: command.into(), verbatim, expected: Expected::default() });
    Ok(())
}

fn without_prompt(pasted: &str) -> Result<&str, String> {
    let starts = PROGRAMS.iter().filter_map(|program| pasted.find(program));
    Ok(&pasted[starts.min().ok_or("neither iptables nor ipvsadm is in this line")?..])
}

fn annotate(expected: &mut Expected, line: &str) -> Result<(), String> {
    let (key, value) = line.split_once(": ").ok_or_else(|| format!("`{line}' is no `key: value'"))?;
    let text = value.to_owned();
    match key {
        "why" => expected.why = Some(text),
        "status" => expected.status = value.parse().map_err(|_| format!("`{value}' is no status"))?,
        "says" => expected.says.push(text),
        "shell" => expected.shell.push(text),
        "shows" => expected.shows.push(text),
        "meant" => expected.meant = Some(text),
        "warns" => expected.warns.push(text),
        _ => return Err(format!("`{key}:' is not known")),
    }
    Ok(())
}

#[test]
fn the_words_below_a_line_belong_to_it() {
    let text = "# comment\n\n== One\n> [root@LVS ~]# ipvsadm –C #x\nwhy: a dash\nstatus: 255\nmeant: ipvsadm -C\nthen: iptables -F\n";
    let [section] = &parse(text).unwrap()[..] else { panic!("one section") };
    let [pasted, corrected] = &section.lines[..] else { panic!("two lines") };
    assert_eq!((section.heading.as_str(), pasted.command.as_str(), pasted.verbatim), ("One", "ipvsadm –C #x", true));
    assert_eq!((pasted.number, pasted.expected.status, pasted.expected.why.as_deref()), (4, 255, Some("a dash")));
    assert_eq!((corrected.command.as_str(), corrected.verbatim), ("iptables -F", false));
    assert_eq!((pasted.is_iptables(), corrected.is_iptables()), (false, true));
}

#[test]
fn unreadable_lines_are_reported() {
    let problem = |text: &str| parse(text).unwrap_err().to_string();
    assert_eq!(problem("> ipvsadm"), "line 1: no section before this line; begin one with `== HEADING'");
    assert_eq!(problem("== x\nsays: y"), "line 2: no command before this line; begin one with `> '");
    assert_eq!(problem("== x\n> ls"), "line 2: neither iptables nor ipvsadm is in this line");
    assert_eq!(problem("== x\n> ipvsadm\nsay: y"), "line 3: `say:' is not known");
    assert_eq!(problem("== x\n> ipvsadm\nstatus: y"), "line 3: `y' is no status");
    assert_eq!(problem("== x\n> ipvsadm\ny"), "line 3: `y' is no `key: value'");
}
