//! The protocol of the connection synchronisation daemons, version 1
//! (`net/netfilter/ipvs/ip_vs_sync.c`).
//!
//! The master daemon sends connections and persistence templates in UDP datagrams to a multicast
//! group; a backup daemon enters them in its own table. Netlink has no command for one connection,
//! so this protocol is the only way to make, change or end an entry: [`Sender`] speaks to a backup
//! daemon. [`Receiver`] reads what a master daemon sends.
//!
//! [`Message`] and [`Datagram`] are the codec, without input or output. An [`Entry`] is made from a
//! [`proc::Connection`](crate::proc::Connection), and becomes one.
//!
//! # What a backup daemon does with an entry
//!
//! It sends no reply: the kernel only logs a line when it cannot read a datagram. To see what
//! became of an entry, read the table again ([`Connections`](crate::proc::Connections)).
//!
//! | the table has | the entry is | result |
//! |---|---|---|
//! | nothing of this client and virtual address | any | it is added |
//! | an entry with the same destination | any | it gets state and timeout, and its timer restarts |
//! | a connection with another destination | active | the old one ends, a new one replaces it |
//! | a connection with another destination | [`INACTIVE`](EntryFlags::INACTIVE) | nothing |
//! | a template with another destination | any | it gets state and timeout, not the destination |
//!
//! An entry that is added is forwarded as its destination in the table says; without that
//! destination, by masquerading. The daemon ignores a connection whose protocol or state it does
//! not know. When it cannot read an entry, it drops the rest of the datagram.
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
