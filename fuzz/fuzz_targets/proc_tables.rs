//! `/proc/net/ip_vs`, `ip_vs_stats` and `ip_vs_status`: each line is read, or named in the error.

#![no_main]

use ipvs::proc;
use libfuzzer_sys::fuzz_target;

/// Lines of titles.
const TITLES: usize = 3;

fuzz_target!(|text: &str| {
    let lines = text.lines().count();
    match proc::Table::parse(text) {
        Ok(table) => {
            let listed: usize = table.services.iter().map(|service| 1 + service.destinations.len()).sum();
            assert_eq!(listed, lines.saturating_sub(TITLES));
        }
        Err(error) => check(text, error),
    }
    if let Err(error) = ipvs::fuzzing::totals(text) {
        check(text, error);
    }
    if let Err(error) = proc::Status::parse(text) {
        check(text, error);
    }
});

fn check(text: &str, error: proc::Error) {
    match error {
        proc::Error::Line { line, text: said, .. } => {
            assert_eq!(text.lines().nth(line - 1).unwrap_or_default(), said);
        }
        other => panic!("reading memory can't fail: {other}"),
    }
}
