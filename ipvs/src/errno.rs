//! Error numbers of the kernel.

use std::fmt;
use std::io;

/// An error number of the kernel, such as [`Errno::EEXIST`].
///
/// ```
/// use ipvs::Errno;
/// assert_eq!(Errno::EEXIST.to_string(), "File exists");
/// assert_eq!(Errno::new(17), Errno::EEXIST);
/// let error = std::io::Error::from(Errno::EEXIST);
/// assert_eq!(error.raw_os_error().map(Errno::new), Some(Errno::EEXIST));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errno(i32);

macro_rules! errnos {
    ($($(#[$doc:meta])* $name:ident = $raw:expr, $text:literal;)*) => {
        impl Errno {
            $($(#[$doc])* pub const $name: Self = Self($raw.raw_os_error());)*

            fn known(self) -> Option<(&'static str, &'static str)> {
                match self {
                    $(Self::$name => Some((stringify!($name), $text)),)*
                    _ => None,
                }
            }
        }
    };
}

use rustix::io::Errno as Raw;

// The texts are the C library's, fixed here so that they don't depend on which one is linked.
errnos! {
    /// Operation not permitted: `CAP_NET_ADMIN` is missing.
    EPERM = Raw::PERM, "Operation not permitted";
    /// No such destination; unknown scheduler or persistence engine; unknown netlink family.
    ENOENT = Raw::NOENT, "No such file or directory";
    /// No such service; no such daemon.
    ESRCH = Raw::SRCH, "No such process";
    /// A signal arrived first.
    EINTR = Raw::INTR, "Interrupted system call";
    /// Input or output error.
    EIO = Raw::IO, "Input/output error";
    /// Try again.
    EAGAIN = Raw::AGAIN, "Resource temporarily unavailable";
    /// The kernel is out of memory.
    ENOMEM = Raw::NOMEM, "Cannot allocate memory";
    /// Permission denied.
    EACCES = Raw::ACCESS, "Permission denied";
    /// Bad address.
    EFAULT = Raw::FAULT, "Bad address";
    /// Busy: a second dump on one socket.
    EBUSY = Raw::BUSY, "Device or resource busy";
    /// The service, destination or daemon is already there.
    EEXIST = Raw::EXIST, "File exists";
    /// No such network interface.
    ENODEV = Raw::NODEV, "No such device";
    /// A malformed or impossible request.
    EINVAL = Raw::INVAL, "Invalid argument";
    /// No space left.
    ENOSPC = Raw::NOSPC, "No space left on device";
    /// A number out of the kernel's range.
    ERANGE = Raw::RANGE, "Numerical result out of range";
    /// Too long a message.
    EMSGSIZE = Raw::MSGSIZE, "Message too long";
    /// The module is being unloaded.
    ENOPROTOOPT = Raw::NOPROTOOPT, "Protocol not available";
    /// The protocol is not there.
    EPROTONOSUPPORT = Raw::PROTONOSUPPORT, "Protocol not supported";
    /// The kernel does not know this operation.
    EOPNOTSUPP = Raw::OPNOTSUPP, "Operation not supported";
    /// The kernel does not know this address family.
    EAFNOSUPPORT = Raw::AFNOSUPPORT, "Address family not supported by protocol";
    /// The address is in use.
    EADDRINUSE = Raw::ADDRINUSE, "Address already in use";
    /// The address does not belong to this machine.
    EADDRNOTAVAIL = Raw::ADDRNOTAVAIL, "Cannot assign requested address";
    /// The network is unreachable.
    ENETUNREACH = Raw::NETUNREACH, "Network is unreachable";
    /// Replies were dropped.
    ENOBUFS = Raw::NOBUFS, "No buffer space available";
    /// Took too long.
    ETIMEDOUT = Raw::TIMEDOUT, "Connection timed out";
}

impl Errno {
    /// The error of this (positive) number.
    pub const fn new(raw: i32) -> Self {
        Errno(raw)
    }

    /// The number, positive.
    pub const fn raw(self) -> i32 {
        self.0
    }
}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        io::Error::from_raw_os_error(errno.raw())
    }
}

impl fmt::Display for Errno {
    /// The C library's text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((_, text)) = self.known() {
            return f.write_str(text);
        }
        // The standard library adds the number, which the C library doesn't.
        let text = io::Error::from_raw_os_error(self.0).to_string();
        f.write_str(text.rsplit_once(" (os error").map_or(text.as_str(), |(text, _)| text))
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "Errno({})", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_numbers_have_the_c_librarys_text() {
        assert_eq!(Errno::new(18).to_string(), "Invalid cross-device link");
        assert_eq!(format!("{:?}", Errno::new(18)), "Errno(18)");
    }
}
