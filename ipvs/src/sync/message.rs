//! Datagrams to messages and back, without input or output.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::entry::{Entry, EntryFlags, SequenceOffset, SequenceOffsets};
use crate::name::PersistenceEngine;
use crate::proc::EngineData;
use crate::service::{FirewallMark, Protocol};

/// `SYNC_PROTO_VER`.
const VERSION: u8 = 1;

/// `struct ip_vs_sync_mesg`, in bytes.
const HEADER: usize = 8;

/// `STYPE_F_INET6`.
const TYPE_V6: u8 = 1;

/// `SVER_MASK`: the size of an entry; the version of the entry is above it.
const SIZE: u16 = 0x0fff;

/// Kinds of options: `IPVS_OPT_*`.
mod option {
    pub(super) const SEQUENCE: u8 = 1;
    pub(super) const ENGINE_DATA: u8 = 2;
    pub(super) const ENGINE_NAME: u8 = 3;
    /// `IPVS_OPT_F_PARAM`: who does not know the option may skip it.
    pub(super) const MAY_BE_SKIPPED: u8 = 0x40;
}

/// What a sync daemon sends in one datagram.
///
/// ```
/// use ipvs::sync::Message;
/// let message = Message { sync_id: 7, entries: Vec::new() };
/// let datagram = message.encode()?;
/// assert_eq!(datagram, [0, 7, 0, 8, 0, 1, 0, 0]);
/// assert_eq!(Message::decode(&datagram)?, message);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The sync id of the directors that belong together, 0 to 255.
    pub sync_id: u8,
    /// The connections and templates, at most 255.
    pub entries: Vec<Entry>,
}

/// Why a datagram is not understood.
///
/// ```
/// use ipvs::sync::{DecodeError, Message};
/// assert_eq!(
///     Message::decode(&[0, 7, 0, 9, 0, 1, 0, 0]),
///     Err(DecodeError::Length { stated: 9, actual: 8 })
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Fewer bytes than the header has.
    #[error("a datagram of {0} bytes is no sync message: its header alone has 8")]
    Short(usize),
    /// The length in the header is not that of the datagram.
    #[error("the sync message says that it has {stated} bytes, but the datagram has {actual}")]
    Length {
        /// What the header says, in bytes.
        stated: u16,
        /// What was received, in bytes.
        actual: usize,
    },
    /// Another version of the protocol: 0 is that of Linux before 2.6.39, and of a director with
    /// `sync_version=0`.
    #[error("the sync message is of version {0}, not 1; on the master, `sync_version` must be 1")]
    Version(u8),
    /// An entry that can't be read.
    #[error("entry {number} of the sync message is not understood")]
    Entry {
        /// Counted from 1.
        number: u8,
        /// Why.
        #[source]
        fault: EntryFault,
    },
}

/// Why an entry of a datagram is not understood.
///
/// ```
/// let fault = ipvs::sync::EntryFault::UnknownOption(9);
/// assert_eq!(fault.to_string(), "option 9 is unknown");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryFault {
    /// The datagram ends inside of it, or its size is less than its addresses take.
    #[error("its {size} bytes are too few, or more than the datagram has")]
    Size {
        /// What it says, in bytes; 0 if not even that is there.
        size: u16,
    },
    /// Neither IPv4 (0) nor IPv6 (1).
    #[error("type {0} is neither IPv4 nor IPv6")]
    Type(u8),
    /// Only version 0 of entries is known.
    #[error("version {0} is unknown")]
    Version(u8),
    /// An option that ends outside of the entry, or has an impossible length.
    #[error("option {kind} has an impossible length")]
    Option {
        /// `IPVS_OPT_*`.
        kind: u8,
    },
    /// An option that must be understood. Others are skipped.
    #[error("option {0} is unknown")]
    UnknownOption(u8),
    /// Data of a persistence engine without the engine's name, or a name that can't be one.
    #[error("persistence data without the name of an engine")]
    Engine,
}

/// Why an entry can't be sent.
///
/// ```
/// use ipvs::sync::{Datagram, EncodeError, Entry};
/// # let table = "TCP 7F000001 9C41 7F00000A 0050 7F00000A 1F90 ESTABLISHED     899\n";
/// # let mut connections = ipvs::proc::Connections::new(table.as_bytes());
/// # let mut entry = Entry::try_from(&connections.next().unwrap()?)?;
/// entry.destination = "[2001:db8::11]:80".parse()?;
/// assert_eq!(Datagram::new(0, 1472).push(&entry), Err(EncodeError::Families));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The protocol has one family for all three addresses.
    #[error("client, virtual address and destination must be of one address family to be synchronised")]
    Families,
    /// There is one byte for it.
    #[error("protocol {0} can't be synchronised: its number must be at most 255")]
    Protocol(Protocol),
    /// A persistence engine's data has 1 to 255 bytes.
    #[error("persistence data of {0} bytes can't be synchronised: it must have 1 to 255")]
    EngineData(usize),
    /// A message has more than 255 entries, or is longer than its longest.
    #[error("the entries do not fit in one sync message: at most 255, and {max_len} bytes")]
    Full {
        /// The most that it may have, in bytes.
        max_len: u16,
    },
}

impl Message {
    /// Reads a datagram. Bytes behind the last entry are ignored, as the kernel does.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(datagram: &[u8]) -> Result<Self, DecodeError> {
        let Some(&[reserved, sync_id, size0, size1, count, version, spare0, spare1]) = datagram.first_chunk() else {
            return Err(DecodeError::Short(datagram.len()));
        };
        let stated = u16::from_be_bytes([size0, size1]);
        if usize::from(stated) != datagram.len() {
            return Err(DecodeError::Length { stated, actual: datagram.len() });
        }
        // Of version 0, the first byte is the number of entries.
        if reserved != 0 || version != VERSION || (spare0, spare1) != (0, 0) {
            return Err(DecodeError::Version(if reserved != 0 { 0 } else { version }));
        }
        let mut rest = &datagram[HEADER..];
        let mut entries = Vec::with_capacity(count.into());
        for number in 1..=count {
            let (entry, behind) = entry(rest).map_err(|fault| DecodeError::Entry { number, fault })?;
            entries.push(entry);
            rest = behind;
        }
        Ok(Message { sync_id, entries })
    }

    /// The datagram.
    ///
    /// # Errors
    /// See [`EncodeError`].
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut datagram = Datagram::new(self.sync_id, u16::MAX);
        for entry in &self.entries {
            if !datagram.push(entry)? {
                return Err(EncodeError::Full { max_len: u16::MAX });
            }
        }
        Ok(datagram.bytes)
    }
}

/// A [`Message`] that is made entry by entry, until it is full. It can be used again.
///
/// ```
/// use ipvs::sync::{Datagram, Entry};
/// # let table = "TCP 7F000001 9C41 7F00000A 0050 7F00000A 1F90 ESTABLISHED     899\n";
/// # let mut connections = ipvs::proc::Connections::new(table.as_bytes());
/// # let entry = Entry::try_from(&connections.next().unwrap()?)?;
/// let mut datagram = Datagram::new(0, 80);
/// assert!(datagram.push(&entry)?);
/// assert!(datagram.push(&entry)?);
/// assert!(!datagram.push(&entry)?, "80 bytes are the header and two entries of IPv4");
/// assert_eq!(datagram.as_bytes().len(), 80);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Datagram {
    bytes: Vec<u8>,
    max_len: u16,
}

impl Datagram {
    /// An empty one, of at most `max_len` bytes. An IPv4 datagram has at most 65,507 and a
    /// backup daemon takes what its own `max_len` allows; more than 255 entries never fit, which
    /// are 9,188 bytes of IPv4 without options.
    pub fn new(sync_id: u8, max_len: u16) -> Self {
        Datagram { bytes: vec![0, sync_id, 0, HEADER as u8, 0, VERSION, 0, 0], max_len }
    }

    /// Adds an entry; false: it does not fit beside those that are in it.
    ///
    /// # Errors
    /// See [`EncodeError`]; the datagram is as it was. [`EncodeError::Full`] if it does not even
    /// fit alone.
    pub fn push(&mut self, entry: &Entry) -> Result<bool, EncodeError> {
        let before = self.bytes.len();
        // Each entry begins at a multiple of four.
        self.bytes.resize(before.next_multiple_of(4), 0);
        let start = self.bytes.len();
        if let Err(error) = encode_entry(&mut self.bytes, entry) {
            self.bytes.truncate(before);
            return Err(error);
        }
        let size = self.bytes.len() - start;
        if self.bytes.len() > self.max_len.into() || self.bytes[4] == u8::MAX {
            self.bytes.truncate(before);
            let fits_never = HEADER + size > self.max_len.into();
            return if fits_never { Err(EncodeError::Full { max_len: self.max_len }) } else { Ok(false) };
        }
        self.bytes[4] += 1;
        let [size0, size1] = (self.bytes.len() as u16).to_be_bytes();
        (self.bytes[2], self.bytes[3]) = (size0, size1);
        Ok(true)
    }

    /// The number of entries in it.
    pub fn len(&self) -> u8 {
        self.bytes[4]
    }

    /// Is there no entry in it?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        self.bytes.truncate(HEADER);
        (self.bytes[2], self.bytes[3], self.bytes[4]) = (0, HEADER as u8, 0);
    }

    /// What is to be sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// `size` is where the entry's size goes, which is known last.
fn encode_entry(bytes: &mut Vec<u8>, entry: &Entry) -> Result<(), EncodeError> {
    let Entry { client, virtual_address, destination, .. } = entry;
    let protocol = u8::try_from(entry.protocol.number()).map_err(|_| EncodeError::Protocol(entry.protocol))?;
    let start = bytes.len();
    let kind = if client.is_ipv6() { TYPE_V6 } else { 0 };
    bytes.extend([kind, protocol, 0, 0]);
    bytes.extend(entry.flags.bits().to_be_bytes());
    bytes.extend(entry.state.to_be_bytes());
    for address in [client, virtual_address, destination] {
        bytes.extend(address.port().to_be_bytes());
    }
    bytes.extend(entry.mark.map_or(0, FirewallMark::get).to_be_bytes());
    bytes.extend(entry.timeout.to_be_bytes());
    for address in [client, virtual_address, destination] {
        match (address, client.is_ipv6()) {
            (SocketAddr::V4(v4), false) => bytes.extend(v4.ip().octets()),
            (SocketAddr::V6(v6), true) => bytes.extend(v6.ip().octets()),
            _ => return Err(EncodeError::Families),
        }
    }
    if let Some(SequenceOffsets { input, output }) = &entry.sequence {
        bytes.extend([option::SEQUENCE, 24]);
        for SequenceOffset { initial, delta, previous_delta } in [input, output] {
            for number in [initial, delta, previous_delta] {
                bytes.extend(number.to_be_bytes());
            }
        }
    }
    if let Some(EngineData { engine, data }) = &entry.engine {
        let length = u8::try_from(data.len()).ok().filter(|length| *length != 0);
        bytes.extend([option::ENGINE_DATA, length.ok_or(EncodeError::EngineData(data.len()))?]);
        bytes.extend(data);
        bytes.extend([option::ENGINE_NAME, engine.as_bytes().len() as u8]);
        bytes.extend(engine.as_bytes());
    }
    // At most 373.
    let [size0, size1] = ((bytes.len() - start) as u16).to_be_bytes();
    (bytes[start + 2], bytes[start + 3]) = (size0, size1);
    Ok(())
}

/// The first entry, and what is behind it.
fn entry(bytes: &[u8]) -> Result<(Entry, &[u8]), EntryFault> {
    let Some(&[kind, protocol, size0, size1]) = bytes.first_chunk() else { return Err(EntryFault::Size { size: 0 }) };
    let version_and_size = u16::from_be_bytes([size0, size1]);
    let size = version_and_size & SIZE;
    if version_and_size & !SIZE != 0 {
        return Err(EntryFault::Version((version_and_size >> 12) as u8));
    }
    let is_v6 = match kind {
        0 => false,
        kind if kind & TYPE_V6 != 0 => true,
        kind => return Err(EntryFault::Type(kind)),
    };
    let own = bytes.get(4..usize::from(size)).ok_or(EntryFault::Size { size })?;
    let mut fields = Fields(own);
    let read = fields.fixed(is_v6, protocol).ok_or(EntryFault::Size { size })?;
    let entry = fields.options(read)?;
    // The last entry need not be filled up.
    let behind = bytes.get(usize::from(size).next_multiple_of(4)..).unwrap_or_default();
    Ok((entry, behind))
}

/// What is left of an entry.
struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn fixed(&mut self, is_v6: bool, protocol: u8) -> Option<Entry> {
        let flags = EntryFlags::from_bits_retain(self.u32()?);
        let state = self.u16()?;
        let ports = [self.u16()?, self.u16()?, self.u16()?];
        let (mark, timeout) = (self.u32()?, self.u32()?);
        let mut address = |port| {
            Some(match is_v6 {
                false => SocketAddr::from((Ipv4Addr::from(self.take::<4>()?), port)),
                true => SocketAddr::from((Ipv6Addr::from(self.take::<16>()?), port)),
            })
        };
        let [client, virtual_address, destination] = [address(ports[0])?, address(ports[1])?, address(ports[2])?];
        Some(Entry {
            protocol: Protocol::from_number(protocol.into()),
            client,
            virtual_address,
            destination,
            mark: FirewallMark::new(mark).ok(),
            flags,
            state,
            timeout,
            sequence: None,
            engine: None,
        })
    }

    fn options(&mut self, mut entry: Entry) -> Result<Entry, EntryFault> {
        let (mut name, mut data): (Option<&[u8]>, Option<&[u8]>) = (None, None);
        while !self.0.is_empty() {
            let kind = self.0[0];
            let (value, rest) = option(self.0).ok_or(EntryFault::Option { kind })?;
            self.0 = rest;
            match kind & !option::MAY_BE_SKIPPED {
                option::SEQUENCE if entry.sequence.is_none() => {
                    entry.sequence = Some(sequence(value).ok_or(EntryFault::Option { kind })?);
                }
                option::ENGINE_DATA if data.is_none() => data = Some(value),
                option::ENGINE_NAME if name.is_none() => name = Some(value),
                // Twice, which the kernel refuses.
                option::SEQUENCE | option::ENGINE_DATA | option::ENGINE_NAME => {
                    return Err(EntryFault::Option { kind });
                }
                _ if kind & option::MAY_BE_SKIPPED != 0 => {}
                _ => return Err(EntryFault::UnknownOption(kind)),
            }
        }
        if let Some(data) = data {
            let engine = name.and_then(|name| PersistenceEngine::new(name).ok()).ok_or(EntryFault::Engine)?;
            entry.engine = Some(EngineData { engine, data: data.to_vec() });
        }
        Ok(entry)
    }
}

/// The value of the first option, and what is behind it.
fn option(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::from(*bytes.get(1)?);
    if length == 0 {
        return None;
    }
    bytes[2..].split_at_checked(length)
}

fn sequence(value: &[u8]) -> Option<SequenceOffsets> {
    if value.len() != 24 {
        return None;
    }
    let mut fields = Fields(value);
    let mut offset =
        || Some(SequenceOffset { initial: fields.u32()?, delta: fields.u32()?, previous_delta: fields.u32()? });
    Some(SequenceOffsets { input: offset()?, output: offset()? })
}
