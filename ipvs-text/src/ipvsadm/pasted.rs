//! Command lines pasted from web pages: what typography made of them, and what was meant.
//!
//! ipvsadm refuses all of this, so understanding it changes nothing that works there.

use std::fmt;
use std::io::{self, Write};

use super::grammar::{self, Takes};

/// A word that was understood although it is not what an option looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    word: Vec<u8>,
    read_as: Vec<u8>,
    because: &'static str,
}

impl Warning {
    /// A word that [`option_behind_dashes`] understood.
    pub(super) fn dash(word: &[u8], lead: Lead<'_>) -> Self {
        let read_as = match lead {
            Lead::Long(rest) => [b"--", rest].concat(),
            Lead::Bundle(rest) => [b"-", rest].concat(),
        };
        Warning { word: word.to_owned(), read_as, because: "its dash is not the `-' of the keyboard" }
    }

    /// A bundle of letters with dashes in it.
    pub(super) fn glued(word: &[u8]) -> Self {
        Warning { word: word.to_owned(), read_as: separated(word), because: "a space is missing" }
    }

    /// Writes the warning, with its newline.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let parts: [&[u8]; 7] =
            [b"warning: `", &self.word, b"' read as `", &self.read_as, b"': ", self.because.as_bytes(), b"\n"];
        parts.into_iter().try_for_each(|part| out.write_all(part))
    }
}

impl fmt::Display for Warning {
    /// The warning without `warning:` and newline; bytes that are not UTF-8 are shown as U+FFFD.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [word, read_as] = [&self.word, &self.read_as].map(|word| String::from_utf8_lossy(word));
        write!(f, "`{word}' read as `{read_as}': {}", self.because)
    }
}

/// What follows the dashes of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lead<'w> {
    /// `--name` or `--name=value`.
    Long(&'w [u8]),
    /// `-abc`.
    Bundle(&'w [u8]),
}

/// The option of a word that starts with dashes of which at least one is not ASCII, if there is
/// such an option.
///
/// One dash may stand for two: typesetting makes a single one of `--`.
pub(super) fn option_behind_dashes(word: &[u8]) -> Option<Lead<'_>> {
    let mut rest = word;
    while let Some(len) = dash(rest) {
        rest = &rest[len..];
    }
    let dashes = &word[..word.len() - rest.len()];
    if dashes.is_ascii() {
        return None;
    }
    let name = rest.split(|&byte| byte == b'=').next().unwrap_or_default();
    if grammar::by_long(name).is_some() {
        return Some(Lead::Long(rest));
    }
    grammar::by_short(*rest.first()?).map(|_| Lead::Bundle(rest))
}

/// The length of the dash that the text starts with.
fn dash(text: &[u8]) -> Option<usize> {
    match text {
        [b'-', ..] => Some(1),
        [0xe2, 0x80, 0x90..=0x95, ..] => Some(3), // U+2010 hyphen to U+2015 horizontal bar
        [0xe2, 0x88, 0x92, ..] => Some(3),        // U+2212 minus
        [0xef, 0xb9, 0x98 | 0xa3, ..] => Some(3), // U+FE58 small em dash, U+FE63 small hyphen-minus
        [0xef, 0xbc, 0x8d, ..] => Some(3),        // U+FF0D full-width hyphen-minus
        _ => None,
    }
}

/// Is this dash in a bundle the start of another option whose space is missing, as in `-g-w`?
pub(super) fn is_glued(bundle: &[u8]) -> bool {
    matches!(bundle, [b'-', letter, ..] if grammar::by_short(*letter).is_some())
}

/// The word with the missing spaces.
fn separated(word: &[u8]) -> Vec<u8> {
    let mut text = word[..1].to_vec();
    for (at, &byte) in word.iter().enumerate().skip(1) {
        if is_glued(&word[at..]) {
            text.push(b' ');
        }
        text.push(byte);
        // What follows is a value.
        if grammar::by_short(byte).is_some_and(|row| row.takes != Takes::Nothing) {
            text.extend_from_slice(&word[at + 1..]);
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typographic_dashes_are_dashes() {
        for dash in ["–", "—", "‐", "‑", "‒", "―", "−", "﹘", "﹣", "－", "-–"] {
            assert_eq!(option_behind_dashes(format!("{dash}C").as_bytes()), Some(Lead::Bundle(b"C")), "{dash}");
        }
    }

    #[test]
    fn one_dash_may_stand_for_two() {
        for word in ["–list", "––list", "—list", "-–list"] {
            assert_eq!(option_behind_dashes(word.as_bytes()), Some(Lead::Long(b"list")), "{word}");
        }
        assert_eq!(option_behind_dashes("–pe=sip".as_bytes()), Some(Lead::Long(b"pe=sip")));
    }

    #[test]
    fn other_words_are_left_alone() {
        for word in ["-C", "--list", "–", "––", "–Q", "–5", "–=", "×C", "C–", "", "-", "\u{2016}C"] {
            assert_eq!(option_behind_dashes(word.as_bytes()), None, "{word}");
        }
        assert_eq!(option_behind_dashes(b"\xe2\x80"), None);
    }

    #[test]
    fn glued_options_are_shown_apart() {
        for (glued, apart) in [("-g-w", "-g -w"), ("-L-n-c", "-L -n -c"), ("-g-w-n", "-g -w-n"), ("-gw-n", "-gw-n")] {
            assert_eq!(String::from_utf8(separated(glued.as_bytes())).unwrap(), apart);
        }
    }
}
