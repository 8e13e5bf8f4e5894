//! Network interfaces, as far as a monitor needs them: rtnetlink's messages to make, list and
//! remove nlmon devices, and to run a program on what goes through one.

use byteorder::{ByteOrder, NativeEndian};
use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST};

use super::attr::{Writer, attrs};
use super::message::control;

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const NEW_QDISC: u16 = 36;
const NEW_FILTER: u16 = 44;
const NAME: u16 = 3;
const INFO: u16 = 18;
const KIND: u16 = 1;
/// `TCA_OPTIONS`, and in those of a filter `TCA_BPF_OPS_LEN`, `TCA_BPF_OPS` and `TCA_BPF_FLAGS`.
const OPTIONS: u16 = 2;
const LENGTH: u16 = 4;
const PROGRAM: u16 = 5;
const FLAGS: u16 = 8;
/// `TCA_BPF_FLAG_ACT_DIRECT`: what the program returns is what becomes of the packet.
const DIRECT: u32 = 1;
/// `TC_H_CLSACT`, as a parent and as the major number of a handle, and its `TC_H_MIN_EGRESS`.
const CLSACT: u32 = 0xffff_fff1;
const CLSACT_HANDLE: u32 = 0xffff_0000;
const EGRESS: u32 = 0xffff_fff3;
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

/// A `struct tcmsg`.
fn traffic_header(index: u32, handle: u32, parent: u32, info: u32) -> Vec<u8> {
    let mut header = vec![0; 4];
    for field in [index, handle, parent, info] {
        header.extend(field.to_ne_bytes());
    }
    header
}

/// Appends the request for a place at which filters see what leaves the interface.
pub(crate) fn encode_new_clsact(out: &mut Vec<u8>, sequence: u32, index: u32) {
    let mut payload = traffic_header(index, CLSACT_HANDLE, CLSACT, 0);
    Writer::new(&mut payload).name(KIND, b"clsact");
    control(out, NEW_QDISC, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, sequence, &payload);
}

/// Appends the request to run a classic BPF program, given with its number of instructions, on
/// packets of this protocol that leave the interface.
pub(crate) fn encode_new_filter(
    out: &mut Vec<u8>,
    sequence: u32,
    index: u32,
    protocol: u16,
    (length, program): (u16, &[u8]),
) {
    let priority = 1 << 16;
    let mut payload = traffic_header(index, 0, EGRESS, priority | u32::from(protocol.to_be()));
    let mut writer = Writer::new(&mut payload);
    writer.name(KIND, b"bpf");
    writer.nest(OPTIONS, |writer| {
        writer.u16(LENGTH, length);
        writer.bytes(PROGRAM, program);
        writer.u32(FLAGS, DIRECT);
    });
    control(out, NEW_FILTER, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, sequence, &payload);
}

/// Appends the request to set an interface up.
pub(crate) fn encode_up(out: &mut Vec<u8>, sequence: u32, index: u32) {
    control(out, NEW_LINK, NLM_F_REQUEST | NLM_F_ACK, sequence, &header(index, UP));
}

/// Appends the request for a new nlmon device of this name, that is down.
pub(crate) fn encode_new_nlmon(out: &mut Vec<u8>, sequence: u32, name: &[u8]) {
    let mut payload = header(0, 0);
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
        let expected = Link { index: 0, is_up: false, name: b"ipvsmon4711".to_vec(), kind: NLMON.to_vec() };
        assert_eq!(decode_link(attrs), Some(expected));
        assert_eq!(decode_link(&attrs[..11]), None);
    }
}
