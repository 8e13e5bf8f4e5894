//! Which process has a netlink socket: proven by `/proc`, or unknown.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::event::Process;
use super::pairing::Names;

/// The protocol of generic netlink in `/proc/net/netlink`.
const GENERIC: &str = "16";

/// More sockets than that are not remembered.
const MOST: usize = 1024;

/// Looking at all processes may take one part in this number of the time: a flood of unknown
/// sockets must not keep the monitor from its packets.
const SHARE: u32 = 10;

/// What `loginuid` holds for processes of no login session.
const NOBODY: u32 = u32::MAX;

/// The processes of this machine, as far as this one may see them.
#[derive(Debug)]
pub(super) struct Processes {
    root: PathBuf,
    /// `/proc/net/netlink` of the network namespace that is watched.
    sockets: Option<File>,
    known: HashMap<u32, Known>,
    /// When all processes may be looked at again.
    rested: Instant,
}

#[derive(Debug)]
struct Known {
    process: Process,
    descriptor: PathBuf,
    /// What the descriptor is a link to, `socket:[4711]`: no other socket has the same until the
    /// numbers start again at 0.
    link: PathBuf,
}

impl Processes {
    /// With the sockets of this thread's network namespace.
    pub(super) fn new() -> Self {
        Self::below(PathBuf::from("/proc"), File::open("/proc/thread-self/net/netlink").ok())
    }

    fn below(root: PathBuf, sockets: Option<File>) -> Self {
        Processes { root, sockets, known: HashMap::new(), rested: Instant::now() }
    }

    /// The link of the descriptor of the socket with this port id.
    fn link(&mut self, port: u32) -> Option<PathBuf> {
        let sockets = self.sockets.as_mut()?;
        sockets.seek(SeekFrom::Start(0)).ok()?;
        let mut text = String::new();
        sockets.read_to_string(&mut text).ok()?;
        let inode = inode(&text, port)?;
        Some(PathBuf::from(format!("socket:[{inode}]")))
    }

    /// The process that has the descriptor. Most programs leave the port id to the kernel or to
    /// libnl: the process id, or its low 22 bits.
    fn find(&mut self, port: u32, link: &Path) -> Option<Known> {
        let guesses = [port & 0x3f_ffff, port];
        let guessed = guesses.into_iter().filter(|pid| *pid != 0).find_map(|pid| self.known(pid, link));
        if guessed.is_some() {
            return guessed;
        }
        let begun = Instant::now();
        if begun < self.rested {
            return None;
        }
        let entries = fs::read_dir(&self.root).ok()?.flatten();
        let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let found = pids.find_map(|pid| self.known(pid, link));
        let now = Instant::now();
        let pause: Duration = (now - begun).saturating_mul(SHARE);
        self.rested = now + pause;
        found
    }

    fn known(&self, pid: u32, link: &Path) -> Option<Known> {
        let descriptors = fs::read_dir(self.root.join(pid.to_string()).join("fd")).ok()?.flatten();
        let mut paths = descriptors.map(|descriptor| descriptor.path());
        let descriptor = paths.find(|path| is_link(path, link))?;
        Some(Known { process: self.describe(pid), descriptor, link: link.to_owned() })
    }

    fn describe(&self, pid: u32) -> Process {
        let read = |pid: u32, file: &str| fs::read(self.root.join(pid.to_string()).join(file)).ok();
        let name = |pid| {
            let bytes = read(pid, "comm")?;
            Some(String::from_utf8_lossy(bytes.strip_suffix(b"\n").unwrap_or(&bytes)).into_owned())
        };
        let parent = read(pid, "stat").and_then(|stat| parent(&stat)).filter(|parent| *parent != 0);
        let login_uid = read(pid, "loginuid").and_then(|text| std::str::from_utf8(&text).ok()?.trim().parse().ok());
        Process {
            pid,
            name: name(pid).unwrap_or_default(),
            parent: parent.and_then(name),
            login_uid: login_uid.filter(|uid| *uid != NOBODY),
        }
    }
}

impl Names for Processes {
    fn process(&mut self, port: u32) -> Option<Process> {
        // A socket keeps its port id for good.
        if let Some(known) = self.known.get(&port).filter(|known| is_link(&known.descriptor, &known.link)) {
            return Some(known.process.clone());
        }
        self.known.remove(&port);
        let link = self.link(port)?;
        let found = self.find(port, &link)?;
        if self.known.len() >= MOST {
            self.known.clear();
        }
        Some(self.known.entry(port).insert_entry(found).get().process.clone())
    }
}

fn is_link(path: &Path, to: &Path) -> bool {
    fs::read_link(path).is_ok_and(|link| link == to)
}

/// The inode of the socket of generic netlink with this port id, in the text of
/// `/proc/net/netlink`.
fn inode(text: &str, port: u32) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (protocol, id, inode) = (fields.nth(1)?, fields.next()?, fields.nth(6)?);
        (protocol == GENERIC && id.parse() == Ok(port)).then(|| inode.parse().ok())?
    })
}

/// The parent's number in the text of `/proc/PID/stat`. The name before it is in parentheses, and
/// may hold others.
fn parent(stat: &[u8]) -> Option<u32> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    std::str::from_utf8(&stat[end + 1..]).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inode_is_that_of_the_protocol_and_port() {
        let text = "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n\
            000000006cdc4aa2 0   775        00000000 0        0        0     2        0        1111   \n\
            000000006cdc4aa3 16  775        00000000 0        0        0     2        0        2222   \n\
            000000006cdc4aa4 16  3938452230 00000011 0        0        0     2        0        3333   \n\
            16 775\n";
        assert_eq!(inode(text, 775), Some(2222));
        assert_eq!(inode(text, 3_938_452_230), Some(3333));
        assert_eq!(inode(text, 776), None);
    }

    #[test]
    fn the_parent_is_found_whatever_the_name_is() {
        assert_eq!(parent(b"4711 (ip) 1 (vs) S 42 4711 0"), Some(42));
        assert_eq!(parent(b"4711 (ipvsadm) S 1 4711"), Some(1));
        assert_eq!(parent(b"4711"), None);
    }
}
