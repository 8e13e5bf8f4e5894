//! docs/desired-state.md is true: its example in JSON, and its tables of keys.

use ipvs::desired::{WriteOptions, write_json};
use serde_json::Value;

use crate::{director, read};

const PAGE: &str = include_str!("../../../docs/desired-state.md");

/// The keys of the first column of the table below this header.
fn keys(header: &str) -> Vec<&'static str> {
    let (_, section) = PAGE.split_once(&format!("\n### {header}\n")).unwrap();
    let section = section.split("\n#").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split_once('`').unwrap().0).collect()
}

#[test]
fn the_example_in_json_is_as_it_is_written() {
    let text = PAGE.split("\n```json\n").nth(1).unwrap().split("\n```\n").next().unwrap();
    let table = read("json", text).unwrap().table(&director()).unwrap();
    let mut written = Vec::new();
    write_json(&mut written, &table, WriteOptions::default()).unwrap();
    assert_eq!(String::from_utf8(written).unwrap(), format!("{text}\n"));
}

#[test]
fn every_key_is_explained() {
    let schema: Value = serde_json::from_str(include_str!("../../../docs/schema/desired-state-1.json")).unwrap();
    for (header, definition) in [
        ("At the top", &schema),
        ("`[timeouts]`", &schema["$defs"]["timeouts"]),
        ("`[[daemons]]`", &schema["$defs"]["daemon"]),
        ("`[[services]]`", &schema["$defs"]["service"]),
        ("`[[services.group]]`", &schema["$defs"]["group"]),
        ("`[[services.destinations]]`", &schema["$defs"]["destination"]),
        ("`tunnel`", &schema["$defs"]["tunnel"]),
    ] {
        let mut explained = keys(header);
        explained.sort_unstable();
        let mut known: Vec<_> = definition["properties"].as_object().unwrap().keys().collect();
        known.sort_unstable();
        assert_eq!(explained, known, "{header}");
    }
}
