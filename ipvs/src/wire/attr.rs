//! Netlink attributes: the only place that knows how they look.
//!
//! A [`Writer`] appends them to a datagram; to read, they are borrowed from one. Neither allocates.
//!
//! By hand, because changing and reading tables is mostly this: netlink-packet-core's `Nla` asks
//! each attribute for its length six times, and its iterator words the errors of every step; either
//! takes two to three times the instructions.

use byteorder::{BigEndian, ByteOrder, NativeEndian};
use netlink_packet_core::{NLA_ALIGNTO, NLA_F_NESTED, NLA_HEADER_SIZE, NLA_TYPE_MASK};

use super::WireError;

/// Appends attributes to a datagram, one after the other.
pub(super) struct Writer<'b>(&'b mut Vec<u8>);

impl<'b> Writer<'b> {
    pub(super) fn new(datagram: &'b mut Vec<u8>) -> Self {
        Writer(datagram)
    }

    pub(super) fn u8(&mut self, kind: u16, value: u8) {
        self.few(kind, 1, [value, 0, 0, 0]);
    }

    pub(super) fn u16(&mut self, kind: u16, value: u16) {
        let [a, b] = value.to_ne_bytes();
        self.few(kind, 2, [a, b, 0, 0]);
    }

    /// In network byte order.
    pub(super) fn u16_be(&mut self, kind: u16, value: u16) {
        let [a, b] = value.to_be_bytes();
        self.few(kind, 2, [a, b, 0, 0]);
    }

    pub(super) fn u32(&mut self, kind: u16, value: u32) {
        self.few(kind, 4, value.to_ne_bytes());
    }

    pub(super) fn u64(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// Two words in one attribute: the flags of a service and the mask of those that count.
    pub(super) fn flags(&mut self, kind: u16, flags: u32, mask: u32) {
        self.header(kind, 8);
        self.0.extend_from_slice(&flags.to_ne_bytes());
        self.0.extend_from_slice(&mask.to_ne_bytes());
    }

    pub(super) fn v4(&mut self, kind: u16, bytes: [u8; 4]) {
        self.few(kind, 4, bytes);
    }

    pub(super) fn address(&mut self, kind: u16, bytes: [u8; 16]) {
        self.bytes(kind, &bytes);
    }

    /// A string, to which a NUL is added.
    pub(super) fn name(&mut self, kind: u16, name: &[u8]) {
        self.header(kind, name.len() + 1);
        self.0.extend_from_slice(name);
        // The NUL that ends it, and padding.
        self.0.resize((self.0.len() + 1).next_multiple_of(NLA_ALIGNTO), 0);
    }

    /// An attribute that holds those which `body` appends.
    pub(super) fn nest(&mut self, kind: u16, body: impl FnOnce(&mut Writer<'_>)) {
        let start = self.0.len();
        self.header(kind | NLA_F_NESTED, 0);
        body(self);
        let length = self.0.len() - start;
        NativeEndian::write_u16(&mut self.0[start..], length as u16);
    }

    fn header(&mut self, kind: u16, length: usize) {
        let [a, b] = ((NLA_HEADER_SIZE + length) as u16).to_ne_bytes();
        let [c, d] = kind.to_ne_bytes();
        self.0.extend_from_slice(&[a, b, c, d]);
    }

    /// A value of at most four bytes, padded.
    #[inline]
    fn few(&mut self, kind: u16, length: usize, [e, f, g, h]: [u8; 4]) {
        let [a, b] = ((NLA_HEADER_SIZE + length) as u16).to_ne_bytes();
        let [c, d] = kind.to_ne_bytes();
        self.0.extend_from_slice(&[a, b, c, d, e, f, g, h]);
    }

    /// A value that needs no padding.
    #[inline]
    pub(super) fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.header(kind, value.len());
        self.0.extend_from_slice(value);
    }
}

/// An attribute as read: the caller gives its name for errors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw<'a> {
    pub(super) kind: u16,
    bytes: &'a [u8],
}

/// The attributes in `bytes`, one after the other; the first malformed one ends them with an error.
pub(super) fn attrs(bytes: &[u8]) -> AttrIter<'_> {
    AttrIter { rest: bytes }
}

pub(super) struct AttrIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for AttrIter<'a> {
    type Item = Result<Raw<'a>, WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.rest;
        if bytes.is_empty() {
            return None;
        }
        self.rest = &[];
        let Some((header, _)) = bytes.split_first_chunk::<NLA_HEADER_SIZE>() else {
            return Some(Err(WireError::Attribute));
        };
        let length = usize::from(NativeEndian::read_u16(header));
        let Some(value) = bytes.get(NLA_HEADER_SIZE..length) else {
            return Some(Err(WireError::Attribute));
        };
        // The last one may lack its padding.
        self.rest = bytes.get(length.next_multiple_of(NLA_ALIGNTO)..).unwrap_or_default();
        Some(Ok(Raw { kind: NativeEndian::read_u16(&header[2..]) & NLA_TYPE_MASK, bytes: value }))
    }
}

impl<'a> Raw<'a> {
    /// A nest, or anything whose length is judged by its reader.
    pub(super) fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// At least `len` bytes: like the kernel we take a longer value, and read what we know of it.
    #[inline]
    fn at_least(self, len: usize, name: &'static str) -> Result<&'a [u8], WireError> {
        if self.bytes.len() < len {
            return Err(WireError::Short { attribute: name, length: self.bytes.len() });
        }
        Ok(self.bytes)
    }

    pub(super) fn u8(self, name: &'static str) -> Result<u8, WireError> {
        Ok(self.at_least(1, name)?[0])
    }

    #[inline]
    pub(super) fn u16(self, name: &'static str) -> Result<u16, WireError> {
        self.at_least(2, name).map(NativeEndian::read_u16)
    }

    #[inline]
    pub(super) fn u16_be(self, name: &'static str) -> Result<u16, WireError> {
        self.at_least(2, name).map(BigEndian::read_u16)
    }

    #[inline]
    pub(super) fn u32(self, name: &'static str) -> Result<u32, WireError> {
        self.at_least(4, name).map(NativeEndian::read_u32)
    }

    /// A counter of 64 bits, or of 32 where an old kernel has no more.
    pub(super) fn counter(self, name: &'static str) -> Result<u64, WireError> {
        match self.bytes.len() {
            0..4 => Err(WireError::Short { attribute: name, length: self.bytes.len() }),
            4..8 => Ok(NativeEndian::read_u32(self.bytes).into()),
            _ => Ok(NativeEndian::read_u64(self.bytes)),
        }
    }

    pub(super) fn v4(self, name: &'static str) -> Result<[u8; 4], WireError> {
        let bytes = self.at_least(4, name)?;
        Ok([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    /// An address of either family, filled up with zeros as the kernel does.
    pub(super) fn address(self) -> [u8; 16] {
        let mut address = [0; 16];
        let len = self.bytes.len().min(16);
        address[..len].copy_from_slice(&self.bytes[..len]);
        address
    }

    /// A string without the NUL that ends it.
    pub(super) fn name(self) -> &'a [u8] {
        let end = self.bytes.iter().position(|byte| *byte == 0).unwrap_or(self.bytes.len());
        &self.bytes[..end]
    }
}

/// The four bytes of an error code, which is no attribute but stands where attributes stand.
pub(super) fn error_code(payload: &[u8]) -> Option<i32> {
    (payload.len() >= 4).then(|| NativeEndian::read_i32(payload))
}

/// Writes an error code; for the in-memory kernel.
pub(super) fn push_error_code(out: &mut Vec<u8>, code: i32) {
    let mut bytes = [0; 4];
    NativeEndian::write_i32(&mut bytes, code);
    out.extend_from_slice(&bytes);
}
