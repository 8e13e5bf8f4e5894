//! Wrong texts: each is refused, with every place and reason.

use ipvs::desired::Problem;

use crate::cases::{check, reports};
use crate::{director, read};

/// Problems of the text, or of its commands on an empty director.
fn problems(text: &[u8]) -> Vec<Problem> {
    read("x", text).and_then(|desired| Ok(desired.table(&director())?)).err().unwrap_or_default()
}

#[test]
fn toml() {
    assert!(check(include_str!("wrong/toml.txt"), problems) >= 100);
}

#[test]
fn json() {
    assert!(check(include_str!("wrong/json.txt"), problems) >= 50);
}

/// What a file of text can't hold.
#[test]
fn other_bytes_than_text_are_refused() {
    for (text, expected) in [
        (&b"version = 1\n# \xff\n"[..], "2:3: TOML and JSON must be UTF-8"),
        (b"{\"version\": 1, \"\xc3\x28\": 1}", "1:17: TOML and JSON must be UTF-8"),
        (b"{\"version\": 1}\0", "1:15: this is not JSON: expected the end of the file"),
        (
            b"{\"version\0\": 1}",
            "1:10: this is not JSON: a control character in a string must be written as \\u and four digits",
        ),
        (b"\0\0\0\0", "1:1: this is not TOML: invalid unquoted key, expected letters, numbers, `-`, `_`"),
    ] {
        assert_eq!(reports(&problems(text)).first().map(String::as_str), Some(expected), "{}", text.escape_ascii());
    }
}

/// In a text of another notation everything is wrong: the list of problems is cut.
#[test]
fn at_most_fifty_problems_are_reported() {
    let toml = format!("version = 1\n{}", "[[services]]\ncolor = 1\n".repeat(1000));
    let json = format!("{{\"version\": 1, \"services\": [{}0]}}", "{\"color\": 1},".repeat(1000));
    for text in [toml, json] {
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
