//! Ends a screen when its terminal is closed.
//!
//! A closed terminal sends SIGHUP, which nohup ignores. Reading from the terminal then fails at
//! once, and crossterm retries for ever. So a thread waits for the end of the terminal and ends the
//! process.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::{process, thread};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::{stdio, termios};
use signal_hook::consts::SIGHUP;

const LOOK_AGAIN: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// From now on, the process ends with status 129 when the terminal of standard output or of the
/// keyboard is closed, after `before`.
pub(crate) fn end_with_terminal(before: impl FnOnce() + Send + 'static) {
    // Without the thread, SIGHUP still ends the process in most cases.
    let _ = thread::Builder::new().name("hangup".to_owned()).spawn(move || {
        // The keyboard if standard input is no terminal.
        let keyboard = File::open("/dev/tty").ok();
        // EIO: a terminal that is closed already.
        let is_terminal = |stream: &BorrowedFd<'_>| matches!(termios::tcgetattr(stream), Ok(_) | Err(Errno::IO));
        let own = [stdio::stdout(), stdio::stdin()].into_iter().filter(is_terminal);
        let terminals: Vec<BorrowedFd<'_>> = own.chain(keyboard.as_ref().map(File::as_fd)).collect();
        if is_closed(&terminals) {
            before();
            process::exit(128 + SIGHUP);
        }
    });
}

/// Waits until one of them is closed; `false` if polling fails.
fn is_closed(terminals: &[BorrowedFd<'_>]) -> bool {
    // POLLHUP is reported without being requested.
    let mut polled: Vec<_> = terminals.iter().map(|terminal| PollFd::new(terminal, PollFlags::empty())).collect();
    loop {
        // A hangup of a serial line does not always wake the waiting thread.
        match poll(&mut polled, Some(&LOOK_AGAIN)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return true,
            Err(_) => return false,
        }
    }
}
