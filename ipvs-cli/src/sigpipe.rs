//! How a program ends whose output nobody reads any more.
//!
//! The kernel ends it by `SIGPIPE` when it writes, and so ends ipvsadm, unless its caller has the signal ignored: then ipvsadm works on
//! to its end, and so does ours by that name. A subcommand ends in any case, as it may be one that never would otherwise; but one that
//! changes a director is not to end midway because nobody reads what it says.

use std::sync::atomic::{AtomicBool, Ordering};

/// As the signal's disposition, this is the whole process's.
static FATAL: AtomicBool = AtomicBool::new(false);

/// From now on, writing to a pipe without a reader ends this process, even if its caller has the signal ignored.
pub(crate) fn insist() {
    FATAL.store(true, Ordering::SeqCst);
}

/// From now on, nobody's going away ends this process.
pub(crate) fn spare() {
    FATAL.store(false, Ordering::SeqCst);
    set(libc::SIG_IGN);
}

/// Ends this process, if that is how it is to end, with the signal's next coming.
pub(crate) fn is_fatal() -> bool {
    let fatal = FATAL.load(Ordering::SeqCst);
    if fatal {
        set(libc::SIG_DFL);
    }
    fatal
}

#[expect(unsafe_code, reason = "no safe function sets a signal's disposition")]
fn set(disposition: libc::sighandler_t) {
    // SAFETY: neither SIG_DFL nor SIG_IGN is a handler, so no code of ours runs in signal context; and SIGPIPE is a valid signal.
    unsafe { libc::signal(libc::SIGPIPE, disposition) };
}
