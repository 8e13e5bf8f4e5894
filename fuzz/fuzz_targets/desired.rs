//! A desired state in any notation: it is a state, which is written and read as the same, or it is
//! wrong somewhere.

#![no_main]

use ipvs::Table;
use ipvs::desired::{Problem, WriteOptions, write_json, write_toml};
use ipvs_cli::desired::{self, Desired};
use ipvs_cli::ipvsadm::value::NoNames;
use ipvs_cli::ipvsadm::{Parser, Posix};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let desired = match read(text) {
        Ok(desired) => desired,
        Err(problems) => return check(text, &problems),
    };
    check_places(text, &desired.state.warnings);
    match desired.state.table(&Table::new()) {
        Ok(table) => {
            check_compared(text, &table);
            check_written(&table);
        }
        Err(problems) => check(text, &Vec::from(problems)),
    }
});

fn read(text: &[u8]) -> Result<Desired, Vec<Problem>> {
    desired::read("fuzz", text.to_vec(), &mut Parser::new(&mut NoNames, Posix(false)))
}

fn check(text: &[u8], problems: &[Problem]) {
    assert!(!problems.is_empty());
    check_places(text, problems);
}

fn check_places(text: &[u8], problems: &[Problem]) {
    let lines = text.split(|&byte| byte == b'\n').count();
    for Problem { place, reason } in problems {
        assert!(place.line() <= lines && !reason.is_empty(), "{place}: {reason}");
        assert!(place.column().is_none_or(|column| column <= place.text().chars().count() + 2), "{place}");
    }
}

/// Read for a director that holds all of it, it is the same.
fn check_compared(text: &[u8], table: &Table) {
    let mut names = NoNames;
    let parser = &mut Parser::new(&mut names, Posix(false));
    let compared = desired::read_for(table, "fuzz", text.to_vec(), parser);
    let compared = compared.unwrap_or_else(|problems| panic!("{}", problems[0]));
    assert_eq!(compared.state.table(table).as_ref().ok(), Some(table));
}

fn check_written(table: &Table) {
    let (mut json, mut toml) = (Vec::new(), Vec::new());
    let mut options = WriteOptions::default();
    options.statistics = true;
    write_json(&mut json, table, options).expect("a vector takes it");
    write_toml(&mut toml, table, options).expect("a vector takes it");
    for text in [json, toml] {
        let again = read(&text).unwrap_or_else(|problems| panic!("{}", problems[0]));
        assert_eq!(again.state.table(&Table::new()).as_ref().ok(), Some(table));
    }
}
