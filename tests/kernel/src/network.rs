//! A client, a director and real servers, each in a network namespace of its own, on one wire.
//!
//! ```text
//!   client 10.0.0.2      director 10.0.0.1      rs1 10.0.0.11   rs2 10.0.0.12   …
//!        └────────────────────┴───────── wire ────────┴───────────────┘
//! ```
//! A second director is 10.0.0.3.
//!
//! The same in IPv6: `fd00::2`, `fd00::1`, `fd00::11` …. The virtual addresses are on the
//! director's wire and, unseen from it, on each real server's loopback, as direct routing and
//! tunnels need them. The client is any address of [`CLIENTS4`] and [`CLIENTS6`]: for the others it
//! is the router to them.

mod client;
mod servers;

use std::fs::{self, File};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::thread;

use ipvs::proc::{Connection, Connections};
use ipvs::{Family, ServiceKey};
use nix::sched::{CloneFlags, setns};

pub use client::{Answer, Conversation, go_on};
pub use servers::{Servers, Speaks};

/// The virtual address of IPv4.
pub const VIRTUAL4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
/// The virtual address of IPv6.
pub const VIRTUAL6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x100);
/// All clients of IPv4.
pub const CLIENTS4: &str = "10.1.0.0/16";
/// All clients of IPv6.
pub const CLIENTS6: &str = "fd01::/16";

/// The namespaces; gone when it is dropped.
#[derive(Debug)]
pub struct Network {
    wire: Machine,
    /// The load balancer.
    pub director: Machine,
    /// Another one, if it was asked for. It has no virtual address until it [takes
    /// over](Machine::take_virtual_addresses).
    pub spare: Option<Machine>,
    /// All clients.
    pub client: Machine,
    /// The real servers, `rs1` first.
    pub servers: Vec<Machine>,
}

/// A network namespace with a loopback and, but for the wire's, an interface `eth0` on the wire.
#[derive(Debug)]
pub struct Machine {
    /// What it is called in messages and answers: `rs1`.
    pub name: String,
    /// What `ip netns` calls it.
    namespace: String,
    entrance: File,
}

/// The number in a machine's addresses.
const DIRECTOR: u16 = 1;
const CLIENT: u16 = 2;
const SPARE: u16 = 3;
/// That of the director that has the virtual addresses.
const GATEWAY: u16 = 4;

/// The real server's address; the first is number 1.
#[must_use]
pub fn server(number: u16, family: Family) -> IpAddr {
    address(10 + number, family)
}

/// The director's own address.
#[must_use]
pub fn director(family: Family) -> IpAddr {
    address(DIRECTOR, family)
}

/// The second director's own address.
#[must_use]
pub fn spare(family: Family) -> IpAddr {
    address(SPARE, family)
}

/// The virtual address.
#[must_use]
pub fn virtual_address(family: Family, port: u16) -> SocketAddr {
    match family {
        Family::V4 => (VIRTUAL4, port).into(),
        Family::V6 => (VIRTUAL6, port).into(),
    }
}

/// A client: `host` of network `network`, of which each has 254 (IPv4) in a /24, or a /64 (IPv6) of
/// its own.
#[must_use]
pub fn client(family: Family, network: u8, host: u8) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(10, 1, network, host).into(),
        Family::V6 => Ipv6Addr::new(0xfd01, 0, 0, network.into(), 0, 0, 0, host.into()).into(),
    }
}

/// The last number is written alike in both families: 11 is `10.0.0.11` and `fd00::11`.
fn address(number: u16, family: Family) -> IpAddr {
    let text = match family {
        Family::V4 => format!("10.0.0.{number}"),
        Family::V6 => format!("fd00::{number}"),
    };
    text.parse().unwrap_or_else(|_| panic!("{text} is an address"))
}

impl Network {
    /// Makes a network with this number of real servers, with names that no other test has.
    ///
    /// # Panics
    /// Without root, or `ip`.
    #[must_use]
    pub fn build(servers: u16) -> Self {
        Self::build_of(servers, &[])
    }

    /// The same with two directors.
    ///
    /// # Panics
    /// As [`build`](Self::build).
    #[must_use]
    pub fn build_with_spare(servers: u16) -> Self {
        Self::build_of(servers, &[("spare", SPARE)])
    }

    /// The same by way of the address that [moves](Machine::take_gateway) with the virtual ones.
    pub fn answer_through_gateway(&self) {
        self.servers.iter().for_each(|server| server.ip(&routes_to_clients(GATEWAY)));
    }

    /// Makes the director anew, as a reboot does: its kernel holds nothing, and it has no virtual
    /// addresses.
    ///
    /// # Panics
    /// As [`build`](Self::build).
    pub fn reboot_director(&mut self) {
        let old = &self.director;
        let namespace = format!("{}-again", old.namespace);
        self.wire.ip("link delete director");
        ip(&[], &format!("netns delete {}\nnetns add {namespace}\n", old.namespace));
        self.wire.ip(&format!(
            "link add director type veth peer name eth0 netns {namespace}\nlink set director master wire up\n"
        ));
        let entrance = File::open(format!("/run/netns/{namespace}")).expect("it was just made");
        self.director = Machine { name: "director".into(), namespace, entrance };
        self.director.be_a_director(DIRECTOR);
        self.forget_neighbours();
    }

    /// Has all machines ask again who has an address, as they do when one moves.
    pub fn forget_neighbours(&self) {
        let machines = self.servers.iter().chain([&self.client, &self.director]).chain(&self.spare);
        machines.for_each(|machine| machine.ip("neigh flush dev eth0"));
    }

    /// The switch: its ports have the names of the machines.
    #[must_use]
    pub fn wire(&self) -> &Machine {
        &self.wire
    }

    fn build_of(servers: u16, more: &[(&str, u16)]) -> Self {
        let unique = format!("{:?}", thread::current().id()).replace(|c: char| !c.is_ascii_digit(), "");
        let unique = format!("{}-{unique}", std::process::id());
        let mut members = vec![("director".to_owned(), DIRECTOR), ("client".to_owned(), CLIENT)];
        members.extend(more.iter().map(|(name, number)| ((*name).to_owned(), *number)));
        members.extend((1..=servers).map(|number| (format!("rs{number}"), 10 + number)));
        // One `ip` does much: in a slow kernel it is the programs that take time, not their work.
        let namespaces = members.iter().map(|(name, _)| format!("netns add {name}-{unique}\n")).collect::<String>();
        ip(&[], &format!("netns add wire-{unique}\n{namespaces}"));
        let wire = Machine::open("wire", &unique);
        let plug = |(name, _): &(String, u16)| {
            format!("link add {name} type veth peer name eth0 netns {name}-{unique}\nlink set {name} master wire up\n")
        };
        let plugs = members.iter().map(plug).collect::<String>();
        wire.ip(&format!("link add wire type bridge mcast_snooping 0\nlink set wire up\n{plugs}"));
        let mut machines = members.iter().map(|(name, _)| Machine::open(name, &unique));
        let (director, client) = (machines.next().expect("the first"), machines.next().expect("the second"));
        let spare = more.first().and_then(|_| machines.next());
        let network = Network { servers: machines.collect(), wire, director, spare, client };
        network.set_up_client();
        network.director.be_a_director(DIRECTOR);
        network.director.take_virtual_addresses();
        network.spare.iter().for_each(|spare| spare.be_a_director(SPARE));
        (11..).zip(&network.servers).for_each(|(number, server)| server.be_a_real_server(number));
        network
    }

    /// Any address of a client is the client's own.
    fn set_up_client(&self) {
        // Else only addresses of an interface can be bound to.
        self.client.set("net/ipv6/ip_nonlocal_bind", "1");
        let local = format!("route add local {CLIENTS4} dev lo\nroute add local {CLIENTS6} dev lo");
        self.client.ip(&format!("{}\n{local}", come_up(CLIENT)));
    }

    /// The real servers answer by way of the director, as NAT needs it. Before, they answer the
    /// client themselves, as direct routing and tunnels need it.
    pub fn answer_through_director(&self) {
        self.servers.iter().for_each(|server| server.ip(&routes_to_clients(DIRECTOR)));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let machines = self.servers.iter().chain([&self.wire, &self.director, &self.client]).chain(&self.spare);
        ip(&[], &machines.map(|machine| format!("netns delete {}\n", machine.namespace)).collect::<String>());
    }
}

fn come_up(number: u16) -> String {
    let (v4, v6) = (address(number, Family::V4), address(number, Family::V6));
    format!("link set lo up\naddress add {v4}/24 dev eth0\naddress add {v6}/64 dev eth0 nodad\nlink set eth0 up")
}

fn routes_to_clients(gateway: u16) -> String {
    let (v4, v6) = (address(gateway, Family::V4), address(gateway, Family::V6));
    format!("route replace {CLIENTS4} via {v4}\nroute replace {CLIENTS6} via {v6}")
}

impl Machine {
    /// One that was just made.
    fn open(name: &str, unique: &str) -> Self {
        let namespace = format!("{name}-{unique}");
        let entrance = File::open(format!("/run/netns/{namespace}")).expect("it was just made");
        Machine { name: name.into(), namespace, entrance }
    }

    /// How many connections to this port its connection table has, in the state `ESTABLISHED`.
    ///
    /// # Panics
    /// If the table can't be read.
    pub fn established(&self, port: u16) -> usize {
        let is_meant = |entry: &Connection| {
            let is_port = matches!(entry.target, ServiceKey::Address { at, .. } if at.port() == port);
            is_port && entry.state.as_bytes() == b"ESTABLISHED"
        };
        let open = || Connections::open().expect("IPVS is there").map(|entry| entry.expect("a line of the kernel"));
        self.run(|| open().filter(is_meant).count())
    }

    fn be_a_director(&self, number: u16) {
        for (setting, value) in [
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv6/conf/all/forwarding", "1"),
            // Its answers leave by the interface by which they come, and nobody shall take a
            // shorter way.
            ("net/ipv4/conf/all/send_redirects", "0"),
            ("net/ipv4/conf/eth0/send_redirects", "0"),
        ] {
            self.set(setting, value);
        }
        self.ip(&format!("{}\n{}", come_up(number), routes_to_clients(CLIENT)));
    }

    /// Has the virtual addresses on the wire.
    ///
    /// Deprecated, that of IPv6 is not taken for the director's own packets. As the outer source of
    /// a tunnel it would come from somebody with an address of the real server's own, who is not
    /// listened to.
    ///
    /// # Panics
    /// When it has them already.
    pub fn take_virtual_addresses(&self) {
        self.ip(&format!(
            "address add {VIRTUAL4}/32 dev eth0\naddress add {VIRTUAL6}/128 dev eth0 nodad preferred_lft 0"
        ));
    }

    /// Has the gateway's addresses on the wire, beside the virtual ones.
    pub fn take_gateway(&self) {
        self.ip(&gateway("add", " nodad"));
    }

    /// Gives the virtual addresses and the gateway's to another director.
    pub fn give_up_addresses(&self) {
        let virtual_addresses =
            format!("address delete {VIRTUAL4}/32 dev eth0\naddress delete {VIRTUAL6}/128 dev eth0");
        self.ip(&format!("{}\n{virtual_addresses}", gateway("delete", "")));
    }

    /// What `ip netns` calls it.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Has the virtual addresses, but doesn't answer who asks for them on the wire: the articles'
    /// settings.
    ///
    /// IPv6 needs none: no neighbour learns an address of another interface.
    fn be_a_real_server(&self, number: u16) {
        for (setting, value) in [
            ("net/ipv4/conf/all/arp_ignore", "1"),
            ("net/ipv4/conf/lo/arp_ignore", "1"),
            ("net/ipv4/conf/all/arp_announce", "2"),
            ("net/ipv4/conf/lo/arp_announce", "2"),
            ("net/ipv4/conf/eth0/accept_redirects", "0"),
            ("net/ipv6/conf/eth0/accept_redirects", "0"),
        ] {
            self.set(setting, value);
        }
        let virtual_addresses = format!("address add {VIRTUAL4}/32 dev lo\naddress add {VIRTUAL6}/128 dev lo nodad");
        self.ip(&format!("{}\n{virtual_addresses}\n{}", come_up(number), routes_to_clients(CLIENT)));
    }

    /// Runs it, and what it starts, on this machine.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = || {
                setns(&self.entrance, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
                work()
            };
            scope.spawn(inside).join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Runs lines of `ip -batch` on this machine.
    ///
    /// # Panics
    /// When one of them fails.
    pub fn ip(&self, lines: &str) {
        ip(&["-n", &self.namespace], lines);
    }

    /// Writes a setting below `/proc/sys`.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn set(&self, setting: &str, value: &str) {
        self.run(|| fs::write(format!("/proc/sys/{setting}"), value))
            .unwrap_or_else(|error| panic!("{}: {setting}={value}: {error}", self.name));
    }
}

/// Lines of `ip -batch` for the gateway's addresses.
fn gateway(verb: &str, of_v6: &str) -> String {
    let (v4, v6) = (address(GATEWAY, Family::V4), address(GATEWAY, Family::V6));
    format!("address {verb} {v4}/24 dev eth0\naddress {verb} {v6}/64 dev eth0{of_v6}")
}

/// Runs lines of `ip -batch`: one program for many lines.
fn ip(options: &[&str], lines: &str) {
    let mut command = Command::new("ip");
    let mut child =
        command.args(options).args(["-batch", "-"]).stdin(Stdio::piped()).spawn().expect("ip can be started");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(lines.as_bytes()).expect("ip reads");
    drop(input);
    let status = child.wait().expect("a child can be waited for");
    assert!(status.success(), "ip {options:?} could not do all of:\n{lines}");
}
