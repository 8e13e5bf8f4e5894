//! `-R`: command lines from standard input, as if each were a call of its own.
//!
//! Changes are gathered and sent many at a time, but nobody can tell: before anything is said, listed or waited for, what
//! was gathered is sent, and what the kernel refused is told. Looking names up counts as waiting.

use ipvs::{Client, Outcome, Pipeline};

use crate::failure::Failure;
use crate::io::Streams;
use crate::ipvsadm::names::Names;
use crate::ipvsadm::{Invocation, Parser, Words};
use crate::kernel::Kernel;
use crate::lines::{LineReader, Next};
use crate::run;

/// Which program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `ipvsadm -R`.
    Plain,
    /// `ipvsadm-restore`, which clears the table first and knows comments.
    Script,
}

/// Carries out all lines of standard input; returns the exit status, which is that of the last line with words.
pub(crate) fn restore(
    program: &[u8],
    source: Source,
    streams: &mut Streams<'_>,
    kernel: &mut Kernel,
    parser: &mut Parser<'_>,
) -> Result<u8, Failure> {
    // Without IPVS nothing is read.
    kernel.client().and_then(Client::info).map_err(Failure::Unavailable)?;
    let (lines, words) = (LineReader::new(), Words::default());
    let mut reader = Reader { program, source, streams, parser, lines, words, status: 0 };
    if source == Source::Script {
        kernel.client().and_then(Client::flush).map_err(Failure::change)?;
    }
    loop {
        let client = kernel.client().map_err(Failure::change)?;
        let Some(invocation) = reader.changes(&mut client.pipeline())? else {
            return Ok(reader.status);
        };
        run::perform(program, &invocation, reader.streams, kernel, &mut Names::default())?;
        if matches!(invocation, Invocation::Help | Invocation::Version) {
            return Ok(0);
        }
        reader.status = 0;
    }
}

struct Reader<'r, 's, 'n> {
    program: &'r [u8],
    source: Source,
    streams: &'r mut Streams<'s>,
    parser: &'r mut Parser<'n>,
    lines: LineReader,
    words: Words,
    /// Of the last line that had words.
    status: u8,
}

impl Reader<'_, '_, '_> {
    /// Carries out changes up to the next line that asks for something else, which is returned; none at the end.
    fn changes(&mut self, pipeline: &mut Pipeline<'_>) -> Result<Option<Invocation>, Failure> {
        while self.next_line(pipeline)? {
            let parsed = match self.parser.parse_at_once(&self.words) {
                Some(parsed) => parsed,
                None => {
                    self.settle(pipeline)?;
                    self.parser.parse(&self.words)
                }
            };
            if !self.parser.warnings.is_empty() {
                self.settle(pipeline)?;
                run::tell_warnings(self.parser, self.streams);
            }
            match parsed {
                Ok(Invocation::Change(command)) => {
                    let lines = pipeline.pending() + 1;
                    let outcomes = pipeline.push(&command).map_err(|error| Failure::lost(error, lines))?;
                    self.tell(&outcomes);
                }
                Ok(other) => {
                    self.settle(pipeline)?;
                    return Ok(Some(other));
                }
                Err(usage) => {
                    self.settle(pipeline)?;
                    let (ends, failure) = (usage.ends_restore(), Failure::Usage(usage));
                    if ends {
                        return Err(failure);
                    }
                    self.status = failure.tell(self.program, self.streams);
                }
            }
        }
        self.settle(pipeline)?;
        Ok(None)
    }

    /// Reads the next line that has words; false at the end.
    fn next_line(&mut self, pipeline: &mut Pipeline<'_>) -> Result<bool, Failure> {
        loop {
            match self.lines.next() {
                Next::Line([b'#', ..]) | Next::Unterminated([b'#', ..]) if self.source == Source::Script => continue,
                Next::Line(line) => self.words.split_line(line),
                Next::Unterminated(line) if self.source == Source::Plain && is_dropped(line) => return Ok(false),
                Next::Unterminated(line) => self.words.split_line(line),
                Next::End => return Ok(false),
                Next::Empty => {
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
        if self.streams.stdin.would_block() {
            self.settle(pipeline)?;
            self.parser.forget_names();
            let _ = self.streams.stdout.flush();
        }
        match self.lines.fill(self.streams.stdin) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.settle(pipeline)?;
                Err(Failure::stdin(&error))
            }
        }
    }

    /// Sends what was gathered, and tells what the kernel refused of it.
    fn settle(&mut self, pipeline: &mut Pipeline<'_>) -> Result<(), Failure> {
        let lines = pipeline.pending();
        let outcomes = pipeline.flush().map_err(|error| Failure::lost(error, lines))?;
        self.tell(&outcomes);
        Ok(())
    }

    fn tell(&mut self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            self.status = match outcome {
                Ok(()) => 0,
                Err(refusal) => Failure::change((*refusal).into()).tell(self.program, self.streams),
            };
        }
    }
}

/// ipvsadm forgets a last line without newline that ends in several blanks.
fn is_dropped(line: &[u8]) -> bool {
    matches!(line, [.., b' ' | b'\t' | b'\r', b' ' | b'\t' | b'\r'])
}
