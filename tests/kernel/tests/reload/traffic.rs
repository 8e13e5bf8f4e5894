//! Real servers that echo, a stream of short connections, and long ones that are used all the time.

use std::fmt;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::network::{Network, ask, connect};

/// The number of connections that stay open.
const LONG: usize = 20;

/// What became of the connections.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) short_made: u64,
    pub(crate) short_failed: u64,
    pub(crate) long_held: u64,
    pub(crate) long_cut: u64,
    /// The longest time that one of the long ones waited for its echo.
    longest_wait: Duration,
    /// The service's own count of them.
    pub(crate) counted: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { short_made, short_failed, long_held, long_cut, counted, .. } = self;
        let total = short_made + long_held;
        let wait = self.longest_wait.as_millis();
        write!(
            f,
            "{short_failed} of {} short connections failed, {long_cut} of {} long ones were cut (longest wait {wait} ms), \
             {counted} of {total} counted",
            short_made + short_failed,
            long_held + long_cut,
        )
    }
}

#[derive(Default)]
struct Counters {
    stop: AtomicBool,
    made: AtomicU64,
    failed: AtomicU64,
}

/// The load, running.
pub(crate) struct Clients {
    counters: Arc<Counters>,
    short: JoinHandle<()>,
    long: Vec<JoinHandle<(bool, Duration)>>,
}

impl Clients {
    /// Starts servers and clients; the long connections are up when it returns.
    pub(crate) fn start(network: &Network) -> Self {
        network.serve();
        thread::scope(|scope| {
            let start = || {
                network.enter_client();
                let counters = Arc::<Counters>::default();
                let long = (0..LONG).map(|_| hold(&counters)).collect();
                let also = Arc::clone(&counters);
                Clients { counters, short: thread::spawn(move || stream(&also)), long }
            };
            scope.spawn(start).join().unwrap()
        })
    }

    /// Until this many short connections were made.
    pub(crate) fn wait_for_short(&self, count: usize) {
        while self.counters.made.load(Relaxed) < count as u64 {
            assert!(!self.short.is_finished(), "the client died");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the load.
    pub(crate) fn stop(self) -> Report {
        self.counters.stop.store(true, Relaxed);
        self.short.join().unwrap();
        let long: Vec<_> = self.long.into_iter().map(|thread| thread.join().unwrap()).collect();
        let long_held = long.iter().filter(|(held, _)| *held).count() as u64;
        Report {
            short_made: self.counters.made.load(Relaxed),
            short_failed: self.counters.failed.load(Relaxed),
            long_held,
            long_cut: long.len() as u64 - long_held,
            longest_wait: long.iter().map(|(_, wait)| *wait).max().unwrap_or_default(),
            counted: 0,
        }
    }
}

/// One short connection after the other.
fn stream(counters: &Counters) {
    let once = || {
        let mut connection = connect()?;
        ask(&mut connection)?;
        connection.shutdown(Shutdown::Both)
    };
    while !counters.stop.load(Relaxed) {
        match once() {
            Ok(()) => counters.made.fetch_add(1, Relaxed),
            Err(_) => counters.failed.fetch_add(1, Relaxed),
        };
    }
}

/// Uses one connection until it fails or shall stop: whether it lasted, and its longest wait.
fn hold(counters: &Arc<Counters>) -> JoinHandle<(bool, Duration)> {
    let counters = Arc::clone(counters);
    let mut connection = connect().unwrap();
    ask(&mut connection).unwrap();
    thread::spawn(move || {
        let mut longest = Duration::ZERO;
        while !counters.stop.load(Relaxed) {
            let asked = Instant::now();
            if ask(&mut connection).is_err() {
                return (false, longest);
            }
            longest = longest.max(asked.elapsed());
            thread::sleep(Duration::from_millis(200));
        }
        (true, longest)
    })
}
