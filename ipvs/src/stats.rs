//! Counters and rates.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};

/// The traffic of a service or destination since it was made or zeroed, and its present rates.
///
/// The kernel refreshes all of it about every two seconds (not at all while the sysctl
/// `run_estimation` is 0). "In" is from clients to destinations, "out" the replies, which the
/// director sees with masquerading only. Kernel: `IPVS_SVC_ATTR_STATS64`, `IPVS_DEST_ATTR_STATS64`.
///
/// ```
/// use ipvs::Statistics;
/// let idle = Statistics::default();
/// assert_eq!(idle.connections, 0);
/// assert_eq!(idle.rates.connections, 0);
/// ```
///
/// Statistics can be added, summed and subtracted, field by field, rates included. A sum stops at
/// `u64::MAX`. A difference stops at 0, as when counters were zeroed between two readings.
///
/// ```
/// use ipvs::Statistics;
/// let [mut earlier, mut later] = [Statistics::default(); 2];
/// (earlier.connections, later.connections) = (100, 130);
/// assert_eq!((later - earlier).connections, 30);
/// assert_eq!((earlier - later).connections, 0);
/// assert_eq!([earlier, later].into_iter().sum::<Statistics>().connections, 230);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
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
#[non_exhaustive]
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

impl Statistics {
    fn each(self, other: Self, of: fn(u64, u64) -> u64) -> Self {
        Statistics {
            connections: of(self.connections, other.connections),
            packets_in: of(self.packets_in, other.packets_in),
            packets_out: of(self.packets_out, other.packets_out),
            bytes_in: of(self.bytes_in, other.bytes_in),
            bytes_out: of(self.bytes_out, other.bytes_out),
            rates: self.rates.each(other.rates, of),
        }
    }
}

impl Rates {
    fn each(self, other: Self, of: fn(u64, u64) -> u64) -> Self {
        Rates {
            connections: of(self.connections, other.connections),
            packets_in: of(self.packets_in, other.packets_in),
            packets_out: of(self.packets_out, other.packets_out),
            bytes_in: of(self.bytes_in, other.bytes_in),
            bytes_out: of(self.bytes_out, other.bytes_out),
        }
    }
}

macro_rules! arithmetic {
    ($($type:ty),*) => {$(
        /// Field by field, at most `u64::MAX`.
        impl Add for $type {
            type Output = Self;

            fn add(self, other: Self) -> Self {
                self.each(other, u64::saturating_add)
            }
        }

        impl AddAssign for $type {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }

        /// Field by field, at least 0.
        impl Sub for $type {
            type Output = Self;

            fn sub(self, other: Self) -> Self {
                self.each(other, u64::saturating_sub)
            }
        }

        impl Sum for $type {
            fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
                all.fold(Self::default(), Add::add)
            }
        }

        impl<'s> Sum<&'s $type> for $type {
            fn sum<I: Iterator<Item = &'s $type>>(all: I) -> Self {
                all.copied().sum()
            }
        }
    )*};
}

arithmetic!(Statistics, Rates);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::strategies::statistics;

    proptest! {
        #[test]
        fn each_counter_and_rate_is_added_and_subtracted(one in statistics(), other in statistics()) {
            let (none, all) = (Statistics::default(), one + other);
            prop_assert_eq!((none + one, one - none, one - one), (one, one, none));
            prop_assert_eq!([one, other].iter().sum::<Statistics>(), all);
            // Where nothing reached the end, what was added can be taken away.
            let halved = |all: Statistics| all.each(none, |counter, _| counter / 2);
            let (one, other) = (halved(one), halved(other));
            prop_assert_eq!(one + other - other, one);
        }
    }
}
