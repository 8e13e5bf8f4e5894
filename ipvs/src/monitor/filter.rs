//! The program that the kernel runs on each packet of the nlmon device: IPVS passes, and nothing
//! else.
//!
//! An nlmon device shows all netlink traffic of its network namespace, keys of WireGuard and IPsec
//! included. This program is attached before the socket gets its first packet. Of a datagram of
//! requests it passes the messages to IPVS up to the first that is not, of which only the header
//! passes; of the kernel's acknowledgement of such a message, both headers; of a reply, its
//! headers.
//!
//! It is classic BPF, which needs no privilege of its own. It has no loops, so the walk over the
//! messages is written out.
//!
//! A packet socket does not show in which direction a datagram went, and any user may send a
//! message that looks like an acknowledgement to the kernel, which ignores it. So another program,
//! the gate, drops such datagrams on the way through the device.

use crate::exchange::MAX_WINDOW;
use crate::wire::layout::{ACKNOWLEDGEMENT, ERROR, FLAGS, HEADER, KIND, REPEATED, REPLY, REQUEST};

/// An instruction as the kernel takes it, `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) code: u16,
    /// How many instructions to pass over if a comparison holds, and if not.
    pub(super) then: u8,
    pub(super) otherwise: u8,
    pub(super) value: u32,
}

/// How many messages of a datagram are followed at most. This crate sends no more at once, and no
/// other program is known to send as many.
///
/// The kernel keeps the program in memory that `net.core.optmem_max` limits, 20 KiB up to Linux
/// 6.6, where a message takes 192 bytes.
pub(super) const MESSAGES: usize = MAX_WINDOW as usize;

/// `NETLINK_GENERIC`, which a packet of nlmon has in place of an ethertype.
pub(super) const GENERIC: u32 = 16;

/// `SKF_AD_OFF` and `SKF_AD_PROTOCOL`: where that stands.
const PROTOCOL: u32 = 0xffff_f000;
/// The same with `SKF_AD_PKTTYPE`, and its value for what is sent to the kernel, `PACKET_KERNEL`.
const DIRECTION: u32 = 0xffff_f004;
const TO_KERNEL: u32 = 7;
/// `TC_ACT_UNSPEC` and `TC_ACT_STOLEN`. Other nlmon devices still get a packet that is stolen; of
/// one that is shot, they do not.
const PASS: u32 = u32::MAX;
const STEAL: u32 = 4;

/// All of the packet.
const ALL: u32 = u32::MAX;

/// Slots of the program's memory.
const LAST_HEADER: u32 = 0;
const SCRATCH: u32 = 1;

// Codes of `linux/bpf_common.h` and `linux/filter.h`.
const LOAD_PROTOCOL: u16 = 0x20;
const LOAD_LENGTH: u16 = 0x80;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const LOAD_WORD_AT_X: u16 = 0x40;
const LOAD_HALF_AT_X: u16 = 0x48;
const LOAD_BYTE_AT_X: u16 = 0x50;
const LOAD_MEMORY: u16 = 0x60;
const LOAD_X: u16 = 0x01;
const LOAD_X_MEMORY: u16 = 0x61;
const STORE: u16 = 0x02;
const ADD: u16 = 0x04;
const ADD_X: u16 = 0x0c;
const SUBTRACT: u16 = 0x14;
const AND: u16 = 0x54;
const SHIFT_LEFT: u16 = 0x64;
const SHIFT_RIGHT: u16 = 0x74;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_AT_LEAST: u16 = 0x35;
const IF_AT_LEAST_X: u16 = 0x3d;
const IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;
const RETURN_A: u16 = 0x16;
const X_TO_A: u16 = 0x87;
const A_TO_X: u16 = 0x07;

fn step(code: u16, value: u32) -> Instruction {
    Instruction { code, then: 0, otherwise: 0, value }
}

fn branch(code: u16, value: u32, then: u8, otherwise: u8) -> Instruction {
    Instruction { code, then, otherwise, value }
}

/// BPF loads in network byte order, and netlink writes in the machine's: the number that a load of
/// it gives.
fn half(number: u16) -> u32 {
    u16::from_be_bytes(number.to_ne_bytes()).into()
}

/// Where the low byte of a number stands, and the next one, and the high half of a number of four
/// bytes.
const LOW: u32 = if cfg!(target_endian = "big") { 3 } else { 0 };
const SECOND: u32 = if cfg!(target_endian = "big") { 2 } else { 1 };
const HIGH_HALF: u32 = if cfg!(target_endian = "big") { 0 } else { 2 };
/// The bits that are set, in what a load gives, if a length is above 255 or not a multiple of four;
/// and where its low byte is there.
const ODD: u32 = if cfg!(target_endian = "big") { 0xffff_ff03 } else { 0x03ff_ffff };
const SHIFT: u32 = if cfg!(target_endian = "big") { 0 } else { 24 };
const LOW_OF_HALF: u32 = if cfg!(target_endian = "big") { 1 } else { 0 };

/// The program that passes nothing.
pub(super) fn nothing() -> Vec<Instruction> {
    vec![step(RETURN, 0)]
}

/// The program of the gate. To the kernel go requests, and from it everything else.
pub(super) fn gate() -> Vec<Instruction> {
    vec![
        step(LOAD_BYTE, DIRECTION),
        branch(IF_EQUAL, TO_KERNEL, 2, 0),
        step(LOAD_BYTE, FLAGS + LOW_OF_HALF),
        branch(IF_ANY_BIT, REQUEST.into(), 5, 4),
        step(LOAD_HALF, KIND),
        branch(IF_EQUAL, half(ERROR), 3, 0),
        step(LOAD_BYTE, FLAGS + LOW_OF_HALF),
        branch(IF_ANY_BIT, REQUEST.into(), 0, 1),
        step(RETURN, PASS),
        step(RETURN, STEAL),
    ]
}

/// The bytes of a program, as `struct sock_filter`s.
pub(super) fn bytes(program: &[Instruction]) -> Vec<u8> {
    let bytes = |&Instruction { code, then, otherwise, value }: &Instruction| {
        let ([a, b], [e, f, g, h]) = (code.to_ne_bytes(), value.to_ne_bytes());
        [a, b, then, otherwise, e, f, g, h]
    };
    program.iter().flat_map(bytes).collect()
}

/// How many instructions follow one message.
const BLOCK: usize = 9;
/// A conditional jump passes over 255 instructions at most.
const BLOCKS: usize = 24;

/// The program for IPVS with this family number, on packets of this protocol. It looks at this
/// number of messages in a datagram; `replies` says whether replies to reads pass.
pub(super) fn program(protocol: u32, family: u16, replies: bool, messages: usize) -> Vec<Instruction> {
    let mut program = head(protocol, family, replies);
    let exits = walk(&mut program, family, messages);
    let ends = [vec![step(RETURN, ALL)], cut(), behind_odd()].map(|end| {
        let start = program.len();
        program.extend(end);
        start
    });
    for exit in exits {
        for (jump, end) in (exit..).zip(ends) {
            program[jump].value = u32::try_from(end - jump - 1).unwrap_or(u32::MAX);
        }
    }
    program
}

/// Judges what is not a datagram of requests to IPVS. X is then where its first message starts, and
/// [`LAST_HEADER`] the last place where one may.
fn head(protocol: u32, family: u16, replies: bool) -> Vec<Instruction> {
    vec![
        step(LOAD_PROTOCOL, PROTOCOL),
        branch(IF_EQUAL, protocol, 1, 0),
        step(RETURN, 0),
        // A load beyond the end ends the program with 0: what is shorter than a header does not
        // pass.
        step(LOAD_LENGTH, 0),
        branch(IF_AT_LEAST, HEADER, 1, 0),
        step(RETURN, 0),
        step(SUBTRACT, HEADER),
        step(STORE, LAST_HEADER),
        step(LOAD_HALF, KIND),
        branch(IF_EQUAL, half(ERROR), 0, 4),
        step(LOAD_HALF, REPEATED + KIND),
        branch(IF_EQUAL, half(family), 0, 1),
        step(RETURN, ACKNOWLEDGEMENT),
        step(RETURN, 0),
        branch(IF_EQUAL, half(family), 1, 0),
        step(RETURN, 0),
        step(LOAD_BYTE, FLAGS + LOW_OF_HALF),
        branch(IF_ANY_BIT, REQUEST.into(), 1, 0),
        step(RETURN, if replies { REPLY } else { 0 }),
        step(LOAD_X, 0),
    ]
}

/// Moves X from message to message. Returns where the jumps to the three ends stand, side by side:
/// behind the last message, at a message that is not to IPVS, at one of odd length.
fn walk(program: &mut Vec<Instruction>, family: u16, messages: usize) -> Vec<usize> {
    let mut exits = Vec::new();
    let mut left = messages;
    while left > 0 {
        let blocks = left.min(BLOCKS);
        left -= blocks;
        for block in 0..blocks {
            // From the end of this block to the jumps behind the last one: over the jump that
            // passes over them.
            let behind = (blocks - 1 - block) * BLOCK + 1;
            let to = |place: usize, exit: usize| u8::try_from(BLOCK - 1 - place + behind + exit).unwrap_or(u8::MAX);
            program.extend([
                step(LOAD_MEMORY, LAST_HEADER),
                branch(IF_AT_LEAST_X, 0, 0, to(1, 0)),
                step(LOAD_HALF_AT_X, KIND),
                branch(IF_EQUAL, half(family), 0, to(3, 1)),
                step(LOAD_WORD_AT_X, 0),
                branch(IF_ANY_BIT, ODD, to(5, 2), 0),
                step(SHIFT_RIGHT, SHIFT),
                step(ADD_X, 0),
                step(A_TO_X, 0),
            ]);
        }
        program.push(step(JUMP, 3));
        exits.push(program.len());
        program.extend([step(JUMP, 0); 3]);
    }
    // More messages than are followed, unless this is the end.
    program.extend([step(LOAD_MEMORY, LAST_HEADER), branch(IF_AT_LEAST_X, 0, 1, 0)]);
    exits
}

/// Of the message at X, the header passes.
fn cut() -> Vec<Instruction> {
    vec![step(X_TO_A, 0), step(ADD, HEADER), step(RETURN_A, 0)]
}

/// A message of odd length passes, and the header behind it, at a multiple of four.
fn behind_odd() -> Vec<Instruction> {
    vec![
        step(LOAD_HALF_AT_X, HIGH_HALF),
        branch(IF_EQUAL, 0, 3, 0),
        step(X_TO_A, 0),
        step(ADD, HEADER),
        step(RETURN_A, 0),
        step(LOAD_BYTE_AT_X, SECOND),
        step(SHIFT_LEFT, 8),
        step(ADD_X, 0),
        step(STORE, SCRATCH),
        step(LOAD_BYTE_AT_X, LOW),
        step(LOAD_X_MEMORY, SCRATCH),
        step(ADD_X, 0),
        step(ADD, 3),
        step(AND, !3),
        step(ADD, HEADER),
        step(RETURN_A, 0),
    ]
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::command::Command;
    use crate::monitor::socket::attach;
    use crate::wire::{self, Header};

    const FAMILY: u16 = 0x1e;
    /// A packet on a Unix socket has no protocol.
    const UNIX: u32 = 0;

    /// What the kernel leaves of a packet.
    fn passes(replies: bool, packet: &[u8]) -> Option<Vec<u8>> {
        let (reader, writer) = UnixDatagram::pair().unwrap();
        attach(reader.as_fd(), &program(UNIX, FAMILY, replies, MESSAGES)).unwrap();
        reader.set_nonblocking(true).unwrap();
        // What the filter drops is refused to the sender.
        let _ = writer.send(packet);
        let mut buffer = vec![0; 1 << 17];
        reader.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec())
    }

    fn request(family: u16, flags: u16, command: &Command) -> Vec<u8> {
        let mut out = Vec::new();
        wire::encode_change(&mut out, Header { family, flags: 1 | flags, sequence: 9 }, command);
        out
    }

    fn secret(family: u16) -> Vec<u8> {
        let mut message = request(family, 4, &Command::Flush);
        message.extend_from_slice(b"the private key!");
        message[0] = 36;
        message
    }

    fn acknowledgement(family: u16) -> Vec<u8> {
        let mut message = Vec::new();
        wire::encode_error(&mut message, 9, 22);
        let request = secret(family);
        message.truncate(20);
        message.extend_from_slice(&request);
        message[0] = u8::try_from(message.len()).unwrap();
        message
    }

    fn holds_secret(bytes: &[u8]) -> bool {
        bytes.windows(7).any(|window| window == b"private")
    }

    #[test]
    fn requests_to_ipvs_pass_whole() {
        let add = Command::AddService(crate::Service::new("tcp 192.0.2.1:80".parse().unwrap()));
        for count in [1, 2, 23, 24, 25, 48, MESSAGES - 1, MESSAGES] {
            let datagram: Vec<u8> = (0..count).flat_map(|_| request(FAMILY, 0, &add)).collect();
            assert_eq!(passes(false, &datagram).as_ref(), Some(&datagram), "{count}");
        }
        let message = request(FAMILY, 0, &Command::Flush);
        let datagram = message.repeat(MESSAGES + 2);
        assert_eq!(passes(false, &datagram).unwrap(), datagram[..message.len() * MESSAGES + 16]);
    }

    #[test]
    fn no_other_message_passes_wherever_it_stands() {
        let of_ipvs = request(FAMILY, 0, &Command::Flush);
        for family in [FAMILY + 1, 0x10, 0x1e00, 3, 0, 0x12] {
            let foreign = secret(family);
            assert_eq!(passes(true, &foreign), None, "{family}");
            assert_eq!(passes(true, &[&*foreign, &of_ipvs].concat()), None, "{family}");
            for before in [1, 2, 7, MESSAGES - 1, MESSAGES] {
                let datagram = [&*of_ipvs.repeat(before), &foreign, &of_ipvs].concat();
                let passed = passes(true, &datagram).unwrap();
                assert_eq!(passed, datagram[..before * of_ipvs.len() + 16], "{family} behind {before}");
                assert!(!holds_secret(&passed));
            }
        }
    }

    /// Longer than others, or without its padding.
    #[test]
    fn behind_a_message_of_odd_length_only_a_header_passes() {
        for length in [17_u32, 18, 19, 255, 256, 257, 300, 1000, 40_001] {
            let padded = usize::try_from(length.next_multiple_of(4)).unwrap();
            let mut odd = request(FAMILY, 0, &Command::Flush);
            odd.resize(padded, 0);
            odd[..4].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(passes(true, &odd).as_ref(), Some(&odd), "{length}");
            let datagram = [&*odd, &secret(FAMILY + 1)].concat();
            assert_eq!(passes(true, &datagram).unwrap(), datagram[..padded + 16], "{length}");
        }
    }

    #[test]
    fn a_program_that_follows_less_shows_less() {
        let of_ipvs = request(FAMILY, 0, &Command::Flush);
        for messages in [1, 8, 23, 24, 25] {
            let (own, other) = UnixDatagram::pair().unwrap();
            attach(own.as_fd(), &program(UNIX, FAMILY, true, messages)).unwrap();
            let _ = other.send(&of_ipvs.repeat(messages + 2));
            let mut buffer = [0; 4096];
            assert_eq!(own.recv(&mut buffer).unwrap(), messages * of_ipvs.len() + 16);
        }
    }

    #[test]
    fn a_message_of_impossible_length_hides_nothing_and_shows_nothing() {
        let of_ipvs = request(FAMILY, 0, &Command::Flush);
        for length in [0_u32, 1, 15, 16, 17, 24, 0xffff, 0x1_0000, 0x1_0014, 0x8000_0000, u32::MAX] {
            let mut odd = of_ipvs.clone();
            odd[..4].copy_from_slice(&length.to_ne_bytes());
            let datagram = [&*of_ipvs, &odd, &secret(FAMILY + 1)].concat();
            // The request before it was carried out, so it is seen whatever follows.
            let passed = passes(true, &datagram).unwrap_or_else(|| panic!("{length}"));
            assert!(passed.starts_with(&of_ipvs), "{length}");
        }
        assert_eq!(passes(true, &of_ipvs[..15]), None);
        assert_eq!(passes(true, &[]), None);
    }

    #[test]
    fn of_acknowledgements_and_replies_the_headers_pass() {
        let passed = passes(false, &acknowledgement(FAMILY)).unwrap();
        assert_eq!(passed, acknowledgement(FAMILY)[..36]);
        for family in [FAMILY + 1, 0x10, 2, 3] {
            assert_eq!(passes(true, &acknowledgement(family)), None, "{family}");
        }
        // The end of a dump does not say whose it is.
        let mut done = Vec::new();
        wire::encode_done(&mut done, 9);
        assert_eq!(passes(true, &done), None);
        let mut reply = secret(FAMILY);
        reply[6..8].copy_from_slice(&2_u16.to_ne_bytes());
        assert_eq!(passes(false, &reply), None);
        assert_eq!(passes(true, &reply).unwrap(), reply[..20]);
    }

    #[test]
    fn a_packet_of_another_protocol_does_not_pass() {
        let (reader, writer) = UnixDatagram::pair().unwrap();
        attach(reader.as_fd(), &program(GENERIC, FAMILY, true, MESSAGES)).unwrap();
        reader.set_nonblocking(true).unwrap();
        let _ = writer.send(&request(FAMILY, 0, &Command::Flush));
        assert!(reader.recv(&mut [0; 64]).is_err());
    }
}
