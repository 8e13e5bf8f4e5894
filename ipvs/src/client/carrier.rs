//! How a client waits for the kernel.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::error::Error;
use crate::link::Link;

/// A link, and a way to wait for what comes over it.
pub(crate) trait Carrier {
    /// What it carries over.
    fn link(&mut self) -> &mut Link;

    /// Waits for the next datagram, but not for ever. If the future is dropped, no datagram was taken.
    async fn receive(&mut self, buffer: &mut Vec<u8>) -> Result<(), Error>;

    /// Lets other tasks of the thread run, where there may be any. Work that grows with the table calls it in between.
    async fn yield_now(&mut self);
}

/// Keeps its thread waiting.
#[derive(Debug)]
pub(crate) struct Blocking {
    pub(super) link: Link,
    pub(super) deadline: Duration,
}

impl Carrier for Blocking {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    async fn receive(&mut self, buffer: &mut Vec<u8>) -> Result<(), Error> {
        self.link.receive(buffer, self.deadline)
    }

    async fn yield_now(&mut self) {}
}

/// The output of work over [`Blocking`], whose futures never wait.
pub(crate) fn now<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("a blocking client waits in the kernel only"),
    }
}
