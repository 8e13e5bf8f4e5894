//! An input by lines, from one buffer.

use std::io::{self, Read};
use std::ops::Range;

/// Read size, except for long lines. Each page of the buffer costs as much as a system call.
const CHUNK: usize = 32 << 10;

/// Reads lines.
#[derive(Debug, Default)]
pub struct LineReader {
    buffer: Vec<u8>,
    /// The part of the buffer that was not returned yet.
    unread: Range<usize>,
    /// There is no newline before this place.
    searched: usize,
    ended: bool,
    /// Number of lines that were returned.
    number: u64,
}

/// The next line, if there is one.
#[derive(Debug, PartialEq, Eq)]
pub enum NextLine<'l> {
    /// A line, without its newline.
    Line(&'l [u8]),
    /// The last line, if it has no newline.
    Unterminated(&'l [u8]),
    /// [`LineReader::fill`] must read more.
    Empty,
    /// The end of the input.
    End,
}

impl LineReader {
    /// Has read nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next line of the buffer.
    #[inline]
    pub fn next_line(&mut self) -> NextLine<'_> {
        let Range { start, end } = self.unread;
        let newline = memchr::memchr(b'\n', &self.buffer[self.searched..end]);
        if let Some(at) = newline {
            let newline = self.searched + at;
            self.unread.start = newline + 1;
            self.searched = newline + 1;
            self.number += 1;
            return NextLine::Line(&self.buffer[start..newline]);
        }
        self.searched = end;
        if !self.ended {
            return NextLine::Empty;
        }
        self.unread.start = end;
        if start == end {
            return NextLine::End;
        }
        self.number += 1;
        NextLine::Unterminated(&self.buffer[start..end])
    }

    /// The number of the last line, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Reads more.
    ///
    /// # Errors
    /// Those of the input.
    pub fn fill(&mut self, input: &mut dyn Read) -> io::Result<()> {
        self.make_room();
        let end = self.unread.end;
        let count = input.read(&mut self.buffer[end..])?;
        self.unread.end += count;
        self.ended = count == 0;
        Ok(())
    }

    /// Reads to the end of the input.
    ///
    /// # Errors
    /// Those of the input.
    pub fn fill_to_end(&mut self, input: &mut dyn Read) -> io::Result<()> {
        while !self.ended {
            self.fill(input)?;
        }
        Ok(())
    }

    /// Moves the start of a line to the front, so that at least half a chunk is free after it.
    fn make_room(&mut self) {
        let Range { start, end } = self.unread;
        self.buffer.copy_within(start..end, 0);
        self.unread = 0..end - start;
        self.searched -= start;
        if self.buffer.len() < self.unread.end + CHUNK / 2 {
            // Doubling bounds how often a long line is copied.
            self.buffer.resize(2 * self.unread.end + CHUNK, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// Gives one piece a read.
    struct Pieces(VecDeque<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some(mut piece) = self.0.pop_front() else { return Ok(0) };
            let count = piece.len().min(buffer.len());
            buffer[..count].copy_from_slice(&piece[..count]);
            if count < piece.len() {
                self.0.push_front(piece.split_off(count));
            }
            Ok(count)
        }
    }

    fn read(pieces: &[&[u8]]) -> Vec<(Vec<u8>, bool)> {
        let mut input = Pieces(pieces.iter().map(|piece| piece.to_vec()).collect());
        let mut reader = LineReader::new();
        let mut lines = Vec::new();
        loop {
            match reader.next_line() {
                NextLine::Line(line) => lines.push((line.to_vec(), true)),
                NextLine::Unterminated(line) => lines.push((line.to_vec(), false)),
                NextLine::Empty => reader.fill(&mut input).unwrap(),
                NextLine::End => return lines,
            }
        }
    }

    #[test]
    fn lines_may_come_in_pieces() {
        let expected = vec![(b"ab".to_vec(), true), (b"".to_vec(), true), (b"cd".to_vec(), false)];
        assert_eq!(read(&[b"ab\n\ncd"]), expected);
        assert_eq!(read(&[b"a", b"b\n", b"\nc", b"d"]), expected);
        assert_eq!(read(&[b"ab\n"]), expected[..1]);
        assert_eq!(read(&[]), []);
    }

    #[test]
    fn all_may_be_read_before_the_first_line() {
        let mut input = Pieces([b"a", b"\n", b"b"].map(|piece: &[u8; 1]| piece.to_vec()).into());
        let mut reader = LineReader::new();
        reader.fill_to_end(&mut input).unwrap();
        assert_eq!(reader.next_line(), NextLine::Line(b"a"));
        assert_eq!(reader.next_line(), NextLine::Unterminated(b"b"));
        assert_eq!(reader.next_line(), NextLine::End);
    }

    #[test]
    fn lines_may_be_long() {
        let long = vec![b'x'; 1 << 20];
        let text = [b"a\n", &long[..], b"\nb\n"].concat();
        let lines = read(&[&text]);
        assert_eq!(lines.iter().map(|(line, _)| line.len()).collect::<Vec<_>>(), [1, 1 << 20, 1]);
    }
}
