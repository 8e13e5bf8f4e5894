//! What a backup daemon on the loopback makes of each kind of entry: its line in the connection
//! table is the one that was sent.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use ipvs::proc::{Connection, Connections};
use ipvs::sync::{Datagram, Entry, EntryFlags, Sender};
use ipvs::{
    Client, Daemon, DaemonRole, Destination, InterfaceName, Persistence, PersistenceEngine, Scheduler, Service,
    ServiceKey,
};
use kernel_tests::sandbox;

const VIRTUAL: [&str; 2] = ["192.0.2.1", "[2001:db8::1]"];
const SERVER: [&str; 2] = ["127.0.0.1", "[::1]"];
const CLIENT: [&str; 2] = ["203.0.113.7", "[2001:db8::7]"];

/// A director with a backup daemon, and a sender to it.
struct World {
    client: Client,
    sender: Sender,
}

impl World {
    fn new() -> Self {
        sandbox::enter_network().unwrap();
        let mut client = Client::connect().unwrap();
        let daemon = Daemon::new(DaemonRole::Backup, InterfaceName::LOOPBACK).with_sync_id(9).with_max_len(65_507);
        client.start_daemon(&daemon).unwrap();
        World { client, sender: Sender::open(&daemon).unwrap() }
    }

    fn serve(&mut self, key: &str) {
        let key: ServiceKey = key.parse().unwrap();
        let port = match key {
            ServiceKey::Address { at, .. } => at.port(),
            ServiceKey::Mark { .. } => 0,
        };
        let mut service =
            Service::new(key).with_scheduler(Scheduler::RR).with_persistence(Persistence::new(600).unwrap());
        if port == 5060 {
            service = service.with_engine(PersistenceEngine::SIP);
        }
        self.client.add_service(&service).unwrap();
        let ip = SERVER[usize::from(key.family() == ipvs::Family::V6)];
        self.client.add_destination(&key, &Destination::new(format!("{ip}:{port}").parse().unwrap())).unwrap();
    }

    fn send(&self, entries: &[Entry]) {
        let mut datagram = Datagram::new(9, 65_507);
        for entry in entries {
            if !datagram.push(entry).unwrap() {
                self.sender.send(&datagram).unwrap();
                datagram.clear();
                assert!(datagram.push(entry).unwrap());
            }
        }
        self.sender.send(&datagram).unwrap();
    }

    /// Waits until the table is this, but for a few seconds of time.
    fn shows(&self, expected: &[Connection]) {
        let mut expected: Vec<_> = expected.to_vec();
        expected.sort_by_key(text);
        let mut shown = Vec::new();
        for _ in 0..1200 {
            shown = Connections::open().unwrap().map(Result::unwrap).collect::<Vec<_>>();
            shown.sort_by_key(text);
            if shown.len() == expected.len() {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let [shown_text, expected_text] = [&shown, &expected].map(|table| table.iter().map(text).collect::<Vec<_>>());
        assert_eq!(shown_text, expected_text);
        for (shown, expected) in shown.iter().zip(&expected) {
            let (shown, expected) = (shown.expires, expected.expires);
            assert!(shown <= expected && shown + 30 > expected, "{shown} s of {expected} s are left");
        }
    }
}

fn text(connection: &Connection) -> String {
    let Connection { client, target, destination, state, engine, .. } = connection;
    format!("{client} {target} {destination} {state} {engine:?}")
}

fn connection(line: &str) -> Connection {
    Connections::new(line.as_bytes()).next().unwrap().unwrap()
}

/// An entry of each protocol, state and family, as the kernel would show it.
fn each_state() -> Vec<Entry> {
    let states = [("tcp", 6, 11), ("udp", 17, 1), ("sctp", 132, 14)];
    let mut entries = Vec::new();
    for family in 0..2 {
        for (_, number, count) in states {
            for state in 0..count {
                let at = |text: String| text.parse().unwrap();
                let mut entry = Entry::new(
                    ipvs::Protocol::from_number(number),
                    at(format!("{}:{}", CLIENT[family], 1000 + state)),
                    at(format!("{}:80", VIRTUAL[family])),
                    at(format!("{}:80", SERVER[family])),
                );
                (entry.flags, entry.state, entry.timeout) = (EntryFlags::INACTIVE, state, 1000);
                entries.push(entry);
            }
        }
    }
    entries
}

#[test]
fn each_state_is_shown_under_its_name() {
    let mut world = World::new();
    for virtual_address in VIRTUAL {
        for protocol in ["tcp", "udp", "sctp"] {
            world.serve(&format!("{protocol} {virtual_address}:80"));
        }
    }
    let entries = each_state();
    world.send(&entries);
    let expected: Vec<_> = entries.iter().map(|entry| Connection::try_from(entry).unwrap()).collect();
    world.shows(&expected);
}

#[test]
fn what_the_table_shows_comes_back_after_the_table_was_lost() {
    let mut world = World::new();
    for virtual_address in VIRTUAL {
        for key in ["tcp IP:80", "udp IP:53", "sctp IP:2904", "udp IP:5060"] {
            world.serve(&key.replace("IP", virtual_address));
        }
    }
    for mark in ["mark 7", "mark 4294967295 ipv6"] {
        world.serve(mark);
    }
    let sent: Vec<_> = TABLE.lines().map(connection).collect();
    let entries: Vec<_> = sent.iter().map(|connection| Entry::try_from(connection).unwrap()).collect();
    world.send(&entries);
    world.shows(&sent);
    // The kernel counts it as it would have counted the connections that it saw itself.
    for (key, active, inactive, persistent) in [
        ("tcp 192.0.2.1:80", 4, 7, 0),
        ("udp 192.0.2.1:53", 0, 1, 1),
        ("sctp 192.0.2.1:2904", 1, 1, 0),
        ("udp 192.0.2.1:5060", 0, 0, 1),
        ("tcp [2001:db8::1]:80", 1, 0, 1),
        ("mark 7", 0, 0, 1),
        ("mark 4294967295 ipv6", 0, 0, 1),
    ] {
        let state = world.client.destinations(&key.parse().unwrap()).unwrap()[0];
        let counts = (state.active_connections, state.inactive_connections, state.persistent_connections);
        assert_eq!(counts, (active, inactive, persistent), "{key}");
    }
}

const TABLE: &str = "\
TCP CB007107 0000 C0000201 0051 7F000001 0051 NONE            500
TCP CB007107 9C40 C0000201 0050 7F000001 0050 NONE            500
TCP CB007107 9C41 C0000201 0050 7F000001 0050 ESTABLISHED     899
TCP CB007107 9C42 C0000201 0050 7F000001 0050 SYN_SENT         61
TCP CB007107 9C43 C0000201 0050 7F000001 0050 SYN_RECV         62
TCP CB007107 9C44 C0000201 0050 7F000001 0050 FIN_WAIT        120
TCP CB007107 9C45 C0000201 0050 7F000001 0050 TIME_WAIT       121
TCP CB007107 9C46 C0000201 0050 7F000001 0050 CLOSE            41
TCP CB007107 9C47 C0000201 0050 7F000001 0050 CLOSE_WAIT       60
TCP CB007107 9C48 C0000201 0050 7F000001 0050 LAST_ACK         40
TCP CB007107 9C49 C0000201 0050 7F000001 0050 LISTEN          120
TCP CB007107 9C4A C0000201 0050 7F000001 0050 SYNACK          120
UDP CB007107 9C40 C0000201 0035 7F000001 0035 UDP             299
UDP CB007107 0000 C0000201 0035 7F000001 0035 ASSURED         500
SCTP CB007107 9C40 C0000201 0B58 7F000001 0B58 ESTABLISHED     899
SCTP CB007107 9C41 C0000201 0B58 7F000001 0B58 S-ACK-SENT       60
UDP CB007107 0000 C0000201 13C4 7F000001 13C4 NONE             59 sip 12345@example.net
TCP 2001:0db8:0000:0000:0000:0000:0000:0007 9C40 2001:0db8:0000:0000:0000:0000:0000:0001 0050 0000:0000:0000:0000:0000:0000:0000:0001 0050 ESTABLISHED     899
TCP 2001:0db8:0000:0000:0000:0000:0000:0000 0000 2001:0db8:0000:0000:0000:0000:0000:0001 0050 0000:0000:0000:0000:0000:0000:0000:0001 0050 NONE        2678399
IP  CB007107 0000 00000007 0000 7F000001 0000 NONE             59
IP  2001:0db8:0000:0000:0000:0000:0000:0007 0000 ffff:ffff:0000:0000:0000:0000:0000:0000 0000 0000:0000:0000:0000:0000:0000:0000:0001 0000 NONE             59";

#[test]
fn an_entry_with_another_destination_takes_the_place_of_one_unless_it_is_inactive() {
    let mut world = World::new();
    let key: ServiceKey = "udp 192.0.2.1:53".parse().unwrap();
    world.serve("udp 192.0.2.1:53");
    let other: SocketAddr = "127.0.0.2:53".parse().unwrap();
    world.client.add_destination(&key, &Destination::new(other)).unwrap();
    let first = connection("UDP CB007107 9C40 C0000201 0035 7F000001 0035 UDP             299");
    let mut moved = first.clone();
    moved.destination = other;
    world.send(&[Entry::try_from(&first).unwrap()]);
    world.shows(std::slice::from_ref(&first));
    // Sent as inactive, as UDP is.
    world.send(&[Entry::try_from(&moved).unwrap()]);
    // What is sent after it is in the table when it has been read.
    let later = connection("UDP CB007107 9C41 C0000201 0035 7F000001 0035 UDP             299");
    world.send(&[Entry::try_from(&later).unwrap()]);
    world.shows(&[first, later.clone()]);
    let mut active = Entry::try_from(&moved).unwrap();
    active.flags = EntryFlags::empty();
    world.send(&[active]);
    let shows_moved = || Connections::open().unwrap().any(|shown| shown.unwrap().destination == other);
    (0..1200).take_while(|_| !shows_moved()).for_each(|_| thread::sleep(Duration::from_millis(50)));
    world.shows(&[moved, later]);
}
