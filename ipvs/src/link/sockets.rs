//! Sockets to the kernel of this machine.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{Socket, SocketAddr};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::RecvFlags;
use rustix::net::sockopt::{self, Timeout, set_socket_timeout};

use crate::errno::Errno;
use crate::error::Error;
use crate::exchange::{Buffers, Datagrams};
use crate::getsockopt::getsockopt;
use crate::netns::{Namespace, NamespaceError, cookie, datagram_socket};

/// What the kernel gives any socket.
const LEAST: Buffers = Buffers { send: 4608, receive: 2304 };

/// A conversation with the kernel.
#[derive(Debug)]
pub(crate) struct Sockets {
    netlink: Socket,
    /// The socket of dumps in other datagrams than long ones, if such were needed, and which those
    /// are.
    other: Option<(Datagrams, Socket)>,
    datagrams: Datagrams,
    older: Older,
    deadline: Duration,
    /// How long to wait for a reply, if the socket's own timeout could not be set.
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

impl Sockets {
    pub(super) fn open_in(deadline: Duration, namespace: &Namespace) -> Result<Self, Error> {
        namespace.within(|| {
            let mut sockets = Sockets::open(deadline)?;
            // Later this thread is elsewhere. If there is none to be had, there is another way to
            // ask.
            let _ = sockets.older();
            Ok(sockets)
        })?
    }

    /// Others in the same network namespace, wherever this thread is.
    pub(super) fn another(&self, deadline: Duration) -> Result<Self, Error> {
        let here = Self::open(deadline)?;
        if is_same_namespace(self.netlink.as_fd(), here.netlink.as_fd()) == Some(true) {
            return Ok(here);
        }
        Self::open_in(deadline, &Namespace::of_socket(self.netlink.as_fd())?)
    }

    /// Nobody but the kernel can reply.
    pub(super) fn open(deadline: Duration) -> Result<Self, Error> {
        let netlink = Socket::new(NETLINK_GENERIC)?;
        // An unconnected socket takes datagrams from any administrator of this network, such as
        // root of a container.
        netlink.connect(&SocketAddr::new(0, 0))?;
        let has_timeouts =
            [Timeout::Recv, Timeout::Send].map(|way| set_socket_timeout(&netlink, way, Some(deadline)).is_ok());
        // A sandbox may forbid it.
        let patience = (has_timeouts != [true; 2]).then_some(deadline);
        Ok(Sockets { netlink, other: None, datagrams: Datagrams::Long, older: Older::Unopened, deadline, patience })
    }

    pub(super) fn receive_in(&mut self, datagrams: Datagrams) {
        let is_open = matches!(&self.other, Some((Datagrams::Short, _)) if datagrams == Datagrams::Short);
        if datagrams != Datagrams::Long && !is_open {
            self.other = self.another(self.deadline).ok().map(|sockets| (datagrams, sockets.netlink));
        }
        self.datagrams = if self.other.is_some() { datagrams } else { Datagrams::Long };
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.netlink.as_fd()
    }

    fn active(&self) -> &Socket {
        match &self.other {
            Some((_, socket)) if self.datagrams != Datagrams::Long => socket,
            _ => &self.netlink,
        }
    }

    pub(super) fn namespace(&self) -> Result<Namespace, NamespaceError> {
        Namespace::of_socket(self.netlink.as_fd())
    }

    pub(super) fn prepare_window(&self) -> Buffers {
        // A sandbox may forbid it: then refusals do repeat, for which there is room.
        let _ = self.netlink.set_cap_ack(true);
        let known = sockopt::socket_send_buffer_size(&self.netlink).ok().zip(self.netlink.get_rx_buf_sz().ok());
        known.map_or(LEAST, |(send, receive)| Buffers { send, receive })
    }

    #[cfg(feature = "tokio")]
    pub(super) fn readiness(&self) -> io::Result<OwnedFd> {
        self.netlink.as_fd().try_clone_to_owned()
    }

    pub(super) fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        self.active().send(datagram, 0)
    }

    pub(super) fn receive(&self, buffer: &mut Vec<u8>, waits: bool) -> io::Result<usize> {
        buffer.clear();
        buffer.reserve(self.datagrams.buffer());
        // What is left over of a longer buffer would count.
        buffer.shrink_to(self.datagrams.buffer());
        let flags = if waits { RecvFlags::TRUNC } else { RecvFlags::TRUNC | RecvFlags::DONTWAIT };
        match self.patience.filter(|_| waits) {
            Some(patience) if !self.can_receive_within(patience)? => Err(io::ErrorKind::WouldBlock.into()),
            _ => self.active().recv(buffer, flags.bits() as i32),
        }
    }

    pub(super) fn ask(&mut self, option: i32, buffer: &mut [u8]) -> Result<(), Errno> {
        getsockopt(self.older()?, libc::IPPROTO_IP, option, buffer)
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

    /// A client may have been moved to a thread of another network namespace, and with it to
    /// another table.
    fn open_older(&self) -> Option<OwnedFd> {
        let socket = datagram_socket().ok()?;
        let is_same = is_same_namespace(socket.as_fd(), self.netlink.as_fd());
        (is_same == Some(true)).then_some(socket)
    }
}

/// Questions to the older interface in this thread's network namespace: each is an option and a
/// buffer, in which the reply comes.
pub(crate) fn open_sockopt() -> Result<impl FnMut(i32, &mut [u8]) -> Result<(), Errno>, Errno> {
    let socket = datagram_socket()?;
    Ok(move |option, buffer: &mut [u8]| getsockopt(socket.as_fd(), libc::IPPROTO_IP, option, buffer))
}

/// Are two sockets in the same network namespace? `None` where the kernel does not say: before
/// Linux 5.14 it does so only with `CAP_NET_ADMIN`.
fn is_same_namespace(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> Option<bool> {
    if let (Some(one), Some(other)) = (cookie(one), cookie(other)) {
        return Some(one == other);
    }
    Some(Namespace::of_socket(one).ok()? == Namespace::of_socket(other).ok()?)
}
