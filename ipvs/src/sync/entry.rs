//! One connection or template, as a sync message has it.

use std::net::SocketAddr;

use crate::proc::EngineData;
use crate::service::{FirewallMark, Protocol};

bitflags::bitflags! {
    /// What an [`Entry`] is. Kernel: `IP_VS_CONN_F_*`.
    ///
    /// The low three bits ([`FORWARDING`](Self::FORWARDING)) are the forwarding method. A backup
    /// daemon takes that of the destination instead, if it has the destination. Bits
    /// without a name here are kept.
    ///
    /// ```
    /// use ipvs::sync::EntryFlags;
    /// assert!((EntryFlags::TEMPLATE | EntryFlags::INACTIVE).contains(EntryFlags::TEMPLATE));
    /// ```
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct EntryFlags: u32 {
        /// The forwarding method: 0 masquerading, 1 local, 2 tunneling, 3 direct routing, 4 bypass.
        const FORWARDING = 0x7;
        /// It came from another director.
        const SYNCHRONIZED = 0x20;
        /// Replies do not pass the director.
        const NO_OUTPUT = 0x80;
        /// It counts in the inactive connections of its destination (`InActConn`), not in the
        /// active ones.
        const INACTIVE = 0x100;
        /// The sequence numbers of replies are changed.
        const OUT_SEQUENCE = 0x200;
        /// The sequence numbers of requests are changed.
        const IN_SEQUENCE = 0x400;
        /// The client's port is not known yet: a data connection of FTP.
        const NO_CLIENT_PORT = 0x800;
        /// A persistence template.
        const TEMPLATE = 0x1000;
        /// A connection of one packet.
        const ONE_PACKET = 0x2000;
        const _ = !0;
    }
}

/// How the sequence numbers of one direction of a TCP connection are changed. Kernel:
/// `struct ip_vs_seq`.
///
/// ```
/// use ipvs::sync::SequenceOffset;
/// // From here on, packets are three bytes longer than what was received.
/// let offset = SequenceOffset { initial: 1_000_000, delta: 3, previous_delta: 0 };
/// assert_ne!(offset, SequenceOffset::default());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SequenceOffset {
    /// The sequence number from which on `delta` is added.
    pub initial: u32,
    /// What is added to sequence numbers after `initial`; it wraps.
    pub delta: u32,
    /// What is added to those before.
    pub previous_delta: u32,
}

/// The [`SequenceOffset`]s of a connection: of FTP behind masquerading.
///
/// ```
/// use ipvs::sync::{SequenceOffset, SequenceOffsets};
/// let unchanged = SequenceOffsets::default();
/// assert_eq!(unchanged.input, SequenceOffset::default());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SequenceOffsets {
    /// Of packets from the client.
    pub input: SequenceOffset,
    /// Of packets to the client.
    pub output: SequenceOffset,
}

/// One connection or template, as it is sent: `struct ip_vs_sync_v4` and `ip_vs_sync_v6`.
///
/// All three addresses are of one family: the protocol has no place for another.
///
/// ```
/// use ipvs::proc::Connections;
/// use ipvs::sync::{Entry, EntryFlags};
/// let table = "TCP 7F000001 9C41 7F00000A 0050 7F00000A 1F90 TIME_WAIT        99\n";
/// let entry = Entry::try_from(&Connections::new(table.as_bytes()).next().unwrap()?)?;
/// assert_eq!((entry.state, entry.timeout), (5, 99));
/// assert_eq!(entry.flags, EntryFlags::INACTIVE);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// ```
/// use ipvs::Protocol;
/// use ipvs::sync::{Entry, EntryFlags};
/// // A flow of UDP, kept for a minute.
/// let at = ["203.0.113.9:4000".parse()?, "192.0.2.1:53".parse()?, "192.0.2.11:53".parse()?];
/// let mut entry = Entry::new(Protocol::UDP, at[0], at[1], at[2]);
/// (entry.flags, entry.timeout) = (EntryFlags::INACTIVE, 60);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Entry {
    /// The transport protocol, 0 to 255; 0 in a template of a mark's service.
    pub protocol: Protocol,
    /// The client. Of a template the port is 0 and the address is cut to the service's netmask.
    pub client: SocketAddr,
    /// The virtual address. In a template of a mark's service, the port is 0 and the first 32 bits
    /// of the address are the mark.
    pub virtual_address: SocketAddr,
    /// The real server.
    pub destination: SocketAddr,
    /// The firewall mark of the service. `None`: it has none.
    pub mark: Option<FirewallMark>,
    /// Forwarding method, and what kind of entry it is.
    pub flags: EntryFlags,
    /// The number of the state, which depends on the protocol: of TCP, 1 is `ESTABLISHED`. A
    /// template has its own: 0 `NONE`, 1 `ASSURED`.
    pub state: u16,
    /// The seconds until the entry expires if no packet comes. 0: as long as the receiver has such
    /// connections; of a template, 180.
    pub timeout: u32,
    /// The offsets of sequence numbers.
    pub sequence: Option<SequenceOffsets>,
    /// What a persistence engine found, 1 to 255 bytes.
    pub engine: Option<EngineData>,
}

impl Entry {
    /// An active connection in the state of number 0, for as long as the receiver has such
    /// connections, without a mark. The other fields can be set.
    #[must_use]
    pub fn new(protocol: Protocol, client: SocketAddr, virtual_address: SocketAddr, destination: SocketAddr) -> Self {
        Entry {
            protocol,
            client,
            virtual_address,
            destination,
            mark: None,
            flags: EntryFlags::empty(),
            state: 0,
            timeout: 0,
            sequence: None,
            engine: None,
        }
    }
}
