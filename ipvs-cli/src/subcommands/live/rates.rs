//! Rates from counters that were read a few times.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use ipvs::Statistics;

/// Rates per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct PerSecond {
    pub(crate) connections: f64,
    pub(crate) packets_in: f64,
    pub(crate) packets_out: f64,
    pub(crate) bytes_in: f64,
    pub(crate) bytes_out: f64,
}

impl PerSecond {
    fn between(before: &Statistics, after: &Statistics, elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs_f64();
        let rate = |of: fn(&Statistics) -> u64| {
            // The counter was zeroed meanwhile.
            let grown = of(after).checked_sub(of(before)).unwrap_or_else(|| of(after));
            if seconds > 0.0 { grown as f64 / seconds } else { 0.0 }
        };
        PerSecond {
            connections: rate(|counted| counted.connections),
            packets_in: rate(|counted| counted.packets_in),
            packets_out: rate(|counted| counted.packets_out),
            bytes_in: rate(|counted| counted.bytes_in),
            bytes_out: rate(|counted| counted.bytes_out),
        }
    }

    /// No traffic.
    pub(crate) fn is_idle(&self) -> bool {
        *self == Self::default()
    }
}

impl std::ops::AddAssign for PerSecond {
    fn add_assign(&mut self, other: Self) {
        self.connections += other.connections;
        self.packets_in += other.packets_in;
        self.packets_out += other.packets_out;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
    }
}

/// The last readings. Rates are those from the oldest to the newest one: the kernel updates its
/// counters every two seconds, so between two readings there may be no update, or two.
#[derive(Debug)]
pub(crate) struct Window<K>(VecDeque<Look<K>>);

#[derive(Debug)]
struct Look<K> {
    /// On a clock that begins anywhere.
    at: Duration,
    counters: HashMap<K, Statistics>,
}

/// The number of readings that are kept.
const LOOKS: usize = 3;

impl<K: Hash + Eq> Window<K> {
    pub(crate) fn new() -> Self {
        Window(VecDeque::with_capacity(LOOKS))
    }

    pub(crate) fn look(&mut self, at: Duration, counters: impl Iterator<Item = (K, Statistics)>) {
        if self.0.len() == LOOKS {
            self.0.pop_front();
        }
        self.0.push_back(Look { at, counters: counters.collect() });
    }

    /// `None`: it was not seen twice.
    pub(crate) fn rates(&self, key: &K) -> Option<PerSecond> {
        let newest = self.0.back()?;
        let after = newest.counters.get(key)?;
        let earlier = self.0.iter().take(self.0.len() - 1);
        let (oldest, before) = earlier.filter_map(|look| Some((look, look.counters.get(key)?))).next()?;
        Some(PerSecond::between(before, after, newest.at.saturating_sub(oldest.at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(connections: u64) -> Statistics {
        let mut counted = Statistics::default();
        (counted.connections, counted.bytes_in) = (connections, connections * 10);
        counted
    }

    fn window(looks: &[(u64, &[(char, u64)])]) -> Window<char> {
        let mut window = Window::new();
        for (second, counters) in looks {
            let counters = counters.iter().map(|(key, connections)| (*key, counted(*connections)));
            window.look(Duration::from_secs(*second), counters);
        }
        window
    }

    fn connections(window: &Window<char>, key: char) -> Option<f64> {
        window.rates(&key).map(|rates| rates.connections)
    }

    #[test]
    fn rates_are_over_the_last_looks() {
        assert_eq!(connections(&window(&[(0, &[('a', 5)])]), 'a'), None);
        let two = window(&[(0, &[('a', 5)]), (2, &[('a', 25)])]);
        assert_eq!(connections(&two, 'a'), Some(10.0));
        assert_eq!(two.rates(&'a').unwrap().bytes_in, 100.0);
        let four = window(&[(0, &[('a', 0)]), (2, &[('a', 100)]), (4, &[('a', 100)]), (6, &[('a', 140)])]);
        assert_eq!(connections(&four, 'a'), Some(10.0), "the first is out of sight");
    }

    #[test]
    fn what_comes_goes_or_is_zeroed_has_no_wild_rates() {
        let window = window(&[(0, &[('a', 50), ('b', 1)]), (2, &[('a', 60)]), (4, &[('a', 8), ('c', 7)])]);
        assert_eq!(connections(&window, 'a'), Some(2.0));
        assert_eq!(connections(&window, 'b'), None);
        assert_eq!(connections(&window, 'c'), None);
        let mut twice = Window::new();
        twice.look(Duration::ZERO, [('a', counted(1))].into_iter());
        twice.look(Duration::ZERO, [('a', counted(2))].into_iter());
        assert!(twice.rates(&'a').unwrap().is_idle(), "no time has passed");
    }
}
