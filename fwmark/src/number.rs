//! Numbers as iptables reads them.

/// Decimal, hexadecimal after `0x`, octal after `0`; no sign, no spaces.
pub(crate) fn unsigned(text: &str) -> Option<u32> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        [b'0', _, ..] => (&text[1..], 8),
        _ => (text, 10),
    };
    // from_str_radix takes a sign too.
    let bare = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    bare.then(|| u32::from_str_radix(digits, radix).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::unsigned;

    #[test]
    fn the_prefix_says_the_base() {
        assert_eq!(unsigned("0"), Some(0));
        assert_eq!(unsigned("10"), Some(10));
        assert_eq!(unsigned("0x10"), Some(16));
        assert_eq!(unsigned("0XfF"), Some(255));
        assert_eq!(unsigned("010"), Some(8));
        assert_eq!(unsigned("4294967295"), Some(u32::MAX));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "0x", "-1", "+1", "0x+1", " 1", "1 ", "08", "1e3", "4294967296", "0x100000000", "１"] {
            assert_eq!(unsigned(text), None, "{text:?}");
        }
    }
}
