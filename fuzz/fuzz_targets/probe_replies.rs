//! A frame that comes back to `doctor --probe`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &[u8]| ipvs_cli::subcommands::read_frame(frame));
