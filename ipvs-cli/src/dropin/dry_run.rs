//! `--dry-run`: a command line of ipvsadm on a copy of the director in memory, and what it changed
//! there.

use std::ffi::{OsStr, OsString};
use std::io::Write;

use ipvs::{Error, Table, TableEntry, change::Planner};
use ipvs_text::escape::EscapingWriter;

use crate::change::difference::{Difference, Notation};
use crate::change::summary::{Summary, counted};
use crate::director::Director;
use crate::env::Environment;
use crate::exit::Exit;
use crate::session::{Session, Trouble};

/// Returns the exit status that the command line would have.
pub(crate) fn ipvsadm(
    program: &OsStr,
    arguments: &[OsString],
    environment: &mut Environment<'_>,
    director: &mut Director,
) -> Exit {
    try_out(environment, director, |environment, director| super::ipvsadm(program, arguments, environment, director))
}

/// Runs `work` on a copy of the director, and prints the difference.
pub(crate) fn try_out(
    environment: &mut Environment<'_>,
    director: &mut Director,
    work: impl FnOnce(&mut Environment<'_>, &mut Director) -> Exit,
) -> Exit {
    let read = director.table().and_then(|table| {
        let table = environment.with_interfaces(table);
        Ok((director.copy(table.clone())?, table))
    });
    let (mut copy, before) = match read {
        Ok(read) => read,
        Err(error) => return unreadable(error, environment, director),
    };
    // Hints are on, so that each refusal names its line. The lock and the notes belong to the real
    // director.
    let status = work(
        &mut Environment { hints: || true, owns_process: false, state_directory: None, ..environment.reborrow() },
        &mut copy,
    );
    let after = match copy.table() {
        Ok(table) => table,
        Err(error) => return unreadable(error, environment, director),
    };
    let plan = Planner::new().plan(&before, &after);
    // As everywhere, errors of writing are ignored.
    let mut out = EscapingWriter::new(&mut *environment.stdout);
    let _ = Difference::new(&before, &plan).write(&mut out, Notation::Changes);
    let summary = Summary::of(&before, plan.commands());
    let zeroed = before.services().filter(|entry| is_zeroed(entry, &after)).count();
    let what = match zeroed {
        0 => summary.to_string(),
        _ if summary.is_empty() => format!("the counters of {} zeroed", counted(zeroed, "service")),
        _ => format!("{summary}; the counters of {} zeroed", counted(zeroed, "service")),
    };
    let _ = writeln!(out, "dry run, nothing was sent: {what}");
    status
}

/// Has the service other counters afterwards? Some are not kept even where it is made anew.
fn is_zeroed(before: &TableEntry, after: &Table) -> bool {
    let after = after.service(&before.service().key());
    after.is_some_and(|after| after.state().statistics != before.state().statistics)
}

fn unreadable(error: Error, environment: &mut Environment<'_>, director: &mut Director) -> Exit {
    let trouble = Trouble::Kernel(error);
    Session::new(environment, director, false).finish(Err(trouble), Exit::Trouble)
}
