//! Requests to the kernel's IPVS, laid out by hand in one buffer: one socket, many requests a
//! datagram, an acknowledgement for the last.

use std::{io, net::SocketAddrV4, ops::Range};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_GENERIC};

use crate::rules::{Change, Destination};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;

/// Generic netlink's directory of families.
const CONTROL: u16 = 16;
const CONTROL_VERSION: u8 = 2;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

const IPVS_VERSION: u8 = 1;
const NEW_SERVICE: u8 = 1;
const GET_SERVICE: u8 = 4;
const NEW_DESTINATION: u8 = 5;
const SET_DESTINATION: u8 = 6;
const GET_DESTINATION: u8 = 8;
const GET_INFO: u8 = 15;
const FLUSH: u8 = 17;

const SERVICE: u16 = 1;
const DESTINATION: u16 = 2;

const AF_INET: u16 = 2;
const TCP: u16 = 6;
const HEADERS: usize = 20;
const FLAGS_AT: usize = 6;
/// The kernel fills a datagram of a dump up to this size at most.
const BUFFER: usize = 32 << 10;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("netlink: {0}")]
    Socket(#[from] io::Error),
    #[error("the kernel refuses command {number}: {source}")]
    Refused { number: u32, source: io::Error },
    #[error("the kernel's answer is cut short")]
    Short,
}

/// A connection to the kernel's IPVS.
pub(crate) struct Kernel {
    socket: Socket,
    family: u16,
    requests: Vec<u8>,
    replies: Vec<u8>,
    pending: usize,
    /// Number of the last request, and where its flags are.
    last: u32,
    last_flags: usize,
}

impl Kernel {
    pub(crate) fn connect() -> Result<Self, Error> {
        let socket = Socket::new(NETLINK_GENERIC)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        let (requests, replies) = (Vec::with_capacity(BUFFER), Vec::with_capacity(BUFFER));
        let mut kernel = Self { socket, family: CONTROL, requests, replies, pending: 0, last: 0, last_flags: 0 };
        kernel.family = kernel.find_family()?;
        Ok(kernel)
    }

    fn find_family(&mut self) -> Result<u16, Error> {
        self.request(GET_FAMILY, CONTROL_VERSION, 0, |out| attribute(out, FAMILY_NAME, b"IPVS\0"));
        let mut id = None;
        self.ask(|body| {
            id = attributes(body).find(|(kind, _)| *kind == FAMILY_ID).and_then(|(_, value)| native16(value));
            Progress::Done
        })?;
        id.ok_or(Error::Short)
    }

    /// Adds a change to the datagram.
    pub(crate) fn push(&mut self, change: &Change<'_>) {
        match change {
            Change::AddService { service, scheduler } => {
                self.request(NEW_SERVICE, IPVS_VERSION, 0, |out| new_service(out, *service, scheduler));
            }
            Change::AddDestination(destination) => {
                self.request(NEW_DESTINATION, IPVS_VERSION, 0, |out| put_destination(out, destination));
            }
            Change::EditDestination(destination) => {
                self.request(SET_DESTINATION, IPVS_VERSION, 0, |out| put_destination(out, destination));
            }
        }
        self.pending += 1;
    }

    /// How many changes wait in the datagram.
    pub(crate) fn pending(&self) -> usize {
        self.pending
    }

    /// Sends what waits. The kernel does it all meanwhile, and answers to failures and to the last.
    pub(crate) fn send(&mut self) -> Result<(), Error> {
        if self.pending == 0 {
            return Ok(());
        }
        self.requests[self.last_flags..self.last_flags + 2].copy_from_slice(&(REQUEST | ACK).to_ne_bytes());
        self.pending = 0;
        self.ask(|_| Progress::More)
    }

    /// Removes all services.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        self.request(FLUSH, IPVS_VERSION, ACK, |_| {});
        self.ask(|_| Progress::More)
    }

    /// The attributes of the answer to "which version, how large a table".
    pub(crate) fn info(&mut self) -> Result<Vec<u8>, Error> {
        self.request(GET_INFO, IPVS_VERSION, 0, |_| {});
        let mut info = Vec::new();
        self.ask(|body| {
            info.extend_from_slice(body);
            Progress::Done
        })?;
        Ok(info)
    }

    /// Hands each service's attributes to `take`.
    pub(crate) fn services(&mut self, mut take: impl FnMut(&[u8])) -> Result<(), Error> {
        self.request(GET_SERVICE, IPVS_VERSION, DUMP, |_| {});
        self.ask(|body| entries(body, SERVICE, &mut take))
    }

    /// Hands the attributes of each of a service's destinations to `take`.
    pub(crate) fn destinations(&mut self, service: SocketAddrV4, mut take: impl FnMut(&[u8])) -> Result<(), Error> {
        self.request(GET_DESTINATION, IPVS_VERSION, DUMP, |out| {
            nest(out, SERVICE, |out| service_key(out, service));
        });
        self.ask(|body| entries(body, DESTINATION, &mut take))
    }

    fn request(&mut self, command: u8, version: u8, flags: u16, body: impl FnOnce(&mut Vec<u8>)) {
        let out = &mut self.requests;
        let start = out.len();
        self.last += 1;
        self.last_flags = start + FLAGS_AT;
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.family.to_ne_bytes());
        out.extend_from_slice(&(REQUEST | flags).to_ne_bytes());
        out.extend_from_slice(&self.last.to_ne_bytes());
        out.extend_from_slice(&[0, 0, 0, 0, command, version, 0, 0]);
        body(out);
        let length = (out.len() - start) as u32;
        out[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// Sends, and hands each answer to `take` until it or the kernel says that this is all.
    fn ask(&mut self, mut take: impl FnMut(&[u8]) -> Progress) -> Result<(), Error> {
        self.socket.send(&self.requests, 0)?;
        self.requests.clear();
        loop {
            self.replies.clear();
            self.socket.recv(&mut self.replies, 0)?;
            let mut rest = self.replies.as_slice();
            while let Some(message) = take_message(&mut rest) {
                let done = match message.kind {
                    NLMSG_DONE => true,
                    NLMSG_ERROR => {
                        refusal(&message)?;
                        message.sequence == self.last
                    }
                    _ => matches!(take(message.body), Progress::Done),
                };
                if done {
                    return Ok(());
                }
            }
        }
    }
}

enum Progress {
    More,
    Done,
}

struct Message<'a> {
    kind: u16,
    sequence: u32,
    /// What follows both headers.
    body: &'a [u8],
    /// What follows netlink's own header.
    payload: &'a [u8],
}

fn take_message<'a>(rest: &mut &'a [u8]) -> Option<Message<'a>> {
    let length = native32(rest)? as usize;
    let message = rest.get(..length)?;
    *rest = rest.get(aligned(length)..).unwrap_or_default();
    let [kind, sequence] = [message.get(4..)?, message.get(8..)?];
    let payload = message.get(16..)?;
    let body = message.get(HEADERS..).unwrap_or_default();
    Some(Message { kind: native16(kind)?, sequence: native32(sequence)?, body, payload })
}

fn refusal(message: &Message<'_>) -> Result<(), Error> {
    match native32(message.payload).ok_or(Error::Short)? as i32 {
        0 => Ok(()),
        code => Err(Error::Refused { number: message.sequence, source: io::Error::from_raw_os_error(-code) }),
    }
}

fn entries(body: &[u8], kind: u16, take: &mut impl FnMut(&[u8])) -> Progress {
    attributes(body).filter(|(found, _)| *found == kind).for_each(|(_, value)| take(value));
    Progress::More
}

fn new_service(out: &mut Vec<u8>, service: SocketAddrV4, scheduler: &str) {
    nest(out, SERVICE, |out| {
        service_key(out, service);
        nest(out, 6, |out| {
            out.extend_from_slice(scheduler.as_bytes());
            out.push(0);
        });
        attribute(out, 7, &[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]); // no flags, and that of all of them
        attribute(out, 8, &[0; 4]); // not persistent
        attribute(out, 9, &[0xff; 4]); // mask
    });
}

fn service_key(out: &mut Vec<u8>, service: SocketAddrV4) {
    attribute(out, 1, &AF_INET.to_ne_bytes());
    attribute(out, 2, &TCP.to_ne_bytes());
    attribute(out, 3, &service.ip().octets());
    attribute(out, 4, &service.port().to_be_bytes());
}

fn put_destination(out: &mut Vec<u8>, destination: &Destination) {
    nest(out, SERVICE, |out| service_key(out, destination.service));
    nest(out, DESTINATION, |out| {
        attribute(out, 1, &destination.address.ip().octets());
        attribute(out, 2, &destination.address.port().to_be_bytes());
        attribute(out, 3, &[0; 4]); // masquerading
        attribute(out, 4, &destination.weight.to_ne_bytes());
        attribute(out, 5, &[0; 4]); // no thresholds
        attribute(out, 6, &[0; 4]);
    });
}

fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    nest(out, kind, |out| out.extend_from_slice(value));
}

fn nest(out: &mut Vec<u8>, kind: u16, inside: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&kind.to_ne_bytes());
    inside(out);
    let length = out.len() - start;
    out[start..start + 2].copy_from_slice(&(length as u16).to_ne_bytes());
    out.resize(start + aligned(length), 0);
}

/// The attributes in `bytes`, each with its kind.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(native16(bytes)?);
        let kind = native16(bytes.get(2..)?)?;
        let Range { start, end } = 4..length;
        let value = bytes.get(start..end)?;
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// The number at the start of `bytes`.
pub(crate) fn native16(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.first_chunk()?))
}

/// The number at the start of `bytes`.
pub(crate) fn native32(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_attributes_are_read() {
        let mut out = Vec::new();
        attribute(&mut out, 7, b"abcde");
        nest(&mut out, 2, |out| attribute(out, 1, &[9]));
        assert_eq!(out.len() % 4, 0);
        let read: Vec<_> = attributes(&out).collect();
        assert_eq!(read, [(7, b"abcde".as_slice()), (2, &[5, 0, 1, 0, 9, 0, 0, 0])]);
    }

    #[test]
    fn a_cut_attribute_ends_the_reading() {
        assert_eq!(attributes(&[9, 0, 1, 0, 5]).count(), 0);
        assert_eq!(attributes(&[3, 0, 1, 0]).count(), 0);
    }

    #[test]
    fn messages_follow_each_other() {
        let mut bytes = Vec::new();
        for sequence in [5_u32, 6] {
            bytes.extend(20_u32.to_ne_bytes());
            bytes.extend(NLMSG_ERROR.to_ne_bytes());
            bytes.extend([0; 2]);
            bytes.extend(sequence.to_ne_bytes());
            bytes.extend([0; 4]);
            bytes.extend((-17_i32).to_ne_bytes());
        }
        let mut rest = bytes.as_slice();
        let first = take_message(&mut rest).unwrap();
        assert_eq!((first.kind, first.sequence), (NLMSG_ERROR, 5));
        assert!(
            matches!(refusal(&first), Err(Error::Refused { number: 5, source }) if source.raw_os_error() == Some(17))
        );
        assert_eq!(take_message(&mut rest).unwrap().sequence, 6);
        assert!(take_message(&mut rest).is_none());
    }
}
