//! A line on the terminal that says what is going on, if it goes on for long.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::{stdio, termios};

use crate::escape;
use crate::io::Output;

/// What takes less time is not shown.
const LONG: Duration = Duration::from_secs(1);

/// How often the line is written anew, if it has changed.
const BEAT: Duration = Duration::from_millis(100);

/// The line on standard error. It is written by a thread of its own, as the other may be in the kernel for seconds.
#[derive(Debug)]
pub(crate) struct Display {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    line: Mutex<Line>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Line {
    wanted: String,
    shown: String,
    is_over: bool,
}

impl Display {
    /// One that shows something only if `visible`.
    pub(crate) fn new(visible: bool) -> Self {
        let shared = Arc::new(Shared::default());
        let thread = visible.then(|| {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name("progress".to_owned()).spawn(move || shared.keep_showing()).ok()
        });
        Display { shared, thread: thread.flatten() }
    }

    /// What goes on now.
    pub(crate) fn progress(&self, what: impl FnOnce() -> String) {
        if self.thread.is_some() {
            self.shared.line().wanted = what();
        }
    }

    /// Takes the line off the terminal, for good.
    pub(crate) fn end(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.shared.line().is_over = true;
        self.shared.ended.notify_all();
        // It only writes.
        let _ = thread.join();
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep_showing(&self) {
        let mut line = self.line();
        let mut pause = LONG;
        while !line.is_over {
            let waited = self.ended.wait_timeout_while(line, pause, |line| !line.is_over);
            line = waited.unwrap_or_else(PoisonError::into_inner).0;
            pause = BEAT;
            line.show();
        }
    }
}

impl Line {
    fn show(&mut self) {
        let wanted = if self.is_over { String::new() } else { fitting(&self.wanted, width()) };
        if wanted != self.shown {
            // In one write, over what was there: so it does not flicker. A terminal that is gone is no harm.
            let _ = Output::stderr().write_all(format!("\r{wanted}\x1b[K").as_bytes());
            self.shown = wanted;
        }
    }
}

fn width() -> usize {
    termios::tcgetwinsize(stdio::stderr()).map_or(0, |size| size.ws_col).into()
}

/// A line that is broken can't be taken off any more.
fn fitting(text: &str, width: usize) -> String {
    let width = if width == 0 { 80 } else { width };
    escape::text(text).to_string().chars().take(width - 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_never_broken() {
        assert_eq!(fitting("applying: 10 of 20", 12), "applying: 1");
        assert_eq!(fitting(&"x".repeat(200), 0).len(), 79);
        assert_eq!(fitting("a\n\x1b[2Jb", 80), r"a\n\x1b[2Jb");
        assert_eq!(fitting("abc", 1), "");
    }
}
