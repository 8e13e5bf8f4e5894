//! What a write to a pipe without a reader does.
//!
//! `SIGPIPE` ends ipvsadm unless its parent process ignores the signal, and so it does by that
//! name. A subcommand ends in any case, as some never end otherwise. One that changes a director
//! must not end midway.

/// From now on, writing to a pipe without a reader ends this process, even if its parent ignores
/// the signal.
pub(crate) fn die_on_broken_pipe() {
    set(libc::SIG_DFL);
}

/// From now on, writing to a pipe without a reader is an error that does not end this process.
pub(crate) fn ignore_broken_pipe() {
    set(libc::SIG_IGN);
}

#[expect(unsafe_code, reason = "no safe function sets a signal's disposition")]
fn set(disposition: libc::sighandler_t) {
    // SAFETY: neither SIG_DFL nor SIG_IGN is a handler, so no code runs in signal context; and
    // SIGPIPE is a valid signal.
    unsafe { libc::signal(libc::SIGPIPE, disposition) };
}
