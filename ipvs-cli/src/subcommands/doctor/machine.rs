//! What is known of a machine's network, as plain values: nothing here asks the kernel.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipvs::proc::HashTable;
use ipvs_text::escape::ShellCommand;

/// The network of a machine, as far as the doctor looks at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) settings: Settings,
    pub(super) links: Vec<Link>,
    pub(super) addresses: Vec<Address>,
    /// Where packets to an address with a mark go: of those that were asked for.
    pub(super) routes: BTreeMap<(IpAddr, u32), Route>,
    /// UDP sockets that wait for packets: at which address and port.
    pub(super) udp: Vec<(IpAddr, u16)>,
    /// TCP sockets that listen: at which address and port.
    pub(super) tcp: Vec<(IpAddr, u16)>,
    pub(super) neighbours: Vec<Neighbour>,
    /// A program speaks VRRP, as keepalived does: addresses move between machines.
    pub(super) runs_vrrp: bool,
    /// How full the table of connections is, where the kernel shows that.
    pub(super) connection_table: Option<HashTable>,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) kind: LinkKind,
    pub(super) is_up: bool,
    /// The longest packet.
    pub(super) mtu: u32,
    /// Of GRE: a checksum is asked of packets that come in.
    pub(super) wants_checksum: bool,
    /// Of `ip6tnl`: the number of the only protocol that it unwraps; 0 is any.
    pub(super) protocol: u8,
}

/// What an interface is, by the kernel's `ARPHRD_` number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkKind {
    Loopback,
    /// `ipip`: IPv4 in IPv4.
    Ipip,
    /// `sit`: IPv6 in IPv4.
    Sit,
    /// `ip6tnl`: anything in IPv6.
    Ip6Tunnel,
    Gre,
    Ip6Gre,
    /// Another one without neighbours, such as `dummy`.
    Quiet,
    /// It has neighbours, who ask who has an address.
    Wire,
}

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) ip: IpAddr,
    pub(super) prefix: u8,
    pub(super) link: u32,
    /// Not taken for packets of the machine's own.
    pub(super) is_deprecated: bool,
    /// IPv4: deleted with the first address of its network, unless `promote_secondaries` is 1.
    pub(super) is_secondary: bool,
}

/// What the kernel knows of a machine on the same network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Neighbour {
    pub(super) ip: IpAddr,
    pub(super) link: u32,
    pub(super) answer: NeighbourAnswer,
    /// Seconds since the kernel last changed this.
    pub(super) age: u32,
}

/// How a machine answered when it was asked for its address, by ARP or neighbour discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NeighbourAnswer {
    Came,
    /// It was asked, and the kernel waits.
    Awaited,
    Missing,
}

/// Where packets go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// To this machine itself.
    Local,
    /// Out, by the interface of this number, to the next machine on the way if there is one
    /// between.
    Out {
        link: u32,
        gateway: Option<IpAddr>,
    },
    Nowhere,
}

/// Numbers below `/proc/sys`, by their path: `net/ipv4/ip_forward`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings(BTreeMap<String, i64>);

impl Settings {
    /// None if this kernel has no such setting.
    pub(super) fn get(&self, path: &str) -> Option<i64> {
        self.0.get(path).copied()
    }

    pub(super) fn set(&mut self, path: impl Into<String>, value: i64) {
        self.0.insert(path.into(), value);
    }

    /// The effective value for an interface: the kernel takes the larger of its own and that of
    /// all.
    pub(super) fn larger(&self, link: &str, name: &str) -> Option<i64> {
        [link, "all"].into_iter().filter_map(|of| self.get(&of_link(of, name))).max()
    }
}

/// The path of an IPv4 setting of an interface.
pub(super) fn of_link(link: &str, name: &str) -> String {
    format!("net/ipv4/conf/{link}/{name}")
}

/// The path of whether an interface takes router advertisements.
pub(super) fn accept_ra(link: &str) -> String {
    format!("net/ipv6/conf/{link}/accept_ra")
}

/// The commands that set them.
pub(super) fn sysctl<'p>(settings: impl IntoIterator<Item = (&'p str, i64)>) -> Vec<ShellCommand> {
    // In a name, sysctl takes `=` for the end of it, and `*` for anything.
    let is_for_sysctl = |path: &str| path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./@".contains(&byte));
    let (plain, odd): (Vec<_>, Vec<_>) = settings.into_iter().partition(|(path, _)| is_for_sysctl(path));
    let words = plain.into_iter().map(|(path, value)| {
        // A dot in an interface's name is none between words.
        let name = if path.contains('.') { path.to_owned() } else { path.replace('/', ".") };
        format!("{name}={value}")
    });
    let words: Vec<String> = words.collect();
    let all = (!words.is_empty())
        .then(|| ShellCommand::new(["sysctl", "-w"].into_iter().chain(words.iter().map(String::as_str))));
    let each = odd
        .into_iter()
        .map(|(path, value)| ShellCommand::new(["echo", &value.to_string()]).into_file(&format!("/proc/sys/{path}")));
    all.into_iter().chain(each).collect()
}

impl Machine {
    pub(super) fn link(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }

    pub(super) fn name_of(&self, index: u32) -> &str {
        self.link(index).map_or("?", |link| &link.name)
    }

    /// Where packets go; nowhere, if that was not asked for.
    pub(super) fn route(&self, to: IpAddr, mark: u32) -> &Route {
        self.routes.get(&(to, mark)).unwrap_or(&Route::Nowhere)
    }

    /// The addresses that are this one: it may be on several interfaces.
    pub(super) fn places_of(&self, ip: IpAddr) -> impl Iterator<Item = &Address> {
        self.addresses.iter().filter(move |address| address.ip == ip)
    }

    /// Whether another machine of the network has answered for this address.
    pub(super) fn has_neighbour(&self, ip: IpAddr) -> bool {
        self.neighbours.iter().any(|neighbour| neighbour.ip == ip && neighbour.answer == NeighbourAnswer::Came)
    }

    /// What is known of the next machine on the way to an address.
    pub(super) fn next_hop(&self, to: IpAddr) -> Option<&Neighbour> {
        let Route::Out { link, gateway } = self.route(to, 0) else { return None };
        let hop = gateway.unwrap_or(to);
        self.neighbours.iter().find(|neighbour| neighbour.ip == hop && neighbour.link == *link)
    }

    /// Whether a TCP socket listens that takes connections to this address.
    pub(super) fn listens(&self, ip: IpAddr, port: u16) -> bool {
        // A socket of IPv6 for all addresses also takes IPv4, unless it says otherwise.
        let takes = |at: &IpAddr| *at == ip || at.is_unspecified() && (at.is_ipv6() || ip.is_ipv4());
        self.tcp.iter().any(|(at, of)| *of == port && takes(at))
    }

    /// Interfaces with addresses and neighbours that are down.
    pub(super) fn down(&self) -> impl Iterator<Item = &Link> {
        let has_address = move |link: &&Link| self.addresses.iter().any(|address| address.link == link.index);
        self.links.iter().filter(|link| !link.is_up && link.kind == LinkKind::Wire).filter(has_address)
    }

    /// Interfaces that are up and have neighbours.
    pub(super) fn wires(&self) -> impl Iterator<Item = &Link> {
        self.links.iter().filter(|link| link.is_up && link.kind == LinkKind::Wire)
    }
}

/// `192.0.2.1/32`
pub(super) fn host(ip: IpAddr) -> String {
    format!("{ip}/{}", whole(ip))
}

/// The prefix length of a single address.
pub(super) fn whole(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// The commands as one line.
#[cfg(test)]
pub(super) fn joined(commands: &[ShellCommand]) -> String {
    commands.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_value_counts() {
        let mut settings = Settings::default();
        settings.set(of_link("all", "rp_filter"), 1);
        assert_eq!(settings.larger("eth0", "rp_filter"), Some(1));
        settings.set(of_link("eth0", "rp_filter"), 2);
        assert_eq!(settings.larger("eth0", "rp_filter"), Some(2));
        assert_eq!(settings.larger("eth0", "arp_ignore"), None);
    }

    #[test]
    fn names_with_dots_keep_their_slashes() {
        let plain = of_link("eth0", "rp_filter");
        let vlan = of_link("eth0.7", "rp_filter");
        let command = |settings: &[(&str, i64)]| joined(&sysctl(settings.iter().copied()));
        assert_eq!(
            command(&[(&plain, 0), (&vlan, 2)]),
            "sysctl -w net.ipv4.conf.eth0.rp_filter=0 net/ipv4/conf/eth0.7/rp_filter=2"
        );
        let odd = of_link("a=*;b", "rp_filter");
        assert_eq!(
            command(&[(&plain, 0), (&odd, 2)]),
            "sysctl -w net.ipv4.conf.eth0.rp_filter=0; echo 2 > '/proc/sys/net/ipv4/conf/a=*;b/rp_filter'"
        );
    }
}
