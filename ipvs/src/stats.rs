//! Counters and rates.

/// What a service or destination has carried since it was made or zeroed, and how fast of late.
///
/// The kernel refreshes all of it about every two seconds (not at all while the sysctl `run_estimation` is 0).
/// "In" is from clients to destinations, "out" the answers, which the director sees with masquerading only.
/// Kernel: `IPVS_SVC_ATTR_STATS64`, `IPVS_DEST_ATTR_STATS64`.
///
/// ```
/// use ipvs::Statistics;
/// let idle = Statistics::default();
/// assert_eq!(idle.connections, 0);
/// assert_eq!(idle.rates.connections, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Statistics {
    /// Counter: connections scheduled.
    pub connections: u64,
    /// Counter: packets from clients.
    pub packets_in: u64,
    /// Counter: packets to clients.
    pub packets_out: u64,
    /// Counter: bytes from clients.
    pub bytes_in: u64,
    /// Counter: bytes to clients.
    pub bytes_out: u64,
    /// Averages over the last seconds.
    pub rates: Rates,
}

/// Moving averages, per second; whole numbers, as the kernel gives them.
///
/// ```
/// let bits_per_second = |rates: ipvs::Rates| rates.bytes_in * 8;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Rates {
    /// New connections a second.
    pub connections: u64,
    /// Packets from clients a second.
    pub packets_in: u64,
    /// Packets to clients a second.
    pub packets_out: u64,
    /// Bytes from clients a second.
    pub bytes_in: u64,
    /// Bytes to clients a second.
    pub bytes_out: u64,
}
