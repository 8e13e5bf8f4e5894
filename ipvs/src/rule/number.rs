//! Numbers, without formatting machinery.

/// As many digits as the largest number has.
const DIGITS: usize = 20;

/// The decimal digits of 0 to 255, and how many they are: most numbers of a listing are parts of
/// addresses, or small.
static SMALL: [([u8; 3], u8); 256] = small();

const fn small() -> [([u8; 3], u8); 256] {
    let mut table = [([0; 3], 0); 256];
    let mut number = 0;
    while number < 256 {
        let digits = [b'0' + (number / 100) as u8, b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8];
        let [hundreds, tens, ones] = digits;
        table[number] = match number {
            0..10 => ([ones, 0, 0], 1),
            10..100 => ([tens, ones, 0], 2),
            _ => ([hundreds, tens, ones], 3),
        };
        number += 1;
    }
    table
}

/// Appends a number in decimal.
#[inline]
pub fn decimal(line: &mut Vec<u8>, number: impl Into<u64>) {
    let number = number.into();
    match u8::try_from(number) {
        Ok(small) => octet(line, small),
        Err(_) => line.extend_from_slice(fill(&mut [0; DIGITS], number)),
    }
}

/// Appends a number below 256.
#[inline]
pub(super) fn octet(line: &mut Vec<u8>, number: u8) {
    let (digits, len) = &SMALL[usize::from(number)];
    let end = line.len() + usize::from(*len);
    // A copy of a constant size needs no call.
    line.extend_from_slice(digits);
    line.truncate(end);
}

/// Writes the digits at the end of the buffer.
#[inline]
fn fill(digits: &mut [u8; DIGITS], mut number: u64) -> &[u8] {
    let mut start = DIGITS;
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[start..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_all_there() {
        for number in (0..=1000).chain([4_294_967_295, u64::MAX]) {
            assert_eq!(crate::rule::text(|line| decimal(line, number)), number.to_string());
        }
    }
}
