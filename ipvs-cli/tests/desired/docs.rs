//! docs/desired-state.md is right: its examples, and its tables of keys.

use ipvs::desired::{WriteOptions, write_json};
use serde_json::Value;

use crate::read;
use crate::strategies::director;

const PAGE: &str = include_str!("../../../docs/desired-state.md");

/// The texts in fences of this kind.
fn examples(kind: &str) -> Vec<&'static str> {
    let fence = format!("\n```{kind}\n");
    PAGE.split(&fence).skip(1).map(|text| text.split_once("\n```\n").unwrap().0).collect()
}

/// The keys of the first column of the table below this header.
fn keys(header: &str) -> Vec<&'static str> {
    let (_, section) = PAGE.split_once(&format!("\n### {header}\n")).unwrap();
    let section = section.split("\n#").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split_once('`').unwrap().0).collect()
}

#[test]
fn the_examples_are_the_same_state() {
    let mut tables = Vec::new();
    for (kind, count) in [("rules", 1), ("toml", 1), ("json", 1)] {
        let examples = examples(kind);
        assert_eq!(examples.len(), count, "{kind}");
        for text in examples {
            let desired = read(kind, text).unwrap_or_else(|problems| panic!("{}", problems[0]));
            assert!(desired.state.warnings.is_empty(), "{}", desired.state.warnings[0]);
            let scope = desired.state.scope;
            assert!(scope.services && scope.timeouts && scope.master && scope.backup, "{kind}: {scope:?}");
            tables.push(desired.state.table(&director()).unwrap_or_else(|problems| panic!("{problems}")));
        }
    }
    assert!(tables.windows(2).all(|pair| pair[0] == pair[1]), "{tables:#?}");
}

#[test]
fn the_example_in_json_is_as_it_is_written() {
    let text = examples("json")[0];
    let table = read("json", text).unwrap().state.table(&director()).unwrap();
    let mut written = Vec::new();
    write_json(&mut written, &table, WriteOptions::default()).unwrap();
    assert_eq!(String::from_utf8(written).unwrap(), format!("{text}\n"));
}

#[test]
fn the_example_of_a_group_is_right() {
    let page = include_str!("../../../docs/marks.md");
    let text = page.split("\n```toml\n").nth(1).unwrap().split("\n```\n").next().unwrap();
    let desired = read("marks.md", text).unwrap_or_else(|problems| panic!("{}", problems[0]));
    let rules: Vec<_> = desired.groups.iter().flat_map(|group| &group.rules).collect();
    let line =
        "iptables -t mangle -A PREROUTING -d 192.0.2.1 -p tcp -m multiport --dports 80,443 -j MARK --set-mark 10";
    assert_eq!(rules, [&fwmark::parse(line).unwrap().rule]);
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
