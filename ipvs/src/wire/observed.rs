//! Datagrams between other programs and the kernel, as a packet socket on an nlmon device gets
//! them.

use byteorder::{ByteOrder, NativeEndian};
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use netlink_packet_generic::constants::{CTRL_ATTR_FAMILY_NAME, CTRL_CMD_DELFAMILY, CTRL_CMD_NEWFAMILY, GENL_ID_CTRL};

use super::attr::{attrs, error_code};
use super::command::{Request, decode_request};
use super::message::{Body, NLMSG_ERROR, NLMSG_HEADER, messages};
use super::{FAMILY_NAME, WireError, decode_family_id};

/// The header of a message. An acknowledgement repeats that of the request, bit by bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Envelope {
    length: u32,
    kind: u16,
    flags: u16,
    pub(crate) sequence: u32,
    /// In a request: what the program wrote, which may be 0 or wrong. In an acknowledgement: the
    /// port id of the program's socket.
    pub(crate) port: u32,
}

impl Envelope {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..NLMSG_HEADER)?;
        Some(Envelope {
            length: NativeEndian::read_u32(bytes),
            kind: NativeEndian::read_u16(&bytes[4..]),
            flags: NativeEndian::read_u16(&bytes[6..]),
            sequence: NativeEndian::read_u32(&bytes[8..]),
            port: NativeEndian::read_u32(&bytes[12..]),
        })
    }

    pub(crate) fn is_request(&self) -> bool {
        self.flags & NLM_F_REQUEST != 0
    }

    pub(crate) fn wants_ack(&self) -> bool {
        self.flags & NLM_F_ACK != 0
    }

    /// Is the reply a dump, which is not acknowledged?
    pub(crate) fn is_dump(&self) -> bool {
        self.flags & NLM_F_DUMP == NLM_F_DUMP
    }
}

/// What a packet is.
#[derive(Debug)]
pub(crate) enum Observed<'a> {
    /// A program's requests to IPVS.
    Requests(Requests<'a>),
    /// The kernel's acknowledgement of a request: a positive errno if it was refused, else 0.
    Acknowledgement { port: u32, request: Envelope, errno: i32 },
    /// A part of the reply to a reading.
    Reply { port: u32, sequence: u32 },
    /// Nothing that concerns IPVS.
    Foreign,
}

/// What a packet is, if the IPVS family has this number.
pub(crate) fn observe(packet: &[u8], family: u16) -> Observed<'_> {
    let Some(first) = Envelope::parse(packet) else { return Observed::Foreign };
    if first.kind == NLMSG_ERROR {
        let payload = &packet[NLMSG_HEADER..];
        let request = payload.get(4..).and_then(Envelope::parse).filter(|request| request.kind == family);
        return match (error_code(payload), request) {
            (Some(code), Some(request)) => {
                Observed::Acknowledgement { port: first.port, request, errno: code.wrapping_neg() }
            }
            _ => Observed::Foreign,
        };
    }
    match first.kind == family {
        true if first.is_request() => Observed::Requests(Requests { rest: packet, family }),
        true => Observed::Reply { port: first.port, sequence: first.sequence },
        false => Observed::Foreign,
    }
}

/// The requests of a datagram, as the kernel walks through them.
#[derive(Debug)]
pub(crate) struct Requests<'a> {
    rest: &'a [u8],
    family: u16,
}

/// A part of a datagram of requests.
#[derive(Debug)]
pub(crate) enum Piece {
    /// A request, with the number of its command.
    Request { envelope: Envelope, command: u8, request: Result<Option<Request>, WireError> },
    /// The filter cut off this request, and perhaps more behind it.
    Cut,
}

impl Iterator for Requests<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        loop {
            let envelope = Envelope::parse(self.rest)?;
            let length = envelope.length as usize;
            if envelope.kind != self.family || length < NLMSG_HEADER {
                // Of another family the filter leaves the header only; a shorter message ends the
                // datagram for the kernel, too.
                self.rest = &[];
                return None;
            }
            let Some(message) = self.rest.get(..length) else {
                let is_cut = self.rest.len() == NLMSG_HEADER && envelope.is_request();
                self.rest = &[];
                return is_cut.then_some(Piece::Cut);
            };
            self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            // The kernel passes over what is no request.
            if envelope.is_request() {
                let command = message.get(NLMSG_HEADER).copied().unwrap_or(0);
                let request = match messages(message).next() {
                    Some(Ok((header, Body::Family { command, attrs }))) => decode_request(&header, command, attrs),
                    _ => Err(WireError::Message),
                };
                return Some(Piece::Request { envelope, command, request });
            }
        }
    }
}

/// The family of IPVS came or went, which the kernel announces to those who asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announced {
    Family(u16),
    NoFamily,
}

/// What an announcement of the controller says about IPVS.
pub(crate) fn announcements(datagram: &[u8]) -> impl Iterator<Item = Announced> {
    messages(datagram).filter_map(|message| {
        let Ok((header, Body::Family { command, attrs: bytes })) = message else { return None };
        let is_named =
            || attrs(bytes).flatten().any(|attr| attr.kind == CTRL_ATTR_FAMILY_NAME && attr.name() == FAMILY_NAME);
        if header.family != GENL_ID_CTRL || !is_named() {
            return None;
        }
        match command {
            CTRL_CMD_NEWFAMILY => decode_family_id(bytes).ok().map(Announced::Family),
            CTRL_CMD_DELFAMILY => Some(Announced::NoFamily),
            _ => None,
        }
    })
}

/// The numbers that a filter compares, with the offsets of what it compares.
#[cfg(target_os = "linux")]
pub(crate) mod layout {
    pub(crate) const HEADER: u32 = super::NLMSG_HEADER as u32;
    pub(crate) const KIND: u32 = 4;
    pub(crate) const FLAGS: u32 = 6;
    pub(crate) const REQUEST: u16 = super::NLM_F_REQUEST;
    pub(crate) const ERROR: u16 = super::NLMSG_ERROR;
    /// In an acknowledgement: the header of its request, behind the error number.
    pub(crate) const REPEATED: u32 = HEADER + 4;
    /// What is left of an acknowledgement: its header, the error number, and the header of its
    /// request.
    pub(crate) const ACKNOWLEDGEMENT: u32 = REPEATED + HEADER;
    /// What is left of a reply: its header, and that of generic netlink.
    pub(crate) const REPLY: u32 = HEADER + netlink_packet_generic::constants::GENL_HDRLEN as u32;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;
    use crate::wire::{self, Header};

    const FAMILY: u16 = 0x1e;

    fn requests(datagram: &[u8]) -> Vec<Piece> {
        match observe(datagram, FAMILY) {
            Observed::Requests(requests) => requests.collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_datagram_is_walked_as_by_the_kernel() {
        let mut datagram = Vec::new();
        wire::encode_change(&mut datagram, Header::request(FAMILY, 1), &Command::Flush);
        wire::encode_change(&mut datagram, Header { family: FAMILY, flags: 0, sequence: 2 }, &Command::Flush);
        wire::encode_change(&mut datagram, Header::request(FAMILY, 3), &Command::Zero(None));
        let length = datagram.len();
        wire::encode_change(&mut datagram, Header::request(FAMILY + 1, 4), &Command::Flush);
        wire::encode_change(&mut datagram, Header::request(FAMILY, 5), &Command::Flush);
        let sequences = |pieces: Vec<Piece>| -> Vec<Option<u32>> {
            let sequence = |piece: &Piece| match piece {
                Piece::Request { envelope, .. } => Some(envelope.sequence),
                Piece::Cut => None,
            };
            pieces.iter().map(sequence).collect()
        };
        assert_eq!(sequences(requests(&datagram)), [Some(1), Some(3)]);
        // What the filter leaves of a foreign message says nothing; what it leaves of a request
        // does.
        assert_eq!(sequences(requests(&datagram[..length + 16])), [Some(1), Some(3)]);
        assert_eq!(sequences(requests(&datagram[..20 + 16])), [Some(1)]);
        assert_eq!(sequences(requests(&datagram[..40 + 16])), [Some(1), None]);
        // A length beyond the end ends the datagram.
        assert_eq!(sequences(requests(&datagram[..40 + 18])), [Some(1)]);
    }

    #[test]
    fn an_acknowledgement_is_of_ipvs_if_its_request_was() {
        let mut request = Vec::new();
        wire::encode_change(&mut request, Header { family: FAMILY, flags: 5, sequence: 7 }, &Command::Flush);
        for (family, is_shown) in [(FAMILY, true), (FAMILY + 1, false)] {
            request[4] = family.to_ne_bytes()[0];
            request[5] = family.to_ne_bytes()[1];
            let mut message = Vec::new();
            wire::encode_error(&mut message, 7, 17);
            message[20..36].copy_from_slice(&request[..16]);
            match observe(&message, FAMILY) {
                Observed::Acknowledgement { request, errno: 17, .. } => {
                    assert!(is_shown && request.wants_ack() && request.sequence == 7);
                }
                other => assert!(!is_shown && matches!(other, Observed::Foreign), "{other:?}"),
            }
        }
    }
}
