//! The C `main`, in place of Rust's.
//!
//! Rust's start-up ignores `SIGPIPE`, so that a program can't know whether its parent process did,
//! which decides how ipvsadm ends (docs/compatibility.md). It also prepares messages about stack
//! overflows, which costs a quarter of one `ipvsadm -a`.

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::fs::OpenOptions;
use std::os::fd::IntoRawFd;
use std::os::unix::ffi::OsStrExt;

use rustix::io::{Errno, fcntl_getfd};
use rustix::stdio;

/// `words` points to `count` strings and a null pointer.
#[expect(unsafe_code, reason = "the C library calls this function by its name, and gives it pointers")]
#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, words: *const *const c_char) -> c_int {
    open_closed_streams();
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: `words` points to `count` pointers to strings that end with a 0, and nothing changes
    // them.
    let word = |at| unsafe { CStr::from_ptr(*words.add(at)) };
    let argv: Vec<OsString> = (0..count).map(|at| OsStr::from_bytes(word(at).to_bytes()).to_owned()).collect();
    c_int::from(crate::program(&argv))
}

/// Opens closed standard streams, as the netlink socket would otherwise get their number and
/// receive messages. Writing to a closed standard output stays an error.
fn open_closed_streams() {
    for (stream, is_writable) in [(stdio::stdin(), true), (stdio::stdout(), false), (stdio::stderr(), true)] {
        if fcntl_getfd(stream) == Err(Errno::BADF)
            && let Ok(null) = OpenOptions::new().read(true).write(is_writable).open("/dev/null")
        {
            // The lowest free number is that of this stream. It stays open.
            let _ = null.into_raw_fd();
        }
    }
}
