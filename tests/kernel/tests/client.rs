//! The clients against a kernel and against the in-memory kernel: one test function for all of
//! them.
//!
//! `blocking` and `asynchronous` are the two clients. In each, `fake::NAME` runs anywhere;
//! `kernel::NAME` needs root and ip_vs, in a network namespace of its own.

#[path = "client/asynchronous.rs"]
mod asynchronous;
#[path = "client/blocking.rs"]
mod blocking;

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;

use ipvs::{Behaviors, Client, Command, Error, KernelVersion, Service, netns::NamespaceError, proc::Status};
use kernel_tests::sandbox;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_GENERIC};
use rustix::thread::CapabilitySet;

/// Where a machine gives sockets little room to send, fewer commands go out at once.
#[test]
fn kernel_a_small_send_buffer() {
    const DEFAULT: &str = "/proc/sys/net/core/wmem_default";
    let usual = std::fs::read(DEFAULT).unwrap();
    // The setting is the whole machine's; inside of a network namespace it can't be opened for
    // writing.
    let setting = std::fs::File::options().write(true).open(DEFAULT).unwrap();
    setting.write_all_at(b"4608", 0).unwrap();
    sandbox::enter_network().unwrap();
    let client = Client::connect();
    setting.write_all_at(&usual, 0).unwrap();
    let add = |n: u32| Command::AddService(Service::new(format!("mark {n}").parse().unwrap()));
    let outcomes = client.unwrap().execute_all(&(1..=500).map(add).collect::<Vec<_>>()).unwrap();
    assert!(outcomes.len() == 500 && outcomes.iter().all(Result::is_ok));
}

/// An administrator of this network who may not change IPVS (root of a container) can send to any
/// socket in it.
#[test]
fn kernel_nobody_but_the_kernel_can_answer() {
    sandbox::enter_network().unwrap();
    let before = generic_netlink_ports();
    let mut client = Client::connect().unwrap();
    let new: Vec<u32> = generic_netlink_ports().difference(&before).copied().collect();
    let [port] = new[..] else { panic!("the client's port is none of {new:?}") };
    let liar = Socket::new(NETLINK_GENERIC).unwrap();
    let refused = liar.send_to(&[0; 16], &SocketAddr::new(port, 0), 0).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(client.table().unwrap().services().len(), 0);
}

/// Of all sockets in this network.
fn generic_netlink_ports() -> BTreeSet<u32> {
    let sockets = std::fs::read_to_string("/proc/thread-self/net/netlink").unwrap();
    let rows = sockets.lines().skip(1).map(|line| Vec::from_iter(line.split_whitespace()));
    let generic = rows.filter(|row| row[1] == NETLINK_GENERIC.to_string());
    generic.map(|row| row[2].parse().unwrap()).filter(|port| *port != 0).collect()
}

/// Nothing of it is seen by the director on whose machine the kernel is asked.
#[test]
fn kernel_behaviors_are_probed_beside_the_director() {
    sandbox::enter_network().unwrap();
    let mut client = Client::connect().unwrap();
    client.add_service(&Service::new("mark 1".parse().unwrap())).unwrap();
    let namespace = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    let before = client.table().unwrap();
    let probed = Behaviors::probe().unwrap();
    assert_eq!(client.table().unwrap(), before);
    assert_eq!(std::fs::read_link("/proc/thread-self/ns/net").unwrap(), namespace);
    assert_eq!(Behaviors::probe().unwrap(), probed);
    assert!(probed.contains(Behaviors::TUNNEL_KINDS), "as every kernel that is tested");
    let mut capabilities = rustix::thread::capabilities(None).unwrap();
    capabilities.effective.remove(CapabilitySet::SYS_ADMIN);
    rustix::thread::set_capabilities(None, capabilities).unwrap();
    let refused = Behaviors::probe().unwrap_err();
    assert!(matches!(refused, Error::Namespace(NamespaceError::Create(_))), "{refused}");
}

#[test]
fn the_status_of_the_kernels_tables_is_read() {
    sandbox::enter_network().unwrap();
    let mut client = Client::connect().unwrap();
    let Some(before) = Status::read().unwrap() else {
        assert!(KernelVersion::running() < KernelVersion { major: 7, minor: 2 });
        return;
    };
    assert_eq!(before, Status::default());
    for mark in 1..=40 {
        client.add_service(&Service::new(format!("mark {mark}").parse().unwrap())).unwrap();
    }
    let status = Status::read().unwrap().unwrap();
    assert_eq!((status.services.entries, status.connections.entries), (40, 0));
    assert!(status.services.longest() > 0 && status.services.buckets > 0 && status.connections.buckets > 0);
}
