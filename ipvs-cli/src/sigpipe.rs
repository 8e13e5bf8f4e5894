//! How a program ends whose output nobody reads any more.
//!
//! Rust programs start with `SIGPIPE` ignored, so `ipvsadm -L | head` would work on to the end, and a shell would see
//! another status than ipvsadm's. The default action is restored when a write has failed for want of a reader; the
//! next write ends the process. So the system call is made only when it is needed.
//!
//! A program that changes a director is not to end midway because nobody reads what it says.

use std::sync::atomic::{AtomicBool, Ordering};

/// As the signal's disposition, this is the whole process's.
static SPARED: AtomicBool = AtomicBool::new(false);

/// From now on, nobody's going away ends this process.
pub(crate) fn spare() {
    SPARED.store(true, Ordering::SeqCst);
}

/// Does this process go on?
pub(crate) fn is_spared() -> bool {
    SPARED.load(Ordering::SeqCst)
}

/// From now on, writing to a pipe without a reader ends the process.
#[expect(unsafe_code, reason = "no safe function sets a signal's disposition")]
pub(crate) fn restore_default() {
    // SAFETY: SIG_DFL installs no handler, so no code of ours runs in signal context; and SIGPIPE is a valid signal.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}
