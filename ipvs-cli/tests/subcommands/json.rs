//! JSON is what its schema says. That of marks and of the doctor, on a kernel:
//! `tests/kernel/tests/marks/cli.rs` and `doctor.rs`.

use serde_json::{Value, json};

use crate::director::{Director, SHOP};
use crate::schema::objects;

const TABLE: &str = include_str!("../../../ipvs-text/src/render/recorded/ip_vs_conn.txt");

fn shop() -> Director {
    let mut director = Director::new();
    assert_eq!(director.feed("ipvs-cli apply --quiet -", SHOP).status, 0);
    director
}

/// What a call writes: objects of this definition, with this exit status.
#[track_caller]
fn written(director: &mut Director, line: &str, stdin: &str, definition: &str, status: u8) -> Vec<Value> {
    let said = director.feed(&format!("ipvs-cli {line}"), stdin);
    assert_eq!((said.status, said.stderr.as_str()), (status, ""), "{line}");
    objects(definition, &said.stdout)
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn drain_and_undrain() {
    let mut director = shop();
    director.must("ipvsadm -a -f 10 -r 192.0.2.13 -i");
    let drained = written(&mut director, "drain --force --json --all 192.0.2.11", "", "drained", 0);
    let expected = [
        json!({"version": 1, "service": "tcp 192.0.2.1:80", "server": "192.0.2.11:80", "outcome": "drained", "weight": 0, "weight_before": 3}),
        json!({"version": 1, "service": "mark 10", "server": "192.0.2.11:0", "outcome": "drained", "weight": 0, "weight_before": 1}),
    ];
    assert_eq!(drained, expected);
    std::fs::remove_file(director.state_file("drained")).unwrap();
    let again = written(&mut director, "drain --json --quiet mark:10 192.0.2.11", "", "drained", 0);
    assert_eq!((&again[0]["outcome"], &again[0]["weight_before"]), (&json!("drained"), &Value::Null));
    let unknown = written(&mut director, "undrain --json mark:10 192.0.2.11", "", "undrained", 1);
    assert_eq!((&unknown[0]["outcome"], &unknown[0]["weight"]), (&json!("unknown"), &json!(0)));
    let known = written(&mut director, "undrain --json mark:10 192.0.2.11 --weight 7", "", "undrained", 0);
    assert_eq!((&known[0]["outcome"], &known[0]["weight"]), (&json!("restored"), &json!(7)));
    let known = written(&mut director, "undrain --json mark:10 192.0.2.11", "", "undrained", 0);
    assert_eq!((&known[0]["outcome"], &known[0]["weight"]), (&json!("unchanged"), &json!(7)));
    let kept = written(&mut director, "drain --json --keep-weight mark:10 192.0.2.11", "", "drained", 0);
    assert_eq!(keys(&kept[0]), ["outcome", "server", "service", "version"]);
    let deleted = written(&mut director, "drain --force --json --delete mark:10 192.0.2.11", "", "drained", 0);
    let expected =
        json!({"version": 1, "service": "mark 10", "server": "192.0.2.11:0", "outcome": "deleted", "weight_before": 7});
    assert_eq!(deleted, [expected]);
}

#[test]
fn apply_and_diff() {
    let mut director = Director::new();
    let summary = |dry_run, services: Value, destinations: Value, marks: Value, timeouts| {
        let counts = |counts: Value| json!({"added": counts[0], "edited": counts[1], "deleted": counts[2]});
        json!({
            "version": 1, "dry_run": dry_run, "services": counts(services), "destinations": counts(destinations),
            "destinations_of_deleted_services": 0,
            "mark_rules": counts(marks), "timeouts_set": timeouts, "daemons_started": [], "daemons_stopped": []
        })
    };
    let said = director.feed("ipvs-cli apply --dry-run --json -", SHOP).stdout;
    let (difference, last) = said.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(format!("{difference}\n"), director.feed("ipvs-cli diff --json -", SHOP).stdout);
    let expected = summary(true, json!([2, 0, 0]), json!([3, 0, 0]), json!([0, 0, 0]), true);
    assert_eq!(objects("summary", last), [expected]);
    let made = written(&mut director, "apply --json -", SHOP, "summary", 0);
    assert_eq!(made, [summary(false, json!([2, 0, 0]), json!([3, 0, 0]), json!([0, 0, 0]), true)]);
    let again = written(&mut director, "restore --json", SHOP, "summary", 0);
    assert_eq!(again, [summary(false, json!([0, 0, 0]), json!([0, 0, 0]), json!([0, 0, 0]), false)]);
    let wanted = "version = 1\ntimeouts = { tcp_fin = 61 }\ndaemons = [{ role = 'backup', interface = 'lo' }]\n
        services = [{ mark = 10, group = [{ address = '192.0.2.1' }], destinations = [{ address = '192.0.2.12' }] }]";
    let changes = written(&mut director, "diff --json -", wanted, "difference", 1);
    let shown =
        |change: &Value| format!("{} {} {} {}", change["change"], change["of"], change["service"], change["server"]);
    assert_eq!(
        changes.iter().map(shown).collect::<Vec<_>>(),
        [
            r#""removed" "timeouts" null null"#,
            r#""added" "timeouts" null null"#,
            r#""added" "daemon" null null"#,
            r#""removed" "service" "tcp 192.0.2.1:80" null"#,
            r#""removed" "destination" "tcp 192.0.2.1:80" "192.0.2.11:80""#,
            r#""removed" "destination" "tcp 192.0.2.1:80" "192.0.2.12:80""#,
            r#""removed" "service" "mark 10" null"#,
            r#""added" "service" "mark 10" null"#,
            r#""added" "group" "mark 10" null"#,
            r#""removed" "destination" "mark 10" "192.0.2.11:0""#,
            r#""added" "destination" "mark 10" "192.0.2.12:0""#,
        ]
    );
    described_as_desired_states(&changes);
    let none = written(&mut director, "diff --json -", SHOP, "difference", 0);
    assert!(none.is_empty(), "{none:?}");
}

/// What goes and comes has the keys of its part of a desired state.
fn described_as_desired_states(changes: &[Value]) {
    let schema: Value = serde_json::from_str(include_str!("../../../docs/schema/desired-state-1.json")).unwrap();
    for change in changes {
        let known = &schema["$defs"][change["of"].as_str().unwrap()]["properties"];
        for key in keys(&change["value"]) {
            assert!(known.get(key).is_some(), "{key}: {change}");
        }
    }
}

#[test]
fn connections() {
    let mut director = Director::new();
    let entries = written(&mut director, "conns --json --from -", TABLE, "connection", 0).len();
    let counted = |object: &Value| object["connections"].as_u64().unwrap() + object["templates"].as_u64().unwrap();
    for options in ["--by client", "--by service", "--by server", "--by state", "--by protocol", "--count"] {
        let groups = written(&mut director, &format!("conns --json --from - {options}"), TABLE, "connections", 0);
        let key = options.strip_prefix("--by ");
        assert!(groups.iter().all(|group| group.as_object().unwrap().len() == 3 + usize::from(key.is_some())));
        assert!(groups.iter().all(|group| key.is_none_or(|key| group[key].is_string())), "{options}");
        assert_eq!(groups.iter().map(counted).sum::<u64>(), entries as u64, "{options}");
    }
}

#[test]
fn owners() {
    let mut director = Director::new();
    assert_eq!(director.feed("ipvs-cli apply --quiet --owner shop -", SHOP).status, 0);
    assert_eq!(written(&mut director, "owners --json", "", "owner", 0).len(), 2);
}

#[test]
fn rates() {
    let line = "watch --json --interval 0.1 --count 2";
    assert_eq!(written(&mut shop(), line, "", "rates", 0).len(), 4);
}

/// A subcommand that is new must be in one of these lists.
#[test]
fn every_subcommand_that_prints_data_is_documented() {
    let page = include_str!("../../../docs/json.md");
    let command = ipvs_cli::subcommands::command();
    let mut commands: Vec<(String, &clap::Command)> = Vec::new();
    for command in command.get_subcommands() {
        let name = command.get_name();
        commands.push((name.to_owned(), command));
        commands.extend(command.get_subcommands().map(|task| (format!("{name} {}", task.get_name()), task)));
    }
    for (name, command) in commands {
        let has_json = command.get_arguments().any(|argument| argument.get_long() == Some("json"));
        let without =
            ["metrics", "top", "check", "mark", "mark add", "mark delete", "sync", "completions", "man", "report"];
        assert_ne!(has_json, without.contains(&name.as_str()), "{name}");
        let documented = page.contains(&format!("`{name} --json"));
        assert_eq!(has_json, documented, "docs/json.md, {name}");
    }
}
