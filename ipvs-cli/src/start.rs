//! Where the C library starts the program.
//!
//! Rust's own start would do more: it reads `/proc/self/maps` and prepares to tell of a stack that overflows, a tenth of the work of
//! `ipvsadm -a`; and it has `SIGPIPE` ignored, so that no program can know whether its caller did. What is needed of it is here.

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::fs::OpenOptions;
use std::os::fd::IntoRawFd;
use std::os::unix::ffi::OsStrExt;

use rustix::io::{Errno, fcntl_getfd};
use rustix::stdio;

/// The C library calls this with as many words as it says, and a null pointer behind them.
#[expect(unsafe_code, reason = "the C library calls this function by its name, and gives it pointers")]
#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, words: *const *const c_char) -> c_int {
    open_what_is_closed();
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: there are `count` pointers at `words`, each to text that ends with a 0, and nobody changes either while the program runs.
    let word = |at| unsafe { CStr::from_ptr(*words.add(at)) };
    let argv: Vec<OsString> = (0..count).map(|at| OsStr::from_bytes(word(at).to_bytes()).to_owned()).collect();
    c_int::from(crate::program(&argv))
}

/// The number of a closed standard stream would else become the kernel's socket, to which a message would then go.
fn open_what_is_closed() {
    for stream in [stdio::stdin(), stdio::stdout(), stdio::stderr()] {
        if fcntl_getfd(stream) == Err(Errno::BADF)
            && let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null")
        {
            // The least number that is free: this stream's, which is now open to the end.
            let _ = null.into_raw_fd();
        }
    }
}
