//! `--dry-run`: a command line of ipvsadm, carried out on a copy of the director in memory, and what it would have changed.

use std::ffi::{OsStr, OsString};
use std::io::Write;

use ipvs::{Error, change::Planner};

use super::difference::{Difference, Notation};
use super::session::{Session, Trouble};
use super::summary::Summary;
use crate::escape::EscapingWriter;
use crate::failure::Failure;
use crate::io::Streams;
use crate::kernel::Kernel;
use crate::run;

const NO_DIRECTOR: u8 = 2;

/// Tries a command line of ipvsadm out. Returns the exit status that it would have.
pub(crate) fn ipvsadm(program: &OsStr, arguments: &[OsString], streams: &mut Streams<'_>, kernel: &mut Kernel) -> u8 {
    try_out(streams, kernel, |streams, kernel| run::ipvsadm(program, arguments, streams, kernel))
}

/// The same code as ever, on another kernel.
pub(super) fn try_out(
    streams: &mut Streams<'_>,
    kernel: &mut Kernel,
    work: impl FnOnce(&mut Streams<'_>, &mut Kernel) -> u8,
) -> u8 {
    let read = kernel.table().and_then(|table| Ok((kernel.client()?.try_clone()?.dry_run(table.clone()), table)));
    let (copy, before) = match read {
        Ok(read) => read,
        Err(error) => return unreadable(error, streams, kernel),
    };
    let mut copy = Kernel::with(copy, kernel.connections());
    // Each refusal with its line, whoever reads it.
    let status = work(&mut Streams { hints: || true, ..streams.reborrow() }, &mut copy);
    let after = match copy.table() {
        Ok(table) => table,
        Err(error) => return unreadable(error, streams, kernel),
    };
    let plan = Planner::new().plan(&before, &after);
    // As everywhere, errors of writing are ignored.
    let mut out = EscapingWriter::new(&mut *streams.stdout);
    let _ = Difference::new(&before, &plan).write(&mut out, Notation::Changes);
    let _ = writeln!(out, "dry run, nothing was sent: {}", Summary::of(&before, plan.commands()));
    status
}

fn unreadable(error: Error, streams: &mut Streams<'_>, kernel: &mut Kernel) -> u8 {
    let trouble = Trouble::Kernel(Failure::read(error));
    Session::new(streams, kernel, false).conclude(Err(trouble), NO_DIRECTOR)
}
