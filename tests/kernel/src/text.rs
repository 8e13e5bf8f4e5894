//! Bytes as lines a person can read and write: the text form that case files use for input and
//! output.
//!
//! Everything is written as it is, except what would be invisible or ambiguous: see [`to_lines`]
//! for the escapes. Expected lines may hold placeholders for what differs from run to run: see
//! [`line_matches`].

use std::borrow::Cow;

/// Stands at the end of a line that ends in a blank or is empty, so that no editor can eat the
/// blanks unseen.
pub const END_OF_LINE: char = '⏎';

/// A line whose newline is missing ends with this.
const NO_NEWLINE: &str = "\\c";

/// Characters that start a line of another kind in a case file, and so are escaped at the start of
/// a text line.
const LINE_KINDS: &[char] = &['#', '@', '$', '<', '!', '?'];

/// An escape that cannot be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EscapeError {
    /// The text ends after a backslash.
    #[error("a backslash stands at the end; write \\\\ for one that is meant")]
    Unfinished,
    /// A letter after the backslash that means nothing.
    #[error("\\{0} means nothing; known: \\t \\r \\n \\v \\f \\0 \\xNN \\\\ \\c (last) \\{{COUNT*TEXT}}")]
    Unknown(char),
    /// `\x` without two hexadecimal digits.
    #[error("\\x must be followed by two hexadecimal digits")]
    Hex,
    /// `\{` that is not `\{COUNT*TEXT}`.
    #[error("\\{{ must be followed by COUNT*TEXT}}, as in \\{{4096*x}}")]
    Repeat,
    /// A blank at the end of a line, which nobody would see.
    #[error("the line ends with a blank: put {END_OF_LINE} behind it")]
    TrailingBlank,
}

/// Writes bytes as lines.
///
/// Escapes: `\\`, `\t`, `\r`, other control and non-UTF-8 bytes as `\xNN`; a last line without
/// newline ends with `\c`; a line that is empty or ends with a blank ends with [`END_OF_LINE`]; a
/// character that begins another kind of line is `\xNN` there.
#[must_use]
pub fn to_lines(bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    for piece in bytes.split_inclusive(|&b| b == b'\n') {
        let (text, newline) = match piece.strip_suffix(b"\n") {
            Some(text) => (text, true),
            None => (piece, false),
        };
        lines.push(to_line(text, newline));
    }
    lines
}

fn to_line(bytes: &[u8], newline: bool) -> String {
    let mut line = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push_char(&mut line, c);
        }
        for byte in chunk.invalid() {
            line.push_str(&format!("\\x{byte:02x}"));
        }
    }
    if !newline {
        line.push_str(NO_NEWLINE);
    } else if line.is_empty() || line.ends_with(' ') {
        line.push(END_OF_LINE);
    }
    line
}

fn push_char(line: &mut String, c: char) {
    match c {
        '\\' => line.push_str("\\\\"),
        '\t' => line.push_str("\\t"),
        '\r' => line.push_str("\\r"),
        c if c.is_control() || c == END_OF_LINE || (line.is_empty() && LINE_KINDS.contains(&c)) => {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                line.push_str(&format!("\\x{byte:02x}"));
            }
        }
        c => line.push(c),
    }
}

/// Reads one line of a case file back into bytes, newline included unless it ends with `\c`.
///
/// # Errors
/// An escape that means nothing, or a blank at the end that nobody would see.
pub fn from_line(line: &str) -> Result<Vec<u8>, EscapeError> {
    if line.ends_with([' ', '\t']) {
        return Err(EscapeError::TrailingBlank);
    }
    let line = line.strip_suffix(END_OF_LINE).unwrap_or(line);
    let (text, newline) = match line.strip_suffix(NO_NEWLINE) {
        Some(text) => (text, false),
        None => (line, true),
    };
    let mut bytes = unescape(text)?;
    if newline {
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// Reads lines of a case file back into bytes.
///
/// # Errors
/// As [`from_line`].
pub fn from_lines(lines: &[String]) -> Result<Vec<u8>, EscapeError> {
    let mut bytes = Vec::new();
    for line in lines {
        bytes.extend(from_line(line)?);
    }
    Ok(bytes)
}

/// Replaces the escapes of a text.
///
/// # Errors
/// An escape that means nothing.
pub fn unescape(text: &str) -> Result<Vec<u8>, EscapeError> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend(plain.bytes());
        rest = one_escape(escape, &mut bytes)?;
    }
    bytes.extend(rest.bytes());
    Ok(bytes)
}

/// Reads the escape that follows a backslash, and returns what stands behind it.
fn one_escape<'a>(text: &'a str, bytes: &mut Vec<u8>) -> Result<&'a str, EscapeError> {
    let mut chars = text.chars();
    let byte = match chars.next().ok_or(EscapeError::Unfinished)? {
        '\\' => b'\\',
        '\'' => b'\'',
        't' => b'\t',
        'r' => b'\r',
        'n' => b'\n',
        'v' => 0x0b,
        'f' => 0x0c,
        '0' => 0,
        'x' => {
            let digits = text.get(1..3).ok_or(EscapeError::Hex)?;
            bytes.push(u8::from_str_radix(digits, 16).map_err(|_| EscapeError::Hex)?);
            return Ok(&text[3..]);
        }
        '{' => return repeat(&text[1..], bytes),
        other => return Err(EscapeError::Unknown(other)),
    };
    bytes.push(byte);
    Ok(chars.as_str())
}

/// `COUNT*TEXT}`: so that a megabyte of input is one readable line.
fn repeat<'a>(text: &'a str, bytes: &mut Vec<u8>) -> Result<&'a str, EscapeError> {
    let (inside, rest) = text.split_once('}').ok_or(EscapeError::Repeat)?;
    let (count, piece) = inside.split_once('*').ok_or(EscapeError::Repeat)?;
    let count: usize = count.parse().map_err(|_| EscapeError::Repeat)?;
    bytes.extend(unescape(piece)?.repeat(count));
    Ok(rest)
}

/// What an expected line may hold in the place of text that differs from run to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placeholder {
    /// `{n}`, `{size}`: a run of digits.
    Number,
    /// `{n>W}`: a number at the right of W columns.
    RightAligned(usize),
    /// `{some>W}`: the same, but not 0, and perhaps with its unit K, M, G or T.
    SomeRightAligned(usize),
    /// `{mm:ss}`: a time that runs down.
    Clock,
}

impl Placeholder {
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "n" | "size" => Some(Self::Number),
            "mm:ss" => Some(Self::Clock),
            _ => {
                let (what, width) = name.split_once('>')?;
                let width = width.parse().ok()?;
                match what {
                    "n" => Some(Self::RightAligned(width)),
                    "some" => Some(Self::SomeRightAligned(width)),
                    _ => None,
                }
            }
        }
    }

    /// What is left of the text behind the part this placeholder stands for; `None` if the text is
    /// something else.
    fn strip(self, text: &str) -> Option<&str> {
        match self {
            Self::Number => strip_digits(text),
            Self::RightAligned(width) => {
                let number = text.get(..width)?.trim_start_matches(' ');
                strip_digits(number).filter(|rest| rest.is_empty())?;
                Some(&text[width..])
            }
            Self::SomeRightAligned(width) => {
                let number = text.get(..width)?.trim_start_matches(' ');
                strip_digits(number).filter(|rest| number != "0" && ["", "K", "M", "G", "T"].contains(rest))?;
                Some(&text[width..])
            }
            Self::Clock => strip_digits(strip_digits(text)?.strip_prefix(':')?),
        }
    }
}

fn strip_digits(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    (rest.len() < text.len()).then_some(rest)
}

/// Whether a line of real output is what the expected line says.
///
/// Placeholders: `{size}` and `{n}` a number, `{n>8}` a number at the right of eight columns,
/// `{some>8}` the same but not 0 and perhaps with K, M, G or T behind it, `{mm:ss}` a time that
/// runs down. Other text in braces stands for itself.
#[must_use]
pub fn line_matches(expected: &str, actual: &str) -> bool {
    let Some((before, placeholder, behind)) = next_placeholder(expected) else {
        return expected == actual;
    };
    actual.strip_prefix(before).and_then(|rest| placeholder.strip(rest)).is_some_and(|rest| line_matches(behind, rest))
}

fn next_placeholder(text: &str) -> Option<(&str, Placeholder, &str)> {
    for (open, _) in text.match_indices('{') {
        let Some(length) = text[open..].find('}') else { continue };
        if let Some(placeholder) = Placeholder::from_name(&text[open + 1..open + length]) {
            return Some((&text[..open], placeholder, &text[open + length + 1..]));
        }
    }
    None
}

/// An expected line as [`to_lines`] would have written it, so that two spellings of the same bytes
/// are equal.
///
/// # Errors
/// As [`from_line`].
pub fn canonical(line: &str) -> Result<Cow<'_, str>, EscapeError> {
    let bytes = from_line(line)?;
    let mut lines = to_lines(&bytes);
    match lines.pop() {
        Some(only) if lines.is_empty() && only != line => Ok(Cow::Owned(only)),
        _ => Ok(Cow::Borrowed(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_written_as_escapes() {
        assert_eq!(to_lines(b"a  \n\n\t\xff\r\n$ x\nend"), ["a  ⏎", "⏎", "\\t\\xff\\r", "\\x24 x", "end\\c"]);
    }

    #[test]
    fn lines_read_back_to_the_same_bytes() {
        let bytes: Vec<u8> = (0..=255).chain(*b"\n\n tail \n# \xe2\x8f\x8e\nno newline").collect();
        assert_eq!(from_lines(&to_lines(&bytes)).as_deref(), Ok(&bytes[..]));
    }

    #[test]
    fn repeats_are_written_once() {
        assert_eq!(from_line("a\\{3*xy}b\\c").as_deref(), Ok(&b"axyxyxyb"[..]));
    }

    #[test]
    fn an_unseen_blank_and_unknown_escapes_are_refused() {
        assert_eq!(from_line("a "), Err(EscapeError::TrailingBlank));
        assert_eq!(from_line("a\\q"), Err(EscapeError::Unknown('q')));
        assert_eq!(from_line("a\\xg0"), Err(EscapeError::Hex));
        assert_eq!(from_line("a\\{x}"), Err(EscapeError::Repeat));
    }

    #[test]
    fn placeholders_stand_for_numbers_only() {
        assert!(line_matches("(size={size})", "(size=4096)"));
        assert!(!line_matches("(size={size})", "(size=)"));
        assert!(line_matches("a {n>4} b", "a   12 b"));
        assert!(!line_matches("a {n>4} b", "a  12  b"));
        assert!(!line_matches("a {n>4} b", "a      b"));
        assert!(line_matches("{some>6}", "  130K") && line_matches("{some>6}", "    13"));
        assert!(!line_matches("{some>6}", "     0") && !line_matches("{some>6}", "   13x"));
        assert!(line_matches("TCP {mm:ss}  X", "TCP 14:59  X"));
        assert!(line_matches("{master|backup}", "{master|backup}"));
        assert!(!line_matches("{master|backup}", "7"));
    }
}
