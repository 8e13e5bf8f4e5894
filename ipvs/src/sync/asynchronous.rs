//! The sockets for programs on tokio.

use std::io;

use tokio::net::UdpSocket;
use tokio::runtime::Handle;

use super::message::Datagram;
use super::socket::{ReceiveError, Received, Receiver, Sender, wanted};
use crate::daemon::Daemon;
use crate::error::Error;

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
    /// As there, and [`Error::NoRuntime`] in an [`io::Error`] outside of a tokio runtime.
    ///
    /// # Panics
    /// As all of tokio, if the runtime was built without I/O.
    pub fn open(daemon: &Daemon) -> io::Result<Self> {
        Ok(AsyncSender { socket: register(Sender::open(daemon)?.into_socket())? })
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
    /// As there, and [`Error::NoRuntime`] in an [`io::Error`] outside of a tokio runtime.
    ///
    /// # Panics
    /// As all of tokio, if the runtime was built without I/O.
    pub fn open(daemon: &Daemon) -> io::Result<Self> {
        let (socket, sync_id, buffer) = Receiver::open(daemon)?.into_parts();
        Ok(AsyncReceiver { socket: register(socket)?, sync_id, buffer })
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

fn register(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
    // What registers a socket elsewhere panics.
    Handle::try_current().map_err(|_| Error::NoRuntime)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DaemonRole, InterfaceName};

    #[test]
    fn outside_of_a_runtime_opening_is_an_error() {
        let daemon = Daemon::new(DaemonRole::Backup, InterfaceName::LOOPBACK);
        let errors = [AsyncSender::open(&daemon).unwrap_err(), AsyncReceiver::open(&daemon).unwrap_err()];
        for error in errors {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
            assert!(matches!(inner, Some(Error::NoRuntime)), "{error:?}");
        }
    }
}
