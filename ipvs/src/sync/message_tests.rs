//! The codec against datagrams of a kernel, against itself, and against garbage.

use std::net::{IpAddr, SocketAddr};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::name::PersistenceEngine;
use crate::proc::{Connection, EngineData};
use crate::service::{FirewallMark, Protocol};

const GOLDEN: &str = include_str!("golden.txt");

fn golden() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    GOLDEN.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (name, hex) = line.split_once(" => ").unwrap();
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (name, (0..hex.len()).step_by(2).map(byte).collect())
    })
}

/// As `/proc` would show it, with flags and mark.
fn shown(entry: &Entry) -> String {
    let connection = Connection::try_from(entry).unwrap();
    let Connection { client, target, destination, state, expires, engine } = connection;
    let mark = entry.mark.map_or(String::new(), |mark| format!(" mark {mark}"));
    let engine = engine
        .map_or(String::new(), |EngineData { engine, data }| format!(" {engine} {}", String::from_utf8_lossy(&data)));
    format!("{client} {target} {destination} {state} {expires} {:#x}{mark}{engine}", entry.flags.bits())
}

#[test]
fn what_a_kernel_sends_is_understood() {
    let shown: Vec<_> = golden()
        .flat_map(|(_, datagram)| {
            let message = Message::decode(&datagram).unwrap();
            assert_eq!(message.sync_id, 7);
            message.entries.iter().map(shown).collect::<Vec<_>>()
        })
        .collect();
    let template = "10.1.0.0:0 udp 10.0.0.100:53 10.0.0.11:53 NONE 600 0x1183";
    let mark4 = "10.0.0.1:0 mark 7 10.0.0.11:0 NONE 600 0x1183 mark 7";
    let mark6 = "[fd00::1]:0 mark 7 ipv6 [fd00::11]:0 NONE 600 0x1183 mark 7";
    let sip = "10.1.0.5:0 udp 10.0.0.100:5060 10.0.0.11:5060 NONE 600 0x1100 sip 12345@example.net";
    assert_eq!(
        shown,
        [
            "10.1.0.1:40001 udp 10.0.0.100:5001 10.0.0.11:5001 UDP 300 0x100",
            "[fd01::1]:40001 udp [fd00::100]:5002 [fd00::11]:5002 UDP 300 0x100",
            "10.1.0.1:40001 udp 10.0.0.100:5003 10.0.0.11:5003 UDP 300 0x182",
            "[fd01::1]:40001 udp [fd00::100]:5004 [fd00::11]:5004 UDP 300 0x182",
            "10.1.0.1:40001 udp 10.0.0.100:5005 10.0.0.11:5005 UDP 300 0x183",
            "[fd01::1]:40001 udp [fd00::100]:5006 [fd00::11]:5006 UDP 300 0x183",
            "10.1.0.2:40002 tcp 10.0.0.100:80 10.0.0.11:80 ESTABLISHED 900 0x83",
            "10.1.0.2:40002 tcp 10.0.0.100:80 10.0.0.11:80 CLOSE 10 0x183",
            template,
            "10.1.0.3:40003 udp 10.0.0.100:53 10.0.0.11:53 UDP 300 0x183",
            template,
            mark4,
            "10.0.0.1:40004 udp 10.0.0.100:5060 10.0.0.11:5060 UDP 300 0x183 mark 7",
            mark4,
            mark6,
            "[fd00::1]:40004 udp [fd00::100]:5060 [fd00::11]:5060 UDP 300 0x183 mark 7",
            mark6,
            sip,
            "10.1.0.5:40005 udp 10.0.0.100:5060 10.0.0.11:5060 UDP 300 0x100",
            sip,
        ]
    );
}

#[test]
fn the_kernels_bytes_are_made_again() {
    for (name, datagram) in golden() {
        assert_eq!(Message::decode(&datagram).unwrap().encode().unwrap(), datagram, "{name}");
    }
}

/// What `/proc` does not show are the mark of a connection and how it is forwarded, which a backup
/// daemon knows by the destination.
#[test]
fn the_table_has_what_a_kernel_sends() {
    const NOT_SHOWN: EntryFlags = EntryFlags::FORWARDING.union(EntryFlags::NO_OUTPUT);
    for (name, datagram) in golden() {
        for sent in Message::decode(&datagram).unwrap().entries {
            let from_table = Entry::try_from(&Connection::try_from(&sent).unwrap()).unwrap();
            let mut expected = Entry { flags: sent.flags - NOT_SHOWN, ..sent };
            // The low bits of UDP's are the template's, too.
            if !expected.flags.contains(EntryFlags::TEMPLATE) {
                expected.mark = None;
            } else {
                expected.flags = EntryFlags::TEMPLATE;
            }
            assert_eq!(from_table, expected, "{name}");
        }
    }
}

/// As the kernel's source has it: none was recorded.
#[test]
fn sequence_offsets_are_six_numbers() {
    let mut entry = Message::decode(&golden().find(|(name, _)| *name == "tcp, established").unwrap().1).unwrap();
    let input = SequenceOffset { initial: 1, delta: 2, previous_delta: u32::MAX };
    entry.entries[0].sequence = Some(SequenceOffsets { input, output: SequenceOffset { initial: 3, ..input } });
    let datagram = entry.encode().unwrap();
    assert_eq!(datagram.len(), 8 + 36 + 26);
    assert_eq!(datagram[10..12], [0, 36 + 26]);
    let hex: String = datagram[44..].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "01180000000100000002ffffffff0000000300000002ffffffff");
    assert_eq!(Message::decode(&datagram), Ok(entry));
}

#[test]
fn each_fault_has_its_error() {
    let good = golden().next().unwrap().1;
    let of = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut datagram = good.clone();
        change(&mut datagram);
        let length = (datagram.len() as u16).to_be_bytes();
        datagram[2..4].copy_from_slice(&length);
        Message::decode(&datagram).unwrap_err()
    };
    let fault = |change: &dyn Fn(&mut Vec<u8>)| match of(change) {
        DecodeError::Entry { number: 1, fault } => fault,
        other => panic!("{other}"),
    };
    assert_eq!(Message::decode(&good[..7]), Err(DecodeError::Short(7)));
    assert_eq!(Message::decode(&good[..43]), Err(DecodeError::Length { stated: 44, actual: 43 }));
    assert_eq!(of(&|bytes| bytes[0] = 1), DecodeError::Version(0));
    assert_eq!(of(&|bytes| bytes[5] = 2), DecodeError::Version(2));
    assert_eq!(of(&|bytes| bytes[4] = 2), DecodeError::Entry { number: 2, fault: EntryFault::Size { size: 0 } });
    assert_eq!(fault(&|bytes| bytes[8] = 2), EntryFault::Type(2));
    assert_eq!(fault(&|bytes| bytes[10] = 0x10), EntryFault::Version(1));
    assert_eq!(fault(&|bytes| bytes[11] = 35), EntryFault::Size { size: 35 });
    assert_eq!(fault(&|bytes| bytes[11] = 37), EntryFault::Size { size: 37 });
    let with_options = |options: &'static [u8]| {
        fault(&move |bytes| {
            bytes.extend(options);
            bytes[11] += options.len() as u8;
        })
    };
    assert_eq!(with_options(&[9, 1, 0]), EntryFault::UnknownOption(9));
    assert_eq!(with_options(&[9]), EntryFault::Option { kind: 9 });
    assert_eq!(with_options(&[2, 0]), EntryFault::Option { kind: 2 });
    assert_eq!(with_options(&[1, 1, 0]), EntryFault::Option { kind: 1 });
    assert_eq!(with_options(&[2, 1, b'x']), EntryFault::Engine);
    assert_eq!(with_options(&[2, 1, b'x', 3, 1, 0]), EntryFault::Engine);
    assert_eq!(with_options(&[3, 1, b's', 3, 1, b's']), EntryFault::Option { kind: 3 });
}

#[test]
fn an_option_that_may_be_skipped_is() {
    let mut datagram = golden().next().unwrap().1;
    let entries = Message::decode(&datagram).unwrap().entries;
    datagram.extend([0x49, 2, 0, 0]);
    (datagram[3], datagram[11]) = (48, 40);
    assert_eq!(Message::decode(&datagram).unwrap().entries, entries);
}

#[test]
fn a_message_has_at_most_255_entries() {
    let message = Message::decode(&golden().next().unwrap().1).unwrap();
    let full = Message { entries: vec![message.entries[0].clone(); 255], ..message.clone() };
    assert_eq!(full.encode().unwrap().len(), 8 + 255 * 36);
    let overfull = Message { entries: vec![message.entries[0].clone(); 256], ..message.clone() };
    assert_eq!(overfull.encode(), Err(EncodeError::Full { max_len: u16::MAX }));
    assert_eq!(Datagram::new(0, 43).push(&message.entries[0]), Err(EncodeError::Full { max_len: 43 }));
}

fn entry() -> impl Strategy<Value = Entry> {
    fn addresses<T: Into<IpAddr> + std::fmt::Debug>(
        ip: impl Strategy<Value = T> + Clone,
    ) -> impl Strategy<Value = [SocketAddr; 3]> {
        let address = (ip, any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip.into(), port));
        [address.clone(), address.clone(), address]
    }
    let addresses = prop_oneof![addresses(any::<[u8; 4]>()), addresses(any::<[u8; 16]>())];
    let offset = any::<[u32; 3]>().prop_map(|[initial, delta, previous_delta]| SequenceOffset {
        initial,
        delta,
        previous_delta,
    });
    let sequence = (offset.clone(), offset).prop_map(|(input, output)| SequenceOffsets { input, output });
    let engine = (vec(1..=u8::MAX, 1..=16), vec(any::<u8>(), 1..=255))
        .prop_map(|(name, data)| EngineData { engine: PersistenceEngine::new(name).unwrap(), data });
    let numbers = (any::<u8>(), any::<u32>(), any::<u32>(), any::<u16>(), any::<u32>());
    (addresses, numbers, option::of(sequence), option::of(engine)).prop_map(
        |([client, virtual_address, destination], (protocol, mark, flags, state, timeout), sequence, engine)| Entry {
            protocol: Protocol::from_number(protocol.into()),
            client,
            virtual_address,
            destination,
            mark: FirewallMark::new(mark).ok(),
            flags: EntryFlags::from_bits_retain(flags),
            state,
            timeout,
            sequence,
            engine,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(sync_id: u8, entries in vec(entry(), 0..20)) {
        let message = Message { sync_id, entries };
        prop_assert_eq!(Message::decode(&message.encode().unwrap()), Ok(message));
    }

    #[test]
    fn what_does_not_fit_goes_to_the_next_datagram(max_len in 400..2000u16, entries in vec(entry(), 1..40)) {
        let mut datagram = Datagram::new(3, max_len);
        let mut read = Vec::new();
        for entry in &entries {
            if !datagram.push(entry).unwrap() {
                read.extend(Message::decode(datagram.as_bytes()).unwrap().entries);
                datagram.clear();
                prop_assert!(datagram.is_empty() && datagram.push(entry).unwrap());
            }
            prop_assert!(datagram.as_bytes().len() <= max_len.into());
        }
        read.extend(Message::decode(datagram.as_bytes()).unwrap().entries);
        prop_assert_eq!(read, entries);
    }

    #[test]
    fn garbage_is_no_panic(mut bytes: Vec<u8>, has_header: bool) {
        if has_header {
            let [size0, size1] = ((bytes.len() + 8) as u16).to_be_bytes();
            bytes.splice(0..0, [0, 1, size0, size1, 3, 1, 0, 0]);
        }
        let _ = Message::decode(&bytes);
    }

    #[test]
    fn a_damaged_datagram_is_no_panic_and_reads_the_same_twice(which in 0..12usize, at in 4..200usize, byte: u8) {
        let mut datagram = golden().nth(which).unwrap().1;
        if let Some(place) = datagram.get_mut(at) {
            *place = byte;
        }
        if let Ok(message) = Message::decode(&datagram) {
            prop_assert_eq!(Message::decode(&message.encode().unwrap()), Ok(message));
        }
    }

    #[test]
    fn an_entry_that_can_not_be_sent_leaves_the_datagram_as_it_was(first in entry(), second in entry()) {
        let mut datagram = Datagram::new(0, 1000);
        datagram.push(&first).unwrap();
        let before = datagram.as_bytes().to_vec();
        let port = second.destination.port();
        let other: IpAddr = if second.client.is_ipv4() { [0; 16].into() } else { [0; 4].into() };
        let mixed = Entry { destination: SocketAddr::new(other, port), ..second.clone() };
        prop_assert_eq!(datagram.push(&mixed), Err(EncodeError::Families));
        let odd = Entry { protocol: Protocol::from_number(256), ..second.clone() };
        prop_assert!(matches!(datagram.push(&odd), Err(EncodeError::Protocol(_))));
        for length in [0, 256] {
            let engine = Some(EngineData { engine: PersistenceEngine::SIP, data: vec![0; length] });
            prop_assert_eq!(datagram.push(&Entry { engine, ..second.clone() }), Err(EncodeError::EngineData(length)));
        }
        prop_assert_eq!(datagram.as_bytes(), before);
    }
}
