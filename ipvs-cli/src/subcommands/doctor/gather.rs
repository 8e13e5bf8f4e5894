//! Facts of this machine: the only place that asks the kernel for them.

use std::collections::BTreeSet;
use std::collections::btree_map::Entry;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::{fs, io};

use rustix::system::uname;

use super::machine::{Machine, Settings, of_link};
use super::rtnetlink::Connection;
use super::sync_daemons::{BACKUP_ONLY, PERSIST_MODE, VERSION};

/// What is looked at for each interface, and for all.
const OF_LINKS: [&str; 4] = ["rp_filter", "arp_ignore", "arp_announce", "send_redirects"];
const OTHERS: [&str; 9] = [
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/ipv4/vs/conntrack",
    "net/ipv4/vs/expire_nodest_conn",
    "net/ipv4/vs/expire_quiescent_template",
    BACKUP_ONLY,
    PERSIST_MODE,
    VERSION,
    "net/netfilter/nf_conntrack_max",
];

/// The network of this thread's namespace, with the way to these addresses with these marks.
pub(super) fn machine(asked: impl IntoIterator<Item = (IpAddr, u32)>) -> io::Result<Machine> {
    let mut kernel = Connection::open()?;
    let links = kernel.links()?;
    let mut machine = Machine {
        settings: settings(links.iter().map(|link| link.name.as_str())),
        addresses: kernel.addresses()?,
        links,
        udp: udp(),
        ..Machine::default()
    };
    for (to, mark) in asked {
        if let Entry::Vacant(entry) = machine.routes.entry((to, mark)) {
            entry.insert(kernel.route(to, mark)?);
        }
    }
    Ok(machine)
}

fn settings<'n>(links: impl Iterator<Item = &'n str>) -> Settings {
    let of_links = links.chain(["all"]).flat_map(|link| OF_LINKS.map(|name| of_link(link, name)));
    let mut settings = Settings::default();
    for path in OTHERS.map(str::to_owned).into_iter().chain(of_links) {
        let value = fs::read_to_string(format!("/proc/sys/{path}")).ok();
        if let Some(value) = value.and_then(|text| text.trim().parse().ok()) {
            settings.set(path, value);
        }
    }
    settings
}

/// The addresses and ports of the UDP sockets that are not connected.
fn udp() -> Vec<(IpAddr, u16)> {
    let files = ["/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"];
    let texts: Vec<String> = files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
    texts.iter().flat_map(|text| text.lines().skip(1).filter_map(udp_socket)).collect()
}

/// `  12: 0100007F:0035 00000000:0000 07 …`: the second column, if the socket is not connected.
fn udp_socket(line: &str) -> Option<(IpAddr, u16)> {
    const NOT_CONNECTED: &str = "07";
    let mut columns = line.split_ascii_whitespace();
    let (local, _, state) = (columns.nth(1)?, columns.next()?, columns.next()?);
    let (address, port) = local.split_once(':')?;
    let ip = match address.len() {
        8 => Ipv4Addr::from(word(address)?).into(),
        _ => {
            let mut octets = [0; 16];
            for (index, word_of) in octets.chunks_exact_mut(4).enumerate() {
                word_of.copy_from_slice(&word(address.get(index * 8..index * 8 + 8)?)?);
            }
            Ipv6Addr::from(octets).into()
        }
    };
    let port = u16::from_str_radix(port, 16).ok()?;
    (state == NOT_CONNECTED).then_some((ip, port))
}

/// Four bytes of an address: a word in the machine's order, as digits.
fn word(digits: &str) -> Option<[u8; 4]> {
    u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
}

/// The schedulers that the kernel has loaded, or can; none if its modules can't be seen.
pub(super) fn schedulers() -> Option<BTreeSet<String>> {
    let release = uname().release().to_string_lossy().into_owned();
    let list = |name: &str| fs::read_to_string(format!("/lib/modules/{release}/{name}")).ok();
    let (modules, built_in) = (list("modules.dep")?, list("modules.builtin").unwrap_or_default());
    let loaded = fs::read_to_string("/proc/modules").unwrap_or_default();
    let files = modules.lines().chain(built_in.lines()).filter_map(|line| line.split(':').next()?.rsplit('/').next());
    let loaded = loaded.lines().filter_map(|line| line.split(' ').next());
    let names = files.chain(loaded).filter_map(|name| name.split('.').next()?.strip_prefix("ip_vs_"));
    Some(names.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn sockets_are_read() {
        let v4 = "  614: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 1 2 0 0";
        assert_eq!(udp_socket(v4), Some(([127, 0, 0, 1].into(), 53)));
        let v6 =
            " 1: 00000000000000000000000001000000:17C0 00000000000000000000000000000000:0000 07 0:0 00:0 0 0 0 1 2 0 0";
        assert_eq!(udp_socket(v6), Some((Ipv6Addr::LOCALHOST.into(), 6080)));
        assert_eq!(udp_socket(&v4.replace(" 07 ", " 01 ")), None, "connected");
        for damaged in ["", "1:", "1: x:1 y 07", "1: 0100007:0035 0:0 07"] {
            assert_eq!(udp_socket(damaged), None, "{damaged}");
        }
    }

    #[test]
    fn this_machine_can_be_looked_at() {
        let local = ([127, 0, 0, 1].into(), 0);
        let machine = machine([local, local]).unwrap();
        assert!(machine.settings.get("net/ipv4/ip_forward").is_some());
        assert_eq!(machine.routes.len(), 1);
    }
}
