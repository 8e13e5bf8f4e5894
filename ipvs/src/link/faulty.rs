//! A link to the in-memory kernel on which things go wrong, one after the other, and beside which another writer works: for tests.

use std::collections::VecDeque;
use std::io;

use crate::errno::Errno;
use crate::fake::Fake;
use crate::wire;

/// More calls than this are a loop without an end.
const CALLS: usize = 20_000;

/// What goes wrong with one call, as sockets of netlink can.
///
/// What they can't is not here: they keep the order of answers, and report a loss once; then they drop all others
/// until those that wait were received. `Gone` is the exception: if even the word of the loss is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call fails: nothing is sent, and what waits to be received goes on waiting.
    Fails(Errno),
    /// Less is sent than was to be; the kernel carries it all out.
    ShortSend,
    /// All that waits is lost, which is reported.
    Lost,
    /// All that waits is lost, which is not reported.
    Gone,
    /// Nothing comes now; it comes with the next call.
    Late,
    /// The answer is longer than the buffer, which has this many bytes of it.
    Cut(usize),
    /// The same answer comes with the next call, too.
    Twice,
    /// An answer with the number of an earlier question comes first.
    Stale(Errno),
}

/// The in-memory kernel, and what goes wrong on the way to it.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) kernel: Fake,
    /// Of the calls to come, one after the other.
    pub(crate) faults: VecDeque<Option<Fault>>,
    /// What comes before all that the kernel has.
    held: VecDeque<Vec<u8>>,
    /// A loss was reported, and what waited then still does: until it was received, all that comes is lost.
    is_congested: bool,
    sequence: u32,
    calls: usize,
    /// Another writer, before each call.
    pub(crate) writer: Option<Writer>,
    /// How many requests a datagram has at most.
    pub(crate) window: usize,
}

/// What another writer does before a call that sends this datagram, or none if it is a question of the older interface.
pub(crate) struct Writer(pub(crate) Write);

type Write = Box<dyn FnMut(&[u8]) + Send>;

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writer")
    }
}

impl Faulty {
    pub(crate) fn new(kernel: Fake) -> Self {
        Faulty {
            kernel,
            faults: VecDeque::new(),
            held: VecDeque::new(),
            is_congested: false,
            sequence: 0,
            calls: 0,
            writer: None,
            window: usize::MAX,
        }
    }

    fn next(&mut self) -> Option<Fault> {
        self.calls += 1;
        assert!(self.calls < CALLS, "it does not end");
        self.faults.pop_front().flatten()
    }

    pub(super) fn ask(&mut self, option: i32, buffer: &mut [u8]) -> Result<(), Errno> {
        self.let_others_write(&[]);
        self.kernel.ask(option, buffer)
    }

    fn let_others_write(&mut self, datagram: &[u8]) {
        if let Some(Writer(write)) = &mut self.writer {
            write(datagram);
        }
    }

    pub(super) fn send(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.let_others_write(datagram);
        let fault = self.next();
        if let Some(Fault::Fails(errno)) = fault {
            return Err(io::Error::from_raw_os_error(errno.raw()));
        }
        self.sequence = wire::messages(datagram).next().map_or(0, |message| message.unwrap().0.sequence);
        if self.is_congested {
            self.held.extend(waiting(&mut self.kernel));
        }
        self.kernel.send(datagram);
        if self.is_congested {
            drop(waiting(&mut self.kernel));
        }
        Ok(datagram.len() - if fault == Some(Fault::ShortSend) { datagram.len() / 2 } else { 0 })
    }

    pub(super) fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let nothing = Err(io::ErrorKind::WouldBlock.into());
        match self.next() {
            Some(Fault::Fails(errno)) => {
                self.is_congested |= errno == Errno::ENOBUFS;
                Err(io::Error::from_raw_os_error(errno.raw()))
            }
            Some(Fault::Lost) => {
                while self.take(buffer).is_some() {}
                Err(io::Error::from_raw_os_error(Errno::ENOBUFS.raw()))
            }
            Some(Fault::Gone) => {
                while self.take(buffer).is_some() {}
                nothing
            }
            Some(Fault::Late) => nothing,
            Some(Fault::Cut(length)) => {
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
            None => self.kernel.receive(buffer),
        };
        self.is_congested &= taken.is_some();
        taken
    }
}

fn waiting(kernel: &mut Fake) -> Vec<Vec<u8>> {
    let mut answer = Vec::new();
    std::iter::from_fn(|| kernel.receive(&mut answer).map(|_| std::mem::take(&mut answer))).collect()
}
