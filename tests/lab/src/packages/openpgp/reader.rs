//! The framing of OpenPGP: numbers, packets, and their text form.

use base64::{Engine, engine::general_purpose::STANDARD};

/// What is left to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    /// A number of up to four bytes.
    pub(super) fn number(&mut self, length: usize) -> Option<usize> {
        let bytes = self.take(length)?;
        Some(bytes.iter().fold(0, |number, byte| (number << 8) | usize::from(*byte)))
    }

    /// An integer of any length, which begins with its number of bits.
    pub(super) fn integer(&mut self) -> Option<&'a [u8]> {
        let bits = self.number(2)?;
        self.take(bits.div_ceil(8))
    }

    /// A length in the form of packets and subpackets. Those of unknown length are not read.
    fn length(&mut self) -> Option<usize> {
        match self.byte()? {
            short @ 0..192 => Some(short.into()),
            first @ 192..224 => Some(((usize::from(first) - 192) << 8) + self.number(1)? + 192),
            255 => self.number(4),
            _ => None,
        }
    }

    /// The type of the next subpacket, with the bit that says that it must be understood, and its
    /// content.
    pub(super) fn subpacket(&mut self) -> Option<(u8, &'a [u8])> {
        let length = self.length()?;
        let (kind, content) = self.take(length)?.split_first()?;
        Some((*kind, content))
    }

    fn packet(&mut self) -> Option<(u8, &'a [u8])> {
        let head = self.byte()?;
        let (tag, length) = match head {
            0xc0.. => (head & 0x3f, self.length()?),
            // The older form has the size of the length in its last bits.
            0x80.. => {
                ((head >> 2) & 0xf, self.number(1_usize.checked_shl(u32::from(head & 3)).filter(|size| *size < 8)?)?)
            }
            _ => return None,
        };
        Some((tag, self.take(length)?))
    }
}

/// All packets, with their tags; none if one of them is broken.
pub(super) fn packets(data: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let (mut bytes, mut found) = (Bytes(data), Vec::new());
    while !bytes.0.is_empty() {
        found.push(bytes.packet()?);
    }
    Some(found)
}

/// The bytes of an armor's lines: headers, a blank line, base64, and a checksum, which says nothing
/// about who made it.
pub(super) fn dearmor(lines: &[&str]) -> Option<Vec<u8>> {
    let end = lines.iter().position(|line| line.trim().is_empty())?;
    if !lines[..end].iter().all(|line| line.contains(": ")) {
        return None;
    }
    let data: String =
        lines[end + 1..].iter().take_while(|line| !line.starts_with('=')).map(|line| line.trim()).collect();
    STANDARD.decode(data).ok()
}
