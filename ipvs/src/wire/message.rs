//! Netlink messages: headers around attributes, acknowledgements, the ends of dumps.

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_MULTIPART, NLM_F_REQUEST, NetlinkBuffer};
use netlink_packet_generic::constants::{GENL_HDRLEN, GENL_ID_CTRL};

use super::WireError;
use super::attr::{Writer, error_code, push_error_code};

const NLMSG_NOOP: u16 = 1;
pub(super) const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
pub(super) const NLMSG_HEADER: usize = 16;

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The number of the generic netlink family, or of the message type of netlink itself.
    pub(crate) family: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
}

/// A reply of a dump.
pub(crate) const REPLY: u16 = NLM_F_MULTIPART;

impl Header {
    /// A request that gets a reply only if it fails.
    pub(crate) fn request(family: u16, sequence: u32) -> Self {
        Header { family, flags: NLM_F_REQUEST, sequence }
    }

    /// A request for all of a table.
    pub(crate) fn dump(family: u16, sequence: u32) -> Self {
        Header { family, flags: NLM_F_REQUEST | NLM_F_DUMP, sequence }
    }

    /// Is it a question about families, which goes to none of them?
    pub(crate) fn is_for_controller(&self) -> bool {
        self.family == GENL_ID_CTRL
    }

    pub(crate) fn wants_ack(&self) -> bool {
        self.flags & NLM_F_ACK != 0
    }

    pub(crate) fn is_dump(&self) -> bool {
        self.flags & NLM_F_DUMP == NLM_F_DUMP
    }
}

/// Appends a message of the family to a datagram, with the attributes that `body` appends.
pub(super) fn emit(out: &mut Vec<u8>, header: Header, command: u8, body: impl FnOnce(&mut Writer<'_>)) {
    let start = out.len();
    out.extend_from_slice(&[0; NLMSG_HEADER]);
    // `struct genlmsghdr`: the command, its version, and two bytes for later use.
    out.extend_from_slice(&[command, 1, 0, 0]);
    body(&mut Writer::new(out));
    let length = out.len() - start;
    write_header(&mut out[start..], header, length);
}

/// Writes the header of a message of this length: first into an array, of which the compiler knows
/// that each part is there.
#[inline]
fn write_header(message: &mut [u8], header: Header, length: usize) {
    let mut bytes = [0; NLMSG_HEADER];
    let mut buffer = NetlinkBuffer::new(&mut bytes);
    buffer.set_message_type(header.family);
    buffer.set_length(length as u32);
    buffer.set_flags(header.flags);
    buffer.set_sequence_number(header.sequence);
    message[..NLMSG_HEADER].copy_from_slice(&bytes);
}

/// Asks for an acknowledgement of the message that starts here in the datagram.
pub(crate) fn request_ack(message: &mut [u8]) {
    let mut message = NetlinkBuffer::new(message);
    message.set_flags(message.flags() | NLM_F_ACK);
}

/// Makes the messages of a datagram go to another number of the family, with sequence numbers from
/// `first` on.
pub(crate) fn readdress(datagram: &mut [u8], family: u16, first: u32) {
    let mut start = 0;
    let mut sequence = first;
    while start < datagram.len() {
        let mut message = NetlinkBuffer::new(&mut datagram[start..]);
        message.set_message_type(family);
        message.set_sequence_number(sequence);
        start += (message.length() as usize).next_multiple_of(4);
        sequence = sequence.wrapping_add(1);
    }
}

/// What a message brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body<'a> {
    /// Of the family: command and attributes.
    Family { command: u8, attrs: &'a [u8] },
    /// An acknowledgement, 0, or the error that ended a request: a positive errno.
    Ack(i32),
    /// The end of a dump, with the error that cut it short, or 0.
    Done(i32),
}

/// The messages of a datagram; the first malformed one ends them with an error.
pub(crate) fn messages(datagram: &[u8]) -> impl Iterator<Item = Result<(Header, Body<'_>), WireError>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            match split(&mut rest) {
                Ok((header, _)) if header.family == NLMSG_NOOP => {}
                Ok((header, payload)) => return Some(body(header.family, payload).map(|body| (header, body))),
                Err(error) => {
                    rest = &[];
                    return Some(Err(error));
                }
            }
        }
        None
    })
}

/// Takes the first message off.
fn split<'a>(rest: &mut &'a [u8]) -> Result<(Header, &'a [u8]), WireError> {
    let bytes = *rest;
    let message = NetlinkBuffer::new_checked(&bytes).map_err(|_| WireError::Message)?;
    let length = message.length() as usize;
    let header = Header { family: message.message_type(), flags: message.flags(), sequence: message.sequence_number() };
    // The last message of a datagram may lack its padding.
    *rest = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    Ok((header, &bytes[NLMSG_HEADER..length]))
}

#[inline]
fn body(kind: u16, payload: &[u8]) -> Result<Body<'_>, WireError> {
    match kind {
        // The kernel's own error codes are negative.
        NLMSG_ERROR => error_code(payload).map(|code| Body::Ack(code.wrapping_neg())).ok_or(WireError::Message),
        NLMSG_DONE => Ok(Body::Done(error_code(payload).unwrap_or(0).wrapping_neg())),
        0x10.. => {
            let (generic, attrs) = payload.split_at_checked(GENL_HDRLEN).ok_or(WireError::Message)?;
            Ok(Body::Family { command: generic[0], attrs })
        }
        _ => Err(WireError::Unexpected(kind)),
    }
}

/// Appends the acknowledgement of a request: for the in-memory kernel.
pub(crate) fn encode_ack(out: &mut Vec<u8>, sequence: u32) {
    encode_error(out, sequence, 0);
}

/// Appends the refusal of a request, a positive errno: for the in-memory kernel.
pub(crate) fn encode_error(out: &mut Vec<u8>, sequence: u32, errno: i32) {
    let mut payload = Vec::with_capacity(4 + NLMSG_HEADER);
    push_error_code(&mut payload, -errno);
    payload.extend_from_slice(&[0; NLMSG_HEADER]); // of the request, which nobody reads
    control(out, NLMSG_ERROR, 0, sequence, &payload);
}

/// Appends the end of a dump: for the in-memory kernel.
pub(crate) fn encode_done(out: &mut Vec<u8>, sequence: u32) {
    let mut payload = Vec::with_capacity(4);
    push_error_code(&mut payload, 0);
    control(out, NLMSG_DONE, NLM_F_MULTIPART, sequence, &payload);
}

/// Appends a message of netlink itself, or of another protocol than generic netlink.
pub(super) fn control(out: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32, payload: &[u8]) {
    let start = out.len();
    out.resize(start + NLMSG_HEADER, 0);
    let header = Header { family: kind, flags, sequence };
    write_header(&mut out[start..], header, NLMSG_HEADER + payload.len());
    out.extend_from_slice(payload);
}
