//! What the kernel could answer to `getsockopt`: services, destinations, sync daemons, or too
//! little.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|answer: &[u8]| ipvs::fuzzing::older_answer(answer));
