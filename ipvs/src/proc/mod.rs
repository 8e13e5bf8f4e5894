//! What the kernel shows in `/proc/net`: connections, and what everybody may read of a director.
//!
//! [`Client`](crate::Client) needs `CAP_NET_ADMIN`. Without it, [`Table::read`] shows services and
//! destinations as far as `/proc/net/ip_vs` has them, and [`totals`] what the whole director
//! counted. [`Connections`] reads the connection table, which netlink does not have.

mod connections;
mod table;

pub(crate) use self::connections::target_of;
pub use self::connections::{Connection, ConnectionState, Connections, ConnectionsError, EngineData};
#[cfg(fuzzing)]
pub(crate) use self::table::parse_totals;
pub use self::table::{Destination, Error, Forwarding, Key, Persistence, Service, Table, totals};
