//! Work side by side, mostly as much at a time as there are processors.

use std::{
    num::NonZero,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// How much work is done side by side.
pub(crate) fn at_a_time() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// How many guests that run tests: for half of their time, most wait for timers.
pub(crate) fn guests_at_a_time() -> usize {
    at_a_time() + at_a_time().div_ceil(2)
}

/// Does something with each item, and gives the results in the items' order.
pub(crate) fn each<T: Sync, R: Send>(items: &[T], work: impl Fn(usize, &T) -> R + Sync) -> Vec<R> {
    some(at_a_time(), items, work)
}

/// The same with this number of items at a time.
pub(crate) fn some<T: Sync, R: Send>(at_a_time: usize, items: &[T], work: impl Fn(usize, &T) -> R + Sync) -> Vec<R> {
    let workers = at_a_time.min(items.len());
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(number) else { break };
                    let result = work(number, item);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::each;

    #[test]
    fn results_are_in_the_items_order() {
        let items = Vec::from_iter(0..100_u64);
        let slowest_first = |number: usize, item: &u64| {
            std::thread::sleep(std::time::Duration::from_micros(100 - item));
            (number, item * 2)
        };
        let results = each(&items, slowest_first);
        assert!(results.iter().enumerate().all(|(at, (number, twice))| at == *number && *twice == 2 * at as u64));
        assert!(each(&[] as &[u64], slowest_first).is_empty());
    }
}
