//! Netlink attributes as nf_tables has them: numbers in network byte order, lists as nests.
//!
//! By hand: docs/architecture.md says why no crate fits.

use netlink_packet_core::{NLA_ALIGNTO, NLA_F_NESTED, NLA_HEADER_SIZE, NlasIterator};

/// The number of each element of a list.
const LIST_ELEMENT: u16 = 1;

/// Attributes that are being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attrs(Vec<u8>);

impl Attrs {
    pub(super) fn new() -> Self {
        Attrs::default()
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// Any value, shorter than 64 KiB: the length has 16 bits.
    pub(super) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        let length = (NLA_HEADER_SIZE + value.len()) as u16;
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(NLA_ALIGNTO), 0);
        self
    }

    /// A string, to which a NUL is added.
    pub(super) fn text(self, kind: u16, text: &str) -> Self {
        self.bytes(kind, &[text.as_bytes(), &[0]].concat())
    }

    pub(super) fn number(self, kind: u16, number: u32) -> Self {
        self.bytes(kind, &number.to_be_bytes())
    }

    pub(super) fn nest(self, kind: u16, inner: Attrs) -> Self {
        self.bytes(kind | NLA_F_NESTED, &inner.0)
    }

    /// A nest of elements.
    pub(super) fn list(self, kind: u16, elements: impl IntoIterator<Item = Attrs>) -> Self {
        self.nest(kind, elements.into_iter().fold(Attrs::new(), |list, element| list.nest(LIST_ELEMENT, element)))
    }
}

/// The attributes in `bytes`, up to the first malformed one. Callers report an attribute that is
/// missing.
pub(super) fn attrs(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(bytes).map_while(Result::ok).map(|attr| {
        let (kind, length) = (attr.kind(), attr.length().into());
        (kind, &attr.into_inner()[NLA_HEADER_SIZE..length])
    })
}

/// The attribute of this number.
pub(super) fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attrs(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// The elements of a list.
pub(super) fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    attrs(list).filter(|(kind, _)| *kind == LIST_ELEMENT).map(|(_, element)| element)
}

/// A number of 32 bits.
pub(super) fn number(bytes: &[u8], kind: u16) -> Option<u32> {
    find(bytes, kind)?.first_chunk().map(|chunk| u32::from_be_bytes(*chunk))
}

/// A string without the NUL that ends it. Bytes that are not UTF-8 become U+FFFD.
pub(super) fn text(bytes: &[u8], kind: u16) -> Option<String> {
    let value = find(bytes, kind)?;
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    Some(String::from_utf8_lossy(&value[..end]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn written_attributes_are_read() {
        let list = [Attrs::new().number(7, 1), Attrs::new().number(7, 2)];
        let written = Attrs::new().text(1, "abc").number(2, 0x0102_0304).list(3, list);
        let bytes = written.as_slice();
        assert_eq!(text(bytes, 1).as_deref(), Some("abc"));
        assert_eq!(find(bytes, 2), Some(&[1, 2, 3, 4][..]));
        let numbers: Vec<_> = elements(find(bytes, 3).unwrap()).map(|element| number(element, 7)).collect();
        assert_eq!(numbers, [Some(1), Some(2)]);
        assert_eq!(find(bytes, 4), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            for (kind, value) in attrs(&bytes) {
                prop_assert!(value.len() <= bytes.len());
                let _ = (number(&bytes, kind), text(&bytes, kind), elements(value).count());
            }
        }
    }
}
