//! The sockets for programs on tokio.

use std::io;

use tokio::net::UdpSocket;

use super::message::Datagram;
use super::socket::{ReceiveError, Received, Receiver, Sender, wanted};
use crate::daemon::Daemon;

/// [`Sender`] for programs on tokio. Needs the feature `tokio`.
///
/// ```no_run
/// # async fn send() -> std::io::Result<()> {
/// use ipvs::sync::{AsyncSender, Datagram};
/// use ipvs::{Daemon, DaemonRole, InterfaceName};
/// let sender = AsyncSender::open(&Daemon::new(DaemonRole::Backup, InterfaceName::LOOPBACK))?;
/// sender.send(&Datagram::new(0, 1472)).await
/// # }
/// ```
#[derive(Debug)]
pub struct AsyncSender {
    socket: UdpSocket,
}

impl AsyncSender {
    /// As [`Sender::open`].
    ///
    /// # Errors
    /// As there. It panics outside of a tokio runtime.
    pub fn open(daemon: &Daemon) -> io::Result<Self> {
        let socket = Sender::open(daemon)?.into_socket();
        socket.set_nonblocking(true)?;
        Ok(AsyncSender { socket: UdpSocket::from_std(socket)? })
    }

    /// As [`Sender::send`]. A future that is dropped has sent the datagram, or nothing of it.
    ///
    /// # Errors
    /// As there.
    pub async fn send(&self, datagram: &Datagram) -> io::Result<()> {
        self.socket.send(datagram.as_bytes()).await.map(drop)
    }
}

/// [`Receiver`] for programs on tokio. Needs the feature `tokio`.
///
/// ```no_run
/// # async fn receive() -> Result<(), Box<dyn std::error::Error>> {
/// use ipvs::sync::AsyncReceiver;
/// use ipvs::{Daemon, DaemonRole, InterfaceName};
/// let mut receiver =
///     AsyncReceiver::open(&Daemon::new(DaemonRole::Backup, InterfaceName::new("eth0")?))?;
/// let received = receiver.receive().await?;
/// println!("{}: {} entries", received.from, received.message.entries.len());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct AsyncReceiver {
    socket: UdpSocket,
    sync_id: u32,
    buffer: Box<[u8]>,
}

impl AsyncReceiver {
    /// As [`Receiver::open`].
    ///
    /// # Errors
    /// As there. It panics outside of a tokio runtime.
    pub fn open(daemon: &Daemon) -> io::Result<Self> {
        let (socket, sync_id, buffer) = Receiver::open(daemon)?.into_parts();
        socket.set_nonblocking(true)?;
        Ok(AsyncReceiver { socket: UdpSocket::from_std(socket)?, sync_id, buffer })
    }

    /// As [`Receiver::receive`]. A future that is dropped loses no message.
    ///
    /// # Errors
    /// As there.
    pub async fn receive(&mut self) -> Result<Received, ReceiveError> {
        loop {
            let (length, from) = self.socket.recv_from(&mut self.buffer).await.map_err(ReceiveError::Io)?;
            if let Some(received) = wanted(&self.buffer[..length], from, self.sync_id) {
                return received;
            }
        }
    }
}
