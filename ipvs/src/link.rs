//! Where datagrams go: to the kernel, or to the in-memory kernel.

use std::io;
use std::time::Duration;

use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{Socket, SocketAddr};
use rustix::io::Errno as Raw;
use rustix::net::RecvFlags;
use rustix::net::sockopt::{self, Timeout, set_socket_timeout};

use crate::error::Error;
use crate::exchange::Buffers;
use crate::fake::Fake;
use crate::kernel::KernelVersion;

/// The longest datagram of a dump that the kernel makes, whatever the buffer.
const RECEIVE: usize = 32 << 10;

#[derive(Debug)]
pub(crate) enum Link {
    Kernel(Socket),
    Fake(Box<Fake>),
}

impl Link {
    /// A socket on which no call waits for longer than `deadline`, and nobody but the kernel can answer.
    pub(crate) fn open(deadline: Duration) -> Result<Self, Error> {
        let socket = Socket::new(NETLINK_GENERIC)?;
        // A socket that is not connected takes datagrams from whoever may administer this network, as root of a container may.
        socket.connect(&SocketAddr::new(0, 0))?;
        for timeout in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(&socket, timeout, Some(deadline)).map_err(io::Error::from)?;
        }
        Ok(Link::Kernel(socket))
    }

    /// Another socket to the same kernel: the fake's is that of this one, the machine's that of this thread.
    pub(crate) fn another(&self, deadline: Duration) -> Result<Self, Error> {
        match self {
            Link::Kernel(_) => Self::open(deadline),
            Link::Fake(fake) => Ok(Link::Fake(Box::new(fake.another()))),
        }
    }

    /// The Linux at the other end.
    pub(crate) fn kernel(&self) -> KernelVersion {
        match self {
            Link::Kernel(_) => KernelVersion::running(),
            Link::Fake(fake) => fake.kernel(),
        }
    }

    /// How much can wait, to be sent and of replies. Prepares for many of them: a refusal shall not repeat its request.
    pub(crate) fn prepare_window(&self) -> Result<Buffers, Error> {
        match self {
            Link::Kernel(socket) => {
                socket.set_cap_ack(true)?;
                let send = sockopt::socket_send_buffer_size(socket).map_err(io::Error::from)?;
                Ok(Buffers { send, receive: socket.get_rx_buf_sz()? })
            }
            Link::Fake(_) => Ok(Buffers { send: usize::MAX, receive: usize::MAX }),
        }
    }

    pub(crate) fn send(&mut self, datagram: &[u8]) -> Result<(), Error> {
        let sent = match self {
            Link::Kernel(socket) => retry(|| socket.send(datagram, 0))?,
            Link::Fake(fake) => {
                fake.send(datagram);
                datagram.len()
            }
        };
        if sent < datagram.len() {
            // Netlink sends all or nothing; if it ever does not, we can't know what was run.
            return Err(Error::RepliesLost);
        }
        Ok(())
    }

    /// Waits for the next datagram.
    pub(crate) fn receive(&mut self, buffer: &mut Vec<u8>, deadline: Duration) -> Result<(), Error> {
        if self.receive_with(buffer, RecvFlags::TRUNC)? { Ok(()) } else { Err(Error::Deadline(deadline)) }
    }

    /// Takes the next datagram if there is one.
    pub(crate) fn try_receive(&mut self, buffer: &mut Vec<u8>) -> Result<bool, Error> {
        self.receive_with(buffer, RecvFlags::TRUNC | RecvFlags::DONTWAIT)
    }

    fn receive_with(&mut self, buffer: &mut Vec<u8>, flags: RecvFlags) -> Result<bool, Error> {
        let received = match self {
            Link::Kernel(socket) => receive(socket, buffer, flags),
            Link::Fake(fake) => fake.receive(buffer).ok_or(io::ErrorKind::WouldBlock.into()),
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

fn receive(socket: &Socket, buffer: &mut Vec<u8>, flags: RecvFlags) -> io::Result<usize> {
    buffer.clear();
    buffer.reserve(RECEIVE);
    retry(|| socket.recv(buffer, flags.bits().cast_signed()))
}

/// A signal whose handler returned is no reason to give up.
fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
