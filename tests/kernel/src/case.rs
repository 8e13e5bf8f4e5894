//! A case: a transcript of commands with what they must print, read from a `.case` file. The format
//! is described in `cases/README.md`.

use crate::text::{self, EscapeError};
use crate::words::{self, WordError};
use ipvs::Behaviors;
use std::ffi::OsString;
use std::fmt;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a command may take before it counts as one that never answers.
const DEADLINE: Duration = Duration::from_secs(60);

/// One case file.
#[derive(Debug, Clone)]
pub struct Case {
    /// The file's name without its ending.
    pub name: String,
    /// The file as it was read.
    pub source: String,
    /// Needs a real kernel: real packets, other programs, or rules that the in-memory kernel does
    /// not have.
    pub needs_kernel: bool,
    /// Needs the host and service names of `cases/etc`, which only a private world has.
    pub needs_names: bool,
    /// What a kernel does on which the transcript holds, and whatever else it does.
    pub behaviors: Behaviors,
    /// The issue that will build what the case shows; until then `ipvs-cli` must fail it.
    pub issue: Option<u32>,
    /// The commands, in order.
    pub steps: Vec<Step>,
}

/// One command and what it must do.
#[derive(Debug, Clone)]
pub struct Step {
    /// Where the command stands in the file, from 1.
    pub line: usize,
    /// The command line as typed.
    pub typed: String,
    /// The command line, split.
    pub command: CommandLine,
    /// What the command reads.
    pub stdin: Vec<u8>,
    /// How the command is run and compared.
    pub manner: Manner,
    /// What the original does.
    pub expected: Transcript,
    /// What `ipvs-cli` does where it differs on purpose.
    pub difference: Option<Difference>,
    /// The lines of the file that hold `expected`, from 0; recording replaces these.
    pub recorded: Range<usize>,
}

/// A command line split into its parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// Variables set for this command only.
    pub env: Vec<(OsString, OsString)>,
    /// The program as typed and its arguments.
    pub argv: Vec<OsString>,
    /// A file that takes the place of standard output (`>/dev/full`).
    pub stdout: Option<PathBuf>,
}

/// How a command is run and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// Lines may come in any order.
    pub unordered: bool,
    /// The command is repeated until it prints what is expected, at most this long.
    pub within: Option<Duration>,
    /// The command is ended after this time, which counts as "no answer".
    pub deadline: Duration,
}

impl Default for Manner {
    fn default() -> Self {
        Self { unordered: false, within: None, deadline: DEADLINE }
    }
}

/// What a command printed, in the text form of [`text::to_lines`], and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transcript {
    /// Standard output.
    pub stdout: Vec<String>,
    /// Standard error.
    pub stderr: Vec<String>,
    /// The end.
    pub status: Status,
}

/// A deviation from the original that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its title, found in `docs/compatibility.md`.
    pub title: String,
    /// What `ipvs-cli` does.
    pub expected: Transcript,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It exited.
    Exit(i32),
    /// A signal ended it.
    Signal(i32),
    /// It had to be ended when its time was over.
    NoAnswer,
    /// In a case only: either of the two, as the kernel pleases.
    NoAnswerOrSuccess,
}

impl Status {
    /// Is this how a command may end of which that is expected?
    #[must_use]
    pub fn is_as(self, expected: Self) -> bool {
        self == expected || (expected == Self::NoAnswerOrSuccess && matches!(self, Self::NoAnswer | Self::Exit(0)))
    }
}

impl Default for Status {
    fn default() -> Self {
        Self::Exit(0)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "{code}"),
            Self::Signal(number) => write!(f, "signal {number}"),
            Self::NoAnswer => f.write_str("no answer"),
            Self::NoAnswerOrSuccess => f.write_str("no answer or 0"),
        }
    }
}

impl Transcript {
    /// The transcript as the lines of a case file; status 0 is not written.
    #[must_use]
    pub fn to_source(&self) -> Vec<String> {
        let mut lines = self.stdout.clone();
        lines.extend(self.stderr.iter().map(|line| format!("! {line}")));
        if self.status != Status::default() {
            lines.push(format!("? {}", self.status));
        }
        lines
    }
}

/// What is wrong with a case file, and where.
#[derive(Debug, thiserror::Error)]
#[error("{name}.case:{line}: {problem}")]
pub struct CaseError {
    name: String,
    line: usize,
    problem: Problem,
}

/// What can be wrong with a line of a case file.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Text that belongs to no command.
    #[error("output without a command before it; leave no blank line between a command and its output")]
    Stray,
    /// A directive that is not known or lacks its value.
    #[error("unknown directive `{0}'; see cases/README.md for the list")]
    Directive(String),
    /// A status that is none.
    #[error("`{0}' is no status: write a number, `signal N', `no answer' or `no answer or 0'")]
    Status(String),
    /// A command line that cannot be split.
    #[error("{0}")]
    Words(#[from] WordError),
    /// A line with a bad escape.
    #[error("{0}")]
    Escape(#[from] EscapeError),
    /// A `$` line without a command.
    #[error("the command is missing")]
    NoCommand,
    /// A command that the in-memory kernel cannot run.
    #[error("`{0}' needs a real kernel: write @kernel at the top of the case")]
    NeedsKernel(String),
    /// A second `DIFFERENCE` for one command.
    #[error("one command has one DIFFERENCE")]
    SecondDifference,
    /// A file without commands.
    #[error("no command in the file")]
    Empty,
    /// A file that cannot be read.
    #[error("{0}")]
    Unreadable(#[from] std::io::Error),
}

impl Case {
    /// Reads a case file.
    ///
    /// # Errors
    /// What is wrong, with file and line.
    pub fn read(path: &Path) -> Result<Self, CaseError> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let source = std::fs::read_to_string(path).map_err(|error| CaseError {
            name: name.clone(),
            line: 0,
            problem: error.into(),
        })?;
        Self::parse(name, source)
    }

    /// Reads a case from its text.
    ///
    /// # Errors
    /// What is wrong, with file and line.
    pub fn parse(name: String, source: String) -> Result<Self, CaseError> {
        let mut parser = Parser::new(name, source);
        for (index, line) in parser.case.source.clone().lines().enumerate() {
            parser.line(index, line).map_err(|problem| CaseError {
                name: parser.case.name.clone(),
                line: index + 1,
                problem,
            })?;
        }
        parser.finish()
    }
}

/// What the next line of output belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    /// Nothing: a blank line or a comment ended the last block.
    None,
    /// The last command's input or the original's output.
    Original,
    /// What `ipvs-cli` prints instead.
    IpvsCli,
}

struct Parser {
    case: Case,
    block: Block,
    manner: Manner,
}

impl Parser {
    fn new(name: String, source: String) -> Self {
        let case = Case {
            name,
            source,
            needs_kernel: false,
            needs_names: false,
            behaviors: Behaviors::empty(),
            issue: None,
            steps: Vec::new(),
        };
        Self { case, block: Block::None, manner: Manner::default() }
    }

    fn line(&mut self, index: usize, line: &str) -> Result<(), Problem> {
        if line.is_empty() || line.starts_with('#') {
            self.block = Block::None;
        } else if let Some(directive) = line.strip_prefix('@') {
            self.block = Block::None;
            self.directive(directive)?;
        } else if let Some(typed) = line.strip_prefix("$ ") {
            self.command(index, typed)?;
        } else if let Some(title) = line.strip_prefix("DIFFERENCE ") {
            self.difference(title)?;
        } else if let Some(text) = line.strip_prefix("< ") {
            self.input(index, text)?;
        } else {
            self.output(index, line)?;
        }
        Ok(())
    }

    fn directive(&mut self, text: &str) -> Result<(), Problem> {
        let unknown = || Problem::Directive(format!("@{text}"));
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default();
        let values: Vec<&str> = words.collect();
        let seconds = || values.first().and_then(|word| word.parse().ok()).map(Duration::from_secs).ok_or_else(unknown);
        match name {
            "kernel" => self.case.needs_kernel = true,
            "names" => self.case.needs_names = true,
            "where" => {
                let named = values.iter().map(|name| name.parse::<Behaviors>());
                self.case.behaviors = named.collect::<Result<_, _>>().map_err(|_| unknown())?;
            }
            "issue" => self.case.issue = Some(values.first().and_then(|word| word.parse().ok()).ok_or_else(unknown)?),
            "unordered" => self.manner.unordered = true,
            "within" => self.manner.within = Some(seconds()?),
            "deadline" => self.manner.deadline = seconds()?,
            _ => return Err(unknown()),
        }
        Ok(())
    }

    fn command(&mut self, index: usize, typed: &str) -> Result<(), Problem> {
        self.case.steps.push(Step {
            line: index + 1,
            typed: typed.to_owned(),
            command: CommandLine::parse(typed)?,
            stdin: Vec::new(),
            manner: std::mem::take(&mut self.manner),
            expected: Transcript::default(),
            difference: None,
            recorded: index + 1..index + 1,
        });
        self.block = Block::Original;
        Ok(())
    }

    fn difference(&mut self, title: &str) -> Result<(), Problem> {
        let step = self.case.steps.last_mut().filter(|_| self.block != Block::None).ok_or(Problem::Stray)?;
        if step.difference.is_some() {
            return Err(Problem::SecondDifference);
        }
        step.difference = Some(Difference { title: title.to_owned(), expected: Transcript::default() });
        self.block = Block::IpvsCli;
        Ok(())
    }

    fn input(&mut self, index: usize, text: &str) -> Result<(), Problem> {
        let step = self.case.steps.last_mut().ok_or(Problem::Stray)?;
        if self.block != Block::Original || !step.recorded.is_empty() {
            return Err(Problem::Stray);
        }
        step.stdin.extend(text::from_line(text)?);
        step.recorded = index + 1..index + 1;
        Ok(())
    }

    fn output(&mut self, index: usize, line: &str) -> Result<(), Problem> {
        let step = self.case.steps.last_mut().ok_or(Problem::Stray)?;
        let transcript = match (self.block, &mut step.difference) {
            (Block::None, _) => return Err(Problem::Stray),
            (Block::IpvsCli, Some(difference)) => &mut difference.expected,
            _ => {
                step.recorded.end = index + 1;
                &mut step.expected
            }
        };
        if let Some(text) = line.strip_prefix("! ") {
            transcript.stderr.push(text::canonical(text)?.into_owned());
        } else if let Some(status) = line.strip_prefix("? ") {
            transcript.status = parse_status(status)?;
        } else {
            transcript.stdout.push(text::canonical(line)?.into_owned());
        }
        Ok(())
    }

    fn finish(self) -> Result<Case, CaseError> {
        let case = self.case;
        let error = |line, problem| Err(CaseError { name: case.name.clone(), line, problem });
        if case.steps.is_empty() {
            return error(case.source.lines().count(), Problem::Empty);
        }
        let foreign = case.steps.iter().find(|step| !step.command.is_under_test());
        if let Some(step) = foreign.filter(|_| !case.needs_kernel) {
            return error(step.line, Problem::NeedsKernel(step.typed.clone()));
        }
        Ok(case)
    }
}

fn parse_status(text: &str) -> Result<Status, Problem> {
    let bad = |_| Problem::Status(text.to_owned());
    match text.strip_prefix("signal ") {
        _ if text == "no answer" => Ok(Status::NoAnswer),
        _ if text == "no answer or 0" => Ok(Status::NoAnswerOrSuccess),
        Some(number) => number.parse().map(Status::Signal).map_err(bad),
        None => text.parse().map(Status::Exit).map_err(bad),
    }
}

impl CommandLine {
    fn parse(typed: &str) -> Result<Self, Problem> {
        let mut line = Self::default();
        for word in words::split(typed)? {
            let bytes = word.as_bytes();
            if let Some(file) = bytes.strip_prefix(b">").filter(|_| !line.argv.is_empty()) {
                line.stdout = Some(std::ffi::OsStr::from_bytes(file).into());
            } else if let Some(at) = assignment(bytes).filter(|_| line.argv.is_empty()) {
                let part = |range: &[u8]| std::ffi::OsStr::from_bytes(range).to_owned();
                line.env.push((part(&bytes[..at]), part(&bytes[at + 1..])));
            } else {
                line.argv.push(word);
            }
        }
        if line.argv.is_empty() { Err(Problem::NoCommand) } else { Ok(line) }
    }

    /// The file name of the program, without a path before it.
    #[must_use]
    pub fn program(&self) -> &str {
        let typed = self.argv.first().map(Path::new).and_then(Path::file_name);
        typed.and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Whether this is `ipvsadm` or one of its two wrappers, run with nothing special around it.
    #[must_use]
    pub fn is_under_test(&self) -> bool {
        ["ipvsadm", "ipvsadm-save", "ipvsadm-restore"].contains(&self.program()) && self.stdout.is_none()
    }
}

/// Where the `=` of a leading `NAME=VALUE` stands.
fn assignment(word: &[u8]) -> Option<usize> {
    let at = word.iter().position(|&b| b == b'=')?;
    let is_name = at > 0 && word[..at].iter().all(|b| b.is_ascii_uppercase() || *b == b'_');
    is_name.then_some(at)
}

#[cfg(test)]
mod tests;
