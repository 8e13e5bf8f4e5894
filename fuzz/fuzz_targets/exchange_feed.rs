//! What the kernel could reply to a window of commands, or to a query.
//!
//! The first byte says how many commands were sent; 0 is a query. Datagrams follow, each behind its
//! length in two bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    match data.split_first() {
        None => {}
        Some((0, replies)) => ipvs::fuzzing::query_with_replies(fuzz::datagrams(replies)),
        Some((&count, replies)) => ipvs::fuzzing::commands_with_replies(count, fuzz::datagrams(replies)),
    }
});
