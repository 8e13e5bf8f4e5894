//! Requests that the library's types can't make: what the kernel answers is what the in-memory
//! kernel is tested to answer (`ipvs/src/fake.rs`, from the same file).

use ipvs::Behaviors;
use kernel_tests::{behaviors, sandbox};
use netlink_sys::{Socket, protocols::NETLINK_GENERIC};

const REQUESTS: &str = include_str!("../../../ipvs/src/wire/negligent.txt");
const REQUEST_ACK: u16 = 5;
const DUMP: u16 = 0x300;

#[test]
fn malformed_requests_are_answered_as_the_fake_answers() {
    sandbox::enter_network().unwrap();
    let (family, behaviors) = (family(), behaviors::of_this_kernel());
    for line in REQUESTS.lines().filter(|line| !line.starts_with('#')) {
        let [name, dump, hex, errno] = line.split(" | ").collect::<Vec<_>>().try_into().unwrap();
        let flags = REQUEST_ACK | if dump == "dump" { DUMP } else { 0 };
        let reply = ask(family, flags, &unhex(hex));
        let code = -i32::from_ne_bytes(reply[16..20].try_into().unwrap());
        let answer = if code == 0 { "ok".into() } else { format!("{:?}", ipvs::Errno::new(code)) };
        let expected = match errno.split_once(" where ") {
            Some((errno, needed)) if behaviors.contains(needed.parse::<Behaviors>().unwrap()) => errno,
            Some(_) => "ok",
            None => errno,
        };
        assert_eq!(answer, expected, "{name}");
    }
}

/// The number of the IPVS family: attribute 1 of the controller's answer.
fn family() -> u16 {
    let reply = ask(16, 1, &unhex("03010000090002004950565300000000"));
    let id = reply[20..].windows(6).find(|attr| attr[..4] == [6, 0, 1, 0]).unwrap();
    u16::from_ne_bytes([id[4], id[5]])
}

/// Sends one message on a socket of its own; returns the first answer.
fn ask(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    message.extend((16 + body.len() as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    let socket = Socket::new(NETLINK_GENERIC).unwrap();
    socket.send(&message, 0).unwrap();
    let mut reply = Vec::with_capacity(32 << 10);
    socket.recv(&mut reply, 0).unwrap();
    reply
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
