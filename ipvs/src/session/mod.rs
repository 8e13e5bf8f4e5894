//! What all clients do, however they wait: once for the blocking client and the asynchronous one.
//!
//! The only thing that is waited for is the next datagram, in [`Transport::receive`]. Everything
//! else runs through: the kernel carries requests out while they are sent. A future of these may be
//! dropped at any time: what it leaves behind is either gone with it ([`Session::flush`]) or noted
//! ([`Session::drain_stale_replies`]), and replies that come late are passed over by their number.

mod copied;
mod counters;
mod explain;
mod probe;
mod reading;
mod seams;
mod transport;

use std::io::ErrorKind;

pub(crate) use self::counters::Memory;
pub(crate) use self::reading::Counts;
#[cfg(test)]
pub(crate) use self::reading::laws as reading_laws;
pub(crate) use self::transport::{Blocking, NoTasks, Pace, Paced, Transport, block_on_ready};

use crate::command::Command;
use crate::daemon::Daemon;
use crate::errno::Errno;
use crate::error::Error;
use crate::exchange::Datagrams;
use crate::exchange::{Limits, Progress, Query, SequenceNumbers, Window, may_have_missed};
use crate::info::Info;
use crate::refusal::Outcome;
use crate::timeouts::Timeouts;
use crate::wire::{self, Read, WireError};

#[derive(Debug)]
pub(crate) struct Session<C> {
    pub(crate) transport: C,
    state: State,
}

/// How far the conversation is, and buffers for it.
#[derive(Debug, Default)]
struct State {
    family: u16,
    numbers: SequenceNumbers,
    /// How many changes may be under way at once; known from the first of them on.
    limits: Option<Limits>,
    /// What was pushed and not yet sent.
    window: Window,
    request: Vec<u8>,
    reply: Vec<u8>,
    /// A dump that was not read to its end: the kernel begins no other before.
    unfinished: Option<Query>,
    /// A conversation broke off, and left replies that wait to be received.
    has_stale_replies: bool,
}

impl<C: Transport> Session<C> {
    pub(crate) async fn over(transport: C) -> Result<Self, Error> {
        let mut session = Self::with(transport, 0);
        session.state.family = session.resolve_family().await?;
        Ok(session)
    }

    /// Another one, over a carrier to the same kernel.
    pub(crate) fn beside<D: Transport>(&self, transport: D) -> Session<D> {
        Session::with(transport, self.state.family)
    }

    /// The same conversation, waited for in another way.
    #[cfg(feature = "tokio")]
    pub(crate) fn over_transport<D>(self, change: impl FnOnce(C) -> D) -> Session<D> {
        Session { transport: change(self.transport), state: self.state }
    }

    fn with(transport: C, family: u16) -> Self {
        let numbers = SequenceNumbers::of_this_process();
        Session { transport, state: State { family, numbers, ..State::default() } }
    }

    /// The number that the family of IPVS had when it was last needed.
    pub(crate) fn family(&self) -> u16 {
        self.state.family
    }

    /// For work that nothing is sent for.
    pub(crate) fn paced(&mut self) -> Paced<'_, C> {
        Paced::new(&mut self.transport)
    }

    async fn resolve_family(&mut self) -> Result<u16, Error> {
        let sequence = self.state.numbers.take(1);
        self.state.request.clear();
        let query = Query::resolve(&mut self.state.request, sequence);
        let mut family = None;
        let take = |received: Received<'_>| {
            if let Received::Message(attrs) = received {
                family = Some(wire::decode_family_id(attrs)?);
            }
            Ok(())
        };
        match self.send_query(Datagrams::Long, query, take).await {
            Ok(()) => family.ok_or(Error::ModuleMissing),
            Err(error) if error.errno() == Some(Errno::ENOENT) => Err(Error::ModuleMissing),
            Err(error) => Err(error),
        }
    }

    /// Asks for the number of the family again: has it another one, as after a reload of the
    /// module?
    async fn has_moved(&mut self) -> Result<bool, Error> {
        let family = self.resolve_family().await?;
        Ok(std::mem::replace(&mut self.state.family, family) != family)
    }
}

/// Changes.
impl<C: Transport> Session<C> {
    pub(crate) async fn execute(&mut self, command: &Command) -> Result<(), Error> {
        self.clear();
        self.state.window.push(self.state.family, &mut self.state.numbers, command);
        let outcome = self.flush().await?.pop();
        Ok(outcome.unwrap_or(Ok(()))?)
    }

    pub(crate) async fn execute_all<'c>(
        &mut self,
        commands: impl IntoIterator<Item = &'c Command>,
    ) -> Result<Vec<Outcome>, Error> {
        self.clear();
        let mut outcomes = Vec::new();
        for command in commands {
            if self.enqueue(command) {
                self.flush_after(&mut outcomes).await?;
            }
        }
        self.flush_after(&mut outcomes).await?;
        Ok(outcomes)
    }

    /// As [`flush`](Self::flush), after others with these outcomes, which go with the error if it
    /// fails.
    async fn flush_after(&mut self, outcomes: &mut Vec<Outcome>) -> Result<(), Error> {
        match self.flush().await {
            Ok(mut more) => outcomes.append(&mut more),
            Err(error) if outcomes.is_empty() => return Err(error),
            Err(error) => return Err(error.after_sending(std::mem::take(outcomes))),
        }
        Ok(())
    }

    /// Forgets what was gathered and not sent.
    pub(crate) fn clear(&mut self) {
        self.state.window.clear();
    }

    /// Adds a command to those that are sent together. Must they be sent now?
    #[inline]
    pub(crate) fn enqueue(&mut self, command: &Command) -> bool {
        let limits = match self.state.limits {
            Some(limits) => limits,
            None => *self.state.limits.insert(Limits::of(self.transport.link().prepare_window())),
        };
        self.state.window.push(self.state.family, &mut self.state.numbers, command);
        self.state.window.is_full(limits)
    }

    pub(crate) fn enqueued(&self) -> usize {
        self.state.window.len()
    }

    /// Carries one command out and leaves alone what was gathered. It is one that can't change
    /// anything, so nothing is unknown if that fails.
    pub(crate) async fn try_command(&mut self, command: &Command) -> Result<Outcome, Error> {
        let mut window = Window::default();
        window.push(self.state.family, &mut self.state.numbers, command);
        match self.exchange(&mut window).await {
            Ok(()) => Ok(window.take().pop().unwrap_or(Ok(()))),
            Err(Error::OutcomeUnknown { source, .. }) => Err(*source),
            Err(error) => Err(error),
        }
    }

    /// Sends what was gathered, and waits for its outcomes.
    pub(crate) async fn flush(&mut self) -> Result<Vec<Outcome>, Error> {
        if self.state.window.is_empty() {
            return Ok(Vec::new());
        }
        // Taken out, so that it goes with this future: it must not be sent twice.
        let mut window = std::mem::take(&mut self.state.window);
        let result = self.exchange(&mut window).await;
        let outcomes = window.take();
        // Its buffers are used again.
        self.state.window = window;
        result.map(|()| outcomes)
    }

    async fn exchange(&mut self, window: &mut Window) -> Result<(), Error> {
        if window.family() != self.state.family {
            window.readdress(self.state.family, &mut self.state.numbers);
        }
        self.exchange_once(window).await?;
        if window.may_have_missed() && self.has_moved().await? {
            window.readdress(self.state.family, &mut self.state.numbers);
            self.exchange_once(window).await?;
        }
        Ok(())
    }

    async fn exchange_once(&mut self, window: &mut Window) -> Result<(), Error> {
        self.drain_stale_replies().await?;
        self.transport.link().receive_in(Datagrams::Long);
        match self.transport.link().send(window.datagram()) {
            Err(Error::Io(error)) if error.kind() == ErrorKind::WriteZero => {
                return Err(Error::from(error).after_sending(Vec::new()));
            }
            sent => sent?,
        }
        let received = self.receive_outcomes(window).await;
        self.state.has_stale_replies |= received.is_err();
        received.map_err(|error| error.after_sending(Vec::new()))
    }

    async fn receive_outcomes(&mut self, window: &mut Window) -> Result<(), Error> {
        loop {
            if !window.may_end_in_silence() {
                self.transport.receive(&mut self.state.reply).await?;
            } else if !self.transport.link().try_receive(&mut self.state.reply)? {
                return Ok(());
            }
            if window.feed(&self.state.reply)? == Progress::Done {
                return Ok(());
            }
        }
    }
}

/// A part of a reply.
pub(crate) enum Received<'a> {
    /// The attributes of a message.
    Message(&'a [u8]),
    /// The end of a datagram, and its length in bytes.
    End(usize),
}

/// More datagrams than any receive buffer holds.
const MOST_STALE: usize = 10_000;

/// Reads.
impl<C: Transport> Session<C> {
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

    /// A read whose reply is one message.
    pub(crate) async fn one<T>(
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
        let take = |received: Received<'_>| match received {
            Received::Message(attrs) => take(attrs),
            Received::End(_) => Ok(()),
        };
        self.query_in(Datagrams::Long, read, take).await
    }

    /// As `query`, with the datagrams of a dump cut to this size, at whose ends `take` is called.
    pub(crate) async fn query_in(
        &mut self,
        datagrams: Datagrams,
        read: &Read,
        mut take: impl FnMut(Received<'_>) -> Result<(), WireError>,
    ) -> Result<(), Error> {
        let replied = self.query_once(datagrams, read, &mut take).await;
        match &replied {
            Err(Error::Refused(refusal)) if may_have_missed(refusal.errno) => {
                if self.has_moved().await? {
                    self.query_once(datagrams, read, take).await
                } else {
                    replied
                }
            }
            Err(Error::Decode(_)) => {
                // The reply may be that of another family. Part of it was taken, so the next call
                // is the one to do better.
                let _ = self.has_moved().await;
                replied
            }
            _ => replied,
        }
    }

    async fn query_once(
        &mut self,
        datagrams: Datagrams,
        read: &Read,
        take: impl FnMut(Received<'_>) -> Result<(), WireError>,
    ) -> Result<(), Error> {
        let sequence = self.state.numbers.take(1);
        self.state.request.clear();
        let query = Query::read(&mut self.state.request, self.state.family, sequence, read);
        self.send_query(datagrams, query, take).await
    }

    /// Sends a question; `take` gets each message of the reply.
    async fn send_query(
        &mut self,
        datagrams: Datagrams,
        query: Query,
        take: impl FnMut(Received<'_>) -> Result<(), WireError>,
    ) -> Result<(), Error> {
        self.drain_stale_replies().await?;
        self.transport.link().receive_in(datagrams);
        self.state.unfinished = query.is_dump().then_some(query);
        if let Err(error) = self.transport.link().send(&self.state.request) {
            self.state.unfinished = None;
            return Err(error);
        }
        let received = self.receive_reply(query, take).await;
        self.state.has_stale_replies |= received.is_err();
        if matches!(received, Err(Error::Deadline(_))) {
            // It does not go on, and shall not keep the next call waiting, too.
            self.state.unfinished = None;
        }
        received
    }

    async fn receive_reply(
        &mut self,
        query: Query,
        mut take: impl FnMut(Received<'_>) -> Result<(), WireError>,
    ) -> Result<(), Error> {
        // A dump is read to its end even if part of it can't be understood.
        let mut misunderstood = None;
        loop {
            self.transport.receive(&mut self.state.reply).await?;
            let mut take = |received: Received<'_>| {
                if misunderstood.is_none() {
                    misunderstood = take(received).err();
                }
            };
            let progress = query.feed(&self.state.reply, &mut |attrs| take(Received::Message(attrs)));
            take(Received::End(self.state.reply.len()));
            if matches!(progress, Ok(Progress::Done) | Err(Error::Refused(_))) {
                self.state.unfinished = None;
            }
            if progress? == Progress::Done {
                return misunderstood.map_or(Ok(()), |error| Err(error.into()));
            }
        }
    }

    /// Reads what is left of a conversation that broke off, or whose future was dropped.
    async fn drain_stale_replies(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.state.has_stale_replies) {
            self.discard_waiting();
        }
        while self.state.unfinished.is_some() {
            match self.transport.receive(&mut self.state.reply).await {
                Ok(()) => self.end_dump(),
                // The kernel does not continue it. What comes late is discarded.
                Err(Error::Deadline(_)) => {
                    self.state.unfinished = None;
                    self.state.has_stale_replies = true;
                }
                Err(error) => {
                    self.state.has_stale_replies = true;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Receives and discards all replies that wait. Netlink reports a loss once, and drops all
    /// further replies until those that wait were received.
    fn discard_waiting(&mut self) {
        for _ in 0..MOST_STALE {
            match self.transport.link().try_receive(&mut self.state.reply) {
                Ok(true) => self.end_dump(),
                Err(Error::RepliesLost | Error::Truncated(_)) => {}
                Ok(false) | Err(_) => return,
            }
        }
    }

    /// Notes the end of an abandoned dump.
    fn end_dump(&mut self) {
        let Some(query) = self.state.unfinished else { return };
        if matches!(query.feed(&self.state.reply, &mut |_| {}), Ok(Progress::Done) | Err(Error::Refused(_))) {
            self.state.unfinished = None;
        }
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod fault_tests;
