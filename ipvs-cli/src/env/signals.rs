//! Signals that ask the program to end while it makes a change: the first is noted, the second obeyed at once.
//!
//! The first is noted by the handler itself, so that not one datagram more is sent after it. The second is obeyed by a thread, as
//! the other may be in the kernel for seconds, and a handler may say nothing.

use std::fs;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag::register_usize;
use signal_hook::iterator::Signals as Arriving;
use signal_hook::low_level::emulate_default_handler;

use crate::exit::Exit;
use crate::io::Output;

const ASKING: [i32; 4] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT];

const ENDED: &str = "ipvs-cli: a second signal ended it at once: part of the change is made, and not undone; \
    it is safe to run it again\n";

/// Listens from its making on. Once it was dropped, a second signal ends the program as any used to.
#[derive(Debug)]
pub(crate) struct Signals(Arc<Heard>);

#[derive(Debug, Default)]
struct Heard {
    /// The last; 0 before there was one.
    signal: Arc<AtomicUsize>,
    over: AtomicBool,
}

impl Signals {
    pub(crate) fn register() -> io::Result<Self> {
        let ignored = ignored();
        let asking = ASKING.into_iter().filter(|signal| ignored & (1 << (signal - 1)) == 0);
        let heard = Arc::new(Heard::default());
        for signal in asking.clone() {
            register_usize(signal, Arc::clone(&heard.signal), usize::try_from(signal).unwrap_or_default())?;
        }
        let mut arriving = Arriving::new(asking)?;
        let hearing = Arc::clone(&heard);
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for (earlier, signal) in arriving.forever().enumerate() {
                hear(&hearing, signal, earlier > 0);
            }
        })?;
        Ok(Signals(heard))
    }

    /// The signal that asked for the end.
    pub(crate) fn received(&self) -> Option<i32> {
        i32::try_from(self.0.signal.load(Ordering::SeqCst)).ok().filter(|signal| *signal != 0)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::SeqCst);
    }
}

/// The first has been noted already, be it too late to be heeded.
fn hear(heard: &Heard, signal: i32, is_second: bool) {
    if !is_second {
        return;
    }
    if heard.over.load(Ordering::SeqCst) {
        // Ends the process: it is one of those that do.
        let _ = emulate_default_handler(signal);
    }
    let _ = Output::stderr().write_all(ENDED.as_bytes());
    std::process::exit(u8::from(Exit::Between).into());
}

/// The signals that whoever started us has had ignored, as nohup does; a bit for each. They stay so.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
