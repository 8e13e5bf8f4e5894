//! The lines of docs/security.md that fence a backup sync daemon: without them a user of the
//! director and each machine of the network reach it; with them only the peer does.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::process::Command;
use std::time::Duration;
use std::{io, thread};

use ipvs::proc::Connections;
use ipvs::sync::{Datagram, Entry};
use ipvs::{Client, Daemon, DaemonRole, InterfaceName, Protocol};
use nix::sched::{CloneFlags, setns, unshare};
use rustix::process::Uid;

use super::world::{Lacking, Test};

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("iptables_keeps_all_but_the_peer_out", iptables_keeps_all_but_the_peer_out),
    ("nft_keeps_all_but_the_peer_out", nft_keeps_all_but_the_peer_out),
];

fn iptables_keeps_all_but_the_peer_out() -> Result<(), Lacking> {
    check("iptables", &["iptables", "iptables-legacy"], &["-S INPUT"])
}

fn nft_keeps_all_but_the_peer_out() -> Result<(), Lacking> {
    check("nft", &["nft"], &TABLE)
}

const PAGE: &str = include_str!("../../../../docs/security.md");
/// What the page's lines of nft take for granted.
const TABLE: [&str; 3] = [
    "add table inet filter",
    "add chain inet filter input { type filter hook input priority 0; }",
    "add chain inet filter output { type filter hook output priority 0; }",
];

const DIRECTOR: &str = "192.0.2.1";
const PEER: &str = "192.0.2.2";
const OTHER: &str = "192.0.2.3";
const GROUP: (Ipv4Addr, u16) = (Ipv4Addr::new(224, 0, 0, 81), 8848);
/// As `ipvs-cli conns --load` chooses one.
const OF_CHANCE: (Ipv4Addr, u16) = (Ipv4Addr::new(239, 194, 7, 9), 31_000);
const NOBODY: u32 = 65_534;

/// The page's lines of a program.
fn lines(program: &str) -> Vec<Vec<&'static str>> {
    let words = PAGE.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    words.filter(|words| words.first() == Some(&program)).map(|words| words[1..].to_vec()).collect()
}

fn run(program: &str, words: &[&str]) -> Result<(), Lacking> {
    let output = Command::new(program).args(words).output();
    let output = output.map_err(|error| Lacking(format!("there is no program {program}: {error}")))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(Lacking(format!("{program} {}: {said}", words.join(" ")))) }
}

/// A network namespace behind `eth1`, with the addresses of the peer and of another machine.
fn network() -> Result<File, Lacking> {
    let made = || -> io::Result<File> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        File::open("/proc/thread-self/ns/net")
    };
    let other_end = thread::scope(|scope| scope.spawn(made).join()).expect("no panic");
    let other_end = other_end.map_err(|error| Lacking(error.to_string()))?;
    let path = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&other_end));
    run("ip", &["link", "add", "eth1", "type", "veth", "peer", "name", "eth1", "netns", &path])?;
    let up = |addresses: &[&str]| -> Result<(), Lacking> {
        for address in addresses {
            run("ip", &["address", "add", &format!("{address}/24"), "dev", "eth1"])?;
        }
        run("ip", &["link", "set", "eth1", "up"])
    };
    inside(&other_end, || up(&[PEER, OTHER]))?;
    up(&[DIRECTOR])?;
    Ok(other_end)
}

fn inside<T: Send>(network: &File, work: impl FnOnce() -> T + Send) -> T {
    let enter = || {
        setns(network, CloneFlags::CLONE_NEWNET).expect("it was just made");
        work()
    };
    thread::scope(|scope| scope.spawn(enter).join()).expect("no panic")
}

fn entry(host: u8) -> Datagram {
    let client = (Ipv4Addr::new(203, 0, 113, host), 40_000).into();
    let at = (Ipv4Addr::new(192, 0, 2, 80), 80).into();
    let mut entry = Entry::new(Protocol::TCP, client, at, at);
    (entry.state, entry.timeout) = (1, 900);
    let mut datagram = Datagram::new(1, 1400);
    assert!(datagram.push(&entry).expect("an entry"));
    datagram
}

/// An entry with this host's address as its client, from this address of the machine, as this user.
/// The route to a group goes by the interface that has the address of the socket.
fn send(host: u8, from: &str, to: (Ipv4Addr, u16), user: u32) {
    let send = || {
        rustix::thread::set_thread_uid(Uid::from_raw(user)).expect("root may");
        let socket = UdpSocket::bind((from, 0)).expect("an address of this machine");
        // A firewall may refuse.
        let _ = socket.send_to(entry(host).as_bytes(), to);
    };
    thread::scope(|scope| scope.spawn(send).join()).expect("no panic");
}

/// Waits for the entry of this host, and gives the hosts of all.
fn hosts(last: u8) -> Vec<u8> {
    let shown = || {
        let clients =
            Connections::open().expect("IPVS is there").map(|entry| entry.expect("a line").client.to_string());
        let hosts = clients.filter_map(|client| client.strip_prefix("203.0.113.")?.split(':').next()?.parse().ok());
        let mut hosts: Vec<u8> = hosts.collect();
        hosts.sort_unstable();
        hosts
    };
    (0..500).take_while(|_| !shown().contains(&last)).for_each(|_| thread::sleep(Duration::from_millis(20)));
    shown()
}

fn daemon(client: &mut Client, interface: &str, group: (Ipv4Addr, u16)) -> Result<(), Lacking> {
    let interface: InterfaceName = interface.parse().expect("a name");
    let daemon = Daemon::new(DaemonRole::Backup, interface).with_group(IpAddr::from(group.0)).with_port(group.1);
    client.start_daemon(&daemon).map_err(|error| Lacking(error.to_string()))
}

/// Runs the page's lines of a program, by the first of these variants that this kernel has.
fn check(name: &str, variants: &[&str], preparation: &[&str]) -> Result<(), Lacking> {
    let mut client = Client::connect().map_err(|error| Lacking(error.to_string()))?;
    let other_end = network()?;
    let rules = lines(name);
    let [input, output] = &rules[..] else { panic!("two lines of {name}: {rules:?}") };
    let prepare = |program: &&str| -> Result<(), Lacking> {
        preparation.iter().try_for_each(|line| run(program, &line.split(' ').collect::<Vec<_>>()))
    };
    let mut lacking = None;
    let program = variants.iter().find(|program| prepare(program).map_err(|why| lacking = Some(why)).is_ok());
    let Some(program) = program else { return Err(lacking.expect("one was tried")) };
    let add = |rule: &[&str]| run(program, rule).unwrap_or_else(|Lacking(why)| panic!("{why}"));
    daemon(&mut client, "eth1", GROUP)?;
    // A user of the director, one of another interface, another machine, and at last the peer.
    let all = |first: u8| {
        send(first, DIRECTOR, GROUP, NOBODY);
        send(first + 1, "127.0.0.1", GROUP, NOBODY);
        inside(&other_end, || {
            send(first + 2, OTHER, GROUP, NOBODY);
            send(first + 3, PEER, GROUP, 0);
        });
    };
    all(1);
    assert_eq!(hosts(4), [1, 3, 4], "the daemon is bound to its interface, and open there");
    add(input);
    all(11);
    assert_eq!(hosts(14), [1, 3, 4, 14], "only the peer");

    client.stop_daemon(DaemonRole::Backup).expect("it runs");
    daemon(&mut client, "lo", OF_CHANCE)?;
    let both = |first: u8| {
        send(first, "127.0.0.1", OF_CHANCE, NOBODY);
        send(first + 1, "127.0.0.1", OF_CHANCE, 0);
    };
    both(21);
    assert_eq!(hosts(22)[4..], [21, 22], "any user");
    add(output);
    both(31);
    assert_eq!(hosts(32)[6..], [32], "only root");
    Ok(())
}
