//! Signals that ask the program to end while it makes a change: the first is noted, the second obeyed at once.

use std::fs;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals as Arriving;
use signal_hook::low_level::emulate_default_handler;

use crate::io::Output;

/// The exit status of a program whose director is between.
pub(super) const BETWEEN: u8 = 3;

const ASKING: [i32; 4] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT];

const ENDED: &str = "ipvs-cli: a second signal ended it at once: part of the change is made, and not undone; \
    it is safe to run it again\n";

/// Listens from its making on. Once it was dropped, signals end the program as they used to.
#[derive(Debug)]
pub(super) struct Signals(Arc<Heard>);

#[derive(Debug, Default)]
struct Heard {
    /// The first; 0 before.
    signal: AtomicI32,
    over: AtomicBool,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        let ignored = ignored();
        let mut arriving = Arriving::new(ASKING.iter().filter(|signal| ignored & (1 << (**signal - 1)) == 0))?;
        let heard = Arc::new(Heard::default());
        let hearing = Arc::clone(&heard);
        // A thread, as the other may be in the kernel for seconds.
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in arriving.forever() {
                hear(&hearing, signal);
            }
        })?;
        Ok(Signals(heard))
    }

    /// The signal that asked for the end.
    pub(super) fn heard(&self) -> Option<i32> {
        Some(self.0.signal.load(Ordering::SeqCst)).filter(|signal| *signal != 0)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::SeqCst);
    }
}

fn hear(heard: &Heard, signal: i32) {
    if heard.over.load(Ordering::SeqCst) {
        // Ends the process: it is one of those that do.
        let _ = emulate_default_handler(signal);
    } else if heard.signal.swap(signal, Ordering::SeqCst) != 0 {
        let _ = Output::stderr().write_all(ENDED.as_bytes());
        std::process::exit(BETWEEN.into());
    }
}

/// The signals that whoever started us has had ignored, as nohup does; a bit for each. They stay so.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
