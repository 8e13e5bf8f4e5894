//! The multicast sockets of both ends.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

use super::message::{Datagram, DecodeError, Message};
use crate::daemon::Daemon;
use crate::name::InterfaceName;

/// `IP_VS_SYNC_GROUP`.
const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81));

/// `IP_VS_SYNC_PORT`.
const PORT: u16 = 8848;

/// No datagram is longer.
pub(super) const LONGEST: usize = 65_535;

/// Sends to the backup daemons of a multicast group.
///
/// A daemon of the same network namespace receives it as well, if it is on the same interface. It
/// needs no privileges.
///
/// ```no_run
/// use ipvs::sync::{Datagram, Sender};
/// use ipvs::{Daemon, DaemonRole, InterfaceName};
/// let sender = Sender::open(&Daemon::new(DaemonRole::Backup, InterfaceName::LOOPBACK))?;
/// sender.send(&Datagram::new(0, 1472))?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Sender {
    socket: UdpSocket,
}

impl Sender {
    /// A socket to the daemons with this interface, group, port and time to live. The socket
    /// belongs to the network namespace of this thread.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] or `ENODEV` if there is no such interface, and those of the
    /// socket's system calls.
    pub fn open(daemon: &Daemon) -> io::Result<Self> {
        let group = daemon.group.unwrap_or(GROUP);
        let socket = UdpSocket::bind(SocketAddr::new(unspecified(group), 0))?;
        let index = interface_index(socket.as_fd(), &daemon.interface)?;
        match group {
            IpAddr::V4(group) => {
                sockopt::set_ip_multicast_if_with_ifindex(&socket, &group, &Ipv4Addr::UNSPECIFIED, index)?;
                socket.set_multicast_loop_v4(true)?;
                socket.set_multicast_ttl_v4(daemon.ttl.unwrap_or(1).into())?;
            }
            IpAddr::V6(_) => {
                sockopt::set_ipv6_multicast_if(&socket, index)?;
                socket.set_multicast_loop_v6(true)?;
                sockopt::set_ipv6_multicast_hops(&socket, daemon.ttl.unwrap_or(1).into())?;
            }
        }
        socket.connect(address(daemon, group, index))?;
        Ok(Sender { socket })
    }

    /// Sends a datagram. Nothing shows whether a daemon has received it.
    ///
    /// # Errors
    /// `ENETUNREACH` if the interface is down, and others of `send(2)`.
    pub fn send(&self, datagram: &Datagram) -> io::Result<()> {
        self.socket.send(datagram.as_bytes()).map(drop)
    }

    /// The same socket for somebody else.
    #[cfg(feature = "tokio")]
    pub(super) fn into_socket(self) -> UdpSocket {
        self.socket
    }
}

impl AsFd for Sender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A message, and where it came from.
///
/// ```
/// fn is_of(received: &ipvs::sync::Received, director: std::net::IpAddr) -> bool {
///     received.from.ip() == director
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// The address of the sender, which anybody in the network can forge.
    pub from: SocketAddr,
    /// Its connections and templates.
    pub message: Message,
}

/// Why no message was received.
///
/// ```
/// fn goes_on(error: &ipvs::sync::ReceiveError) -> bool {
///     matches!(error, ipvs::sync::ReceiveError::Decode { .. })
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// A system call failed, or [`Receiver::set_timeout`] has passed
    /// ([`io::ErrorKind::WouldBlock`]).
    #[error("sync messages can't be received")]
    Io(#[source] io::Error),
    /// A datagram that is not understood. The next one may be.
    #[error("a datagram from {from} is not understood")]
    Decode {
        /// The address of the sender.
        from: SocketAddr,
        /// What is wrong.
        #[source]
        error: DecodeError,
    },
}

/// Receives what master daemons send to a multicast group.
///
/// A master daemon's own network namespace does not receive what it sends. It needs no privileges.
///
/// ```no_run
/// use ipvs::sync::Receiver;
/// use ipvs::{Daemon, DaemonRole, InterfaceName};
/// let mut receiver =
///     Receiver::open(&Daemon::new(DaemonRole::Backup, InterfaceName::new("eth0")?))?;
/// loop {
///     let received = receiver.receive()?;
///     println!("{}: {} entries", received.from, received.message.entries.len());
/// }
/// # #[allow(unreachable_code)]
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Receiver {
    socket: UdpSocket,
    sync_id: u32,
    buffer: Box<[u8]>,
}

impl Receiver {
    /// A socket for messages of masters with this interface, group, port and sync id; with sync id
    /// 0, of all. The
    /// socket belongs to the network namespace of this thread, and shares the port with a daemon of
    /// the kernel.
    ///
    /// # Errors
    /// As for [`Sender::open`].
    pub fn open(daemon: &Daemon) -> io::Result<Self> {
        let group = daemon.group.unwrap_or(GROUP);
        let family = if group.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        let index = interface_index(socket.as_fd(), &daemon.interface)?;
        // Only what goes to the group.
        bind(&socket, &address(daemon, group, index))?;
        match group {
            IpAddr::V4(group) => {
                sockopt::set_ip_add_membership_with_ifindex(&socket, &group, &Ipv4Addr::UNSPECIFIED, index)?;
            }
            IpAddr::V6(group) => sockopt::set_ipv6_add_membership(&socket, &group, index)?,
        }
        Ok(Receiver { socket: socket.into(), sync_id: daemon.sync_id, buffer: vec![0; LONGEST].into() })
    }

    /// How long [`receive`](Self::receive) waits. `None`: as long as it takes.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for zero, and those of `setsockopt(2)`.
    pub fn set_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket.set_read_timeout(timeout)
    }

    /// The next message. Datagrams with another sync id are passed over, understood or not.
    ///
    /// # Errors
    /// See [`ReceiveError`].
    pub fn receive(&mut self) -> Result<Received, ReceiveError> {
        loop {
            let (length, from) = self.socket.recv_from(&mut self.buffer).map_err(ReceiveError::Io)?;
            if let Some(received) = wanted(&self.buffer[..length], from, self.sync_id) {
                return received;
            }
        }
    }

    /// The same for somebody else: socket, sync id, and buffer.
    #[cfg(feature = "tokio")]
    pub(super) fn into_parts(self) -> (UdpSocket, u32, Box<[u8]>) {
        (self.socket, self.sync_id, self.buffer)
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// `None`: of another sync id. As in the kernel, a number above 255 fits none. The id is the second
/// byte in all versions of the protocol, so what another master sends need not be understood.
pub(super) fn wanted(datagram: &[u8], from: SocketAddr, sync_id: u32) -> Option<Result<Received, ReceiveError>> {
    let is_of_another = |&id: &u8| sync_id != 0 && u32::from(id) != sync_id;
    if datagram.get(1).is_some_and(is_of_another) {
        return None;
    }
    Some(match Message::decode(datagram) {
        Ok(message) => Ok(Received { from, message }),
        Err(error) => Err(ReceiveError::Decode { from, error }),
    })
}

/// Where a daemon receives. A group of IPv6 may be one of a link, which is the interface's.
fn address(daemon: &Daemon, group: IpAddr, index: u32) -> SocketAddr {
    let port = daemon.port.unwrap_or(PORT);
    match group {
        IpAddr::V4(group) => (group, port).into(),
        IpAddr::V6(group) => SocketAddrV6::new(group, port, 0, index).into(),
    }
}

fn unspecified(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

fn interface_index(socket: BorrowedFd<'_>, interface: &InterfaceName) -> io::Result<u32> {
    let name = std::str::from_utf8(interface.as_bytes()).map_err(|_| io::ErrorKind::NotFound)?;
    Ok(name_to_index(socket, name)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_masters_of_the_same_sync_id_are_received() {
        let from = SocketAddr::from(([192, 0, 2, 1], PORT));
        let of_7 = Datagram::new(7, 1472);
        // `sync_version=0`: no entries, sync id, length.
        let older = |sync_id| [0, sync_id, 0, 4];
        let is_message = |datagram: &[u8], sync_id| wanted(datagram, from, sync_id).map(|received| received.is_ok());
        for (sync_id, of_7_is, older_is) in
            [(0, Some(true), Some(false)), (7, Some(true), Some(false)), (8, None, None), (263, None, None)]
        {
            assert_eq!(is_message(of_7.as_bytes(), sync_id), of_7_is, "{sync_id}");
            assert_eq!(is_message(&older(7), sync_id), older_is, "{sync_id}");
        }
        // Too short for an id.
        assert_eq!(is_message(&[1], 7), Some(false));
    }
}
