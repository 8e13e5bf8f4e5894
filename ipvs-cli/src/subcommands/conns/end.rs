//! `--kill` and `--move-to`: ends entries of the kernel's table, or gives them another real server.

use ipvs::Client;
use ipvs::proc::Connection;

use super::args::{Conns, NewServer};
use crate::exit::Exit;
use crate::session::journal::{LogOutcome, Record};
use crate::session::{Session, Trouble, Wait};
use crate::subcommands::entries::{Deed, Done, Task};

pub(super) fn kill(conns: &Conns, session: &mut Session<'_, '_>) -> Result<Exit, Trouble> {
    let is_between = |entry: &Connection| conns.wanted.is_between(entry);
    let holds: Option<&dyn Fn(&Connection) -> bool> = if conns.wanted.templates { Some(&is_between) } else { None };
    let is_wanted = |entry: &Connection| conns.wanted.has(entry);
    run(conns, "conns --kill", Task { deed: Deed::End, is_wanted: &is_wanted, holds }, session)
}

pub(super) fn move_to(conns: &Conns, server: NewServer, session: &mut Session<'_, '_>) -> Result<Exit, Trouble> {
    let is_wanted = |entry: &Connection| conns.wanted.has(entry);
    let to = |entry: &Connection| server.at(entry);
    run(conns, "conns --move-to", Task { deed: Deed::Move(&to), is_wanted: &is_wanted, holds: None }, session)
}

fn run(conns: &Conns, name: &'static str, task: Task<'_>, session: &mut Session<'_, '_>) -> Result<Exit, Trouble> {
    if conns.wanted.is_empty() && !conns.all {
        let message = format!("`{name}` needs a filter, such as --client or --server; --all is every entry");
        session.error(message);
        return Ok(Exit::Trouble);
    }
    let (verb, question) = if matches!(task.deed, Deed::End) { ("end", "End") } else { ("move", "Move") };
    if !conns.dry_run {
        // Also where there is nothing to do: without rights, that is not known to be so.
        session.director.client().and_then(Client::info)?;
    }
    let count = task.count(session)?;
    if conns.dry_run {
        session.report(format!("would {verb} {}", count.words()));
        return Ok(Exit::Success);
    }
    if count.total() == 0 {
        session.report(format!("nothing to {verb}"));
        return Ok(Exit::Success);
    }
    if count.total() > 1
        && !conns.yes
        && session.can_ask()
        && !session.confirm(&format!("{question} {}?", count.words()))?
    {
        session.note("nothing was changed");
        return Ok(Exit::No);
    }
    let mut turn = session.guard(&Wait::new(conns.common.wait))?;
    turn.protect(session.environment);
    let is_over = || turn.signal().is_some();
    let mut done = Done::default();
    let result = task.run(count, session, &is_over, &mut done);
    let detail = done.words(task.deed);
    if result.is_ok() || done.has_begun() {
        session.report(&detail);
    }
    done.report_left(task.deed, session);
    let is_complete = result.is_ok() && done.is_complete();
    let outcome = if is_complete { LogOutcome::Done } else { LogOutcome::Failed };
    session.log(&conns.common.logging, &Record { subcommand: name, file: None, outcome, detail: &detail });
    result?;
    Ok(match turn.signal() {
        Some(signal) if done.is_interrupted => Exit::Signal(signal),
        _ if is_complete => Exit::Success,
        _ => Exit::No,
    })
}
