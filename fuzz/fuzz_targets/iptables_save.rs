//! The output of iptables-save: each rule that writes marks can be described.

#![no_main]

use fwmark::{Family, foreign_rules_of_save};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|saved: &str| {
    for family in [Family::V4, Family::V6] {
        for foreign in foreign_rules_of_save(saved, family) {
            assert!(!foreign.place().is_empty() && !foreign.packets().is_empty());
            assert!(!foreign.effect().to_string().is_empty());
        }
    }
});
