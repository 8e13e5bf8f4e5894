//! Real packets, and the mark that they have when they arrive.

use fwmark::{Hook, MarkRule, Protocol, Traffic};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, getsockopt, socket, sockopt,
};
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd;

/// With this setting, an accepted connection has the mark of its first packet.
const SETTING: &str = "/proc/sys/net/ipv4/tcp_fwmark_accept";

/// The mark of a TCP packet over the loopback interface, when it has passed the chains OUTPUT and
/// PREROUTING.
pub(crate) fn mark_of(from: IpAddr, to: SocketAddr) -> u32 {
    fs::write(SETTING, "1").expect("the setting belongs to this network");
    let server = TcpListener::bind(to).expect("an address of the loopback interface");
    let family = if to.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let client = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
    bind(client.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(from, 0))).expect("another such address");
    connect(client.as_raw_fd(), &SockaddrStorage::from(to)).expect("somebody listens");
    let (accepted, _) = server.accept().expect("the connection that was just made");
    getsockopt(&accepted, sockopt::Mark).expect("an option of every socket")
}

/// The mark that such a packet should have, from the rules alone.
pub(crate) fn expected(rules: &[MarkRule], from: IpAddr, to: SocketAddr) -> u32 {
    let of = |director: bool| {
        rules.iter().filter(move |rule| (rule.hook() == Hook::Output) == director && is_for(rule, from, to))
    };
    // It leaves before it comes in; of the rules for one way, the later one decides.
    of(true).chain(of(false)).fold(0, |mark, rule| rule.set().applied_to(mark))
}

fn is_for(rule: &MarkRule, from: IpAddr, to: SocketAddr) -> bool {
    let comes_in = match rule.hook() {
        Hook::Prerouting { interface: Some(name) } => match name.to_string().strip_suffix('+') {
            Some(prefix) => "lo".starts_with(prefix),
            None => name.to_string() == "lo",
        },
        _ => true,
    };
    let is_traffic = match rule.traffic() {
        Traffic::Any => true,
        Traffic::Protocol(protocol) => *protocol == Protocol::Tcp,
        Traffic::Ports(protocol, ports) => *protocol == Protocol::Tcp && ports.contains(to.port()),
    };
    comes_in && is_traffic && rule.source().contains(from) && rule.destination().contains(to.ip())
}
