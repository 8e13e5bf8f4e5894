//! The weights that drained destinations had.
//!
//! The kernel has no place for them: a destination has a weight, which must be 0 now, and thresholds, which mean something. So
//! they are noted in a file under `/run`, one for each network namespace, before the weight is set to 0. Nothing depends on the
//! file but which weight `undrain` takes if it is told none; a drain goes on without it. A note counts only while the kernel has that
//! destination with weight 0. The file goes with the next boot, as the kernel's table does.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use ipvs::{ServiceKey, Weight};

use crate::operate::lock::file_of_namespace;
use crate::operate::service_argument;

/// The notes. Whoever changes them holds the lock of the namespace.
#[derive(Debug)]
pub(super) struct Memory {
    /// `None`: the director is in this process, and nothing is noted.
    path: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Note {
    service: ServiceKey,
    server: SocketAddr,
    weight: Weight,
}

impl Memory {
    pub(super) fn of_this_namespace() -> Self {
        Memory { path: Some(file_of_namespace("drained")) }
    }

    pub(super) fn none() -> Self {
        Memory { path: None }
    }

    /// What was noted last.
    pub(super) fn recall(&self, service: ServiceKey, server: SocketAddr) -> Option<Weight> {
        self.notes().into_iter().find(|note| note.is_of(service, server)).map(|note| note.weight)
    }

    pub(super) fn note(&self, service: ServiceKey, server: SocketAddr, weight: Weight) -> io::Result<()> {
        self.change(service, server, Some(weight))
    }

    pub(super) fn forget(&self, service: ServiceKey, server: SocketAddr) -> io::Result<()> {
        self.change(service, server, None)
    }

    fn change(&self, service: ServiceKey, server: SocketAddr, weight: Option<Weight>) -> io::Result<()> {
        let mut notes = self.notes();
        let before = notes.len();
        notes.retain(|note| !note.is_of(service, server));
        if weight.is_none() && notes.len() == before {
            return Ok(());
        }
        notes.extend(weight.map(|weight| Note { service, server, weight }));
        self.write(&notes)
    }

    /// Without lines that are no notes.
    fn notes(&self) -> Vec<Note> {
        let Some(path) = &self.path else { return Vec::new() };
        fs::read_to_string(path).unwrap_or_default().lines().filter_map(Note::parse).collect()
    }

    /// All at once, so that a reader sees the old or the new.
    fn write(&self, notes: &[Note]) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        if notes.is_empty() {
            return match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let draft = path.with_extension("drained.new");
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        let text: String = notes.iter().map(Note::line).collect();
        file.write_all(text.as_bytes())?;
        fs::rename(draft, path)
    }
}

impl Note {
    fn is_of(&self, service: ServiceKey, server: SocketAddr) -> bool {
        self.service == service && self.server == server
    }

    fn line(&self) -> String {
        let Note { service, server, weight } = self;
        format!("{} {server} {weight}\n", service_argument::word(service))
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let service = service_argument::parse(words.next()?).ok()?;
        let (server, weight) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        words.next().is_none().then_some(Note { service, server, weight })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_recalled_until_it_is_forgotten() {
        let path = std::env::temp_dir().join(format!("ipvs-cli-memory-{}", std::process::id()));
        let memory = Memory { path: Some(path.clone()) };
        let services = ["tcp 192.0.2.1:80", "udp [2001:db8::1]:53", "mark 10", "mark 10 ipv6"];
        let server: SocketAddr = "[2001:db8::11]:80".parse().unwrap();
        let weight = |weight| Weight::new(weight).unwrap();
        for (number, service) in (1..).zip(services) {
            memory.note(service.parse().unwrap(), server, weight(number)).unwrap();
        }
        memory.note(services[0].parse().unwrap(), server, weight(9)).unwrap();
        fs::write(&path, fs::read_to_string(&path).unwrap() + "nonsense\ntcp:192.0.2.1:80 192.0.2.11:80 1 2\n")
            .unwrap();
        for (service, expected) in services.into_iter().zip([9, 2, 3, 4]) {
            assert_eq!(memory.recall(service.parse().unwrap(), server), Some(weight(expected)), "{service}");
        }
        assert_eq!(memory.recall(services[0].parse().unwrap(), "192.0.2.11:80".parse().unwrap()), None);
        for service in services {
            memory.forget(service.parse().unwrap(), server).unwrap();
            assert_eq!(memory.recall(service.parse().unwrap(), server), None);
        }
        assert!(!path.exists(), "no notes, no file");
        assert_eq!(Memory::none().recall(services[0].parse().unwrap(), server), None);
    }
}
