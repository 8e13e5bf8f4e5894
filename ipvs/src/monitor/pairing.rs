//! Which answer belongs to which request.
//!
//! A request carries the port id that its program wrote, often 0; the answer carries the true one,
//! and repeats the header of the request. So an answer belongs to the request with the same header,
//! and has its port. If several pending datagrams have such a request, answers are kept until there
//! are as many as requests: if all are equal, that is the outcome of each.
//!
//! Any user may send a copy of another program's request, which the kernel refuses. If the program
//! wrote its port id, an answer to another process's port is of such a copy.

use std::collections::VecDeque;
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

/// How long to wait for an answer that comes only if the request is refused.
const SILENCE: Duration = Duration::from_secs(1);

/// More datagrams are never under way. A flood of them must not fill the memory.
const MOST: usize = 4096;

#[derive(Debug)]
struct Datagram {
    time: SystemTime,
    arrived: Instant,
    /// The port that the program wrote, and what had it then: the process may be gone when the
    /// answer comes.
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
    /// Was it answered in a way that takes `CAP_NET_ADMIN`? Before the kernel looks for that, it
    /// may say `EOPNOTSUPP`.
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

/// An answer that belongs to one of several requests.
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
    waiting: Vec<Waiting>,
    complete: Vec<Datagram>,
}

impl Datagram {
    fn unanswered(&mut self, request: &Envelope) -> Option<&mut Message> {
        self.messages.iter_mut().find(|message| message.envelope == *request && message.outcome.is_none())
    }

    fn expects(&self, request: &Envelope) -> bool {
        self.messages.iter().any(|message| message.envelope == *request && message.outcome.is_none())
    }

    fn is_complete(&self) -> bool {
        self.messages.last().is_none_or(|last| last.outcome.is_some())
    }

    fn deadline(&self) -> Instant {
        let wants_ack = self.messages.last().is_some_and(|last| last.envelope.wants_ack());
        self.arrived + if wants_ack { PATIENCE } else { SILENCE }
    }

    fn belongs_to(&mut self, port: u32, names: &mut impl Names) {
        let process = match self.claimed.take() {
            Some((claimed, Some(process))) if claimed == port => Some(process),
            _ => names.process(port),
        };
        self.sender = Sender { port: Some(port), process };
    }

    /// Each request with its outcome. One without an answer was carried out if a later one was
    /// answered, and it asked for none. But a refusal may be missing because the program's buffer
    /// was full, which a user without privileges can bring about: so the later answer must be one
    /// that only a privileged program gets.
    fn paired(self) -> impl Iterator<Item = Paired> {
        let answered = self.messages.iter().rposition(Message::proves_privilege).unwrap_or(0);
        let Datagram { time, sender, messages, is_doubtful, .. } = self;
        messages.into_iter().enumerate().map(move |(place, message)| {
            let is_silent = place < answered && !message.envelope.wants_ack() && !is_doubtful;
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
        if self.datagrams.len() >= MOST {
            self.complete.extend(self.datagrams.pop_front());
        }
        self.datagrams.push_back(Datagram {
            time,
            arrived,
            claimed,
            sender: Sender::default(),
            messages,
            is_doubtful: false,
        });
    }

    /// Is it an answer to another process's copy of a request that waits?
    fn is_of_copy(&self, port: u32, request: &Envelope, names: &mut impl Names) -> bool {
        if [0, port].contains(&request.port) {
            return false;
        }
        let claimed = |datagram: &Datagram| datagram.claimed.as_ref()?.1.as_ref().map(|process| process.pid);
        let owner = self.datagrams.iter().filter(|datagram| datagram.expects(request)).find_map(claimed);
        // A process may have written the port id of another one of its sockets.
        owner.is_some_and(|owner| names.process(port).is_none_or(|process| process.pid != owner))
    }

    /// Takes the kernel's answer in.
    pub(super) fn answer(&mut self, port: u32, request: Envelope, errno: i32, names: &mut impl Names) {
        if self.is_of_copy(port, &request, names) {
            return;
        }
        let outcome = if errno == 0 { Outcome::Accepted } else { Outcome::Refused(Errno::new(errno)) };
        let is_known = |datagram: &&mut Datagram| datagram.sender.port == Some(port);
        let known = self.datagrams.iter_mut().filter(is_known).find_map(|datagram| datagram.unanswered(&request));
        match known {
            Some(message) => message.outcome = Some(outcome),
            None => self.waiting.push(Waiting { port, request, outcome }),
        }
        while self.assign(names) {}
        self.take_complete();
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
            let place = datagram.messages.iter().position(is_it)?;
            Some((datagram, place))
        });
        if let Some((datagram, place)) = found {
            if datagram.sender.port.is_none() {
                datagram.belongs_to(port, names);
            }
            datagram.messages[place].outcome = Some(Outcome::Accepted);
            self.take_complete();
        }
    }

    /// Packets were dropped: from what is missing, nothing follows.
    pub(super) fn doubt(&mut self) {
        self.datagrams.iter_mut().chain(&mut self.complete).for_each(|datagram| datagram.is_doubtful = true);
    }

    /// Gives those up that have waited too long.
    pub(super) fn expire(&mut self, now: Instant) {
        self.take(|datagram| datagram.deadline() <= now);
    }

    /// When the next must be given up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.datagrams.iter().map(Datagram::deadline).min()
    }

    /// The requests whose outcome is known by now, or never will be.
    pub(super) fn settled(&mut self) -> impl Iterator<Item = Paired> + use<> {
        std::mem::take(&mut self.complete).into_iter().flat_map(Datagram::paired)
    }

    /// What may be carried out at this moment.
    pub(super) fn under_way(&self) -> impl Iterator<Item = &Action> {
        self.datagrams.iter().flat_map(|datagram| &datagram.messages).map(|message| &message.action)
    }

    fn take_complete(&mut self) {
        if self.waiting.is_empty() {
            return self.take(Datagram::is_complete);
        }
        // An earlier one may be of the same program: its requests are to be reported in their
        // order.
        while self.datagrams.front().is_some_and(Datagram::is_complete) {
            self.give_up_rivals_of(0);
            self.complete.extend(self.datagrams.pop_front());
        }
    }

    fn take(&mut self, is_over: impl Fn(&Datagram) -> bool) {
        while let Some(place) = self.datagrams.iter().position(&is_over) {
            self.give_up_rivals_of(place);
            self.complete.extend(self.datagrams.remove(place));
        }
    }

    /// The datagrams that an answer of this kind may belong to.
    fn rivals(&self, request: &Envelope) -> Vec<usize> {
        let may_be = |datagram: &Datagram| datagram.sender.port.is_none() && datagram.expects(request);
        let places = self.datagrams.iter().enumerate();
        places.filter(|(_, datagram)| may_be(datagram)).map(|(place, _)| place).collect()
    }

    /// Gives answers that were kept to their requests, as far as that is certain. Was there any?
    fn assign(&mut self, names: &mut impl Names) -> bool {
        for first in 0..self.waiting.len() {
            let Waiting { port, request, outcome } = self.waiting[first];
            let rivals = self.rivals(&request);
            let equal = || self.waiting.iter().filter(|waiting| waiting.request == request);
            match *rivals {
                // The only one: its sender is known now, and other answers to that are its own,
                // too.
                [place] if equal().count() == 1 => {
                    let datagram = &mut self.datagrams[place];
                    datagram.belongs_to(port, names);
                    self.waiting.retain(|waiting| {
                        let own = Some(waiting).filter(|waiting| waiting.port == port);
                        let message = own.and_then(|waiting| datagram.unanswered(&waiting.request));
                        message.map(|message| message.outcome = Some(waiting.outcome)).is_none()
                    });
                    return true;
                }
                // Also if its request was not seen: there are none then.
                _ if equal().count() >= rivals.len() => {
                    // Whose is whose does not matter if all say the same.
                    let is_certain = equal().all(|waiting| waiting.outcome == outcome);
                    self.conclude(&request, if is_certain { outcome } else { Outcome::Unknown });
                    return true;
                }
                _ => {}
            }
        }
        false
    }

    /// Gives all requests of this kind the same outcome.
    fn conclude(&mut self, request: &Envelope, outcome: Outcome) {
        for place in self.rivals(request) {
            if let Some(message) = self.datagrams[place].unanswered(request) {
                message.outcome = Some(outcome);
            }
        }
        self.waiting.retain(|waiting| waiting.request != *request);
    }

    /// Before a datagram goes: of answers that may be its own, or another's, nothing is certain any
    /// more.
    fn give_up_rivals_of(&mut self, place: usize) {
        let datagram = &self.datagrams[place];
        if datagram.sender.port.is_none() {
            let mut doubtful: Vec<Envelope> = self.waiting.iter().map(|waiting| waiting.request).collect();
            doubtful.retain(|request| datagram.expects(request));
            doubtful.iter().for_each(|request| self.conclude(request, Outcome::Unknown));
        }
    }
}
