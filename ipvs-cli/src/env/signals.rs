//! Signals that ask the program to end while it changes a director: the first is noted, the second
//! obeyed at once.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::{fs, process, thread};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag::{register_conditional_default, register_usize};
use signal_hook::iterator::Signals as Arriving;

use crate::exit::Exit;
use crate::io::Output;

const HANDLED: [i32; 4] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT];

const ENDED: &str = "ipvs-cli: a second signal ended it at once: part of the change is made, and not undone; \
    it is safe to run it again\n";

/// Notes signals until it is dropped. After that they end the process as they usually do.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// The last one; 0 before there was one.
    last: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
}

impl Signals {
    pub(crate) fn register() -> io::Result<Self> {
        let signals = Self::note()?;
        let mut arriving = Arriving::new(handled())?;
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            if arriving.forever().nth(1).is_some() {
                // Only another thread can say so and end the process while this one may be in the
                // kernel for seconds.
                let _ = Output::stderr().write_all(ENDED.as_bytes());
                process::exit(u8::from(Exit::Between).into());
            }
        })?;
        Ok(signals)
    }

    /// Without an end at the second, for what changes nothing.
    pub(crate) fn note() -> io::Result<Self> {
        let signals = Signals::default();
        for signal in handled() {
            register_conditional_default(signal, Arc::clone(&signals.is_over))?;
            // By the handler itself, so that not one datagram more is sent after it.
            register_usize(signal, Arc::clone(&signals.last), usize::try_from(signal).unwrap_or_default())?;
        }
        Ok(signals)
    }

    /// The signal that asked for the end.
    pub(crate) fn received(&self) -> Option<i32> {
        i32::try_from(self.last.load(Ordering::SeqCst)).ok().filter(|signal| *signal != 0)
    }
}

/// The signals that end a process, but those that its parent has had ignored.
fn handled() -> impl Iterator<Item = i32> {
    let ignored = ignored();
    HANDLED.into_iter().filter(move |signal| ignored & (1 << (signal - 1)) == 0)
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
    }
}

/// The signals that the parent process ignores, as nohup does; a bit for each. They stay ignored.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
