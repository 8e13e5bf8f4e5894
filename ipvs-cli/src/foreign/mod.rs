//! Configurations of other programs as desired states: what the table is while all checks succeed.
//!
//! A reader for each program, written from its manual and from what it does, runs nothing and looks
//! at no director. What has no counterpart becomes a [`Foreign::notes`] entry. What the program
//! itself would misread, and what can't be known from the file, is an error with its place.

mod files;
mod keepalived;
mod ldirectord;

use std::collections::BTreeMap;
use std::path::Path;

use ipvs::desired::{Desired, Located, Place, Problem, Problems, Source};
use ipvs::{Command, Destination, Service, ServiceKey};
use ipvs_text::ipvsadm::value::Resolve;

pub use files::{Files, NoFiles, SystemFiles};

/// A program whose configuration can be read.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `keepalived.conf`.
    Keepalived,
    /// `ldirectord.cf`.
    Ldirectord,
}

/// A configuration as a desired state.
#[derive(Debug, Default)]
pub struct Foreign {
    /// Services, and timeouts if the configuration has some.
    pub desired: Desired,
    /// What has no counterpart in the table, in the order of the text.
    pub notes: Vec<Problem>,
}

/// What stands around a configuration.
#[expect(missing_debug_implementations, reason = "what stands behind the traits need not have one")]
pub struct Surroundings<'s> {
    /// Where the configuration is: relative paths start in its directory.
    pub path: &'s Path,
    /// Files that it includes.
    pub files: &'s dyn Files,
    /// Names of hosts and ports, of which only ldirectord has any.
    pub names: &'s mut dyn Resolve,
    /// The word that keepalived compares with conditions such as `@main`.
    pub config_id: &'s str,
}

/// Reads a configuration.
///
/// # Errors
/// All problems, or the first fifty; and that there is no service, which would clear a director.
///
/// ```
/// use std::path::Path;
///
/// use ipvs::desired::Source;
/// use ipvs_cli::foreign::{self, Format, NoFiles, Surroundings};
/// use ipvs_cli::ipvsadm::value::NoNames;
///
/// let text = "virtual = 192.0.2.1:80\n\treal = 192.0.2.11:80 masq\n";
/// let source = Source::new("ldirectord.cf", text);
/// let path = Path::new("ldirectord.cf");
/// let surroundings = Surroundings { path, files: &NoFiles, names: &mut NoNames, config_id: "" };
/// let read = foreign::read(Format::Ldirectord, &source, surroundings).unwrap();
/// assert_eq!(read.desired.commands.len(), 2);
/// ```
pub fn read(format: Format, source: &Source, surroundings: Surroundings<'_>) -> Result<Foreign, Vec<Problem>> {
    let mut output = Output::default();
    match format {
        Format::Keepalived => keepalived::read(source, surroundings, &mut output),
        Format::Ldirectord => ldirectord::read(source, surroundings.names, &mut output),
    }
    output.finish(&source.line(0))
}

/// More services and destinations than any director has, and a bound for the memory that ranges of
/// addresses take.
const MOST: usize = 1 << 20;
/// Nobody reads more, and the line number of each is counted anew.
const MOST_NOTES: usize = 1000;

/// As of an empty desired state.
const NO_SERVICE: &str = "there is no virtual server with real servers in this configuration. For a director without \
    services write `-C`, or `version = 1` and `services = []`";

/// What a reader has found.
#[derive(Debug, Default)]
struct Output {
    foreign: Foreign,
    problems: Problems,
    /// Words that were remarked upon: the index of their note, and how often they occurred.
    remarks: BTreeMap<String, (usize, usize)>,
    /// Notes beyond the most.
    omitted: usize,
}

impl Output {
    /// Something is wrong: there will be no desired state.
    fn problem(&mut self, place: &Place, reason: impl Into<String>) {
        self.problems.add(place.clone(), reason);
    }

    /// Something has no counterpart.
    fn note(&mut self, place: &Place, reason: impl Into<String>) {
        match self.foreign.notes.len() {
            MOST_NOTES.. => self.omitted += 1,
            _ => self.foreign.notes.push(Problem { place: place.clone(), reason: reason.into() }),
        }
    }

    /// As [`note`](Self::note), of a word that may occur thousands of times: once, with the number
    /// of the others.
    fn remark(&mut self, place: &Place, word: &str, reason: &str) {
        if let Some((_, count)) = self.remarks.get_mut(word) {
            *count += 1;
            return;
        }
        if self.foreign.notes.len() < MOST_NOTES {
            self.remarks.insert(word.to_owned(), (self.foreign.notes.len(), 1));
        }
        self.note(place, format!("{word}: {reason}"));
    }

    fn command(&mut self, place: &Place, command: Command) {
        match self.foreign.desired.commands.len() {
            MOST.. => self.problem(place, format!("there are more than {MOST} services and destinations")),
            _ => self.foreign.desired.commands.push(Located { place: place.clone(), command }),
        }
    }

    fn service(&mut self, place: &Place, service: Service) {
        self.command(place, Command::AddService(service));
    }

    fn destination(&mut self, place: &Place, service: ServiceKey, destination: Destination) {
        self.command(place, Command::AddDestination(service, destination));
    }

    fn is_full(&self) -> bool {
        self.problems.is_full() || self.foreign.desired.commands.len() >= MOST
    }

    /// `start` is the place of what concerns all of the text.
    fn finish(mut self, start: &Place) -> Result<Foreign, Vec<Problem>> {
        for (note, count) in self.remarks.values().filter(|(_, count)| *count > 1) {
            let reason = &mut self.foreign.notes[*note].reason;
            *reason += &match count - 1 {
                1 => " (and 1 more)".to_owned(),
                others => format!(" (and {others} more)"),
            };
        }
        if let Some(last) = self.foreign.notes.last().filter(|_| self.omitted > 0) {
            let reason = format!("{} more warnings are left out", self.omitted);
            self.foreign.notes.push(Problem { place: last.place.clone(), reason });
        }
        let is_service = |located: &Located| matches!(located.command, Command::AddService(_));
        if self.problems.iter().next().is_none() && !self.foreign.desired.commands.iter().any(is_service) {
            // Applied, it would clear the director, and a failed program leaves an empty file.
            self.problems.add(start.clone(), NO_SERVICE);
            self.foreign.notes.drain(..).for_each(|note| self.problems.add(note.place, note.reason));
        }
        self.foreign.desired.scope.services = true;
        self.problems.or(self.foreign).map_err(Vec::from)
    }
}
