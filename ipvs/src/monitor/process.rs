//! Which process has a netlink socket: proven by `/proc`, or unknown.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::event::Process;
use super::pairing::Names;
#[cfg(target_os = "linux")]
use super::socket::since_boot;

/// The protocol of generic netlink in `/proc/net/netlink`.
const GENERIC: &str = "16";

/// More sockets than that are not remembered.
const MOST: usize = 1024;

/// Looking at all processes may take one part in this number of the time: a flood of unknown
/// sockets must not keep the monitor from its packets.
const SHARE: u32 = 10;

/// Places in `/proc/PID/stat`: the parent, the flags, and when it began, in ticks since the system
/// did.
const PARENT: usize = 1;
const FLAGS: usize = 6;
const BEGUN: usize = 19;
/// Of a tick (`USER_HZ`).
const MILLISECONDS: u128 = 10;

/// `PF_FORKNOEXEC`.
const FORKED_ONLY: u64 = 0x40;

/// A child that is to run another program has done so by then.
const SETTLED: Duration = Duration::from_secs(1);

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
    is_behind: bool,
    /// How long ago the packet was sent, if that is known.
    age: Option<Duration>,
    /// When another process may be looked for while packets wait.
    free: Instant,
}

#[derive(Debug)]
struct Known {
    process: Process,
    /// It has not run a program of its own since it was forked.
    is_forked: bool,
    /// `/proc/PID/stat` up to the parent's number, and when the process began.
    identity: Vec<u8>,
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
        let now = Instant::now();
        Processes { root, sockets, known: HashMap::new(), rested: now, is_behind: false, age: None, free: now }
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

    fn look_for(&mut self, port: u32, earlier: Option<Known>) -> Option<Known> {
        let link = self.link(port)?;
        match earlier {
            // Closed, but a process that was forked from it still has the same socket.
            Some(earlier) if earlier.link == link => Some(earlier),
            Some(earlier) => self.again(earlier, &link).or_else(|| self.find(port, &link)),
            None => self.find(port, &link),
        }
    }

    /// The process that has the descriptor. Most programs leave the port id to the kernel or to
    /// libnl: the process id, or its low 22 bits.
    fn find(&mut self, port: u32, link: &Path) -> Option<Known> {
        let guesses = [port & 0x3f_ffff, port];
        let guessed = guesses.into_iter().filter(|pid| *pid != 0).find_map(|pid| self.known(pid, link, Duration::ZERO));
        if guessed.is_some() {
            return guessed;
        }
        let begun = Instant::now();
        if begun < self.rested {
            return None;
        }
        let entries = fs::read_dir(&self.root).ok()?.flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let found = chosen(pids.filter_map(|pid| self.known(pid, link, SETTLED)));
        let now = Instant::now();
        let pause: Duration = (now - begun).saturating_mul(SHARE);
        self.rested = now + pause;
        found
    }

    /// This process, if it has the descriptor, and had begun so long before the packet was sent.
    fn known(&self, pid: u32, link: &Path, before: Duration) -> Option<Known> {
        let descriptors = fs::read_dir(self.root.join(pid.to_string()).join("fd")).ok()?.flatten();
        let mut paths = descriptors.map(|descriptor| descriptor.path());
        let descriptor = paths.find(|path| is_link(path, link))?;
        let stat = self.read(pid, "stat")?;
        if !self.had_begun(&stat, before) {
            return None;
        }
        let process = self.describe(pid, &stat);
        let is_forked = is_forked(&stat);
        Some(Known { process, is_forked, identity: identity(&stat), descriptor, link: link.to_owned() })
    }

    fn read(&self, pid: u32, file: &str) -> Option<Vec<u8>> {
        fs::read(self.root.join(pid.to_string()).join(file)).ok()
    }

    /// A process that began later, or was forked just before and has not run its own program yet,
    /// has the socket only because it was open when it was forked, or has another with the same
    /// port id.
    fn had_begun(&self, stat: &[u8], before: Duration) -> bool {
        let (Some(age), Some(begun)) = (self.age, number(stat, BEGUN)) else { return true };
        let before = if is_forked(stat) { before } else { Duration::ZERO };
        let sent = since_boot().saturating_sub(age).saturating_sub(before);
        // Both are rounded down.
        u128::from(begun) <= sent.as_millis() / MILLISECONDS
    }

    /// The same process with another socket at the same descriptor, as a program has that opens one
    /// for each request.
    fn again(&self, earlier: Known, link: &Path) -> Option<Known> {
        let is_same = || self.read(earlier.process.pid, "stat").is_some_and(|stat| identity(&stat) == earlier.identity);
        (is_link(&earlier.descriptor, link) && is_same()).then(|| Known { link: link.to_owned(), ..earlier })
    }

    fn describe(&self, pid: u32, stat: &[u8]) -> Process {
        let read = |pid, file| self.read(pid, file);
        let name = |pid| {
            let bytes = read(pid, "comm")?;
            Some(String::from_utf8_lossy(bytes.strip_suffix(b"\n").unwrap_or(&bytes)).into_owned())
        };
        let parent = number(stat, PARENT).and_then(|parent| u32::try_from(parent).ok()).filter(|parent| *parent != 0);
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
        let begun = Instant::now();
        if self.is_behind && begun < self.free {
            return None;
        }
        let earlier = self.known.remove(&port);
        let found = self.look_for(port, earlier);
        let now = Instant::now();
        self.free = now + (now - begun);
        if self.known.len() >= MOST {
            self.known.clear();
        }
        Some(self.known.entry(port).insert_entry(found?).get().process.clone())
    }

    fn about(&mut self, is_behind: bool, age: Option<Duration>) {
        (self.is_behind, self.age) = (is_behind, age);
    }
}

/// Nothing is asked about times there.
#[cfg(not(target_os = "linux"))]
fn since_boot() -> Duration {
    Duration::ZERO
}

/// Of the processes that have a socket, the first that runs a program of its own. A child that does
/// not yet, which may take long on a busy machine, has all sockets of its parent.
fn chosen(holders: impl Iterator<Item = Known>) -> Option<Known> {
    let mut forked = None;
    for holder in holders {
        if !holder.is_forked {
            return Some(holder);
        }
        forked.get_or_insert(holder);
    }
    forked
}

fn is_forked(stat: &[u8]) -> bool {
    number(stat, FLAGS).is_some_and(|flags| flags & FORKED_ONLY != 0)
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

/// A number in the text of `/proc/PID/stat`, counted from the state behind the name, which is 0.
fn number(stat: &[u8], place: usize) -> Option<u64> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    std::str::from_utf8(&stat[end + 1..]).ok()?.split_ascii_whitespace().nth(place)?.parse().ok()
}

/// What no other process has, in the text of `/proc/PID/stat`: number, name, parent, and when it
/// began.
fn identity(stat: &[u8]) -> Vec<u8> {
    let name = &stat[..stat.iter().rposition(|byte| *byte == b')').unwrap_or(0)];
    let numbers = [PARENT, BEGUN].map(|place| number(stat, place).unwrap_or_default().to_ne_bytes());
    [name, &numbers.concat()].concat()
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
    fn a_process_that_began_later_did_not_send_it() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mut processes = Processes::new();
        let stat = |pid: u32| fs::read(format!("/proc/{pid}/stat")).unwrap();
        let (own, others) = (stat(std::process::id()), stat(child.id()));
        processes.about(false, Some(Duration::ZERO));
        assert!(processes.had_begun(&own, SETTLED) && processes.had_begun(&others, Duration::ZERO));
        processes.about(false, Some(Duration::from_secs(599)));
        assert!(!processes.had_begun(&others, Duration::ZERO));
        child.kill().unwrap();
        child.wait().unwrap();
        // Forked a moment ago, and has not run its own program.
        let now = since_boot().as_secs() * 100;
        let forked = |flags: u64| format!("1 (a) S 1 1 1 0 -1 {flags} 1 2 3 4 5 6 7 8 20 0 1 0 {now} 9\n").into_bytes();
        processes.about(false, Some(Duration::ZERO));
        for (flags, before, has_begun) in [(0x40, SETTLED, false), (0x40, Duration::ZERO, true), (0, SETTLED, true)] {
            assert_eq!(processes.had_begun(&forked(flags), before), has_begun, "{flags:#x}");
        }
    }

    #[test]
    fn a_child_that_runs_no_program_of_its_own_yet_has_the_sockets_of_its_parent() {
        let holder = |pid, is_forked| {
            let process = Process::new(pid, "x");
            Known { process, is_forked, identity: Vec::new(), descriptor: PathBuf::new(), link: PathBuf::new() }
        };
        let chosen = |holders: &[(u32, bool)]| {
            chosen(holders.iter().map(|(pid, is_forked)| holder(*pid, *is_forked))).map(|known| known.process.pid)
        };
        assert_eq!(chosen(&[(1, true), (2, true), (3, false), (4, false)]), Some(3));
        assert_eq!(chosen(&[(1, true), (2, true)]), Some(1));
        assert_eq!(chosen(&[]), None);
    }

    #[test]
    fn a_process_is_distinguished_from_its_successor() {
        let stat = |name: &str, began: u32| {
            let fields = "4711 4711 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0";
            format!("4711 ({name}) S 42 {fields} {began} 9 10 11\n").into_bytes()
        };
        assert_eq!((number(&stat("a) b", 100), PARENT), number(&stat("a", 100), BEGUN)), (Some(42), Some(100)));
        assert_ne!(identity(&stat("a", 100)), identity(&stat("a", 101)));
        assert_ne!(identity(&stat("a", 100)), identity(&stat("b", 100)));
        let own = || identity(&fs::read("/proc/self/stat").unwrap());
        assert!(own() == own() && own().len() > 10);
    }

    #[test]
    fn the_parent_is_found_whatever_the_name_is() {
        assert_eq!(number(b"4711 (ip) 1 (vs) S 42 4711 0", PARENT), Some(42));
        assert_eq!(number(b"4711 (ipvsadm) S 1 4711", PARENT), Some(1));
        assert_eq!(number(b"4711", PARENT), None);
    }
}
