//! Timeouts of connections without persistence.

/// How long idle connections are kept, in seconds, for the whole network namespace.
///
/// To set, `None` leaves a value as it is, and so does 0, which the kernel takes for "unchanged"; more than
/// `i32::MAX / HZ` is [`Errno::EINVAL`](crate::Errno::EINVAL). As read, a value is `None` if the kernel was built without that protocol.
/// Kernel: `IPVS_CMD_ATTR_TIMEOUT_TCP`, `_TCP_FIN`, `_UDP`.
///
/// ```
/// use ipvs::{Client, Table, Timeouts};
/// let mut client = Client::fake(Table::new());
/// client.set_timeouts(Timeouts { udp: Some(60), ..Timeouts::default() })?;
/// assert_eq!(client.timeouts()?, Timeouts { tcp: Some(900), tcp_fin: Some(120), udp: Some(60) });
/// # Ok::<(), ipvs::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Timeouts {
    /// Established TCP connections.
    pub tcp: Option<u32>,
    /// TCP connections after a FIN.
    pub tcp_fin: Option<u32>,
    /// UDP.
    pub udp: Option<u32>,
}
