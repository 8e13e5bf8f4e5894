//! Messages of nf_tables: a netlink header, four bytes of netfilter's, attributes.

use netlink_packet_core::{
    Emitable, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader,
};

use super::attr::Attrs;
use super::uapi::batch;

pub(super) const INET: u8 = 1;
pub(super) const IPV4: u8 = 2;
pub(super) const IPV6: u8 = 10;
pub(super) const ANY_FAMILY: u8 = 0;

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NETLINK_HEADER: usize = 16;
const NETFILTER_HEADER: usize = 4;

/// The type of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    NewTable = 0,
    GetTable = 1,
    DelTable = 2,
    NewChain = 3,
    GetChain = 4,
    NewRule = 6,
    GetRule = 7,
    NewSet = 9,
    GetSet = 10,
    NewElements = 12,
    GetElements = 13,
    GetGeneration = 16,
}

impl Kind {
    pub(super) const fn number(self) -> u16 {
        SUBSYSTEM << 8 | self as u16
    }
}

/// Messages that are sent in one datagram.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) bytes: Vec<u8>,
    /// The sequence number of the next message.
    sequence: u32,
}

impl Datagram {
    pub(super) fn new(sequence: u32) -> Self {
        Datagram { bytes: Vec::new(), sequence }
    }

    /// A request for one object, or a dump of all that match the attributes.
    pub(super) fn get(&mut self, kind: Kind, family: u8, is_dump: bool, attrs: &Attrs) {
        let flags = if is_dump { NLM_F_REQUEST | NLM_F_DUMP } else { NLM_F_REQUEST };
        self.push(kind.number(), flags, family, 0, attrs);
    }

    /// Starts a transaction, which the kernel refuses if the rules are of another generation.
    pub(super) fn begin(&mut self, generation: u32) {
        let attrs = Attrs::new().number(batch::GENERATION, generation);
        self.push(BATCH_BEGIN, NLM_F_REQUEST, ANY_FAMILY, SUBSYSTEM, &attrs);
    }

    /// A change of a transaction. Returns the sequence number of its reply.
    pub(super) fn change(&mut self, kind: Kind, family: u8, attrs: &Attrs) -> u32 {
        let flags = match kind {
            Kind::NewRule => NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_APPEND,
            Kind::DelTable => NLM_F_REQUEST | NLM_F_ACK,
            _ => NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE,
        };
        self.push(kind.number(), flags, family, 0, attrs)
    }

    /// Ends a transaction: now the kernel commits it.
    pub(super) fn end(&mut self) {
        self.push(BATCH_END, NLM_F_REQUEST, ANY_FAMILY, SUBSYSTEM, &Attrs::new());
    }

    fn push(&mut self, kind: u16, flags: u16, family: u8, resource: u16, attrs: &Attrs) -> u32 {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.length = (NETLINK_HEADER + NETFILTER_HEADER + attrs.as_slice().len()) as u32;
        header.message_type = kind;
        header.flags = flags;
        header.sequence_number = sequence;
        let start = self.bytes.len();
        self.bytes.resize(start + NETLINK_HEADER, 0);
        header.emit(&mut self.bytes[start..]);
        self.bytes.extend([family, 0]);
        self.bytes.extend(resource.to_be_bytes());
        self.bytes.extend(attrs.as_slice());
        sequence
    }
}

/// A message from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reply<'a> {
    pub(super) sequence: u32,
    /// The objects changed during the dump.
    pub(super) interrupted: bool,
    pub(super) body: Body<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body<'a> {
    /// An object: its family and its attributes.
    Object { family: u8, attrs: &'a [u8] },
    /// An acknowledgement, 0, or a positive errno.
    Ack(i32),
    /// The end of a dump, with the same.
    Done(i32),
}

/// The messages of a datagram; `None` for a truncated one.
pub(super) fn replies(datagram: &[u8]) -> impl Iterator<Item = Option<Reply<'_>>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut rest);
        let Ok(message) = NetlinkBuffer::new_checked(&bytes) else { return Some(None) };
        let length = message.length() as usize;
        rest = &bytes[length.next_multiple_of(4).min(bytes.len())..];
        let body = body(message.message_type(), &bytes[NETLINK_HEADER..length]);
        let interrupted = message.flags() & netlink_packet_core::NLM_F_DUMP_INTR != 0;
        Some(body.map(|body| Reply { sequence: message.sequence_number(), interrupted, body }))
    })
}

fn body(kind: u16, payload: &[u8]) -> Option<Body<'_>> {
    const ERROR: u16 = 2;
    const DONE: u16 = 3;
    let code = || payload.first_chunk().map(|code| i32::from_ne_bytes(*code).wrapping_neg());
    match kind {
        ERROR => code().map(Body::Ack),
        DONE => Some(Body::Done(code().unwrap_or(0))),
        _ => Some(Body::Object { family: *payload.first()?, attrs: payload.get(NETFILTER_HEADER..)? }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_datagram_is_split_where_its_messages_end() {
        let mut datagram = Datagram::new(7);
        datagram.get(Kind::GetTable, INET, false, &Attrs::new().text(1, "a"));
        datagram.get(Kind::GetTable, INET, false, &Attrs::new());
        let read: Vec<_> = replies(&datagram.bytes).map(|reply| reply.unwrap().sequence).collect();
        assert_eq!(read, [7, 8]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(replies(&bytes).count() <= bytes.len());
        }
    }
}
