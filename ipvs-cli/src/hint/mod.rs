//! What is said in addition, where ipvsadm's own message leaves open what is wrong, or in which
//! line.
//!
//! A hint is checked: it says what to change, and the parser takes the line with that change. A
//! line that nothing here would mend has none.

mod address;
mod foreign;
mod line;
mod usage;
mod values;

use ipvs_text::escape;
use ipvs_text::ipvsadm::{Parser, Usage, Words};

pub(crate) use foreign::{file, first_line};

/// A line of `-R`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its number, from 1.
    number: u64,
    text: String,
}

impl Place {
    /// No terminal is this wide.
    const LONGEST: usize = 200;

    /// The line with this number and these words.
    pub(crate) fn new(number: u64, words: &Words) -> Self {
        let mut text = Vec::new();
        for word in (0..words.len()).map_while(|at| words.get(at)) {
            if text.len() > Self::LONGEST {
                break;
            }
            text.extend_from_slice(if text.is_empty() { b"" } else { b" " });
            text.extend_from_slice(word);
        }
        Place { number, text: show(&text) }
    }
}

/// The line that follows the message, if there is something to add.
pub(crate) fn line(place: Option<&Place>, hint: Option<&str>) -> Option<String> {
    match (place, hint) {
        (None, None) => None,
        (None, Some(hint)) => Some(format!("hint: {hint}")),
        (Some(Place { number, text }), None) => Some(format!("hint: line {number}: '{text}'")),
        (Some(Place { number, text }), Some(hint)) => Some(format!("hint: line {number}: '{text}': {hint}")),
    }
}

/// What would mend a line that was not understood. It asks for no names.
pub(crate) fn usage(words: &Words, usage: &Usage, parser: &mut Parser<'_>) -> Option<String> {
    let words: Vec<Vec<u8>> = (0..words.len()).filter_map(|at| words.get(at)).map(<[u8]>::to_vec).collect();
    // What is one fault is found before one of two.
    [0, 1].into_iter().find_map(|others| usage::hint(&words, usage, &mut line::Check::new(parser, usage, others)))
}

/// As much of it as is of use on a terminal, and nothing that the terminal would obey.
fn show(word: &[u8]) -> String {
    let text = String::from_utf8_lossy(word);
    match text.char_indices().nth(Place::LONGEST) {
        Some((end, _)) => format!("{}...", escape::text(&text[..end])),
        None => escape::bytes(word).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: &[u8]) -> Place {
        let mut words = Words::default();
        words.split_line(line);
        Place::new(17, &words)
    }

    #[test]
    fn a_line_is_named_with_or_without_a_cause() {
        let place = place(b"ipvsadm  -D -f 1\r");
        assert_eq!(line(Some(&place), None).unwrap(), "hint: line 17: '-D -f 1'");
        assert_eq!(line(Some(&place), Some("why")).unwrap(), "hint: line 17: '-D -f 1': why");
        assert_eq!(line(None, Some("why")).unwrap(), "hint: why");
        assert_eq!(line(None, None), None);
    }

    #[test]
    fn a_terminal_is_not_written_to_by_its_input() {
        let shown = place(b"-A -s \x1b[2J\x07\xff").text;
        assert_eq!(shown, r"-A -s \x1b[2J\x07\xff");
        assert_eq!(place(&[b'x'; 5000]).text.len(), Place::LONGEST + 3);
    }
}
