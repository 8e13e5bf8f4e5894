//! What `-R` is fed with: command lines as people write them into files, and what is no command at
//! all.

use crate::generate::{self, Place, line, soup};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Lines of commands, comments and blanks.
pub(crate) fn of_lines() -> impl Strategy<Value = Vec<u8>> {
    script(one_line(true), select(TAILS))
}

/// Commands that fill a table.
pub(crate) fn filling() -> impl Strategy<Value = Vec<u8>> {
    generate::filling()
        .prop_map(|lines| lines.into_iter().flat_map(|words| [&words.join(&b' ')[..], b"\n"].concat()).collect())
}

/// As [`of_lines`], but without the byte 0, for which the original's script `ipvsadm-restore` drops
/// all of its input.
pub(crate) fn without_nul() -> impl Strategy<Value = Vec<u8>> {
    script(one_line(false), select(TAILS))
}

/// Bytes of all values, perhaps behind a command.
pub(crate) fn of_bytes() -> impl Strategy<Value = Vec<u8>> {
    (select(&["", "-A -t 192.0.2.1:80\n", "-A -t 192.0.2.1:80\n-Z\n"][..]), vec(any::<u8>(), 0..2_000))
        .prop_map(|(before, bytes)| [before.as_bytes(), &bytes].concat())
}

fn script(
    line: impl Strategy<Value = Vec<u8>>,
    tail: impl Strategy<Value = &'static [u8]>,
) -> impl Strategy<Value = Vec<u8>> {
    (vec((line, select(ENDS)), 0..8), tail).prop_map(|(lines, tail)| {
        let mut text: Vec<u8> = lines.into_iter().flat_map(|(line, end)| [line, end.to_vec()].concat()).collect();
        if tail.first() == Some(&b'\\') {
            // The last line loses its end.
            text.truncate(text.trim_ascii_end().len());
            text.extend_from_slice(&tail[1..]);
        }
        text
    })
}

/// How lines end.
const ENDS: &[&[u8]] = &[b"\n", b"\n", b"\n", b"\n", b"\n", b"\r\n", b" \n", b"\t\r\n", b"\n\n", b"\n \t\n"];

/// How the last one ends, if not as the others: behind the backslash.
const TAILS: &[&[u8]] = &[b"", b"", b"", b"", b"", b"\\", b"\\", b"\\ ", b"\\\t ", b"\\\r", b"\\\r\r"];

fn one_line(nul: bool) -> impl Strategy<Value = Vec<u8>> {
    let blank = select(&[" ", " ", " ", " ", "  ", "\t", " \t ", "\r"][..]);
    let before = select(&["", "", "", "", "", "", " ", "\t", "ipvsadm ", " ipvsadm  ", "ipvsadm ipvsadm "][..]);
    let words = prop_oneof![
        40 => line(Place::Script).boxed(),
        3 => soup().boxed(),
        1 => select(ODD_LINES).prop_map(|line| vec![line.to_vec()]).boxed(),
        1 => select(if nul { &b"\0\x0b\x0c"[..] } else { b"\x0b\x0c\x01" }).prop_map(|byte| {
            vec![b"-A".to_vec(), b"-t".to_vec(), [&b"192.0.2.1:80"[..], &[byte, b'x']].concat()]
        }).boxed(),
        1 => (4090..4100usize, select(&["x", "-n", "ipvsadm", " "][..])).prop_map(|(length, piece)| {
            vec![b"-D".to_vec(), b"-t".to_vec(), piece.repeat(length).into_bytes()]
        }).boxed(),
    ];
    (before, blank, words)
        .prop_map(|(before, blank, words)| [before.as_bytes(), &words.join(blank.as_bytes())].concat())
}

/// Lines that are no commands.
const ODD_LINES: &[&[u8]] =
    &[b"# a comment", b"#", b"ipvsadm", b"", b"-R", b"-C # all", b"IPVSADM -C", b"-C;", b"\xff"];
