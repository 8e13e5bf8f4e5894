//! Compares what a command did with what it should have done, and says the difference so that a
//! person can read it.

use crate::case::{Manner, Transcript};
use crate::text::line_matches;
use std::fmt::Write;

/// `None` if the transcripts agree, else a text that shows where they do not.
#[must_use]
pub fn compare(expected: &Transcript, actual: &Transcript, manner: Manner) -> Option<String> {
    let mut text = String::new();
    let streams = [(&expected.stdout, &actual.stdout), (&expected.stderr, &actual.stderr)];
    for ((expected, actual), stream) in streams.into_iter().zip(["stdout", "stderr"]) {
        let actual = if manner.unordered { in_order_of(expected, actual) } else { actual.clone() };
        if !lines_match(expected, &actual) {
            let _ = writeln!(text, "  {stream} (- expected, + printed):");
            show_lines(&mut text, expected, &actual);
        }
    }
    if !actual.status.is_as(expected.status) {
        let _ = writeln!(text, "  status: expected {}, was {}", expected.status, actual.status);
    }
    (!text.is_empty()).then_some(text)
}

/// The lines in the order in which they are expected, and behind them those that are not.
fn in_order_of(expected: &[String], actual: &[String]) -> Vec<String> {
    let mut rest = actual.to_vec();
    let mut ordered = Vec::new();
    for line in expected {
        if let Some(at) = rest.iter().position(|candidate| line_matches(line, candidate)) {
            ordered.push(rest.remove(at));
        }
    }
    ordered.extend(rest);
    ordered
}

fn lines_match(expected: &[String], actual: &[String]) -> bool {
    expected.len() == actual.len() && expected.iter().zip(actual).all(|(e, a)| line_matches(e, a))
}

/// Shows all lines; those at the top and at the bottom that agree without a mark.
fn show_lines(text: &mut String, expected: &[String], actual: &[String]) {
    let agree = |(e, a): &(&String, &String)| line_matches(e, a);
    let top = expected.iter().zip(actual).take_while(agree).count();
    let (e, a) = (&expected[top..], &actual[top..]);
    let bottom = e.iter().rev().zip(a.iter().rev()).take_while(agree).count();
    let (e, a) = (&e[..e.len() - bottom], &a[..a.len() - bottom]);
    let groups = [(' ', &actual[..top]), ('-', e), ('+', a), (' ', &actual[actual.len() - bottom..])];
    for (mark, line) in groups.into_iter().flat_map(|(mark, lines)| lines.iter().map(move |line| (mark, line))) {
        let _ = writeln!(text, "    {mark} {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Status;

    fn transcript(stdout: &[&str], status: i32) -> Transcript {
        let stdout = stdout.iter().map(|line| (*line).to_owned()).collect();
        Transcript { stdout, stderr: Vec::new(), status: Status::Exit(status) }
    }

    #[test]
    fn equal_transcripts_say_nothing() {
        assert_eq!(
            compare(&transcript(&["(size={size})"], 0), &transcript(&["(size=256)"], 0), Manner::default()),
            None
        );
    }

    #[test]
    fn the_lines_that_differ_are_marked() {
        let (expected, actual) = (transcript(&["a", "b", "c"], 0), transcript(&["a", "x", "y", "c"], 2));
        let text = compare(&expected, &actual, Manner::default()).unwrap();
        assert!(text.contains("      a\n    - b\n    + x\n    + y\n      c\n"), "{text}");
        assert!(text.contains("status: expected 0, was 2"), "{text}");
    }

    #[test]
    fn order_counts_by_default() {
        let (expected, actual) = (transcript(&["{n} b", "{n} a"], 0), transcript(&["1 a", "2 b"], 0));
        let unordered = Manner { unordered: true, ..Manner::default() };
        assert!(compare(&expected, &actual, Manner::default()).is_some());
        assert_eq!(compare(&expected, &actual, unordered), None);
        assert!(compare(&expected, &transcript(&["1 a", "2 a"], 0), unordered).is_some());
    }
}
