//! Sites that work: a director, two real servers and clients, by method and family.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use ipvs::{Family, Protocol};
use kernel_tests::network::{Machine, Network, Servers, Speaks, client, virtual_address};

use super::super::shell;

pub(crate) const PORT: u16 = 1001;
/// What a fault may need: an attempt to connect ends after this time.
const SHORT: Duration = Duration::from_millis(1200);

/// A kind of site.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) family: Family,
    protocol: Protocol,
    /// The options of `ipvsadm -a`.
    method: &'static str,
    /// For the real servers, beyond `--real-server VIP --client CLIENT`.
    role: &'static str,
    /// Commands of the director, and of each real server.
    director: &'static str,
    server: &'static str,
    /// Modules that not every kernel has.
    modules: &'static str,
}

const NOTHING: Kind = Kind {
    name: "",
    family: Family::V4,
    protocol: Protocol::TCP,
    method: "",
    role: "",
    director: "",
    server: "",
    modules: "",
};

/// The kinds. Addresses are those of `kernel_tests::network`.
pub(crate) const KINDS: [Kind; 18] = [
    Kind { name: "dr", method: "-g", ..NOTHING },
    Kind { name: "dr6", family: Family::V6, method: "-g", ..NOTHING },
    Kind {
        name: "nat",
        method: "-m",
        role: "--forwarding masquerade --director 10.0.0.1",
        server: "ip route replace 10.1.0.0/16 via 10.0.0.1",
        ..NOTHING
    },
    Kind {
        name: "nat6",
        family: Family::V6,
        method: "-m",
        role: "--forwarding masquerade --director fd00::1",
        server: "ip route replace fd01::/16 via fd00::1",
        ..NOTHING
    },
    Kind {
        name: "ipip",
        method: "-i",
        role: "--forwarding tunnel",
        server: "ip link set tunl0 up; sysctl -wq net.ipv4.conf.tunl0.rp_filter=0",
        modules: "ipip",
        ..NOTHING
    },
    Kind {
        name: "gue",
        method: "-i --tun-type gue --tun-port 6080 --tun-nocsum",
        role: "--forwarding tunnel --tunnel gue",
        server: "ip link set tunl0 up; sysctl -wq net.ipv4.conf.tunl0.rp_filter=0; ip fou add port 6080 gue",
        modules: "ipip fou",
        ..NOTHING
    },
    Kind {
        name: "gre",
        method: "-i --tun-type gre --tun-nocsum",
        role: "--forwarding tunnel --tunnel gre --director 10.0.0.1",
        server: "ip link add lvs type gre remote 10.0.0.1; ip link set lvs up; sysctl -wq net.ipv4.conf.lvs.rp_filter=0",
        modules: "ip_gre",
        ..NOTHING
    },
    Kind {
        name: "ip6ip6",
        family: Family::V6,
        method: "-i",
        role: "--forwarding tunnel --over ipv6",
        server: "ip -6 tunnel change ip6tnl0 mode any; ip link set ip6tnl0 up",
        modules: "ip6_tunnel",
        ..NOTHING
    },
    // Anycast: a route makes the virtual address local on the director, and no interface has it.
    Kind {
        name: "anycast",
        method: "-g",
        director: "ip address del 10.0.0.100/32 dev eth0; ip address add 10.0.0.100/32 dev lo",
        ..NOTHING
    },
    // Of services by mark; where no firewall can mark packets, there is none.
    Kind { name: "mark", method: "-g", ..NOTHING },
    Kind { name: "udp", protocol: Protocol::UDP, method: "-g", ..NOTHING },
    Kind {
        name: "udp-nat",
        protocol: Protocol::UDP,
        method: "-m",
        role: "--forwarding masquerade --director 10.0.0.1",
        server: "ip route replace 10.1.0.0/16 via 10.0.0.1",
        ..NOTHING
    },
    Kind {
        name: "udp6-nat",
        family: Family::V6,
        protocol: Protocol::UDP,
        method: "-m",
        role: "--forwarding masquerade --director fd00::1",
        server: "ip route replace fd01::/16 via fd00::1",
        ..NOTHING
    },
    Kind {
        name: "sctp-nat",
        protocol: Protocol::SCTP,
        method: "-m",
        role: "--forwarding masquerade --director 10.0.0.1",
        server: "ip route replace 10.1.0.0/16 via 10.0.0.1",
        modules: "sctp",
        ..NOTHING
    },
    // No machine but the clients' has an address of IPv4.
    Kind {
        name: "only6",
        family: Family::V6,
        method: "-g",
        director: "ip -4 address flush dev eth0",
        server: "ip -4 address flush dev eth0; ip address del 10.0.0.100/32 dev lo",
        ..NOTHING
    },
    // As kube-proxy has virtual addresses: on an interface that is always down.
    Kind {
        name: "kubernetes",
        method: "-m",
        role: "--forwarding masquerade --director 10.0.0.1",
        director: "ip link add kube-ipvs0 type dummy; ip address del 10.0.0.100/32 dev eth0; \
            ip address add 10.0.0.100/32 dev kube-ipvs0",
        server: "ip route replace 10.1.0.0/16 via 10.0.0.1",
        modules: "dummy",
        ..NOTHING
    },
    // The director is the only real server.
    Kind { name: "local", method: "-m", director: "sysctl -wq net.ipv4.ip_forward=0", ..NOTHING },
    Kind {
        name: "nat-persistent",
        method: "-m",
        role: "--forwarding masquerade --director 10.0.0.1",
        server: "ip route replace 10.1.0.0/16 via 10.0.0.1",
        ..NOTHING
    },
];

impl Kind {
    pub(crate) fn named(name: &str) -> Kind {
        *KINDS.iter().find(|kind| kind.name == name).unwrap_or_else(|| panic!("no kind of site is named {name}"))
    }

    pub(crate) fn vip(&self) -> SocketAddr {
        virtual_address(self.family, PORT)
    }

    /// The first client; NAT and direct routing answer it by a router.
    pub(crate) fn client(&self) -> IpAddr {
        client(self.family, 1, 1)
    }

    /// The options of `doctor` on a real server.
    pub(crate) fn role(&self) -> String {
        let port = match self.protocol {
            Protocol::UDP => format!("--udp {PORT}"),
            Protocol::SCTP => String::new(),
            _ => format!("--tcp {PORT}"),
        };
        format!("--real-server {} --client {} {port} {}", self.vip().ip(), self.client(), self.role)
    }
}

/// A site of this kind.
pub(crate) struct Site {
    pub(crate) kind: Kind,
    pub(crate) network: Network,
    _servers: Servers,
}

impl Site {
    /// None if this kernel can't have it.
    pub(crate) fn build(kind: Kind) -> Option<Self> {
        let network = Network::build(if kind.name == "local" { 0 } else { 2 });
        let can = |machine: &Machine, commands: &str| {
            let run = || std::process::Command::new("sh").args(["-ec", commands]).output().expect("a shell");
            machine.run(run).status.success()
        };
        let modules =
            kind.modules.split_ascii_whitespace().all(|module| can(&network.director, &format!("modprobe {module}")));
        let marks =
            kind.name != "mark" || network.director.run(|| fwmark::Backend::detect(fwmark::Owner::default())).is_ok();
        if !modules || !marks {
            println!("not tested: this kernel can't have a site of the kind {}", kind.name);
            return None;
        }
        for machine in network.servers.iter().chain([&network.director]) {
            shell(
                machine,
                "sysctl -wq net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0",
            );
        }
        let at = kind.vip();
        let service = match kind.name {
            "mark" => "-f 10".to_owned(),
            _ if kind.protocol == Protocol::UDP => format!("-u {at}"),
            _ if kind.protocol == Protocol::SCTP => format!("--sctp-service {at}"),
            _ => format!("-t {at}"),
        };
        let persistence = if kind.name == "nat-persistent" { "-p 60" } else { "" };
        let mut rules = format!("-A {service} -s rr {persistence}\n");
        let number_of_servers = network.servers.len() as u16;
        let real = |number| SocketAddr::new(kernel_tests::network::server(number, kind.family), PORT);
        let mut targets: Vec<SocketAddr> = (1..=number_of_servers).map(real).collect();
        if kind.name == "local" {
            targets.push(SocketAddr::new(kernel_tests::network::director(kind.family), PORT));
            serve_on_director(&network.director);
        }
        targets.iter().for_each(|target| rules += &format!("-a {service} -r {target} {}\n", kind.method));
        shell(&network.director, &format!("ipvsadm -R <<RULES\n{rules}RULES\n{}", kind.director));
        shell(&network.director, "sysctl -wq net.ipv4.vs.expire_nodest_conn=1 net.ipv4.vs.expire_quiescent_template=1");
        if kind.name == "mark" {
            shell(&network.director, &format!("ipvs-cli mark add 10 tcp:{at}"));
        }
        network.servers.iter().filter(|_| !kind.server.is_empty()).for_each(|server| shell(server, kind.server));
        let servers = network.serve(&[(PORT, Speaks::Greeting(kind.protocol))]);
        Some(Site { kind, network, _servers: servers })
    }

    /// Whether each of this number of clients gets a reply, twice. Waits for late packets.
    pub(crate) fn works(&self, clients: u8) -> io::Result<()> {
        (1..=clients).try_for_each(|host| self.serves(client(self.kind.family, 1, host)))
    }

    /// The same of one client.
    pub(crate) fn serves(&self, client: IpAddr) -> io::Result<()> {
        (0..2).try_for_each(|_| self.network.ask(self.kind.protocol, client, self.kind.vip()).map(drop))
    }

    /// Clients that try to connect, and give up soon.
    pub(crate) fn attempts(&self) {
        thread::scope(|scope| {
            for host in 1..=8 {
                scope.spawn(move || self.network.attempt(client(self.kind.family, 1, host), self.kind.vip(), SHORT));
            }
        });
    }
}

/// Greets, for as long as the test runs.
fn serve_on_director(director: &Machine) {
    let listener = director.run(|| TcpListener::bind(("::", PORT)).expect("a free port"));
    thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { return };
            if let Ok(peer) = connection.peer_addr() {
                let _ = io::Write::write_all(&mut connection, format!("director {peer}\n").as_bytes());
            }
        }
    });
}
