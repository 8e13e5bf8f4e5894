//! What all clients do, however they wait: once for the blocking client and the asynchronous one.
//!
//! The only thing that is waited for is the next datagram, in [`Carrier::receive`]. Everything else runs through: the kernel
//! carries requests out while they are sent. A future of these may be dropped at any time: what it leaves behind is either
//! gone with it ([`Core::flush`]) or noted ([`Core::clear_the_way`]), and answers that come late are passed over by their number.

use std::collections::HashMap;
use std::io::ErrorKind;

use foldhash::fast::RandomState;

use super::carrier::{Carrier, Paced};
use crate::cause::Cause;
use crate::command::Command;
use crate::daemon::Daemon;
use crate::errno::Errno;
use crate::error::Error;
use crate::exchange::{Limits, Outcome, Progress, Query, SequenceNumbers, Window, may_have_missed};
use crate::explain::is_broadcast_here;
use crate::info::Info;
use crate::link::Datagrams;
use crate::netns::NamespaceError;
use crate::service::{Service, ServiceKey};
use crate::timeouts::Timeouts;
use crate::wire::{self, Detail, Read, WireError};

#[derive(Debug)]
pub(crate) struct Core<C> {
    pub(super) carrier: C,
    family: u16,
    numbers: SequenceNumbers,
    /// How many changes may be under way at once; known from the first of them on.
    limits: Option<Limits>,
    /// What was pushed and not yet sent.
    window: Window,
    pub(super) request: Vec<u8>,
    reply: Vec<u8>,
    /// A dump that was not read to its end: the kernel begins no other before.
    unfinished: Option<Query>,
    /// How many destinations services of IPv4 had when all of them were read, until each is asked for its destinations.
    pub(super) destination_counts: HashMap<ServiceKey, usize, RandomState>,
    /// A conversation broke off, and left answers that wait to be received.
    is_littered: bool,
}

impl<C: Carrier> Core<C> {
    pub(super) async fn over(carrier: C) -> Result<Self, Error> {
        let mut core = Self::with(carrier, 0);
        core.family = core.resolve_family().await?;
        Ok(core)
    }

    /// Another one, over a carrier to the same kernel.
    pub(super) fn beside<D: Carrier>(&self, carrier: D) -> Core<D> {
        Core::with(carrier, self.family)
    }

    /// The same conversation, waited for in another way.
    #[cfg(feature = "tokio")]
    pub(super) fn carried_by<D>(self, change: impl FnOnce(C) -> D) -> Core<D> {
        let Core {
            carrier,
            family,
            numbers,
            limits,
            window,
            request,
            reply,
            unfinished,
            destination_counts,
            is_littered,
        } = self;
        let carrier = change(carrier);
        Core { carrier, family, numbers, limits, window, request, reply, unfinished, destination_counts, is_littered }
    }

    fn with(carrier: C, family: u16) -> Self {
        Core {
            carrier,
            family,
            numbers: SequenceNumbers::default(),
            limits: None,
            window: Window::default(),
            request: Vec::new(),
            reply: Vec::new(),
            unfinished: None,
            destination_counts: HashMap::default(),
            is_littered: false,
        }
    }

    /// For work that nothing is sent for.
    pub(crate) fn paced(&mut self) -> Paced<'_, C> {
        Paced::new(&mut self.carrier)
    }

    async fn resolve_family(&mut self) -> Result<u16, Error> {
        let sequence = self.numbers.take(1);
        self.request.clear();
        let query = Query::resolve(&mut self.request, sequence);
        let mut family = None;
        let take = |heard: Heard<'_>| {
            if let Heard::Message(attrs) = heard {
                family = Some(wire::decode_family_id(attrs)?);
            }
            Ok(())
        };
        match self.converse(Datagrams::Long, query, take).await {
            Ok(()) => family.ok_or(Error::ModuleMissing),
            Err(error) if error.errno() == Some(Errno::ENOENT) => Err(Error::ModuleMissing),
            Err(error) => Err(error),
        }
    }

    /// Asks for the number of the family again: has it another one, as after a reload of the module?
    async fn has_moved(&mut self) -> Result<bool, Error> {
        let family = self.resolve_family().await?;
        Ok(std::mem::replace(&mut self.family, family) != family)
    }
}

/// Changes.
impl<C: Carrier> Core<C> {
    pub(crate) async fn execute(&mut self, command: &Command) -> Result<(), Error> {
        self.begin();
        self.window.push(self.family, &mut self.numbers, command);
        let outcome = self.flush().await?.pop();
        Ok(outcome.unwrap_or(Ok(()))?)
    }

    pub(crate) async fn execute_all<'c>(
        &mut self,
        commands: impl IntoIterator<Item = &'c Command>,
    ) -> Result<Vec<Outcome>, Error> {
        self.begin();
        let mut outcomes = Vec::new();
        for command in commands {
            if self.gather(command) {
                self.flush_after(&mut outcomes).await?;
            }
        }
        self.flush_after(&mut outcomes).await?;
        Ok(outcomes)
    }

    /// As [`flush`](Self::flush), after others whose outcomes nobody will learn if it fails.
    async fn flush_after(&mut self, outcomes: &mut Vec<Outcome>) -> Result<(), Error> {
        match self.flush().await {
            Ok(mut more) => outcomes.append(&mut more),
            Err(error) if outcomes.is_empty() => return Err(error),
            Err(error) => return Err(error.after_sending()),
        }
        Ok(())
    }

    /// Forgets what was gathered and not sent.
    pub(crate) fn begin(&mut self) {
        self.window.clear();
        self.destination_counts.clear();
    }

    /// Adds a command to those that are sent together. Must they be sent now?
    pub(crate) fn gather(&mut self, command: &Command) -> bool {
        let limits = match self.limits {
            Some(limits) => limits,
            None => *self.limits.insert(Limits::of(self.carrier.link().prepare_window())),
        };
        self.window.push(self.family, &mut self.numbers, command);
        self.window.is_full(limits)
    }

    pub(crate) fn gathered(&self) -> usize {
        self.window.len()
    }

    /// Carries one command out and leaves alone what was gathered. It is one that can't change anything, so nothing is unknown if that fails.
    pub(crate) async fn try_command(&mut self, command: &Command) -> Result<Outcome, Error> {
        let mut window = Window::default();
        window.push(self.family, &mut self.numbers, command);
        match self.exchange(&mut window).await {
            Ok(()) => Ok(window.take().pop().unwrap_or(Ok(()))),
            Err(Error::OutcomeUnknown(error)) => Err(*error),
            Err(error) => Err(error),
        }
    }

    /// Sends what was gathered, and waits for its outcomes.
    pub(crate) async fn flush(&mut self) -> Result<Vec<Outcome>, Error> {
        if self.window.is_empty() {
            return Ok(Vec::new());
        }
        // Taken out, so that it goes with this future: it must not be sent twice.
        let mut window = std::mem::take(&mut self.window);
        let result = self.exchange(&mut window).await;
        let outcomes = window.take();
        // Its buffers are used again.
        self.window = window;
        result.map(|()| outcomes)
    }

    async fn exchange(&mut self, window: &mut Window) -> Result<(), Error> {
        if window.family() != self.family {
            window.readdress(self.family, &mut self.numbers);
        }
        self.exchange_once(window).await?;
        if window.may_have_missed() && self.has_moved().await? {
            window.readdress(self.family, &mut self.numbers);
            self.exchange_once(window).await?;
        }
        Ok(())
    }

    async fn exchange_once(&mut self, window: &mut Window) -> Result<(), Error> {
        self.clear_the_way().await?;
        self.carrier.link().receive_in(Datagrams::Long);
        match self.carrier.link().send(window.datagram()) {
            Err(Error::Io(error)) if error.kind() == ErrorKind::WriteZero => {
                return Err(Error::from(error).after_sending());
            }
            sent => sent?,
        }
        let heard = self.hear(window).await;
        self.is_littered |= heard.is_err();
        heard.map_err(Error::after_sending)
    }

    async fn hear(&mut self, window: &mut Window) -> Result<(), Error> {
        loop {
            if !window.may_end_in_silence() {
                self.carrier.receive(&mut self.reply).await?;
            } else if !self.carrier.link().try_receive(&mut self.reply)? {
                return Ok(());
            }
            if window.feed(&self.reply)? == Progress::Done {
                return Ok(());
            }
        }
    }
}

/// What comes as an answer.
pub(super) enum Heard<'a> {
    /// The attributes of a message.
    Message(&'a [u8]),
    /// The end of a datagram that had so many bytes.
    End(usize),
}

/// More datagrams than any receive buffer holds.
const LITTER: usize = 10_000;

/// Reads.
impl<C: Carrier> Core<C> {
    pub(crate) async fn timeouts(&mut self) -> Result<Timeouts, Error> {
        self.one(&Read::Timeouts, wire::decode_timeouts).await
    }

    pub(crate) async fn daemons(&mut self) -> Result<Vec<Daemon>, Error> {
        let mut daemons = Vec::new();
        let take = |attrs: &[u8]| {
            daemons.push(wire::decode_daemon(attrs)?);
            Ok(())
        };
        self.query(&Read::Daemons, take).await?;
        Ok(daemons)
    }

    pub(crate) async fn info(&mut self) -> Result<Info, Error> {
        self.one(&Read::Info, wire::decode_info).await
    }

    pub(crate) async fn explain(&mut self, command: &Command, errno: Errno) -> Result<Option<Cause>, Error> {
        let mut table = self.table(Detail::NoStatistics).await?;
        if errno == Errno::ENOENT {
            // Then the kernel may lack what every kernel is expected to have.
            self.probe_modules(&mut table, command.service().into_iter().flat_map(Service::modules)).await?;
        }
        self.probe(&mut table, [command]).await?;
        let link = self.carrier.link();
        let mut is_broadcast = Ok(false);
        let cause = table.cause_of(command, errno, |address| {
            is_broadcast = link.visit(|| is_broadcast_here(address));
            matches!(is_broadcast, Ok(true))
        });
        match is_broadcast {
            // This thread must not go on as if it were where it was.
            Err(error @ NamespaceError::Leave { .. }) => Err(error.into()),
            _ => Ok(cause),
        }
    }

    /// A read that is answered by one message.
    pub(super) async fn one<T>(
        &mut self,
        read: &Read,
        decode: impl Fn(&[u8]) -> Result<T, WireError>,
    ) -> Result<T, Error> {
        let mut found = None;
        let take = |attrs: &[u8]| {
            found = Some(decode(attrs)?);
            Ok(())
        };
        self.query(read, take).await?;
        found.ok_or(Error::Decode(WireError::Missing("the reply")))
    }

    async fn query(&mut self, read: &Read, mut take: impl FnMut(&[u8]) -> Result<(), WireError>) -> Result<(), Error> {
        let take = |heard: Heard<'_>| match heard {
            Heard::Message(attrs) => take(attrs),
            Heard::End(_) => Ok(()),
        };
        self.query_in(Datagrams::Long, read, take).await
    }

    /// As `query`, with the datagrams of a dump cut to this size, whose ends `take` hears of.
    pub(super) async fn query_in(
        &mut self,
        datagrams: Datagrams,
        read: &Read,
        mut take: impl FnMut(Heard<'_>) -> Result<(), WireError>,
    ) -> Result<(), Error> {
        let answered = self.query_once(datagrams, read, &mut take).await;
        match &answered {
            Err(Error::Refused(refusal)) if may_have_missed(refusal.errno) => {
                if self.has_moved().await? {
                    self.query_once(datagrams, read, take).await
                } else {
                    answered
                }
            }
            Err(Error::Decode(_)) => {
                // Another family may have answered. Part of it was taken, so the next call is the one to do better.
                let _ = self.has_moved().await;
                answered
            }
            _ => answered,
        }
    }

    async fn query_once(
        &mut self,
        datagrams: Datagrams,
        read: &Read,
        take: impl FnMut(Heard<'_>) -> Result<(), WireError>,
    ) -> Result<(), Error> {
        let sequence = self.numbers.take(1);
        self.request.clear();
        let query = Query::read(&mut self.request, self.family, sequence, read);
        self.converse(datagrams, query, take).await
    }

    /// Sends a question; `take` gets each message that answers.
    async fn converse(
        &mut self,
        datagrams: Datagrams,
        query: Query,
        take: impl FnMut(Heard<'_>) -> Result<(), WireError>,
    ) -> Result<(), Error> {
        self.clear_the_way().await?;
        self.carrier.link().receive_in(datagrams);
        self.unfinished = query.is_dump().then_some(query);
        if let Err(error) = self.carrier.link().send(&self.request) {
            self.unfinished = None;
            return Err(error);
        }
        let answered = self.hear_answer(query, take).await;
        self.is_littered |= answered.is_err();
        if matches!(answered, Err(Error::Deadline(_))) {
            // It does not go on, and shall not keep the next call waiting, too.
            self.unfinished = None;
        }
        answered
    }

    async fn hear_answer(
        &mut self,
        query: Query,
        mut take: impl FnMut(Heard<'_>) -> Result<(), WireError>,
    ) -> Result<(), Error> {
        // A dump is read to its end even if part of it can't be understood.
        let mut misunderstood = None;
        loop {
            self.carrier.receive(&mut self.reply).await?;
            let mut take = |heard: Heard<'_>| {
                if misunderstood.is_none() {
                    misunderstood = take(heard).err();
                }
            };
            let progress = query.feed(&self.reply, &mut |attrs| take(Heard::Message(attrs)));
            take(Heard::End(self.reply.len()));
            if matches!(progress, Ok(Progress::Done) | Err(Error::Refused(_))) {
                self.unfinished = None;
            }
            if progress? == Progress::Done {
                return misunderstood.map_or(Ok(()), |error| Err(error.into()));
            }
        }
    }

    /// Reads what is left of a conversation that broke off, or whose future was dropped.
    async fn clear_the_way(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.is_littered) {
            self.sweep();
        }
        while self.unfinished.is_some() {
            if let Err(error) = self.carrier.receive(&mut self.reply).await {
                self.is_littered = true;
                if matches!(error, Error::Deadline(_)) {
                    // It does not go on, and shall not keep others waiting.
                    self.unfinished = None;
                }
                return Err(error);
            }
            self.end_dump();
        }
        Ok(())
    }

    /// Takes away what waits. Of lost replies netlink tells once, and loses all others until those before are received.
    fn sweep(&mut self) {
        for _ in 0..LITTER {
            match self.carrier.link().try_receive(&mut self.reply) {
                Ok(true) => self.end_dump(),
                Err(Error::RepliesLost | Error::Truncated(_)) => {}
                Ok(false) | Err(_) => return,
            }
        }
    }

    /// Is the dump that nobody wants any more at its end?
    fn end_dump(&mut self) {
        let Some(query) = self.unfinished else { return };
        if matches!(query.feed(&self.reply, &mut |_| {}), Ok(Progress::Done) | Err(Error::Refused(_))) {
            self.unfinished = None;
        }
    }
}

#[cfg(test)]
#[path = "conversation_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "fault_tests.rs"]
mod fault_tests;
