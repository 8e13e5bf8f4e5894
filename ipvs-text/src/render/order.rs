//! The order of sorted listings.
//!
//! ipvsadm compares by the difference of two 32-bit numbers, which wraps around: 192.168.0.1 stands
//! before 10.0.0.1. Such comparisons contradict each other, so the result depends on the algorithm
//! and on the kernel's order. Here are both: the comparisons, and the merge sort of the C library.

use std::cmp::Ordering;
use std::net::{IpAddr, SocketAddr};

use ipvs::{DestinationState, Family, ServiceKey, ServiceState};

/// Sorts services as ipvsadm lists them.
pub fn sort_services(services: &mut [ServiceState]) {
    sort(services, |a, b| compare_keys(&a.service.key(), &b.service.key()));
}

/// The destinations of a service as ipvsadm lists them.
pub fn sorted_destinations(destinations: Vec<&DestinationState>) -> Vec<&DestinationState> {
    sorted(destinations, compare_states)
}

#[inline]
fn compare_states(a: &DestinationState, b: &DestinationState) -> Ordering {
    compare_destinations(a.destination.address, b.destination.address)
}

/// Mark, family, protocol, address, port. A service without a mark has mark 0.
fn compare_keys(a: &ServiceKey, b: &ServiceKey) -> Ordering {
    wrapping(mark(a), mark(b)).then_with(|| a.family().cmp(&b.family())).then_with(|| match (a, b) {
        (ServiceKey::Address { protocol, at }, ServiceKey::Address { protocol: other, at: other_at }) => {
            protocol.cmp(other).then_with(|| compare_destinations(*at, *other_at))
        }
        _ => Ordering::Equal,
    })
}

fn mark(key: &ServiceKey) -> u32 {
    match key {
        ServiceKey::Mark { mark, .. } => mark.get(),
        ServiceKey::Address { .. } => 0,
    }
}

/// Address, port. Families are not compared: the first address decides how many words are compared.
#[inline]
fn compare_destinations(a: SocketAddr, b: SocketAddr) -> Ordering {
    compare_addresses(a.ip(), b.ip()).then_with(|| a.port().cmp(&b.port()))
}

#[inline]
fn compare_addresses(a: IpAddr, b: IpAddr) -> Ordering {
    match Family::of(a) {
        Family::V4 => wrapping(words(a)[0], words(b)[0]),
        Family::V6 => {
            let (a, b) = (words(a), words(b));
            (0..4).map(|i| wrapping(a[i], b[i])).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        }
    }
}

/// An address of IPv4 is the first of four words.
fn words(address: IpAddr) -> [u32; 4] {
    match address {
        IpAddr::V4(v4) => [v4.to_bits(), 0, 0, 0],
        IpAddr::V6(v6) => [96, 64, 32, 0].map(|shift| (v6.to_bits() >> shift) as u32),
    }
}

/// By the sign of the difference.
fn wrapping(a: u32, b: u32) -> Ordering {
    (a.wrapping_sub(b) as i32).cmp(&0)
}

/// The merge sort of the C library's `qsort`.
///
/// What is moved about is references: the items are large.
fn sort<T: Copy>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    if items.len() < 2 {
        return;
    }
    let sorted: Vec<T> = sorted(items.iter().collect(), compare).into_iter().copied().collect();
    items.copy_from_slice(&sorted);
}

fn sorted<T>(mut items: Vec<&T>, compare: impl Fn(&T, &T) -> Ordering) -> Vec<&T> {
    let mut spare = items.clone();
    merge_sort(&mut items, &mut spare, &compare);
    items
}

fn merge_sort<'t, T>(items: &mut [&'t T], spare: &mut [&'t T], compare: &impl Fn(&T, &T) -> Ordering) {
    if items.len() < 2 {
        return;
    }
    let (left, right) = items.split_at_mut(items.len() / 2);
    merge_sort(left, spare, compare);
    merge_sort(right, spare, compare);
    let merged = merge(left, right, spare, compare);
    items[..merged].copy_from_slice(&spare[..merged]);
}

/// Merges into `spare` until one side is used up. What is left of the left side follows, that of
/// the right one stays in its place; returns how many were written.
fn merge<'t, T>(
    mut left: &[&'t T],
    mut right: &[&'t T],
    spare: &mut [&'t T],
    compare: &impl Fn(&T, &T) -> Ordering,
) -> usize {
    let mut merged = 0;
    while let ([first, left_rest @ ..], [second, right_rest @ ..]) = (left, right) {
        if compare(first, second).is_le() {
            spare[merged] = first;
            left = left_rest;
        } else {
            spare[merged] = second;
            right = right_rest;
        }
        merged += 1;
    }
    spare[merged..merged + left.len()].copy_from_slice(left);
    merged + left.len()
}

#[cfg(test)]
mod tests {
    use ipvs::{Destination, Service};

    use super::*;

    fn sorted_services(keys: &[&str]) -> Vec<String> {
        let mut services: Vec<_> =
            keys.iter().map(|key| ServiceState::new(Service::new(key.parse().unwrap()))).collect();
        sort_services(&mut services);
        services.iter().map(|state| state.service.key().to_string()).collect()
    }

    fn sorted_destinations(addresses: &[&str]) -> Vec<String> {
        let state = |at: &&str| DestinationState::new(Destination::new(at.parse().unwrap()));
        let destinations: Vec<_> = addresses.iter().map(state).collect();
        let sorted = super::sorted_destinations(destinations.iter().collect());
        sorted.iter().map(|state| state.destination.address.to_string()).collect()
    }

    /// In the order in which ipvsadm listed them; here given backwards.
    #[test]
    fn services_are_sorted_as_by_ipvsadm() {
        let listed = [
            "tcp 192.168.0.1:80",
            "tcp 255.255.255.255:80",
            "tcp 0.0.0.0:80",
            "tcp 10.0.0.1:79",
            "tcp 10.0.0.1:80",
            "tcp 10.0.0.1:65535",
            "udp 10.0.0.1:80",
            "sctp 10.0.0.1:80",
            "tcp [fe80::1]:80",
            "tcp [::1]:80",
            "tcp [2001:db8::1]:80",
            "tcp [2001:db8::2]:80",
            "udp [2001:db8::1]:80",
            "mark 1",
            "mark 1 ipv6",
            "mark 2",
            "mark 2147483647",
        ];
        let mut given = listed;
        given.reverse();
        assert_eq!(sorted_services(&given), listed);
    }

    #[test]
    fn destinations_are_sorted_as_by_ipvsadm() {
        let listed = [
            "172.16.0.1:80",
            "192.168.0.1:80",
            "223.255.255.254:80",
            "1.0.0.1:80",
            "10.0.0.1:79",
            "10.0.0.1:80",
            "10.0.0.1:8080",
            "[2001:db8::1]:80",
            "[2001:db8::2]:80",
        ];
        let mut given = listed;
        given.reverse();
        assert_eq!(sorted_destinations(&given), listed);
    }

    #[test]
    fn the_largest_mark_sorts_before_addresses() {
        assert_eq!(
            sorted_services(&["mark 1", "tcp 10.0.0.1:80", "mark 4294967295"]),
            ["mark 4294967295", "tcp 10.0.0.1:80", "mark 1"]
        );
    }

    /// Each stands before the next and the last before the first. Recorded from ipvsadm 1.31: the
    /// kernel's order, the sorted.
    #[test]
    fn contradictory_comparisons_end_as_in_the_c_library() {
        let [a, b, c] = ["10.0.0.1:80", "95.85.85.86:80", "180.170.170.171:80"];
        for (given, sorted) in [
            ([a, b, c], [a, b, c]),
            ([a, c, b], [a, b, c]),
            ([b, a, c], [b, c, a]),
            ([b, c, a], [b, c, a]),
            ([c, a, b], [c, a, b]),
            ([c, b, a], [c, a, b]),
        ] {
            assert_eq!(sorted_destinations(&given), sorted, "{given:?}");
        }
    }

    /// An address of IPv4 compares by its only word, whatever the other's further words are.
    /// Recorded as above.
    #[test]
    fn mixed_families_compare_as_the_first_says() {
        let [v4, zeros, v6] = ["32.1.13.184:80", "[2001:db8::]:80", "[2001:db8::1]:80"];
        for (given, sorted) in
            [([zeros, v4], [zeros, v4]), ([v4, zeros], [v4, zeros]), ([v6, v4], [v4, v6]), ([v4, v6], [v4, v6])]
        {
            assert_eq!(sorted_destinations(&given), sorted, "{given:?}");
        }
    }
}
