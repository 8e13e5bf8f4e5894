//! The structures against bytes of a kernel, against themselves, and against garbage.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::destination::{Destination, Forwarding, Tunnel, Weight};
use crate::service::ServiceKey;
use crate::stats::Rates;
use crate::table::{DestinationState, ServiceState};
use crate::wire::Detail;
use crate::wire::tests::unhex;
use crate::{
    Daemon, DaemonRole, Errno, Family, FirewallMark, Info, InterfaceName, Netmask, Persistence, Protocol, Scheduler,
    SchedulerFlags, Service, Statistics, Timeouts, Version, strategies,
};

// What Linux 6.1 on x86_64 replies after
// ipvsadm -A -t 10.0.0.1:80 -s rr
// ipvsadm -a -t 10.0.0.1:80 -r 127.0.0.1:8080 -m -w 5 -x 10 -y 3
// ipvsadm -a -t 10.0.0.1:80 -r 127.0.0.2 -g -w 0
/// Asked for the service.
const SERVICE: &str = "\
    060000000a0000010050000000000000727200000000000000000000000000000200000000000000ffffffff0200000000000000\
    00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000";
/// Asked for its destinations, with room for three.
const DESTINATIONS: &str = "\
    060000000a000001005000000000000003000000000000007f000002005000008301000000000000000000000000000000000000\
    00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    000000000000000000000000000000007f0000011f90000000010000050000000a00000003000000000000000000000000000000\
    00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000";

// What it replies after
// ipvsadm --set 800 100 200
// ipvsadm -A -t 10.0.0.1:80 -s sh -b sh-port -p 300 -M 255.255.255.0
// ipvsadm -A -f 7 -s wlc
// ipvsadm -A -u 10.0.0.1:53 -s rr -o
// ipvsadm -a -u 10.0.0.1:53 -r 127.0.0.1:5353 -m -w 5 -x 10 -y 3
// ipvsadm -A -t [2001:db8::1]:80 -s rr
// ipvsadm --start-daemon backup --mcast-interface lo --syncid 9
// and a packet of 33 bytes to 10.0.0.1:53.
const INFO: &str = "010201000010000003000000";
/// With room for four.
const SERVICES: &str = "\
    0400000000000000060000000a000001005000000000000073680000000000000000000000000000130000002c010000ffffff00\
    00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    0000000000000000110000000a0000010035000000000000727200000000000000000000000000000600000000000000ffffffff\
    01000000010000000100000000000000000000002100000000000000000000000000000000000000000000000000000002000000\
    000000000000000006000000000000000000000007000000776c63000000000000000000000000000200000000000000ffffffff\
    00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    0000000000000000";
/// Of the second service, with room for two.
const COUNTED: &str = "\
    110000000a000001003500000000000002000000000000007f00000114e9000000010000050000000a0000000300000000000000\
    00000000000000000000000001000000010000000000000000000000210000000000000000000000000000000000000000000000\
    00000000020000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    0000000000000000";
const TIMEOUTS: &str = "2003000064000000c8000000";
const DAEMONS: &str = "\
    000000000000000000000000000000000000000000000000020000006c6f000000000000000000000000000009000000";

// The words of the structures: `h` is a number of 16 bits and two bytes between, `w` one of 32
// bits, `q` one of 64, and `r` four bytes of something else, or in network byte order.
const STATISTICS_WORDS: &str = "wwwrqqwwwwwr";
const SERVICE_WORDS: &str = "hrrwrrrrwwrw";
const DESTINATION_WORDS: &str = "rrwwwwwwwr";

/// A recorded reply as the kernel of this machine would write it: words at its beginning, then as
/// many times as they fit those of an entry.
fn recorded(hex: &str, beginning: &str, entry: &str) -> Vec<u8> {
    let mut reply = unhex(hex);
    let mut words = beginning.chars().chain(entry.chars().cycle());
    let mut rest = reply.as_mut_slice();
    while !rest.is_empty() {
        let kind = words.next().unwrap();
        let (number, length) = match kind {
            'h' => (2, 4),
            'w' => (4, 4),
            'q' => (8, 8),
            _ => (0, 4),
        };
        let (word, after) = rest.split_at_mut(length);
        if cfg!(target_endian = "big") {
            word[..number].reverse();
        }
        rest = after;
    }
    reply
}

fn recorded_services(hex: &str, beginning: &str) -> Vec<u8> {
    recorded(hex, beginning, &[SERVICE_WORDS, STATISTICS_WORDS].concat())
}

fn recorded_destinations(hex: &str) -> Vec<u8> {
    recorded(hex, "hrrwwr", &[DESTINATION_WORDS, STATISTICS_WORDS].concat())
}

fn recorded_daemons() -> Vec<u8> {
    recorded(DAEMONS, "", "wrrrrw")
}

/// As a C compiler finds them in `linux/ip_vs.h`.
#[test]
fn the_numbers_of_questions() {
    let options = [GET_INFO, GET_SERVICES, GET_SERVICE, GET_DESTINATIONS, GET_TIMEOUTS, GET_DAEMONS];
    assert_eq!(options, [1153, 1154, 1155, 1156, 1158, 1159]);
}

#[test]
fn a_kernels_replies() {
    let key = "tcp 10.0.0.1:80".parse().unwrap();
    let reply = recorded_services(SERVICE, "");
    assert_eq!(Question::read(GET_SERVICE, &reply), Some(Question::Service(key)));
    assert_eq!(destination_count(&reply), Some(2));
    let reply = recorded_destinations(DESTINATIONS);
    let asked = question(|buffer| ask_destinations(buffer, &key, 3)).unwrap();
    assert_eq!((asked.len(), &asked[..24]), (reply.len(), &reply[..24]));
    let quiesced = Destination::new("127.0.0.2:80".parse().unwrap()).with_weight(Weight::ZERO);
    let mut expected = [quiesced, limited("127.0.0.1:8080")].map(DestinationState::new).to_vec();
    assert_eq!(destinations(&reply, Detail::Statistics, None), Some(expected.clone()));
    expected.iter_mut().for_each(|state| state.statistics = None);
    assert_eq!(destinations(&reply, Detail::NoStatistics, None), Some(expected));
}

fn limited(at: &str) -> Destination {
    Destination {
        forwarding: Forwarding::Masquerade,
        weight: Weight::new(5).unwrap(),
        upper_threshold: 10,
        lower_threshold: 3,
        ..Destination::new(at.parse().unwrap())
    }
}

/// One packet, and of the rates one that has not yet faded.
fn one_packet() -> Statistics {
    let rates = Rates { bytes_in: 2, ..Rates::default() };
    Statistics { connections: 1, packets_in: 1, bytes_in: 33, rates, ..Statistics::default() }
}

#[test]
fn a_kernels_services() {
    let web = Service::new("tcp 10.0.0.1:80".parse().unwrap())
        .with_scheduler(Scheduler::SH)
        .with_scheduler_flags(SchedulerFlags::FLAG_2)
        .with_persistence(Persistence::new(300).unwrap())
        .with_netmask(Netmask::v4([255, 255, 255, 0]))
        .unwrap();
    let names = Service::new("udp 10.0.0.1:53".parse().unwrap()).with_scheduler(Scheduler::RR).with_one_packet();
    let marked = Service::new("mark 7".parse().unwrap());
    let mut expected = [web, names, marked].map(ServiceState::new);
    expected[1].statistics = Some(one_packet());
    assert_eq!(services(&recorded_services(SERVICES, "wr")), Some(expected.to_vec()));
    let server =
        DestinationState { statistics: Some(one_packet()), ..DestinationState::new(limited("127.0.0.1:5353")) };
    assert_eq!(destinations(&recorded_destinations(COUNTED), Detail::Statistics, None), Some(vec![server]));
    let mut written = question(|buffer| ask_services(buffer, 4)).unwrap();
    put_services(&mut written, expected.iter().zip([0, 1, 0]));
    assert_eq!(written, recorded_services(SERVICES, "wr"));
}

#[test]
fn what_a_kernel_says_of_the_whole_director() {
    let version = Version { major: 1, minor: 2, patch: 1 };
    assert_eq!(info(&recorded(INFO, "", "w")), Some((Info { version, connection_table_size: 4096 }, 3)));
    let expected = Timeouts { tcp: Some(800), tcp_fin: Some(100), udp: Some(200) };
    assert_eq!(timeouts(&recorded(TIMEOUTS, "", "w")), Some(expected));
    let backup = Daemon { sync_id: 9, ..Daemon::new(DaemonRole::Backup, InterfaceName::LOOPBACK) };
    assert_eq!(daemons(&recorded_daemons()), Some(vec![backup]));
}

/// No traffic makes all of them differ.
#[test]
fn each_number_has_its_place() {
    let expected = Statistics {
        connections: 0x01,
        packets_in: 0x02,
        packets_out: 0x03,
        bytes_in: 0x0004_0000_0000,
        bytes_out: 0x0005_0000_0000,
        rates: Rates { connections: 0x06, packets_in: 0x07, packets_out: 0x08, bytes_in: 0x09, bytes_out: 0x0a },
    };
    // As `struct ip_vs_stats_user` has them.
    let bytes = recorded(
        "01000000020000000300000000000000\
         0000000004000000\
         0000000005000000\
         060000000700000008000000090000000a00000000000000",
        STATISTICS_WORDS,
        "",
    );
    let mut service = question(|buffer| ask_services(buffer, 1)).unwrap();
    service[8 + 12..][..4].copy_from_slice(&7_u32.to_ne_bytes());
    service[8 + 48..].copy_from_slice(&bytes);
    assert_eq!(services(&service).unwrap()[0].statistics, Some(expected));
    let mut server = question(|buffer| ask_destinations(buffer, &"mark 7".parse().unwrap(), 1)).unwrap();
    server[24] = 10;
    server[24 + 40..].copy_from_slice(&bytes);
    assert_eq!(destinations(&server, Detail::Statistics, None).unwrap()[0].statistics, Some(expected));
}

#[test]
fn no_table_is_as_long_as_that() {
    let key = "mark 1".parse().unwrap();
    for room in [(256 << 20) / 96 + 1, i32::MAX as usize / 96, u32::MAX as usize, usize::MAX / 96, usize::MAX] {
        assert_eq!(question(|buffer| ask_services(buffer, room)), None, "{room}");
        assert_eq!(question(|buffer| ask_destinations(buffer, &key, room)), None, "{room}");
    }
}

/// What `ask` writes, over what was there before.
fn question(ask: impl FnOnce(&mut Vec<u8>) -> bool) -> Option<Vec<u8>> {
    let mut buffer = vec![0xff; 7];
    ask(&mut buffer).then_some(buffer)
}

fn asked(ask: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut buffer = vec![0xff; 7];
    ask(&mut buffer);
    buffer
}

#[test]
fn only_ipv4_can_be_asked_about() {
    for (key, may) in
        [("tcp 10.0.0.1:80", true), ("mark 1", true), ("tcp [2001:db8::1]:80", false), ("mark 1 ipv6", false)]
    {
        let key = key.parse().unwrap();
        assert_eq!(question(|buffer| ask_service(buffer, &key)).is_some(), may, "{key}");
        assert_eq!(question(|buffer| ask_destinations(buffer, &key, 3)).is_some(), may, "{key}");
    }
}

#[test]
fn short_replies_are_no_replies() {
    assert_eq!(destination_count(&[0; 103]), None);
    assert_eq!(destinations(&[0; 23], Detail::Statistics, None), None);
    assert_eq!(destinations(&[0; 24 + 95], Detail::Statistics, None), Some(Vec::new()));
    assert_eq!(services(&[0; 7]), None);
    assert_eq!(services(&[0; 8 + 103]), Some(Vec::new()));
    assert_eq!((info(&[0; 11]), timeouts(&[0; 11]), daemons(&[0; 47])), (None, None, None));
}

#[test]
fn a_daemon_without_an_interface_is_no_daemon() {
    let mut reply = recorded_daemons();
    reply[24 + 4] = 0;
    assert_eq!(daemons(&reply), None);
}

/// As the reply has them: the lower 32 bits.
fn truncated(statistics: Statistics) -> Statistics {
    let cut = |counter: u64| u64::from(counter as u32);
    let Rates { connections, packets_in, packets_out, bytes_in, bytes_out } = statistics.rates;
    Statistics {
        connections: cut(statistics.connections),
        packets_in: cut(statistics.packets_in),
        packets_out: cut(statistics.packets_out),
        rates: Rates {
            connections: cut(connections),
            packets_in: cut(packets_in),
            packets_out: cut(packets_out),
            bytes_in: cut(bytes_in),
            bytes_out: cut(bytes_out),
        },
        ..statistics
    }
}

proptest! {
    #[test]
    fn questions_ask_what_they_were_given(protocol in any::<u16>(), ip in any::<[u8; 4]>(), port in any::<u16>(),
                                          mark in 1..=u32::MAX, room in 0..20usize) {
        let at = std::net::SocketAddrV4::new(ip.into(), port).into();
        let address = ServiceKey::Address { protocol: Protocol::from_number(protocol), at };
        let mark = ServiceKey::Mark { mark: FirewallMark::new(mark).unwrap(), family: Family::V4 };
        for key in [address, mark] {
            let service = question(|buffer| ask_service(buffer, &key)).unwrap();
            prop_assert_eq!(Question::read(GET_SERVICE, &service), Some(Question::Service(key)));
            let asked = question(|buffer| ask_destinations(buffer, &key, room)).unwrap();
            prop_assert_eq!(asked.len(), 24 + 96 * room);
            prop_assert_eq!(Question::read(GET_DESTINATIONS, &asked), Some(Question::Destinations(key)));
            prop_assert_eq!(Question::read(GET_DESTINATIONS, &asked[1..]), None);
        }
        let all = question(|buffer| ask_services(buffer, room)).unwrap();
        prop_assert_eq!(all.len(), 8 + 104 * room);
        prop_assert_eq!(Question::read(GET_SERVICES, &all), Some(Question::Services));
        prop_assert_eq!(Question::read(GET_SERVICES, &all[1..]), None);
    }

    #[test]
    fn replies_tell_what_is_there(states in vec(strategies::destination_state(), 0..9), room in 0..12usize) {
        let key = "mark 1".parse().unwrap();
        let mut buffer = question(|buffer| ask_destinations(buffer, &key, room)).unwrap();
        let here: Vec<_> = states.into_iter()
            .filter(|state| state.destination.family() == Family::V4 && !state.destination.address.ip().is_unspecified())
            .map(|state| DestinationState { statistics: state.statistics.map(truncated), ..state })
            .collect();
        put_destinations(&mut buffer, here.iter());
        let mut here = here[..room.min(here.len())].to_vec();
        let mut has_tunnel = false;
        for state in &mut here {
            if let Forwarding::Tunnel(tunnel) = &mut state.destination.forwarding {
                has_tunnel = true;
                *tunnel = Tunnel::Gre { flags: Default::default() };
            }
        }
        let taken_for = Some(Tunnel::Gre { flags: Default::default() });
        prop_assert_eq!(destinations(&buffer, Detail::Statistics, taken_for), Some(here.clone()));
        prop_assert_eq!(destinations(&buffer, Detail::Statistics, None), (!has_tunnel).then(|| here.clone()));
        here.iter_mut().for_each(|state| state.statistics = None);
        prop_assert_eq!(destinations(&buffer, Detail::NoStatistics, None), (!has_tunnel).then_some(here));
    }

    #[test]
    fn services_are_listed_without_engines(all in vec((strategies::service(), strategies::statistics()), 0..9), room in 0..12usize) {
        let mut buffer = question(|buffer| ask_services(buffer, room)).unwrap();
        let all: Vec<_> = all.into_iter().map(|(service, statistics)| ServiceState { service, statistics: Some(statistics) }).collect();
        put_services(&mut buffer, all.iter().map(|state| (state, 7)));
        let here = all.into_iter().filter(|state| state.service.key().family() == Family::V4).take(room);
        let here: Vec<_> = here
            .map(|mut state| {
                state.service.engine = None;
                state.statistics = state.statistics.map(truncated);
                state
            })
            .collect();
        prop_assert_eq!(services(&buffer), Some(here));
    }

    #[test]
    fn the_rest_is_reported_as_far_as_it_goes(given in strategies::timeouts(), daemon in strategies::daemon(), count in any::<u16>()) {
        let mut buffer = asked(ask_timeouts);
        prop_assert_eq!(Question::read(GET_TIMEOUTS, &buffer), Some(Question::Timeouts));
        put_timeouts(&mut buffer, &given);
        let not_zero = |seconds: Option<u32>| seconds.filter(|seconds| *seconds != 0);
        let there = Timeouts { tcp: not_zero(given.tcp), tcp_fin: not_zero(given.tcp_fin), udp: not_zero(given.udp) };
        prop_assert_eq!(timeouts(&buffer), Some(there));
        let mut buffer = asked(ask_daemons);
        prop_assert_eq!(Question::read(GET_DAEMONS, &buffer), Some(Question::Daemons));
        put_daemons(&mut buffer, &[daemon]);
        let named = Daemon { sync_id: daemon.sync_id, ..Daemon::new(daemon.role, daemon.interface) };
        prop_assert_eq!(daemons(&buffer), Some(vec![named]));
        let mut buffer = asked(ask_info);
        prop_assert_eq!(Question::read(GET_INFO, &buffer), Some(Question::Info));
        let size = Info { version: Version { major: 1, minor: 2, patch: 3 }, connection_table_size: count.into() };
        put_info(&mut buffer, size, count.into());
        prop_assert_eq!(info(&buffer), Some((size, count.into())));
    }

    #[test]
    fn nothing_that_a_kernel_says_panics(bytes in vec(any::<u8>(), 0..400), option in GET_INFO - 1..=GET_DAEMONS + 1) {
        let _ = (destination_count(&bytes), info(&bytes), timeouts(&bytes), daemons(&bytes));
        let _ = destinations(&bytes, Detail::Statistics, Some(Tunnel::Ipip));
        let _ = services(&bytes);
        let _ = Question::read(option, &bytes);
    }
}

/// The kernel would write behind them.
#[test]
fn questions_that_are_too_short_are_refused() {
    for (option, length) in [(GET_INFO, 12), (GET_TIMEOUTS, 12), (GET_DAEMONS, 48), (GET_SERVICE, 104)] {
        assert!(Question::read(option, &vec![0; length]).is_some(), "{option}");
        assert_eq!(Question::read(option, &vec![0; length - 1]), None, "{option}");
    }
}

/// The kernel knows no other options to ask.
#[test]
fn other_questions_are_none() {
    for option in [0, GET_INFO - 1, GET_DESTINATIONS + 1, GET_DAEMONS + 1] {
        assert_eq!(Question::read(option, &[0; 48]), None);
        assert_eq!(crate::fake::Fake::new(crate::Table::new()).ask(option, &mut [0; 48]), Err(Errno::EINVAL));
    }
}
