//! What the kernel could answer: to a window of commands, or to a query.
//!
//! The first byte says how many commands were sent; 0 is a query. Datagrams follow, each behind its
//! length in two bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    match data.split_first() {
        None => {}
        Some((0, answers)) => ipvs::fuzzing::answer_query(fuzz::datagrams(answers)),
        Some((&count, answers)) => ipvs::fuzzing::answer_commands(count, fuzz::datagrams(answers)),
    }
});
