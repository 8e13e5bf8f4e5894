//! `-R`: command lines from standard input, as if each were a call of its own.
//!
//! Changes are sent many at a time. Before anything is printed, listed, looked up or waited for,
//! the pending changes are sent and refusals are reported, so that the result is that of one change
//! at a time.

use std::collections::VecDeque;

use ipvs::{Cause, Command, Errno, Outcome, Pipeline};
use ipvs_text::ipvsadm::names::Names;
use ipvs_text::ipvsadm::{Invocation, Parser, Usage, Words};
use ipvs_text::lines::{LineReader, NextLine};

use crate::director::Director;
use crate::dropin::failure::Failure;
use crate::env::Environment;
use crate::exit::Exit;
use crate::hint::Place;

/// The program that reads the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `ipvsadm -R`.
    Plain,
    /// `ipvsadm-restore`, which reads everything, clears the table, and accepts comments.
    Script,
}

/// Executes all lines of standard input; returns the exit status of the last line that is not
/// empty.
pub(crate) fn restore(
    program: &[u8],
    source: Source,
    environment: &mut Environment<'_>,
    director: &mut Director,
    parser: &mut Parser<'_>,
) -> Result<Exit, Failure> {
    let (mut lines, words) = (LineReader::new(), Words::default());
    if source == Source::Script {
        // The table is cleared after the last line was read: `ipvsadm-save | ipvsadm-restore`.
        lines.fill_to_end(environment.stdin).map_err(|error| Failure::stdin(&error))?;
        clear(director)?;
    }
    // Without IPVS, `-R` reads nothing.
    director.info().map_err(Failure::Unavailable)?;
    let sent = (environment.hints)().then(Sent::default);
    let mut reader = ScriptReader { program, source, environment, parser, lines, words, status: Exit::Success, sent };
    loop {
        let client = director.client().map_err(Failure::change)?;
        let invocation = match reader.changes(&mut client.pipeline())? {
            Next::Other(invocation) => invocation,
            Next::UsageError(usage) => return Ok(reader.report_usage(usage)),
            Next::Eof => return Ok(reader.status),
        };
        if let Err(failure) = super::perform(program, &invocation, reader.environment, director, &mut Names::default())
        {
            return Ok(reader.report_line(&failure));
        }
        if matches!(invocation, Invocation::Help | Invocation::Version) {
            return Ok(Exit::Success);
        }
        reader.status = Exit::Success;
    }
}

/// ipvsadm-restore runs `ipvsadm -C` first, a process of its own.
fn clear(director: &mut Director) -> Result<(), Failure> {
    let client = director.client().map_err(Failure::Unavailable)?;
    client.info().map_err(Failure::Unavailable)?;
    client.flush().map_err(Failure::change)
}

struct ScriptReader<'r, 's, 'n> {
    program: &'r [u8],
    source: Source,
    environment: &'r mut Environment<'s>,
    parser: &'r mut Parser<'n>,
    lines: LineReader,
    words: Words,
    /// Of the last line that is not empty.
    status: Exit,
    /// For hints; `None` if no person reads the messages.
    sent: Option<Sent>,
}

/// What follows a row of changes.
enum Next {
    /// A line that is no change.
    Other(Invocation),
    /// Wrong usage that ends the run.
    UsageError(Usage),
    /// The end of the input.
    Eof,
}

impl ScriptReader<'_, '_, '_> {
    /// Executes changes up to the next line that is none.
    fn changes(&mut self, pipeline: &mut Pipeline<'_>) -> Result<Next, Failure> {
        while self.next_line(pipeline)? {
            // By reference: each copy of a command costs as much as all else here.
            let at_once = self.parser.parse_at_once(&self.words);
            let looked_up;
            let parsed = match &at_once {
                Some(parsed) => parsed,
                None => {
                    self.flush(pipeline)?;
                    looked_up = self.parser.parse(&self.words);
                    &looked_up
                }
            };
            if !self.parser.warnings.is_empty() {
                self.flush(pipeline)?;
                super::print_warnings(self.parser, self.environment);
            }
            match parsed {
                Ok(Invocation::Change(command)) => self.push(pipeline, command)?,
                Ok(other) => {
                    self.flush(pipeline)?;
                    return Ok(Next::Other(*other));
                }
                Err(usage) => {
                    self.flush(pipeline)?;
                    if usage.ends_restore() {
                        return Ok(Next::UsageError(usage.clone()));
                    }
                    self.status = self.report_usage(usage.clone());
                }
            }
        }
        self.flush(pipeline)?;
        Ok(Next::Eof)
    }

    /// Reads the next line that is not empty; false at the end.
    fn next_line(&mut self, pipeline: &mut Pipeline<'_>) -> Result<bool, Failure> {
        loop {
            match self.lines.next_line() {
                NextLine::Line([b'#', ..]) | NextLine::Unterminated([b'#', ..]) if self.source == Source::Script => {
                    continue;
                }
                NextLine::Line(line) => self.words.split_line(line),
                NextLine::Unterminated(line) if self.source == Source::Plain && is_dropped(line) => return Ok(false),
                NextLine::Unterminated(line) => self.words.split_line(line),
                NextLine::End => return Ok(false),
                NextLine::Empty => {
                    self.read(pipeline)?;
                    continue;
                }
            }
            if !self.words.is_empty() {
                return Ok(true);
            }
        }
    }

    /// Reads more. If the writer is slow, the lines so far are executed first, and names are looked
    /// up again later.
    fn read(&mut self, pipeline: &mut Pipeline<'_>) -> Result<(), Failure> {
        if self.environment.stdin.would_block() {
            self.flush(pipeline)?;
            self.parser.forget_names();
            let _ = self.environment.stdout.flush();
        }
        match self.lines.fill(self.environment.stdin) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.flush(pipeline)?;
                Err(Failure::stdin(&error))
            }
        }
    }

    /// The last line that was read.
    fn place(&self) -> Place {
        Place::new(self.lines.number(), &self.words)
    }

    fn push(&mut self, pipeline: &mut Pipeline<'_>, command: &Command) -> Result<(), Failure> {
        if self.sent.is_some() {
            let place = self.place();
            self.sent.iter_mut().for_each(|sent| sent.lines.push_back((place.clone(), *command)));
        }
        let lines = pipeline.pending() + 1;
        let outcomes = pipeline.push(command).map_err(|error| Failure::lost(error, lines))?;
        self.report_outcomes(pipeline, &outcomes);
        Ok(())
    }

    /// Sends the pending changes and reports refusals.
    fn flush(&mut self, pipeline: &mut Pipeline<'_>) -> Result<(), Failure> {
        let lines = pipeline.pending();
        let outcomes = pipeline.flush().map_err(|error| Failure::lost(error, lines))?;
        self.report_outcomes(pipeline, &outcomes);
        Ok(())
    }

    fn report_outcomes(&mut self, pipeline: &mut Pipeline<'_>, outcomes: &[Outcome]) {
        for outcome in outcomes {
            let line = self.sent.as_mut().and_then(|sent| sent.lines.pop_front());
            self.status = match outcome {
                Ok(()) => Exit::Success,
                Err(refusal) => {
                    let mut failure = Failure::change((*refusal).into());
                    if let (Some((_, command)), Some(sent)) = (&line, &mut self.sent) {
                        failure = failure.because(sent.cause(pipeline, command, refusal.errno));
                    }
                    failure.report(line.as_ref().map(|(place, _)| place), self.program, self.environment)
                }
            };
        }
    }

    /// Reports that the last line was not understood; returns the exit status.
    fn report_usage(&mut self, usage: Usage) -> Exit {
        let failure = Failure::usage(usage, &self.words, self.parser, self.environment.hints);
        self.report_line(&failure)
    }

    /// Reports a failure of the last line; returns the exit status.
    fn report_line(&mut self, failure: &Failure) -> Exit {
        let place = self.sent.is_some().then(|| self.place());
        failure.report(place.as_ref(), self.program, self.environment)
    }
}

/// Changes without a reply so far.
#[derive(Default)]
struct Sent {
    lines: VecDeque<(Place, Command)>,
    /// Number of refusals that were explained.
    explained: usize,
}

impl Sent {
    /// Each explanation reads the table. More refusals than this mostly have one cause.
    const MOST: usize = 10;

    fn cause(&mut self, pipeline: &mut Pipeline<'_>, command: &Command, errno: Errno) -> Option<Cause> {
        if self.explained == Self::MOST {
            return None;
        }
        self.explained += 1;
        // Without a cause the refusal is reported as it is.
        pipeline.explain(command, errno).ok().flatten()
    }
}

/// ipvsadm ignores a last line without newline that ends in several spaces.
fn is_dropped(line: &[u8]) -> bool {
    matches!(line, [.., b' ' | b'\t' | b'\r', b' ' | b'\t' | b'\r'])
}
