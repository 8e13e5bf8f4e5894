//! `-R`: command lines from standard input, as if each were a call of its own.
//!
//! Changes are gathered and sent many at a time, but nobody can tell: before anything is said, listed or waited for, what
//! was gathered is sent, and what the kernel refused is told. Looking names up counts as waiting.

use std::collections::VecDeque;

use ipvs::{Cause, Command, Errno, Outcome, Pipeline};

use crate::director::Director;
use crate::dropin::failure::Failure;
use crate::dropin::lines::{LineReader, NextLine};
use crate::env::Environment;
use crate::exit::Exit;
use crate::ipvsadm::hint::Place;
use crate::ipvsadm::names::Names;
use crate::ipvsadm::{Invocation, Parser, Usage, Words};

/// Which program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `ipvsadm -R`.
    Plain,
    /// `ipvsadm-restore`, which reads everything, then clears the table, and knows comments.
    Script,
}

/// Carries out all lines of standard input; returns the exit status, which is that of the last line with words.
pub(crate) fn restore(
    program: &[u8],
    source: Source,
    environment: &mut Environment<'_>,
    director: &mut Director,
    parser: &mut Parser<'_>,
) -> Result<Exit, Failure> {
    let (mut lines, words) = (LineReader::new(), Words::default());
    if source == Source::Script {
        // All of it first, as it may be made from the table: `ipvsadm-save | ipvsadm-restore`.
        lines.fill_to_end(environment.stdin).map_err(|error| Failure::stdin(&error))?;
        clear(director)?;
    }
    // Without IPVS, `-R` reads nothing.
    director.info().map_err(Failure::Unavailable)?;
    let sent = (environment.hints)().then(Sent::default);
    let mut reader = Reader { program, source, environment, parser, lines, words, status: Exit::Success, sent };
    loop {
        let client = director.client().map_err(Failure::change)?;
        let invocation = match reader.changes(&mut client.pipeline())? {
            Next::Other(invocation) => invocation,
            Next::UsageError(usage) => return Ok(reader.report_line(&Failure::Usage(usage))),
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

/// A program of its own in the original, so that what follows finds the kernel as it is then.
fn clear(director: &mut Director) -> Result<(), Failure> {
    let client = director.client().map_err(Failure::Unavailable)?;
    client.info().map_err(Failure::Unavailable)?;
    client.flush().map_err(Failure::change)
}

struct Reader<'r, 's, 'n> {
    program: &'r [u8],
    source: Source,
    environment: &'r mut Environment<'s>,
    parser: &'r mut Parser<'n>,
    lines: LineReader,
    words: Words,
    /// Of the last line that had words.
    status: Exit,
    /// Kept where somebody is there to be told more than the original tells.
    sent: Option<Sent>,
}

/// What ends a row of changes.
enum Next {
    /// A line that asks for something else.
    Other(Invocation),
    /// A line that can't be understood, and ends the run.
    UsageError(Usage),
    /// The end.
    Eof,
}

impl Reader<'_, '_, '_> {
    /// Carries out changes up to the next line that asks for something else.
    fn changes(&mut self, pipeline: &mut Pipeline<'_>) -> Result<Next, Failure> {
        while self.next_line(pipeline)? {
            let parsed = match self.parser.parse_at_once(&self.words) {
                Some(parsed) => parsed,
                None => {
                    self.flush(pipeline)?;
                    self.parser.parse(&self.words)
                }
            };
            if !self.parser.warnings.is_empty() {
                self.flush(pipeline)?;
                super::print_warnings(self.parser, self.environment);
            }
            match parsed {
                Ok(Invocation::Change(command)) => self.push(pipeline, &command)?,
                Ok(other) => {
                    self.flush(pipeline)?;
                    return Ok(Next::Other(other));
                }
                Err(usage) => {
                    self.flush(pipeline)?;
                    if usage.ends_restore() {
                        return Ok(Next::UsageError(usage));
                    }
                    self.status = self.report_line(&Failure::Usage(usage));
                }
            }
        }
        self.flush(pipeline)?;
        Ok(Next::Eof)
    }

    /// Reads the next line that has words; false at the end.
    fn next_line(&mut self, pipeline: &mut Pipeline<'_>) -> Result<bool, Failure> {
        loop {
            match self.lines.next() {
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

    /// Reads more. Whoever feeds us slowly finds the lines carried out that were written so far, and names as they are by then.
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

    /// The line that was read last.
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

    /// Sends what was gathered, and tells what the kernel refused of it.
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
                    failure.report_at(line.as_ref().map(|(place, _)| place), self.program, self.environment)
                }
            };
        }
    }

    /// Tells what is wrong with the line that was read last; returns the exit status.
    fn report_line(&mut self, failure: &Failure) -> Exit {
        let place = self.sent.is_some().then(|| self.place());
        failure.report_at(place.as_ref(), self.program, self.environment)
    }
}

/// The changes that were sent and not yet heard of.
#[derive(Default)]
struct Sent {
    lines: VecDeque<(Place, Command)>,
    /// How many were refused and explained.
    explained: usize,
}

impl Sent {
    /// For each the table is read. Who has got more refusals than this has one cause to look for, not many.
    const MOST: usize = 10;

    fn cause(&mut self, pipeline: &mut Pipeline<'_>, command: &Command, errno: Errno) -> Option<Cause> {
        if self.explained == Self::MOST {
            return None;
        }
        self.explained += 1;
        // That it is not known is no failure of its own.
        pipeline.explain(command, errno).ok().flatten()
    }
}

/// ipvsadm forgets a last line without newline that ends in several blanks.
fn is_dropped(line: &[u8]) -> bool {
    matches!(line, [.., b' ' | b'\t' | b'\r', b' ' | b'\t' | b'\r'])
}
