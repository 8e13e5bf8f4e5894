//! Which acknowledgement belongs to which request.
//!
//! An acknowledgement is the kernel's `NLMSG_ERROR`: a refusal, or 0.
//!
//! A request carries the port id that its program wrote, often 0. The acknowledgement carries the
//! true one, and repeats the header of the request. So an acknowledgement belongs to the request
//! with the same header, and has its port. If several pending datagrams have such a request,
//! acknowledgements are kept until there are as many as requests: if all are equal, that is the
//! outcome of each.
//!
//! Any user may send a copy of another program's request, which the kernel refuses. If the program
//! wrote its port id, an acknowledgement to another process's port belongs to such a copy.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use super::event::{Action, Outcome, Process, Sender};
use crate::errno::Errno;
use crate::wire::Envelope;

/// Finds out which process has a netlink socket with a port id.
pub(super) trait Names {
    fn process(&mut self, port: u32) -> Option<Process>;

    /// How long ago the packet was sent that is looked at; and do more packets wait than come in a
    /// moment? Then most processes are gone before they are looked for, and what that takes leads
    /// to losses.
    fn about(&mut self, _is_behind: bool, _age: Option<Duration>) {}
}

/// How long to wait for an acknowledgement. The kernel may load a module first.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait for the refusal of a request that asks for no acknowledgement.
const SILENCE: Duration = Duration::from_secs(1);

/// How long a complete datagram waits for earlier ones that may be complete, too: events keep the
/// order of the requests.
const ORDER: Duration = Duration::from_millis(100);

/// The most datagrams, and requests in them, that are under way. Programs wait for
/// acknowledgements, so there are never more. Any user can send a flood of requests, which must
/// neither fill the memory nor take long to search.
const MOST: usize = 1024;
const MOST_REQUESTS: usize = 16 * 1024;

/// The most requests with one header, and acknowledgements with one header, that are compared.
const MOST_EQUAL: usize = 256;

#[derive(Debug)]
struct Datagram {
    /// They are numbered as they come.
    number: u64,
    time: SystemTime,
    arrived: Instant,
    /// The port that the program wrote, and the process that had it then: it may be gone when the
    /// acknowledgement comes.
    claimed: Option<(u32, Option<Process>)>,
    sender: Sender,
    messages: Vec<Message>,
    /// Packets were dropped while it waited: silence proves nothing.
    is_doubtful: bool,
}

#[derive(Debug)]
struct Message {
    envelope: Envelope,
    action: Action,
    outcome: Option<Outcome>,
}

impl Message {
    /// Does the outcome show that the program has `CAP_NET_ADMIN`? `EOPNOTSUPP` does not: the
    /// kernel refuses with it before it checks that.
    fn proves_privilege(&self) -> bool {
        match (self.outcome, &self.action) {
            (Some(Outcome::Accepted), _) => true,
            (Some(Outcome::Refused(errno)), Action::Change(_) | Action::Read { .. }) => {
                !matches!(errno, Errno::EPERM | Errno::EOPNOTSUPP)
            }
            _ => false,
        }
    }
}

/// An acknowledgement that belongs to one of several requests.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    port: u32,
    request: Envelope,
    outcome: Outcome,
}

/// A request with its outcome.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Paired {
    pub(super) time: SystemTime,
    pub(super) sender: Sender,
    pub(super) action: Action,
    pub(super) outcome: Outcome,
}

#[derive(Debug, Default)]
pub(super) struct Pairing {
    /// The oldest first.
    datagrams: VecDeque<Datagram>,
    /// How many there were.
    count: u64,
    /// How many requests they have.
    requests: usize,
    /// The numbers of the datagrams that have pending requests with this header: the oldest
    /// first, and each as often as it has such requests.
    open: HashMap<Envelope, Vec<u64>>,
    /// The oldest first.
    waiting: VecDeque<Waiting>,
    /// Readings that ask for an acknowledgement, also if readings are not reported.
    readings: VecDeque<Envelope>,
    /// Packets were dropped, and the next ones may have been queued before that.
    is_doubtful: bool,
    complete: Vec<Datagram>,
}

impl Datagram {
    fn pending(&mut self, request: &Envelope) -> Option<&mut Message> {
        self.messages.iter_mut().find(|message| message.envelope == *request && message.outcome.is_none())
    }

    fn is_complete(&self) -> bool {
        self.messages.last().is_none_or(|last| last.outcome.is_some())
    }

    fn deadline(&self) -> Instant {
        let wants_ack = || self.messages.last().is_some_and(|last| last.envelope.wants_ack());
        let patience = match self.is_complete() {
            true => ORDER,
            false if wants_ack() => PATIENCE,
            false => SILENCE,
        };
        self.arrived + patience
    }

    fn belongs_to(&mut self, port: u32, names: &mut impl Names) {
        let process = match self.claimed.take() {
            Some((claimed, Some(process))) if claimed == port => Some(process),
            _ => names.process(port),
        };
        self.sender = Sender { port: Some(port), process };
    }

    /// Each request with its outcome. A request that asked for no acknowledgement and got none was
    /// carried out if a later one was acknowledged. But a refusal may be missing because the
    /// program's buffer was full, which an unprivileged user can bring about: so the later
    /// acknowledgement must be one that only a privileged program gets.
    fn paired(self) -> impl Iterator<Item = Paired> {
        let acknowledged = self.messages.iter().rposition(Message::proves_privilege).unwrap_or(0);
        let Datagram { time, sender, messages, is_doubtful, .. } = self;
        messages.into_iter().enumerate().map(move |(place, message)| {
            let is_silent = place < acknowledged && !message.envelope.wants_ack() && !is_doubtful;
            let inferred = if is_silent { Outcome::Accepted } else { Outcome::Unknown };
            let outcome = message.outcome.unwrap_or(inferred);
            Paired { time, sender: sender.clone(), action: message.action, outcome }
        })
    }
}

impl Pairing {
    /// Notes the requests of a datagram.
    pub(super) fn requests(
        &mut self,
        requests: impl IntoIterator<Item = (Envelope, Action)>,
        (time, arrived): (SystemTime, Instant),
        names: &mut impl Names,
    ) {
        let message = |(envelope, action)| Message { envelope, action, outcome: None };
        let messages: Vec<_> = requests.into_iter().map(message).collect();
        let Some(first) = messages.first() else { return };
        let port = first.envelope.port;
        let claimed = (port != 0).then(|| (port, names.process(port)));
        let number = self.count;
        self.count += 1;
        for Message { envelope, .. } in &messages {
            let equal = self.open.entry(*envelope).or_default();
            equal.push(number);
            let oldest = equal[0];
            if equal.len() > MOST_EQUAL && oldest != number {
                self.give_up(oldest);
            }
        }
        self.requests += messages.len();
        while self.datagrams.len() >= MOST || self.requests > MOST_REQUESTS {
            let Some(oldest) = self.datagrams.front() else { break };
            self.give_up(oldest.number);
        }
        self.datagrams.push_back(Datagram {
            number,
            time,
            arrived,
            claimed,
            sender: Sender::default(),
            messages,
            is_doubtful: self.is_doubtful,
        });
    }

    /// Notes a reading that asks for an acknowledgement, which has an explanation then.
    pub(super) fn reading(&mut self, request: Envelope) {
        if self.readings.len() >= MOST {
            self.readings.pop_front();
        }
        self.readings.push_back(request);
    }

    /// Takes an acknowledgement in. Was its request seen?
    pub(super) fn acknowledgement(&mut self, port: u32, request: Envelope, errno: i32, names: &mut impl Names) -> bool {
        let reading = self.readings.iter().rposition(|reading| *reading == request);
        let is_of_reading = reading.and_then(|place| self.readings.remove(place)).is_some();
        if self.is_of_copy(port, &request, names) {
            return is_of_reading;
        }
        let outcome = if errno == 0 { Outcome::Accepted } else { Outcome::Refused(Errno::new(errno)) };
        let known = self.expecting(&request).find(|datagram| datagram.sender.port == Some(port));
        let known = known.map(|datagram| datagram.number);
        if let Some(number) = known {
            self.set(number, &request, outcome);
        } else if self.rivals(&request).is_empty() {
            return is_of_reading;
        } else {
            let oldest = self.waiting.front().filter(|_| self.waiting.len() >= MOST_EQUAL);
            if let Some(Waiting { request, .. }) = oldest.copied() {
                let mut finished = Vec::new();
                self.conclude(&request, Outcome::Unknown, &mut finished);
                self.finish(finished);
            }
            self.waiting.push_back(Waiting { port, request, outcome });
            self.assign(vec![request], names);
        }
        true
    }

    /// Takes a reply to a read in, which has only the number of its request.
    pub(super) fn reply(&mut self, port: u32, sequence: u32, names: &mut impl Names) {
        let is_it = |message: &Message| {
            message.envelope.sequence == sequence
                && message.outcome.is_none()
                && [0, port].contains(&message.envelope.port)
                && matches!(message.action, Action::Read { .. })
        };
        let found = self.datagrams.iter_mut().find_map(|datagram| {
            let envelope = datagram.messages.iter().find(|message| is_it(message))?.envelope;
            Some((datagram, envelope))
        });
        if let Some((datagram, envelope)) = found {
            let number = datagram.number;
            if datagram.sender.port.is_none() {
                datagram.belongs_to(port, names);
            }
            self.set(number, &envelope, Outcome::Accepted);
            let kinds = self.waiting_for(number);
            self.assign(kinds, names);
        }
    }

    /// Packets were dropped, so nothing follows from a missing acknowledgement. That holds for the
    /// datagrams that are still in the queue, too: the dropped packets would have been behind them.
    pub(super) fn doubt(&mut self) {
        self.is_doubtful = true;
        self.datagrams.iter_mut().chain(&mut self.complete).for_each(|datagram| datagram.is_doubtful = true);
    }

    /// The queue was empty after the last dropped packet.
    pub(super) fn trust(&mut self) {
        self.is_doubtful = false;
    }

    /// Gives up the datagrams that have waited too long.
    pub(super) fn expire(&mut self, now: Instant) {
        let is_over = |datagram: &&Datagram| datagram.deadline() <= now;
        let over: Vec<_> = self.datagrams.iter().filter(is_over).map(|datagram| datagram.number).collect();
        over.into_iter().for_each(|number| self.give_up(number));
    }

    /// When the next datagram must be given up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.datagrams.iter().map(Datagram::deadline).min()
    }

    /// The requests whose outcome is known by now, or never will be.
    pub(super) fn settled(&mut self) -> impl Iterator<Item = Paired> + use<> {
        let mut place = 0;
        while let Some(datagram) = self.datagrams.get(place) {
            if datagram.is_complete() {
                self.take(place);
            } else if self.waiting.is_empty() {
                place += 1;
            } else {
                // A waiting acknowledgement may belong to an earlier request. Requests are reported
                // in their order.
                break;
            }
        }
        std::mem::take(&mut self.complete).into_iter().flat_map(Datagram::paired)
    }

    /// What may be carried out at this moment.
    pub(super) fn under_way(&self) -> impl Iterator<Item = &Action> {
        self.datagrams.iter().flat_map(|datagram| &datagram.messages).map(|message| &message.action)
    }

    fn place(&self, number: u64) -> Option<usize> {
        self.datagrams.binary_search_by_key(&number, |datagram| datagram.number).ok()
    }

    /// The datagrams that have an pending request of this kind, the oldest first.
    fn expecting(&self, request: &Envelope) -> impl Iterator<Item = &Datagram> {
        let numbers = self.open.get(request).map(Vec::as_slice).unwrap_or_default();
        // Equal ones of the same datagram stand side by side.
        let numbers = numbers.chunk_by(u64::eq).map(|same| same[0]);
        numbers.filter_map(|number| self.datagrams.get(self.place(number)?))
    }

    /// Those of them whose sender is not known: an acknowledgement may belong to each.
    fn rivals(&self, request: &Envelope) -> Vec<u64> {
        let rivals = self.expecting(request).filter(|datagram| datagram.sender.port.is_none());
        rivals.map(|datagram| datagram.number).collect()
    }

    /// Does the acknowledgement belong to another process's copy of a pending request?
    fn is_of_copy(&self, port: u32, request: &Envelope, names: &mut impl Names) -> bool {
        if [0, port].contains(&request.port) {
            return false;
        }
        let claimed = |datagram: &Datagram| datagram.claimed.as_ref()?.1.as_ref().map(|process| process.pid);
        let owner = self.expecting(request).find_map(claimed);
        // A process may have written the port id of another one of its sockets.
        owner.is_some_and(|owner| names.process(port).is_none_or(|process| process.pid != owner))
    }

    /// A request of this datagram expects no acknowledgement any more.
    fn close(&mut self, number: u64, request: &Envelope) {
        let Some(numbers) = self.open.get_mut(request) else { return };
        if let Some(place) = numbers.iter().position(|other| *other == number) {
            numbers.remove(place);
        }
        if numbers.is_empty() {
            self.open.remove(request);
        }
    }

    /// Gives a request its outcome.
    fn set(&mut self, number: u64, request: &Envelope, outcome: Outcome) {
        let Some(place) = self.place(number) else { return };
        if let Some(message) = self.datagrams[place].pending(request) {
            message.outcome = Some(outcome);
            self.close(number, request);
        }
        if self.datagrams[place].is_complete() {
            self.finish(vec![number]);
        }
    }

    /// The headers of a datagram's requests for which acknowledgements are kept. When its sender is
    /// known, it is no rival any more, and they may become certain.
    fn waiting_for(&self, number: u64) -> Vec<Envelope> {
        let datagram = self.place(number).and_then(|place| self.datagrams.get(place));
        let messages = datagram.map(|datagram| &*datagram.messages).unwrap_or_default();
        let is_its = |request: &Envelope| messages.iter().any(|message| message.envelope == *request);
        self.waiting.iter().map(|waiting| waiting.request).filter(is_its).collect()
    }

    /// Assigns kept acknowledgements with these headers to their requests, as far as that is
    /// certain, and those that become certain by that.
    fn assign(&mut self, mut kinds: Vec<Envelope>, names: &mut impl Names) {
        let mut finished = Vec::new();
        while let Some(request) = kinds.pop() {
            let equal = || self.waiting.iter().filter(|waiting| waiting.request == request);
            let Some(&Waiting { port, outcome, .. }) = equal().next() else { continue };
            let (count, rivals) = (equal().count(), self.rivals(&request));
            match *rivals {
                // The only one. Its sender is known now, and other acknowledgements to that port
                // belong to it, too.
                [number] if count == 1 => {
                    let Some(place) = self.place(number) else { continue };
                    let datagram = &mut self.datagrams[place];
                    datagram.belongs_to(port, names);
                    let mut acknowledged = Vec::new();
                    self.waiting.retain(|waiting| {
                        let own = Some(waiting).filter(|waiting| waiting.port == port);
                        let message = own.and_then(|waiting| datagram.pending(&waiting.request));
                        let is_own = message.map(|message| message.outcome = Some(waiting.outcome)).is_some();
                        acknowledged.extend(Some(waiting.request).filter(|_| is_own));
                        !is_own
                    });
                    finished.extend(Some(number).filter(|_| datagram.is_complete()));
                    acknowledged.iter().for_each(|request| self.close(number, request));
                    kinds.extend(self.waiting_for(number));
                }
                _ if count >= rivals.len() => {
                    // Whose is whose does not matter if all say the same.
                    let is_certain = equal().all(|waiting| waiting.outcome == outcome);
                    let outcome = if is_certain { outcome } else { Outcome::Unknown };
                    self.conclude(&request, outcome, &mut finished);
                }
                _ => {}
            }
        }
        self.finish(finished);
    }

    /// Gives all requests of this kind the same outcome, and adds the datagrams that are complete
    /// by that.
    fn conclude(&mut self, request: &Envelope, outcome: Outcome, finished: &mut Vec<u64>) {
        self.waiting.retain(|waiting| waiting.request != *request);
        for number in self.rivals(request) {
            let Some(place) = self.place(number) else { continue };
            let datagram = &mut self.datagrams[place];
            if let Some(message) = datagram.pending(request) {
                message.outcome = Some(outcome);
            }
            finished.extend(Some(number).filter(|_| datagram.is_complete()));
            self.close(number, request);
        }
    }

    /// These datagrams expect no more acknowledgements. What may belong to them or to another
    /// datagram is not certain any more.
    fn finish(&mut self, mut numbers: Vec<u64>) {
        while let Some(number) = numbers.pop() {
            let Some(place) = self.place(number) else { continue };
            let datagram = &self.datagrams[place];
            let is_rival = datagram.sender.port.is_none();
            let silent = datagram.messages.iter().filter(|message| message.outcome.is_none());
            let silent: Vec<_> = silent.map(|message| message.envelope).collect();
            for request in silent {
                if is_rival && self.waiting.iter().any(|waiting| waiting.request == request) {
                    self.conclude(&request, Outcome::Unknown, &mut numbers);
                }
                self.close(number, &request);
            }
        }
    }

    fn give_up(&mut self, number: u64) {
        self.finish(vec![number]);
        if let Some(place) = self.place(number) {
            self.take(place);
        }
    }

    fn take(&mut self, place: usize) {
        let datagram = self.datagrams.remove(place);
        self.requests -= datagram.as_ref().map_or(0, |datagram| datagram.messages.len());
        self.complete.extend(datagram);
    }
}
