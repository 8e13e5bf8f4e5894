//! An in-memory kernel that speaks the kernel's bytes, over a [`Table`].

#[cfg(test)]
pub(crate) mod log;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(test)]
use self::log::{Event, Log};
use crate::client::Client;
use crate::command::Command;
use crate::error::Errno;
use crate::kernel::Behaviors;
use crate::service::Family;
use crate::table::{Table, TableEntry};
use crate::wire::sockopt::{self, Question};
use crate::wire::{self, Body, Header, Read, Request, WireError};

/// The number that the fake's family has at first.
pub(crate) const FAMILY: u16 = 0x1f;

/// As many bytes of a dump as the kernel puts into a datagram.
const CHUNK: usize = 32 << 10;

/// One socket of it.
#[derive(Debug)]
pub(crate) struct Fake {
    /// That of all sockets.
    table: Arc<Mutex<Table>>,
    /// The number of the family, which changes when the module is loaded again; 0 without the module.
    family: Arc<AtomicU16>,
    /// The kernel that the table is of, to be asked what a table does not tell.
    original: Option<Arc<Mutex<Client>>>,
    replies: VecDeque<Reply>,
    #[cfg(test)]
    pub(crate) log: Log,
}

/// A datagram that waits to be received.
#[derive(Debug)]
struct Reply {
    datagram: Vec<u8>,
    /// Is it part of a dump? The kernel begins no other on the socket before the end of one was received.
    of_dump: bool,
}

impl Fake {
    pub(crate) fn new(table: Table) -> Self {
        Fake {
            table: Arc::new(Mutex::new(table)),
            family: Arc::new(AtomicU16::new(FAMILY)),
            original: None,
            replies: VecDeque::new(),
            #[cfg(test)]
            log: Log::default(),
        }
    }

    pub(crate) fn with_original(table: Table, original: Client) -> Self {
        Fake { original: Some(Arc::new(Mutex::new(original))), ..Self::new(table) }
    }

    /// Another socket of the same kernel.
    pub(crate) fn another(&self) -> Self {
        Fake {
            table: Arc::clone(&self.table),
            family: Arc::clone(&self.family),
            original: self.original.clone(),
            replies: VecDeque::new(),
            #[cfg(test)]
            log: self.log.another(),
        }
    }

    /// Unloads the module, and with it the table; loads it again if the family is given a number other than 0.
    #[cfg(test)]
    pub(crate) fn reload(&self, family: u16) {
        *self.table() = Table::new();
        self.family.store(family, Ordering::Relaxed);
    }

    fn family(&self) -> u16 {
        self.family.load(Ordering::Relaxed)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // A table is never left half changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn behaviors(&self) -> Behaviors {
        self.table().behaviors()
    }

    /// Runs all requests of a datagram in order; the answers wait to be received.
    pub(crate) fn send(&mut self, datagram: &[u8]) {
        for message in wire::messages(datagram) {
            // As in the kernel, a message of a wrong length ends the datagram in silence.
            let Ok((header, Body::Family { command, attrs })) = message else { return };
            if !header.is_for_controller() && header.family != self.family() {
                self.reply(|out| wire::encode_error(out, header.sequence, Errno::ENOENT.raw()));
                continue;
            }
            let answer = wire::decode_request(&header, command, attrs)
                .map_err(errno_of)
                .and_then(|request| request.ok_or(Errno::EOPNOTSUPP))
                .and_then(|request| self.run(&header, request));
            match answer {
                Err(errno) => self.reply(|out| wire::encode_error(out, header.sequence, errno.raw())),
                Ok(()) if header.wants_ack() => self.reply(|out| wire::encode_ack(out, header.sequence)),
                Ok(()) => {}
            }
        }
    }

    /// Answers a question of the older interface, in the question's place.
    pub(crate) fn ask(&self, option: i32, buffer: &mut [u8]) -> Result<(), Errno> {
        if self.family() == 0 {
            return Err(Errno::ENOPROTOOPT);
        }
        let table = self.table();
        // Newest first, as in a dump.
        match Question::read(option, buffer).ok_or(Errno::EINVAL)? {
            Question::Info => {
                let is_told = |entry: &&TableEntry| entry.service().key().family() == Family::V4;
                sockopt::put_info(buffer, table.info(), table.services().filter(is_told).count());
            }
            Question::Services => {
                let all = table.services().rev().map(|entry| (entry.state(), entry.destinations().len()));
                sockopt::put_services(buffer, all);
            }
            Question::Service(key) => {
                let entry = table.service(&key).ok_or(Errno::ESRCH)?;
                sockopt::put_service(buffer, entry.state(), entry.destinations().len());
            }
            Question::Destinations(key) => {
                #[cfg(test)]
                self.log.push(Event::AskedDestinations(key));
                let destinations = table.service(&key).ok_or(Errno::ESRCH)?.destinations();
                sockopt::put_destinations(buffer, destinations.rev());
            }
            Question::Timeouts => sockopt::put_timeouts(buffer, &table.timeouts()),
            Question::Daemons => sockopt::put_daemons(buffer, table.daemons()),
        }
        Ok(())
    }

    /// Takes the next datagram of the kernel and returns its length; `None` where a socket would wait.
    pub(crate) fn receive(&mut self, buffer: &mut Vec<u8>) -> Option<usize> {
        *buffer = self.replies.pop_front()?.datagram;
        Some(buffer.len())
    }

    fn reply(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        write(&mut out);
        self.replies.push_back(Reply { datagram: out, of_dump: false });
    }

    fn run(&mut self, header: &Header, request: Request) -> Result<(), Errno> {
        #[cfg(test)]
        self.log.push_read(&request);
        let reply = Header { family: FAMILY, flags: 0, sequence: header.sequence };
        match request {
            Request::Resolve => match self.family() {
                0 => return Err(Errno::ENOENT),
                family => self.reply(|out| wire::encode_family_id(out, header.sequence, family)),
            },
            Request::Change(command) => {
                self.change(&command)?;
                #[cfg(test)]
                self.log.push(Event::Done(command));
            }
            Request::Read(Read::Info) => {
                let info = self.table().info();
                self.reply(|out| wire::encode_info(out, reply, info));
            }
            Request::Read(Read::Timeouts) => {
                let timeouts = self.table().timeouts();
                self.reply(|out| wire::encode_timeouts(out, reply, &timeouts));
            }
            Request::Read(Read::Service(key)) => {
                let state = *self.table().service(&key).ok_or(Errno::ESRCH)?.state();
                self.reply(|out| wire::encode_service(out, reply, &state));
            }
            Request::Read(_) if self.replies.iter().any(|reply| reply.of_dump) => return Err(Errno::EBUSY),
            Request::Read(dump) => self.dump(header.sequence, dump),
        }
        Ok(())
    }

    fn change(&mut self, command: &Command) -> Result<(), Errno> {
        let mut table = self.table();
        if let Some(original) = &self.original {
            // What can't be asked is not refused: the kernel itself will answer.
            let _ = original.lock().unwrap_or_else(PoisonError::into_inner).probe(&mut table, [command]);
        }
        table.apply(command).map_err(|refusal| refusal.errno)
    }

    fn dump(&mut self, sequence: u32, dump: Read) {
        let header = Header { family: FAMILY, flags: wire::REPLY, sequence };
        let mut chunks = Chunks { done: VecDeque::new(), current: Vec::new() };
        let table = self.table();
        match dump {
            // Newest first, as in a bucket of the kernel's hash table.
            Read::Services => {
                for entry in table.services().rev() {
                    chunks.add(|out| wire::encode_service(out, header, entry.state()));
                }
            }
            Read::Destinations(key) => {
                let destinations = table.service(&key).into_iter().flat_map(|entry| entry.destinations().rev());
                for state in destinations {
                    chunks.add(|out| wire::encode_destination(out, header, state));
                }
            }
            Read::Daemons => {
                for daemon in table.daemons() {
                    chunks.add(|out| wire::encode_daemon(out, header, daemon));
                }
            }
            Read::Service(_) | Read::Timeouts | Read::Info => {}
        }
        drop(table);
        let mut done = Vec::new();
        wire::encode_done(&mut done, sequence);
        let datagrams = chunks.finish().into_iter().chain([done]);
        self.replies.extend(datagrams.map(|datagram| Reply { datagram, of_dump: true }));
    }
}

/// Messages gathered into datagrams of a size.
struct Chunks {
    done: VecDeque<Vec<u8>>,
    current: Vec<u8>,
}

impl Chunks {
    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.current.len();
        write(&mut self.current);
        if self.current.len() > CHUNK {
            let overflow = self.current.split_off(before);
            self.done.push_back(std::mem::replace(&mut self.current, overflow));
        }
    }

    fn finish(mut self) -> VecDeque<Vec<u8>> {
        if !self.current.is_empty() {
            self.done.push_back(self.current);
        }
        self.done
    }
}

/// What the kernel answers to a message that it can't understand.
fn errno_of(error: WireError) -> Errno {
    match error {
        WireError::Value { attribute, .. } if attribute.ends_with("_AF") || attribute.ends_with("ADDR_FAMILY") => {
            Errno::EAFNOSUPPORT
        }
        _ => Errno::EINVAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends the requests of wire/negligent.txt; tests/kernel/tests/negligent.rs sends the same to a kernel.
    #[test]
    fn malformed_requests_are_answered_as_by_the_kernel() {
        let mut fake = Fake::new(Table::new());
        for line in include_str!("wire/negligent.txt").lines().filter(|line| !line.starts_with('#')) {
            let [name, dump, hex, errno] = line.split(" | ").collect::<Vec<_>>().try_into().unwrap();
            fake.send(&request(dump == "dump", hex));
            let mut reply = Vec::new();
            fake.receive(&mut reply).unwrap();
            let (_, body) = wire::messages(&reply).next().unwrap().unwrap();
            let Body::Ack(code) = body else { panic!("{name}: {body:?}") };
            let answer = if code == 0 { "ok".into() } else { format!("{:?}", Errno::new(code)) };
            assert_eq!(answer, errno.split(" where ").next().unwrap(), "{name}");
        }
    }

    fn request(dump: bool, hex: &str) -> Vec<u8> {
        const REQUEST_ACK: u16 = 5;
        const DUMP: u16 = 0x300;
        let body = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
        let mut message = Vec::new();
        message.extend((16 + hex.len() as u32 / 2).to_ne_bytes());
        message.extend(FAMILY.to_ne_bytes());
        message.extend((REQUEST_ACK | if dump { DUMP } else { 0 }).to_ne_bytes());
        message.extend([0; 8]);
        message.extend(body);
        message
    }
}
