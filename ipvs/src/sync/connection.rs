//! Between entries of sync messages and those of `/proc/net/ip_vs_conn`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::entry::{Entry, EntryFlags};
use super::state;
use crate::proc::{Connection, ConnectionState, target_of};
use crate::service::{Family, FirewallMark, Protocol, ServiceKey};

/// Why an entry of the table can't be synchronised, or one that was received can't be shown as one
/// of the table.
///
/// ```
/// use ipvs::proc::Connections;
/// use ipvs::sync::{ConversionError, Entry};
/// let table = "TCP 7F000001 9C41 7F00000A 0050 7F00000A 1F90 DREAMING     899\n";
/// let connection = Connections::new(table.as_bytes()).next().unwrap()?;
/// assert!(matches!(Entry::try_from(&connection), Err(ConversionError::StateName { .. })));
/// # Ok::<(), ipvs::proc::ConnectionsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConversionError {
    /// A state that this crate knows no number of, as of a newer kernel; or no protocol that IPVS
    /// balances.
    #[error("protocol {protocol} has no state {state} that could be synchronised")]
    StateName {
        /// The protocol; 0 is that of a mark's template.
        protocol: Protocol,
        /// The kernel's name for the state.
        state: ConnectionState,
    },
    /// A number that this crate knows no state of, as of a newer kernel; or no protocol that IPVS
    /// balances.
    #[error("protocol {protocol} has no state of number {state}")]
    StateNumber {
        /// The protocol; 0 is that of a mark's template.
        protocol: Protocol,
        /// The number that was received.
        state: u16,
    },
    /// A destination of the other family, behind a tunnel.
    #[error("a connection with a destination of another address family can't be synchronised")]
    Families,
}

impl TryFrom<&Connection> for Entry {
    type Error = ConversionError;

    /// The entry that brings this connection back, with the time that it has left.
    ///
    /// What `/proc` does not show is not in it: the way of forwarding (the flags say 0, which is
    /// masquerading), the mark of a mark's connection (only its templates show it), and the offsets
    /// of sequence numbers. The kernel takes the way of forwarding from the backup's destination,
    /// so add that before the entry is sent: without it, packets of the connection are masqueraded
    /// until the destination is added. The flag [`INACTIVE`](EntryFlags::INACTIVE) follows from the
    /// state.
    fn try_from(connection: &Connection) -> Result<Self, ConversionError> {
        let is_template = connection.is_template();
        let (protocol, virtual_address, mark) = match connection.target {
            ServiceKey::Address { protocol, at } => (protocol, at, None),
            ServiceKey::Mark { mark, family } => (Protocol::from_number(0), address_of(mark, family), Some(mark)),
        };
        let Connection { client, destination, .. } = *connection;
        if [virtual_address, destination].iter().any(|other| other.is_ipv6() != client.is_ipv6()) {
            return Err(ConversionError::Families);
        }
        let unknown = ConversionError::StateName { protocol, state: connection.state };
        let state = state::number(&connection.state, protocol, is_template).ok_or(unknown)?;
        let flags = match is_template {
            true => EntryFlags::TEMPLATE,
            false if state::is_active(protocol, state) => EntryFlags::empty(),
            false => EntryFlags::INACTIVE,
        };
        Ok(Entry {
            protocol,
            client,
            virtual_address,
            destination,
            mark,
            flags,
            state,
            // 0 would be the usual time of such a connection.
            timeout: connection.expires.max(1),
            sequence: None,
            engine: connection.engine.clone(),
        })
    }
}

impl TryFrom<&Entry> for Connection {
    type Error = ConversionError;

    /// The line that `/proc/net/ip_vs_conn` has for it, once it is in the table:
    /// [`expires`](Connection::expires) is its timeout.
    fn try_from(entry: &Entry) -> Result<Self, ConversionError> {
        let Entry { protocol, client, virtual_address, destination, .. } = *entry;
        let is_template = entry.flags.contains(EntryFlags::TEMPLATE);
        let unknown = ConversionError::StateNumber { protocol, state: entry.state };
        Ok(Connection {
            client,
            target: target_of(protocol.number(), virtual_address),
            destination,
            state: state::state(entry.state, protocol, is_template).ok_or(unknown)?,
            expires: entry.timeout,
            engine: entry.engine.clone(),
        })
    }
}

/// The mark stands in the first word of the address.
fn address_of(mark: FirewallMark, family: Family) -> SocketAddr {
    let ip = match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(mark.get())),
        Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(u128::from(mark.get()) << 96)),
    };
    SocketAddr::new(ip, 0)
}
