//! When the datagrams of dumps prove that nothing was left out between them.
//!
//! The kernel fills one datagram of a dump without releasing the table, and counts the entries that
//! it has passed; for the next datagram it skips that number. If entries before that place were
//! added or deleted meanwhile, others are repeated or omitted, without a sign. Up to Linux 6.12 the
//! services of all network namespaces are counted.
//!
//! So one datagram shows a [`Run`]: there was no entry between two neighbours in it. The first
//! datagram begins where the table begins, and one with room left ends where the table ends. Runs
//! that overlap make a longer one, and a chain of overlapping runs from the beginning to the end
//! leaves no place for another entry: one that existed all the time would have to be between two
//! neighbours of the chain, and at the time of that run it was not. This requires that entries keep
//! their order. They do, unless Linux 7.2 gives the table more buckets: then the order changes, and
//! runs from before and after it do not overlap by [`OVERLAP`] entries in the same order.

use std::collections::HashMap;
use std::hash::Hash;

use foldhash::fast::RandomState;

use super::{Pace, Paced};

/// How many entries two runs must share, in the same order, unless one of them is shorter.
const OVERLAP: usize = 8;

/// What one datagram showed.
#[derive(Debug)]
struct Run<K> {
    keys: Vec<K>,
    /// It begins where the table begins.
    is_first: bool,
    /// It ends where the table ends.
    is_last: bool,
}

/// What the datagrams of some dumps of the same table showed.
#[derive(Debug)]
pub(super) struct Runs<K>(Vec<Run<K>>);

impl<K> Default for Runs<K> {
    fn default() -> Self {
        Runs(Vec::new())
    }
}

impl<K: Copy + Eq + Hash> Runs<K> {
    /// Adds the keys of a dump. `lengths` is the number of entries in each datagram; `has_room`:
    /// the last one had room for another entry.
    pub(super) fn add(&mut self, keys: impl IntoIterator<Item = K>, lengths: &[usize], has_room: bool) {
        let mut keys = keys.into_iter();
        for (at, length) in lengths.iter().enumerate() {
            let keys = keys.by_ref().take(*length).collect();
            self.0.push(Run { keys, is_first: at == 0, is_last: has_room && at + 1 == lengths.len() });
        }
    }

    /// Do they make a chain from the beginning of the table to its end?
    pub(super) async fn are_whole<P: Pace>(&self, paced: &mut Paced<'_, P>) -> bool {
        // Where the last entry of a run is in other runs.
        let ends = self.0.iter().filter_map(|run| run.keys.last());
        let mut places: HashMap<K, Vec<(usize, usize)>, RandomState> = ends.map(|end| (*end, Vec::new())).collect();
        for (run, Run { keys, .. }) in self.0.iter().enumerate() {
            for (at, key) in keys.iter().enumerate() {
                paced.step(1).await;
                if let Some(places) = places.get_mut(key) {
                    places.push((run, at));
                }
            }
        }
        let mut reached: Vec<bool> = self.0.iter().map(|run| run.is_first).collect();
        let mut to_do: Vec<usize> = (0..self.0.len()).filter(|run| reached[*run]).collect();
        while let Some(run) = to_do.pop() {
            let Run { keys, is_last, .. } = &self.0[run];
            if *is_last {
                return true;
            }
            let Some(end) = keys.last() else { continue };
            for (next, at) in &places[end] {
                if !reached[*next] && continues(keys, &self.0[*next].keys[..=*at]) {
                    reached[*next] = true;
                    to_do.push(*next);
                }
            }
        }
        false
    }
}

/// Does a run that begins with these entries overlap one that has these?
fn continues<K: Eq>(keys: &[K], beginning: &[K]) -> bool {
    let common = keys.iter().rev().zip(beginning.iter().rev()).take_while(|(one, other)| one == other).count();
    common >= OVERLAP.min(keys.len())
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::super::{NoTasks, block_on_ready};
    use super::*;

    fn is_whole<K: Copy + Eq + Hash>(runs: &Runs<K>) -> bool {
        block_on_ready(runs.are_whole(&mut Paced::new(&mut NoTasks)))
    }

    /// Dumps of a table whose entries are numbers, in order: what each datagram shows.
    fn are_whole(dumps: &[&[Range<u32>]]) -> bool {
        let mut runs = Runs::default();
        for dump in dumps {
            let lengths: Vec<_> = dump.iter().map(Range::len).collect();
            runs.add(dump.iter().cloned().flatten(), &lengths, true);
        }
        is_whole(&runs)
    }

    #[test]
    fn one_datagram_with_room_is_whole() {
        for (count, has_room) in [(90, true), (0, true), (100, false)] {
            let mut runs = Runs::default();
            runs.add(0..count, &[count], has_room);
            assert_eq!(is_whole(&runs), has_room, "{count}");
        }
    }

    #[test]
    fn a_seam_is_proven_by_a_datagram_across_it() {
        assert!(!are_whole(&[&[0..100, 100..200]]));
        assert!(!are_whole(&[&[0..100, 100..200], &[0..100, 100..200]]), "both may have left out the same");
        assert!(are_whole(&[&[0..100, 100..200], &[0..60, 60..120, 120..180, 180..200]]));
        assert!(are_whole(&[&[0..100, 92..200]]), "the second datagram shows again what the first did");
        assert!(!are_whole(&[&[0..100, 99..200]]), "too little in common");
    }

    #[test]
    fn what_is_left_out_in_all_dumps_is_not_proven() {
        assert!(!are_whole(&[&[0..100, 101..200], &[0..60, 60..100, 101..200]]));
        assert!(!are_whole(&[&[0..100, 150..200], &[0..60, 90..140, 170..200]]));
        assert!(are_whole(&[&[0..100, 150..200], &[0..60, 90..160, 170..200]]), "what is missing in one is in another");
    }

    #[test]
    fn another_order_proves_nothing() {
        let mut runs = Runs::default();
        runs.add((0..100).chain(100..200), &[100, 100], true);
        runs.add((0..200).map(|n| n * 77 % 200), &[60, 60, 60, 20], true);
        assert!(!is_whole(&runs));
    }
}
