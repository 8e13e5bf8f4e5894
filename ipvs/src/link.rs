//! Where datagrams go: to the kernel, or to the in-memory kernel.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{Socket, SocketAddr};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno as Raw;
use rustix::net::sockopt::{self, Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};

use crate::error::{Errno, Error};
use crate::exchange::Buffers;
use crate::fake::Fake;
use crate::getsockopt::getsockopt;
use crate::kernel::Behaviors;
use crate::namespace::{Namespace, NamespaceError};

#[cfg(test)]
pub(crate) mod faulty;

/// How long the datagrams of a dump are. The kernel makes them as long as the largest buffer in which the socket has ever received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Datagrams {
    /// As long as the kernel makes any.
    Long,
    /// The first as short as on any new socket, the others long: so each is cut elsewhere than that of [`Long`](Self::Long) in its place.
    Fresh,
    /// Shorter, so that a dump is cut at other places; on a socket of their own.
    Short,
}

impl Datagrams {
    /// The buffer to receive them in.
    pub(crate) fn buffer(self) -> usize {
        match self {
            Datagrams::Long | Datagrams::Fresh => 32 << 10,
            Datagrams::Short => 20 << 10,
        }
    }

    /// Has a datagram of this length room for one more service or destination?
    ///
    /// When memory is short, the kernel takes a buffer of one page, of 8 KiB at most. Without `is_certain`, a datagram
    /// that would just fit into such a one is not known to have room.
    pub(crate) fn have_room(self, length: usize, is_certain: bool) -> bool {
        /// More than a service or a destination takes, and what the kernel keeps of a buffer for itself.
        const ONE: usize = 1024;
        let is_in_small = |page: usize| (page - ONE..=page).contains(&length);
        length <= self.buffer() - ONE && (is_certain || !is_in_small(4096) && !is_in_small(8192))
    }
}

/// What the kernel gives any socket.
const LEAST: Buffers = Buffers { send: 4608, receive: 2304 };

#[derive(Debug)]
pub(crate) enum Link {
    Kernel(Sockets),
    Fake(Box<Fake>),
    #[cfg(test)]
    Faulty(Box<faulty::Faulty>),
}

/// A conversation with the kernel.
#[derive(Debug)]
pub(crate) struct Sockets {
    netlink: Socket,
    /// The socket of dumps in other datagrams than long ones, if such were needed, and which those are.
    other: Option<(Datagrams, Socket)>,
    datagrams: Datagrams,
    older: Older,
    deadline: Duration,
    /// How long to wait for an answer, if the socket itself could not be told.
    patience: Option<Duration>,
}

/// The socket of the older interface.
#[derive(Debug)]
enum Older {
    /// Nobody has needed it yet.
    Unopened,
    Open(OwnedFd),
    /// It can't be had, or does not lead to the same table.
    Unusable,
}

impl Link {
    /// A socket on which no call waits for longer than `deadline`, in this thread's network namespace or another.
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
            #[cfg(test)]
            Link::Faulty(faulty) => Ok(Link::Fake(Box::new(faulty.kernel.another()))),
        }
    }

    /// The network namespace of the socket, which need not be this thread's.
    pub(crate) fn namespace(&self) -> Result<Namespace, NamespaceError> {
        match self {
            Link::Kernel(sockets) => Namespace::of_socket(sockets.netlink.as_fd()),
            _ => Err(NamespaceError::Unknown(io::ErrorKind::Unsupported.into())),
        }
    }

    /// Sends and receives from now on with datagrams of dumps of this size. Where there is no other socket to be had, they stay long.
    pub(crate) fn receive_in(&mut self, datagrams: Datagrams) {
        match self {
            Link::Kernel(sockets) => sockets.receive_in(datagrams),
            Link::Fake(fake) => fake.receive_in(datagrams),
            #[cfg(test)]
            Link::Faulty(faulty) => faulty.kernel.receive_in(datagrams),
        }
    }

    /// Does something with this thread in the network namespace of the socket.
    pub(crate) fn visit<T>(&self, work: impl FnOnce() -> T) -> Result<T, NamespaceError> {
        let there = self.namespace()?;
        // Entering even one's own takes CAP_SYS_ADMIN.
        if Namespace::of_this_thread().is_ok_and(|here| here == there) { Ok(work()) } else { there.within(work) }
    }

    /// What the Linux at the other end does, as far as that is known without asking it.
    pub(crate) fn behaviors(&self) -> Behaviors {
        match self {
            Link::Kernel(_) => Behaviors::of_running_version(),
            Link::Fake(fake) => fake.behaviors(),
            #[cfg(test)]
            Link::Faulty(faulty) => faulty.kernel.behaviors(),
        }
    }

    /// How much can wait, to be sent and of replies. Prepares for many of them: a refusal shall not repeat its request.
    pub(crate) fn prepare_window(&self) -> Buffers {
        match self {
            Link::Kernel(Sockets { netlink: socket, .. }) => {
                // A sandbox may forbid it: then refusals do repeat, for which there is room.
                let _ = socket.set_cap_ack(true);
                let known = sockopt::socket_send_buffer_size(socket).ok().zip(socket.get_rx_buf_sz().ok());
                known.map_or(LEAST, |(send, receive)| Buffers { send, receive })
            }
            #[cfg(test)]
            Link::Faulty(faulty) => Buffers { send: usize::MAX, receive: faulty.window.saturating_mul(2048) },
            _ => Buffers { send: usize::MAX, receive: usize::MAX },
        }
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// Nothing was sent, or, if that is [`io::ErrorKind::WriteZero`], a part of it.
    pub(crate) fn send(&mut self, datagram: &[u8]) -> Result<(), Error> {
        let sent = match self {
            Link::Kernel(sockets) => retry(|| sockets.active().send(datagram, 0))?,
            Link::Fake(fake) => {
                fake.send(datagram);
                datagram.len()
            }
            #[cfg(test)]
            Link::Faulty(faulty) => retry(|| faulty.send(datagram))?,
        };
        if sent < datagram.len() {
            // Netlink sends all or nothing; if it ever does not, we can't know what was run.
            return Err(io::Error::from(io::ErrorKind::WriteZero).into());
        }
        Ok(())
    }

    /// What tells when a datagram has come; nothing where they are there at once.
    #[cfg(feature = "tokio")]
    pub(crate) fn readiness(&self) -> io::Result<Option<OwnedFd>> {
        match self {
            Link::Kernel(sockets) => sockets.netlink.as_fd().try_clone_to_owned().map(Some),
            _ => Ok(None),
        }
    }

    /// Waits for the next datagram.
    pub(crate) fn receive(&mut self, buffer: &mut Vec<u8>, deadline: Duration) -> Result<(), Error> {
        if self.receive_with(buffer, RecvFlags::TRUNC)? { Ok(()) } else { Err(Error::Deadline(deadline)) }
    }

    /// Takes the next datagram if there is one.
    pub(crate) fn try_receive(&mut self, buffer: &mut Vec<u8>) -> Result<bool, Error> {
        self.receive_with(buffer, RecvFlags::TRUNC | RecvFlags::DONTWAIT)
    }

    /// Asks through the older interface, `getsockopt`: the answer comes in the question's place.
    ///
    /// # Errors
    /// The kernel's, or [`Errno::EOPNOTSUPP`] where that interface is not for us.
    pub(crate) fn ask(&mut self, option: i32, buffer: &mut [u8]) -> Result<(), Errno> {
        match self {
            Link::Kernel(sockets) => getsockopt(sockets.older()?, libc::IPPROTO_IP, option, buffer),
            Link::Fake(fake) => fake.ask(option, buffer),
            #[cfg(test)]
            Link::Faulty(faulty) => faulty.ask(option, buffer),
        }
    }

    fn receive_with(&mut self, buffer: &mut Vec<u8>, flags: RecvFlags) -> Result<bool, Error> {
        let received = match self {
            Link::Kernel(sockets) => sockets.receive(buffer, flags),
            Link::Fake(fake) => fake.receive(buffer).ok_or(io::ErrorKind::WouldBlock.into()),
            #[cfg(test)]
            Link::Faulty(faulty) => retry(|| faulty.receive(buffer)),
        };
        match received {
            Ok(length) if length > buffer.len() => Err(Error::Truncated(length)),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.raw_os_error() == Some(Raw::NOBUFS.raw_os_error()) => Err(Error::RepliesLost),
            Err(error) => Err(error.into()),
        }
    }
}

impl Sockets {
    fn open_in(deadline: Duration, namespace: &Namespace) -> Result<Self, Error> {
        namespace.within(|| {
            let mut sockets = Sockets::open(deadline)?;
            // Later this thread is elsewhere. If there is none to be had, there is another way to ask.
            let _ = sockets.older();
            Ok(sockets)
        })?
    }

    /// Others in the same network namespace, wherever this thread is.
    fn another(&self, deadline: Duration) -> Result<Self, Error> {
        let here = Self::open(deadline)?;
        if is_same_namespace(self.netlink.as_fd(), here.netlink.as_fd()) == Some(true) {
            return Ok(here);
        }
        Self::open_in(deadline, &Namespace::of_socket(self.netlink.as_fd())?)
    }

    /// Nobody but the kernel can answer.
    fn open(deadline: Duration) -> Result<Self, Error> {
        let netlink = Socket::new(NETLINK_GENERIC)?;
        // A socket that is not connected takes datagrams from whoever may administer this network, as root of a container may.
        netlink.connect(&SocketAddr::new(0, 0))?;
        let is_told =
            [Timeout::Recv, Timeout::Send].map(|way| set_socket_timeout(&netlink, way, Some(deadline)).is_ok());
        // A sandbox may forbid it.
        let patience = (is_told != [true; 2]).then_some(deadline);
        Ok(Sockets { netlink, other: None, datagrams: Datagrams::Long, older: Older::Unopened, deadline, patience })
    }

    fn receive_in(&mut self, datagrams: Datagrams) {
        let is_open = matches!(&self.other, Some((Datagrams::Short, _)) if datagrams == Datagrams::Short);
        if datagrams != Datagrams::Long && !is_open {
            self.other = self.another(self.deadline).ok().map(|sockets| (datagrams, sockets.netlink));
        }
        self.datagrams = if self.other.is_some() { datagrams } else { Datagrams::Long };
    }

    fn active(&self) -> &Socket {
        match &self.other {
            Some((_, socket)) if self.datagrams != Datagrams::Long => socket,
            _ => &self.netlink,
        }
    }

    fn receive(&self, buffer: &mut Vec<u8>, flags: RecvFlags) -> io::Result<usize> {
        buffer.clear();
        buffer.reserve(self.datagrams.buffer());
        // What is left over of a longer buffer would count.
        buffer.shrink_to(self.datagrams.buffer());
        retry(|| match self.patience.filter(|_| !flags.contains(RecvFlags::DONTWAIT)) {
            Some(patience) if !self.can_receive_within(patience)? => Err(io::ErrorKind::WouldBlock.into()),
            _ => self.active().recv(buffer, flags.bits() as i32),
        })
    }

    fn can_receive_within(&self, patience: Duration) -> io::Result<bool> {
        // What is longer than a timespec can say is for ever.
        let patience = Timespec::try_from(patience).ok();
        let ready = poll(&mut [PollFd::new(self.active(), PollFlags::IN)], patience.as_ref())?;
        Ok(ready > 0)
    }

    /// The socket of the older interface, opened when it is first needed.
    fn older(&mut self) -> Result<BorrowedFd<'_>, Errno> {
        if matches!(self.older, Older::Unopened) {
            self.older = self.open_older().map_or(Older::Unusable, Older::Open);
        }
        match &self.older {
            Older::Open(socket) => Ok(socket.as_fd()),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    /// A client may have been moved to a thread of another network namespace, and with it to another table.
    fn open_older(&self) -> Option<OwnedFd> {
        let socket = older_socket().ok()?;
        let is_same = is_same_namespace(socket.as_fd(), self.netlink.as_fd());
        (is_same == Some(true)).then_some(socket)
    }
}

/// A socket of the older interface, in this thread's network namespace.
pub(crate) fn older_socket() -> Result<OwnedFd, Errno> {
    rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .map_err(|error| Errno::new(error.raw_os_error()))
}

/// Are two sockets in the same network namespace? `None` where the kernel does not say: before Linux 5.14 it does so only with
/// `CAP_NET_ADMIN`.
fn is_same_namespace(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> Option<bool> {
    if let (Some(one), Some(other)) = (cookie(one), cookie(other)) {
        return Some(one == other);
    }
    Some(Namespace::of_socket(one).ok()? == Namespace::of_socket(other).ok()?)
}

/// A number that no other network namespace has until the machine is started again.
fn cookie(socket: BorrowedFd<'_>) -> Option<[u8; 8]> {
    let mut cookie = [0; 8];
    getsockopt(socket, libc::SOL_SOCKET, libc::SO_NETNS_COOKIE, &mut cookie).ok()?;
    Some(cookie)
}

/// That of this thread, as a number.
pub(crate) fn cookie_of_this_thread() -> Option<u64> {
    let socket = older_socket().ok()?;
    cookie(socket.as_fd()).map(u64::from_ne_bytes)
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
