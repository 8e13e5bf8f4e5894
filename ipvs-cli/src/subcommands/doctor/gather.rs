//! Facts of this machine: the only place that asks the kernel for them.

use std::collections::btree_map::Entry;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::{fs, io};

use ipvs::proc::Status;

use super::director::{CONN_MAX, ESTIMATION_THREADS, RUN_ESTIMATION};
use super::machine::{Machine, Settings, accept_ra, of_link};
use super::rtnetlink::Connection;
use super::sync_daemons::{BACKUP_ONLY, PERSIST_MODE, VERSION};

/// What is looked at for each interface, and for all.
const OF_LINKS: [&str; 4] = ["rp_filter", "arp_ignore", "arp_announce", "send_redirects"];
const OTHERS: [&str; 12] = [
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/ipv4/vs/conntrack",
    "net/ipv4/vs/expire_nodest_conn",
    "net/ipv4/vs/expire_quiescent_template",
    BACKUP_ONLY,
    PERSIST_MODE,
    VERSION,
    "net/netfilter/nf_conntrack_max",
    RUN_ESTIMATION,
    ESTIMATION_THREADS,
    CONN_MAX,
];

/// The network of this thread's namespace, with the way to these addresses with these marks.
pub(super) fn machine(asked: impl IntoIterator<Item = (IpAddr, u32)>) -> io::Result<Machine> {
    let mut kernel = Connection::open()?;
    let links = kernel.links()?;
    let mut machine = Machine {
        settings: settings(links.iter().map(|link| link.name.as_str())),
        addresses: kernel.addresses()?,
        links,
        udp: sockets(["udp", "udp6"], NOT_CONNECTED),
        tcp: sockets(["tcp", "tcp6"], LISTENS),
        neighbours: kernel.neighbours()?,
        // Of raw sockets the port is the protocol.
        runs_vrrp: sockets(["raw", "raw6"], NOT_CONNECTED).iter().any(|(_, protocol)| *protocol == VRRP),
        connection_table: Status::read().ok().flatten().map(|status| status.connections),
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
    let names: Vec<&str> = links.collect();
    let of_links = names.iter().copied().chain(["all"]).flat_map(|link| OF_LINKS.map(|name| of_link(link, name)));
    let mut settings = Settings::default();
    let accept = names.iter().map(|link| accept_ra(link));
    for path in OTHERS.map(str::to_owned).into_iter().chain(of_links).chain(accept) {
        let value = fs::read_to_string(format!("/proc/sys/{path}")).ok();
        if let Some(value) = value.and_then(|text| text.trim().parse().ok()) {
            settings.set(path, value);
        }
    }
    settings
}

/// The number of the protocol VRRP.
const VRRP: u16 = 112;

/// States of sockets, as the kernel writes them: `TCP_CLOSE` of UDP, `TCP_LISTEN`.
const NOT_CONNECTED: &str = "07";
const LISTENS: &str = "0A";

/// The addresses and ports of the sockets in a state.
fn sockets(files: [&str; 2], wanted: &str) -> Vec<(IpAddr, u16)> {
    let texts = files.map(|file| fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default());
    texts.iter().flat_map(|text| text.lines().skip(1).filter_map(|line| socket(line, wanted))).collect()
}

/// `  12: 0100007F:0035 00000000:0000 07 …`: the second column, if the fourth is the state.
fn socket(line: &str, wanted: &str) -> Option<(IpAddr, u16)> {
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
    (state == wanted).then_some((ip, port))
}

/// Four bytes of an address: a word in the machine's order, as digits.
fn word(digits: &str) -> Option<[u8; 4]> {
    u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn sockets_are_read() {
        let v4 = "  614: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 1 2 0 0";
        assert_eq!(socket(v4, NOT_CONNECTED), Some(([127, 0, 0, 1].into(), 53)));
        let v6 =
            " 1: 00000000000000000000000001000000:17C0 00000000000000000000000000000000:0000 07 0:0 00:0 0 0 0 1 2 0 0";
        assert_eq!(socket(v6, NOT_CONNECTED), Some((Ipv6Addr::LOCALHOST.into(), 6080)));
        assert_eq!(socket(&v4.replace(" 07 ", " 01 "), NOT_CONNECTED), None, "connected");
        for damaged in ["", "1:", "1: x:1 y 07", "1: 0100007:0035 0:0 07"] {
            assert_eq!(socket(damaged, NOT_CONNECTED), None, "{damaged}");
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
