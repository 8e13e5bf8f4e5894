//! The JSON schema says what the reader does: the same keys, ranges, words, defaults, and what must
//! be there.

use std::collections::BTreeSet;

use ipvs::desired::{WriteOptions, write_json};
use ipvs::{Behaviors, Table};
use serde_json::{Map, Value, json};

use crate::director;

const TABLES: [&str; 7] = ["", "timeouts", "daemon", "service", "group", "destination", "tunnel"];

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../docs/schema/desired-state-1.json")).unwrap()
}

/// The schema of a table; the empty name is the top.
fn definition(name: &str) -> Value {
    let schema = schema();
    if name.is_empty() { schema } else { schema["$defs"][name].clone() }
}

fn properties(definition: &Value) -> Map<String, Value> {
    definition["properties"].as_object().unwrap().clone()
}

/// A text in which the table is in its place.
fn text(name: &str, table: &Map<String, Value>) -> String {
    let service = |destination: Value| json!({"version": 1, "services": [{"mark": 7, "destinations": [destination]}]});
    let whole = match name {
        "" => json!(table),
        "timeouts" => json!({"version": 1, "timeouts": table}),
        "daemon" => json!({"version": 1, "daemons": [table]}),
        "service" => json!({"version": 1, "services": [table]}),
        "group" => json!({"version": 1, "services": [{"mark": 1, "group": [table]}]}),
        "destination" => service(json!(table)),
        "tunnel" => service(json!({"address": "192.0.2.11", "forwarding": "tunnel", "tunnel": table})),
        other => panic!("{other}"),
    };
    whole.to_string()
}

/// What the table needs beside the key, if that has the value.
fn around(name: &str, key: &str, value: &Value) -> Map<String, Value> {
    let word = value.as_str().or_else(|| value[0].as_str()).unwrap_or_default();
    let table = match (name, key) {
        ("", _) => json!({"version": 1}),
        ("timeouts", _) => json!({}),
        ("daemon", _) => json!({"role": "master", "interface": "lo"}),
        ("service", "address" | "protocol") => json!({"address": "192.0.2.1:80", "protocol": "tcp"}),
        ("service", "scheduler_flags") if word.contains("h-") => json!({"mark": 7, "scheduler": word[..2]}),
        ("service", _) => json!({"mark": 7}),
        ("group", "ports") => json!({"address": "192.0.2.1", "protocol": "tcp"}),
        ("group", _) => json!({"address": "192.0.2.1"}),
        ("destination", "lower_threshold") => json!({"address": "192.0.2.11", "upper_threshold": u32::MAX}),
        ("destination", _) => json!({"address": "192.0.2.11"}),
        ("tunnel", "type") if word == "gue" => json!({"port": 6080}),
        ("tunnel", "type") => json!({}),
        ("tunnel", _) => json!({"type": "gue", "port": 6080}),
        other => panic!("{other:?}"),
    };
    table.as_object().unwrap().clone()
}

fn with(name: &str, key: &str, value: &Value) -> String {
    let mut table = around(name, key, value);
    table.insert(key.to_owned(), value.clone());
    text(name, &table)
}

fn made(text: &str) -> Table {
    let problems = |problems: Vec<_>| panic!("{}\n{text}", problems[0]);
    // Of all kernels, one that refuses the least.
    let behaviors = director().behaviors().difference(Behaviors::SIGNED_UPPER_THRESHOLD);
    let director = director().with_behaviors(behaviors);
    crate::read("made", text).and_then(|desired| Ok(desired.table(&director)?)).unwrap_or_else(problems)
}

fn refusal(text: &str) -> String {
    match crate::read("refused", text) {
        Ok(_) => panic!("not refused: {text}"),
        Err(problems) => problems[0].reason.clone(),
    }
}

/// Calls `check` with each table, key, and schema of a value that the key may have.
fn each(mut check: impl FnMut(&str, &str, &Value)) {
    for name in TABLES {
        for (key, value) in properties(&definition(name)) {
            check(name, &key, &value);
            let kinds = ["oneOf", "anyOf"].into_iter().filter_map(|of| value[of].as_array());
            kinds.flatten().for_each(|kind| check(name, &key, kind));
        }
    }
}

#[test]
fn keys() {
    for name in TABLES {
        let reason = refusal(&with(name, "of no such name", &json!(1)));
        let (_, names) = reason.split_once("; expected ").unwrap();
        let schema = properties(&definition(name));
        let expected: BTreeSet<&str> = schema.keys().map(String::as_str).collect();
        assert_eq!(names.split(", ").collect::<BTreeSet<_>>(), expected, "{name}");
        assert_eq!(definition(name)["additionalProperties"], false, "{name}");
    }
}

#[test]
fn every_key_is_explained() {
    each(|name, key, value| {
        // The alternatives of a key share its description.
        let whole = &properties(&definition(name))[key];
        assert!(
            whole["description"].is_string() || whole["$ref"].is_string() || whole["allOf"].is_array(),
            "{key}: {value}"
        );
    });
}

#[test]
fn ranges() {
    let mut count = 0;
    each(|name, key, value| {
        // That of a netmask depends on the family.
        if value["type"] != "integer" || key == "netmask" {
            return;
        }
        let [least, most] = ["minimum", "maximum"].map(|end| value[end].as_i64().unwrap());
        for inside in [least, most] {
            made(&with(name, key, &json!(inside)));
        }
        for outside in [least - 1, most + 1] {
            let reason = refusal(&with(name, key, &json!(outside)));
            assert!(
                reason.starts_with(&format!("'{key}' must be ")) && reason.ends_with(&format!(", not {outside}")),
                "{reason}"
            );
        }
        count += 1;
    });
    assert_eq!(count, 16);
}

#[test]
fn netmasks() {
    for (family, least, most) in [("ipv4", 0, 32), ("ipv6", 1, 128)] {
        let service = |netmask| {
            let service = json!({"mark": 7, "family": family, "persistence": 60, "netmask": netmask});
            text("service", service.as_object().unwrap())
        };
        for prefix in [least, most] {
            made(&service(prefix));
        }
        for prefix in [least - 1, most + 1] {
            let range = format!("from {least} to {most}");
            assert!(refusal(&service(prefix)).contains(&range));
        }
    }
}

#[test]
fn words() {
    let mut count = 0;
    each(|name, key, value| {
        let list = &value["items"]["anyOf"][0]["enum"];
        let is_list = list.is_array();
        let Some(words) = value["enum"].as_array().or(list.as_array()) else { return };
        let value = |word: &Value| if is_list { json!([word]) } else { word.clone() };
        for word in words {
            made(&with(name, key, &value(word)));
        }
        let reason = refusal(&with(name, key, &value(&json!("none of them"))));
        assert!(reason.contains("not \"none of them\""), "{reason}");
        count += 1;
    });
    assert_eq!(count, 8);
}

#[test]
fn names_have_a_longest() {
    let mut count = 0;
    each(|name, key, value| {
        let Some(most) = value["maxLength"].as_u64() else { return };
        let named = |length| with(name, key, &json!("x".repeat(length)));
        let most = usize::try_from(most).unwrap();
        assert!(crate::read("longest", named(most)).is_ok());
        for length in [0, most + 1] {
            assert!(refusal(&named(length)).starts_with(&format!("'{key}' must be ")));
        }
        count += 1;
    });
    assert_eq!(count, 4);
}

#[test]
fn required_keys_are_those_of_the_schema() {
    for (name, keys) in [
        ("", &["version"][..]),
        ("daemon", &["role", "interface"]),
        ("group", &["address"]),
        ("destination", &["address"]),
    ] {
        assert_eq!(definition(name)["required"], json!(keys));
        for key in keys {
            let mut table = around(name, "", &Value::Null);
            table.remove(*key).unwrap();
            refusal(&text(name, &table));
        }
    }
    for (service, is_right) in [
        (json!({"address": "192.0.2.1:80", "protocol": "tcp"}), true),
        (json!({"mark": 1}), true),
        (json!({"mark": 1, "family": "ipv4"}), true),
        (json!({"address": "192.0.2.1:80"}), false),
        (json!({"protocol": "tcp"}), false),
        (json!({"address": "192.0.2.1:80", "protocol": "tcp", "family": "ipv4"}), false),
        (json!({"address": "192.0.2.1:80", "protocol": "tcp", "mark": 1}), false),
        (json!({"mark": 1, "protocol": "tcp"}), false),
        (json!({"mark": 1, "group": []}), true),
        (json!({"address": "192.0.2.1:80", "protocol": "tcp", "group": []}), false),
    ] {
        let read = crate::read("service", text("service", service.as_object().unwrap()));
        assert_eq!(read.is_ok(), is_right, "{service}");
    }
}

/// What is left out is what the schema says.
#[test]
fn defaults() {
    let mut count = 0;
    each(|name, key, value| {
        let Some(default) = value.get("default") else { return };
        let without = text(name, &around(name, key, default));
        assert_eq!(made(&with(name, key, default)), made(&without), "{name}.{key}");
        count += 1;
    });
    assert_eq!(count, 17);
}

/// What is written for information has the keys that the schema says.
#[test]
fn information() {
    let wanted = "version = 1\nservices = [{mark = 1, destinations = [{address = '192.0.2.11'}]}]";
    let mut written = Vec::new();
    let mut options = WriteOptions::default();
    options.statistics = true;
    write_json(&mut written, &crate::table("table", wanted).unwrap(), options).unwrap();
    let written: Value = serde_json::from_slice(&written).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let said = |value: &Value| keys(&value["properties"]);
    let top = properties(&definition(""));
    let statistics = definition("statistics");
    let service = &written["services"][0];
    assert_eq!(keys(&written["kernel"]), said(&top["kernel"]));
    assert_eq!(keys(&service["statistics"]), said(&statistics));
    assert_eq!(keys(&service["statistics"]["rates"]), said(&statistics["properties"]["rates"]));
    let of_destinations = said(&properties(&definition("destination"))["statistics"]);
    assert_eq!(keys(&service["destinations"][0]["statistics"]), &of_destinations | &said(&statistics));
}
