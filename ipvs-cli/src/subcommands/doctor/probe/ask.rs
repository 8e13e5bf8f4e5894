//! Sends questions at a bounded rate, again while there is no answer, and finds which one a reply
//! answers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::packet::{Contents, Mark, Packet, Way, frame, who_has};
use super::reply::{Chunk, Kind, Reply, read};
use super::wire::{Ports, Wire};

/// How long each of the packets of a question waits for an answer.
const WAITS: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];
/// The same where silence is right. Longer than a real server waits until it repeats an answer that
/// was not confirmed.
const WAITS_FOR_NONE: [Duration; 2] = [Duration::from_millis(400), Duration::from_millis(800)];
/// How many packets may follow each other at once.
const BURST: u32 = 8;

#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) link: u32,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// Which machine has this address?
    Who {
        source: IpAddr,
        target: IpAddr,
    },
    /// The same of an address that none should have.
    Claim {
        source: IpAddr,
        target: IpAddr,
    },
    Packet {
        way: Way,
        packet: Packet,
    },
}

#[derive(Debug)]
pub(super) struct Asker {
    pub(super) wires: BTreeMap<u32, Wire>,
    pub(super) ports: Ports,
    secret: u32,
    /// Between two packets.
    gap: Duration,
    next: Instant,
    first: u16,
    /// What may have to be ended, by its index.
    opened: HashMap<u16, (u32, Way, Packet)>,
    pub(super) sent: u64,
    pub(super) received: u64,
}

impl Asker {
    pub(super) fn new(wires: BTreeMap<u32, Wire>, ports: Ports, secret: u32, rate: u32) -> Self {
        let gap = Duration::from_secs(1) / rate.max(1);
        let next = Instant::now();
        Asker { wires, ports, secret, gap, next, first: 0, opened: HashMap::new(), sent: 0, received: 0 }
    }

    /// The answers to each question, none if it was not answered. At most 65,536 questions.
    pub(super) fn ask(&mut self, questions: &[Question], progress: &mut dyn FnMut(u64)) -> io::Result<Vec<Vec<Reply>>> {
        let mut heard: Vec<Vec<Reply>> = vec![Vec::new(); questions.len()];
        let mut pending = questions.len();
        let find = Find::new(questions);
        let start = Instant::now();
        let mut due: BinaryHeap<_> = (0..questions.len()).map(|number| Reverse((start, number, 0))).collect();
        while pending > 0 {
            let now = Instant::now();
            while let Some(Reverse((time, number, tries))) = due.peek().copied() {
                let question = &questions[number];
                if time > now || self.next > now {
                    break;
                }
                due.pop();
                if question.is_answered(&heard[number]) {
                    continue;
                }
                match question.waits().get(tries) {
                    Some(wait) => {
                        self.send(question, number);
                        due.push(Reverse((now + *wait, number, tries + 1)));
                    }
                    None => {
                        pending -= 1;
                        self.end_unanswered(question, number);
                    }
                }
            }
            progress(self.sent);
            let Some(Reverse((time, ..))) = due.peek() else { break };
            let wait = (*time).max(self.next).saturating_duration_since(now);
            self.wait(wait)?;
            for (link, reply) in self.receive() {
                let Some(number) = find.question(questions, self.secret, self.first, link, &reply) else { continue };
                let is_new = !questions[number].is_answered(&heard[number]);
                // Of an address that none should have, there may be any number of answers.
                if is_new && heard[number].len() < 64 {
                    heard[number].push(reply);
                    pending -= usize::from(questions[number].is_answered(&heard[number]));
                }
            }
        }
        // Late answers are no answers to later questions.
        self.first = self.first.wrapping_add(questions.len() as u16);
        Ok(heard)
    }

    /// Waits for answers that are repeated because their end was lost.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        let end = Instant::now() + WAITS_FOR_NONE.iter().sum::<Duration>();
        while let Some(rest) = end.checked_duration_since(Instant::now()) {
            self.wait(rest)?;
            self.receive();
        }
        Ok(())
    }

    fn mark(&self, number: usize) -> Mark {
        Mark { secret: self.secret, index: self.first.wrapping_add(number as u16) }
    }

    fn send(&mut self, question: &Question, number: usize) {
        let Some(own) = self.wires.get(&question.link).map(|wire| wire.mac) else { return };
        let mark = self.mark(number);
        let bytes = match &question.what {
            What::Who { source, target } | What::Claim { source, target } => who_has(own, *source, *target),
            What::Packet { way, packet } => {
                if matches!(packet.contents, Contents::Syn | Contents::Init) {
                    self.opened.insert(mark.index, (question.link, *way, *packet));
                }
                frame(way, packet, mark)
            }
        };
        self.put(question.link, bytes);
    }

    fn put(&mut self, link: u32, bytes: Option<Vec<u8>>) {
        let (Some(bytes), Some(wire)) = (bytes, self.wires.get(&link)) else { return };
        let now = Instant::now();
        self.next = self.next.max(now.checked_sub(self.gap * BURST).unwrap_or(now)) + self.gap;
        // A full queue or an interface that is down loses it, as any packet.
        if wire.send(&bytes).is_ok() {
            self.sent += 1;
        }
    }

    /// The answer may be what was lost.
    fn end_unanswered(&mut self, question: &Question, number: usize) {
        if let What::Packet { packet: Packet { contents: Contents::Syn, .. }, .. } = question.what {
            let mark = self.mark(number);
            self.end(mark.index, Contents::Reset(mark.sequence().wrapping_add(1)));
        }
    }

    fn end(&mut self, index: u16, contents: Contents) {
        let Some((link, way, packet)) = self.opened.get(&index).copied() else { return };
        let packet = Packet { contents, length: 0, ..packet };
        self.put(link, frame(&way, &packet, Mark { secret: self.secret, index }));
    }

    fn wait(&self, time: Duration) -> io::Result<()> {
        let mut all: Vec<PollFd<'_>> = self.wires.values().map(|wire| PollFd::new(wire, PollFlags::IN)).collect();
        let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
        match poll(&mut all, Some(&time)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// All that has come. What it opened is ended at once.
    fn receive(&mut self) -> Vec<(u32, Reply)> {
        let mut all = Vec::new();
        let mut buffer = [0; 2048];
        for (link, wire) in &self.wires {
            // An interface that went down says so once; another error, too, is no frame.
            while let Ok(Some(bytes)) = wire.receive(&mut buffer) {
                all.extend(read(bytes).map(|reply| (*link, reply)));
            }
        }
        self.received += all.len() as u64;
        for (_, reply) in &all {
            let Some(index) = reply.kind.index(self.secret) else { continue };
            let is_from = |from: SocketAddr, to: SocketAddr| {
                self.opened.get(&index).is_some_and(|(_, _, packet)| packet.is_between(from, to))
            };
            match reply.kind {
                Kind::Tcp { from, to, segment } if segment.is_open && is_from(from, to) => {
                    self.end(index, Contents::Reset(segment.acknowledged));
                }
                Kind::Sctp { chunk: Chunk::InitAck(tag), .. } => {
                    self.end(index, Contents::Abort(tag));
                }
                _ => {}
            }
        }
        all
    }
}

impl Question {
    fn waits(&self) -> &'static [Duration] {
        match self.what {
            What::Claim { .. } => &WAITS_FOR_NONE,
            _ => &WAITS,
        }
    }

    fn is_answered(&self, heard: &[Reply]) -> bool {
        !heard.is_empty() && !matches!(self.what, What::Claim { .. })
    }

    fn takes(&self, link: u32, reply: &Reply) -> bool {
        match (&self.what, &reply.kind) {
            (What::Who { target, .. } | What::Claim { target, .. }, Kind::Neighbour { ip, .. }) => {
                self.link == link && ip == target
            }
            (What::Packet { packet, .. }, Kind::Echo { from, to, .. }) => {
                packet.contents == Contents::Echo && (*from, *to) == (packet.target, packet.source)
            }
            (What::Packet { packet, .. }, Kind::Tcp { from, to, segment }) => {
                packet.contents == Contents::Syn
                    && (segment.is_open || segment.is_reset)
                    && packet.is_between(*from, *to)
            }
            (What::Packet { packet, .. }, Kind::Udp { from, to }) => {
                packet.contents == Contents::Datagram && packet.is_between(*from, *to)
            }
            // A real server of SCTP may answer from another of its addresses; the tag has led here.
            (What::Packet { packet, .. }, Kind::Sctp { from, to, .. }) => {
                packet.contents == Contents::Init && packet.is_between((packet.target, from.port()).into(), *to)
            }
            (What::Packet { packet, way }, Kind::Error { source, target, .. }) => {
                let of_outer = way.tunnel.is_some_and(|tunnel| (tunnel.source, tunnel.server) == (*source, *target));
                of_outer || (packet.source, packet.target) == (*source, *target)
            }
            _ => false,
        }
    }
}

impl Packet {
    /// Whether a packet is an answer to this one, by its addresses and ports.
    fn is_between(&self, from: SocketAddr, to: SocketAddr) -> bool {
        (from, to) == ((self.target, self.port).into(), (self.source, self.from).into())
    }
}

/// Finds questions by what their answers do not say.
#[derive(Debug)]
struct Find {
    who: HashMap<(u32, IpAddr), usize>,
    udp: HashMap<(SocketAddr, SocketAddr), Vec<usize>>,
}

impl Find {
    fn new(questions: &[Question]) -> Self {
        let mut find = Find { who: HashMap::new(), udp: HashMap::new() };
        for (number, question) in questions.iter().enumerate() {
            match question.what {
                What::Who { target, .. } | What::Claim { target, .. } => {
                    find.who.insert((question.link, target), number);
                }
                What::Packet { packet, .. } if packet.contents == Contents::Datagram => {
                    let ends = ((packet.target, packet.port).into(), (packet.source, packet.from).into());
                    find.udp.entry(ends).or_default().push(number);
                }
                What::Packet { .. } => {}
            }
        }
        find
    }

    fn question(&self, questions: &[Question], secret: u32, first: u16, link: u32, reply: &Reply) -> Option<usize> {
        let number = match reply.kind {
            Kind::Neighbour { ip, .. } => *self.who.get(&(link, ip))?,
            Kind::Udp { from, to } => {
                let all = self.udp.get(&(from, to))?;
                let is_hop = |number: &&usize| matches!(questions[**number].what, What::Packet { way, .. } if way.hop == reply.mac);
                *all.iter().find(is_hop).or_else(|| all.first().filter(|_| all.len() == 1))?
            }
            kind => usize::from(kind.index(secret)?.wrapping_sub(first)),
        };
        questions.get(number).filter(|question| question.takes(link, reply)).map(|_| number)
    }
}
