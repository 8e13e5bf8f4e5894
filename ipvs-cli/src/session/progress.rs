//! A line on the terminal that shows what is being done, once that takes long.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ipvs_text::escape;
use rustix::{stdio, termios};

use crate::io::Output;

/// Shorter work is not shown.
const LONG: Duration = Duration::from_secs(1);

/// How often the line is updated.
const BEAT: Duration = Duration::from_millis(100);

/// The line on standard error. A thread of its own writes it, as the main thread may be in the
/// kernel for seconds.
#[derive(Debug)]
pub(crate) struct ProgressLine {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    line: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    wanted: String,
    shown: String,
    is_over: bool,
}

impl ProgressLine {
    /// Shows nothing unless `visible`.
    pub(crate) fn new(visible: bool) -> Self {
        let shared = Arc::new(Shared::default());
        let thread = visible.then(|| {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name("progress".to_owned()).spawn(move || shared.keep_showing()).ok()
        });
        ProgressLine { shared, thread: thread.flatten() }
    }

    /// Sets the text.
    pub(crate) fn progress(&self, what: impl FnOnce() -> String) {
        if self.thread.is_some() {
            self.shared.line().wanted = what();
        }
    }

    /// Removes the line from the terminal for good.
    pub(crate) fn end(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.shared.line().is_over = true;
        self.shared.ended.notify_all();
        // The thread only writes, so it can't fail.
        let _ = thread.join();
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn line(&self) -> MutexGuard<'_, State> {
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

impl State {
    fn show(&mut self) {
        let wanted = if self.is_over { String::new() } else { fitting(&self.wanted, width()) };
        if wanted != self.shown {
            // One write over the old text does not flicker. A closed terminal does not matter.
            let _ = Output::stderr().write_all(format!("\r{wanted}\x1b[K").as_bytes());
            self.shown = wanted;
        }
    }
}

fn width() -> usize {
    termios::tcgetwinsize(stdio::stderr()).map_or(0, |size| size.ws_col).into()
}

/// Cuts the text to the width, as a wrapped line can't be removed.
fn fitting(text: &str, width: usize) -> String {
    let width = if width == 0 { 80 } else { width };
    escape::text(text).to_string().chars().take(width - 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_progress_line_is_cut_to_the_width() {
        assert_eq!(fitting("applying: 10 of 20", 12), "applying: 1");
        assert_eq!(fitting(&"x".repeat(200), 0).len(), 79);
        assert_eq!(fitting("a\n\x1b[2Jb", 80), r"a\n\x1b[2Jb");
        assert_eq!(fitting("abc", 1), "");
    }
}
