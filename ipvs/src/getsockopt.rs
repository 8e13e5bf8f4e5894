//! Questions to sockets that no safe crate offers.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::errno::Errno;

/// Asks the kernel, with the question in the buffer that the answer comes in.
///
/// # Errors
/// The kernel's, or [`Errno::EINVAL`] if the buffer is longer than a socket option can be.
pub(crate) fn getsockopt(socket: BorrowedFd<'_>, level: i32, option: i32, buffer: &mut [u8]) -> Result<(), Errno> {
    let mut length = libc::socklen_t::try_from(buffer.len()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the socket is open as long as it is borrowed, and the kernel reads and writes at most
    // `length` bytes of the buffer, which are there, are only used here, and may hold anything.
    let status =
        unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, buffer.as_mut_ptr().cast(), &mut length) };
    if status == 0 { Ok(()) } else { Err(last_error()) }
}

/// `SIOCGSKNS` of `include/uapi/linux/sockios.h`, since Linux 4.9.
const GET_NAMESPACE: libc::Ioctl = 0x894C;

/// The network namespace that a socket is in.
///
/// # Errors
/// The kernel's: [`Errno::EPERM`] without `CAP_NET_ADMIN` in the user namespace that owns it.
pub(crate) fn namespace_of_socket(socket: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    // SAFETY: the socket is open as long as it is borrowed; this request takes no argument, so the
    // kernel touches no memory.
    let descriptor = unsafe { libc::ioctl(socket.as_raw_fd(), GET_NAMESPACE) };
    if descriptor < 0 {
        return Err(last_error());
    }
    // SAFETY: the kernel has just opened it for us, so nothing else owns or closes it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn last_error() -> Errno {
    Errno::new(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
}
