//! The words of one command line, whether they came as arguments or on a line of `-R`.

use std::ops::Range;

/// Words as byte strings, kept in one buffer that the next line uses again.
#[derive(Clone, Debug, Default)]
pub struct Words {
    text: Vec<u8>,
    /// Where each word begins and ends in `text`.
    spans: Vec<(usize, usize)>,
    /// Is there a `!` in them?
    bangs: bool,
}

/// A longer word of a line is taken for several.
const LONGEST: usize = 4096;

/// No word of a line.
const OWN_NAME: &[u8] = b"ipvsadm";

impl Words {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The word at this place, counted from 0.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let &(start, end) = self.spans.get(index)?;
        self.text.get(start..end)
    }

    /// Replaces the words by those of a line as `-R` reads it: no quotes, no comments, no
    /// continuation.
    ///
    /// The word `ipvsadm` is dropped wherever it stands, so that lines copied from scripts work.
    pub fn split_line(&mut self, line: &[u8]) {
        self.spans.clear();
        self.text.clear();
        self.text.extend_from_slice(line);
        self.bangs = false;
        let (mut start, mut has_nul) = (0, false);
        for at in low_bytes(line) {
            match line[at] {
                b' ' | b'\t' | b'\r' | b'\n' => {
                    push(&mut self.spans, line, start..at, has_nul);
                    (start, has_nul) = (at + 1, false);
                }
                b'!' => self.bangs = true,
                0 => has_nul = true,
                _ => {}
            }
        }
        push(&mut self.spans, line, start..line.len(), has_nul);
    }

    /// May a word hold a text that starts with `!`?
    pub(super) fn has_bangs(&self) -> bool {
        self.bangs
    }
}

/// Adds a word of the line; nothing, if it is empty.
#[inline]
fn push(spans: &mut Vec<(usize, usize)>, line: &[u8], word: Range<usize>, has_nul: bool) {
    if has_nul || word.len() > LONGEST {
        push_pieces(spans, line, word, has_nul);
    } else if !word.is_empty() && &line[word.clone()] != OWN_NAME {
        spans.push((word.start, word.end));
    }
}

/// Adds a word that is long, in pieces, or has a NUL in it.
#[cold]
fn push_pieces(spans: &mut Vec<(usize, usize)>, line: &[u8], word: Range<usize>, has_nul: bool) {
    for start in word.clone().step_by(LONGEST) {
        let mut piece = &line[start..word.end.min(start + LONGEST)];
        if has_nul {
            piece = c_string(piece);
        }
        if piece != OWN_NAME {
            spans.push((start, start + piece.len()));
        }
    }
}

/// The places of the bytes up to `!`, among which are all that matter; eight bytes at a time, as
/// few are.
fn low_bytes(line: &[u8]) -> impl Iterator<Item = usize> {
    let mut chunks = line.chunks(8);
    let (mut next, mut base, mut found) = (0, 0, 0u64);
    std::iter::from_fn(move || {
        while found == 0 {
            found = low_bytes_of(chunks.next()?);
            (base, next) = (next, next + 8);
        }
        let at = base + found.trailing_zeros() as usize / 8;
        found &= found - 1;
        Some(at)
    })
}

/// The highest bit of each byte that is at most `!`, of eight bytes or what is left of them; the
/// first is the lowest.
#[inline]
fn low_bytes_of(chunk: &[u8]) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGHEST: u64 = EACH << 7;
    let bytes = match chunk.first_chunk() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => chunk.iter().rev().fold(u64::MAX, |bytes, byte| bytes << 8 | u64::from(*byte)),
    };
    // No byte borrows from the next, as each has its highest bit set.
    let above = (bytes | HIGHEST) - EACH * (b'!' as u64 + 1);
    !(above | bytes) & HIGHEST
}

/// A NUL ends the text of a C program's word.
fn c_string(word: &[u8]) -> &[u8] {
    let len = word.iter().position(|&byte| byte == 0).unwrap_or(word.len());
    &word[..len]
}

impl<W: AsRef<[u8]>> FromIterator<W> for Words {
    fn from_iter<I: IntoIterator<Item = W>>(words: I) -> Self {
        let mut all = Words::default();
        for word in words {
            let start = all.text.len();
            all.text.extend_from_slice(word.as_ref());
            all.bangs |= word.as_ref().contains(&b'!');
            all.spans.push((start, all.text.len()));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: impl AsRef<[u8]>) -> Vec<Vec<u8>> {
        let mut words = Words::from_iter(["left over"]);
        words.split_line(line.as_ref());
        (0..words.len()).map(|at| words.get(at).unwrap().to_vec()).collect()
    }

    #[test]
    fn spaces_tabs_and_carriage_returns_separate_words() {
        assert_eq!(split(" -A\t-t  x\r"), [b"-A", b"-t", &b"x"[..]]);
        assert_eq!(split("a\rb"), [b"a", b"b"]);
        assert_eq!(split("a\x0bb\x0cc"), [b"a\x0bb\x0cc"]);
        assert!(split(" \t ").is_empty());
        assert!(split("").is_empty());
    }

    #[test]
    fn quotes_and_comment_signs_are_plain_text() {
        assert_eq!(split("'a b' # \\"), [&b"'a"[..], b"b'", b"#", b"\\"]);
    }

    #[test]
    fn the_programs_name_is_dropped_anywhere() {
        assert_eq!(split("ipvsadm -A ipvsadm -t ipvsadm"), [b"-A", b"-t"]);
        assert_eq!(split("/sbin/ipvsadm ipvsadm2"), [&b"/sbin/ipvsadm"[..], b"ipvsadm2"]);
    }

    #[test]
    fn a_nul_ends_a_words_text() {
        assert_eq!(split("a\0b c"), [b"a", b"c"]);
        assert_eq!(split("\0b c"), [&b""[..], b"c"]);
    }

    #[test]
    fn low_bytes_are_found_wherever_they_are() {
        for byte in 0..=255u8 {
            for len in 1..20 {
                for at in 0..len {
                    let mut line = vec![b'~'; len];
                    line[at] = byte;
                    let expected = if byte <= b'!' { vec![at] } else { vec![] };
                    assert_eq!(low_bytes(&line).collect::<Vec<_>>(), expected, "{byte} at {at} of {len}");
                }
            }
        }
        assert_eq!(low_bytes(&[0; 17]).collect::<Vec<_>>(), (0..17).collect::<Vec<_>>());
    }

    #[test]
    fn long_words_are_split() {
        let pieces = split(vec![b'x'; 2 * LONGEST + 1]);
        assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>(), [LONGEST, LONGEST, 1]);
    }
}
