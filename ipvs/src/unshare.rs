//! A new network namespace for a thread, which no safe function offers.
#![allow(unsafe_code)]

use std::io;

#[cfg(target_os = "linux")]
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Moves this thread, and no other, into a new network namespace.
#[cfg(target_os = "linux")]
pub(crate) fn enter_new_network() -> io::Result<()> {
    // SAFETY: only `UnshareFlags::FILES` is unsafe, since other threads could then use descriptors
    // that this one does not have. `NEWNET` decides which network the sockets belong to that this
    // thread opens from now on, and touches no memory.
    Ok(unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?)
}

/// Other systems have none.
#[cfg(not(target_os = "linux"))]
pub(crate) fn enter_new_network() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
