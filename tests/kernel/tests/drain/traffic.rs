//! Connections that are used until they end by themselves, and new ones all the time.
//!
//! All end with a reset, which the director forgets in ten seconds; after an orderly end it is two
//! minutes.

use std::fmt;
use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};

use crate::network::{Network, ask, connect};

/// What became of the connections.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) short_made: u64,
    pub(crate) short_failed: u64,
    pub(crate) long_ended: usize,
    pub(crate) long_cut: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { short_made, short_failed, long_ended, long_cut } = self;
        let (short, long) = (short_made + short_failed, long_ended + long_cut);
        write!(f, "{long_cut} of {long} connections in use were cut, {short_failed} of {short} new ones failed")
    }
}

/// The load, running.
pub(crate) struct Clients {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    short: JoinHandle<u64>,
    long: Vec<JoinHandle<io::Result<()>>>,
}

impl Clients {
    /// Connections that are used for these times, all of them up when it returns, and new ones from
    /// then on.
    pub(crate) fn start(network: &Network, uses: impl IntoIterator<Item = Duration> + Send) -> Self {
        let start = || {
            network.enter_client();
            let connections: Vec<_> = uses.into_iter().map(|time| (connect_once().unwrap(), time)).collect();
            let (stop, made) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
            let (also_stop, also_made) = (Arc::clone(&stop), Arc::clone(&made));
            let short = thread::spawn(move || new_ones(&also_stop, &also_made));
            let hold = |(connection, time)| thread::spawn(move || hold(connection, time));
            Clients { stop, made, short, long: connections.into_iter().map(hold).collect() }
        };
        thread::scope(|scope| scope.spawn(start).join().unwrap())
    }

    /// Waits for this number of further new ones.
    pub(crate) fn wait_for_new(&self, count: u64) {
        let wanted = self.made.load(Relaxed) + count;
        while self.made.load(Relaxed) < wanted && !self.short.is_finished() {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// When all that are in use have ended.
    pub(crate) fn finish(self) -> Report {
        let mut report = Report::default();
        for thread in self.long {
            match thread.join().unwrap() {
                Ok(()) => report.long_ended += 1,
                Err(_) => report.long_cut += 1,
            }
        }
        self.stop.store(true, Relaxed);
        report.short_failed = self.short.join().unwrap();
        report.short_made = self.made.load(Relaxed);
        report
    }
}

/// A connection that was answered, and will end with a reset.
fn connect_once() -> io::Result<TcpStream> {
    let mut connection = connect()?;
    setsockopt(&connection, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 })?;
    ask(&mut connection)?;
    Ok(connection)
}

fn hold(mut connection: TcpStream, time: Duration) -> io::Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < time {
        ask(&mut connection)?;
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Returns how many failed.
fn new_ones(stop: &AtomicBool, made: &AtomicU64) -> u64 {
    let mut failed = 0;
    while !stop.load(Relaxed) {
        match connect_once() {
            Ok(_) => _ = made.fetch_add(1, Relaxed),
            Err(_) => failed += 1,
        }
    }
    failed
}
