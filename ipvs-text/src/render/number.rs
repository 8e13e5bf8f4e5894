//! Columns of numbers.

use std::ops::Range;

pub use ipvs::rule::parts::decimal;

/// Appends what `write` does, and spaces up to the width. Wider text pushes the rest to the right.
#[inline]
pub fn left(line: &mut Vec<u8>, width: usize, write: impl FnOnce(&mut Vec<u8>)) {
    let end = line.len() + width;
    write(line);
    if line.len() < end {
        spaces(line, end - line.len());
    }
}

/// Appends spaces, as few as columns need.
#[inline]
fn spaces(line: &mut Vec<u8>, count: usize) {
    let end = line.len() + count;
    while line.len() < end {
        line.extend_from_slice(&[b' '; 32]);
    }
    line.truncate(end);
}

/// The spaces on each side of a number, and the most that a column has.
const SIDE: usize = 32;

/// A number between spaces; it starts at the place given beside it, and ends at [`SIDE`].
#[inline]
fn among_spaces(mut number: u64) -> ([u8; 2 * SIDE], usize) {
    let mut text = [b' '; 2 * SIDE];
    let mut start = SIDE;
    loop {
        start -= 1;
        text[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return (text, start);
        }
    }
}

/// Appends a part of it: by a copy of a constant size, which needs no call.
#[inline]
fn cut(line: &mut Vec<u8>, text: &[u8; 2 * SIDE], part: Range<usize>) {
    let end = line.len() + part.len();
    line.extend_from_slice(&text[part.start..][..SIDE]);
    line.truncate(end);
}

/// Appends a space and a number in a column of this width.
#[inline(always)]
pub(super) fn left_number(line: &mut Vec<u8>, width: usize, number: u32) {
    let (text, start) = among_spaces(number.into());
    cut(line, &text, start - 1..SIDE.max(start + width));
}

/// Appends a number after the spaces that fill the width.
pub fn right_number(line: &mut Vec<u8>, width: usize, number: u64) {
    let (text, start) = among_spaces(number);
    cut(line, &text, start.min(SIDE - width)..SIDE);
}

/// Appends a counter in a column of nine. Unless exact, nine or more digits are cut to thousands,
/// millions and so on.
#[inline]
pub(super) fn counter(line: &mut Vec<u8>, exact: bool, number: u64) {
    /// More digits leave no space in the column.
    const LARGEST: u64 = 99_999_999;
    if number <= LARGEST {
        right_number(line, 9, number);
    } else if exact {
        line.push(b' ');
        decimal(line, number);
    } else {
        let (unit, letter) = unit(number);
        right_number(line, 8, number / unit);
        line.push(letter);
    }
}

fn unit(number: u64) -> (u64, u8) {
    match number {
        0..1_000_000_000 => (1_000, b'K'),
        1_000_000_000..100_000_000_000 => (1_000_000, b'M'),
        100_000_000_000..100_000_000_000_000 => (1_000_000_000, b'G'),
        _ => (1_000_000_000_000, b'T'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples::text;

    #[test]
    fn columns_are_filled_and_may_overflow() {
        assert_eq!(text(|line| left(line, 4, |line| line.extend(b"abc"))), "abc ");
        assert_eq!(text(|line| left(line, 4, |line| line.extend(b"abcde"))), "abcde");
        assert_eq!(text(|line| left(line, 40, |line| line.push(b'x'))), format!("{:40}", "x"));
        assert_eq!(text(|line| left_number(line, 6, 12)), " 12    ");
        assert_eq!(text(|line| right_number(line, 4, 12)), "  12");
        assert_eq!(text(|line| right_number(line, 4, 12_345)), "12345");
    }

    #[test]
    fn counters_are_cut_from_nine_digits_on() {
        for (number, expected) in [
            (0, "        0"),
            (99_999_999, " 99999999"),
            (100_000_000, "  100000K"),
            (130_056_000, "  130056K"),
            (999_999_999, "  999999K"),
            (1_000_000_000, "    1000M"),
            (1_040_448_000, "    1040M"),
            (99_999_999_999, "   99999M"),
            (100_000_000_000, "     100G"),
            (99_999_999_999_999, "   99999G"),
            (100_000_000_000_000, "     100T"),
            (u64::MAX, "18446744T"),
        ] {
            assert_eq!(text(|line| counter(line, false, number)), expected);
        }
    }

    #[test]
    fn exact_counters_keep_a_space_before_them() {
        for (number, expected) in [(5, "        5"), (99_999_999, " 99999999"), (1_040_448_000, " 1040448000")] {
            assert_eq!(text(|line| counter(line, true, number)), expected);
        }
    }
}
