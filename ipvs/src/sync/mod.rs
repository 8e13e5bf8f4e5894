//! The protocol of the connection synchronisation daemons, version 1 (`net/netfilter/ipvs/ip_vs_sync.c`).
//!
//! The master daemon sends connections and persistence templates in UDP datagrams to a multicast group; a backup daemon
//! enters them in its own table. Netlink has no command for one connection, so this protocol is the only way to make, change or
//! end an entry: [`Sender`] speaks to a backup daemon. [`Receiver`] reads what a master daemon sends.
//!
//! [`Message`] and [`Datagram`] are the codec, without input or output. An [`Entry`] is made from a
//! [`proc::Connection`](crate::proc::Connection), and becomes one.
//!
//! # What a backup daemon does with an entry
//!
//! It says nothing about it: the only reply is a line in the kernel's log when a datagram can't be understood. Who needs to know
//! reads the table again ([`Connections`](crate::proc::Connections)).
//!
//! | the table has | the entry is | result |
//! |---|---|---|
//! | nothing of this client and virtual address | any | it is added, with the forwarding method of its destination; without that destination, as masquerading |
//! | an entry with the same destination | any | state, activity and timeout are as sent, and the timer starts anew |
//! | a connection with another destination | active | the old connection ends, and a new one takes its place |
//! | a connection with another destination | [`INACTIVE`](EntryFlags::INACTIVE) | nothing |
//! | a template with another destination | any | the template keeps its destination; state and timeout are as sent |
//!
//! The daemon of Linux ignores a connection whose protocol or state it does not know, and drops what is left of a datagram from
//! the first entry on that it can't read.
//!
//! ```no_run
//! use ipvs::proc::Connections;
//! use ipvs::sync::{Datagram, Entry, Sender};
//! use ipvs::{Daemon, DaemonRole, InterfaceName};
//!
//! // Sends this director's connections to the backup daemons of the network of eth0.
//! let daemon = Daemon::new(DaemonRole::Backup, InterfaceName::new("eth0")?).with_sync_id(7);
//! let sender = Sender::open(&daemon)?;
//! let mut datagram = Datagram::new(7, 1472);
//! for connection in Connections::open()? {
//!     let entry = Entry::try_from(&connection?)?;
//!     if !datagram.push(&entry)? {
//!         sender.send(&datagram)?;
//!         datagram.clear();
//!         datagram.push(&entry)?;
//!     }
//! }
//! sender.send(&datagram)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(all(feature = "tokio", target_os = "linux"))]
mod asynchronous;
mod connection;
mod entry;
mod message;
#[cfg(test)]
mod message_tests;
#[cfg(target_os = "linux")]
mod socket;
mod state;

#[cfg(all(feature = "tokio", target_os = "linux"))]
pub use self::asynchronous::{AsyncReceiver, AsyncSender};
pub use self::connection::ConversionError;
pub use self::entry::{Entry, EntryFlags, SequenceOffset, SequenceOffsets};
pub use self::message::{Datagram, DecodeError, EncodeError, EntryFault, Message};
#[cfg(target_os = "linux")]
pub use self::socket::{ReceiveError, Received, Receiver, Sender};
