//! A session with the kernel: dumps and transactions.

use std::io;
use std::time::Duration;

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::net::sockopt::{self, Timeout, set_socket_timeout};

use super::attr::{Attrs, number};
use super::message::{ANY_FAMILY, Body, Datagram, Kind, replies};
use super::uapi::generation;
use crate::failure::BackendError;

/// A reply is queued when `send` returns. This only bounds a lost one.
const DEADLINE: Duration = Duration::from_secs(10);
/// The longest datagram of a dump.
const RECEIVE: usize = 32 << 10;
/// How often a dump is repeated because another program changed the rules meanwhile.
const ATTEMPTS: usize = 20;

/// A socket to nf_tables of the network namespace that the thread was in.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

/// Changes that the kernel makes all or none.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) datagram: Datagram,
    family: u8,
    /// What each change is, for messages, by the sequence number of its reply.
    steps: Vec<(u32, String)>,
}

impl Transaction {
    /// For tables of one family. The kernel refuses it if the rules are of another generation by
    /// then.
    pub(super) fn new(family: u8, generation: u32) -> Self {
        let mut datagram = Datagram::new(1);
        datagram.begin(generation);
        Transaction { datagram, family, steps: Vec::new() }
    }

    pub(super) fn step(&mut self, kind: Kind, attrs: &Attrs, what: impl Into<String>) {
        let sequence = self.datagram.change(kind, self.family, attrs);
        self.steps.push((sequence, what.into()));
    }

    fn name_of(&self, sequence: u32) -> String {
        let found = self.steps.iter().find(|(number, _)| *number == sequence);
        found.map_or_else(|| "the changes".to_owned(), |(_, what)| what.clone())
    }
}

/// How a transaction ended, if not with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// The rules are of another generation now: nothing was changed.
    Outdated,
}

impl Connection {
    pub(super) fn open() -> Result<Self, BackendError> {
        let socket = Socket::new(NETLINK_NETFILTER).map_err(|error| match error.raw_os_error() {
            Some(code) if code == Errno::PROTONOSUPPORT.raw_os_error() => {
                super::unavailable("the kernel has no netfilter")
            }
            _ => error.into(),
        })?;
        for timeout in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(&socket, timeout, Some(DEADLINE)).map_err(io::Error::from)?;
        }
        // Only the kernel can reply.
        socket.connect(&SocketAddr::new(0, 0))?;
        // A refusal does not repeat its request.
        socket.set_cap_ack(true)?;
        Ok(Connection { socket, sequence: 1, buffer: Vec::with_capacity(RECEIVE) })
    }

    /// Reads something while the rules stay as they are, with the number of their generation.
    pub(super) fn snapshot<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, BackendError>,
    ) -> Result<(u32, T), BackendError> {
        for _ in 0..ATTEMPTS {
            let before = self.generation()?;
            let value = read(self)?;
            if self.generation()? == before {
                return Ok((before, value));
            }
        }
        Err(BackendError::Busy)
    }

    /// A number that changes with every change of any rule in this network namespace.
    pub(super) fn generation(&mut self) -> Result<u32, BackendError> {
        let mut found = None;
        self.ask(Kind::GetGeneration, ANY_FAMILY, false, &Attrs::new(), &mut |_, attrs| {
            found = number(attrs, generation::ID);
        })?;
        found.ok_or(BackendError::Reply("no generation"))
    }

    /// Calls `take` with the family and the attributes of each object.
    pub(super) fn dump(
        &mut self,
        kind: Kind,
        family: u8,
        attrs: &Attrs,
        mut take: impl FnMut(u8, &[u8]),
    ) -> Result<(), BackendError> {
        self.ask(kind, family, true, attrs, &mut take)
    }

    fn ask(
        &mut self,
        kind: Kind,
        family: u8,
        is_dump: bool,
        attrs: &Attrs,
        take: &mut dyn FnMut(u8, &[u8]),
    ) -> Result<(), BackendError> {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        let mut datagram = Datagram::new(sequence);
        datagram.get(kind, family, is_dump, attrs);
        self.socket.send(&datagram.bytes, 0).map_err(refusal)?;
        loop {
            self.receive(RecvFlags::TRUNC)?;
            for reply in replies(&self.buffer) {
                let reply = reply.ok_or(BackendError::Reply("a truncated message"))?;
                // The reply to an earlier request that was given up.
                if reply.sequence != sequence {
                    continue;
                }
                match reply.body {
                    Body::Object { family, attrs } => take(family, attrs),
                    Body::Ack(0) | Body::Done(0) => return Ok(()),
                    // The object was deleted meanwhile: then the generation has changed.
                    Body::Ack(code) if is_dump && code == Errno::NOENT.raw_os_error() => return Ok(()),
                    Body::Done(code) if code == Errno::INTR.raw_os_error() => return Ok(()),
                    Body::Ack(code) | Body::Done(code) => return Err(refusal(io::Error::from_raw_os_error(code))),
                }
                if !is_dump {
                    return Ok(());
                }
            }
        }
    }

    /// Makes all changes, or none.
    pub(super) fn commit(&mut self, mut transaction: Transaction) -> Result<Outcome, BackendError> {
        transaction.datagram.end();
        self.send_batch(&transaction)
    }

    /// Checks the changes and makes none: the kernel aborts a transaction without an end.
    pub(super) fn validate(&mut self, transaction: &Transaction) -> Result<Outcome, BackendError> {
        self.send_batch(transaction)
    }

    fn send_batch(&mut self, transaction: &Transaction) -> Result<Outcome, BackendError> {
        let bytes = &transaction.datagram.bytes;
        self.make_room(bytes.len())?;
        self.drain()?;
        self.socket.send(bytes, 0).map_err(refusal)?;
        // The kernel works within `send`, so all replies are queued.
        let mut first_refusal = None;
        let mut acknowledged = 0;
        while self.try_receive()? {
            for reply in replies(&self.buffer) {
                match reply.ok_or(BackendError::Reply("a truncated message"))? {
                    reply if reply.body == Body::Ack(0) => acknowledged += 1,
                    reply => {
                        if let Body::Ack(code) = reply.body {
                            first_refusal.get_or_insert((reply.sequence, code));
                        }
                    }
                }
            }
        }
        match first_refusal {
            None if acknowledged >= transaction.steps.len() => Ok(Outcome::Done),
            None => Err(BackendError::Reply("not all changes were acknowledged")),
            Some((_, code)) if code == Errno::RESTART.raw_os_error() => Ok(Outcome::Outdated),
            Some((_, code)) if code == Errno::PERM.raw_os_error() => Err(BackendError::NotPermitted),
            Some((sequence, code)) => Err(BackendError::Refused {
                what: transaction.name_of(sequence),
                error: io::Error::from_raw_os_error(code),
            }),
        }
    }

    /// Enlarges the send buffer: a transaction is one datagram.
    fn make_room(&mut self, needed: usize) -> Result<(), BackendError> {
        // The kernel's own share of the buffer.
        const RESERVE: usize = 4096;
        let has_room = |socket: &Socket| -> io::Result<usize> { Ok(sockopt::socket_send_buffer_size(socket)?) };
        if has_room(&self.socket)? >= needed + RESERVE {
            return Ok(());
        }
        // Above the limit only with CAP_NET_ADMIN outside of user namespaces. The kernel doubles
        // the number.
        if sockopt::set_socket_send_buffer_size_force(&self.socket, needed + RESERVE).is_err() {
            sockopt::set_socket_send_buffer_size(&self.socket, needed + RESERVE).map_err(io::Error::from)?;
        }
        let allowed = has_room(&self.socket)?;
        if allowed < needed + RESERVE { Err(BackendError::TooLarge { needed, allowed }) } else { Ok(()) }
    }

    /// Discards stale replies.
    fn drain(&mut self) -> Result<(), BackendError> {
        while self.try_receive()? {}
        Ok(())
    }

    fn try_receive(&mut self) -> Result<bool, BackendError> {
        match self.receive(RecvFlags::TRUNC | RecvFlags::DONTWAIT) {
            Err(BackendError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            result => result.map(|()| true),
        }
    }

    fn receive(&mut self, flags: RecvFlags) -> Result<(), BackendError> {
        self.buffer.clear();
        self.buffer.reserve(RECEIVE);
        // Signals interrupt a call, but not without end.
        const MOST: usize = 1000;
        let mut interrupted = 0;
        let length = loop {
            match self.socket.recv(&mut self.buffer, flags.bits() as i32) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted && interrupted < MOST => interrupted += 1,
                result => break result.map_err(refusal)?,
            }
        };
        if length > self.buffer.len() { Err(BackendError::Reply("a datagram longer than its buffer")) } else { Ok(()) }
    }
}

fn refusal(error: io::Error) -> BackendError {
    match error.raw_os_error() {
        Some(code) if code == Errno::PERM.raw_os_error() => BackendError::NotPermitted,
        Some(code) if code == Errno::INVAL.raw_os_error() => super::unavailable("the kernel has no nf_tables"),
        _ => BackendError::Io(error),
    }
}
