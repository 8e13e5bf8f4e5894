//! Programs of several kinds on the in-memory kernel, watched.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::event::{Action, Event, EventKind, Outcome, Process};
use super::pairing::Names;
use super::watcher::{Now, Watcher};
use crate::client::Client;
use crate::command::Command;
use crate::errno::Errno;
use crate::exchange::Datagrams;
use crate::fake::{FAMILY, Fake};
use crate::monitor::{DeviceFault, Monitor, MonitorError};
use crate::service::{Service, ServiceKey};
use crate::table::Table;
use crate::wire::{self, Header, Read};

const REQUEST: u16 = 1;
const ACK: u16 = 4;

/// Each port is a process's.
struct Everybody;

impl Names for Everybody {
    fn process(&mut self, port: u32) -> Option<Process> {
        Some(Process { pid: port, name: format!("p{port}"), parent: None, login_uid: None })
    }
}

/// How a program writes its requests.
#[derive(Clone, Copy, Debug)]
struct Style {
    /// Does it fill in its port id, as libnl does?
    is_named: bool,
    /// Does it want an acknowledgement of each request, or of the last only?
    all: bool,
    /// How many requests it sends at once.
    at_once: usize,
    /// Its first sequence number.
    sequence: u32,
}

/// A program's socket.
struct Program {
    kernel: Fake,
    port: u32,
    style: Style,
    sequence: u32,
}

impl Program {
    fn new(kernel: &Fake, port: u32, style: Style) -> Self {
        let mut kernel = kernel.another();
        kernel.receive_in(Datagrams::Long);
        Program { kernel, port, style, sequence: style.sequence }
    }

    /// Sends commands in one datagram, and returns the packets that a monitor sees.
    fn send(&mut self, commands: &[Command]) -> Vec<Vec<u8>> {
        self.send_for(commands, &mut Vec::new())
    }

    /// The same, with what became of each.
    fn send_for(&mut self, commands: &[Command], outcomes: &mut Vec<(Command, Outcome)>) -> Vec<Vec<u8>> {
        let mut datagram = Vec::new();
        let mut headers = HashMap::new();
        for (place, command) in commands.iter().enumerate() {
            let wants_ack = self.style.all || place + 1 == commands.len();
            let flags = REQUEST | if wants_ack { ACK } else { 0 };
            let start = datagram.len();
            self.sequence += 1;
            wire::encode_change(&mut datagram, Header { family: FAMILY, flags, sequence: self.sequence }, command);
            if self.style.is_named {
                datagram[start + 12..start + 16].copy_from_slice(&self.port.to_ne_bytes());
            }
            headers.insert(self.sequence, datagram[start..start + 16].to_vec());
        }
        self.kernel.send(&datagram).unwrap();
        let first = self.sequence + 1 - u32::try_from(commands.len()).unwrap();
        let begun = outcomes.len();
        outcomes.extend(commands.iter().map(|command| (*command, Outcome::Accepted)));
        let mut packets = vec![datagram];
        let mut message = Vec::new();
        while self.kernel.receive(&mut message).is_ok() {
            // The in-memory kernel has no ports, and does not repeat requests.
            let sequence = u32::from_ne_bytes(message[8..12].try_into().unwrap());
            let errno = -i32::from_ne_bytes(message[16..20].try_into().unwrap());
            if errno != 0 {
                outcomes[begun + (sequence - first) as usize].1 = Outcome::Refused(Errno::new(errno));
            }
            message[12..16].copy_from_slice(&self.port.to_ne_bytes());
            message[20..36].copy_from_slice(&headers[&sequence]);
            packets.push(std::mem::take(&mut message));
        }
        packets
    }
}

fn watcher() -> Watcher<Everybody> {
    Watcher::new(FAMILY, false, None, Everybody)
}

fn at(second: u64) -> Now {
    let now = Now { time: SystemTime::UNIX_EPOCH, instant: Instant::now() };
    Now { instant: now.instant + Duration::from_secs(second), ..now }
}

fn events(watcher: &mut Watcher<impl Names>) -> Vec<Event> {
    std::iter::from_fn(|| watcher.pop()).collect()
}

/// Port, command and outcome of each.
fn changes(watcher: &mut Watcher<impl Names>) -> Vec<(Option<u32>, Command, Outcome)> {
    let change = |event: Event| match event.kind {
        EventKind::Request { sender, action: Action::Change(command), outcome } => {
            assert_eq!(sender.port, sender.process.map(|process| process.pid));
            (sender.port, command, outcome)
        }
        other => panic!("{other:?}"),
    };
    events(watcher).into_iter().map(change).collect()
}

fn key(number: u16) -> ServiceKey {
    format!("tcp 192.0.2.1:{number}").parse().unwrap()
}

fn add(number: u16) -> Command {
    Command::AddService(Service::new(key(number)))
}

const BATCH: Style = Style { is_named: false, all: false, at_once: 8, sequence: 1 };
const LIBNL: Style = Style { is_named: true, all: true, at_once: 1, sequence: 1000 };

#[test]
fn silence_before_an_acknowledgement_is_success() {
    let kernel = Fake::new(Table::new());
    let mut watcher = watcher();
    let commands = [add(1), add(1), add(2), Command::Flush];
    for packet in Program::new(&kernel, 7, BATCH).send(&commands) {
        assert!(events(&mut watcher).is_empty());
        watcher.packet(&packet, at(0));
        watcher.settle(0, false, at(0));
    }
    let outcomes = [Outcome::Accepted, Outcome::Refused(Errno::EEXIST), Outcome::Accepted, Outcome::Accepted];
    let expected: Vec<_> =
        commands.into_iter().zip(outcomes).map(|(command, outcome)| (Some(7), command, outcome)).collect();
    assert_eq!(changes(&mut watcher), expected);
}

#[test]
fn of_silence_while_packets_are_dropped_nothing_follows() {
    let kernel = Fake::new(Table::new());
    let mut watcher = watcher();
    let packets = Program::new(&kernel, 7, BATCH).send(&[add(1), add(1), add(2)]);
    // The refusal of the second is lost.
    for place in [0, 2] {
        watcher.packet(&packets[place], at(0));
    }
    watcher.settle(1, false, at(0));
    let seen = events(&mut watcher);
    let outcomes: Vec<_> = seen
        .iter()
        .filter_map(|event| match event.kind {
            EventKind::Request { outcome, .. } => Some(outcome),
            _ => None,
        })
        .collect();
    assert_eq!(outcomes, [Outcome::Unknown, Outcome::Unknown, Outcome::Accepted]);
    assert_eq!(seen.last().unwrap().kind, EventKind::Lost { packets: 1 });
}

/// An acknowledgement with another errno, to another port.
fn altered(message: &[u8], port: u32, errno: Errno) -> Vec<u8> {
    let mut message = message.to_vec();
    message[12..16].copy_from_slice(&port.to_ne_bytes());
    message[16..20].copy_from_slice(&(-errno.raw()).to_ne_bytes());
    message
}

/// A user whose buffer is full gets only the last refusal.
#[test]
fn silence_before_a_refusal_that_anybody_gets_proves_nothing() {
    for (errno, is_proof) in [(Errno::EPERM, false), (Errno::EOPNOTSUPP, false), (Errno::ENOENT, true)] {
        let mut watcher = watcher();
        let packets = Program::new(&Fake::new(Table::new()), 7, BATCH).send(&[add(1), add(2)]);
        watcher.packet(&packets[0], at(0));
        watcher.packet(&altered(&packets[1], 7, errno), at(0));
        watcher.settle(0, false, at(0));
        let first = if is_proof { Outcome::Accepted } else { Outcome::Unknown };
        assert_eq!(changes(&mut watcher), [(Some(7), add(1), first), (Some(7), add(2), Outcome::Refused(errno))]);
    }
}

/// Any user can send a copy of a request, behind a message of another family so that the filter
/// hides it.
#[test]
fn an_acknowledgement_of_another_programs_copy_is_passed_over() {
    let mut watcher = watcher();
    let packets = Program::new(&Fake::new(Table::new()), 7, LIBNL).send(&[add(1)]);
    watcher.packet(&packets[0], at(0));
    watcher.packet(&altered(&packets[1], 9, Errno::EPERM), at(0));
    watcher.settle(0, false, at(0));
    assert!(events(&mut watcher).is_empty());
    watcher.packet(&packets[1], at(0));
    watcher.settle(0, false, at(0));
    assert_eq!(changes(&mut watcher), [(Some(7), add(1), Outcome::Accepted)]);
}

#[test]
fn a_request_without_an_acknowledgement_is_given_up() {
    let kernel = Fake::new(Table::new());
    let mut watcher = watcher();
    let packets = Program::new(&kernel, 7, LIBNL).send(&[add(1)]);
    watcher.packet(&packets[0], at(0));
    watcher.settle(0, false, at(9));
    assert!(events(&mut watcher).is_empty());
    assert!(watcher.deadline().is_some());
    watcher.settle(0, false, at(11));
    assert_eq!(changes(&mut watcher), [(None, add(1), Outcome::Unknown)]);
    assert_eq!(watcher.deadline(), None);
}

/// A datagram that begins with another message is hidden by the filter or by the gate, and the
/// kernel carries out what stands behind that message.
#[test]
fn an_acknowledgement_of_a_request_that_was_not_seen_is_a_loss() {
    let kernel = Fake::new(Table::new());
    let mut watcher = Watcher::new(FAMILY, false, Some(Duration::from_secs(60)), Everybody);
    watcher.begin_reading();
    assert_eq!(compared(&mut watcher, &kernel, at(0)), []);
    let acknowledgement = &Program::new(&kernel, 7, LIBNL).send(&[add(1)])[1];
    // What anybody can have the kernel send, and what is no message.
    let mut of_no_request = acknowledgement.clone();
    of_no_request[20 + 6] &= !1;
    let refusal = altered(acknowledgement, 7, Errno::EPERM);
    for packet in [&of_no_request[..], &refusal, b"", b"no netlink message at all"] {
        watcher.packet(packet, at(5));
        watcher.settle(0, false, at(5));
        assert!(events(&mut watcher).is_empty() && !watcher.wants_table(at(5)));
    }
    watcher.packet(acknowledgement, at(5));
    watcher.settle(0, false, at(5));
    assert_eq!(events(&mut watcher).pop().unwrap().kind, EventKind::Lost { packets: 1 });
    assert!(watcher.wants_table(at(5)));
    watcher.begin_reading();
    assert_eq!(compared(&mut watcher, &kernel, at(5)), [EventKind::Found(add(1))]);
}

/// As ipvsadm reads, by libnl: with an acknowledgement of each request.
#[test]
fn an_acknowledgement_of_a_reading_is_no_loss() {
    for reads in [true, false] {
        let mut watcher = Watcher::new(FAMILY, reads, None, Everybody);
        let header = Header { family: FAMILY, flags: REQUEST | ACK, sequence: 3 };
        let mut request = Vec::new();
        wire::encode_read(&mut request, header, &Read::Service(key(1)));
        let mut reply = Vec::new();
        let state = crate::ServiceState::new(Service::new(key(1)));
        wire::encode_service(&mut reply, Header { family: FAMILY, flags: 0, sequence: 3 }, &state);
        reply[12..16].copy_from_slice(&9_u32.to_ne_bytes());
        let mut acknowledgement = Vec::new();
        wire::encode_error(&mut acknowledgement, 3, 0);
        acknowledgement[12..16].copy_from_slice(&9_u32.to_ne_bytes());
        acknowledgement[20..36].copy_from_slice(&request[..16]);
        for packet in [&request, &reply, &acknowledgement] {
            watcher.packet(packet, at(0));
            watcher.settle(0, false, at(0));
        }
        let seen = events(&mut watcher);
        assert!(seen.iter().all(|event| matches!(event.kind, EventKind::Request { .. })), "{seen:?}");
        assert_eq!(seen.len(), usize::from(reads));
    }
}

#[test]
fn a_reply_that_names_one_sender_names_the_other() {
    let mut watcher = Watcher::new(FAMILY, true, None, Everybody);
    let flush = Program::new(&Fake::new(Table::new()), 9, Style { sequence: 1, ..BATCH }).send(&[Command::Flush]);
    let mut reading = Vec::new();
    wire::encode_read(&mut reading, Header { family: FAMILY, flags: REQUEST, sequence: 1 }, &Read::Service(key(1)));
    let mut reply = Vec::new();
    let state = crate::ServiceState::new(Service::new(key(1)));
    wire::encode_service(&mut reply, Header { family: FAMILY, flags: 0, sequence: 1 }, &state);
    reply[12..16].copy_from_slice(&8_u32.to_ne_bytes());
    for packet in [&[&*reading, &flush[0]].concat(), &flush[0], &flush[1]] {
        watcher.packet(packet, at(0));
        watcher.settle(0, false, at(0));
        assert!(events(&mut watcher).is_empty());
    }
    watcher.packet(&reply, at(0));
    watcher.settle(0, false, at(0));
    assert_eq!(changes(&mut watcher), [(Some(9), Command::Flush, Outcome::Accepted)]);
}

/// What is dropped would have been at the end of the queue: it is counted before what it belongs to
/// is taken.
#[test]
fn what_was_queued_when_packets_were_dropped_is_doubtful() {
    let packets = Program::new(&Fake::new(Table::new()), 7, BATCH).send(&[add(1), add(1), add(2)]);
    for (drops, first) in [([1, 0], Outcome::Unknown), ([0, 0], Outcome::Accepted)] {
        let mut watcher = watcher();
        // A burst of others, behind which these wait.
        watcher.settle(drops[0], true, at(0));
        // The refusal of the second is lost.
        watcher.packet(&packets[0], at(0));
        watcher.settle(drops[1], true, at(0));
        watcher.packet(&packets[2], at(0));
        watcher.settle(0, false, at(0));
        let outcomes: Vec<_> = events(&mut watcher)
            .into_iter()
            .filter_map(|event| match event.kind {
                EventKind::Request { outcome, .. } => Some(outcome),
                _ => None,
            })
            .collect();
        assert_eq!(outcomes, [first, first, Outcome::Accepted]);
        // The queue was empty, and what comes from then on is certain.
        let more = Program::new(&Fake::new(Table::new()), 8, BATCH).send(&[add(3), add(4)]);
        more.iter().for_each(|packet| watcher.packet(packet, at(0)));
        watcher.settle(0, false, at(0));
        let accepted = |number| (Some(8), add(number), Outcome::Accepted);
        assert_eq!(changes(&mut watcher), [accepted(3), accepted(4)]);
    }
}

/// Three sockets of a user without privileges send the same datagrams at once, and have no room for
/// all refusals.
#[test]
fn a_flood_of_refused_requests_delays_no_other() {
    const ROUNDS: u32 = 300;
    const MESSAGES: usize = 96;
    let mut watcher = watcher();
    let kernel = Fake::new(Table::new());
    let packets = Program::new(&kernel, 7, Style { all: true, ..BATCH }).send(&[Command::Flush; MESSAGES]);
    let (datagram, acknowledgements) = packets.split_first().unwrap();
    let mut victim = Program::new(&kernel, 9, Style { sequence: 100_000, ..LIBNL });
    let mut seen = 0;
    for round in 0..ROUNDS {
        for _ in 0..3 {
            watcher.packet(datagram, at(0));
        }
        // The first sockets get fewer acknowledgements than the last.
        for port in [21, 22, 23] {
            for message in acknowledgements.iter().skip(30 * (23 - port) as usize) {
                watcher.packet(&altered(message, port, Errno::EPERM), at(0));
            }
        }
        let is_change = round % 30 == 29;
        let number = u16::try_from(round).unwrap();
        if is_change {
            victim.send(&[add(number)]).iter().for_each(|packet| watcher.packet(packet, at(0)));
        }
        // A moment later.
        watcher.settle(0, true, at(1));
        let mut reported = changes(&mut watcher);
        if is_change {
            let change = (Some(9), add(number), Outcome::Accepted);
            let place = reported.iter().position(|seen| *seen == change).expect("the change is seen");
            reported.remove(place);
        }
        assert!(reported.iter().all(|(_, command, outcome)| {
            *command == Command::Flush && matches!(outcome, Outcome::Unknown | Outcome::Refused(Errno::EPERM))
        }));
        seen += reported.len();
        // What waits is bounded.
        assert!((round as usize + 1) * 3 * MESSAGES - seen <= 16 * 1024);
    }
    watcher.settle(0, false, at(11));
    assert_eq!(seen + changes(&mut watcher).len(), ROUNDS as usize * 3 * MESSAGES);
}

/// Two equal requests, of which one is answered, keep a later change back for 100 ms: the answer
/// may be to either.
#[test]
fn what_is_complete_waits_for_earlier_requests_for_100_ms_at_most() {
    let mut watcher = watcher();
    let kernel = Fake::new(Table::new());
    let packets = Program::new(&kernel, 7, BATCH).send(&[Command::Flush]);
    let [datagram, answer] = &packets[..] else { panic!("{packets:?}") };
    let start = at(0);
    let after = |milliseconds| Now { instant: start.instant + Duration::from_millis(milliseconds), ..start };
    watcher.packet(datagram, start);
    watcher.packet(datagram, start);
    watcher.packet(answer, start);
    for packet in Program::new(&kernel, 9, LIBNL).send(&[add(1)]) {
        watcher.packet(&packet, start);
    }
    for (milliseconds, expected) in [(0, vec![]), (99, vec![]), (100, vec![(Some(9), add(1), Outcome::Accepted)])] {
        assert_eq!(watcher.deadline(), Some(after(100).instant));
        watcher.settle(0, false, after(milliseconds));
        assert_eq!(changes(&mut watcher), expected, "{milliseconds}");
    }
}

/// While packets come faster than they are taken, the table is compared all the same.
#[test]
fn a_reading_is_compared_when_all_that_was_queued_is_taken() {
    let kernel = Fake::new(Table::new());
    for has_end in [true, false] {
        let mut watcher = Watcher::new(FAMILY, false, Some(Duration::from_secs(60)), Everybody);
        watcher.begin_reading();
        assert_eq!(compared(&mut watcher, &kernel, at(0)), []);
        let mut found = Fake::new(Table::new());
        found.receive_in(Datagrams::Long);
        Program::new(&found, 7, LIBNL).send(&[add(1)]);
        watcher.begin_reading();
        let table = found.world().table.clone();
        watcher.end_reading(Some(table), at(61));
        for _ in 0..511 {
            watcher.compare(true, at(61));
            assert!(events(&mut watcher).is_empty() && !watcher.wants_table(at(200)));
            assert!(watcher.deadline() <= Some(at(61).instant));
        }
        watcher.compare(!has_end, at(61));
        assert_eq!(events(&mut watcher).pop().map(|event| event.kind), Some(EventKind::Found(add(1))));
        assert!(watcher.wants_table(at(122)));
    }
}

/// A packet that was recorded on x86_64, as it would be on this machine.
fn recorded(hex: &str) -> Vec<u8> {
    let mut packet = crate::wire::tests::unhex(hex);
    if cfg!(target_endian = "big") {
        turn(&mut packet);
    }
    packet
}

/// Turns the numbers of messages around.
fn turn(mut messages: &mut [u8]) {
    const ERROR: u16 = 2;
    while messages.len() >= 16 {
        let length = u32::from_le_bytes(messages[..4].try_into().unwrap()) as usize;
        let kind = u16::from_le_bytes(messages[4..6].try_into().unwrap());
        for field in [0..4, 4..6, 6..8, 8..12, 12..16] {
            messages[field].reverse();
        }
        // Of a message that was refused, an acknowledgement may have the header only.
        let end = length.min(messages.len());
        let body = &mut messages[16..end];
        if kind == ERROR {
            body[..4].reverse();
            turn(&mut body[4..]);
        } else {
            crate::wire::tests::turn_message(body);
        }
        let next = end.next_multiple_of(4).min(messages.len());
        messages = &mut messages[next..];
    }
}

/// Real programs on real kernels.
#[test]
fn golden_packets_are_the_commands_that_were_typed() {
    let mut lines = include_str!("golden.txt").lines().filter(|line| !line.starts_with('#'));
    for expected in [
        &["-A -t 192.0.2.1:80 -s rr"][..],
        &["EEXIST -A -t 192.0.2.1:80 -s wlc"],
        &["-a -t 192.0.2.1:80 -r 198.51.100.1:8080 -m -w 5"],
        &["ENOENT -e -t 192.0.2.1:80 -r 198.51.100.2:80 -g -w 1"],
        &["-A -t [2001:db8::1]:443 -s wlc -p 300"],
        &["--set 60 0 0"],
        &["-Z"],
        &["ESRCH -D -t 192.0.2.1:81"],
        &[
            "-A -f 1 -s wlc",
            "EEXIST -A -f 1 -s wlc",
            "-a -f 1 -r 198.51.100.9:0 -i -w 1 --tun-type ipip",
            "ESRCH -a -f 2 -r 198.51.100.9:0 -g -w 1",
            "-E -f 1 -s sed",
        ],
        &["-C"],
    ] {
        let (typed, packets) = lines.next().unwrap().split_once(" => ").unwrap();
        let mut watcher = Watcher::new(0x1f, false, None, Everybody);
        let now = at(0);
        for packet in packets.split(' ') {
            watcher.packet(&recorded(packet), now);
        }
        watcher.settle(0, false, now);
        let rule = |(port, command, outcome): (Option<u32>, Command, Outcome)| {
            assert_eq!(port, Some(7), "{typed}");
            match outcome {
                Outcome::Accepted => command.to_string(),
                Outcome::Refused(errno) => format!("{errno:?} {command}"),
                Outcome::Unknown => format!("unknown {command}"),
            }
        };
        assert_eq!(changes(&mut watcher).into_iter().map(rule).collect::<Vec<_>>(), expected, "{typed}");
    }
    assert_eq!(lines.next(), None);
}

/// Two programs that number their requests alike, as `ipvs-cli` does from 1 on, at the same moment.
#[test]
fn equal_requests_have_the_right_outcome_or_none() {
    for is_same in [true, false] {
        let kernel = Fake::new(Table::new());
        let mut watcher = watcher();
        let style = Style { at_once: 1, ..BATCH };
        let (mut one, mut two) = (Program::new(&kernel, 7, style), Program::new(&kernel, 8, style));
        let (first, second) = (one.send(&[add(1)]), two.send(&[add(if is_same { 1 } else { 2 })]));
        for packet in [&first[0], &second[0], &second[1], &first[1]] {
            assert!(events(&mut watcher).is_empty());
            watcher.packet(packet, at(0));
            watcher.settle(0, false, at(0));
        }
        let outcome = if is_same { Outcome::Unknown } else { Outcome::Accepted };
        let commands = [add(1), add(if is_same { 1 } else { 2 })];
        assert_eq!(changes(&mut watcher), commands.map(|command| (None, command, outcome)));
        // The next are certain again.
        for packet in one.send(&[add(3)]) {
            watcher.packet(&packet, at(0));
        }
        watcher.settle(0, false, at(0));
        assert_eq!(changes(&mut watcher), [(Some(7), add(3), Outcome::Accepted)]);
    }
}

#[test]
fn a_reading_is_reported_if_that_is_wanted() {
    for reads in [true, false] {
        let mut watcher = Watcher::new(FAMILY, reads, None, Everybody);
        let mut request = Vec::new();
        wire::encode_read(&mut request, Header { family: FAMILY, flags: REQUEST, sequence: 3 }, &Read::Service(key(1)));
        let mut reply = Vec::new();
        let state = crate::ServiceState::new(Service::new(key(1)));
        wire::encode_service(&mut reply, Header { family: FAMILY, flags: 0, sequence: 3 }, &state);
        reply[12..16].copy_from_slice(&9_u32.to_ne_bytes());
        watcher.packet(&request, at(0));
        watcher.packet(&reply, at(0));
        watcher.settle(0, false, at(0));
        let seen = events(&mut watcher);
        assert_eq!(seen.len(), usize::from(reads));
        if let Some(EventKind::Request { sender, action, outcome }) = seen.first().map(|event| &event.kind) {
            assert_eq!((sender.port, *outcome), (Some(9), Outcome::Accepted));
            assert_eq!(action.service_key(), Some(key(1)));
        }
    }
}

/// A change of several programs: who sends how many.
fn style() -> impl Strategy<Value = Style> {
    (any::<bool>(), any::<bool>(), 1_usize..5, prop_oneof![Just(1), Just(5), any::<u16>().prop_map(u32::from)])
        .prop_map(|(is_named, all, at_once, sequence)| Style { is_named, all, at_once, sequence })
}

#[test]
fn every_change_of_any_programs_is_seen_once_with_its_outcome() {
    let command = prop_oneof![
        3 => (1_u16..4).prop_map(add),
        3 => (1_u16..4).prop_map(|number| Command::DeleteService(key(number))),
        1 => crate::strategies::command(),
    ];
    let programs = vec((style(), vec(command, 1..12)), 1..4);
    let mut named = 0;
    let law = |(programs, order): (Vec<(Style, Vec<Command>)>, Vec<prop::sample::Index>)| {
        let kernel = Fake::new(Table::new());
        let mut watcher = watcher();
        let mut running: Vec<_> = programs
            .iter()
            .zip(1_u32..)
            .map(|((style, commands), port)| {
                let program = Program::new(&kernel, port, *style);
                (program, commands.chunks(style.at_once), VecDeque::new(), Vec::new())
            })
            .collect();
        let mut order = order.iter().cycle();
        loop {
            // A program sends when its last datagram was acknowledged.
            for (program, chunks, packets, outcomes) in &mut running {
                if packets.is_empty() {
                    packets.extend(chunks.next().map(|chunk| program.send_for(chunk, outcomes)).unwrap_or_default());
                }
            }
            let mut ready: Vec<_> = running.iter_mut().filter(|(_, _, packets, _)| !packets.is_empty()).collect();
            if ready.is_empty() {
                break;
            }
            let place = order.next().unwrap().index(ready.len());
            watcher.packet(&ready[place].2.pop_front().unwrap(), at(0));
            watcher.settle(0, false, at(0));
        }
        let seen = changes(&mut watcher);
        assert_eq!(watcher.deadline(), None, "something is left");
        let all_named = programs.iter().all(|(style, _)| style.is_named);
        let mut unnamed: Vec<(Command, Outcome)> = Vec::new();
        for (program, _, _, outcomes) in &running {
            let own = seen.iter().filter(|(port, ..)| *port == Some(program.port));
            let mut rest = outcomes.iter();
            for (_, command, outcome) in own {
                // In their order; those in between were not named.
                loop {
                    let (sent, became) =
                        rest.next().unwrap_or_else(|| panic!("{command} was not sent by {}", program.port));
                    if sent == command && (became == outcome || *outcome == Outcome::Unknown) {
                        break;
                    }
                    unnamed.push((*sent, *became));
                }
            }
            unnamed.extend(rest);
        }
        // Known outcomes first: one that is not known would take the place of another.
        let mut rest: Vec<_> = seen.iter().filter(|(port, ..)| port.is_none()).collect();
        rest.sort_by_key(|(.., outcome)| *outcome == Outcome::Unknown);
        for (_, command, outcome) in rest {
            let is_it = |(sent, became): &(Command, Outcome)| {
                sent == command && (became == outcome || *outcome == Outcome::Unknown)
            };
            let place = unnamed.iter().position(is_it).unwrap_or_else(|| panic!("{command}: {outcome} was not sent"));
            unnamed.remove(place);
        }
        assert!(unnamed.is_empty(), "not seen: {unnamed:?}");
        let count: usize = programs.iter().map(|(_, commands)| commands.len()).sum();
        assert_eq!(seen.len(), count);
        if all_named || programs.len() == 1 {
            named += 1;
            assert!(seen.iter().all(|(port, _, outcome)| port.is_some() && *outcome != Outcome::Unknown));
        }
        Ok(())
    };
    let config = Config::with_cases(std::env::var("MONITOR_CASES").map_or(400, |text| text.parse().unwrap()));
    let order = vec(any::<prop::sample::Index>(), 1..30);
    let law = std::cell::RefCell::new(law);
    TestRunner::new(config).run(&(programs, order), |case| law.borrow_mut()(case)).unwrap();
    assert!(named > 0);
}

/// The table that the kernel has, compared as a monitor does.
fn compared(watcher: &mut Watcher<Everybody>, kernel: &Fake, now: Now) -> Vec<EventKind> {
    let table = kernel.world().table.clone();
    watcher.end_reading(Some(table), now);
    watcher.compare(false, now);
    events(watcher).into_iter().map(|event| event.kind).collect()
}

#[test]
fn what_no_request_explains_is_found_by_comparing() {
    let kernel = Fake::new(Table::new());
    let mut watcher = Watcher::new(FAMILY, false, Some(Duration::from_secs(60)), Everybody);
    assert!(watcher.wants_table(at(0)));
    watcher.begin_reading();
    assert_eq!(compared(&mut watcher, &kernel, at(0)), []);
    assert!(!watcher.wants_table(at(59)) && watcher.wants_table(at(61)));
    let mut program = Program::new(&kernel, 7, LIBNL);
    // One is seen, and one is not.
    for packet in program.send(&[add(1)]) {
        watcher.packet(&packet, at(1));
    }
    watcher.settle(0, false, at(1));
    events(&mut watcher);
    program.send(&[add(2)]);
    watcher.begin_reading();
    // While the table is read, this one is under way: the reading may have it or not.
    let packets = program.send(&[add(3)]);
    watcher.packet(&packets[0], at(61));
    watcher.settle(0, false, at(61));
    assert_eq!(compared(&mut watcher, &kernel, at(61)), [EventKind::Found(add(2))]);
    watcher.packet(&packets[1], at(62));
    watcher.settle(0, false, at(62));
    assert_eq!(changes(&mut watcher), [(Some(7), add(3), Outcome::Accepted)]);
    watcher.begin_reading();
    assert_eq!(compared(&mut watcher, &kernel, at(122)), []);
}

#[test]
fn a_loss_leads_to_a_comparison_and_a_failed_reading_to_another() {
    let kernel = Fake::new(Table::new());
    let mut watcher = Watcher::new(FAMILY, false, Some(Duration::from_secs(60)), Everybody);
    watcher.begin_reading();
    assert_eq!(compared(&mut watcher, &kernel, at(0)), []);
    Program::new(&kernel, 7, LIBNL).send(&[add(1)]);
    watcher.settle(2, false, at(5));
    assert_eq!(events(&mut watcher).pop().unwrap().kind, EventKind::Lost { packets: 2 });
    assert!(watcher.wants_table(at(5)));
    watcher.begin_reading();
    watcher.end_reading(None, at(5));
    watcher.compare(false, at(5));
    assert!(!watcher.wants_table(at(5)) && watcher.wants_table(at(7)));
    watcher.begin_reading();
    assert_eq!(compared(&mut watcher, &kernel, at(7)), [EventKind::Found(add(1))]);
}

#[test]
fn a_module_that_is_loaded_again_is_followed_to_its_new_number() {
    let mut watcher = Watcher::new(FAMILY, false, Some(Duration::from_secs(60)), Everybody);
    let mut announcement = Vec::new();
    wire::encode_family_id(&mut announcement, 0, FAMILY + 1);
    let command = 16;
    announcement[command] = 2; // CTRL_CMD_DELFAMILY
    assert!(watcher.announced(&announcement, at(0)));
    assert!(!watcher.wants_table(at(100)));
    announcement[command] = 1;
    assert!(watcher.announced(&announcement, at(0)));
    assert!(!watcher.announced(&announcement, at(0)));
    assert_eq!(watcher.family, FAMILY + 1);
    let kinds: Vec<_> = events(&mut watcher).into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds[..2], [EventKind::ModuleUnloaded, EventKind::ModuleLoaded]);
    // Another family's name.
    let name = announcement.windows(4).position(|bytes| bytes == b"IPVS").unwrap();
    announcement[name] = b'X';
    assert!(!watcher.announced(&announcement, at(0)));
    assert!(events(&mut watcher).is_empty());
    // What was done before the filter was replaced is found.
    let kernel = Fake::new(Table::new());
    Program::new(&kernel, 7, LIBNL).send(&[add(1)]);
    assert!(watcher.wants_table(at(0)));
    watcher.begin_reading();
    assert_eq!(compared(&mut watcher, &kernel, at(0)), [EventKind::Found(add(1))]);
}

#[test]
fn a_director_is_polled_where_netlink_can_not_be_watched() {
    let mut client = Client::fake(Table::new());
    let polled = client.try_clone().unwrap();
    let mut monitor = Monitor::builder().compare_every(Duration::from_millis(100)).poll(polled).unwrap();
    assert!(!monitor.sees_netlink());
    assert_eq!(monitor.next_before(Instant::now()).unwrap(), None);
    client.execute(&add(1)).unwrap();
    let event = monitor.next().unwrap().unwrap();
    assert_eq!(event.kind, EventKind::Found(add(1)));
}

#[test]
fn a_device_is_named_with_the_command_that_helps() {
    let name = crate::InterfaceName::new("tap0").unwrap();
    let text = |fault| MonitorError::Device { name, fault }.to_string();
    assert_eq!(text(DeviceFault::Down), "the device tap0 is down: ip link set tap0 up");
    assert_eq!(text(DeviceFault::OtherKind), "tap0 is not an nlmon device");
    let missing = "there is no nlmon device tap0: ip link add tap0 type nlmon; ip link set tap0 up";
    assert_eq!(text(DeviceFault::Missing), missing);
}

/// Only root may open one; nobody else gets further than that.
#[cfg(target_os = "linux")]
#[test]
fn own_sockets_are_found() {
    use netlink_sys::{Socket, protocols::NETLINK_GENERIC};
    let mut processes = super::process::Processes::new();
    let mut socket = Socket::new(NETLINK_GENERIC).unwrap();
    let port = socket.bind_auto().unwrap().port_number();
    for _ in 0..2 {
        assert_eq!(processes.process(port).unwrap().pid, std::process::id());
    }
    drop(socket);
    assert_eq!(processes.process(port), None);
}
