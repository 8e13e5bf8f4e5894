//! A datagram of generic netlink, decoded as everything that it could be.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| ipvs::fuzzing::decode(datagram));
