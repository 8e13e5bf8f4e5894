//! From packets and readings to events, without input or output.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use super::event::{Action, Event, EventKind, Outcome};
use super::model::Model;
use super::pairing::{Names, Paired, Pairing};
use crate::table::Table;
use crate::wire::{Announced, Observed, Piece, Request, announcements, observe};

/// With more packets that wait the monitor is behind.
const FEW: usize = 32;

/// In as many bursts all packets are taken that the socket's queue can hold: 131,072, of which each
/// takes 640 of its 64 MiB or more.
const BURSTS: u32 = 512;

/// No packet waits for as long.
const OLDEST: Duration = Duration::from_secs(600);

/// What time it is, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) time: SystemTime,
    pub(super) instant: Instant,
}

impl Now {
    pub(super) fn read() -> Self {
        Now { time: SystemTime::now(), instant: Instant::now() }
    }
}

#[derive(Debug)]
pub(super) struct Watcher<N> {
    /// The number of the IPVS family; 0 without the module.
    pub(super) family: u16,
    reads: bool,
    names: N,
    pairing: Pairing,
    model: Option<Model>,
    events: VecDeque<Event>,
    /// Requests that the filter cut off.
    cut: u32,
    /// Requests that were not seen, but were acknowledged as carried out.
    unseen: u32,
    /// Did more packets wait than a burst takes?
    is_behind: bool,
    reading: Option<Reading>,
    own: u32,
}

/// A reading that has ended. It is compared when all packets from before that are taken in.
#[derive(Debug)]
struct Reading {
    /// `None` if it failed.
    table: Option<Table>,
    ended: Instant,
    bursts: u32,
}

impl<N: Names> Watcher<N> {
    pub(super) fn new(family: u16, reads: bool, compare: Option<Duration>, names: N) -> Self {
        Watcher {
            family,
            reads,
            names,
            pairing: Pairing::default(),
            model: compare.map(Model::new),
            events: VecDeque::new(),
            cut: 0,
            unseen: 0,
            is_behind: false,
            reading: None,
            own: std::process::id(),
        }
    }

    pub(super) fn reads(&self) -> bool {
        self.reads
    }

    pub(super) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Takes a packet in, the first of several that wait or a later one.
    pub(super) fn nth_packet(&mut self, place: usize, sent: Option<SystemTime>, packet: &[u8]) {
        let now = Now::read();
        let time = sent.unwrap_or(now.time);
        // Unless the clock was set meanwhile.
        let age = now.time.duration_since(time).ok().filter(|age| *age < OLDEST);
        self.names.about(self.is_behind || place >= FEW, age);
        self.packet(packet, Now { time, ..now });
    }

    /// Takes a packet in.
    pub(super) fn packet(&mut self, packet: &[u8], now: Now) {
        match observe(packet, self.family) {
            Observed::Requests(pieces) => {
                let mut requests = Vec::new();
                for piece in pieces {
                    match piece {
                        Piece::Request { envelope, command, request } => {
                            let action = match request {
                                Ok(Some(Request::Change(change))) => Action::Change(change),
                                Ok(Some(Request::Read(read))) => Action::of_read(&read),
                                Ok(_) => Action::Other { number: command, error: None },
                                Err(error) => Action::Other { number: command, error: Some(error) },
                            };
                            requests.push((envelope, action));
                        }
                        Piece::Cut => self.cut += 1,
                    }
                }
                for (envelope, action) in &requests {
                    if matches!(action, Action::Read { .. }) && envelope.wants_ack() && !envelope.is_dump() {
                        self.pairing.reading(*envelope);
                    }
                }
                // What nobody wants to see need not be waited for.
                if self.reads || requests.iter().any(|(_, action)| !matches!(action, Action::Read { .. })) {
                    self.pairing.requests(requests, (now.time, now.instant), &mut self.names);
                }
            }
            Observed::Acknowledgement { port, request, errno } => {
                let is_explained = self.pairing.acknowledgement(port, request, errno, &mut self.names);
                // Anybody can have a refusal sent, or an acknowledgement of what is no request.
                if !is_explained && errno == 0 && request.is_request() {
                    self.unseen += 1;
                }
            }
            Observed::Reply { port, sequence } => self.pairing.reply(port, sequence, &mut self.names),
            Observed::Foreign => {}
        }
    }

    /// All received packets were processed; `dropped` is how many the kernel has dropped until
    /// then. Perhaps more packets wait.
    pub(super) fn settle(&mut self, dropped: u32, has_more: bool, now: Now) {
        self.is_behind = has_more;
        // What was dropped explains why requests were not seen.
        let unseen = Some(std::mem::take(&mut self.unseen)).filter(|_| dropped == 0).unwrap_or_default();
        let lost = dropped.saturating_add(std::mem::take(&mut self.cut)).saturating_add(unseen);
        if dropped > 0 {
            self.pairing.doubt();
        } else if !has_more {
            self.pairing.trust();
        }
        self.pairing.expire(now.instant);
        for paired in self.pairing.settled() {
            self.report(paired, now);
        }
        if lost > 0 {
            self.push(now, EventKind::Lost { packets: lost });
            self.model.iter_mut().for_each(|model| model.hurry(now.instant));
        }
    }

    fn report(&mut self, Paired { time, sender, action, outcome }: Paired, now: Now) {
        if let (Some(model), Action::Change(command)) = (&mut self.model, &action) {
            match outcome {
                Outcome::Accepted => model.changed(command, now.instant),
                Outcome::Refused(_) => {}
                Outcome::Unknown => {
                    model.may_have_changed(command);
                    model.hurry(now.instant);
                }
            }
        }
        if let Action::Other { .. } = action {
            // What it did is found by comparing.
            self.model.iter_mut().filter(|_| outcome == Outcome::Accepted).for_each(|model| model.hurry(now.instant));
        }
        let is_own = sender.process.as_ref().is_some_and(|process| process.pid == self.own);
        // A reading without a reply may be the monitor's own.
        let is_wanted = self.reads && !is_own && outcome != Outcome::Unknown;
        if is_wanted || !matches!(action, Action::Read { .. }) {
            self.events.push_back(Event { time, kind: EventKind::Request { sender, action, outcome } });
        }
    }

    fn push(&mut self, now: Now, kind: EventKind) {
        self.events.push_back(Event { time: now.time, kind });
    }

    /// Takes a datagram of the controller in. Did the number of the family change?
    pub(super) fn announced(&mut self, datagram: &[u8], now: Now) -> bool {
        let before = self.family;
        for announced in announcements(datagram) {
            self.family = match announced {
                Announced::Family(family) => family,
                Announced::NoFamily => 0,
            };
            let is_there = self.family != 0;
            self.push(now, if is_there { EventKind::ModuleLoaded } else { EventKind::ModuleUnloaded });
            self.model.iter_mut().for_each(Model::emptied);
        }
        self.family != before
    }

    /// Is the table to be read now?
    pub(super) fn wants_table(&self, now: Now) -> bool {
        self.family != 0 && self.reading.is_none() && self.model.as_ref().is_some_and(|model| model.is_due(now.instant))
    }

    pub(super) fn begin_reading(&mut self) {
        let Watcher { pairing, model, .. } = self;
        model.iter_mut().for_each(|model| model.begin(pairing.under_way().filter_map(Action::command)));
    }

    /// The table as it was read; `None` if that failed.
    pub(super) fn end_reading(&mut self, table: Option<Table>, now: Now) {
        self.reading = Some(Reading { table, ended: now.instant, bursts: 0 });
    }

    /// Compares what was read, if all packets that came until then were taken in.
    pub(super) fn compare(&mut self, has_more: bool, now: Now) {
        let Some(reading) = &mut self.reading else { return };
        reading.bursts += 1;
        if has_more && reading.bursts < BURSTS {
            return;
        }
        let Some(Reading { table, .. }) = self.reading.take() else { return };
        let Watcher { pairing, model: Some(model), .. } = self else { return };
        pairing.under_way().filter_map(Action::command).for_each(|command| model.may_have_changed(command));
        let found = match table {
            Some(table) => model.compare(table, now.instant),
            None => {
                model.failed(now.instant);
                Vec::new()
            }
        };
        found.into_iter().map(EventKind::Found).for_each(|kind| self.push(now, kind));
    }

    /// When there is something to do even if no packet comes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let reading = self.model.as_ref().filter(|_| self.family != 0).and_then(Model::due);
        let ended = self.reading.as_ref().map(|reading| reading.ended);
        self.pairing.deadline().into_iter().chain(reading).chain(ended).min()
    }
}
