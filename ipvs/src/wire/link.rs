//! Network interfaces, as far as a monitor needs them: rtnetlink's messages to make, list and
//! remove nlmon devices.

use byteorder::{ByteOrder, NativeEndian};
use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST};

use super::attr::{Writer, attrs};
use super::message::control;

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const NAME: u16 = 3;
const INFO: u16 = 18;
const KIND: u16 = 1;
/// `IFF_UP`.
const UP: u32 = 1;
/// Of `struct ifinfomsg`.
const HEADER: usize = 16;

/// The kind of a device that shows netlink's datagrams.
pub(crate) const NLMON: &[u8] = b"nlmon";

fn header(index: u32, flags: u32) -> Vec<u8> {
    let mut header = vec![0; HEADER];
    NativeEndian::write_u32(&mut header[4..], index);
    NativeEndian::write_u32(&mut header[8..], flags);
    NativeEndian::write_u32(&mut header[12..], flags);
    header
}

/// Appends the request for a new nlmon device of this name, that is up.
pub(crate) fn encode_new_nlmon(out: &mut Vec<u8>, sequence: u32, name: &[u8]) {
    let mut payload = header(0, UP);
    let mut writer = Writer::new(&mut payload);
    writer.name(NAME, name);
    writer.nest(INFO, |writer| writer.name(KIND, NLMON));
    control(out, NEW_LINK, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, sequence, &payload);
}

/// Appends the request to remove an interface.
pub(crate) fn encode_delete_link(out: &mut Vec<u8>, sequence: u32, index: u32) {
    control(out, DELETE_LINK, NLM_F_REQUEST | NLM_F_ACK, sequence, &header(index, 0));
}

/// Appends the request for all interfaces.
pub(crate) fn encode_links(out: &mut Vec<u8>, sequence: u32) {
    control(out, GET_LINK, NLM_F_REQUEST | NLM_F_DUMP, sequence, &header(0, 0));
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) is_up: bool,
    pub(crate) name: Vec<u8>,
    pub(crate) kind: Vec<u8>,
}

/// An interface, from what follows the first four bytes of a message of rtnetlink.
pub(crate) fn decode_link(bytes: &[u8]) -> Option<Link> {
    let (header, rest) = bytes.split_at_checked(HEADER - 4)?;
    let mut link = Link {
        index: NativeEndian::read_u32(header),
        is_up: NativeEndian::read_u32(&header[4..]) & UP != 0,
        ..Link::default()
    };
    for attr in attrs(rest).flatten() {
        match attr.kind {
            NAME => link.name = attr.name().to_vec(),
            INFO => {
                let kind = attrs(attr.bytes()).flatten().find(|attr| attr.kind == KIND);
                link.kind = kind.map(|kind| kind.name().to_vec()).unwrap_or_default();
            }
            _ => {}
        }
    }
    Some(link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Body, messages};

    #[test]
    fn a_device_is_read_as_it_was_asked_for() {
        let mut request = Vec::new();
        encode_new_nlmon(&mut request, 1, b"ipvsmon4711");
        let (_, Body::Family { attrs, .. }) = messages(&request).next().unwrap().unwrap() else { panic!() };
        let expected = Link { index: 0, is_up: true, name: b"ipvsmon4711".to_vec(), kind: NLMON.to_vec() };
        assert_eq!(decode_link(attrs), Some(expected));
        assert_eq!(decode_link(&attrs[..11]), None);
    }
}
