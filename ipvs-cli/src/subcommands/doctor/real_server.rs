//! What is wrong with a real server. Judges facts only: nothing here asks the kernel.

use std::net::IpAddr;

use super::director::link_down;
use super::machine::{Address, Link, LinkKind, Machine, Route, host, of_link, sysctl, whole};
use crate::subcommands::findings::{Finding, Remedy};
use ipvs::Family;
use ipvs_text::escape::ShellCommand;

/// How packets reach a real server, as the director has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) vip: IpAddr,
    pub(super) method: Method,
    /// Somebody who shall get answers.
    pub(super) client: Option<IpAddr>,
    /// The port of a UDP server.
    pub(super) udp: Option<u16>,
    /// The port of a TCP server.
    pub(super) tcp: Option<u16>,
    pub(super) director: Option<IpAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    DirectRoute,
    Masquerade,
    /// What wraps packets, and the family of the outer header.
    Tunnel(Wrapping, Family),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrapping {
    Ipip,
    Gue { port: u16 },
    Gre { checksum: bool },
}

/// Of which addresses the doctor needs to know where packets go.
pub(super) fn asked(role: &Role) -> Vec<(IpAddr, u32)> {
    [Some(role.vip), role.client].into_iter().flatten().map(|ip| (ip, 0)).collect()
}

pub(super) fn judge(role: &Role, machine: &Machine) -> Vec<Finding> {
    let mut found: Vec<Finding> = machine.down().map(|link| link_down(&link.name)).collect();
    if role.method != Method::Masquerade {
        found.extend(virtual_address(role.vip, machine));
        found.extend(loopback(machine));
        if role.vip.is_ipv4() {
            found.extend(neighbours(machine));
        }
        found.extend(role.udp.and_then(|port| udp_server(role.vip, port, machine)));
    }
    if let Method::Tunnel(wrapping, over) = role.method {
        found.extend(tunnel(role, wrapping, over, machine));
    }
    found.extend(role.tcp.and_then(|port| tcp_server(role, port, machine)));
    found.extend(role.client.and_then(|client| way_back(role, client, machine)));
    found
}

/// It is here, and not announced on the wire, and only it.
fn virtual_address(vip: IpAddr, machine: &Machine) -> Vec<Finding> {
    let add = ShellCommand::new(["ip", "address", "add", &host(vip), "dev", "lo"]);
    let places: Vec<_> = machine.places_of(vip).collect();
    if places.is_empty() && *machine.route(vip, 0) != Route::Local {
        let what = format!("the virtual address {vip} is not on this machine");
        let why = "packets for this address arrive, and are dropped or forwarded unless this machine has it";
        return vec![Finding::problem("vip-absent", what, why).mended_by(Remedy::AddToLoopback, [add])];
    }
    let is_right = |link: &Link, prefix: u8| link.kind != LinkKind::Wire && prefix == whole(vip);
    let placed = places.into_iter().filter_map(|place| Some((machine.link(place.link)?, place)));
    let (right, wrong): (Vec<_>, Vec<_>) = placed.partition(|(link, place)| is_right(link, place.prefix));
    // An address that is there can't be added again, and one of several commands adds it.
    let mut missing = right.is_empty().then_some(add);
    let mut found = Vec::new();
    for (link, place) in wrong {
        let network = format!("{vip}/{}", place.prefix);
        let remove = ShellCommand::new(["ip", "address", "del", &network, "dev", &link.name]);
        let keep = keep_others(place, link, machine);
        // An interface has an address of IPv6 once only. Otherwise it is always somewhere.
        let is_last = vip.is_ipv6() && link.kind == LinkKind::Loopback;
        let (first, last) = if is_last { (None, missing.take()) } else { (missing.take(), None) };
        let mend: Vec<_> = first.into_iter().chain(keep).chain([remove]).chain(last).collect();
        let (id, what, why) = if link.kind == LinkKind::Wire {
            let what = format!("the virtual address {vip} is on {}, where other machines ask for it", link.name);
            ("vip-on-wire", what, "this machine answers ARP requests for it, so clients come here, past the director")
        } else {
            let what = format!("the virtual address is {network} on {}", link.name);
            let why =
                "then all addresses of that network are this machine's, and packets for its neighbours never leave it";
            ("vip-prefix", what, why)
        };
        found.push(Finding::problem(id, what, why).mended_by(Remedy::MoveToLoopback, mend));
    }
    found
}

/// With the first address of a network the kernel deletes the others, unless it is asked not to.
fn keep_others(place: &Address, link: &Link, machine: &Machine) -> Vec<ShellCommand> {
    let is_beside = |other: &&Address| {
        let network = fwmark::Network::new(place.ip, place.prefix);
        other.is_secondary
            && other.link == place.link
            && other.prefix == place.prefix
            && other.ip != place.ip
            && network.is_ok_and(|network| network.contains(other.ip))
    };
    if place.is_secondary || !machine.addresses.iter().any(|other| is_beside(&other)) {
        return Vec::new();
    }
    sysctl([(of_link(&link.name, "promote_secondaries").as_str(), 1)])
}

fn loopback(machine: &Machine) -> Option<Finding> {
    let down = machine.links.iter().find(|link| link.kind == LinkKind::Loopback && !link.is_up)?;
    let what = format!("the loopback interface {} is down", down.name);
    let up = ShellCommand::new(["ip", "link", "set", "dev", &down.name, "up"]);
    let why = "programs of this machine do not reach each other, and it loses its addresses of IPv6";
    Some(Finding::problem("loopback-down", what, why).mended_by(Remedy::LinkUp, [up]))
}

/// Addresses of other interfaces are not announced on the wire.
fn neighbours(machine: &Machine) -> Vec<Finding> {
    let rules = [
        (
            Remedy::ArpIgnore,
            "arp-ignore",
            "arp_ignore",
            1,
            "it answers ARP requests for the virtual address, so clients come here, past the director",
        ),
        (
            Remedy::ArpAnnounce,
            "arp-announce",
            "arp_announce",
            2,
            "its ARP requests have the virtual address as their source, so neighbours send its packets here",
        ),
    ];
    let finding = |(remedy, id, name, wanted, why): (Remedy, &'static str, &str, i64, &'static str)| {
        let value = |link: &Link| machine.settings.larger(&link.name, name);
        let wrong = machine.wires().filter(|link| value(link).is_some_and(|value| value < wanted));
        let wrong: Vec<&str> = wrong.map(|link| link.name.as_str()).collect();
        let what = format!("{name} is less than {wanted} on {}", wrong.join(", "));
        let all = of_link("all", name);
        let mend = sysctl([(all.as_str(), wanted)]);
        (!wrong.is_empty()).then(|| Finding::problem(id, what, why).mended_by(remedy, mend))
    };
    rules.into_iter().filter_map(finding).collect()
}

fn udp_server(vip: IpAddr, port: u16, machine: &Machine) -> Option<Finding> {
    let mut at_port = machine.udp.iter().filter(|(_, at)| *at == port).map(|(ip, _)| *ip).peekable();
    let why = "a server that is bound to all addresses may reply from another address than the virtual one, and clients drop \
        such replies; bind it to the virtual address";
    if at_port.peek().is_none() {
        let what = format!("no UDP server listens at port {port}");
        return Some(Finding::problem("udp-server", what, "clients get no reply"));
    }
    let is_bound = at_port.any(|ip| ip == vip);
    let what = format!("the UDP server at port {port} is not bound to {vip}");
    let find = ShellCommand::new(["ss", "-lunp", &format!("sport = :{port}")]);
    (!is_bound).then(|| Finding::hint("udp-server", what, why).look(find.to_string()))
}

/// Whether connections find somebody who listens: with NAT at an address of this machine, otherwise
/// at the virtual one.
fn tcp_server(role: &Role, port: u16, machine: &Machine) -> Option<Finding> {
    let listens = match role.method {
        Method::Masquerade => {
            let is_own = |address: &&Address| !address.ip.is_loopback() && address.ip.is_ipv4() == role.vip.is_ipv4();
            machine.addresses.iter().filter(is_own).any(|address| machine.listens(address.ip, port))
        }
        _ => machine.listens(role.vip, port),
    };
    let elsewhere: Vec<String> =
        machine.tcp.iter().filter(|(_, at)| *at == port).map(|(ip, _)| ip.to_string()).collect();
    let what = match elsewhere.as_slice() {
        [] => format!("no TCP server listens at port {port}"),
        _ if role.method == Method::Masquerade => {
            format!("the TCP server at port {port} listens only at {}", elsewhere.join(", "))
        }
        _ => format!("the TCP server at port {port} listens only at {}, not at {}", elsewhere.join(", "), role.vip),
    };
    let find = ShellCommand::new(["ss", "-ltnp", &format!("sport = :{port}")]).to_string();
    (!listens).then(|| Finding::problem("tcp-server", what, "connections of clients are refused").look(find))
}

/// What unwraps packets.
struct Unwrapper {
    kind: LinkKind,
    module: &'static str,
    name: &'static str,
}

fn unwrapper(wrapping: Wrapping, inner: Family, over: Family) -> Unwrapper {
    let is_gre = matches!(wrapping, Wrapping::Gre { .. });
    let (kind, module, name) = match (is_gre, inner, over) {
        (true, _, Family::V4) => (LinkKind::Gre, "ip_gre", "gre"),
        (true, _, Family::V6) => (LinkKind::Ip6Gre, "ip6_gre", "ip6gre"),
        (false, Family::V4, Family::V4) => (LinkKind::Ipip, "ipip", "tunl0"),
        (false, Family::V6, Family::V4) => (LinkKind::Sit, "sit", "sit0"),
        (false, _, Family::V6) => (LinkKind::Ip6Tunnel, "ip6_tunnel", "ip6tnl0"),
    };
    Unwrapper { kind, module, name }
}

fn tunnel(role: &Role, wrapping: Wrapping, over: Family, machine: &Machine) -> Vec<Finding> {
    let inner = Family::of(role.vip);
    let unwrapper = unwrapper(wrapping, inner, over);
    let devices: Vec<&Link> = machine.links.iter().filter(|link| link.kind == unwrapper.kind && link.is_up).collect();
    let mut found = Vec::new();
    if let Wrapping::Gue { port } = wrapping {
        found.extend(gue_port(port, over, machine));
    }
    if devices.is_empty() {
        let what = format!("no tunnel device of the kind {} is up", unwrapper.name.trim_end_matches('0'));
        let why = "packets arrive wrapped, and nothing unwraps them";
        let finding = Finding::problem("tunnel-device", what, why);
        found.push(match bring_up(&unwrapper, wrapping, role.director, machine) {
            Some(commands) => finding.mended_by(Remedy::TunnelDevice, commands),
            None => finding.look("--director ADDRESS of the director, for the commands"),
        });
        return found;
    }
    if let Wrapping::Gre { checksum } = wrapping {
        found.extend(gre_checksum(&unwrapper, &devices, checksum));
    }
    let wanted = if inner == Family::V4 { 4 } else { 41 };
    if unwrapper.kind == LinkKind::Ip6Tunnel && !devices.iter().any(|link| [0, wanted].contains(&link.protocol)) {
        let name = &devices[0].name;
        let what = format!("the tunnel device {name} does not unwrap {}", if wanted == 4 { "IPv4" } else { "IPv6" });
        found.push(
            Finding::problem("tunnel-mode", what, "such packets are dropped")
                .mended_by(Remedy::TunnelMode, [unwrap_all(name)]),
        );
    }
    if inner == Family::V4 {
        found.extend(devices.iter().filter_map(|link| reverse_path(&link.name, machine)));
    }
    found
}

fn gue_port(port: u16, over: Family, machine: &Machine) -> Option<Finding> {
    let is_open = machine.udp.iter().any(|(ip, at)| *at == port && ip.is_unspecified() && Family::of(*ip) == over);
    let (module, option) = if over == Family::V4 { ("fou", None) } else { ("fou6", Some("-6")) };
    let port_number = port.to_string();
    let add = ["ip", "fou", "add", "port", &port_number, "gue"];
    let what = format!("nothing unwraps GUE at UDP port {port}");
    let mend = [ShellCommand::new(["modprobe", module]), ShellCommand::new(add.into_iter().chain(option))];
    let why = "packets arrive wrapped in UDP for this port";
    (!is_open).then(|| Finding::problem("gue-port", what, why).mended_by(Remedy::GuePort, mend))
}

/// None if the commands would need to know the director.
fn bring_up(
    unwrapper: &Unwrapper,
    wrapping: Wrapping,
    director: Option<IpAddr>,
    machine: &Machine,
) -> Option<Vec<ShellCommand>> {
    let name = unwrapper.name;
    let load = ShellCommand::new(["modprobe", unwrapper.module]);
    let Wrapping::Gre { checksum } = wrapping else {
        let mode = (unwrapper.kind == LinkKind::Ip6Tunnel).then(|| unwrap_all(name));
        let up = ShellCommand::new(["ip", "link", "set", "dev", name, "up"]);
        return Some([load].into_iter().chain(mode).chain([up]).collect());
    };
    // The module makes one of its own, which takes no checksums.
    let is_made = |link: &&Link| link.kind == unwrapper.kind && link.name != format!("{name}0");
    if let Some(down) = machine.links.iter().find(is_made) {
        return Some(vec![ShellCommand::new(["ip", "link", "set", "dev", &down.name, "up"])]);
    }
    let director = director?.to_string();
    let add = ["ip", "link", "add", "lvs", "type", name, "remote", &director];
    let add = ShellCommand::new(add.into_iter().chain(checksum.then_some("csum")));
    Some(vec![load, add, ShellCommand::new(["ip", "link", "set", "dev", "lvs", "up"])])
}

/// Not by `ip link`: Linux 6.1 refuses it for the device that the module makes.
fn unwrap_all(device: &str) -> ShellCommand {
    ShellCommand::new(["ip", "-6", "tunnel", "change", "name", device, "mode", "any"])
}

/// `csum` here and `--tun-csum` there go together.
fn gre_checksum(unwrapper: &Unwrapper, devices: &[&Link], checksum: bool) -> Option<Finding> {
    if devices.iter().any(|link| link.wants_checksum == checksum) {
        return None;
    }
    let name = &devices[0].name;
    let (what, option) = if checksum {
        (format!("{name} does not take packets with a checksum, and the director sends them so"), "csum")
    } else {
        (format!("{name} takes only packets with a checksum, and the director sends none"), "nocsum")
    };
    let mend = ShellCommand::new(["ip", "link", "set", "dev", name, "type", unwrapper.name, option]);
    let why = "the kernel drops packets of the other kind";
    Some(Finding::problem("gre-checksum", what, why).mended_by(Remedy::GreChecksum, [mend]))
}

fn reverse_path(link: &str, machine: &Machine) -> Option<Finding> {
    let value = machine.settings.larger(link, "rp_filter").filter(|value| *value != 0)?;
    let what = format!("rp_filter is {value} on {link} (the larger one of {link} and 'all' counts)");
    let why = "clients' packets come out of a tunnel that does not lead to the clients, and are dropped; even the loose check (2) \
        drops them, as the device has no address";
    // The other interfaces keep the check that they have by the value of all.
    let all = of_link("all", "rp_filter");
    let mut values: Vec<(String, i64)> = Vec::new();
    if let Some(value) = machine.settings.get(&all).filter(|value| *value != 0) {
        let others =
            machine.links.iter().filter(|other| other.name != link).map(|other| of_link(&other.name, "rp_filter"));
        values.extend(
            others.filter(|path| machine.settings.get(path).is_some_and(|own| own < value)).map(|path| (path, value)),
        );
        values.push((all, 0));
    }
    values.push((of_link(link, "rp_filter"), 0));
    let mend = sysctl(values.iter().map(|(path, value)| (path.as_str(), *value)));
    Some(Finding::problem("rp-filter-tunnel", what, why).mended_by(Remedy::TunnelReversePath, mend))
}

/// Answers get to the client: with NAT through the director, who has to turn them back.
fn way_back(role: &Role, client: IpAddr, machine: &Machine) -> Option<Finding> {
    let mended = |finding: Finding, gateway: Option<IpAddr>| match gateway {
        Some(gateway) => {
            let via = ["ip", "route", "replace", &host(client), "via", &gateway.to_string()];
            finding.mended_by(Remedy::Route, [ShellCommand::new(via)])
        }
        None => finding.look("the default route: ip route"),
    };
    match (machine.route(client, 0), role.method) {
        (Route::Nowhere, method) => {
            let gateway = role.director.filter(|_| method == Method::Masquerade);
            let what = format!("there is no route to the client {client}");
            Some(mended(Finding::problem("no-route", what, "replies do not reach it"), gateway))
        }
        (Route::Out { gateway, .. }, Method::Masquerade) if *gateway != role.director => {
            let what = format!("replies to {client} do not go through the director");
            let why = "with NAT the director puts the virtual address back into replies; a client drops replies from other addresses";
            Some(mended(Finding::problem("way-back", what, why), role.director))
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "real_server_tests.rs"]
mod tests;
