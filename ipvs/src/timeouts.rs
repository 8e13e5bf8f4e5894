//! Timeouts of connections without persistence.

/// How long idle connections are kept, in seconds, for the whole network namespace.
///
/// To set, `None` leaves a value as it is, and so does 0, which the kernel takes for "unchanged";
/// more than `i32::MAX / HZ` is [`Errno::EINVAL`](crate::Errno::EINVAL). As read, a value is `None`
/// if the kernel was built without that protocol. Kernel: `IPVS_CMD_ATTR_TIMEOUT_TCP`, `_TCP_FIN`,
/// `_UDP`.
///
/// ```
/// use ipvs::{Client, Table, Timeouts};
/// let mut client = Client::fake(Table::new());
/// client.set_timeouts(Timeouts::new().with_udp(60))?;
/// assert_eq!(client.timeouts()?, Timeouts::new().with_tcp(900).with_tcp_fin(120).with_udp(60));
/// # Ok::<(), ipvs::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Timeouts {
    /// Established TCP connections.
    pub tcp: Option<u32>,
    /// TCP connections after a FIN.
    pub tcp_fin: Option<u32>,
    /// UDP.
    pub udp: Option<u32>,
}

impl Timeouts {
    /// No value is given: to set these changes nothing.
    pub const fn new() -> Self {
        Timeouts { tcp: None, tcp_fin: None, udp: None }
    }

    /// The same with this timeout of established TCP connections, in seconds.
    #[must_use]
    pub fn with_tcp(self, seconds: impl Into<Option<u32>>) -> Self {
        Timeouts { tcp: seconds.into(), ..self }
    }

    /// The same with this timeout of TCP connections after a FIN, in seconds.
    #[must_use]
    pub fn with_tcp_fin(self, seconds: impl Into<Option<u32>>) -> Self {
        Timeouts { tcp_fin: seconds.into(), ..self }
    }

    /// The same with this timeout of UDP, in seconds.
    #[must_use]
    pub fn with_udp(self, seconds: impl Into<Option<u32>>) -> Self {
        Timeouts { udp: seconds.into(), ..self }
    }
}
