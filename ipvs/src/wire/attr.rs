//! Netlink attributes: the only place that knows how they look.
//!
//! To write, a message is a list of [`Attr`]s on the stack; to read, it is borrowed from the datagram. Neither allocates.
//!
//! By hand, because changing and reading tables is mostly this: netlink-packet-core's `Nla` asks each attribute for its
//! length six times, and its iterator words the errors of every step; either takes two to three times the instructions.

use byteorder::{BigEndian, ByteOrder, NativeEndian};
use netlink_packet_core::{NLA_ALIGNTO, NLA_F_NESTED, NLA_HEADER_SIZE, NLA_TYPE_MASK};

use super::WireError;

/// The attributes of one nest; the longest, a service with its statistics, has thirteen.
pub(crate) type Attrs<'a> = arrayvec::ArrayVec<Attr<'a>, 16>;

/// An attribute to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attr<'a> {
    kind: u16,
    value: Value<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Value<'a> {
    U8(u8),
    U16(u16),
    U16Be(u16),
    U32(u32),
    U64(u64),
    /// Two words in one attribute: the flags of a service and the mask of those that count.
    Flags(u32, u32),
    V4([u8; 4]),
    Address([u8; 16]),
    /// A string, to which a NUL is added.
    Name(&'a [u8]),
    Nest(&'a [Attr<'a>]),
}

impl<'a> Attr<'a> {
    pub(super) fn u8(kind: u16, value: u8) -> Self {
        Attr { kind, value: Value::U8(value) }
    }

    pub(super) fn u16(kind: u16, value: u16) -> Self {
        Attr { kind, value: Value::U16(value) }
    }

    /// In network byte order.
    pub(super) fn u16_be(kind: u16, value: u16) -> Self {
        Attr { kind, value: Value::U16Be(value) }
    }

    pub(super) fn u32(kind: u16, value: u32) -> Self {
        Attr { kind, value: Value::U32(value) }
    }

    pub(super) fn u64(kind: u16, value: u64) -> Self {
        Attr { kind, value: Value::U64(value) }
    }

    pub(super) fn flags(kind: u16, flags: u32, mask: u32) -> Self {
        Attr { kind, value: Value::Flags(flags, mask) }
    }

    pub(super) fn v4(kind: u16, bytes: [u8; 4]) -> Self {
        Attr { kind, value: Value::V4(bytes) }
    }

    pub(super) fn address(kind: u16, bytes: [u8; 16]) -> Self {
        Attr { kind, value: Value::Address(bytes) }
    }

    pub(super) fn name(kind: u16, name: &'a [u8]) -> Self {
        Attr { kind, value: Value::Name(name) }
    }

    pub(super) fn nest(kind: u16, attrs: &'a [Attr<'a>]) -> Self {
        Attr { kind: kind | NLA_F_NESTED, value: Value::Nest(attrs) }
    }
}

/// Appends attributes, one after the other.
pub(super) fn append_all(out: &mut Vec<u8>, attrs: &[Attr<'_>]) {
    for attr in attrs {
        attr.append(out);
    }
}

impl Attr<'_> {
    fn append(&self, out: &mut Vec<u8>) {
        match self.value {
            Value::U8(number) => self.append_few(out, 1, [number, 0, 0, 0]),
            Value::U16(number) => self.append_few(out, 2, halves(number.to_ne_bytes())),
            Value::U16Be(number) => self.append_few(out, 2, halves(number.to_be_bytes())),
            Value::U32(number) => self.append_few(out, 4, number.to_ne_bytes()),
            Value::V4(bytes) => self.append_few(out, 4, bytes),
            Value::U64(number) => self.append_bytes(out, &number.to_ne_bytes()),
            Value::Flags(flags, mask) => {
                self.append_header(out, 8);
                out.extend_from_slice(&flags.to_ne_bytes());
                out.extend_from_slice(&mask.to_ne_bytes());
            }
            Value::Address(bytes) => self.append_bytes(out, &bytes),
            Value::Name(name) => {
                self.append_header(out, name.len() + 1);
                out.extend_from_slice(name);
                // The NUL that ends it, and padding.
                out.resize((out.len() + 1).next_multiple_of(NLA_ALIGNTO), 0);
            }
            Value::Nest(attrs) => {
                let start = out.len();
                self.append_header(out, 0);
                append_all(out, attrs);
                let length = out.len() - start;
                NativeEndian::write_u16(&mut out[start..], length as u16);
            }
        }
    }

    fn append_header(&self, out: &mut Vec<u8>, length: usize) {
        let [a, b] = ((NLA_HEADER_SIZE + length) as u16).to_ne_bytes();
        let [c, d] = self.kind.to_ne_bytes();
        out.extend_from_slice(&[a, b, c, d]);
    }

    /// A value of at most four bytes, padded.
    #[inline]
    fn append_few(&self, out: &mut Vec<u8>, length: usize, [e, f, g, h]: [u8; 4]) {
        let [a, b] = ((NLA_HEADER_SIZE + length) as u16).to_ne_bytes();
        let [c, d] = self.kind.to_ne_bytes();
        out.extend_from_slice(&[a, b, c, d, e, f, g, h]);
    }

    /// A value that needs no padding.
    #[inline]
    fn append_bytes(&self, out: &mut Vec<u8>, value: &[u8]) {
        self.append_header(out, value.len());
        out.extend_from_slice(value);
    }
}

fn halves([first, second]: [u8; 2]) -> [u8; 4] {
    [first, second, 0, 0]
}

/// An attribute as read: its name for errors is given by whoever knows it.
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
    fn at_least(self, len: usize, name: &'static str) -> Result<&'a [u8], WireError> {
        if self.bytes.len() < len {
            return Err(WireError::Short { attribute: name, length: self.bytes.len() });
        }
        Ok(self.bytes)
    }

    pub(super) fn u8(self, name: &'static str) -> Result<u8, WireError> {
        Ok(self.at_least(1, name)?[0])
    }

    pub(super) fn u16(self, name: &'static str) -> Result<u16, WireError> {
        self.at_least(2, name).map(NativeEndian::read_u16)
    }

    pub(super) fn u16_be(self, name: &'static str) -> Result<u16, WireError> {
        self.at_least(2, name).map(BigEndian::read_u16)
    }

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

    /// Flags and their mask; as in the kernel, a missing mask is 0.
    pub(super) fn flags(self, name: &'static str) -> Result<(u32, u32), WireError> {
        let bytes = self.at_least(4, name)?;
        let mask = if bytes.len() < 8 { 0 } else { NativeEndian::read_u32(&bytes[4..]) };
        Ok((NativeEndian::read_u32(bytes), mask))
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
