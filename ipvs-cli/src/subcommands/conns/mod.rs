//! `conns`: the connection table, one entry at a time, so that millions need no memory.
//!
//! `group` counts. The parser is the library's. `save` and `load` carry the table
//! over a reboot; `end` ends entries and moves them. What `drain` and `sync` need, too, is in
//! `entries`.

mod args;
mod end;
mod group;
mod load;
mod save;

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::time::Duration;

use ipvs::Report;
use ipvs::desired::parts::Fields;
use ipvs::proc::{Connection, Connections, ConnectionsError};
use ipvs_text::escape;
use ipvs_text::render::Lines;

use self::group::Groups;
use crate::exit::Exit;
use crate::session::json;
use crate::session::{Session, Trouble, Wait};
use crate::subcommands::entries::order::First;
use crate::subcommands::entries::{CHUNK, Count, open, row};

pub(super) use args::Conns;

/// Number of lines, of usual length, in one write.
const LINES: usize = 256;

pub(super) fn run(conns: &Conns, session: &mut Session<'_, '_>) -> Exit {
    let done = match (&conns.save, &conns.load, conns.move_to) {
        (Some(to), ..) => save::save(conns, to, session),
        (_, Some(from), _) => load::load(conns, from, session),
        (.., Some(server)) => end::move_to(conns, server, session),
        _ if conns.kill => end::kill(conns, session),
        _ if conns.guard => guard(session),
        _ => match conns.grouping() {
            Ok(by) => read(conns, by, session),
            Err(wrong) => return session.finish(Err(Trouble::Other(wrong)), Exit::Trouble),
        },
    };
    session.finish(done, Exit::No)
}

/// Waits until the other end of standard input is closed, then takes the lock, which sets right
/// what a killed run has left.
fn guard(session: &mut Session<'_, '_>) -> Result<Exit, Trouble> {
    const PATIENCE: Duration = Duration::from_secs(60);
    let mut byte = [0];
    while matches!(session.environment.stdin.read(&mut byte), Ok(1..)) {}
    session.guard(&Wait::new(PATIENCE)).map(|_| Exit::Success)
}

fn read(conns: &Conns, sort: Option<usize>, session: &mut Session<'_, '_>) -> Result<Exit, Trouble> {
    let path = conns.from.clone().unwrap_or_else(|| session.environment.connections.to_owned());
    let mut damage = Damage::default();
    if path.as_os_str() == "-" {
        let mut input = BufReader::with_capacity(CHUNK, &mut *session.environment.stdin);
        show(conns, sort, &mut input, &mut *session.environment.stdout, &mut damage);
    } else {
        let mut input = open(&path, conns.from.is_none())?;
        show(conns, sort, &mut input, &mut *session.environment.stdout, &mut damage);
    }
    damage.report(&path, session)
}

/// What could not be read.
#[derive(Debug, Default)]
struct Damage {
    lines: u64,
    first: Option<ConnectionsError>,
}

impl Damage {
    fn note(&mut self, error: ConnectionsError) {
        self.lines += 1;
        self.first.get_or_insert(error);
    }

    fn report(self, path: &Path, session: &mut Session<'_, '_>) -> Result<Exit, Trouble> {
        let Some(first) = self.first else { return Ok(Exit::Success) };
        // The readable lines come first.
        let _ = session.environment.stdout.flush();
        let more = match self.lines {
            1 => String::new(),
            lines => format!("; {} more were not understood either", lines - 1),
        };
        Err(Trouble::Other(format!("{}: {}{more}", escape::path(path), Report::new(&first))))
    }
}

/// Errors of writing end it, and are reported at the end.
fn show(conns: &Conns, by: Option<usize>, input: &mut dyn BufRead, out: &mut dyn Write, damage: &mut Damage) {
    let understood = Connections::new(input).filter_map(|entry| entry.map_err(|error| damage.note(error)).ok());
    let mut wanted = understood.filter(|connection| conns.wanted.has(connection));
    let mut writer = Writer { json: conns.json, out };
    let _ = match conns.sort {
        _ if conns.count => writer.count(&mut wanted),
        _ if !conns.by.is_empty() => writer.groups(conns, by, &mut wanted),
        Some(sort) => {
            let mut first = First::new(sort, conns.reverse, conns.limit);
            wanted.for_each(|connection| first.add(connection));
            writer.rows(&mut first.ordered().into_iter())
        }
        None => writer.rows(&mut wanted.take(conns.limit.unwrap_or(usize::MAX))),
    };
}

type Entries<'e> = &'e mut dyn Iterator<Item = Connection>;

struct Writer<'w> {
    json: bool,
    out: &'w mut dyn Write,
}

impl<'w> Writer<'w> {
    fn rows(&mut self, connections: Entries<'_>) -> io::Result<()> {
        let json = self.json;
        let mut lines = self.lines(row::titles)?;
        for connection in connections {
            lines.line(|line| match json {
                true => into(line, row::fields(&connection)),
                false => row::text(line, &connection),
            })?;
        }
        lines.flush()
    }

    fn groups(&mut self, conns: &Conns, sort: Option<usize>, connections: Entries<'_>) -> io::Result<()> {
        let by = conns.by.as_slice();
        let mut groups = Groups::default();
        connections.for_each(|connection| groups.add(by, &connection));
        let (number, total) = groups.total();
        let json = self.json;
        let mut lines = self.lines(|line| group::titles(line, by))?;
        let ordered = groups.ordered(sort, conns.reverse);
        for (group, count) in ordered.into_iter().take(conns.limit.unwrap_or(usize::MAX)) {
            lines.line(|line| match json {
                true => into(line, group::fields(by, &group, count)),
                false => group::text(line, by, &group, count),
            })?;
        }
        if !json {
            lines.line(|line| group::total(line, number, total))?;
        }
        lines.flush()
    }

    fn count(&mut self, connections: Entries<'_>) -> io::Result<()> {
        let mut count = Count::default();
        connections.for_each(|connection| count.add(&connection));
        match self.json {
            true => writeln!(self.out, "{}", json::object(count.fields())),
            false => writeln!(self.out, "{}", count.total()),
        }
    }

    /// With titles for people.
    fn lines(&mut self, titles: impl FnOnce(&mut Vec<u8>)) -> io::Result<Lines<'_>> {
        let mut lines = Lines::new(self.out, LINES);
        if !self.json {
            lines.line(titles)?;
        }
        Ok(lines)
    }
}

fn into(line: &mut Vec<u8>, fields: Fields) {
    // Into memory.
    let _ = write!(line, "{}", json::object(fields));
}
