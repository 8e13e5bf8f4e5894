//! `show`: what the director holds.

mod args;
mod partial_view;
mod unprivileged;

use std::io::Write;

use fwmark::{BackendError, MarkRule};
use ipvs::desired::{Scope, WriteOptions, write_json, write_toml};
use ipvs::{Command, Errno, Error, ServiceKey, Table};
use ipvs_text::ipvsadm::names::Names;
use ipvs_text::ipvsadm::request::{ListRequest, Listed, View};
use ipvs_text::render;

use crate::arguments::service;
use crate::desired::groups_of;
use crate::director::Director;
use crate::dropin::listing;
use crate::env::Environment;
use crate::exit::Exit;
use crate::session::{Session, Trouble};
use crate::subcommands::args::Notation;

pub(super) use args::Show;

pub(super) fn run(show: &Show, environment: &mut Environment<'_>, director: &mut Director) -> Exit {
    let mut session = Session::new(environment, director, false);
    let service = match show.service.as_slice() {
        [] => None,
        words => match service::parse(&words.join(" ")) {
            Ok(key) => Some(key),
            Err(error) => return session.finish(Err(Trouble::Other(error.to_string())), Exit::Trouble),
        },
    };
    let done = show_it(show, service, &mut session);
    session.finish(done, Exit::No)
}

fn show_it(show: &Show, only: Option<ServiceKey>, session: &mut Session<'_, '_>) -> Result<Exit, Trouble> {
    let Some(notation) = show.notation.get() else {
        session.display.end();
        if let Err(error) = list(session.director, session.environment.stdout, only) {
            if let (Some(key), Some(Errno::ESRCH)) = (only, error.errno()) {
                return Err(Trouble::Other(format!("there is no service {key}")));
            }
            return unprivileged::list(error, only, session).map(|()| Exit::Success);
        }
        let mut notes = session.notes();
        if !notes.is_empty() {
            let table = session.director.table_without_statistics()?;
            notes.review_all(&table);
        }
        for (service, server, weight) in notes.iter().filter(|(service, ..)| only.is_none_or(|key| key == *service)) {
            session.print(format_args!("{server} at {service}: drained, with weight {weight} before"));
        }
        return Ok(Exit::Success);
    };
    session.progress("reading the director's table");
    let director = &mut *session.director;
    let table = if show.statistics { director.table() } else { director.table_without_statistics() };
    let (table, remarks) = match table {
        Ok(table) => (table, None),
        Err(error) => unprivileged::table(error, show, only, session).map(|(table, remarks)| (table, Some(remarks)))?,
    };
    must_hold(&table, only)?;
    if let Some(remarks) = remarks {
        session.note(remarks);
    }
    let mut notes = session.notes();
    notes.review_all(&table);
    let drained: Vec<_> = notes.iter().collect();
    let marks = if notation == Notation::Rules { Ok(Vec::new()) } else { marks_of(&table, session) };
    let (marks, status) = match marks {
        Ok(marks) => (marks, Exit::Success),
        // A copy without them is not the whole director.
        Err(error) => {
            session.error(format_args!("the rules that mark packets are not shown: {error}"));
            (Vec::new(), Exit::No)
        }
    };
    session.display.end();
    let out = &mut *session.environment.stdout;
    let (all, daemons) = (only.is_none(), show.daemons && only.is_none());
    let parts = Scope { timeouts: all, master: daemons, backup: daemons, ..Scope::EVERYTHING };
    let groups = groups_of(&marks);
    let mut options = WriteOptions::default();
    (options.parts, options.statistics, options.only) = (parts, show.statistics, only);
    (options.groups, options.drained) = (&groups, &drained);
    let written = match notation {
        Notation::Json => write_json(out, &table, options),
        Notation::Toml => write_toml(out, &table, options),
        Notation::Rules => render::save::table(out, &table, only),
    };
    // Errors of writing are reported at the end.
    let _ = written;
    Ok(status)
}

/// As `ipvsadm -L -n`.
pub(super) fn list(director: &mut Director, out: &mut dyn Write, only: Option<ServiceKey>) -> Result<(), Error> {
    let what = only.map_or(Listed::All, Listed::Service);
    let request = ListRequest { what, view: View::Plain, numeric: true, exact: false, nosort: false };
    listing::services(director, out, &request, &mut Names::default())
}

/// Is the service there that was asked for?
pub(super) fn must_hold(table: &Table, only: Option<ServiceKey>) -> Result<(), Trouble> {
    match only.and_then(|key| table.explain(&Command::Zero(Some(key)))) {
        Some(cause) => Err(Trouble::Other(cause.to_string())),
        None => Ok(()),
    }
}

/// The rules of ipvs-cli that mark packets for services.
fn marks_of(table: &Table, session: &mut Session<'_, '_>) -> Result<Vec<MarkRule>, BackendError> {
    if !table.services().any(|entry| matches!(entry.service().key(), ServiceKey::Mark { .. })) {
        return Ok(Vec::new());
    }
    session.progress("reading the rules that mark packets");
    session.director.marks().list_if_any()
}
