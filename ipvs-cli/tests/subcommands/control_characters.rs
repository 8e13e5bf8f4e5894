//! Text from outside never reaches a terminal as it came: control characters, bidi and zero-width
//! marks go into every place that the program reads, and are looked for in all that it writes. The
//! places come from the tables of options, subcommands and keys, so a new one is tried by itself.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use ipvs::{Client, Command, Daemon, DaemonRole, InterfaceName, PersistenceEngine, Scheduler, Service, Table};
use ipvs_cli::ipvsadm::grammar::{ROWS, Takes};
use serde_json::{Map, Value, json};

use crate::director::{Director, Raw, SHOP};

/// A title for the terminal, C1, bidi, a zero-width mark, a tag, a byte that is not UTF-8, and a
/// line of its own. As a file's name it is in a directory that is not there.
const NASTY: &[u8] = b"/nowhere/\x1b]0;X\x07\xc2\x9b2J\xe2\x80\xae\xe2\x80\x8b\xf3\xa0\x81\x81\x7f\r\nFORGED\xff";

/// The same as far as it is text.
fn nasty_text() -> String {
    String::from_utf8(NASTY[..NASTY.len() - 1].to_vec()).unwrap()
}

/// In one line of a file of rules, where a space or a newline would end the word.
fn nasty_word() -> Vec<u8> {
    NASTY.iter().copied().filter(|byte| !b"\r\n".contains(byte)).collect()
}

/// Could this make a terminal do something, or a line look like another? Written down once more, so
/// that the program's own list is checked.
fn is_unsafe(char: char) -> bool {
    let marks = ['\u{ad}', '\u{61c}', '\u{180e}', '\u{feff}'];
    let ranges = ['\u{200b}'..='\u{200f}', '\u{2028}'..='\u{202e}', '\u{2060}'..='\u{206f}', '\u{fff9}'..='\u{fffb}'];
    let is_marked = marks.contains(&char) || ranges.iter().any(|range| range.contains(&char));
    (char.is_control() && !"\n\t".contains(char)) || is_marked || ('\u{e0000}'..='\u{e007f}').contains(&char)
}

#[track_caller]
fn assert_safe(done: &Raw, what: &dyn std::fmt::Debug) {
    assert_harmless(done, false, what);
}

#[track_caller]
fn assert_harmless(done: &Raw, is_ipvsadms: bool, what: &dyn std::fmt::Debug) {
    for (name, bytes) in [("stdout", &done.stdout), ("stderr", &done.stderr)] {
        let text = std::str::from_utf8(bytes)
            .unwrap_or_else(|_| panic!("{what:?}: {name} is not UTF-8: {}", bytes.escape_ascii()));
        assert!(!text.chars().any(is_unsafe), "{what:?}: {name}: {text:?}");
        // A message of ipvsadm says a word as it was typed, with its lines.
        assert!(is_ipvsadms || !text.lines().any(|line| line.starts_with("FORGED")), "{what:?}: {name}: {text:?}");
    }
}

/// On a terminal: into a file the drop-in writes what ipvsadm does.
fn director() -> Director {
    let mut director = Director::new();
    director.colors = || true;
    director
}

fn argv(words: &[&[u8]]) -> Vec<OsString> {
    words.iter().map(|word| OsString::from_vec(word.to_vec())).collect()
}

/// Every subcommand, those below others too, by the words that lead to it.
fn subcommands() -> Vec<(Vec<String>, clap::Command)> {
    fn below(path: &[String], command: &clap::Command, all: &mut Vec<(Vec<String>, clap::Command)>) {
        for sub in command.get_subcommands() {
            let path = [path, &[sub.get_name().to_owned()]].concat();
            all.push((path.clone(), sub.clone()));
            below(&path, sub, all);
        }
    }
    let mut all = Vec::new();
    below(&[], &ipvs_cli::subcommands::command(), &mut all);
    all
}

#[test]
fn no_argument_of_a_subcommand_reaches_the_terminal() {
    let mut director = director();
    let mut tried = 0;
    let mut attempt = |words: Vec<OsString>| {
        let done = director.argv(&words, b"", || true);
        assert_safe(&done, &words);
        assert!(!done.stderr.is_empty() || !done.stdout.is_empty(), "{words:?}");
        tried += 1;
    };
    attempt(argv(&[b"ipvs-cli", NASTY]));
    attempt(argv(&[b"ipvs-cli", b"--netns", NASTY, b"show"]));
    attempt(argv(&[NASTY, b"show", b"nonsense"]));
    for (path, command) in subcommands() {
        let words = || std::iter::once("ipvs-cli".into()).chain(path.iter().map(OsString::from));
        // In the place of whatever may stand there, once and as all of them.
        for count in 1..=3 {
            attempt(words().chain(argv(&vec![NASTY; count])).collect());
        }
        for option in command.get_arguments().filter_map(clap::Arg::get_long) {
            let name = format!("--{option}");
            let joined = [name.as_bytes(), b"=", NASTY].concat();
            attempt(words().chain(argv(&[&joined])).collect());
            attempt(words().chain(argv(&[name.as_bytes(), NASTY, NASTY])).collect());
            attempt(words().chain(argv(&[NASTY, &joined])).collect());
        }
    }
    assert!(tried > 200, "{tried}");
}

/// Each option of ipvsadm with a nasty value, behind each command, as its line and as a line of a
/// file.
fn lines() -> Vec<Vec<Vec<u8>>> {
    let commands =
        ROWS.iter().filter(|row| !row.long.is_empty()).map(|row| format!("--{}", row.long)).collect::<Vec<_>>();
    let mut lines = vec![vec![NASTY.to_vec()], vec![b"-A".to_vec(), NASTY.to_vec()]];
    for command in commands {
        for value in
            [NASTY.to_vec(), [b"192.0.2.1:", NASTY].concat(), [NASTY, b":80"].concat(), [b"[", NASTY, b"]:80"].concat()]
        {
            lines.push(vec![command.clone().into_bytes(), value.clone()]);
            lines.push(vec![[command.as_bytes(), b"=", &value].concat()]);
            lines.push(vec![
                b"-A".to_vec(),
                b"-t".to_vec(),
                b"192.0.2.1:80".to_vec(),
                command.clone().into_bytes(),
                value,
            ]);
        }
    }
    lines.push([b"-A".to_vec(), b"-t".to_vec(), b"192.0.2.1:80".to_vec(), [b"-", NASTY].concat()].to_vec());
    lines
}

#[test]
fn no_word_of_ipvsadms_language_reaches_the_terminal() {
    assert!(ROWS.iter().any(|row| row.takes != Takes::Nothing));
    let mut director = director();
    for line in lines() {
        let words: Vec<&[u8]> = line.iter().map(Vec::as_slice).collect();
        for program in [&[&b"ipvsadm"[..]][..], &[b"ipvs-cli"], &[b"ipvs-cli", b"--dry-run"]] {
            let words = argv(&[program, &words].concat());
            assert_harmless(&director.argv(&words, b"", || true), true, &words);
        }
    }
    assert_safe(&director.argv(&argv(&[b"ipvsadm-save", b"-n"]), b"", || true), &"save");
}

#[test]
fn no_rule_of_a_file_reaches_the_terminal() {
    let mut text = Vec::new();
    for line in lines() {
        let line: Vec<Vec<u8>> =
            line.iter().map(|word| word.iter().copied().filter(|byte| !b"\r\n".contains(byte)).collect()).collect();
        text.extend(line.join(&b' '));
        text.push(b'\n');
    }
    for words in [
        &["ipvsadm", "-R"][..],
        &["ipvsadm-restore"],
        &["ipvs-cli", "--dry-run", "-R"],
        &["ipvs-cli", "restore", "--line-by-line"],
        &["ipvs-cli", "restore"],
        &["ipvs-cli", "apply", "-"],
        &["ipvs-cli", "diff", "--color=never", "-"],
    ] {
        let mut director = director();
        let all = argv(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
        let done = director.argv(&all, &text, || true);
        assert_safe(&done, &words);
        assert!(!done.stderr.is_empty(), "{words:?}");
    }
    // One at a time, as the number of reported mistakes is limited.
    let mut director = director();
    for line in text.split(|&byte| byte == b'\n') {
        assert_safe(
            &director.argv(&argv(&[b"ipvs-cli", b"diff", b"--color=never", b"-"]), line, || true),
            &String::from_utf8_lossy(line),
        );
    }
}

/// A table of a desired state in its place.
fn in_its_place(name: &str, table: Value) -> Value {
    let service = |destination: Value| json!({"version": 1, "services": [{"mark": 7, "destinations": [destination]}]});
    match name {
        "" => table,
        "timeouts" => json!({"version": 1, "timeouts": table}),
        "daemon" => json!({"version": 1, "daemons": [table]}),
        "service" => json!({"version": 1, "services": [table]}),
        "group" => json!({"version": 1, "services": [{"mark": 1, "group": [table]}]}),
        "destination" => service(table),
        "statistics" => json!({"version": 1, "services": [{"mark": 7, "statistics": table}]}),
        "tunnel" => service(json!({"address": "192.0.2.11", "forwarding": "tunnel", "tunnel": table})),
        other => panic!("where does {other} stand?"),
    }
}

/// All keys of the schema, with all that a nasty text can be the value of, and nasty keys.
fn documents() -> Vec<Value> {
    let schema: Value = serde_json::from_str(include_str!("../../../docs/schema/desired-state-1.json")).unwrap();
    let mut all = Vec::new();
    let tables =
        schema["$defs"].as_object().unwrap().iter().filter(|(_, definition)| definition["properties"].is_object());
    let tables: Vec<(&str, &Value)> =
        tables.map(|(name, table)| (name.as_str(), table)).chain([("", &schema)]).collect();
    for (name, definition) in tables {
        let required = match name {
            "" => json!({"version": 1}),
            "daemon" => json!({"role": "master", "interface": "lo"}),
            "service" => json!({"address": "192.0.2.1:80", "protocol": "tcp"}),
            "group" => json!({"address": "192.0.2.1", "protocol": "tcp"}),
            "destination" => json!({"address": "192.0.2.11"}),
            _ => json!({}),
        };
        let keys = definition["properties"].as_object().unwrap().keys().cloned();
        for key in keys.chain([nasty_text()]) {
            for value in [json!(nasty_text()), json!([nasty_text()]), json!({nasty_text(): nasty_text()}), json!(7)] {
                let mut table: Map<String, Value> = required.as_object().unwrap().clone();
                table.insert(key.clone(), value);
                all.push(in_its_place(name, Value::Object(table)));
            }
        }
    }
    all
}

fn toml(value: &Value) -> String {
    match value {
        Value::Object(table) => {
            let fields: Vec<_> =
                table.iter().map(|(key, value)| format!("{} = {}", toml(&json!(key)), toml(value))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::Array(values) => format!("[{}]", values.iter().map(toml).collect::<Vec<_>>().join(", ")),
        Value::String(text) => {
            format!("\"{}\"", text.chars().map(|char| format!("\\U{:08x}", u32::from(char))).collect::<String>())
        }
        other => other.to_string(),
    }
}

#[test]
fn no_key_or_value_of_a_desired_state_reaches_the_terminal() {
    let mut director = director();
    let documents = documents();
    assert!(documents.len() > 100);
    for document in documents {
        let fields: Vec<_> = document
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, value)| format!("{} = {}\n", toml(&json!(key)), toml(value)))
            .collect();
        for text in [document.to_string(), fields.concat()] {
            for words in [["ipvs-cli", "diff", "--color=never", "-"], ["ipvs-cli", "restore", "--dry-run", "-"]] {
                let words = argv(&words.map(str::as_bytes));
                assert_safe(&director.argv(&words, text.as_bytes(), || true), &text);
            }
        }
    }
}

/// As it stands in a file, where it is not even text, at every place of it.
#[test]
fn no_damage_of_a_file_reaches_the_terminal() {
    let mut director = director();
    director.feed("ipvs-cli apply -", SHOP);
    let [toml, json] = ["--toml", "--json"].map(|notation| director.run(&format!("ipvs-cli show {notation}")).stdout);
    for text in [SHOP, &toml, &json] {
        for at in (0..text.len()).step_by(3) {
            let (before, after) = text.as_bytes().split_at(at);
            for nasty in [NASTY.to_vec(), nasty_word(), nasty_text().into_bytes()] {
                let text = [before, &nasty, after].concat();
                assert_safe(
                    &director.argv(&argv(&[b"ipvs-cli", b"diff", b"--color=never", b"-"]), &text, || true),
                    &text.escape_ascii().to_string(),
                );
            }
        }
    }
}

/// At most 15 bytes: a name of the kernel.
const NAME: &[u8] = b"\x1b]0;X\x07\xc2\x9b\xe2\x80\xae";

/// A director whose names are nasty, and those of its connections.
fn make_nasty(director: &mut Director) {
    let interface = InterfaceName::new(NAME).unwrap();
    let (scheduler, engine) = (Scheduler::new(NAME).unwrap(), PersistenceEngine::new(NAME).unwrap());
    let mut table = Table::new().with_module(scheduler).with_module(engine).with_interface(interface);
    let service: ipvs::ServiceKey = "udp 192.0.2.1:5060".parse().unwrap();
    let mut service = Service::new(service).with_scheduler(scheduler);
    service.persistence = Some(ipvs::Persistence::new(300).unwrap());
    service.engine = Some(engine);
    table.apply(&Command::AddService(service)).unwrap();
    let destination = "192.0.2.11:5060".parse().unwrap();
    table.apply(&Command::AddDestination(service.key(), ipvs::Destination::new(destination))).unwrap();
    table.apply(&Command::StartDaemon(Daemon::new(DaemonRole::Backup, InterfaceName::new(NAME).unwrap()))).unwrap();
    let line = b"UDP C0000201 0001 C0000201 13C4 C000020B 13C4 ".to_vec();
    let nasty = nasty_word();
    let entries = [
        [&line, &NAME[..6], b" 59\n"].concat(),
        [&line, &b"NONE 59 "[..], &NAME[..6], b" a", &nasty, b"b\n"].concat(),
        [&line, &b"UDP "[..], &nasty, b"\n"].concat(),
        [&nasty[..], b"\n"].concat(),
    ];
    director.kernel = ipvs_cli::director::Director::with(Client::fake(table));
    director.connections = director.file_of_bytes("ip_vs_conn", &entries.concat()).into();
}

#[test]
fn no_name_of_the_kernel_reaches_the_terminal() {
    let mut director = director();
    make_nasty(&mut director);
    let file = director.file("nothing", "-C\n--stop-daemon backup\n");
    let mut tried = 0;
    for line in [
        "ipvsadm -L",
        "ipvsadm -L -n",
        "ipvsadm -L -n --persistent-conn",
        "ipvsadm -L --daemon",
        "ipvsadm -L -c -n",
        "ipvsadm -L -c -n --persistent-conn",
        "ipvsadm -S",
        "ipvsadm -S -n",
        "ipvsadm-save -n",
        "ipvs-cli show",
        "ipvs-cli show --json",
        "ipvs-cli show --json --statistics",
        "ipvs-cli show --toml",
        "ipvs-cli show --rules",
        "ipvs-cli conns",
        "ipvs-cli conns --json",
        "ipvs-cli conns --by state",
        "ipvs-cli conns --sort expires",
        "ipvs-cli metrics --destinations",
        "ipvs-cli metrics --connections",
        "ipvs-cli watch --interval 0.1 --count 1",
        "ipvs-cli watch --json --interval 0.1 --count 1",
        "ipvs-cli top",
        "ipvs-cli doctor",
        "ipvs-cli mark check",
        &format!("ipvs-cli diff --rules --color=never {file}"),
        &format!("ipvs-cli diff --json {file}"),
        &format!("ipvs-cli apply --dry-run {file}"),
        &format!("ipvs-cli apply --json --dry-run {file}"),
        "ipvs-cli --dry-run -C",
        "ipvs-cli drain udp:192.0.2.1:5060 192.0.2.11:5060",
        &format!("ipvs-cli apply {file}"),
    ] {
        let words = argv(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>());
        let done = director.argv(&words, b"", || true);
        assert_safe(&done, &line);
        tried += usize::from(done.stdout.windows(3).any(|bytes| bytes == b"]0;"));
    }
    assert!(tried > 12, "the names are shown: {tried}");
}

/// JSON and TOML keep the name as it is, and a file of rules has its bytes.
#[test]
fn names_survive_writing_and_reading() {
    let mut director = director();
    make_nasty(&mut director);
    let name = std::str::from_utf8(NAME).unwrap();
    let json: Value = serde_json::from_str(&director.run("ipvs-cli show --json").stdout).unwrap();
    assert_eq!(json["services"][0]["scheduler"], name);
    let toml = director.run("ipvs-cli show --toml").stdout;
    assert_eq!(director.feed("ipvs-cli diff --rules -", &toml).status, 0, "{toml}");
    director.colors = || false;
    for line in ["ipvs-cli show --rules", "ipvsadm -S -n"] {
        let rules = director.argv(&argv(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>()), b"", || false).stdout;
        assert!(rules.windows(NAME.len()).any(|bytes| bytes == NAME), "{line}");
        assert_eq!(director.argv(&argv(&[b"ipvs-cli", b"diff", b"--color=never", b"-"]), &rules, || false).status, 0);
    }
}

/// Into a pipe ipvsadm's messages are as they are, but those of subcommands never.
#[test]
fn a_script_gets_the_bytes_of_ipvsadms_messages() {
    let mut director = Director::new();
    let word = OsStr::from_bytes(b"-A\x1b").to_owned();
    let words = ["ipvsadm".into(), word.clone()];
    let raw = director.argv(&words, b"", || false).stderr;
    assert!(raw.contains(&b'\x1b'), "{}", raw.escape_ascii());
    let shown = director.argv(&words, b"", || true).stderr;
    assert!(!shown.contains(&b'\x1b') && shown.windows(4).any(|bytes| bytes == br"\x1b"), "{}", shown.escape_ascii());
    let of_subcommand = director.argv(&["ipvs-cli".into(), "show".into(), word], b"", || false).stderr;
    assert!(!of_subcommand.contains(&b'\x1b'), "{}", of_subcommand.escape_ascii());
}
