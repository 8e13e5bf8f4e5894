//! The connection synchronisation daemons.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::invalid_value::InvalidValue;
use crate::name::InterfaceName;

/// Which end of connection synchronisation a daemon is.
///
/// ```
/// use ipvs::DaemonRole;
/// assert_eq!("master".parse(), Ok(DaemonRole::Master));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DaemonRole {
    /// Sends this director's connections.
    Master,
    /// Receives another director's connections.
    Backup,
}

impl fmt::Display for DaemonRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            DaemonRole::Master => "master",
            DaemonRole::Backup => "backup",
        })
    }
}

impl FromStr for DaemonRole {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text {
            "master" => Ok(DaemonRole::Master),
            "backup" => Ok(DaemonRole::Backup),
            _ => Err(InvalidValue::new("sync daemon role", text, "master or backup")),
        }
    }
}

/// A sync daemon. One of each [`DaemonRole`] can run in a network namespace.
///
/// To start one, `None` asks for the kernel's default; as read from the kernel all are given.
///
/// ```
/// use ipvs::{Daemon, DaemonRole, InterfaceName};
/// let daemon =
///     Daemon::new(DaemonRole::Master, InterfaceName::new("eth0")?).with_sync_id(7).with_ttl(2);
/// # Ok::<(), ipvs::InvalidValue>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Daemon {
    /// Sender or receiver.
    pub role: DaemonRole,
    /// The interface whose network is used. Unknown: [`Errno::ENODEV`](crate::Errno::ENODEV).
    pub interface: InterfaceName,
    /// Which directors belong together, 0 to 255; a backup of 0 takes from all. The kernel stores
    /// more, but sends the low eight bits. Kernel: `IPVS_DAEMON_ATTR_SYNC_ID`.
    pub sync_id: u32,
    /// The longest sync message, in bytes, at least 1 for a master and 1,024 for a backup, at most
    /// 65,507 for an IPv4 group and 65,487 for an IPv6 group: the kernel takes the nearest.
    /// Default: 1,500 bytes with the headers for a master, what the interface can carry for a
    /// backup.
    pub max_len: Option<u16>,
    /// The multicast group. Default: 224.0.0.81. Another address:
    /// [`Errno::EINVAL`](crate::Errno::EINVAL).
    pub group: Option<IpAddr>,
    /// The UDP port. Default: 8848.
    pub port: Option<u16>,
    /// Time to live of the sync messages. Default: 1.
    pub ttl: Option<u8>,
}

impl Daemon {
    /// A daemon with the kernel's defaults and sync id 0.
    pub fn new(role: DaemonRole, interface: InterfaceName) -> Self {
        Daemon { role, interface, sync_id: 0, max_len: None, group: None, port: None, ttl: None }
    }

    /// The same daemon with this [`sync_id`](Self::sync_id).
    #[must_use]
    pub fn with_sync_id(self, sync_id: u32) -> Self {
        Daemon { sync_id, ..self }
    }

    /// The same daemon with this [`max_len`](Self::max_len), in bytes.
    #[must_use]
    pub fn with_max_len(self, max_len: impl Into<Option<u16>>) -> Self {
        Daemon { max_len: max_len.into(), ..self }
    }

    /// The same daemon with this multicast [`group`](Self::group).
    #[must_use]
    pub fn with_group(self, group: impl Into<Option<IpAddr>>) -> Self {
        Daemon { group: group.into(), ..self }
    }

    /// The same daemon with this UDP [`port`](Self::port).
    #[must_use]
    pub fn with_port(self, port: impl Into<Option<u16>>) -> Self {
        Daemon { port: port.into(), ..self }
    }

    /// The same daemon with this time to live of its messages.
    #[must_use]
    pub fn with_ttl(self, ttl: impl Into<Option<u8>>) -> Self {
        Daemon { ttl: ttl.into(), ..self }
    }
}
