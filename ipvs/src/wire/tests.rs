//! The codec against bytes that libnl and kernels made, against itself, and against garbage.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::command::Command;
use crate::strategies;
use crate::table::{DestinationState, ServiceState};
use crate::{
    Daemon, DaemonRole, Destination, Forwarding, InterfaceName, Netmask, Persistence, PersistenceEngine, Scheduler,
    SchedulerFlags, Service, Timeouts, Tunnel, TunnelFlags, Weight,
};

const FAMILY: u16 = 0x1c;
const GOLDEN: &str = include_str!("golden.txt");

/// How much of ipvsadm's message the codec's has.
#[derive(Clone, Copy, PartialEq)]
enum Likeness {
    /// Every byte.
    Same,
    /// ipvsadm also sends the configuration where the kernel wants the identity only, and what the
    /// kernel takes for granted.
    Shorter,
}
use Likeness::{Same, Shorter};

/// Each of ipvsadm's command lines in golden.txt, in order, as our value.
fn golden_commands() -> Vec<(Likeness, Command)> {
    let web = "tcp 10.0.0.1:80".parse().unwrap();
    let mark = "mark 5".parse().unwrap();
    let big = "mark 4294967295 ipv6".parse().unwrap();
    let service = |key: &str| Service::new(key.parse().unwrap());
    let persistent = |service: Service, seconds| service.with_persistence(Persistence::new(seconds).unwrap());
    let masked = |service: Service, mask: &str| service.with_netmask(mask.parse::<Netmask>().unwrap()).unwrap();
    let server = |at: &str| Destination::new(at.parse().unwrap());
    let tunnel = |at, tunnel| server(at).with_forwarding(Forwarding::Tunnel(tunnel));
    let gue = |flags| Tunnel::Gue { port: 7777.try_into().unwrap(), flags };
    let daemon = |role, interface: &str| Daemon::new(role, InterfaceName::new(interface).unwrap());

    let dns = service("udp 10.0.0.1:53").with_scheduler(Scheduler::RR).with_one_packet();
    let sctp = masked(persistent(service("sctp 10.0.0.1:5060"), 100), "255.255.255.0");
    let sctp = sctp.with_scheduler_flags(SchedulerFlags::FLAG_1 | SchedulerFlags::FLAG_2);
    let sh = persistent(service("mark 5"), 360).with_scheduler(Scheduler::SH);
    let sh = sh.with_scheduler_flags(SchedulerFlags::SH_FALLBACK | SchedulerFlags::SH_PORT);
    let mh = masked(persistent(Service::new(big), 300), "64").with_scheduler(Scheduler::MH);
    let mh = mh.with_scheduler_flags(SchedulerFlags::MH_PORT | SchedulerFlags::FLAG_3);
    let v6 = masked(persistent(service("tcp [2001:db8::1]:443"), 2_678_400), "1").with_scheduler(Scheduler::LBLCR);
    let sip = persistent(service("udp 10.0.0.9:5060"), 30).with_scheduler(Scheduler::RR);
    let sip = sip.with_engine(PersistenceEngine::SIP).with_one_packet();
    let nat = server("127.0.0.1:8080").with_forwarding(Forwarding::Masquerade);
    let limited = Destination { weight: Weight::new(5).unwrap(), upper_threshold: 10, lower_threshold: 3, ..nat };
    let largest = i32::MAX as u32;
    let edited =
        Destination { weight: Weight::new(7).unwrap(), upper_threshold: largest, lower_threshold: largest, ..nat };
    let marked = server("127.0.0.1:99").with_forwarding(Forwarding::Masquerade);
    let heavy = tunnel("127.0.0.5:80", Tunnel::Gre { flags: TunnelFlags::CHECKSUM }).with_weight(Weight::MAX);

    vec![
        (Same, Command::AddService(Service::new(web))),
        (Same, Command::AddService(dns)),
        (Same, Command::AddService(sctp.with_scheduler(Scheduler::WRR))),
        (Same, Command::AddService(sh)),
        (Same, Command::AddService(mh)),
        (Same, Command::AddService(v6)),
        (Same, Command::AddService(sip)),
        (Same, Command::EditService(Service::new(web).with_scheduler(Scheduler::NQ))),
        (
            Same,
            Command::EditService(
                masked(persistent(Service::new(mark), 50), "255.255.0.0").with_scheduler(Scheduler::RR),
            ),
        ),
        (Shorter, Command::DeleteService(web)),
        (Shorter, Command::DeleteService(big)),
        (Same, Command::AddService(Service::new(web))),
        (Same, Command::AddService(Service::new(big))),
        (Shorter, Command::AddDestination(web, server("127.0.0.1:80"))),
        (Shorter, Command::AddDestination(web, limited)),
        (Shorter, Command::AddDestination(web, tunnel("127.0.0.2:80", Tunnel::Ipip).with_weight(Weight::ZERO))),
        (Shorter, Command::AddDestination(web, tunnel("127.0.0.3:80", gue(TunnelFlags::CHECKSUM)))),
        (Shorter, Command::AddDestination(web, tunnel("127.0.0.4:80", gue(TunnelFlags::REMOTE_CHECKSUM)))),
        (Shorter, Command::AddDestination(web, heavy)),
        (Shorter, Command::AddDestination(web, tunnel("[::1]:80", Tunnel::Ipip))),
        (Shorter, Command::AddDestination(mark, marked)),
        (Shorter, Command::EditDestination(web, edited)),
        (Shorter, Command::DeleteDestination(web, "127.0.0.1:8080".parse().unwrap())),
        (Shorter, Command::DeleteDestination(mark, "127.0.0.1:99".parse().unwrap())),
        (Same, Command::Zero(None)),
        (Shorter, Command::Zero(Some(web))),
        (Same, Command::Flush),
        (Same, Command::SetTimeouts(Timeouts { tcp: Some(1), tcp_fin: Some(2), udp: Some(3) })),
        (Same, Command::SetTimeouts(Timeouts { tcp: Some(0), tcp_fin: Some(0), udp: Some(5) })),
        (
            Same,
            Command::StartDaemon(Daemon {
                sync_id: 5,
                max_len: Some(1000),
                group: Some("224.0.0.9".parse().unwrap()),
                port: Some(9999),
                ttl: Some(3),
                ..daemon(DaemonRole::Master, "lo")
            }),
        ),
        (
            Same,
            Command::StartDaemon(Daemon {
                group: Some("ff05::1".parse().unwrap()),
                ..daemon(DaemonRole::Backup, "lo")
            }),
        ),
        (Same, Command::StartDaemon(daemon(DaemonRole::Master, "eth0"))),
        (Shorter, Command::StopDaemon(DaemonRole::Master)),
        (Shorter, Command::StopDaemon(DaemonRole::Backup)),
    ]
}

/// The lines of golden.txt: what was typed, and the message after its netlink header.
fn golden() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let lines = GOLDEN.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let (typed, hex) = line.split_once(" => ").unwrap();
        (typed, recorded(hex))
    })
}

/// A message after its netlink header that was recorded on x86_64, as it would be on this machine:
/// the first byte of a number is the lowest there.
pub(crate) fn recorded(hex: &str) -> Vec<u8> {
    let mut message = unhex(hex);
    turn_message(&mut message);
    message
}

/// The same in place.
pub(crate) fn turn_message(message: &mut [u8]) {
    if cfg!(target_endian = "little") || message.len() < 4 {
        return;
    }
    let (header, attributes) = message.split_at_mut(4);
    // Only of a reply about the director is each attribute a number.
    let nest = if header[0] == 14 { Nest::Numbers } else { Nest::Top };
    turn(attributes, nest);
}

/// Where an attribute is, which decides what it holds.
#[derive(Clone, Copy)]
enum Nest {
    Top,
    Service { is_v6: bool },
    Destination,
    Daemon,
    Numbers,
}

/// Turns the numbers around, except those in network byte order.
fn turn(mut attributes: &mut [u8], nest: Nest) {
    while attributes.len() >= 4 {
        let [length, kind] = [0, 2].map(|at| u16::from_le_bytes([attributes[at], attributes[at + 1]]));
        attributes[..2].reverse();
        attributes[2..4].reverse();
        let end = usize::from(length).clamp(4, attributes.len());
        let value = &mut attributes[4..end];
        match (nest, kind & 0x3fff) {
            (Nest::Top, 1) => {
                let is_v6 = value.get(..6) == Some(&[6, 0, 1, 0, 10, 0]);
                turn(value, Nest::Service { is_v6 });
            }
            (Nest::Top, 2) => turn(value, Nest::Destination),
            (Nest::Top, 3) => turn(value, Nest::Daemon),
            (Nest::Service { .. }, 10 | 12) | (Nest::Destination, 10 | 12) => turn(value, Nest::Numbers),
            (Nest::Service { .. }, 3 | 4 | 6 | 11) | (Nest::Service { is_v6: false }, 9) => {}
            (Nest::Service { .. }, 7) => value.chunks_mut(4).for_each(<[u8]>::reverse),
            (Nest::Destination, 1 | 2 | 14) | (Nest::Daemon, 2 | 5 | 6) => {}
            _ => value.reverse(),
        }
        let next = end.next_multiple_of(4).min(attributes.len());
        attributes = &mut attributes[next..];
    }
}

pub(crate) fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// A message without its netlink header.
fn encoded(encode: impl FnOnce(&mut Vec<u8>, Header)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out, Header::request(FAMILY, 1));
    out.split_off(16)
}

#[test]
fn changes_are_what_ipvsadm_sends() {
    let commands = golden_commands();
    for ((typed, recorded), (likeness, command)) in golden().zip(&commands) {
        let own = encoded(|out, header| encode_change(out, header, command));
        if *likeness == Same {
            assert_eq!(own, recorded, "ipvsadm {typed}");
        }
        let header = Header::request(FAMILY, 1);
        let understood = decode_request(&header, recorded[0], &recorded[4..]).unwrap();
        assert!(
            matches!(understood, Some(Request::Change(understood)) if understood == *command),
            "ipvsadm {typed}: {understood:?}, not {command:?}"
        );
    }
}

/// But for what the kernel takes for granted: that an address is of the service's family, and that
/// what is no tunnel has nothing of one.
#[test]
fn destinations_are_what_ipvsadm_sends() {
    const FWD_METHOD: u16 = 3;
    const ADDR_FAMILY: u16 = 11;
    const TUNNEL: std::ops::RangeInclusive<u16> = 13..=15;
    for ((typed, recorded), (_, command)) in golden().zip(golden_commands()) {
        if let Command::AddDestination(key, destination) | Command::EditDestination(key, destination) = command {
            let is_tunnel = matches!(destination.forwarding, Forwarding::Tunnel(_));
            let is_other = destination.address.is_ipv6() != (key.family() == crate::Family::V6);
            let own = encoded(|out, header| encode_change(out, header, &command));
            let mut recorded = nest(&recorded);
            assert!(recorded.iter().any(|(kind, _)| *kind == FWD_METHOD), "ipvsadm {typed}");
            recorded.retain(|(kind, _)| match *kind {
                ADDR_FAMILY => is_other,
                kind => is_tunnel || !TUNNEL.contains(&kind),
            });
            assert_eq!(nest(&own), recorded, "ipvsadm {typed}");
        }
    }
}

/// The attributes of the second nest in a message, which are a destination's.
fn nest(message: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let second = attr::attrs(&message[4..]).nth(1).unwrap().unwrap();
    attr::attrs(second.bytes()).map(|attr| attr.map(|attr| (attr.kind, attr.bytes().to_vec())).unwrap()).collect()
}

#[test]
fn reads_are_what_ipvsadm_sends() {
    let web = "tcp 10.0.0.1:80".parse().unwrap();
    let reads = [Read::Timeouts, Read::Daemons, Read::Services, Read::Destinations(web)];
    let lines: Vec<_> = golden().skip(golden_commands().len()).filter(|(typed, _)| typed.starts_with("-L")).collect();
    assert_eq!(lines.len(), reads.len(), "every line of golden.txt is compared with something");
    for ((typed, recorded), read) in lines.iter().zip(reads) {
        assert_eq!(&encoded(|out, header| encode_read(out, header, &read)), recorded, "ipvsadm {typed}");
    }
}

#[test]
fn what_a_newer_kernel_adds_is_no_error() {
    let state = ServiceState::new(Service::new("tcp 10.0.0.1:80".parse().unwrap()));
    let mut reply = encoded(|out, header| encode_service(out, header, &state));
    // An attribute of a number far above all known, first beside the nest, then in it.
    reply.extend([8_u16, 0xff].map(u16::to_ne_bytes).concat());
    reply.extend([1, 2, 3, 4]);
    assert_eq!(decode_service(&reply[4..], Detail::Statistics).unwrap(), state);
    let length = u16::from_ne_bytes([reply[4], reply[5]]) + 8;
    reply[4..6].copy_from_slice(&length.to_ne_bytes());
    assert_eq!(decode_service(&reply[4..], Detail::Statistics).unwrap(), state);
}

/// A receiver would wait for what never comes, or take what nobody asked for as the reply to its
/// next question.
#[test]
fn only_who_asks_is_acknowledged() {
    let mut change = Vec::new();
    encode_change(&mut change, Header::request(crate::fake::FAMILY, 1), &Command::Flush);
    let acknowledgements = |change: &[u8]| {
        let mut fake = crate::fake::Fake::new(crate::Table::new());
        fake.send(change).unwrap();
        let mut reply = Vec::new();
        let received = fake.receive(&mut reply).ok()?;
        assert_eq!(received, reply.len());
        Some(messages(&reply).map(|message| message.unwrap().1 == Body::Ack(0)).collect())
    };
    assert_eq!(acknowledgements(&change), None::<Vec<bool>>);
    for _ in 0..2 {
        request_ack(&mut change);
        assert_eq!(acknowledgements(&change), Some(vec![true]), "asked again, it is still asked for");
    }
}

#[test]
fn a_message_that_says_nothing_is_skipped() {
    let mut datagram = vec![0; 16];
    datagram[..4].copy_from_slice(&16_u32.to_ne_bytes());
    datagram[4..6].copy_from_slice(&1_u16.to_ne_bytes());
    encode_ack(&mut datagram, 7);
    let read: Vec<_> =
        messages(&datagram).map(|message| message.map(|(header, body)| (header.sequence, body))).collect();
    assert_eq!(read, [Ok((7, Body::Ack(0)))]);
}

#[test]
fn a_family_is_known_by_its_name() {
    let mut reply = Vec::new();
    encode_family_id(&mut reply, 1, FAMILY);
    assert_eq!(decode_family_id(&reply[20..]), Ok(FAMILY));
    assert_eq!(decode_family_id(&[]), Err(WireError::Missing("CTRL_ATTR_FAMILY_ID")));
}

#[test]
fn of_the_controller_only_our_family_is_asked() {
    let mut question = Vec::new();
    encode_resolve(&mut question, 1);
    let (header, Body::Family { command, attrs }) = messages(&question).next().unwrap().unwrap() else { panic!() };
    assert!(matches!(decode_request(&header, command, attrs), Ok(Some(Request::Resolve))));
    assert!(matches!(decode_request(&header, command + 1, attrs), Ok(None)), "another command");
    assert!(matches!(decode_request(&header, command, &[]), Ok(None)), "no name");
    let mut other = attrs.to_vec();
    other[4..8].copy_from_slice(b"TEAM");
    assert!(matches!(decode_request(&header, command, &other), Ok(None)), "another name");
}

#[test]
fn a_short_attribute_is_named() {
    let bytes = [[5_u16, 4].map(u16::to_ne_bytes).concat(), vec![9, 0, 0, 0]].concat();
    let error = decode_timeouts(&bytes).unwrap_err();
    assert_eq!(error.to_string(), "attribute IPVS_CMD_ATTR_TIMEOUT_TCP has only 1 bytes");
}

proptest! {
    #[test]
    fn changes_survive_the_wire(command in strategies::command()) {
        let mut datagram = Vec::new();
        encode_change(&mut datagram, Header::request(FAMILY, 9), &command);
        let (header, body) = messages(&datagram).next().unwrap().unwrap();
        prop_assert_eq!(header, Header::request(FAMILY, 9));
        let Body::Family { command: number, attrs } = body else { panic!("{body:?}") };
        let request = decode_request(&header, number, attrs).unwrap();
        let same = matches!(request, Some(Request::Change(decoded)) if decoded == command);
        prop_assert!(same, "{:?}", request);
    }

    #[test]
    fn services_survive_the_wire(service in strategies::service(), statistics in option::of(strategies::statistics())) {
        let state = ServiceState { service, statistics };
        let reply = encoded(|out, header| encode_service(out, header, &state));
        prop_assert_eq!(decode_service(&reply[4..], Detail::Statistics), Ok(state));
    }

    #[test]
    fn destinations_survive_the_wire(
        destination in strategies::destination(),
        statistics in option::of(strategies::statistics()),
        [active_connections, inactive_connections, persistent_connections] in any::<[u32; 3]>(),
        key in strategies::key(),
    ) {
        let state =
            DestinationState { destination, active_connections, inactive_connections, persistent_connections, statistics };
        let reply = encoded(|out, header| encode_destination(out, header, &state));
        prop_assert_eq!(decode_destination(&reply[4..], key.family(), Detail::Statistics), Ok(state));
    }

    #[test]
    fn many_messages_survive_one_datagram(commands in vec(strategies::command(), 0..20)) {
        let mut datagram = Vec::new();
        for command in &commands {
            encode_change(&mut datagram, Header::request(FAMILY, 9), command);
        }
        prop_assert_eq!(messages(&datagram).filter(Result::is_ok).count(), commands.len());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200), command in any::<u8>(), flags in any::<u16>()) {
        messages(&bytes).for_each(drop);
        decode_anything(&bytes, command, flags);
    }

    #[test]
    fn damaged_messages_never_panic(
        command in strategies::command(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encoded(|out, header| encode_change(out, header, &command));
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        decode_anything(bytes.get(4..).unwrap_or_default(), bytes[0], 0);
    }

    #[test]
    fn the_fake_kernel_survives_garbage(mut bytes in vec(any::<u8>(), 0..200)) {
        // What is for another family it does not look at.
        if let Some(family) = bytes.get_mut(4..6) {
            family.copy_from_slice(&crate::fake::FAMILY.to_ne_bytes());
        }
        let mut fake = crate::fake::Fake::new(crate::Table::new());
        fake.send(&bytes).unwrap();
    }
}

fn decode_anything(bytes: &[u8], command: u8, flags: u16) {
    for family in [FAMILY, 0x10] {
        let _ = decode_request(&Header { family, flags, sequence: 0 }, command, bytes);
    }
    let _ = decode_service(bytes, Detail::Statistics);
    let _ = decode_destination(bytes, crate::Family::V6, Detail::Statistics);
    let _ = decode_daemon(bytes);
    let _ = decode_timeouts(bytes);
    let _ = decode_info(bytes);
    let _ = decode_family_id(bytes);
}
