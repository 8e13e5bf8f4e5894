//! Senders and receivers, of both kinds.

use std::process::Command;
use std::time::Duration;

use ipvs::sync::{AsyncReceiver, AsyncSender, Datagram, Entry, ReceiveError, Receiver, Sender};
use ipvs::{Daemon, DaemonRole, InterfaceName, proc::Connections};
use kernel_tests::sandbox;

/// The loopback has no route to groups of IPv6.
const WIRE: &str = "\
link add wire type veth peer name end
link set end up
link set wire addrgenmode none
link set wire up
address add fe80::1/64 dev wire nodad
";

fn ip(lines: &str) {
    for line in lines.lines() {
        assert!(Command::new("ip").args(line.split(' ')).status().unwrap().success(), "{line}");
    }
}

fn daemon(group: Option<&str>) -> Daemon {
    let interface = if group == GROUPS[2] { "wire".parse().unwrap() } else { InterfaceName::LOOPBACK };
    let group = group.map(|group| group.parse().unwrap());
    Daemon::new(DaemonRole::Backup, interface).with_sync_id(9).with_group(group)
}

fn datagram(sync_id: u8) -> Datagram {
    let table = "TCP 7F000001 9C41 7F00000A 0050 7F00000A 1F90 ESTABLISHED     899\n";
    let entry = Entry::try_from(&Connections::new(table.as_bytes()).next().unwrap().unwrap()).unwrap();
    let mut datagram = Datagram::new(sync_id, 1000);
    assert!(datagram.push(&entry).unwrap());
    datagram
}

const GROUPS: [Option<&str>; 3] = [None, Some("239.1.2.3"), Some("ff02::81")];

#[test]
fn a_receiver_receives_what_is_sent_to_its_group_and_sync_id_once() {
    sandbox::enter_network().unwrap();
    ip(WIRE);
    for group in GROUPS {
        let daemon = daemon(group);
        let mut receiver = Receiver::open(&daemon).unwrap();
        receiver.set_timeout(Some(Duration::from_secs(60))).unwrap();
        let sender = Sender::open(&daemon).unwrap();
        sender.send(&datagram(8)).unwrap();
        for sent in [9, 9] {
            sender.send(&datagram(sent)).unwrap();
            let received = receiver.receive().unwrap();
            assert_eq!(received.message.encode().unwrap(), datagram(9).as_bytes(), "{group:?}");
        }
        receiver.set_timeout(Some(Duration::from_millis(200))).unwrap();
        assert!(matches!(receiver.receive(), Err(ReceiveError::Io(_))), "nothing comes twice: {group:?}");
    }
}

#[test]
fn so_does_an_asynchronous_one() {
    sandbox::enter_network().unwrap();
    ip(WIRE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for group in GROUPS {
            let daemon = daemon(group);
            let mut receiver = AsyncReceiver::open(&daemon).unwrap();
            let sender = AsyncSender::open(&daemon).unwrap();
            sender.send(&datagram(8)).await.unwrap();
            sender.send(&datagram(9)).await.unwrap();
            let received = tokio::time::timeout(Duration::from_secs(60), receiver.receive()).await.unwrap().unwrap();
            assert_eq!(received.message.encode().unwrap(), datagram(9).as_bytes(), "{group:?}");
        }
    });
}

#[test]
fn an_interface_that_is_missing_or_down_is_an_error() {
    sandbox::enter_network().unwrap();
    let missing = Daemon::new(DaemonRole::Backup, "nowhere".parse().unwrap());
    for error in [Sender::open(&missing).unwrap_err(), Receiver::open(&missing).unwrap_err()] {
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV), "{error}");
    }
    let sender = Sender::open(&daemon(None)).unwrap();
    ip("link set lo down");
    assert!(sender.send(&datagram(9)).is_err() || Sender::open(&daemon(None)).is_err());
}
