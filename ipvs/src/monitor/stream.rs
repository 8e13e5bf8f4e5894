//! The monitor that lets other tasks work while it waits: feature `tokio`.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, Sleep, sleep_until};

use super::error::MonitorError;
use super::event::Event;
use super::process::Processes;
use super::tap::Tap;
use super::watcher::{Now, Watcher};
use super::{Monitor, conclude, take_packets};
use crate::client::Client;
use crate::error::Error;
use crate::table::Table;

/// [`Monitor`] for programs on [tokio](https://docs.rs/tokio): a [`Stream`] of the same events.
/// Needs the feature `tokio`.
///
/// Packets are decoded by the task that polls it, and the table is read on a thread for blocking
/// work.
///
/// ```no_run
/// # async fn watch() -> Result<(), Box<dyn std::error::Error>> {
/// use ipvs::monitor::Monitor;
/// let mut monitor = Monitor::open()?.into_async()?;
/// while let Some(event) = monitor.next_event().await {
///     println!("{:?}", event?);
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct AsyncMonitor {
    watcher: Watcher<Processes>,
    tap: Option<Tap>,
    readiness: Vec<AsyncFd<OwnedFd>>,
    timer: Pin<Box<Sleep>>,
    /// Away while the table is read.
    client: Option<Client>,
    reading: Option<JoinHandle<(Client, Result<Table, Error>)>>,
    is_over: bool,
}

impl Monitor {
    /// The same monitor, for a task. Nothing is lost meanwhile.
    ///
    /// # Errors
    /// [`MonitorError::NoRuntime`], [`MonitorError::Io`].
    ///
    /// # Panics
    /// As all of tokio, if the runtime was built without time or I/O.
    pub fn into_async(self) -> Result<AsyncMonitor, MonitorError> {
        Handle::try_current().map_err(|_| MonitorError::NoRuntime)?;
        let Monitor { watcher, tap, client, is_over } = self;
        let sources = tap.iter().flat_map(Tap::sources);
        let register = |source: std::os::fd::BorrowedFd<'_>| {
            // What was wrong with it does not concern owned files, and its successor can't be
            // called without unsafe code.
            #[allow(deprecated)]
            AsyncFd::new(source.try_clone_to_owned()?)
        };
        let readiness = sources.map(register).collect::<Result<_, _>>();
        let readiness = readiness.map_err(|error| MonitorError::io("register a socket with tokio", error))?;
        let timer = Box::pin(sleep_until(Instant::now()));
        Ok(AsyncMonitor { watcher, tap, readiness, timer, client: Some(client), reading: None, is_over })
    }
}

impl AsyncMonitor {
    /// The next event, as [`Iterator::next`] of a [`Monitor`]. Nothing is lost if the future is
    /// dropped.
    pub async fn next_event(&mut self) -> Option<Result<Event, MonitorError>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Goes on as far as it can without waiting.
    fn go_on(&mut self, context: &mut Context<'_>) -> Result<Poll<Event>, MonitorError> {
        loop {
            if let Some(event) = self.watcher.pop() {
                return Ok(Poll::Ready(event));
            }
            self.end_reading(context)?;
            let has_more = match &mut self.tap {
                Some(tap) => take_packets(&mut self.watcher, tap)?,
                None => false,
            };
            if self.watcher.has_events() {
                continue;
            }
            if has_more {
                // Others shall have their turn.
                context.waker().wake_by_ref();
                return Ok(Poll::Pending);
            }
            if self.watcher.wants_table(Now::read()) && self.begin_reading() {
                continue;
            }
            if !self.is_woken(context)? {
                return Ok(Poll::Pending);
            }
        }
    }

    fn begin_reading(&mut self) -> bool {
        let Some(mut client) = self.client.take() else { return false };
        self.watcher.begin_reading();
        self.reading = Some(spawn_blocking(move || {
            let read = client.table_without_statistics();
            (client, read)
        }));
        true
    }

    fn end_reading(&mut self, context: &mut Context<'_>) -> Result<(), MonitorError> {
        let Some(reading) = &mut self.reading else { return Ok(()) };
        let Poll::Ready(joined) = Pin::new(reading).poll(context) else { return Ok(()) };
        self.reading = None;
        // It panicked, or the runtime ends.
        let (client, read) = joined.map_err(|error| MonitorError::io("read the director", error.into()))?;
        self.client = Some(client);
        conclude(&mut self.watcher, self.tap.as_mut(), read)
    }

    /// Has something come, or is it time? If not, the task is woken then.
    fn is_woken(&mut self, context: &mut Context<'_>) -> Result<bool, MonitorError> {
        let mut is_woken = false;
        for source in &self.readiness {
            if let Poll::Ready(ready) = source.poll_read_ready(context) {
                ready.map_err(|error| MonitorError::io("wait for packets", error))?.clear_ready();
                is_woken = true;
            }
        }
        // While the table is read, its time is no reason to wake up.
        let deadline = self.watcher.deadline().filter(|_| self.reading.is_none());
        let pause = Duration::from_secs(if self.reading.is_some() { 1 } else { 60 });
        let until = deadline.map_or(Instant::now() + pause, Instant::from_std);
        self.timer.as_mut().reset(until);
        Ok(self.timer.as_mut().poll(context).is_ready() || is_woken)
    }
}

impl Stream for AsyncMonitor {
    type Item = Result<Event, MonitorError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        match self.go_on(context) {
            Ok(Poll::Ready(event)) => Poll::Ready(Some(Ok(event))),
            Ok(Poll::Pending) => Poll::Pending,
            Err(error) => {
                self.is_over = !error.is_transient();
                Poll::Ready(Some(Err(error)))
            }
        }
    }
}
