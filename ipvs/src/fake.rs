//! An in-memory kernel that speaks the kernel's bytes, over a [`Table`].

mod fault;
#[cfg(test)]
pub(crate) mod log;
mod script;

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::io;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::quality::FixedState;

pub use self::fault::Fault;
#[cfg(test)]
use self::log::{Event, Log};
use self::script::Script;
use crate::command::Command;
use crate::errno::Errno;
use crate::exchange::Datagrams;
use crate::kernel::Behaviors;
use crate::service::Family;
use crate::table::{Table, TableEntry};
use crate::wire::sockopt::{self, Question};
use crate::wire::{self, Body, Header, Read, Request, WireError};

/// The number that the fake's family has at first.
pub(crate) const FAMILY: u16 = 0x1f;

/// One socket of it.
#[derive(Debug)]
pub(crate) struct Fake {
    /// That of all sockets.
    world: Arc<Mutex<World>>,
    /// The number of the family, which changes when the module is loaded again; 0 without the
    /// module.
    family: Arc<AtomicU16>,
    /// The kernel of the table, which knows what a table does not show.
    original: Option<Original>,
    replies: VecDeque<Reply>,
    #[cfg(test)]
    pub(crate) log: Log,
    /// The dump that is under way.
    dump: Option<Dump>,
    datagrams: Datagrams,
    /// What a test makes go wrong, of this socket and those that were made from it.
    script: Arc<Mutex<Script>>,
    /// What comes before all that the kernel has to say.
    held: VecDeque<Vec<u8>>,
    /// A loss was reported, and replies that waited then still do: until they are received, all
    /// that comes is lost.
    is_congested: bool,
    /// Of the last request that was sent.
    sequence: u32,
    /// What others do before each call, between the datagrams of a dump as well.
    #[cfg(test)]
    pub(crate) others: Option<Others>,
    /// How many requests a datagram has at most.
    #[cfg(test)]
    pub(crate) window: usize,
    /// More calls than this are a loop without an end.
    #[cfg(test)]
    pub(crate) most_calls: usize,
    #[cfg(test)]
    calls: usize,
}

/// What the sockets of a network namespace see, and what makes their dumps incomplete.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) table: Table,
    /// The tables of other network namespaces: up to Linux 6.12 their services count in the places
    /// of a dump.
    pub(crate) elsewhere: Vec<Table>,
    /// Services stand in the order of their hashes with this number, as in the kernel: another
    /// number is another order, as when Linux 7.2 gives its table more buckets. `None`: newest
    /// first, as in one bucket.
    pub(crate) seed: Option<u64>,
}

impl World {
    /// The services of this namespace, in the order of a dump.
    #[cfg(test)]
    pub(crate) fn order(&self) -> Vec<crate::service::ServiceKey> {
        self.places().into_iter().flatten().map(|entry| entry.service().key()).collect()
    }

    /// The places of a dump of services; `None` is a service of another namespace.
    fn places(&self) -> Vec<Option<&TableEntry>> {
        let all = std::iter::once(&self.table).chain(&self.elsewhere).enumerate();
        let mut places: Vec<_> =
            all.flat_map(|(namespace, table)| table.services().rev().map(move |entry| (namespace, entry))).collect();
        if let Some(seed) = self.seed {
            let hash = FixedState::with_seed(seed);
            places.sort_by_key(|(namespace, entry)| hash.hash_one((namespace, entry.service().key())));
        }
        places.into_iter().map(|(namespace, entry)| (namespace == 0).then_some(entry)).collect()
    }
}

/// How the kernel that a table is of is asked.
#[derive(Clone)]
struct Original(Arc<Mutex<Probe>>);

type Probe = dyn FnMut(&mut Table, &Command) + Send;

impl std::fmt::Debug for Original {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Original")
    }
}

/// A dump of which part may have been received.
#[derive(Debug)]
struct Dump {
    read: Read,
    sequence: u32,
    /// How many entries it has passed.
    place: usize,
}

#[cfg(test)]
pub(crate) struct Others(pub(crate) Box<dyn FnMut(&mut World) + Send>);

#[cfg(test)]
impl std::fmt::Debug for Others {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Others")
    }
}

/// A datagram that waits to be received.
#[derive(Debug)]
struct Reply {
    datagram: Vec<u8>,
    /// Is it part of a dump? The kernel begins no other on the socket before the end of one was
    /// received.
    of_dump: bool,
}

impl Fake {
    pub(crate) fn new(table: Table) -> Self {
        let world = Arc::new(Mutex::new(World { table, ..World::default() }));
        Self::over(world, Arc::new(AtomicU16::new(FAMILY)), None)
    }

    /// `probe` asks the kernel that the table is of for what decides over a command, and notes the
    /// replies in the table.
    pub(crate) fn with_original(table: Table, probe: impl FnMut(&mut Table, &Command) + Send + 'static) -> Self {
        Fake { original: Some(Original(Arc::new(Mutex::new(probe)))), ..Self::new(table) }
    }

    fn over(world: Arc<Mutex<World>>, family: Arc<AtomicU16>, original: Option<Original>) -> Self {
        Fake {
            world,
            family,
            original,
            replies: VecDeque::new(),
            dump: None,
            datagrams: Datagrams::Long,
            script: Arc::default(),
            held: VecDeque::new(),
            is_congested: false,
            sequence: 0,
            #[cfg(test)]
            log: Log::default(),
            #[cfg(test)]
            others: None,
            #[cfg(test)]
            window: usize::MAX,
            #[cfg(test)]
            most_calls: 20_000,
            #[cfg(test)]
            calls: 0,
        }
    }

    /// Another socket of the same program.
    pub(crate) fn another(&self) -> Self {
        Fake { script: Arc::clone(&self.script), ..self.of_another_program() }
    }

    /// A socket of the same kernel with which nothing goes wrong.
    pub(crate) fn of_another_program(&self) -> Self {
        Fake {
            #[cfg(test)]
            log: self.log.another(),
            ..Self::over(Arc::clone(&self.world), Arc::clone(&self.family), self.original.clone())
        }
    }

    /// Unloads the module, and with it the table; loads it again if the family is given a number
    /// other than 0.
    #[cfg(test)]
    pub(crate) fn reload(&self, family: u16) {
        self.world().table = Table::new();
        self.family.store(family, Ordering::Relaxed);
    }

    fn family(&self) -> u16 {
        self.family.load(Ordering::Relaxed)
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        // A table is never left half changed.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The dumps to come have datagrams of this size.
    pub(crate) fn receive_in(&mut self, datagrams: Datagrams) {
        self.datagrams = datagrams;
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes wrong with this call.
    fn next_fault(&mut self) -> Option<Fault> {
        #[cfg(test)]
        {
            self.calls += 1;
            assert!(self.calls < self.most_calls, "it does not end");
        }
        self.script().faults.pop_front().flatten()
    }

    /// Sends a datagram. Returns how much of it was sent.
    pub(crate) fn send(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.let_writer_write(datagram);
        let fault = self.next_fault();
        if let Some(Fault::Fails(errno)) = fault {
            return Err(errno.into());
        }
        self.sequence = match wire::messages(datagram).next() {
            Some(Ok((header, _))) => header.sequence,
            _ => 0,
        };
        if self.is_congested {
            let waiting = self.take_waiting();
            self.held.extend(waiting);
        }
        self.run_all(datagram);
        if self.is_congested {
            self.take_waiting();
        }
        Ok(datagram.len() - if fault == Some(Fault::ShortSend) { datagram.len() / 2 } else { 0 })
    }

    /// Takes the next datagram of the kernel, and returns its length; [`io::ErrorKind::WouldBlock`]
    /// where a socket would wait.
    pub(crate) fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let nothing = Err(io::ErrorKind::WouldBlock.into());
        match self.next_fault() {
            Some(Fault::Fails(errno)) => {
                self.is_congested |= errno == Errno::ENOBUFS;
                Err(errno.into())
            }
            Some(Fault::Lost) => {
                while self.take(buffer).is_some() {}
                Err(Errno::ENOBUFS.into())
            }
            Some(Fault::Vanished) => {
                while self.take(buffer).is_some() {}
                nothing
            }
            Some(Fault::Late) => nothing,
            Some(Fault::Truncated(length)) => {
                let Some(whole) = self.take(buffer) else { return nothing };
                buffer.truncate(length);
                Ok(whole)
            }
            Some(Fault::Twice) => {
                let Some(length) = self.take(buffer) else { return nothing };
                self.held.push_front(buffer.clone());
                Ok(length)
            }
            Some(Fault::Stale(errno)) => {
                buffer.clear();
                wire::encode_error(buffer, self.sequence.wrapping_sub(1), errno.raw());
                Ok(buffer.len())
            }
            Some(Fault::ShortSend) | None => self.take(buffer).map_or(nothing, Ok),
        }
    }

    fn take(&mut self, buffer: &mut Vec<u8>) -> Option<usize> {
        let taken = match self.held.pop_front() {
            Some(datagram) => {
                *buffer = datagram;
                Some(buffer.len())
            }
            None => self.next_reply(buffer),
        };
        self.is_congested &= taken.is_some();
        taken
    }

    fn take_waiting(&mut self) -> Vec<Vec<u8>> {
        let mut reply = Vec::new();
        std::iter::from_fn(|| self.next_reply(&mut reply).map(|_| std::mem::take(&mut reply))).collect()
    }

    /// The other program acts, before a call that sends this datagram, or none if it asks by
    /// `getsockopt`. Meanwhile nothing is locked.
    fn let_writer_write(&mut self, datagram: &[u8]) {
        let Some(mut write) = self.script().writer.take() else { return };
        write(datagram);
        self.script().writer.get_or_insert(write);
    }

    #[cfg(test)]
    fn let_others_work(&mut self) {
        if let Some(Others(work)) = &mut self.others {
            work(&mut self.world.lock().unwrap());
        }
    }

    #[cfg(not(test))]
    fn let_others_work(&mut self) {}

    pub(crate) fn behaviors(&self) -> Behaviors {
        self.world().table.behaviors()
    }

    /// Runs all requests of a datagram in order; the replies wait to be received.
    fn run_all(&mut self, datagram: &[u8]) {
        for message in wire::messages(datagram) {
            // As in the kernel, a message of a wrong length ends the datagram in silence.
            let Ok((header, Body::Family { command, attrs })) = message else { return };
            if !header.is_for_controller() && header.family != self.family() {
                self.reply(|out| wire::encode_error(out, header.sequence, Errno::ENOENT.raw()));
                continue;
            }
            let outcome = wire::decode_request(&header, command, attrs)
                .map_err(errno_of)
                .and_then(|request| request.ok_or(Errno::EOPNOTSUPP))
                .and_then(|request| self.run(&header, request));
            match outcome {
                Err(errno) => self.reply(|out| wire::encode_error(out, header.sequence, errno.raw())),
                Ok(()) if header.wants_ack() => self.reply(|out| wire::encode_ack(out, header.sequence)),
                Ok(()) => {}
            }
        }
    }

    /// Replies to a question of the older interface, in the question's place. `cargo lab bench
    /// --yields` finds it by its name.
    #[inline(never)]
    pub(crate) fn ask(&mut self, option: i32, buffer: &mut [u8]) -> Result<(), Errno> {
        self.let_writer_write(&[]);
        if self.family() == 0 {
            return Err(Errno::ENOPROTOOPT);
        }
        if self.script().is_unprivileged {
            return Err(Errno::EPERM);
        }
        self.let_others_work();
        let world = self.world();
        let table = &world.table;
        match Question::read(option, buffer).ok_or(Errno::EINVAL)? {
            Question::Info => {
                let is_listed = |entry: &&TableEntry| entry.service().key().family() == Family::V4;
                sockopt::put_info(buffer, table.info(), table.services().filter(is_listed).count());
            }
            Question::Services => {
                #[cfg(test)]
                self.log.push(Event::AskedServices);
                // In the order of a dump.
                let all = world.places().into_iter().flatten();
                sockopt::put_services(buffer, all.map(|entry| (entry.state(), entry.destinations().len())));
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

    /// Is one a service's, in whichever namespace?
    pub(crate) fn has_engine(&self) -> bool {
        let world = self.world();
        let mut all = std::iter::once(&world.table).chain(&world.elsewhere).flat_map(Table::services);
        all.any(|entry| entry.service().engine.is_some())
    }

    /// How often its module is referred to: by the services of all namespaces, and by sync daemons.
    pub(crate) fn module_references(&mut self) -> usize {
        self.let_writer_write(&[]);
        self.let_others_work();
        let world = self.world();
        let all = std::iter::once(&world.table).chain(&world.elsewhere);
        all.map(|table| table.services().len() + table.daemons().len()).sum()
    }

    /// Takes the next datagram of the kernel and returns its length.
    fn next_reply(&mut self, buffer: &mut Vec<u8>) -> Option<usize> {
        let Reply { datagram, of_dump } = self.replies.pop_front()?;
        if of_dump {
            // The kernel makes the next datagram when one is received.
            self.let_others_work();
            self.go_on();
        }
        *buffer = datagram;
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
        if self.script().is_unprivileged && !matches!(request, Request::Resolve) {
            return Err(Errno::EPERM);
        }
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
                let info = self.world().table.info();
                self.reply(|out| wire::encode_info(out, reply, info));
            }
            Request::Read(Read::Timeouts) => {
                let timeouts = self.world().table.timeouts();
                self.reply(|out| wire::encode_timeouts(out, reply, &timeouts));
            }
            Request::Read(Read::Service(key)) => {
                let state = *self.world().table.service(&key).ok_or(Errno::ESRCH)?.state();
                self.reply(|out| wire::encode_service(out, reply, &state));
            }
            Request::Read(_) if self.dump.is_some() || self.replies.iter().any(|reply| reply.of_dump) => {
                return Err(Errno::EBUSY);
            }
            Request::Read(read) => {
                self.dump = Some(Dump { read, sequence: header.sequence, place: 0 });
                self.go_on();
            }
        }
        Ok(())
    }

    fn change(&mut self, command: &Command) -> Result<(), Errno> {
        self.script().refuse(command)?;
        let table = &mut self.world().table;
        if let Some(original) = &self.original {
            original.0.lock().unwrap_or_else(PoisonError::into_inner)(table, command);
        }
        table.apply(command).map_err(|refusal| refusal.errno)
    }

    /// Makes the next datagram of the dump that is under way.
    fn go_on(&mut self) {
        let Some(Dump { read, sequence, place }) = self.dump.take() else { return };
        // One page, but for what the kernel keeps of it.
        const FIRST: usize = 3776;
        let is_first = place == 0 && self.datagrams == Datagrams::Fresh;
        let most = if is_first { FIRST } else { self.datagrams.buffer() };
        let mut datagram = Datagram { bytes: Vec::new(), most, places: 0 };
        let header = Header { family: FAMILY, flags: wire::REPLY, sequence };
        let world = self.world();
        match read {
            Read::Services => datagram.fill(world.places().into_iter().skip(place), |out, entry| {
                entry.into_iter().for_each(|entry| wire::encode_service(out, header, entry.state()));
            }),
            Read::Destinations(key) => {
                // Newest first, as in the kernel.
                let all = world.table.service(&key).into_iter().flat_map(|entry| entry.destinations().rev());
                datagram.fill(all.skip(place), |out, state| wire::encode_destination(out, header, state));
            }
            Read::Daemons => {
                datagram.fill(world.table.daemons().iter().skip(place), |out, daemon| {
                    wire::encode_daemon(out, header, daemon);
                });
            }
            Read::Service(_) | Read::Timeouts | Read::Info => {}
        }
        drop(world);
        let Datagram { mut bytes, places, .. } = datagram;
        if bytes.is_empty() {
            wire::encode_done(&mut bytes, sequence);
        } else {
            self.dump = Some(Dump { read, sequence, place: place + places });
        }
        self.replies.push_back(Reply { datagram: bytes, of_dump: true });
    }
}

/// One datagram of a dump, and how many places of the table it passes.
struct Datagram {
    bytes: Vec<u8>,
    most: usize,
    places: usize,
}

impl Datagram {
    /// Writes entries until the next has no room.
    fn fill<T>(&mut self, entries: impl Iterator<Item = T>, write: impl Fn(&mut Vec<u8>, T)) {
        for entry in entries {
            let before = self.bytes.len();
            write(&mut self.bytes, entry);
            if self.bytes.len() > self.most {
                self.bytes.truncate(before);
                return;
            }
            self.places += 1;
        }
    }
}

/// The error number for a message that the kernel can't understand.
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

    /// Sends the requests of wire/negligent.txt; tests/kernel/tests/negligent.rs sends the same to
    /// a kernel.
    #[test]
    fn malformed_requests_are_answered_as_by_the_kernel() {
        let mut fake = Fake::new(Table::new());
        for line in include_str!("wire/negligent.txt").lines().filter(|line| !line.starts_with('#')) {
            let [name, dump, hex, errno] = line.split(" | ").collect::<Vec<_>>().try_into().unwrap();
            fake.send(&request(dump == "dump", hex)).unwrap();
            let mut reply = Vec::new();
            fake.receive(&mut reply).unwrap();
            let (_, body) = wire::messages(&reply).next().unwrap().unwrap();
            let Body::Ack(code) = body else { panic!("{name}: {body:?}") };
            let outcome = if code == 0 { "ok".into() } else { format!("{:?}", Errno::new(code)) };
            assert_eq!(outcome, errno.split(" where ").next().unwrap(), "{name}");
        }
    }

    fn request(dump: bool, hex: &str) -> Vec<u8> {
        const REQUEST_ACK: u16 = 5;
        const DUMP: u16 = 0x300;
        let mut message = Vec::new();
        message.extend((16 + hex.len() as u32 / 2).to_ne_bytes());
        message.extend(FAMILY.to_ne_bytes());
        message.extend((REQUEST_ACK | if dump { DUMP } else { 0 }).to_ne_bytes());
        message.extend([0; 8]);
        message.extend(wire::tests::recorded(hex));
        message
    }
}
