//! The protocol without input or output: what to send, and what the replies mean.
//!
//! The kernel runs all requests of one datagram in order, inside `send`. A request that fails does
//! not stop the rest; the kernel replies to it with its sequence number. Success needs no reply, so
//! only the last request of a window asks for an acknowledgement: when it arrives, everything
//! before it that was not refused was done.

use crate::command::{Command, CommandKind};
use crate::errno::Errno;
use crate::error::Error;
use crate::refusal::{Outcome, Refusal};
use crate::wire::{self, Body, Header, Read};

/// More requests than this in a datagram gain nothing that can be measured, and a monitor could not
/// follow them.
pub(crate) const MAX_WINDOW: u32 = 96;

/// What one refusal may occupy in the receive buffer, with room to spare: at most 1,280 bytes were
/// measured.
const REPLY_COST: usize = 2048;

/// A longer datagram gains nothing, in bytes.
const MAX_DATAGRAM: usize = 32 << 10;

/// No request is longer, in bytes.
const MAX_REQUEST: usize = 256;

/// The sizes of a socket's buffers, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffers {
    pub(crate) send: usize,
    pub(crate) receive: usize,
}

/// How long the datagrams of a dump are. The kernel makes them as long as the largest buffer in
/// which the socket has ever received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Datagrams {
    /// As long as the kernel makes any.
    Long,
    /// The first as short as on any new socket, the others long: so each is cut elsewhere than that
    /// of [`Long`](Self::Long) in its place.
    Fresh,
    /// Shorter, so that a dump is cut at other places; on a socket of their own.
    Short,
}

impl Datagrams {
    /// The buffer to receive them in.
    pub(crate) fn buffer(self) -> usize {
        match self {
            Datagrams::Long | Datagrams::Fresh => 32 << 10,
            Datagrams::Short => 20 << 10,
        }
    }

    /// Has a datagram of this length room for one more service or destination?
    ///
    /// When memory is short, the kernel takes a buffer of one page, of 8 KiB at most. Without
    /// `is_certain`, a datagram that would just fit into such a one is not known to have room.
    pub(crate) fn have_room(self, length: usize, is_certain: bool) -> bool {
        /// More than a service or a destination takes, and what the kernel keeps of a buffer for
        /// itself.
        const ONE: usize = 1024;
        let is_in_small = |page: usize| (page - ONE..=page).contains(&length);
        length <= self.buffer() - ONE && (is_certain || !is_in_small(4096) && !is_in_small(8192))
    }
}

/// How much can be under way at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Requests, so that no reply is lost even if all of them are refused.
    requests: usize,
    /// Bytes, so that the datagram can be sent.
    bytes: usize,
}

impl Limits {
    pub(crate) fn of(buffers: Buffers) -> Self {
        // Netlink takes a datagram up to 32 bytes short of its send buffer.
        let bytes = (buffers.send - buffers.send.min(32)).min(MAX_DATAGRAM);
        Limits { requests: (buffers.receive / REPLY_COST).clamp(1, MAX_WINDOW as usize), bytes }
    }
}

/// May the kernel reply so to a request whose number is not, or not any more, that of the family?
/// Without any family it is `ENOENT`; one that has got the number since knows neither the command
/// nor its attributes.
pub(crate) fn may_have_missed(errno: Errno) -> bool {
    matches!(errno, Errno::ENOENT | Errno::EOPNOTSUPP | Errno::EINVAL)
}

/// What an exchange waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Receive another datagram and feed it.
    More,
    /// All replies were received.
    Done,
}

/// The sequence numbers of a socket. None is used twice, so that a late reply is not taken for that
/// of another request.
#[derive(Debug, Default)]
pub(crate) struct SequenceNumbers(u32);

impl SequenceNumbers {
    /// Begins at another number in each process, unless the system does not randomize addresses. So
    /// programs that watch netlink can distinguish the requests of processes, and no other user can
    /// guess the numbers.
    pub(crate) fn of_this_process() -> Self {
        let place = 0_u8;
        // The stack is somewhere else, at a multiple of 16.
        SequenceNumbers((std::ptr::from_ref(&place).addr() >> 4) as u32)
    }

    /// The first of this number in a row.
    pub(crate) fn take(&mut self, count: u32) -> u32 {
        let first = self.0.wrapping_add(1);
        self.0 = self.0.wrapping_add(count);
        first
    }
}

/// Changes that are sent together.
#[derive(Debug, Default)]
pub(crate) struct Window {
    datagram: Vec<u8>,
    /// The number of the family that its requests go to.
    family: u16,
    /// Where the last request starts in the datagram.
    last: usize,
    /// Sequence number of the first request; the others follow.
    first: u32,
    commands: Vec<CommandKind>,
    outcomes: Vec<Outcome>,
}

impl Window {
    pub(crate) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.commands.len()
    }

    /// Must it be sent before more is pushed?
    pub(crate) fn is_full(&self, limits: Limits) -> bool {
        self.commands.len() >= limits.requests || self.datagram.len() + MAX_REQUEST > limits.bytes
    }

    /// Adds a request. The first one takes the numbers of all, as reads may take others before the
    /// next push.
    pub(crate) fn push(&mut self, family: u16, numbers: &mut SequenceNumbers, command: &Command) {
        self.last = self.datagram.len();
        // At once: what has to grow is copied, from pages that were touched for it. One alone needs
        // only its own.
        match self.len() {
            0 => {
                self.first = numbers.take(MAX_WINDOW);
                self.family = family;
                self.datagram.reserve(MAX_REQUEST);
            }
            1 => self.datagram.reserve(MAX_DATAGRAM - self.last),
            _ => {}
        }
        let sequence = self.first.wrapping_add(self.len() as u32);
        wire::encode_change(&mut self.datagram, Header::request(self.family, sequence), command);
        self.commands.push(command.kind());
    }

    /// Which number of the family its requests go to.
    pub(crate) fn family(&self) -> u16 {
        self.family
    }

    /// Makes its requests, of which none was carried out, go to another number of the family, with
    /// new sequence numbers.
    pub(crate) fn readdress(&mut self, family: u16, numbers: &mut SequenceNumbers) {
        (self.family, self.first) = (family, numbers.take(MAX_WINDOW));
        wire::readdress(&mut self.datagram, family, self.first);
    }

    /// Was nothing of it carried out, and may that be because the family has lost its number?
    pub(crate) fn may_have_missed(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.is_err_and(|refusal| may_have_missed(refusal.errno)))
    }

    /// The datagram to send. What is fed from now on is judged by it.
    pub(crate) fn datagram(&mut self) -> &[u8] {
        wire::request_ack(&mut self.datagram[self.last..]);
        self.outcomes.clear();
        self.outcomes.resize(self.commands.len(), Ok(()));
        &self.datagram
    }

    /// May the kernel leave the last request unanswered, though it carried it out?
    ///
    /// Before Linux 7 it does so when a sync daemon is stopped before its thread has run: the stop
    /// ends in `EINTR`, which netlink does not report. All replies are there when the send returns,
    /// so nothing waiting then means this.
    pub(crate) fn may_end_in_silence(&self) -> bool {
        self.commands.last() == Some(&CommandKind::StopDaemon)
    }

    /// Takes a datagram of the kernel in.
    pub(crate) fn feed(&mut self, datagram: &[u8]) -> Result<Progress, Error> {
        let mut progress = Progress::More;
        for message in wire::messages(datagram) {
            let (header, body) = message?;
            let index = header.sequence.wrapping_sub(self.first) as usize;
            // Anything else is a reply to an earlier call that gave up waiting.
            if let (Body::Ack(code), Some(command)) = (body, self.commands.get(index)) {
                if code != 0 {
                    self.outcomes[index] = Err(Refusal { command: *command, errno: Errno::new(code) });
                }
                if index + 1 == self.commands.len() {
                    progress = Progress::Done;
                }
            }
        }
        Ok(progress)
    }

    /// The outcomes, in the order of the pushes; the window is then empty.
    pub(crate) fn take(&mut self) -> Vec<Outcome> {
        self.clear();
        std::mem::take(&mut self.outcomes)
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.datagram.clear();
        self.commands.clear();
    }
}

/// A request whose reply has messages: a dump, or a single one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query {
    sequence: u32,
    dump: bool,
    kind: CommandKind,
}

impl Query {
    /// Writes the request for the number of the family.
    pub(crate) fn resolve(out: &mut Vec<u8>, sequence: u32) -> Self {
        wire::encode_resolve(out, sequence);
        Query { sequence, dump: false, kind: CommandKind::ResolveFamily }
    }

    /// Does its reply go on until one message says that it is done?
    pub(crate) fn is_dump(&self) -> bool {
        self.dump
    }

    /// Writes the request.
    pub(crate) fn read(out: &mut Vec<u8>, family: u16, sequence: u32, read: &Read) -> Self {
        let dump = read.is_dump();
        let header = if dump { Header::dump(family, sequence) } else { Header::request(family, sequence) };
        wire::encode_read(out, header, read);
        Query { sequence, dump, kind: read.kind() }
    }

    /// Takes a datagram of the kernel in; `take` gets the attributes of each message of the reply.
    #[inline]
    pub(crate) fn feed(&self, datagram: &[u8], take: &mut dyn FnMut(&[u8])) -> Result<Progress, Error> {
        for message in wire::messages(datagram) {
            let (header, body) = message?;
            if header.sequence != self.sequence {
                continue; // a reply to an earlier call that gave up waiting
            }
            match body {
                Body::Family { attrs, .. } => take(attrs),
                Body::Ack(0) | Body::Done(0) => return Ok(Progress::Done),
                Body::Ack(code) | Body::Done(code) => {
                    return Err(Refusal { command: self.kind, errno: Errno::new(code) }.into());
                }
            }
            if !self.dump {
                return Ok(Progress::Done);
            }
        }
        Ok(Progress::More)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(count: u32) -> Window {
        let (mut window, mut numbers) = (Window::default(), SequenceNumbers(99));
        for _ in 0..count {
            window.push(30, &mut numbers, &Command::Flush);
        }
        window.datagram();
        window
    }

    fn error(sequence: u32, errno: i32) -> Vec<u8> {
        let mut out = Vec::new();
        wire::encode_error(&mut out, sequence, errno);
        out
    }

    #[test]
    fn silence_before_the_last_ack_means_success() {
        let mut window = window(3);
        assert_eq!(window.feed(&error(101, 17)).unwrap(), Progress::More);
        assert_eq!(window.feed(&error(102, 0)).unwrap(), Progress::Done);
        let refused = Refusal { command: CommandKind::Flush, errno: Errno::EEXIST };
        assert_eq!(window.take(), [Ok(()), Err(refused), Ok(())]);
        assert!(window.is_empty());
    }

    #[test]
    fn a_last_command_that_fails_ends_the_window_too() {
        let mut window = window(2);
        assert_eq!(window.feed(&error(101, 1)).unwrap(), Progress::Done);
        assert_eq!(window.take()[1].unwrap_err().errno, Errno::EPERM);
    }

    #[test]
    fn replies_to_other_calls_are_passed_over() {
        let mut window = window(1);
        assert_eq!(window.feed(&error(99, 1)).unwrap(), Progress::More);
        assert_eq!(window.feed(&error(101, 1)).unwrap(), Progress::More);
        assert_eq!(window.feed(&error(100, 0)).unwrap(), Progress::Done);
        assert_eq!(window.take(), [Ok(())]);
    }

    /// Threads that are there at the same time have different stacks.
    #[test]
    fn sequence_numbers_begin_anywhere() {
        let here = SequenceNumbers::of_this_process().take(1);
        let there = std::thread::spawn(|| SequenceNumbers::of_this_process().take(1)).join().unwrap();
        assert_ne!(here, there);
    }

    #[test]
    fn sequence_numbers_may_wrap_around() {
        let (mut window, mut numbers) = (Window::default(), SequenceNumbers(u32::MAX - 1));
        for _ in 0..3 {
            window.push(30, &mut numbers, &Command::Flush);
        }
        window.datagram();
        assert_eq!(window.feed(&error(0, 3)).unwrap(), Progress::More);
        assert_eq!(window.feed(&error(1, 0)).unwrap(), Progress::Done);
        assert_eq!(window.take().iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    }

    #[test]
    fn the_window_fits_the_buffers() {
        let limits = |send, receive| {
            let limits = Limits::of(Buffers { send, receive });
            (limits.requests, limits.bytes)
        };
        assert_eq!(limits(212_992, 212_992), (96, MAX_DATAGRAM));
        assert_eq!(limits(4608, 0), (1, 4576));
        assert_eq!(limits(0, usize::MAX), (MAX_WINDOW as usize, 0));
    }

    #[test]
    fn no_request_is_longer_than_assumed() {
        use proptest::test_runner::TestRunner;
        let law = |command| {
            let mut window = Window::default();
            window.push(30, &mut SequenceNumbers::default(), &command);
            assert!(window.datagram().len() <= MAX_REQUEST, "{command:?}");
            Ok(())
        };
        TestRunner::default().run(&crate::strategies::command(), law).unwrap();
    }

    #[test]
    fn a_dump_ends_with_its_own_done_and_its_error_counts() {
        let mut request = Vec::new();
        let query = Query::read(&mut request, 30, 7, &Read::Services);
        let mut taken = 0;
        let mut done = Vec::new();
        wire::encode_done(&mut done, 6);
        let mut take = |_: &[u8]| taken += 1;
        assert_eq!(query.feed(&done, &mut take).unwrap(), Progress::More);
        let mut done = Vec::new();
        wire::encode_done(&mut done, 7);
        assert_eq!(query.feed(&done, &mut take).unwrap(), Progress::Done);
        assert!(
            matches!(query.feed(&error(7, 16), &mut take), Err(Error::Refused(refusal)) if refusal.errno == Errno::EBUSY)
        );
        assert_eq!(taken, 0);
    }
}
