//! Has another program a file open for writing?
//!
//! A read lease is the only way to ask the kernel: it gives one only if nobody has the file open
//! for writing, and until it is given back, programs that open it for writing wait. So what is read
//! in between is what a writer has left behind, not half of what it writes.

use std::fs::File;
use std::os::fd::AsRawFd;

/// A lease, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Lease<'f>(&'f File);

/// What the kernel says.
#[derive(Debug)]
pub(super) enum Leased<'f> {
    /// Nobody writes.
    Held(Lease<'f>),
    /// A program has it open for writing.
    Writing,
    /// This file system has no leases, or this user no right to one.
    Unknown,
}

impl<'f> Lease<'f> {
    /// The process must have a handler for `SIGIO`, which is sent when a program has to wait.
    pub(super) fn take(file: &'f File) -> Leased<'f> {
        match set(file, libc::F_RDLCK) {
            Ok(()) => Leased::Held(Lease(file)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Leased::Writing,
            Err(_) => Leased::Unknown,
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // The end of the file's descriptor gives it back, too.
        let _ = set(self.0, libc::F_UNLCK);
    }
}

#[expect(unsafe_code, reason = "no crate has a safe function for leases")]
fn set(file: &File, kind: libc::c_int) -> std::io::Result<()> {
    // SAFETY: F_SETLEASE takes an int by value, and no memory of this process; the descriptor is
    // open as long as the file is borrowed.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
