//! A configuration of ldirectord: it is a state, whose places are in the text, or it is wrong
//! somewhere.

#![no_main]

use std::path::Path;

use ipvs::Table;
use ipvs::desired::Source;
use ipvs_cli::foreign::{self, Format, NoFiles, Surroundings};
use ipvs_cli::ipvsadm::value::NoNames;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let lines = text.split(|&byte| byte == b'\n').count();
    let path = Path::new("fuzz");
    let surroundings = Surroundings { path, files: &NoFiles, names: &mut NoNames, config_id: "fuzz" };
    match foreign::read(Format::Ldirectord, &Source::new("fuzz", text), surroundings) {
        Ok(read) => {
            assert!(read.notes.iter().all(|note| note.place.line() <= lines && !note.reason.is_empty()));
            drop(read.desired.table(&Table::new()));
        }
        Err(problems) => assert!(!problems.is_empty() && problems.iter().all(|problem| problem.place.line() <= lines)),
    }
});
