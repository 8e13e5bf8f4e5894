//! The structures against bytes of a kernel, against themselves, and against garbage.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::destination::Forwarding;
use crate::{Family, Protocol, strategies};

// What Linux 6.1 on x86_64 answers after
//   ipvsadm -A -t 10.0.0.1:80 -s rr
//   ipvsadm -a -t 10.0.0.1:80 -r 127.0.0.1:8080 -m -w 5 -x 10 -y 3
//   ipvsadm -a -t 10.0.0.1:80 -r 127.0.0.2 -g -w 0
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

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn a_kernels_answers() {
    let key = "tcp 10.0.0.1:80".parse().unwrap();
    let answer = unhex(SERVICE);
    assert_eq!((answer::key(GET_SERVICE, &answer), count(&answer)), (Some(key), Some(2)));
    let answer = unhex(DESTINATIONS);
    let asked = question(|buffer| ask_destinations(buffer, &key, 3)).unwrap();
    assert_eq!((asked.len(), &asked[..24]), (answer.len(), &answer[..24]));
    let quiesced = Destination::new("127.0.0.2:80".parse().unwrap()).with_weight(Weight::ZERO);
    let limited = Destination {
        forwarding: Forwarding::Masquerade,
        weight: Weight::new(5).unwrap(),
        upper_threshold: 10,
        lower_threshold: 3,
        ..Destination::new("127.0.0.1:8080".parse().unwrap())
    };
    assert_eq!(destinations(&answer), Some([quiesced, limited].map(DestinationState::new).to_vec()));
}

fn question(ask: impl FnOnce(&mut Vec<u8>) -> bool) -> Option<Vec<u8>> {
    let mut buffer = vec![0xff; 7];
    ask(&mut buffer).then_some(buffer)
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
fn short_answers_are_no_answers() {
    assert_eq!(count(&[0; 103]), None);
    assert_eq!(destinations(&[0; 23]), None);
    assert_eq!(destinations(&[0; 24 + 95]), Some(Vec::new()));
}

proptest! {
    #[test]
    fn questions_ask_what_they_were_given(protocol in any::<u16>(), ip in any::<[u8; 4]>(), port in any::<u16>(),
                                          mark in 1..=u32::MAX, room in 0..20usize) {
        let at = SocketAddrV4::new(ip.into(), port).into();
        let address = ServiceKey::Address { protocol: Protocol::from_number(protocol), at };
        let mark = ServiceKey::Mark { mark: crate::FirewallMark::new(mark).unwrap(), family: Family::V4 };
        for key in [address, mark] {
            let service = question(|buffer| ask_service(buffer, &key)).unwrap();
            prop_assert_eq!(answer::key(GET_SERVICE, &service), Some(key));
            let asked = question(|buffer| ask_destinations(buffer, &key, room)).unwrap();
            prop_assert_eq!(asked.len(), 24 + 96 * room);
            prop_assert_eq!(answer::key(GET_DESTINATIONS, &asked), Some(key));
            prop_assert_eq!(answer::key(GET_DESTINATIONS, &asked[1..]), None);
        }
    }

    #[test]
    fn answers_tell_what_is_there(states in vec(strategies::destination_state(), 0..9), room in 0..12usize) {
        let key = "mark 1".parse().unwrap();
        let mut buffer = question(|buffer| ask_destinations(buffer, &key, room)).unwrap();
        let here: Vec<_> = states.into_iter()
            .filter(|state| state.destination.family() == Family::V4 && !state.destination.address.ip().is_unspecified())
            .map(|state| DestinationState { statistics: Statistics::default(), ..state })
            .collect();
        answer::put_destinations(&mut buffer, here.iter());
        let told = &here[..room.min(here.len())];
        let has_tunnel = told.iter().any(|state| matches!(state.destination.forwarding, Forwarding::Tunnel(_)));
        prop_assert_eq!(destinations(&buffer), (!has_tunnel).then(|| told.to_vec()));
    }

    #[test]
    fn nothing_that_a_kernel_says_panics(bytes in vec(any::<u8>(), 0..400)) {
        let _ = (count(&bytes), destinations(&bytes));
        let _ = (answer::key(GET_SERVICE, &bytes), answer::key(GET_DESTINATIONS, &bytes));
    }
}
