//! The words of one command line, whether they came as arguments or on a line of `-R`.

/// Words as byte strings, kept in one buffer that the next line uses again.
#[derive(Clone, Debug, Default)]
pub struct Words {
    text: Vec<u8>,
    /// Where each word begins and ends in `text`.
    spans: Vec<(usize, usize)>,
}

/// A longer word of a line is taken for several.
const LONGEST: usize = 4096;

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
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        self.spans.get(index).map(|&(start, end)| &self.text[start..end])
    }

    /// Replaces the words by those of a line as `-R` reads it: no quotes, no comments, no continuation.
    ///
    /// The word `ipvsadm` is dropped wherever it stands, so that lines copied from scripts work.
    pub fn split_line(&mut self, line: &[u8]) {
        self.spans.clear();
        self.text.clear();
        self.text.extend_from_slice(line);
        let (mut start, mut has_nul, mut at) = (0, false, 0);
        // Most bytes are above all that matter.
        while let Some(skipped) = line[at..].iter().position(|&byte| byte <= b' ') {
            at += skipped;
            match line[at] {
                b' ' | b'\t' | b'\r' | b'\n' => {
                    self.push(start, at, has_nul);
                    (start, has_nul) = (at + 1, false);
                }
                0 => has_nul = true,
                _ => {}
            }
            at += 1;
        }
        self.push(start, line.len(), has_nul);
    }

    /// Adds a word, in pieces if it is long; nothing, if it is empty.
    #[inline]
    fn push(&mut self, mut start: usize, end: usize, has_nul: bool) {
        while start < end {
            let piece = end.min(start + LONGEST);
            let mut word = &self.text[start..piece];
            if has_nul {
                word = c_string(word);
            }
            if word != b"ipvsadm" {
                self.spans.push((start, start + word.len()));
            }
            start = piece;
        }
    }
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
    fn blanks_tabs_and_carriage_returns_separate() {
        assert_eq!(split(" -A\t-t  x\r"), [b"-A", b"-t", &b"x"[..]]);
        assert_eq!(split("a\rb"), [b"a", b"b"]);
        assert_eq!(split("a\x0bb\x0cc"), [b"a\x0bb\x0cc"]);
        assert!(split(" \t ").is_empty());
        assert!(split("").is_empty());
    }

    #[test]
    fn nothing_quotes_or_comments() {
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
    fn long_words_are_split() {
        let pieces = split(vec![b'x'; 2 * LONGEST + 1]);
        assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>(), [LONGEST, LONGEST, 1]);
    }
}
