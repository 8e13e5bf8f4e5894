//! From a file to the change that it asks for. Only reads.

use std::cell::OnceCell;
use std::fs::{self, File};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use ipvs::desired::{Place, Problem, Source};
use ipvs::{
    Cause, Command, ServiceKey, Table,
    change::{Change, Plan, Planner},
};
use ipvs_text::escape;
use ipvs_text::ipvsadm::Parser;
use ipvs_text::ipvsadm::{with_names, with_parser};

use crate::arguments::service::Selection;
use crate::change::args::{DesiredArgs, ForeignArgs, Restrictions};
use crate::change::claims::Claims;
use crate::change::drained::{LeftDrained, keep_drained};
use crate::change::marks::{MarkChange, is_about_marks};
use crate::change::summary::counted;
use crate::desired::{self, Desired};
use crate::foreign::{self, Foreign, Surroundings, SystemFiles};
use crate::io::{FileInput, read_whole};
use crate::session::{Session, Trouble};
use crate::state::notes::Notes;

/// A change, and what asks for it.
pub(crate) struct Prepared {
    pub(crate) change: Change,
    pub(crate) marks: MarkChange,
    /// Destinations that stay at weight 0 although the file gives them a weight.
    pub(crate) left_drained: Vec<LeftDrained>,
    /// Notes of drained destinations that the director confirms.
    pub(crate) notes: Notes,
    pub(crate) claims: Claims,
}

/// The text of a desired state: one file, or several that are one state together.
#[derive(Debug)]
pub(crate) struct Text {
    sources: Vec<Source>,
    /// What they say, if that was found out already.
    understood: Option<Desired>,
    /// Absolute, for logs; `None` for standard input.
    path: Option<String>,
    /// Rules replace all services, even if they name none.
    pub(crate) replaces_services: bool,
    /// What another program's configuration has and a desired state has not.
    pub(crate) notes: Vec<Problem>,
}

impl Text {
    pub(crate) fn read(session: &mut Session<'_, '_>, file: &Path) -> Result<Self, Trouble> {
        session.progress("reading what is desired");
        let mut text = Vec::new();
        let (name, path) = if file == Path::new("-") {
            let read = read_whole(&mut session.environment.stdin, &mut text);
            read.map_err(|error| Trouble::Other(format!("standard input: {error}")))?;
            ("standard input".to_owned(), None)
        } else {
            let name = escape::path(file).to_string();
            if fs::metadata(file).is_ok_and(|found| found.file_type().is_fifo()) {
                session.progress(&format!("waiting for a program that writes into {name}, which is a FIFO"));
            }
            let read = File::open(file).and_then(|file| read_whole(&mut FileInput(file), &mut text));
            read.map_err(|error| Trouble::Other(format!("{name}: {error}")))?;
            (name, Some(absolute(file)))
        };
        Ok(Text {
            sources: vec![Source::new(&name, text)],
            understood: None,
            path,
            replaces_services: false,
            notes: Vec::new(),
        })
    }

    /// As [`read`](Self::read), of another program's configuration if the options name one.
    pub(crate) fn read_from(
        session: &mut Session<'_, '_>,
        file: &Path,
        foreign: &ForeignArgs,
    ) -> Result<Self, Trouble> {
        let mut text = Text::read(session, file)?;
        let Some(format) = foreign.from else { return Ok(text) };
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy();
        let config_id = foreign.config_id.as_deref().unwrap_or_else(|| host.split('.').next().unwrap_or_default());
        let path = if file == Path::new("-") { Path::new("") } else { file };
        let read = with_names(|names| {
            let surroundings = Surroundings { path, files: &SystemFiles::default(), names, config_id };
            foreign::read(format, &text.sources[0], surroundings)
        });
        let Foreign { desired, notes } = read.map_err(Trouble::Problems)?;
        session.warnings(&notes);
        text.understood = Some(Desired { state: desired, groups: Vec::new() });
        text.notes = notes;
        Ok(text)
    }

    /// Texts that are understood now, once and for all: names keep the addresses that they have.
    pub(super) fn of(sources: &[Source], parser: &mut Parser<'_>) -> Result<Self, Trouble> {
        let sources = sources.to_vec();
        let mut text = Text { sources, understood: None, path: None, replaces_services: false, notes: Vec::new() };
        let desired = text.understand(&empty_director(), parser)?;
        desired.state.table(&empty_director())?;
        text.understood = Some(desired);
        Ok(text)
    }

    pub(super) fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Is it of these sources?
    pub(super) fn is_of(&self, sources: &[Source]) -> bool {
        let is_same = |(one, other): (&Source, &Source)| one.name() == other.name() && one.text() == other.text();
        self.sources.len() == sources.len() && self.sources.iter().zip(sources).all(is_same)
    }

    /// The services that it adds, if it is understood.
    pub(super) fn services(&self) -> impl Iterator<Item = ServiceKey> {
        let commands = self.understood.iter().flat_map(|desired| &desired.state.commands);
        commands.filter_map(|located| match &located.command {
            Command::AddService(service) => Some(service.key()),
            _ => None,
        })
    }

    /// The name in places.
    pub(crate) fn name(&self) -> &str {
        self.sources.first().map_or("", Source::name)
    }

    /// The absolute path of the file; `None` for standard input.
    pub(crate) fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// Reads it as a desired state of this director.
    pub(crate) fn understand(&self, director: &Table, parser: &mut Parser<'_>) -> Result<Desired, Trouble> {
        if let Some(understood) = &self.understood {
            return Ok(understood.clone());
        }
        let mut desired = desired::understand_all(&self.sources, director, parser).map_err(Trouble::Problems)?;
        desired.state.scope.services |= self.replaces_services && self.sources.iter().any(desired::is_rules);
        Ok(desired)
    }

    /// Finds errors that do not depend on the director. They are reported before other errors, and
    /// before a wait.
    pub(crate) fn check(&self) -> Result<(), Trouble> {
        let desired = with_parser(|parser| self.understand(&empty_director(), parser))?;
        Ok(desired.state.table(&empty_director()).map(drop)?)
    }
}

/// An empty director that refuses only what all kernels refuse.
pub(crate) fn empty_director() -> Table {
    Table::new().on_unknown_kernel()
}

/// An absolute path, for messages that are read elsewhere.
pub(crate) fn absolute(file: &Path) -> String {
    std::path::absolute(file).unwrap_or_else(|_| file.to_owned()).display().to_string()
}

/// Reads the director and the desired state.
fn read(session: &mut Session<'_, '_>, text: &Text) -> Result<(Table, Desired), Trouble> {
    with_parser(|parser| {
        let mut before = director(session, text)?;
        let mut desired = text.understand(&before, parser)?;
        if parser.remembers_names() {
            // Name look-ups take long enough for the director to change.
            before = director(session, text)?;
            desired = text.understand(&before, parser)?;
        }
        Ok((before, desired))
    })
}

fn director(session: &mut Session<'_, '_>, text: &Text) -> Result<Table, Trouble> {
    session.progress("reading the director's table");
    let table = match session.director.table_without_statistics() {
        Ok(table) => table,
        Err(error) => {
            text.check()?;
            return Err(error.into());
        }
    };
    session.progress("planning");
    Ok(session.environment.with_interfaces(table))
}

/// Plans the change from the director's state to the desired one, and tries it out. `limit` is
/// applied last.
pub(crate) fn plan(
    session: &mut Session<'_, '_>,
    text: &Text,
    restrictions: &Restrictions,
    limit: impl FnOnce(Planner) -> Planner,
) -> Result<Prepared, Trouble> {
    let (mut before, mut desired) = read(session, text)?;
    if restrictions.services_only {
        desired.keep_services_only();
    }
    session.warnings(&desired.state.warnings);
    let commands = desired.state.commands.iter().map(|located| &located.command);
    let probed = session.director.client().and_then(|client| client.probe(&mut before, commands));
    probed?;
    let mut table = desired.state.table(&before)?;
    let notes = notes(session, restrictions, &before)?;
    let mut left_drained = if restrictions.undrain { Vec::new() } else { keep_drained(&mut table, &notes) };
    left_drained.retain(|left| restrictions.selects(&left.service));
    let program = session.program();
    check_selection(restrictions, [&before, &table], program, "in the file or on the director; nothing was changed")?;
    let planner = planner(&desired, restrictions);
    let places = Places::new(text, &desired);
    let claims = Claims::new(session, &restrictions.ownership, planner, &before, &table, &places)?;
    note_settings_left_alone(session, &desired, restrictions, &before, &table);
    match claims.left_alone(&table) {
        0 => {}
        1 => session.note("1 service has an owner and is left alone, as the file does not name it (ipvs-cli owners)"),
        count => session.note(format!(
            "{count} services have an owner and are left alone, as the file does not name them (ipvs-cli owners)"
        )),
    }
    if let count @ 1.. = claims.taken() {
        let services = counted(count, "service");
        session.note(format!("{services} that had another owner or none: --take takes over what the file names"));
    }
    match Change::prepare(before, table, limit(claims.planner().clone())) {
        Ok(change) => {
            let marks = mark_change(session, &desired, change.plan(), restrictions)?;
            Ok(Prepared { change, marks, left_drained, notes, claims })
        }
        Err(rejected) => {
            let line = |(command, cause): &(Command, Cause)| match places.find(command) {
                Some(place) => format!("{place}: {cause}\n"),
                None => format!("{program}: {}: {cause}\n", describe(command)),
            };
            Err(Trouble::Lines(rejected.refusals.iter().map(line).collect()))
        }
    }
}

/// Says that the file's timeouts and sync daemons are not applied, if they differ from the
/// director's and no option says so by itself.
fn note_settings_left_alone(
    session: &mut Session<'_, '_>,
    desired: &Desired,
    restrictions: &Restrictions,
    before: &Table,
    wanted: &Table,
) {
    let because = match (&restrictions.ownership.owner, restrictions.only.is_empty()) {
        (Some(_), _) => "they belong to the director and not to an owner",
        (None, false) => "--only is about services",
        (None, true) => return,
    };
    let scope = &desired.state.scope;
    let timeouts = scope.timeouts && before.timeouts() != wanted.timeouts();
    let daemons = (scope.master || scope.backup) && before.daemons() != wanted.daemons();
    let what = match (timeouts, daemons) {
        (true, true) => "timeouts and sync daemons",
        (true, false) => "timeouts",
        (false, true) => "sync daemons",
        (false, false) => return,
    };
    session.note(format!("the {what} of the file are left alone: {because}"));
}

/// The notes of drained destinations. If they can't be read, a change could give such a destination
/// its weight back.
fn notes(session: &mut Session<'_, '_>, restrictions: &Restrictions, present: &Table) -> Result<Notes, Trouble> {
    if restrictions.undrain || restrictions.keep_weights || restrictions.only_additions {
        let mut notes = session.notes();
        notes.review_all(present);
        return Ok(notes);
    }
    let read = Notes::read(session.environment.state_directory).and_then(|mut notes| {
        notes.review_all(present);
        notes.damage().map_or(Ok(notes), Err)
    });
    read.map_err(|error| {
        let reason = "what is drained can't be read, and would get the weights of the file";
        Trouble::Other(format!("{reason}: {error}; --undrain goes on all the same"))
    })
}

/// `--only` must select a service of one of these tables: one of none is a mistake in writing.
/// `place` says where they are.
pub(crate) fn check_selection(
    restrictions: &Restrictions,
    tables: [&Table; 2],
    program: &str,
    place: &str,
) -> Result<(), Trouble> {
    let is_there = |selection: &&Selection| {
        tables.iter().flat_map(|table| table.services()).any(|entry| selection.contains(&entry.service().key()))
    };
    let missing = restrictions.only.iter().filter(|selection| !is_there(selection));
    let line = |selection| format!("{program}: --only {selection}: no such service {place}\n");
    let lines: String = missing.map(line).collect();
    if lines.is_empty() { Ok(()) } else { Err(Trouble::Lines(lines)) }
}

/// Reads the mark rules, if the change may affect them, and plans their change.
fn mark_change(
    session: &mut Session<'_, '_>,
    desired: &Desired,
    plan: &Plan,
    restrictions: &Restrictions,
) -> Result<MarkChange, Trouble> {
    if !is_about_marks(desired, plan) {
        return Ok(MarkChange::default());
    }
    session.progress("reading the rules that mark packets");
    if let Some(owner) = &restrictions.ownership.owner {
        session.director.marks().belong_to(owner);
    }
    let has_rules = desired.groups.iter().any(|group| !group.rules.is_empty());
    let marks = session.director.marks();
    let before = if has_rules { marks.list() } else { marks.list_if_any() };
    let before = before.map_err(|error| Trouble::Other(error.to_string()))?;
    Ok(MarkChange::new(before, desired, plan, restrictions))
}

/// As [`Text::read`] and [`plan`].
pub(crate) fn prepare(
    session: &mut Session<'_, '_>,
    wanted: &DesiredArgs,
    foreign: &ForeignArgs,
) -> Result<Prepared, Trouble> {
    let text = Text::read_from(session, &wanted.file, foreign)?;
    plan(session, &text, &wanted.restrictions, |planner| planner)
}

/// Anything that the file does not mention is left alone, even if another program changes it
/// meanwhile.
pub(crate) fn planner(desired: &Desired, restrictions: &Restrictions) -> Planner {
    let mut planner = desired.state.planner();
    if restrictions.keep_weights {
        planner = planner.keep_weights();
    }
    if restrictions.only_additions {
        planner = planner.only_additions();
    }
    if restrictions.no_deletions {
        planner = planner.without_deletions();
    }
    if !restrictions.only.is_empty() {
        let only = restrictions.only.clone();
        planner = planner.only_services().services_where(move |key| only.iter().any(|only| only.contains(key)));
    }
    planner
}

/// Finds the places in a file that ask for commands.
pub(crate) struct Places<'t> {
    text: &'t Text,
    desired: &'t Desired,
    /// Services that are in the file as the director has them are not parsed, so the file is read
    /// again for their places.
    all: OnceCell<Option<Desired>>,
}

impl<'t> Places<'t> {
    pub(crate) fn new(text: &'t Text, desired: &'t Desired) -> Self {
        Places { text, desired, all: OnceCell::new() }
    }

    /// The place that asks for the command.
    pub(crate) fn find(&self, command: &Command) -> Option<Place> {
        let found = place(self.desired, command);
        if found.is_some() || self.desired.state.same.is_empty() {
            return found.cloned();
        }
        self.all.get_or_init(|| understand_anew(self.text)).as_ref().and_then(|all| place(all, command)).cloned()
    }
}

/// The place that asks for the command, in a text that is read again.
pub(super) fn place_in(text: &Text, command: &Command) -> Option<Place> {
    understand_anew(text).as_ref().and_then(|desired| place(desired, command)).cloned()
}

fn understand_anew(text: &Text) -> Option<Desired> {
    with_parser(|parser| text.understand(&empty_director(), parser)).ok()
}

fn place<'d>(desired: &'d Desired, command: &Command) -> Option<&'d Place> {
    let asks = |asked: &Command| match (asked, command) {
        (
            Command::AddService(asked) | Command::EditService(asked),
            Command::AddService(done) | Command::EditService(done),
        ) => asked.key() == done.key(),
        (
            Command::AddDestination(service, asked) | Command::EditDestination(service, asked),
            Command::AddDestination(of, done) | Command::EditDestination(of, done),
        ) => service == of && asked.address == done.address,
        (Command::SetTimeouts(_), Command::SetTimeouts(_)) => true,
        (Command::StartDaemon(asked), Command::StartDaemon(done)) => asked.role == done.role,
        _ => false,
    };
    desired.state.commands.iter().rev().find(|located| asks(&located.command)).map(|located| &located.place)
}

/// A command as part of a sentence.
pub(crate) fn describe(command: &Command) -> String {
    match command.service_key() {
        Some(key) => format!("{} of {key}", command.kind()),
        None => command.kind().to_string(),
    }
}
