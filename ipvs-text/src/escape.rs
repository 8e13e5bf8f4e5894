//! Text from outside, made safe for a terminal, a log or a shell.
//!
//! Text of files, arguments and names may contain control characters, which a terminal obeys, and
//! characters without width or with another direction, which make a line look like another one.
//! They are escaped here, and nowhere else. `EscapingWriter` is what every message and every text
//! for people goes through, so that no place can forget it.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub use ipvs::desired::parts::is_unsafe;

/// Shows text that came from outside in one line: control characters as `\n`, `\x1b` and `\u{9b}`,
/// and characters that change how their neighbours look, such as bidi overrides and zero-width
/// marks, as `\u{202e}`.
pub fn text(text: &str) -> Escaped<'_> {
    Escaped(text.as_bytes())
}

/// As [`text`]; bytes that are not UTF-8 are shown as `\xff`.
pub fn bytes(bytes: &[u8]) -> Escaped<'_> {
    Escaped(bytes)
}

/// As [`bytes`], of a file's name.
pub fn path(path: &Path) -> Escaped<'_> {
    bytes(path.as_os_str().as_bytes())
}

/// What [`text`], [`bytes`] and [`path`] return; it is written by `Display`, which honours a width.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'t>(&'t [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(self.0) {
            Ok(text) if !text.chars().any(is_unsafe) => f.pad(text),
            _ => {
                let mut shown = String::new();
                escape(self.0, |_| false, &mut shown);
                f.pad(&shown)
            }
        }
    }
}

/// Adds the bytes to `shown`. What `passes` may stay as it is.
fn escape(bytes: &[u8], passes: fn(char) -> bool, shown: &mut String) {
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            // Writing to a string does not fail.
            let _ = match char {
                char if passes(char) || !is_unsafe(char) => shown.write_char(char),
                '\t' | '\n' | '\r' => write!(shown, "{}", char.escape_default()),
                '\0'..='\x7f' => write!(shown, "\\x{:02x}", u32::from(char)),
                char => write!(shown, "{}", char.escape_unicode()),
            };
        }
        for byte in chunk.invalid() {
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
}

/// A word as a shell has to read it: as it is where no shell finds anything in it, otherwise
/// quoted.
///
/// What must not reach a terminal is written by `printf`, with which any POSIX shell makes the same
/// bytes.
pub fn shell_quote(word: impl AsRef<[u8]>) -> String {
    let word = word.as_ref();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(byte);
    let is_shown = |text: &str| !text.chars().any(is_unsafe);
    match std::str::from_utf8(word) {
        Ok(text) if !word.is_empty() && word.iter().all(is_plain) => text.to_owned(),
        Ok(text) if is_shown(text) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => printf(word),
    }
}

/// A command for a shell, made of words: what a message says that somebody may type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShellCommand(String);

impl ShellCommand {
    /// The command whose words these are, each quoted where a shell would find something in it.
    pub fn new<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Self {
        let quoted: Vec<String> = words.into_iter().map(shell_quote).collect();
        ShellCommand(quoted.join(" "))
    }

    /// The same, with its output written to a file.
    #[must_use]
    pub fn into_file(self, path: &str) -> Self {
        ShellCommand(format!("{} > {}", self.0, shell_quote(path)))
    }
}

impl fmt::Display for ShellCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `"$(printf …)"`. A shell drops newlines at the end of what it takes from a command, so those
/// follow in quotes.
fn printf(word: &[u8]) -> String {
    let end = word.iter().rposition(|&byte| byte != b'\n').map_or(0, |last| last + 1);
    let mut quoted = "\"$(printf '".to_owned();
    for &byte in &word[..end] {
        // Writing to a string does not fail.
        let _ = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b' ' | b'_' | b'.' | b'/' | b':' | b';' => {
                quoted.write_char(char::from(byte))
            }
            byte => write!(quoted, "\\{byte:03o}"),
        };
    }
    quoted.push_str("')\"");
    if end < word.len() {
        let _ = write!(quoted, "'{}'", "\n".repeat(word.len() - end));
    }
    quoted
}

/// Escapes what is written, but for the ends of lines and tabs, which the program's own texts are
/// made of.
///
/// A value that may have such characters itself goes through [`text`] or [`bytes`] first.
#[expect(missing_debug_implementations, reason = "the output need not have one")]
pub struct EscapingWriter<'o> {
    out: &'o mut dyn Write,
    applies: fn() -> bool,
}

impl<'o> EscapingWriter<'o> {
    /// Always.
    pub fn new(out: &'o mut dyn Write) -> Self {
        Self::when(|| true, out)
    }

    /// Only if `applies`, such as where a person reads it; asked when there is something to escape.
    pub fn when(applies: fn() -> bool, out: &'o mut dyn Write) -> Self {
        EscapingWriter { out, applies }
    }
}

impl Write for EscapingWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Most of what is written, such as the 57 MB of a large director's `metrics`, needs no more
        // than this. Without a branch for each byte, many are compared at once.
        let is_plain = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n' | b'\t');
        if bytes.chunks(64).all(|some| some.iter().fold(true, |are_plain, byte| are_plain & is_plain(byte))) {
            return self.out.write(bytes);
        }
        let passes = |char| matches!(char, '\n' | '\t');
        let is_safe = |text: &str| text.chars().all(|char| passes(char) || !is_unsafe(char));
        if std::str::from_utf8(bytes).is_ok_and(is_safe) || !(self.applies)() {
            return self.out.write(bytes);
        }
        let mut shown = String::new();
        escape(bytes, passes, &mut shown);
        self.out.write_all(shown.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// A title for the terminal, C1, DEL, bidi, zero-width, a tag, and what is not UTF-8.
    const NASTY: &[u8] = b"a\x1b]0;X\x07\n\t\r\x7f\xc2\x9b\xe2\x80\xae\xe2\x80\x8b\xf3\xa0\x81\x81\xff\\'";

    #[test]
    fn unsafe_characters_are_shown_as_escapes() {
        let shown = r"a\x1b]0;X\x07\n\t\r\x7f\u{9b}\u{202e}\u{200b}\u{e0041}\xff\'";
        assert_eq!(bytes(NASTY).to_string(), shown);
        for plain in ["", "eth0", "Straße 例え", "a b"] {
            assert_eq!(text(plain).to_string(), plain);
        }
        assert_eq!(format!("{:6}|", text("\x1b")), r"\x1b  |");
    }

    #[test]
    fn a_writer_keeps_lines_and_tabs() {
        let mut out = Vec::new();
        EscapingWriter::new(&mut out).write_all(b"one\n\ttwo \x1b[2J\xff\n").unwrap();
        assert_eq!(out, b"one\n\ttwo \\x1b[2J\\xff\n");
        let mut out = Vec::new();
        EscapingWriter::when(|| false, &mut out).write_all(NASTY).unwrap();
        assert_eq!(out, NASTY);
    }

    /// What a shell makes of the word.
    fn read_by_a_shell(word: &[u8]) -> Vec<u8> {
        let script = format!("printf %s {}", shell_quote(word));
        Command::new("sh").args(["-c", &script]).output().unwrap().stdout
    }

    #[test]
    fn a_shell_reads_the_word_that_was_quoted() {
        let words: [&[u8]; 12] = [
            b"x;reboot",
            b"$(reboot)",
            b"`id`",
            b"it's",
            b"",
            b"a b",
            b"-n",
            b"~",
            b"a\nb\n\n",
            b"\n",
            b"\x1b-%s\\n",
            NASTY,
        ];
        for word in words {
            assert_eq!(read_by_a_shell(word), word, "{}", shell_quote(word));
        }
        assert_eq!(shell_quote("eth0.5"), "eth0.5");
        assert_eq!(shell_quote("x;reboot"), "'x;reboot'");
        assert_eq!(shell_quote("\x1b;x"), r#""$(printf '\033;x')""#);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_bytes_are_shown_and_quoted_safely(word in prop::collection::vec(1..=u8::MAX, 0..24)) {
            prop_assert!(!bytes(&word).to_string().chars().any(is_unsafe));
            prop_assert!(!shell_quote(&word).trim_end_matches(['\n', '\'']).chars().any(is_unsafe));
            prop_assert_eq!(read_by_a_shell(&word), &word[..]);
            prop_assert_eq!(path(Path::new(OsStr::from_bytes(&word))).to_string(), bytes(&word).to_string());
        }
    }
}
