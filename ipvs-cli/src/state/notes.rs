//! The weights that drained destinations had.
//!
//! The kernel can't keep them: the weight of a drained destination is 0. So they are noted in a
//! file of the state directory before the weight is set to 0. The first line names the boot and the
//! network namespace; a file of another boot or namespace is void. A note is void once the
//! destination is gone or has another weight than 0. Without a note, `undrain` requires the weight
//! as an option. A damaged line is reported and kept, as the destination that it names is unknown.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ipvs::{Command, DestinationState, ServiceKey, Table, Weight};

use crate::arguments::service;
use crate::state;
use crate::state::file::{FileError, StateDirectory};
use crate::state::lock::Lock;

/// The files of notes.
const KIND: &str = "drained";

/// The notes of one director, as they were read. Saving them requires the lock of the network
/// namespace.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// `None`: nothing is kept.
    directory: Option<PathBuf>,
    weights: BTreeMap<(ServiceKey, SocketAddr), Weight>,
    /// Damaged lines, with their numbers.
    damaged: Vec<(usize, String)>,
    is_changed: bool,
}

/// Drops the notes that this command, which was just executed, has made void.
///
/// Does not wait for the lock: the next reading drops a note that stays.
pub(crate) fn drop_void(directory: &Path, command: &Command) {
    // Mostly there is no directory, and this is cheaper than finding the name of the file in it.
    if !directory.exists() {
        return;
    }
    let follow = || {
        let mut notes = Notes::read(Some(directory)).unwrap_or_default();
        notes.follow(command);
        notes
    };
    if !follow().is_changed {
        return;
    }
    if let Ok(_turn) = Lock::take(directory, Some(Instant::now()), &mut |_| false) {
        // The user did not ask for notes, so an error is not reported.
        let _ = follow().save();
    }
}

/// The start of each file.
const OF_SOME_BOOT: &str = "drained boot:";

/// The first line of the file of this boot and namespace.
fn first_line(directory: &Path) -> Result<String, FileError> {
    let epoch =
        state::epoch().map_err(|error| FileError::Io { path: directory.join(state::file_name(KIND)), error })?;
    Ok(format!("drained {epoch}"))
}

impl Notes {
    /// Reads them.
    pub(crate) fn read(directory: Option<&Path>) -> Result<Self, FileError> {
        let Some(directory) = directory else { return Ok(Notes::default()) };
        let mut notes = Notes { directory: Some(directory.to_owned()), ..Notes::default() };
        if let Some(text) = StateDirectory::read_if_there(directory, &state::file_name(KIND))? {
            let mut lines = (1..).zip(text.lines());
            match lines.next() {
                Some((_, first)) if first == first_line(directory)? => notes.take(lines),
                Some((_, first)) if first.starts_with(OF_SOME_BOOT) => {}
                _ => {
                    let path = directory.join(state::file_name(KIND));
                    let reason = format!("{}; remove the file to go on without the weights", state::NO_EPOCH);
                    return Err(FileError::Damaged { path, line: 1, reason });
                }
            }
        }
        Ok(notes)
    }

    fn take<'t>(&mut self, lines: impl Iterator<Item = (usize, &'t str)>) {
        for (number, line) in lines {
            match parse(line) {
                Some((at, weight)) => _ = self.weights.insert(at, weight),
                None => self.damaged.push((number, line.to_owned())),
            }
        }
    }

    /// The first damaged line, if there is one.
    pub(crate) fn damage(&self) -> Option<FileError> {
        let (directory, (line, _)) = (self.directory.as_ref()?, self.damaged.first()?);
        let reason = match self.damaged.len() {
            1 => "the line is damaged: it should be SERVICE SERVER WEIGHT".to_owned(),
            count => format!("the line is damaged: it should be SERVICE SERVER WEIGHT ({count} such lines)"),
        };
        Some(FileError::Damaged { path: directory.join(state::file_name(KIND)), line: *line, reason })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// The weight that this destination had before it was drained.
    pub(crate) fn weight(&self, service: ServiceKey, server: SocketAddr) -> Option<Weight> {
        self.weights.get(&(service, server)).copied()
    }

    /// Each drained destination with the weight that it had.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ServiceKey, SocketAddr, Weight)> + '_ {
        self.weights.iter().map(|((service, server), weight)| (*service, *server, *weight))
    }

    pub(crate) fn set(&mut self, service: ServiceKey, server: SocketAddr, weight: Weight) {
        self.is_changed |= self.weights.insert((service, server), weight) != Some(weight);
    }

    fn keep(&mut self, mut is_valid: impl FnMut(ServiceKey, SocketAddr) -> bool) {
        let before = self.weights.len();
        self.weights.retain(|(service, server), _| is_valid(*service, *server));
        self.is_changed |= self.weights.len() != before;
    }

    /// Drops what is void by a command that was carried out.
    pub(crate) fn follow(&mut self, command: &Command) {
        match *command {
            Command::EditDestination(_, destination) if destination.weight == Weight::ZERO => {}
            Command::AddDestination(key, destination) | Command::EditDestination(key, destination) => {
                self.keep(|service, server| (service, server) != (key, destination.address));
            }
            Command::DeleteDestination(key, at) => self.keep(|service, server| (service, server) != (key, at)),
            Command::DeleteService(key) => self.keep(|service, _| service != key),
            Command::Flush => {
                // Whatever they were about, it is gone.
                self.is_changed |= !self.damaged.is_empty();
                self.damaged.clear();
                self.keep(|_, _| false);
            }
            _ => {}
        }
    }

    /// Drops what is void by what a service has now.
    pub(crate) fn review(&mut self, key: ServiceKey, states: &[DestinationState]) {
        let is_drained = |server: SocketAddr| {
            states.iter().any(|state| state.destination.address == server && state.destination.weight == Weight::ZERO)
        };
        self.keep(|service, server| service != key || is_drained(server));
    }

    /// Drops what is void by what the director has now.
    pub(crate) fn review_all(&mut self, table: &Table) {
        self.keep(|service, server| {
            let found = table.service(&service).and_then(|entry| entry.destination(&server));
            found.is_some_and(|state| state.destination.weight == Weight::ZERO)
        });
        let mut destinations = table.services().flat_map(|entry| entry.destinations());
        if !self.damaged.is_empty() && destinations.all(|state| state.destination.weight != Weight::ZERO) {
            // A note for any of them would be void.
            self.damaged.clear();
            self.is_changed = true;
        }
    }

    /// Writes them, if they have changed. Are they kept, where the next one reads them?
    pub(crate) fn save(&mut self) -> Result<bool, FileError> {
        let Some(directory) = &self.directory else { return Ok(false) };
        if !self.is_changed {
            return Ok(true);
        }
        let (state, name) = (StateDirectory::open(directory)?, state::file_name(KIND));
        if self.weights.is_empty() && self.damaged.is_empty() {
            state.remove(&name)?;
        } else {
            let mut text = first_line(directory)? + "\n";
            for ((service, server), weight) in &self.weights {
                text += &format!("{} {server} {weight}\n", service::word(service));
            }
            for (_, line) in &self.damaged {
                text += &format!("{line}\n");
            }
            state.write(&name, &text)?;
        }
        self.is_changed = false;
        Ok(true)
    }
}

/// A line of the file: `tcp:192.0.2.1:80 192.0.2.11:80 3`.
fn parse(line: &str) -> Option<((ServiceKey, SocketAddr), Weight)> {
    let mut words = line.split(' ');
    let service = words.next()?.parse().ok()?;
    let (server, weight) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some(((service, server), weight))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ipvs::Destination;

    use super::*;

    fn weight(weight: u32) -> Weight {
        Weight::new(weight).unwrap()
    }

    fn key(text: &str) -> ServiceKey {
        text.parse().unwrap()
    }

    const SERVICES: [&str; 4] = ["tcp 192.0.2.1:80", "udp [2001:db8::1]:53", "mark 10", "mark 10 ipv6"];

    fn server() -> SocketAddr {
        "[2001:db8::11]:80".parse().unwrap()
    }

    fn noted(directory: &Path) -> Notes {
        let mut notes = Notes::read(Some(directory)).unwrap();
        for (number, service) in (1..).zip(SERVICES) {
            notes.set(key(service), server(), weight(number));
        }
        notes.save().unwrap();
        Notes::read(Some(directory)).unwrap()
    }

    fn services(notes: &Notes) -> Vec<String> {
        notes.weights.keys().map(|(service, _)| service.to_string()).collect()
    }

    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            Place(std::env::temp_dir().join(format!("ipvs-cli-notes-{name}-{}", std::process::id())))
        }

        fn file(&self) -> PathBuf {
            self.0.join(state::file_name(KIND))
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_was_saved_is_read_and_damaged_lines_are_kept_until_the_table_is_cleared() {
        let place = Place::new("saved");
        let mut notes = noted(&place.0);
        notes.set(key(SERVICES[0]), server(), weight(9));
        notes.save().unwrap();
        let file = place.file();
        assert!(notes.damage().is_none());
        let text = fs::read_to_string(&file).unwrap() + "nonsense\ntcp:192.0.2.1:80 192.0.2.11:80 1 2\n";
        fs::write(&file, text).unwrap();
        let mut notes = Notes::read(Some(&place.0)).unwrap();
        let damage = notes.damage().unwrap().to_string();
        assert!(damage.starts_with(&format!("{}:6: ", file.display())) && damage.contains("2 such lines"), "{damage}");
        notes.set(key(SERVICES[1]), server(), weight(8));
        notes.set(key(SERVICES[1]), server(), weight(2));
        notes.save().unwrap();
        let mut notes = Notes::read(Some(&place.0)).unwrap();
        assert_eq!(notes.damaged.len(), 2, "a change of another note keeps them");
        for (service, expected) in SERVICES.into_iter().zip([9, 2, 3, 4]) {
            assert_eq!(notes.weight(key(service), server()), Some(weight(expected)), "{service}");
        }
        assert_eq!(notes.weight(key(SERVICES[0]), "192.0.2.11:80".parse().unwrap()), None);
        notes.follow(&Command::Flush);
        notes.save().unwrap();
        assert!(!file.exists(), "no notes, no file");
    }

    #[test]
    fn notes_of_another_boot_or_namespace_are_void() {
        let place = Place::new("void");
        noted(&place.0);
        let file = place.file();
        let text = fs::read_to_string(&file).unwrap();
        let first = text.lines().next().unwrap();
        let words: Vec<_> = first.split(' ').collect();
        let ["drained", boot, namespace] = words[..] else { panic!("{first}") };
        for other in
            [text.replace(boot, "boot:00000000-0000-0000-0000-000000000000"), text.replace(namespace, "cookie:1")]
        {
            assert_ne!(other, text);
            fs::write(&file, other).unwrap();
            assert!(Notes::read(Some(&place.0)).unwrap().is_empty());
        }
        for damaged in [text.lines().skip(1).map(|line| format!("{line}\n")).collect(), String::new()] {
            fs::write(&file, damaged).unwrap();
            let error = Notes::read(Some(&place.0)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{}:1: the file is damaged: ", file.display())), "{error}");
        }
        fs::write(&file, text).unwrap();
        assert_eq!(services(&Notes::read(Some(&place.0)).unwrap()).len(), SERVICES.len());
    }

    #[test]
    fn commands_and_readings_make_notes_void() {
        let place = Place::new("commands");
        let destination = |weight| Destination::new(server()).with_weight(weight);
        let after = |command: Command| {
            let mut notes = noted(&place.0);
            notes.follow(&command);
            services(&notes).len()
        };
        let web = key(SERVICES[0]);
        assert_eq!(after(Command::EditDestination(web, destination(Weight::ZERO))), 4);
        assert_eq!(after(Command::EditDestination(web, destination(weight(5)))), 3);
        assert_eq!(after(Command::AddDestination(web, destination(Weight::ZERO))), 3);
        assert_eq!(after(Command::DeleteDestination(web, server())), 3);
        assert_eq!(after(Command::DeleteService(web)), 3);
        assert_eq!(after(Command::Flush), 0);
        assert_eq!(after(Command::Zero(Some(web))), 4);

        let reviewed = |states: &[DestinationState]| {
            let mut notes = noted(&place.0);
            notes.review(web, states);
            services(&notes)
        };
        assert_eq!(reviewed(&[DestinationState::new(destination(Weight::ZERO))]), SERVICES);
        assert_eq!(reviewed(&[DestinationState::new(destination(weight(1)))]), &SERVICES[1..]);
        assert_eq!(reviewed(&[]), &SERVICES[1..]);

        let mut table = Table::new();
        table.apply(&Command::AddService(ipvs::Service::new(key(SERVICES[1])))).unwrap();
        table.apply(&Command::AddDestination(key(SERVICES[1]), destination(Weight::ZERO))).unwrap();
        let mut notes = noted(&place.0);
        notes.review_all(&table);
        assert_eq!(services(&notes), [SERVICES[1]]);
    }

    #[test]
    fn without_a_state_directory_nothing_is_kept() {
        let mut notes = Notes::read(None).unwrap();
        notes.set(key(SERVICES[0]), server(), weight(3));
        assert!(!notes.save().unwrap());
        assert!(Notes::read(None).unwrap().is_empty());
        let mut notes = Notes::read(Some(Path::new("/proc/nowhere"))).unwrap();
        notes.set(key(SERVICES[0]), server(), weight(3));
        assert!(notes.save().is_err());
    }
}
