//! The output of iptables-save: who writes marks in it can be told to people.

#![no_main]

use fwmark::{Family, setters_of_save};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|saved: &str| {
    for family in [Family::V4, Family::V6] {
        for setter in setters_of_save(saved, family) {
            assert!(!setter.place().is_empty() && !setter.packets().is_empty());
            assert!(!setter.effect().to_string().is_empty());
        }
    }
});
