//! Wrong texts: each is refused, with every place and reason.
//!
//! The files in `wrong/` hold a case behind each line that starts with `===`; `>>>` is what is said, as line, column and
//! reason.

use std::collections::BTreeSet;

use ipvs::desired::Problem;

use crate::read;
use crate::strategies::director;

struct Case {
    name: String,
    text: String,
    said: Vec<String>,
}

fn cases(file: &str) -> Vec<Case> {
    let blocks = file.split("\n=== ").skip(1);
    let case = |block: &str| {
        let (name, body) = block.split_once('\n').unwrap_or((block, ""));
        let said = |line: &&str| line.starts_with(">>> ");
        let body = body.trim_end_matches('\n');
        let text = body.lines().filter(|line| !said(line)).map(|line| format!("{line}\n")).collect();
        let said = body.lines().filter(said).map(|line| line[4..].to_owned()).collect();
        Case { name: name.to_owned(), text, said }
    };
    blocks.map(case).collect()
}

/// What is said about the text as such, or about its commands on an empty director.
fn problems(text: &[u8]) -> Vec<Problem> {
    match read("x", text) {
        Ok(desired) => desired.state.table(&director()).err().map(Vec::from).unwrap_or_default(),
        Err(problems) => problems,
    }
}

fn said(text: &[u8]) -> Vec<String> {
    problems(text).iter().map(|problem| problem.to_string().strip_prefix("x:").unwrap().to_owned()).collect()
}

fn check(file: &str) {
    let mut wrong = Vec::new();
    for case in cases(file) {
        let said = said(case.text.as_bytes());
        if said != case.said || said.is_empty() {
            let lines: String = said.iter().map(|line| format!(">>> {line}\n")).collect();
            wrong.push(format!("=== {}\n{}{lines}", case.name, case.text));
        }
    }
    assert!(wrong.is_empty(), "{} cases are reported differently:\n{}", wrong.len(), wrong.join("\n"));
}

const RULES: &str = include_str!("wrong/rules.txt");
const TOML: &str = include_str!("wrong/toml.txt");
const JSON: &str = include_str!("wrong/json.txt");

#[test]
fn rules() {
    check(RULES);
}

#[test]
fn toml() {
    check(TOML);
}

#[test]
fn json() {
    check(JSON);
}

#[test]
fn there_are_two_hundred_and_no_two_are_the_same() {
    let all: Vec<Case> = [RULES, TOML, JSON].into_iter().flat_map(cases).collect();
    let texts: BTreeSet<&str> = all.iter().map(|case| &*case.text).collect();
    let names: BTreeSet<&str> = all.iter().map(|case| &*case.name).collect();
    assert_eq!((texts.len(), names.len()), (all.len(), all.len()));
    assert!(all.len() >= 200, "{}", all.len());
}

/// What a file of text can't hold.
#[test]
fn bytes_that_are_no_text() {
    for (text, expected) in [
        (&b"version = 1\n# \xff\n"[..], "2:3: TOML and JSON must be UTF-8"),
        (b"{\"version\": 1, \"\xc3\x28\": 1}", "1:17: TOML and JSON must be UTF-8"),
        (b"{\"version\": 1}\0", "1:15: this is not JSON: expected the end of the file"),
        (
            b"{\"version\0\": 1}",
            "1:10: this is not JSON: a control character in a string must be written as \\u and four digits",
        ),
        (b"\0\0\0\0", "1:1: this is not TOML: invalid unquoted key, expected letters, numbers, `-`, `_`"),
        (
            b"-A -t 192.0.2.1:80\n-A -t \xff:80\n",
            "2: illegal virtual server address[:port] specified; `\\xff:80': no host `\\xff' with an IPv4 address is known",
        ),
        (
            b"-A -t 192.0.2.1:80\n-a\0b -f 1\n",
            "2: You need to supply the 'real-server' option for the 'add-server' command; that is -r",
        ),
    ] {
        assert_eq!(said(text).first().map(String::as_str), Some(expected), "{}", String::from_utf8_lossy(text));
    }
}

/// In a text of another notation everything is wrong: the list of problems is cut.
#[test]
fn the_first_fifty_are_told() {
    let rules: String = (0..1000).map(|n| format!("-D -f {}\n-Q\n", n + 1)).collect();
    let toml = format!("version = 1\n{}", "[[services]]\ncolor = 1\n".repeat(1000));
    let json = format!("{{\"version\": 1, \"services\": [{}0]}}", "{\"color\": 1},".repeat(1000));
    for text in [rules, toml, json] {
        assert_eq!(problems(text.as_bytes()).len(), 50);
    }
}

/// The place has the line's text for a message that shows it.
#[test]
fn places_show_their_lines() {
    let problems = problems("version = 1\r\n[[services]]\r\nmark = 1 # é\r\ncolör = 1\r\n".as_bytes());
    let place = &problems[0].place;
    assert_eq!((place.name(), place.line(), &*place.text()), ("x", 4, "colör = 1"));
}
