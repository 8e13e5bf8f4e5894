//! Texts that something has damaged: they are read, or refused at a place that is in them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::read;
use crate::strategies::director;

const SEEDS: [&str; 5] = [
    include_str!("../../../fuzz/seeds/desired/example.rules"),
    include_str!("../../../fuzz/seeds/desired/example.toml"),
    include_str!("../../../fuzz/seeds/desired/example.json"),
    include_str!("../../../fuzz/seeds/desired/odd.toml"),
    include_str!("../../../fuzz/seeds/desired/wrong.json"),
];

/// Bytes that mean something in one of the notations.
const BYTES: &[u8] = b"\"'[]{}=:,.#-\\\n\r\t \0_0159aeux\xc3\xff";

fn check(text: &[u8]) {
    let problems = match read("damaged", text) {
        Ok(desired) => desired.state.table(&director()).err().map(Vec::from).unwrap_or_default(),
        Err(problems) => {
            assert!(!problems.is_empty());
            problems
        }
    };
    let lines = text.split(|&byte| byte == b'\n').count();
    for problem in problems {
        assert!(problem.place.line() <= lines && !problem.reason.is_empty(), "{problem}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn bytes_are_changed(seed in select(&SEEDS[..]), changes in vec((any::<Index>(), select(BYTES), 0..3u8), 1..8)) {
        let mut text = seed.as_bytes().to_vec();
        for (at, byte, change) in changes {
            let at = at.index(text.len());
            match change {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => drop(text.remove(at)),
            }
        }
        check(&text);
    }

    #[test]
    fn pieces_are_cut_out(seed in select(&SEEDS[..]), other in select(&SEEDS[..]), places: [Index; 4]) {
        let cut = |text: &'static str, from: Index, to: Index| {
            let (from, to) = (from.index(text.len()), to.index(text.len()));
            text.as_bytes()[from.min(to)..from.max(to)].to_vec()
        };
        let [a, b, c, d] = places;
        check(&[cut(seed, a, b), cut(other, c, d)].concat());
    }

    #[test]
    fn any_bytes(text: Vec<u8>) {
        check(&text);
    }
}
