//! What the kernel could reply to `getsockopt`: services, destinations, sync daemons, or too
//! little.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|reply: &[u8]| ipvs::fuzzing::sockopt_reply(reply));
