//! `ipvsadm-restore`: replaces the table by that of a file, without a gap if the file has no error.
//!
//! ipvsadm-restore clears the table, then executes the lines. If every line is a change and none
//! would be refused, this module makes the difference instead, so that services that stay keep
//! connections and counters. Otherwise it does the same.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use ipvs::{
    Client, Command, Table,
    change::{Change, Planner},
};
use ipvs_text::ipvsadm::{Invocation, Parser, Words};
use ipvs_text::lines::{LineReader, NextLine};

use crate::change::make::{ApplyOptions, make_change};
use crate::director::Director;
use crate::dropin::failure::Failure;
use crate::dropin::restore::{self, Source};
use crate::env::Environment;
use crate::exit::Exit;
use crate::io::{Input, read_whole};
use crate::session::guard::ChangeGuard;
use crate::session::progress::ProgressLine;
use crate::session::waiting_for;
use crate::state::lock::{Denied, Holder, Lock};

/// Makes the table of standard input; returns the exit status.
pub(crate) fn restore(
    program: &[u8],
    environment: &mut Environment<'_>,
    director: &mut Director,
    parser: &mut Parser<'_>,
) -> Result<Exit, Failure> {
    // Without IPVS nothing is read.
    director.client().and_then(Client::info).map_err(Failure::Unavailable)?;
    let display = ProgressLine::new(environment.shows_progress());
    display.progress(|| "reading what is to be restored".to_owned());
    let mut read = Reread::all_of(environment.stdin);
    // Held until the end.
    let _lock = lock(environment, &display)?;
    if read.error.is_none()
        && let Some(change) = difference(&read.text, environment, director, parser, &display)
        && let Some(status) = without_a_gap(&change, environment, director, display)
    {
        return Ok(status);
    }
    parser.warnings.clear();
    restore::restore(program, Source::Script, &mut environment.reading(&mut read), director, parser)
}

/// Changing a whole director takes seconds. A run that takes longer is stopped or waits for
/// something itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for another `ipvs-cli` that changes this director. Without a lock it goes on, as ipvsadm
/// has none either.
fn lock(environment: &Environment<'_>, display: &ProgressLine) -> Result<Option<Lock>, Failure> {
    let Some(directory) = environment.state_directory else { return Ok(None) };
    let mut waiting = |holder: &Holder| {
        display.progress(|| waiting_for(holder));
        true
    };
    match Lock::take(directory, Some(Instant::now() + PATIENCE), &mut waiting) {
        Ok(lock) => Ok(Some(lock)),
        Err(Denied::Unavailable(_)) => Ok(None),
        Err(Denied::Held(holder)) => Err(Failure::Busy(format!("{holder} {}; nothing was changed", holder.state()))),
    }
}

/// The change from the director's table to that of the text; `None` if some line must be carried
/// out as ipvsadm does.
fn difference(
    text: &[u8],
    environment: &Environment<'_>,
    director: &mut Director,
    parser: &mut Parser<'_>,
    display: &ProgressLine,
) -> Option<Change> {
    display.progress(|| "reading the director's table".to_owned());
    let before = environment.with_interfaces(director.table_without_statistics().ok()?);
    display.progress(|| "planning".to_owned());
    let desired = table(text, before.without_services(), parser, director.client().ok()?)?;
    Change::prepare(before, desired, Planner::new()).ok()
}

/// The table after the lines, if each is a change that the kernel accepts.
fn table(mut text: &[u8], mut table: Table, parser: &mut Parser<'_>, client: &mut Client) -> Option<Table> {
    let (mut lines, mut words) = (LineReader::new(), Words::default());
    loop {
        match lines.next_line() {
            NextLine::Line([b'#', ..]) | NextLine::Unterminated([b'#', ..]) => continue,
            NextLine::Line(line) | NextLine::Unterminated(line) => words.split_line(line),
            NextLine::Empty => {
                lines.fill(&mut text).ok()?;
                continue;
            }
            NextLine::End => return Some(table),
        }
        if words.is_empty() {
            continue;
        }
        match parser.parse(&words) {
            // The difference would keep the counters that this line zeroes.
            Ok(Invocation::Change(Command::Zero(_))) => return None,
            Ok(Invocation::Change(command)) if parser.warnings.is_empty() => {
                client.probe(&mut table, [&command]).ok()?;
                table.apply(&command).ok()?;
            }
            _ => return None,
        }
    }
}

/// Makes the change. `None`: it failed and was undone, and the lines must be executed one by one.
fn without_a_gap(
    change: &Change,
    environment: &mut Environment<'_>,
    director: &mut Director,
    mut display: ProgressLine,
) -> Option<Exit> {
    let client = director.client().ok()?;
    // The caller holds the lock. After this function a signal ends the process again, as it ends
    // ipvsadm-restore.
    let mut guard = ChangeGuard::new(None);
    if !change.plan().is_empty() {
        guard.protect(environment);
    }
    let options = ApplyOptions { guard: &guard, deadline: None, display: &display };
    let made = make_change(change, |_| Ok(()), client, &options);
    display.end();
    match made {
        Ok(_) => Some(Exit::Success),
        Err(error) if error.is_interrupted() => {
            let text = format!("ipvsadm-restore: {error}\n");
            // An error of standard error can't be reported.
            let _ = environment.stderr.write_all(text.as_bytes());
            Some(error.exit())
        }
        Err(_) => None,
    }
}

/// A whole input with the error that ended it, to be read again.
struct Reread {
    text: Vec<u8>,
    at: usize,
    error: Option<io::Error>,
}

impl Reread {
    fn all_of(input: &mut dyn Input) -> Self {
        let mut text = Vec::new();
        let error = read_whole(input, &mut text).err();
        Reread { text, at: 0, error }
    }
}

impl Read for Reread {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (&self.text[self.at..]).read(buffer)?;
        self.at += count;
        match self.error.take_if(|_| count == 0) {
            Some(error) => Err(error),
            None => Ok(count),
        }
    }
}

impl Input for Reread {
    fn would_block(&self) -> bool {
        false
    }
}
