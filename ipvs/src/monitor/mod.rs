//! Every change of a director, as it happens: what, by which program, and with which outcome.
//!
//! IPVS sends no notifications. But Linux can show all of netlink's datagrams on a device of the
//! kind `nlmon`. A [`Monitor`] makes such a device, has the kernel pass only the datagrams to and
//! from IPVS, decodes them, and pairs each request with its acknowledgement.
//!
//! ```no_run
//! use ipvs::monitor::{EventKind, Monitor};
//!
//! for event in Monitor::open()? {
//!     if let EventKind::Request { sender, action, outcome } = event?.kind {
//!         if let Some(command) = action.command() {
//!             // ipvsadm[4711]: -D -t 192.0.2.1:80: accepted
//!             println!("{sender}: {command}: {outcome}");
//!         }
//!     }
//! }
//! # Ok::<(), ipvs::monitor::MonitorError>(())
//! ```
//!
//! **What it takes**: Linux with the module `nlmon`, which the kernel loads by itself where
//! `modprobe` works; `CAP_NET_ADMIN` and `CAP_NET_RAW`.
//!
//! **What it does not see**: changes by `setsockopt`, which ipvsadm makes if it was built without
//! libnl, and requests behind another message in one datagram, which no known program sends. To
//! find what they did, it reads the table now and then ([`MonitorBuilder::compare_every`]) and
//! reports differences as [`EventKind::Found`].
//!
//! **Losses are reported.** The kernel queues 32 MiB for a program that is slow. What it drops is
//! counted ([`EventKind::Lost`]), as are acknowledgements of requests that were not seen, and the
//! table is read again.

mod error;
mod event;
#[cfg(target_os = "linux")]
mod filter;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod model;
mod pairing;
mod process;
#[cfg(target_os = "linux")]
mod socket;
#[cfg(feature = "tokio")]
mod stream;
#[cfg(target_os = "linux")]
mod tap;
#[cfg(not(target_os = "linux"))]
#[path = "elsewhere.rs"]
mod tap;
#[cfg(test)]
mod tests;
mod watcher;

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub use self::error::{DeviceFault, MonitorError};
pub use self::event::{Action, Event, EventKind, Outcome, Process, Sender};
use self::process::Processes;
#[cfg(feature = "tokio")]
pub use self::stream::AsyncMonitor;
use self::tap::Tap;
use self::watcher::{Now, Watcher};
use crate::client::Client;
use crate::error::Error;
use crate::name::InterfaceName;
use crate::netns::Namespace;
use crate::table::Table;

/// How often the table is compared by default.
const INTERVAL: Duration = Duration::from_secs(60);

/// How a [`Monitor`] is to watch.
///
/// ```no_run
/// use std::time::Duration;
/// use ipvs::monitor::Monitor;
/// let monitor = Monitor::builder().reads(true).compare_every(Duration::from_secs(10)).open()?;
/// # Ok::<(), ipvs::monitor::MonitorError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct MonitorBuilder {
    reads: bool,
    device: Option<InterfaceName>,
    interval: Option<Duration>,
    namespace: Option<Namespace>,
}

impl Default for MonitorBuilder {
    fn default() -> Self {
        MonitorBuilder { reads: false, device: None, interval: Some(INTERVAL), namespace: None }
    }
}

impl MonitorBuilder {
    /// Reports readings as well, other than its own: who asks for the table. By default it does
    /// not.
    ///
    /// A reading that finds nothing is not seen: the end of a dump does not say that it is of IPVS.
    ///
    /// ```no_run
    /// use ipvs::monitor::{Action, EventKind, Monitor};
    /// for event in Monitor::builder().reads(true).open()? {
    ///     let EventKind::Request { sender, action, .. } = event?.kind else { continue };
    ///     if let Action::Read { what, .. } = action {
    ///         println!("{sender} reads: {what:?}"); // node_exporter[812] reads: GetService
    ///     }
    /// }
    /// # Ok::<(), ipvs::monitor::MonitorError>(())
    /// ```
    pub fn reads(self, reads: bool) -> Self {
        MonitorBuilder { reads, ..self }
    }

    /// Uses this nlmon device, which must be up. By default the monitor makes one, and removes it
    /// when it is dropped.
    ///
    /// The device that it makes is called `ipvsmon` and the process id. One that a killed monitor
    /// left is removed by the next monitor.
    ///
    /// ```no_run
    /// use ipvs::{InterfaceName, monitor::Monitor};
    /// // ip link add nlmon0 type nlmon; ip link set nlmon0 up
    /// let monitor = Monitor::builder().device(InterfaceName::new("nlmon0")?).open()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn device(self, name: InterfaceName) -> Self {
        MonitorBuilder { device: Some(name), ..self }
    }

    /// Reads the table at this interval, to find what netlink does not show; by default every 60
    /// seconds.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use ipvs::monitor::Monitor;
    /// let monitor = Monitor::builder().compare_every(Duration::from_secs(10)).open()?;
    /// # Ok::<(), ipvs::monitor::MonitorError>(())
    /// ```
    pub fn compare_every(self, interval: Duration) -> Self {
        MonitorBuilder { interval: Some(interval.max(Duration::from_millis(100))), ..self }
    }

    /// Never reads the table: there are no events [`Found`](EventKind::Found).
    ///
    /// ```no_run
    /// let monitor = ipvs::monitor::Monitor::builder().without_comparison().open()?;
    /// # Ok::<(), ipvs::monitor::MonitorError>(())
    /// ```
    pub fn without_comparison(self) -> Self {
        MonitorBuilder { interval: None, ..self }
    }

    /// The director of this network namespace, in place of that of the calling thread.
    ///
    /// ```no_run
    /// use ipvs::{monitor::Monitor, netns::Namespace};
    /// let monitor = Monitor::builder().namespace(Namespace::named("blue")?).open()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn namespace(self, namespace: Namespace) -> Self {
        MonitorBuilder { namespace: Some(namespace), ..self }
    }

    /// Opens the monitor: every change from now on is reported.
    ///
    /// ```no_run
    /// use ipvs::{Report, monitor::Monitor};
    /// match Monitor::builder().open() {
    ///     Ok(monitor) => monitor.for_each(|event| println!("{event:?}")),
    ///     Err(error) => eprintln!("{}", Report::new(&error)),
    /// }
    /// ```
    ///
    /// # Errors
    /// [`MonitorError::NlmonMissing`], [`NotPermitted`](MonitorError::NotPermitted),
    /// [`NotReadable`](MonitorError::NotReadable), [`Device`](MonitorError::Device), or
    /// [`Client`](MonitorError::Client) with [`ModuleMissing`](crate::Error::ModuleMissing).
    pub fn open(self) -> Result<Monitor, MonitorError> {
        match &self.namespace {
            Some(namespace) => namespace.clone().within(|| self.open_here())?,
            None => self.open_here(),
        }
    }

    fn open_here(&self) -> Result<Monitor, MonitorError> {
        // Before the family is asked for: it may change at any time from then on.
        let announcements = tap::announcements()?;
        let client = Client::connect()?;
        let family = client.family();
        let tap = Tap::open(self.device, announcements, family, self.reads)?;
        let mut monitor = Monitor {
            watcher: Watcher::new(family, self.reads, self.interval, Processes::new()),
            tap: Some(tap),
            client,
            is_over: false,
        };
        monitor.look()?;
        Ok(monitor)
    }

    /// Watches without netlink, where that can't be had: reads the table at the interval and
    /// reports differences as [`Found`](EventKind::Found). Who makes a change is not seen, nor a
    /// change that is undone between two readings.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use ipvs::monitor::{EventKind, Monitor};
    /// for event in Monitor::builder().compare_every(Duration::from_secs(5)).open_polling()? {
    ///     if let EventKind::Found(command) = event?.kind {
    ///         println!("found: {command}");
    ///     }
    /// }
    /// # Ok::<(), ipvs::monitor::MonitorError>(())
    /// ```
    ///
    /// # Errors
    /// [`MonitorError::NotReadable`], or [`Client`](MonitorError::Client).
    pub fn open_polling(self) -> Result<Monitor, MonitorError> {
        let mut builder = Client::builder();
        if let Some(namespace) = self.namespace.clone() {
            builder = builder.namespace(namespace);
        }
        self.poll(builder.connect()?)
    }

    /// As [`open_polling`](Self::open_polling), of this client's director.
    pub(crate) fn poll(self, client: Client) -> Result<Monitor, MonitorError> {
        let interval = self.interval.unwrap_or(INTERVAL);
        let watcher = Watcher::new(client.family(), false, Some(interval), Processes::new());
        let mut monitor = Monitor { watcher, tap: None, client, is_over: false };
        monitor.look()?;
        Ok(monitor)
    }
}

/// Watches a director: an iterator over its [`Event`]s, which waits for each.
///
/// It is `Send`, and drops its device when it is dropped. An error ends the iteration, unless
/// [`MonitorError::is_transient`] says that the monitor goes on.
///
/// ```no_run
/// use std::time::{Duration, Instant};
/// use ipvs::monitor::Monitor;
/// let mut monitor = Monitor::open()?;
/// // What happens within a minute.
/// let end = Instant::now() + Duration::from_secs(60);
/// while let Some(event) = monitor.next_before(end)? {
///     println!("{event:?}");
/// }
/// # Ok::<(), ipvs::monitor::MonitorError>(())
/// ```
#[derive(Debug)]
pub struct Monitor {
    watcher: Watcher<Processes>,
    /// `None` where the table is only polled.
    tap: Option<Tap>,
    client: Client,
    is_over: bool,
}

impl Monitor {
    /// Watches the director of this thread's network namespace: [`MonitorBuilder`] with its
    /// defaults.
    ///
    /// ```no_run
    /// for event in ipvs::monitor::Monitor::open()? {
    ///     println!("{:?}", event?);
    /// }
    /// # Ok::<(), ipvs::monitor::MonitorError>(())
    /// ```
    ///
    /// # Errors
    /// As [`MonitorBuilder::open`].
    pub fn open() -> Result<Self, MonitorError> {
        Self::builder().open()
    }

    /// A monitor that is set up before it watches.
    pub fn builder() -> MonitorBuilder {
        MonitorBuilder::default()
    }

    /// Does it see netlink's datagrams? If not, it only polls.
    ///
    /// ```no_run
    /// use ipvs::monitor::Monitor;
    /// let monitor = Monitor::open().or_else(|_| Monitor::builder().open_polling())?;
    /// if !monitor.sees_netlink() {
    ///     eprintln!("only the differences between readings are seen");
    /// }
    /// # Ok::<(), ipvs::monitor::MonitorError>(())
    /// ```
    pub fn sees_netlink(&self) -> bool {
        self.tap.is_some()
    }

    /// Is it certain that what it takes for the kernel's replies was sent by the kernel?
    ///
    /// If not, any user who has a process in the network namespace can make a refused request look
    /// accepted, and can have it look like another program's. It takes a device that the monitor
    /// made itself, and the kernel modules `sch_ingress` and `cls_bpf`. Even then, a program with
    /// `CAP_NET_ADMIN` in the user namespace that owns the network namespace can forge replies.
    pub fn proves_replies(&self) -> bool {
        self.tap.as_ref().is_some_and(Tap::has_gate)
    }

    /// Waits for the next event, but no longer than until then; `None` if there was none, or a
    /// signal was handled.
    ///
    /// ```no_run
    /// use std::time::{Duration, Instant};
    /// use ipvs::monitor::Monitor;
    /// let mut monitor = Monitor::open()?;
    /// match monitor.next_before(Instant::now() + Duration::from_secs(1))? {
    ///     Some(event) => println!("{event:?}"),
    ///     None => println!("nothing within a second"),
    /// }
    /// # Ok::<(), ipvs::monitor::MonitorError>(())
    /// ```
    ///
    /// # Errors
    /// [`MonitorError::DeviceGone`], [`Client`](MonitorError::Client), [`Io`](MonitorError::Io).
    pub fn next_before(&mut self, deadline: Instant) -> Result<Option<Event>, MonitorError> {
        self.next_or_pause(Some(deadline))
    }

    /// What to wait for in a loop that waits for other things as well: when one of these is
    /// readable, or at [`deadline`](Self::deadline), call [`next_before`](Self::next_before) with
    /// the present time until it returns none. There is none where it only polls.
    ///
    /// ```no_run
    /// use std::time::Instant;
    /// use ipvs::monitor::Monitor;
    /// let mut monitor = Monitor::open()?;
    /// loop {
    ///     let (descriptors, until) = (monitor.descriptors(), monitor.deadline());
    ///     // … poll them, beside other things
    ///     while let Some(event) = monitor.next_before(Instant::now())? {
    ///         println!("{event:?}");
    ///     }
    /// }
    /// # Ok::<(), ipvs::monitor::MonitorError>(())
    /// ```
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.tap.iter().flat_map(Tap::sources).collect()
    }

    /// When there is something to do even if nothing becomes readable. See
    /// [`descriptors`](Self::descriptors).
    pub fn deadline(&self) -> Option<Instant> {
        self.watcher.deadline()
    }

    fn next_or_pause(&mut self, deadline: Option<Instant>) -> Result<Option<Event>, MonitorError> {
        loop {
            if let Some(event) = self.watcher.pop() {
                return Ok(Some(event));
            }
            let has_more = match &mut self.tap {
                Some(tap) => take_packets(&mut self.watcher, tap)?,
                None => false,
            };
            if self.watcher.has_events() {
                continue;
            }
            self.look()?;
            if self.watcher.has_events() {
                continue;
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Ok(None);
            }
            if has_more {
                continue;
            }
            if wait(&self.descriptors(), deadline.into_iter().chain(self.deadline()).min())? {
                return Ok(None);
            }
        }
    }

    /// Reads the table if it is time, and compares it with what was seen.
    fn look(&mut self) -> Result<(), MonitorError> {
        if !self.watcher.wants_table(Now::read()) {
            return Ok(());
        }
        self.watcher.begin_reading();
        let read = self.client.table_without_statistics();
        conclude(&mut self.watcher, self.tap.as_mut(), read)
    }
}

/// Waits until one of these is readable, or until then. Did a signal end the waiting?
fn wait(sources: &[BorrowedFd<'_>], until: Option<Instant>) -> Result<bool, MonitorError> {
    // A moment later rather than earlier, so that the time is over then.
    let timeout = until.map(|until| until.saturating_duration_since(Instant::now()) + Duration::from_micros(1));
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    let mut sources: Vec<_> = sources.iter().map(|source| PollFd::from_borrowed_fd(*source, PollFlags::IN)).collect();
    match poll(&mut sources, timeout.as_ref()) {
        Ok(_) => Ok(false),
        Err(rustix::io::Errno::INTR) => Ok(true),
        Err(error) => Err(MonitorError::io("wait for packets", error.into())),
    }
}

/// Takes a burst of packets that have come, draws conclusions, and follows the family to another
/// number. Are there more?
fn take_packets(watcher: &mut Watcher<Processes>, tap: &mut Tap) -> Result<bool, MonitorError> {
    let has_more = tap.packets(|place, sent, packet| watcher.nth_packet(place, sent, packet))?;
    watcher.settle(tap.dropped(), has_more, Now::read());
    while let Some(datagram) = tap.announcement()? {
        if watcher.announced(&datagram, Now::read()) {
            tap.watch(watcher.family, watcher.reads())?;
        }
    }
    watcher.compare(has_more, Now::read());
    Ok(has_more)
}

/// Takes the result of a reading in, to be compared when all that came until now was taken.
fn conclude(
    watcher: &mut Watcher<Processes>,
    tap: Option<&mut Tap>,
    read: Result<Table, Error>,
) -> Result<(), MonitorError> {
    let (table, failed) = match read {
        Ok(table) => (Some(table), Ok(())),
        Err(error) => (None, Err(MonitorError::of_reading(error))),
    };
    watcher.end_reading(table, Now::read());
    match tap {
        Some(tap) => {
            take_packets(watcher, tap)?;
        }
        None => watcher.compare(false, Now::read()),
    }
    failed
}

impl Iterator for Monitor {
    type Item = Result<Event, MonitorError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_over {
            match self.next_or_pause(None) {
                Ok(Some(event)) => return Some(Ok(event)),
                Ok(None) => {}
                Err(error) => {
                    self.is_over = !error.is_transient();
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
