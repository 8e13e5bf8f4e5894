//! Entries for the kernel's connection table, by way of its backup sync daemon.
//!
//! The kernel takes no other orders for a single connection. The daemon runs only as long as it is
//! needed: on the loopback, with a group, port and sync id of chance, so that nothing leaves this
//! machine and no other daemon is fed. What ran before runs again afterwards; a note in the state
//! directory sees to that if this program is killed.

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ipvs::sync::{Datagram, Entry, ReceiveError, Receiver, Sender};
use ipvs::sysctl::{Sysctl, SysctlValue, Sysctls};
use ipvs::{Client, Daemon, DaemonRole, Errno, Error, InterfaceName, Report};
use ipvs_text::escape;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::state::daemons::DaemonNote;
use crate::state::file::FileError;

/// In bytes: 255 entries of IPv6, with data of a persistence engine.
const LONGEST: u16 = 32_000;

/// How long the daemon may leave a datagram unread. It needs a millisecond.
const PATIENCE: Duration = Duration::from_secs(10);

/// The option of `conns` that makes a process a guard.
const GUARD: &str = "--guard";

/// How long a datagram may take by the loopback, and how often one is sent before any has come.
const ON_THE_WAY: Duration = Duration::from_millis(400);
const PROBES: usize = 5;

/// How often another program may start or stop the backup daemon just then.
const ATTEMPTS: usize = 3;

/// Why entries can't be brought into the table.
#[derive(Debug)]
pub(crate) enum InjectionError {
    /// The kernel refused, or could not be asked.
    Kernel(Error),
    /// A note could not be kept.
    Note(FileError),
    /// Something else, in a sentence.
    Other(String),
}

impl fmt::Display for InjectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InjectionError::Kernel(error) => write!(f, "{}", Report::new(error)),
            InjectionError::Note(error) => {
                write!(f, "the sync daemon can't be noted, so that it is restored if this program is killed: {error}")
            }
            InjectionError::Other(message) => f.write_str(message),
        }
    }
}

impl From<Error> for InjectionError {
    fn from(error: Error) -> Self {
        InjectionError::Kernel(error)
    }
}

/// A backup daemon of this program's own, and what is to be sent to it. Its owner holds the
/// lock of the network namespace.
///
/// When it is dropped, the daemons are as they were before.
#[derive(Debug)]
pub(crate) struct Injector {
    client: Client,
    directory: PathBuf,
    /// Which sockets there are, and what waits in them.
    sockets: PathBuf,
    note: DaemonNote,
    sender: Sender,
    datagram: Datagram,
    _guard: Guard,
    is_over: bool,
}

impl Injector {
    /// Starts the daemon. The note goes to `directory`; `proc` is `/proc`.
    pub(crate) fn start(client: &Client, directory: &Path, proc: &Path) -> Result<Self, InjectionError> {
        let temporary = of_chance()?;
        let mut client = client.try_clone()?;
        forwards(&mut client)?;
        let sender = sender(&temporary)?;
        let datagram = Datagram::new(temporary.sync_id as u8, LONGEST);
        let guard = Guard::start(directory, proc);
        let note = begin(&mut client, directory, temporary)?;
        let (directory, sockets) = (directory.to_owned(), proc.join("thread-self/net/udp"));
        Ok(Injector { client, directory, sockets, note, sender, datagram, _guard: guard, is_over: false })
    }

    /// Adds an entry to what is sent.
    pub(crate) fn push(&mut self, entry: &Entry) -> Result<(), InjectionError> {
        let unsendable = |error: ipvs::sync::EncodeError| InjectionError::Other(error.to_string());
        if !self.datagram.push(entry).map_err(unsendable)? {
            self.send()?;
            self.datagram.push(entry).map_err(unsendable)?;
        }
        Ok(())
    }

    /// Sends what is left, and waits until the daemon has read all.
    pub(crate) fn flush(&mut self) -> Result<(), InjectionError> {
        if !self.datagram.is_empty() {
            self.send()?;
        }
        self.wait()?;
        // What it has read it enters at once: 255 entries take less than a millisecond.
        thread::sleep(Duration::from_millis(20));
        Ok(())
    }

    /// One datagram at a time: it fits in any receive buffer, so that none is lost.
    fn send(&mut self) -> Result<(), InjectionError> {
        self.wait()?;
        let sent = self.sender.send(&self.datagram);
        self.datagram.clear();
        sent.map_err(|error| InjectionError::Other(format!("the loopback interface: {error}")))
    }

    fn wait(&self) -> Result<(), InjectionError> {
        let started = Instant::now();
        loop {
            match unread(&self.sockets, &self.note.temporary).map_err(InjectionError::Other)? {
                Some(0) => return Ok(()),
                None => {
                    return Err(InjectionError::Other(
                        "another program has stopped the sync daemon by which connections are brought in".to_owned(),
                    ));
                }
                Some(_) if started.elapsed() > PATIENCE => {
                    let seconds = PATIENCE.as_secs();
                    let message = format!("the kernel's sync daemon has read nothing for {seconds} s");
                    return Err(InjectionError::Other(message));
                }
                Some(_) => thread::sleep(Duration::from_micros(200)),
            }
        }
    }

    /// Makes the daemons as they were.
    pub(crate) fn finish(mut self) -> Result<(), InjectionError> {
        self.is_over = true;
        end(&mut self.client, &self.directory, &self.note)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.dismiss();
    }
}

impl Drop for Injector {
    fn drop(&mut self) {
        if !self.is_over {
            // What made it end is reported; the note stays, if this fails.
            let _ = end(&mut self.client, &self.directory, &self.note);
        }
    }
}

/// A process that waits for the end of this one. If this one was killed, it makes the daemons as
/// they were, in the same network namespace.
#[derive(Debug)]
struct Guard(Option<Child>);

impl Guard {
    /// Without a guard, the next ipvs-cli that takes the lock does its work.
    fn start(directory: &Path, proc: &Path) -> Self {
        let mut command = Command::new(proc.join("self/exe"));
        command.arg0("ipvs-cli").arg("--state-dir").arg(directory).args(["conns", GUARD]);
        // The end of its input is the end of this process. A key that interrupts this one is not
        // for it.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Guard(command.spawn().ok())
    }

    /// There is nothing left to do. It must not take the lock that the next program may want.
    fn dismiss(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Finds out whether such a daemon could do its work, and starts none.
pub(crate) fn check(client: &mut Client) -> Result<(), InjectionError> {
    forwards(client)?;
    sender(&of_chance()?)?;
    mixed_families(client).map_or(Ok(()), Err)
}

/// Does this director forward packets while a backup daemon runs?
fn forwards(client: &mut Client) -> Result<(), InjectionError> {
    if !Sysctls::new().get(Sysctl::BackupOnly).is_ok_and(|value| value == SysctlValue::Number(1)) {
        return Ok(());
    }
    let table = client.table_without_statistics()?;
    let servers = table.services().flat_map(|entry| entry.destinations());
    let own = servers.map(|state| state.destination.address.ip()).find(|ip| is_local(*ip));
    // With 0, two directors that are each other's real servers send packets to and fro.
    let remedy = match (own, backup(client)?) {
        (None, _) => "None of the real servers is this machine: `sysctl -w net.ipv4.vs.backup_only=0` allows the \
            command"
            .to_owned(),
        (Some(ip), None) => format!(
            "Keep the setting, as this director seems to be a real server, too ({ip}). While no backup sync daemon \
             runs, it has no effect: set it to 0 for this command, and to 1 before such a daemon is started"
        ),
        (Some(ip), Some(_)) => format!(
            "Keep the setting, as this director seems to be a real server, too ({ip}): with 0 it would schedule again \
             what another director sends to it"
        ),
    };
    Err(InjectionError::Other(format!(
        "backup_only=1: this director forwards no packet while a backup sync daemon runs, by which connections are \
         changed; nothing was changed. {remedy}"
    )))
}

/// Also true with `ip_nonlocal_bind`: then it is not known.
fn is_local(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

/// By the loopback, which has let a datagram pass.
fn sender(daemon: &Daemon) -> Result<Sender, InjectionError> {
    probe(daemon).map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::NetworkUnreachable => ". `ip link set lo up` brings it up",
            io::ErrorKind::PermissionDenied | io::ErrorKind::TimedOut => {
                ". The firewall must accept UDP to 239.192.0.0/14 on lo"
            }
            _ => "",
        };
        InjectionError::Other(format!(
            "nothing can be sent by the loopback interface, by which connections are changed: {error}; nothing was \
             changed{remedy}"
        ))
    })
}

fn probe(daemon: &Daemon) -> io::Result<Sender> {
    let sender = Sender::open(daemon)?;
    // No daemon has this group yet.
    let mut receiver = Receiver::open(daemon)?;
    receiver.set_timeout(Some(ON_THE_WAY))?;
    for _ in 0..PROBES {
        sender.send(&Datagram::new(daemon.sync_id as u8, LONGEST))?;
        match receiver.receive() {
            Err(ReceiveError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(ReceiveError::Io(error)) => return Err(error),
            _ => return Ok(sender),
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "what is sent does not arrive"))
}

/// Makes the daemons as a killed program had found them. Was there anything to do?
pub(crate) fn recover(client: &mut Client, directory: &Path) -> Result<Option<DaemonNote>, InjectionError> {
    let Some(note) = DaemonNote::read(directory).map_err(InjectionError::Note)? else { return Ok(None) };
    end(client, directory, &note)?;
    Ok(Some(note))
}

/// A daemon that no other program has.
fn of_chance() -> Result<Daemon, InjectionError> {
    let mut random = [0; 6];
    // So few bytes come as a whole.
    getrandom(&mut random, GetRandomFlags::empty()).map_err(|error| InjectionError::Other(error.to_string()))?;
    let [group0, group1, group2, port0, port1, sync_id] = random;
    // Of an organisation's own (RFC 2365).
    let group: IpAddr = Ipv4Addr::new(239, 192 | (group0 & 3), group1, group2).into();
    // With sync_ports, the daemon has up to 64 in a row.
    let port = 20_000 + u16::from_be_bytes([port0, port1]) % 40_000;
    // Sync id 0 would take what is sent to any.
    let daemon = Daemon::new(DaemonRole::Backup, InterfaceName::LOOPBACK).with_sync_id(sync_id.max(1).into());
    Ok(daemon.with_max_len(LONGEST).with_group(group).with_port(port).with_ttl(1))
}

/// Starts it, in the place of the one that runs.
fn begin(client: &mut Client, directory: &Path, temporary: Daemon) -> Result<DaemonNote, InjectionError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let note = DaemonNote { temporary, before: backup(client)? };
        note.write(directory).map_err(InjectionError::Note)?;
        let started = match note.before {
            Some(_) => stop(client).and_then(|()| client.start_daemon(&temporary)),
            None => client.start_daemon(&temporary),
        };
        let error = match started {
            Ok(()) => return Ok(note),
            // Such as keepalived, just now.
            Err(error) if error.errno() == Some(Errno::EEXIST) && attempt < ATTEMPTS => continue,
            Err(error) => error,
        };
        end(client, directory, &note)?;
        return Err(match error.errno() {
            Some(Errno::EINVAL) => mixed_families(client).unwrap_or(InjectionError::Kernel(error)),
            _ => InjectionError::Kernel(error),
        });
    }
}

/// Stops the temporary daemon and starts the one before, unless another program has done either.
fn end(client: &mut Client, directory: &Path, note: &DaemonNote) -> Result<(), InjectionError> {
    let mut running = backup(client)?;
    if running.is_some_and(|daemon| is_same(&daemon, &note.temporary)) {
        stop(client)?;
        running = None;
    }
    if let (Some(before), None) = (&note.before, running) {
        match client.start_daemon(before) {
            Err(error) if error.errno() == Some(Errno::EEXIST) => {}
            started => started.map_err(|error| {
                let interface = before.interface;
                let error = Report::new(&error);
                InjectionError::Other(format!("the backup sync daemon of {interface} can't be started again: {error}"))
            })?,
        }
    }
    DaemonNote::remove(directory).map_err(InjectionError::Note)
}

fn backup(client: &mut Client) -> Result<Option<Daemon>, Error> {
    Ok(client.daemons()?.into_iter().find(|daemon| daemon.role == DaemonRole::Backup))
}

fn stop(client: &mut Client) -> Result<(), Error> {
    match client.stop_daemon(DaemonRole::Backup) {
        Err(error) if error.errno() == Some(Errno::ESRCH) => Ok(()),
        stopped => stopped,
    }
}

/// The kernel may have corrected the length.
fn is_same(running: &Daemon, other: &Daemon) -> bool {
    let of = |daemon: &Daemon| (daemon.interface, daemon.sync_id, daemon.group, daemon.port);
    of(running) == of(other)
}

/// A real server of another family than its service: the kernel starts no sync daemon then.
fn mixed_families(client: &mut Client) -> Option<InjectionError> {
    let table = client.table_without_statistics().ok()?;
    table.services().find_map(|entry| {
        let key = entry.service().key();
        let is_other = |at: std::net::SocketAddr| ipvs::Family::of(at.ip()) != key.family();
        let server = entry.destinations().map(|state| state.destination.address).find(|at| is_other(*at))?;
        Some(InjectionError::Other(format!(
            "the kernel starts no sync daemon, by which connections are brought in, while {key} has the real server \
             {server} of the other address family; nothing was changed"
        )))
    })
}

/// The bytes that wait for the daemon in its socket; `None`: it has no socket.
fn unread(sockets: &Path, daemon: &Daemon) -> Result<Option<u64>, String> {
    let Some(IpAddr::V4(group)) = daemon.group else { return Ok(None) };
    // Its bytes in the order of the network, read as a number.
    let group = u32::from_ne_bytes(group.octets());
    let own = format!("{group:08X}:{:04X}", daemon.port.unwrap_or_default());
    let text = fs::read_to_string(sockets).map_err(|error| format!("{}: {error}", escape::path(sockets)))?;
    Ok(text.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        // Local and remote address, state, and what waits to be sent and to be read.
        let (local, queues) = (words.next()?, words.nth(2)?);
        let waiting = queues.split_once(':').and_then(|(_, waiting)| u64::from_str_radix(waiting, 16).ok());
        (local == own).then_some(waiting).flatten()
    }))
}
