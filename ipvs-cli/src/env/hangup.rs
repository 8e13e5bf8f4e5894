//! What is shown on a terminal ends with the terminal.
//!
//! A program whose terminal is closed gets SIGHUP, unless its caller has that ignored, as nohup does. Reading from what is left of the
//! terminal then fails at once, each time, and crossterm tries for ever; so a thread waits for the end, and ends the program.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::{process, thread};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::{stdio, termios};
use signal_hook::consts::SIGHUP;

const LOOK_AGAIN: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// From now on, the program ends with status 129 when its terminal is closed: that of standard output, and that of the keys.
pub(crate) fn end_with_terminal() {
    // Without the thread, the signal is left.
    let _ = thread::Builder::new().name("hangup".to_owned()).spawn(|| {
        // Where keys come from if standard input is none.
        let keyboard = File::open("/dev/tty").ok();
        // One that is closed already is still a terminal.
        let is_terminal = |stream: &BorrowedFd<'_>| matches!(termios::tcgetattr(stream), Ok(_) | Err(Errno::IO));
        let own = [stdio::stdout(), stdio::stdin()].into_iter().filter(is_terminal);
        let terminals: Vec<BorrowedFd<'_>> = own.chain(keyboard.as_ref().map(File::as_fd)).collect();
        if is_closed(&terminals) {
            process::exit(128 + SIGHUP);
        }
    });
}

/// Waits until one of them is closed; `false` if that can't be told.
fn is_closed(terminals: &[BorrowedFd<'_>]) -> bool {
    // Whether it is closed is told unasked.
    let mut polled: Vec<_> = terminals.iter().map(|terminal| PollFd::new(terminal, PollFlags::empty())).collect();
    loop {
        // Of the end of a serial line, whoever waits is not always told.
        match poll(&mut polled, Some(&LOOK_AGAIN)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return true,
            Err(_) => return false,
        }
    }
}
