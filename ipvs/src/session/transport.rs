//! How a client waits for the kernel.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::error::Error;
use crate::link::Link;
use crate::table::Table;

/// A way to let other tasks of the thread run, where there may be any.
pub(crate) trait Pace {
    /// Lets them run now.
    async fn yield_now(&mut self);
}

/// There are none.
pub(crate) struct NoTasks;

impl Pace for NoTasks {
    async fn yield_now(&mut self) {}
}

/// How much is done between two yields: entries compared, commands tried out. One of them takes at
/// most some thousands of instructions.
const WORK: usize = 128;

/// Work of many steps, with yields in between.
pub(crate) struct Paced<'p, P> {
    pace: &'p mut P,
    done: usize,
}

impl<'p, P: Pace> Paced<'p, P> {
    pub(crate) fn new(pace: &'p mut P) -> Self {
        Paced { pace, done: 0 }
    }

    /// So much is done.
    pub(crate) async fn step(&mut self, work: usize) {
        self.done += work;
        if self.done >= WORK {
            self.done = 0;
            self.pace.yield_now().await;
        }
    }

    /// Drops a table, which takes as long as copying it.
    pub(crate) async fn discard(&mut self, mut table: Table) {
        while let Some(entry) = table.pop() {
            self.step(entry.work()).await;
        }
    }
}

/// A link, and a way to wait for what comes over it.
pub(crate) trait Transport: Pace {
    /// What it carries over.
    fn link(&mut self) -> &mut Link;

    /// Waits for the next datagram, but not for ever. If the future is dropped, no datagram was
    /// taken.
    async fn receive(&mut self, buffer: &mut Vec<u8>) -> Result<(), Error>;

    /// Lets others change the table, for so long.
    async fn pause(&mut self, duration: Duration);
}

/// Keeps its thread waiting.
#[derive(Debug)]
pub(crate) struct Blocking {
    pub(crate) link: Link,
    pub(crate) deadline: Duration,
}

impl Transport for Blocking {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    async fn receive(&mut self, buffer: &mut Vec<u8>) -> Result<(), Error> {
        self.link.receive(buffer, self.deadline)
    }

    async fn pause(&mut self, duration: Duration) {
        if !duration.is_zero() {
            std::thread::sleep(duration);
        }
    }
}

impl Pace for Blocking {
    async fn yield_now(&mut self) {}
}

/// The output of work over [`Blocking`], whose futures never wait.
pub(crate) fn block_on_ready<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("a blocking client waits in the kernel only"),
    }
}
