//! Packets of an nlmon device, each behind its length in two bytes, as a monitor takes them in.

#![no_main]

use fuzz::datagrams;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| ipvs::fuzzing::watch(datagrams(bytes)));
