//! Where datagrams go: to the kernel, or to the in-memory kernel.

use std::fs::File;
use std::io::{self, Read};
use std::net::{self, Ipv4Addr, UdpSocket};
use std::os::fd::BorrowedFd;
#[cfg(feature = "tokio")]
use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::cause::Cause;
use crate::errno::Errno;
use crate::error::Error;
use crate::exchange::{Buffers, Datagrams};
use crate::fake::Fake;
use crate::kernel::Behaviors;
use crate::netns::{Namespace, NamespaceError, datagram_socket};

#[cfg(not(target_os = "linux"))]
#[path = "link/elsewhere.rs"]
mod sockets;
#[cfg(target_os = "linux")]
mod sockets;

use sockets::Sockets;
pub(crate) use sockets::open_sockopt;

#[derive(Debug)]
pub(crate) enum Link {
    Kernel(Sockets),
    Fake(Box<Fake>),
}

impl Link {
    /// A socket on which no call waits for longer than `deadline`, in this thread's network
    /// namespace or another.
    pub(crate) fn open(deadline: Duration, namespace: Option<&Namespace>) -> Result<Self, Error> {
        let sockets = match namespace {
            None => Sockets::open(deadline)?,
            Some(namespace) => Sockets::open_in(deadline, namespace)?,
        };
        Ok(Link::Kernel(sockets))
    }

    /// Another socket to the same kernel, in the same network namespace, wherever this thread is.
    pub(crate) fn another(&self, deadline: Duration) -> Result<Self, Error> {
        match self {
            Link::Kernel(sockets) => Ok(Link::Kernel(sockets.another(deadline)?)),
            Link::Fake(fake) => Ok(Link::Fake(Box::new(fake.another()))),
        }
    }

    /// The network namespace of the socket, which need not be this thread's.
    pub(crate) fn namespace(&self) -> Result<Namespace, NamespaceError> {
        match self {
            Link::Kernel(sockets) => sockets.namespace(),
            _ => Err(NamespaceError::Unknown(io::ErrorKind::Unsupported.into())),
        }
    }

    /// The socket of changes and most reads; a fake has none.
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Link::Kernel(sockets) => Some(sockets.socket()),
            Link::Fake(_) => None,
        }
    }

    /// Sends and receives from now on with datagrams of dumps of this size. Where there is no other
    /// socket to be had, they stay long.
    pub(crate) fn receive_in(&mut self, datagrams: Datagrams) {
        match self {
            Link::Kernel(sockets) => sockets.receive_in(datagrams),
            Link::Fake(fake) => fake.receive_in(datagrams),
        }
    }

    /// Does something with this thread in the network namespace of the socket.
    fn visit<T>(&self, work: impl FnOnce() -> T) -> Result<T, NamespaceError> {
        let there = self.namespace()?;
        // Entering even one's own takes CAP_SYS_ADMIN.
        if Namespace::of_this_thread().is_ok_and(|here| here == there) { Ok(work()) } else { there.within(work) }
    }

    /// Why the socket's network namespace takes no destination with this address, as far as its
    /// network is the reason.
    pub(crate) fn why_no_host(&self, address: Ipv4Addr) -> Result<Option<Cause>, NamespaceError> {
        self.visit(|| why_no_host_here(address))
    }

    /// What the Linux at the other end does, as far as that is known without asking it.
    pub(crate) fn behaviors(&self) -> Behaviors {
        let known = match self {
            Link::Kernel(_) => Behaviors::of_running_version(),
            Link::Fake(fake) => fake.behaviors(),
        };
        // Vendors have taken it over, so a version must not keep a tunnel from being asked for.
        known | Behaviors::TUNNEL_KINDS
    }

    /// How much can wait, to be sent and of replies. Prepares for many of them: a refusal shall not
    /// repeat its request.
    pub(crate) fn prepare_window(&self) -> Buffers {
        match self {
            Link::Kernel(sockets) => sockets.prepare_window(),
            #[cfg(test)]
            Link::Fake(fake) => Buffers { send: usize::MAX, receive: fake.window.saturating_mul(2048) },
            #[cfg(not(test))]
            Link::Fake(_) => Buffers { send: usize::MAX, receive: usize::MAX },
        }
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// Nothing was sent, or, if that is [`io::ErrorKind::WriteZero`], a part of it.
    pub(crate) fn send(&mut self, datagram: &[u8]) -> Result<(), Error> {
        let sent = match self {
            Link::Kernel(sockets) => retry(|| sockets.send(datagram))?,
            Link::Fake(fake) => retry(|| fake.send(datagram))?,
        };
        if sent < datagram.len() {
            // Netlink sends all or nothing; if it ever does not, we can't know what was run.
            return Err(io::Error::from(io::ErrorKind::WriteZero).into());
        }
        Ok(())
    }

    /// The descriptor that becomes readable with a datagram; `None` if datagrams are there at once.
    #[cfg(feature = "tokio")]
    pub(crate) fn readiness(&self) -> io::Result<Option<OwnedFd>> {
        match self {
            Link::Kernel(sockets) => sockets.readiness().map(Some),
            _ => Ok(None),
        }
    }

    /// Waits for the next datagram.
    pub(crate) fn receive(&mut self, buffer: &mut Vec<u8>, deadline: Duration) -> Result<(), Error> {
        if self.receive_or_not(buffer, true)? { Ok(()) } else { Err(Error::Deadline(deadline)) }
    }

    /// Takes the next datagram if there is one.
    pub(crate) fn try_receive(&mut self, buffer: &mut Vec<u8>) -> Result<bool, Error> {
        self.receive_or_not(buffer, false)
    }

    /// Asks through the older interface, `getsockopt`: the answer comes in the question's place.
    ///
    /// # Errors
    /// The kernel's, or [`Errno::EOPNOTSUPP`] where that interface is not for us.
    pub(crate) fn ask(&mut self, option: i32, buffer: &mut [u8]) -> Result<(), Errno> {
        match self {
            Link::Kernel(sockets) => sockets.ask(option, buffer),
            Link::Fake(fake) => fake.ask(option, buffer),
        }
    }

    fn receive_or_not(&mut self, buffer: &mut Vec<u8>, waits: bool) -> Result<bool, Error> {
        let received = match self {
            Link::Kernel(sockets) => retry(|| sockets.receive(buffer, waits)),
            Link::Fake(fake) => retry(|| fake.receive(buffer)),
        };
        match received {
            Ok(length) if length > buffer.len() => Err(Error::Truncated(length)),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS.raw()) => Err(Error::RepliesLost),
            Err(error) => Err(error.into()),
        }
    }
}

/// A signal whose handler returned is no reason to give up, but a system that does nothing else is.
fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    const MOST: usize = 1000;
    let mut interrupted = 0;
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted && interrupted < MOST => interrupted += 1,
            result => return result,
        }
    }
}

/// Asks by connecting, which sends nothing. A broadcast address takes special permission.
fn why_no_host_here(address: Ipv4Addr) -> Option<Cause> {
    // Not bound, as that would open a port.
    let socket = UdpSocket::from(datagram_socket().ok()?);
    let error = socket.connect(net::SocketAddr::from((address, 9))).err()?;
    match error.raw_os_error().map(Errno::new) {
        Some(Errno::EACCES) => Some(Cause::NotAHost(address.into())),
        Some(Errno::ENETUNREACH) if has_no_local_table() => Some(Cause::NoNetwork),
        _ => None,
    }
}

/// The kernel makes its table of local addresses with a network namespace's first address, and
/// takes each address for one of broadcast before (`__inet_dev_addr_type`). False if not known.
fn has_no_local_table() -> bool {
    File::open("/proc/thread-self/net/fib_trie")
        .and_then(|mut tables| tables.read(&mut [0]))
        .is_ok_and(|read| read == 0)
}
