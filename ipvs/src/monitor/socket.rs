//! Calls that no safe crate offers, or not everywhere: on a packet socket, and of a clock.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, SystemTime};

use super::filter::Instruction;

/// `SIOCGSTAMPNS` with a `struct timespec` of `long`s.
const SENT: u32 = 0x8907;

/// Has the kernel run this program on each packet before it is queued on the socket. It replaces an
/// earlier one.
pub(super) fn attach(socket: BorrowedFd<'_>, program: &[Instruction]) -> io::Result<()> {
    let mut program: Vec<libc::sock_filter> = program
        .iter()
        .map(|&Instruction { code, then, otherwise, value }| libc::sock_filter {
            code,
            jt: then,
            jf: otherwise,
            k: value,
        })
        .collect();
    let length = program.len().try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    // SAFETY: the socket is open as long as it is borrowed. The kernel reads a `sock_fprog` of the
    // given size, and the `len` instructions that it points to, before it returns; both live until
    // then.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// When the packet that was received last was sent; `None` before the first call, with which the
/// kernel begins to note it.
pub(super) fn sent(socket: BorrowedFd<'_>) -> Option<SystemTime> {
    let mut time: [libc::c_long; 2] = [0; 2];
    // SAFETY: the socket is open as long as it is borrowed, and the kernel writes two `long`s, for
    // which there is room.
    let status = unsafe { libc::ioctl(socket.as_raw_fd(), SENT as _, time.as_mut_ptr()) };
    let [seconds, nanoseconds] = time;
    let since = Duration::new(seconds.try_into().ok()?, nanoseconds.try_into().ok()?);
    (status == 0).then(|| SystemTime::UNIX_EPOCH + since)
}

/// How long ago the system began.
pub(super) fn since_boot() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the system writes one `timespec`, which is there. rustix would panic where the kernel
    // offers no such function in its shared object, as user-mode Linux does not.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    let time = (time.tv_sec.try_into(), time.tv_nsec.try_into());
    match (status, time) {
        (0, (Ok(seconds), Ok(nanoseconds))) => Duration::new(seconds, nanoseconds),
        _ => Duration::ZERO,
    }
}

/// Has the socket receive all packets of this interface from now on.
pub(super) fn bind(socket: BorrowedFd<'_>, interface: u32) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: interface.try_into().map_err(|_| io::ErrorKind::InvalidInput)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the socket is open as long as it is borrowed, and the kernel reads an address of the
    // given size, which is there.
    let status = unsafe {
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size_of::<libc::sockaddr_ll>() as libc::socklen_t)
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
