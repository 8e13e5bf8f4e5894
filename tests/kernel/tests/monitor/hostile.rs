//! Users without privileges who want a monitor to report what did not happen.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ipvs::monitor::{Action, EventKind, Monitor, Outcome, Sender};
use ipvs::{Client, Command, InterfaceName, Service};
use kernel_tests::sandbox;
use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt::RcvBuf};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use super::library::ip;

const REQUEST: u16 = 1;
const ACK: u16 = 4;
const ERROR: u16 = 2;
const ZERO: u8 = 16;
const FLUSH: u8 = 17;

/// A message's header.
fn header(length: u32, kind: u16, flags: u16, sequence: u32, port: u32) -> Vec<u8> {
    let [a, b, c, d] = length.to_ne_bytes();
    let ([e, f], [g, h]) = (kind.to_ne_bytes(), flags.to_ne_bytes());
    [&[a, b, c, d, e, f, g, h][..], &sequence.to_ne_bytes(), &port.to_ne_bytes()].concat()
}

/// A request without attributes.
fn request(family: u16, command: u8, flags: u16, sequence: u32, port: u32) -> Vec<u8> {
    [header(20, family, REQUEST | flags, sequence, port), vec![command, 1, 0, 0]].concat()
}

/// The header of a request, in a message as the kernel sends it to a program with this port.
fn forged_answer(request: &[u8], sequence: u32, port: u32) -> Vec<u8> {
    [&*header(36, ERROR, 0, sequence, port), &[0; 4], &request[..16]].concat()
}

fn socket() -> Socket {
    let mut socket = Socket::new(NETLINK_GENERIC).unwrap();
    socket.bind_auto().unwrap();
    socket.connect(&SocketAddr::new(0, 0)).unwrap();
    socket
}

/// The number of the IPVS family, which the controller gives everybody.
pub(super) fn family() -> u16 {
    let mut message = header(28, 0x10, REQUEST, 1, 0);
    message.extend([3, 1, 0, 0]);
    message.extend(9_u16.to_ne_bytes());
    message.extend(2_u16.to_ne_bytes());
    message.extend(b"IPVS\0\0\0\0");
    let length = u32::try_from(message.len()).unwrap();
    message[..4].copy_from_slice(&length.to_ne_bytes());
    let socket = socket();
    socket.send(&message, 0).unwrap();
    let mut reply = Vec::with_capacity(8192);
    socket.recv(&mut reply, 0).unwrap();
    let mut attributes = &reply[20..];
    loop {
        let length = usize::from(u16::from_ne_bytes([attributes[0], attributes[1]]));
        if attributes[2..4] == 1_u16.to_ne_bytes() {
            return u16::from_ne_bytes([attributes[4], attributes[5]]);
        }
        attributes = &attributes[length.next_multiple_of(4)..];
    }
}

/// The calling thread is that of a user without any capability from now on.
fn become_user() {
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none }).unwrap();
}

/// Works as a user without any capability.
fn as_user<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let user = || {
        become_user();
        work()
    };
    thread::scope(|scope| scope.spawn(user).join().unwrap())
}

/// Requests that are reported until nothing has come for longer than a request is waited for.
fn requests(monitor: &mut Monitor) -> Vec<(Sender, Action, Outcome)> {
    let mut seen = Vec::new();
    while let Some(event) = monitor.next_before(Instant::now() + Duration::from_secs(3)).unwrap() {
        match event.kind {
            EventKind::Request { sender, action, outcome } => seen.push((sender, action, outcome)),
            other => panic!("{other:?}"),
        }
    }
    seen
}

/// A refusal does not reach a program whose buffer is full. Then a message to the kernel, which
/// ignores it, looks like an answer from it: that another program's request was carried out.
#[test]
fn no_user_can_forge_an_answer() {
    sandbox::enter_network().unwrap();
    ip("link add nlmon7 type nlmon");
    ip("link set nlmon7 up");
    let open = || Monitor::builder().without_comparison();
    let mut gated = open().open().unwrap();
    let mut open = open().device(InterfaceName::new("nlmon7").unwrap()).open().unwrap();
    assert!(gated.proves_replies() && !open.proves_replies());
    let victim = socket();
    let mut address = SocketAddr::new(0, 0);
    victim.get_address(&mut address).unwrap();
    let port = address.port_number();
    let family = family();
    as_user(|| {
        let (silent, other) = (socket(), socket());
        setsockopt(&silent, RcvBuf, &1).unwrap();
        for sequence in 1..50 {
            silent.send(&request(family, ZERO, ACK, sequence, 0), 0).unwrap();
        }
        let flush = request(family, FLUSH, 0, 77, 0);
        silent.send(&flush, 0).unwrap();
        other.send(&forged_answer(&flush, 77, port), 0).unwrap();
    });
    let flushes = |monitor: &mut Monitor| {
        let mut seen = requests(monitor);
        seen.retain(|(_, action, _)| action.command() == Some(&ipvs::Command::Flush));
        seen.into_iter().map(|(sender, _, outcome)| (sender.process.is_some(), outcome)).collect::<Vec<_>>()
    };
    // This shows that the attack works, where it is not prevented.
    assert_eq!(flushes(&mut open), [(true, Outcome::Accepted)]);
    assert_eq!(flushes(&mut gated), [(false, Outcome::Unknown)]);
    drop(victim);
}

/// The kernel passes over what is no request, and carries out what stands behind it.
#[test]
fn a_change_behind_a_message_that_is_no_request_is_found() {
    sandbox::enter_network().unwrap();
    let mut client = Client::connect().unwrap();
    let family = family();
    let no_operation = header(16, 1, 0, 1, 0);
    let no_request = [header(20, family, 0, 1, 0), vec![FLUSH, 1, 0, 0]].concat();
    let foreign = [header(20, 0x10, REQUEST, 1, 0), vec![99, 1, 0, 0]].concat();
    for first in [no_operation, no_request, foreign] {
        let service = Service::new("mark 1".parse().unwrap());
        client.add_service(&service).unwrap();
        let mut monitor = Monitor::open().unwrap();
        let flush = request(family, FLUSH, ACK, 2, 0);
        socket().send(&[first, flush].concat(), 0).unwrap();
        assert_eq!(monitor.next().unwrap().unwrap().kind, EventKind::Lost { packets: 1 });
        let EventKind::Found(command) = monitor.next().unwrap().unwrap().kind else { panic!("nothing was found") };
        assert!(matches!(command, Command::Flush | Command::DeleteService(_)), "{command}");
    }
}

/// Requests that are refused, faster than their sender takes the refusals.
#[test]
fn a_change_is_seen_while_users_send_what_is_refused() {
    sandbox::enter_network().unwrap();
    let mut monitor = Monitor::builder().without_comparison().open().unwrap();
    let family = family();
    let flood: Vec<u8> = (0..96).flat_map(|sequence| request(family, FLUSH, 0, sequence, 0)).collect();
    let is_over = AtomicBool::new(false);
    let send = || {
        become_user();
        let socket = socket();
        while !is_over.load(Ordering::Relaxed) {
            let _ = socket.send(&flood, 0);
            thread::sleep(Duration::from_millis(10));
        }
    };
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(send);
        }
        let mut client = Client::connect().unwrap();
        for mark in 1..=10 {
            let change = Command::AddService(Service::new(format!("mark {mark}").parse().unwrap()));
            client.execute(&change).unwrap();
            // It never ends if the change is not seen.
            loop {
                let event = monitor.next_before(Instant::now() + Duration::from_millis(200)).unwrap();
                if let Some(EventKind::Request { action, outcome, .. }) = event.map(|event| event.kind)
                    && action.command() == Some(&change)
                {
                    assert_eq!(outcome, Outcome::Accepted);
                    break;
                }
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
}
