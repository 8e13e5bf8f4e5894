//! The examples of docs/desired-state.md and docs/marks.md are true.

use crate::read;
use crate::strategies::director;

const PAGE: &str = include_str!("../../../docs/desired-state.md");

/// The texts in fences of this kind.
fn examples(kind: &str) -> Vec<&'static str> {
    let fence = format!("\n```{kind}\n");
    PAGE.split(&fence).skip(1).map(|text| text.split_once("\n```\n").unwrap().0).collect()
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
fn the_example_of_a_group_is_right() {
    let page = include_str!("../../../docs/marks.md");
    let text = page.split("\n```toml\n").nth(1).unwrap().split("\n```\n").next().unwrap();
    let desired = read("marks.md", text).unwrap_or_else(|problems| panic!("{}", problems[0]));
    let rules: Vec<_> = desired.groups.iter().flat_map(|group| &group.rules).collect();
    let line =
        "iptables -t mangle -A PREROUTING -d 192.0.2.1 -p tcp -m multiport --dports 80,443 -j MARK --set-mark 10";
    assert_eq!(rules, [&fwmark::parse(line).unwrap().rule]);
}
