//! A datagram to the in-memory kernel: what it took in and what it answers can be read.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| {
    ipvs::fuzzing::serve(datagram);
});
