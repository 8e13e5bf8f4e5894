//! Wrong rules: each text is refused, with every line and reason. TOML and JSON are in
//! `ipvs/tests/desired`.

use ipvs::desired::Problem;

use crate::cases::{check, reports};
use crate::read;
use crate::strategies::director;

/// Problems of the text, or of its commands on an empty director.
fn problems(text: &[u8]) -> Vec<Problem> {
    read("x", text).and_then(|desired| Ok(desired.state.table(&director())?)).err().unwrap_or_default()
}

#[test]
fn rules() {
    assert!(check(include_str!("wrong.txt"), problems) >= 50);
}

/// What a file of text can't hold.
#[test]
fn other_bytes_than_text_are_refused() {
    for (text, expected) in [
        (&b"-A -t 192.0.2.1:80\n-A -t \xff:80\n"[..], "2: illegal virtual server address[:port] specified"),
        (
            b"-A -t 192.0.2.1:80\n-a\0b -f 1\n",
            "2: You need to supply the 'real-server' option for the 'add-server' command; add one, as in '-r 192.0.2.11'",
        ),
    ] {
        assert_eq!(reports(&problems(text)).first().map(String::as_str), Some(expected), "{}", text.escape_ascii());
    }
}

/// In a text of another notation everything is wrong: the list of problems is cut.
#[test]
fn at_most_fifty_problems_are_reported() {
    let rules: String = (0..1000).map(|n| format!("-D -f {}\n-Q\n", n + 1)).collect();
    assert_eq!(problems(rules.as_bytes()).len(), 50);
}
