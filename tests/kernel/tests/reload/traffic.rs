//! Real servers that echo, a stream of short connections, and long ones that are used all the time.

use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, io};

use crate::network::{Network, ask, connect};

/// The number of connections that stay open.
const LONG: usize = 20;

/// How many errors a report shows.
const SHOWN: usize = 3;

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
    /// What became of those that failed, and after how long.
    errors: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { short_made, short_failed, long_held, long_cut, counted, errors, .. } = self;
        let total = short_made + long_held;
        let wait = self.longest_wait.as_millis();
        write!(
            f,
            "{short_failed} of {} short connections failed, {long_cut} of {} long ones were cut (longest wait {wait} ms), \
             {counted} of {total} counted{}",
            short_made + short_failed,
            long_held + long_cut,
            errors.iter().take(SHOWN).map(|error| format!("; {error}")).collect::<String>(),
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
    short: JoinHandle<Vec<String>>,
    long: Vec<JoinHandle<End>>,
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
        let mut errors = self.short.join().unwrap();
        let long: Vec<_> = self.long.into_iter().map(|thread| thread.join().unwrap()).collect();
        let long_held = long.iter().filter(|end| end.error.is_none()).count() as u64;
        errors.extend(long.iter().filter_map(|end| end.error.clone()));
        Report {
            short_made: self.counters.made.load(Relaxed),
            short_failed: self.counters.failed.load(Relaxed),
            long_held,
            long_cut: long.len() as u64 - long_held,
            longest_wait: long.iter().map(|end| end.longest_wait).max().unwrap_or_default(),
            counted: 0,
            errors,
        }
    }
}

/// One short connection after the other. Gives the errors.
fn stream(counters: &Counters) -> Vec<String> {
    let once = || {
        let step = |what: &'static str| move |error: io::Error| (what, error);
        let mut connection = connect().map_err(step("connect"))?;
        ask(&mut connection).map_err(step("echo"))?;
        connection.shutdown(Shutdown::Both).map_err(step("close"))
    };
    let mut errors = Vec::new();
    while !counters.stop.load(Relaxed) {
        let began = Instant::now();
        match once() {
            Ok(()) => counters.made.fetch_add(1, Relaxed),
            Err((what, error)) => {
                errors.push(failure(what, &error, began));
                counters.failed.fetch_add(1, Relaxed)
            }
        };
    }
    errors
}

fn failure(what: &str, error: &io::Error, began: Instant) -> String {
    format!("{what}: {error} after {} ms", began.elapsed().as_millis())
}

/// How a long connection ended.
struct End {
    /// Why before it should.
    error: Option<String>,
    longest_wait: Duration,
}

/// Uses one connection until it fails or shall stop.
fn hold(counters: &Arc<Counters>) -> JoinHandle<End> {
    let counters = Arc::clone(counters);
    let mut connection = connect().unwrap();
    ask(&mut connection).unwrap();
    thread::spawn(move || {
        let mut longest_wait = Duration::ZERO;
        while !counters.stop.load(Relaxed) {
            let asked = Instant::now();
            if let Err(error) = ask(&mut connection) {
                return End { error: Some(failure("long one", &error, asked)), longest_wait };
            }
            longest_wait = longest_wait.max(asked.elapsed());
            thread::sleep(Duration::from_millis(200));
        }
        End { error: None, longest_wait }
    })
}
