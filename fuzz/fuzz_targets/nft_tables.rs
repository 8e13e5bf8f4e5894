//! What the kernel could send about a table of nftables: its chains, rules, sets and elements, each
//! in a datagram behind its length in two bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| fwmark::fuzzing::read_nftables(fuzz::datagrams(data)));
