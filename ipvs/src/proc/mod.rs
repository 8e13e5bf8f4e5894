//! What the kernel shows in `/proc/net`: connections, and what every user may read of a director.
//!
//! [`Client`](crate::Client) needs `CAP_NET_ADMIN`. Without it, [`Table::read`] shows services and
//! destinations as far as `/proc/net/ip_vs` has them, and [`totals`] what the whole director
//! counted. [`Status`] says how full the kernel's tables are. [`Connections`] reads the connection
//! table, which netlink does not have.
//!
//! ```no_run
//! use ipvs::proc::Connections;
//! let server = "192.0.2.11:80".parse()?;
//! let mut count = 0;
//! for connection in Connections::open()? {
//!     count += usize::from(connection?.destination == server);
//! }
//! println!("{count} connections to {server}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod connections;
mod states;
mod status;
mod table;

pub(crate) use self::connections::target_of;
pub use self::connections::{Connection, ConnectionState, Connections, ConnectionsError, EngineData};
pub use self::status::{HashTable, Status};
#[cfg(fuzzing)]
pub(crate) use self::table::parse_totals;
pub use self::table::{Destination, Error, Forwarding, Key, Persistence, Service, Table, totals};
