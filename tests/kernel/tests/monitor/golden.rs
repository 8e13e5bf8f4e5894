//! The golden packets of the monitor's tests are what an nlmon device shows of real programs and
//! kernels: recorded again on every run.

use std::collections::HashMap;
use std::fmt::Write;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, socket};

use super::hostile::family;
use super::library::{ip, ipvs_cli, ipvsadm, run};
use kernel_tests::sandbox;

const GOLDEN: &str = include_str!("../../../../ipvs/src/monitor/golden.txt");

const HEADER: usize = 16;
const ERROR: u16 = 2;
const REQUEST: u16 = 1;

/// What the number of the family and each port id are in the file, as they are others each time.
const FAMILY: u16 = 0x1f;
const PORT: u32 = 7;

#[test]
fn programs_and_kernels_send_the_golden_packets() {
    sandbox::enter_network().unwrap();
    ip("link add nlmon0 type nlmon");
    ip("link set nlmon0 up");
    // Of all devices; it is the only one on which there is anything.
    let packets = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_NONBLOCK, SockProtocol::EthAll).unwrap();
    let family = family();
    let (mut all, mut packet) = (String::new(), vec![0; 1 << 16]);
    for line in GOLDEN.lines().filter(|line| !line.starts_with('#')) {
        let (typed, _) = line.split_once(" => ").unwrap();
        let (words, rules) = typed.split_once(": ").unwrap_or((typed, ""));
        let (program, words) = words.split_once(' ').unwrap();
        let path = if program == "ipvsadm" { ipvsadm() } else { ipvs_cli() };
        run(&path, words, &rules.replace("; ", "\n"));
        write!(all, "{typed} =>").unwrap();
        let mut sequences = HashMap::new();
        loop {
            match recv(packets.as_raw_fd(), &mut packet, MsgFlags::empty()) {
                Ok(length) if is_command_or_answer(&packet[..length], family) => {
                    anonymize(&mut packet[..length], family, &mut sequences);
                    all.push(' ');
                    packet[..length].iter().for_each(|byte| write!(all, "{byte:02x}").unwrap());
                }
                Ok(_) => {}
                Err(Errno::EAGAIN) => break,
                Err(error) => panic!("{error}"),
            }
        }
        all.push('\n');
    }
    let recorded = GOLDEN.split_inclusive('\n').filter(|line| !line.starts_with('#')).collect::<String>();
    assert!(all == recorded, "{all}");
}

fn number(packet: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([packet[at], packet[at + 1]])
}

/// Is it a request to the family, or an answer to one? Replies to readings say how the kernel was
/// built.
fn is_command_or_answer(packet: &[u8], family: u16) -> bool {
    let is_request = |packet: &[u8]| number(packet, 4) == family && number(packet, 6) & REQUEST != 0;
    match number(packet, 4) {
        ERROR => is_request(&packet[HEADER + 4..]),
        _ => is_request(packet),
    }
}

fn anonymize(packet: &mut [u8], family: u16, sequences: &mut HashMap<u32, u32>) {
    let mut start = 0;
    while start + HEADER <= packet.len() {
        let length = u32::from_ne_bytes(packet[start..start + 4].try_into().unwrap()) as usize;
        header(&mut packet[start..], family, sequences);
        if number(packet, start + 4) == ERROR {
            header(&mut packet[start + HEADER + 4..], family, sequences);
        }
        start += length.next_multiple_of(4);
    }
}

/// Sequence numbers are counted from 1 in the order in which they come.
fn header(packet: &mut [u8], family: u16, sequences: &mut HashMap<u32, u32>) {
    let field = |at: usize| u32::from_ne_bytes(packet[at..at + 4].try_into().unwrap());
    let next = u32::try_from(sequences.len()).unwrap() + 1;
    let sequence = *sequences.entry(field(8)).or_insert(next);
    let port = if field(12) == 0 { 0 } else { PORT };
    if number(packet, 4) == family {
        packet[4..6].copy_from_slice(&FAMILY.to_ne_bytes());
    }
    packet[8..12].copy_from_slice(&sequence.to_ne_bytes());
    packet[12..16].copy_from_slice(&port.to_ne_bytes());
}
