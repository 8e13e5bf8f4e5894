//! What is printed on a terminal in addition, where ipvsadm's own message leaves open what is
//! wrong, or in which line.

mod address;
pub mod edit;
mod usage;

use crate::escape;
use crate::ipvsadm::Words;

pub use usage::usage;

/// A line of `-R`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number, from 1.
    number: u64,
    text: String,
}

impl Place {
    /// No terminal is this wide.
    const LONGEST: usize = 200;

    /// The line with this number and these words.
    pub fn new(number: u64, words: &Words) -> Self {
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
pub fn line(place: Option<&Place>, hint: Option<String>) -> Option<String> {
    match (place, hint) {
        (None, None) => None,
        (None, Some(hint)) => Some(format!("hint: {hint}")),
        (Some(Place { number, text }), None) => Some(format!("hint: line {number}: `{text}'")),
        (Some(Place { number, text }), Some(hint)) => Some(format!("hint: line {number}: `{text}': {hint}")),
    }
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
        assert_eq!(line(Some(&place), None).unwrap(), "hint: line 17: `-D -f 1'");
        assert_eq!(line(Some(&place), Some("why".into())).unwrap(), "hint: line 17: `-D -f 1': why");
        assert_eq!(line(None, Some("why".into())).unwrap(), "hint: why");
        assert_eq!(line(None, None), None);
    }

    #[test]
    fn a_terminal_is_not_written_to_by_its_input() {
        let shown = place(b"-A -s \x1b[2J\x07\xff").text;
        assert_eq!(shown, r"-A -s \x1b[2J\x07\xff");
        assert_eq!(place(&[b'x'; 5000]).text.len(), Place::LONGEST + 3);
    }
}
