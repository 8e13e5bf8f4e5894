//! Splits a command line of a case file into words, as a shell would, without starting one.

use crate::text::{self, EscapeError};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// A command line that cannot be split.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// A quote that is never closed.
    #[error("the quote {0} is not closed")]
    OpenQuote(char),
    /// A backslash with nothing behind it.
    #[error("a backslash stands at the end of the line")]
    LoneBackslash,
    /// A bad escape inside `$'…'`.
    #[error("in $'…': {0}")]
    Escape(#[from] EscapeError),
    /// A NUL byte, which no program can be given.
    #[error("a word holds a NUL byte, which cannot be passed to a program")]
    Nul,
}

/// Splits at blanks; `'…'` is literal, `"…"` knows `\"` and `\\`, `\` makes the next character
/// literal, and `$'…'` takes the escapes of [`text::unescape`].
///
/// # Errors
/// An open quote, a bad escape, a NUL.
pub fn split(line: &str) -> Result<Vec<OsString>, WordError> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, behind) = one_word(rest)?;
        if word.contains(&0) {
            return Err(WordError::Nul);
        }
        words.push(OsString::from_vec(word));
        rest = behind.trim_start();
    }
    Ok(words)
}

fn one_word(line: &str) -> Result<(Vec<u8>, &str), WordError> {
    let mut word = Vec::new();
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let behind = &rest[c.len_utf8()..];
        rest = match c {
            ' ' | '\t' => break,
            '\'' => {
                let (inside, behind) = behind.split_once('\'').ok_or(WordError::OpenQuote('\''))?;
                word.extend(inside.bytes());
                behind
            }
            '"' => double_quoted(behind, &mut word)?,
            '$' if behind.starts_with('\'') => {
                let end = end_of_escaped(&behind[1..]).ok_or(WordError::OpenQuote('\''))?;
                word.extend(text::unescape(&behind[1..=end])?);
                &behind[end + 2..]
            }
            '\\' => push_next(behind, &mut word)?,
            c => {
                word.extend(c.encode_utf8(&mut [0; 4]).bytes());
                behind
            }
        };
    }
    Ok((word, rest))
}

fn push_next<'a>(text: &'a str, word: &mut Vec<u8>) -> Result<&'a str, WordError> {
    let c = text.chars().next().ok_or(WordError::LoneBackslash)?;
    word.extend(c.encode_utf8(&mut [0; 4]).bytes());
    Ok(&text[c.len_utf8()..])
}

fn double_quoted<'a>(text: &'a str, word: &mut Vec<u8>) -> Result<&'a str, WordError> {
    let mut rest = text;
    loop {
        let at = rest.find(['"', '\\']).ok_or(WordError::OpenQuote('"'))?;
        word.extend(rest[..at].bytes());
        if rest[at..].starts_with('"') {
            return Ok(&rest[at + 1..]);
        }
        if !rest[at + 1..].starts_with(['"', '\\', '$']) {
            word.push(b'\\');
        }
        rest = push_next(&rest[at + 1..], word)?;
    }
}

/// A word as it is typed in a case file: [`split`] makes the same word of it again.
#[must_use]
pub fn quote(word: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./:,=[]+%!#@?*^~".contains(byte);
    match std::str::from_utf8(word) {
        Ok(text) if !word.is_empty() && word.iter().all(plain) => text.to_owned(),
        Ok(text) if !text.contains(|c: char| c == '\'' || c.is_control()) => format!("'{text}'"),
        _ => format!("$'{}'", escaped(word)),
    }
}

/// For the inside of `$'…'`.
fn escaped(word: &[u8]) -> String {
    let mut text = String::new();
    for chunk in word.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' | '\'' => text.extend(['\\', c]),
                c if c.is_control() => text.extend(c.encode_utf8(&mut [0; 4]).bytes().map(hexadecimal)),
                c => text.push(c),
            }
        }
        text.extend(chunk.invalid().iter().copied().map(hexadecimal));
    }
    text
}

fn hexadecimal(byte: u8) -> String {
    format!("\\x{byte:02x}")
}

/// Where the quote that ends `$'…'` stands: the first one without a backslash before it.
fn end_of_escaped(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let end = c == '\'' && !escaped;
        escaped = c == '\\' && !escaped;
        end.then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        split(line).unwrap().into_iter().map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn quotes_and_backslashes() {
        assert_eq!(words(r#"a 'b c' "d \" e" f\ g '' h"i"'j'"#), ["a", "b c", "d \" e", "f g", "", "hij"]);
    }

    #[test]
    fn escapes_only_in_dollar_quotes() {
        assert_eq!(words(r"$'a\tb\'c' '\t' $x"), ["a\tb'c", "\\t", "$x"]);
        assert_eq!(split(r"$'\xff\{2*z}'").unwrap(), [OsString::from_vec(b"\xffzz".to_vec())]);
    }

    #[test]
    fn quoted_words_are_split_into_the_same() {
        let words: [&[u8]; 9] =
            [b"-L", b"", b"a b", b"it's", b"\\'", b"\xff\n\t", "–é".as_bytes(), b"\"", b"[2001:db8::1]:80"];
        let line = words.map(quote).join(" ");
        assert_eq!(split(&line).unwrap(), words.map(|word| OsString::from_vec(word.to_vec())), "{line}");
    }

    #[test]
    fn unsplittable_lines_are_reported() {
        assert_eq!(split("a 'b"), Err(WordError::OpenQuote('\'')));
        assert_eq!(split("a \"b"), Err(WordError::OpenQuote('"')));
        assert_eq!(split("a \\"), Err(WordError::LoneBackslash));
        assert_eq!(split(r"$'\0'"), Err(WordError::Nul));
    }
}
