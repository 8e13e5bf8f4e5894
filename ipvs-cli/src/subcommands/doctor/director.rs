//! What is wrong with a director. Judges facts only: nothing here asks the kernel.

use std::collections::BTreeSet;
use std::net::IpAddr;

use fwmark::{Hook, MarkRule};
use ipvs::{Daemon, DaemonRole, Forwarding, Protocol, ServiceKey, Table, Weight};
use ipvs_text::escape::ShellCommand;

use super::firewall::{self, Firewall};
use super::machine::{LinkKind, Machine, Route, accept_ra, host, of_link, sysctl};
use super::probe::Probes;
use super::traffic::Traffic;
use super::{probed, silent, sync_daemons};
use crate::subcommands::findings::marks::Wrong;
use crate::subcommands::findings::{Finding, Remedy};
use crate::subcommands::servers::scheduler::{Cure, cure};

/// What is known of a director.
#[derive(Clone, Debug)]
pub(super) struct Director {
    pub(super) machine: Machine,
    pub(super) table: Table,
    /// The mark rules of ipvs-cli, and what is wrong with marks.
    pub(super) rules: Vec<MarkRule>,
    pub(super) marks: Vec<Wrong>,
    /// Its connections; `None` if they could not be read.
    pub(super) traffic: Option<Traffic>,
    pub(super) firewalls: Vec<Firewall>,
    /// What real servers answered, if they were asked.
    pub(super) probes: Option<Probes>,
    /// The sync daemons of the other director, if they are known.
    pub(super) peer: Option<Vec<Daemon>>,
}

/// That there is no IPVS, for this reason.
pub(super) fn no_ipvs(reason: &str) -> Finding {
    Finding::problem("no-ipvs", reason, "without it, no service is balanced")
        .mended_by(Remedy::LoadIpvs, [ShellCommand::new(["modprobe", "ip_vs"])])
}

/// Of which addresses, with which marks, the doctor needs to know where packets go.
pub(super) fn asked(table: &Table, rules: &[MarkRule]) -> Vec<(IpAddr, u32)> {
    let servers = destinations(table).map(|(_, ip, _)| (ip, 0));
    virtual_addresses(table, rules).into_iter().chain(servers).collect()
}

pub(super) fn judge(director: &Director) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(links_down(director));
    found.extend(virtual_addresses_are_here(director));
    found.extend(loopback_addresses(director));
    found.extend(forwarding(director));
    found.extend(firewall::judge(director));
    found.extend(probed::judge(director));
    found.extend(silent::judge(director));
    found.extend(own_servers(director));
    found.extend(real_servers(director));
    found.extend(tunnel_sources(director));
    found.extend(without_destinations(director));
    found.extend(hashed_to_weight_0(director));
    found.extend(director.marks.iter().map(Wrong::finding));
    found.extend(reverse_path(director));
    found.extend(redirects(director));
    found.extend(connections(director));
    found.extend(persistence_differs(director));
    found.extend(silent::one_flow(director));
    found.extend(estimation(director));
    found.extend(connection_table(director));
    found.extend(sync_daemons::judge(director));
    found
}

/// The addresses that clients connect to, with the mark that their packets have.
pub(super) fn virtual_addresses(table: &Table, rules: &[MarkRule]) -> BTreeSet<(IpAddr, u32)> {
    let mut all = BTreeSet::new();
    for entry in table.services() {
        match entry.service().key() {
            ServiceKey::Address { at, .. } => {
                all.insert((at.ip(), 0));
            }
            ServiceKey::Mark { mark, .. } => {
                let marked = rules.iter().filter(|rule| rule.set().mark() == mark);
                let from_outside = marked.filter(|rule| matches!(rule.hook(), Hook::Prerouting { .. }));
                let hosts = from_outside.map(MarkRule::destination).filter(|to| to.is_host());
                all.extend(hosts.map(|to| (to.address(), mark.get())));
            }
        }
    }
    all
}

pub(super) fn destinations(table: &Table) -> impl Iterator<Item = (ServiceKey, IpAddr, Forwarding)> + '_ {
    table.services().flat_map(|entry| {
        let key = entry.service().key();
        entry.destinations().map(move |state| (key, state.destination.address.ip(), state.destination.forwarding))
    })
}

/// An interface that is down, in a network where services or real servers are.
fn links_down(director: &Director) -> Vec<Finding> {
    let machine = &director.machine;
    let ips: BTreeSet<IpAddr> = asked(&director.table, &director.rules).into_iter().map(|(ip, _)| ip).collect();
    let is_used = |link: &&super::machine::Link| {
        let own = machine.addresses.iter().filter(|address| address.link == link.index);
        let networks = own.filter_map(|address| fwmark::Network::new(address.ip, address.prefix).ok());
        networks.into_iter().any(|network| ips.iter().any(|ip| network.contains(*ip)))
    };
    machine.down().filter(is_used).map(|link| link_down(&link.name)).collect()
}

pub(super) fn link_down(name: &str) -> Finding {
    let up = ShellCommand::new(["ip", "link", "set", "dev", name, "up"]);
    let what = format!("the interface {name} is down");
    Finding::problem("link-down", what, "its addresses are there, and no packet comes or goes")
        .mended_by(Remedy::LinkUp, [up])
}

/// Only this machine itself can connect to an address of the loopback, and no reply of another
/// machine comes back to it.
fn loopback_addresses(director: &Director) -> Vec<Finding> {
    let is_remote = |ip: IpAddr| *director.machine.route(ip, 0) != Route::Local;
    let finding = |entry: &ipvs::TableEntry| {
        let key = entry.service().key();
        let ServiceKey::Address { at, .. } = key else { return None };
        let remote = entry.destinations().map(|state| state.destination.address.ip()).find(|ip| is_remote(*ip))?;
        let what = format!("{key} is an address of the loopback, and its real server {remote} is another machine");
        let why =
            "only this machine can connect to it, and other machines take packets from 127.0.0.1 or ::1 for forged";
        at.ip().is_loopback().then(|| Finding::problem("vip-loopback", what, why))
    };
    director.table.services().filter_map(finding).collect()
}

/// Real servers that are this machine itself.
fn own_servers(director: &Director) -> Vec<Finding> {
    let machine = &director.machine;
    let mut found = Vec::new();
    for entry in director.table.services() {
        let key = entry.service().key();
        let ServiceKey::Address { protocol: Protocol::TCP, at } = key else { continue };
        for state in entry.destinations().filter(|state| state.destination.weight != Weight::ZERO) {
            let server = state.destination.address;
            // Only NAT changes where the packets go.
            let asked = if state.destination.forwarding == Forwarding::Masquerade { server } else { at };
            if *machine.route(server.ip(), 0) == Route::Local
                && asked.port() != 0
                && !machine.listens(asked.ip(), asked.port())
            {
                let what = format!("the real server {server} of {key} is this machine, and nothing listens at {asked}");
                found.push(Finding::problem("own-server", what, "connections that it gets are refused"));
            }
        }
    }
    found
}

fn virtual_addresses_are_here(director: &Director) -> Vec<Finding> {
    let machine = &director.machine;
    let is_backup = director.table.daemons().iter().any(|daemon| daemon.role == DaemonRole::Backup);
    let away = virtual_addresses(&director.table, &director.rules);
    let away = away.into_iter().filter(|(ip, mark)| *machine.route(*ip, *mark) != Route::Local);
    let mut ips: Vec<IpAddr> = away.map(|(ip, _)| ip).collect();
    ips.dedup();
    let finding = |ip: IpAddr| {
        // There at once, and never the source of the director's own packets.
        let options: &[&str] = if ip.is_ipv6() { &["nodad", "preferred_lft", "0"] } else { &[] };
        let what = format!("the virtual address {ip} is not on this machine");
        if is_backup || machine.runs_vrrp {
            // Added now, it would be on two directors.
            return Finding::hint("vip-absent", what, "a backup director gets it when it takes over");
        }
        let finding = Finding::problem("vip-absent", what, "IPVS sees only packets that are for this machine");
        match home(machine, ip) {
            // Added here, it would be on two machines.
            _ if machine.has_neighbour(ip) => {
                finding.look(format!("at the machine that has it: ip neighbour show {ip}"))
            }
            Some(home) => {
                let host = host(ip);
                let add = ["ip", "address", "add", &host, "dev", home];
                finding.mended_by(Remedy::AddAddress, [ShellCommand::new(add.iter().chain(options))])
            }
            None => finding.look("at the interfaces of this machine, none of which is up and has neighbours: ip link"),
        }
    };
    ips.into_iter().map(finding).collect()
}

/// The interface that an address belongs to: that of its network, or any that has neighbours.
fn home(machine: &Machine, ip: IpAddr) -> Option<&str> {
    let is_near = |address: &&super::machine::Address| {
        let network = fwmark::Network::new(address.ip, address.prefix);
        let is_wire = machine.link(address.link).is_some_and(|link| link.kind == LinkKind::Wire);
        is_wire && network.is_ok_and(|network| network.contains(ip))
    };
    match machine.addresses.iter().find(is_near) {
        Some(address) => Some(machine.name_of(address.link)),
        None => machine.wires().next().map(|link| &*link.name),
    }
}

fn forwarding(director: &Director) -> Vec<Finding> {
    let families = [(false, "IPv4", "net/ipv4/ip_forward"), (true, "IPv6", "net/ipv6/conf/all/forwarding")];
    // What this machine serves itself is not forwarded.
    let is_forwarded =
        |ip: IpAddr, how| how == Forwarding::Masquerade && *director.machine.route(ip, 0) != Route::Local;
    let is_used =
        |of_v6: bool| destinations(&director.table).any(|(_, ip, how)| is_forwarded(ip, how) && ip.is_ipv6() == of_v6);
    let off = families
        .into_iter()
        .filter(|(of_v6, _, path)| is_used(*of_v6) && director.machine.settings.get(path) == Some(0));
    off.map(|(_, family, path)| {
        let what = format!("{} is 0, and there are NAT destinations of {family}", path.replace('/', "."));
        let why = "replies of real servers are not forwarded to clients";
        let finding = Finding::problem("forwarding-off", what, why);
        if path.contains("ipv4") {
            return finding.mended_by(Remedy::ForwardIpv4, sysctl([(path, 1)]));
        }
        // A router of IPv6 ignores the advertisements of others, and loses the default route that
        // it has from them.
        let wires = director.machine.wires().map(|link| accept_ra(&link.name));
        let of_hosts: Vec<String> = wires.filter(|path| director.machine.settings.get(path) == Some(1)).collect();
        let settings = of_hosts.iter().map(|path| (path.as_str(), 2)).chain([(path, 1)]);
        finding.mended_by(Remedy::ForwardIpv6, sysctl(settings))
    })
    .collect()
}

/// Whether they can be reached in the way that is asked for.
fn real_servers(director: &Director) -> Vec<Finding> {
    let mut found_before = BTreeSet::new();
    let mut found = Vec::new();
    for (key, ip, how) in destinations(&director.table) {
        let (id, what, why) = match (director.machine.route(ip, 0), how) {
            (Route::Nowhere, _) => {
                ("no-route", format!("there is no route to the real server {ip} of {key}"), "no packet gets there")
            }
            (Route::Out { gateway: Some(gateway), .. }, Forwarding::DirectRoute) => (
                "not-a-neighbour",
                format!("the real server {ip} of {key} is behind the router {gateway}"),
                "direct routing (-g) reaches only neighbours: the router sends the packet back, as its destination is still \
                 the virtual address. Use a tunnel (-i) or NAT (-m)",
            ),
            _ => continue,
        };
        if found_before.insert((id, ip)) {
            found.push(Finding::problem(id, what, why));
        }
    }
    found
}

fn tunnel_sources(director: &Director) -> Vec<Finding> {
    let through_v6 = |(_, ip, how): (_, IpAddr, _)| ip.is_ipv6() && matches!(how, Forwarding::Tunnel(_));
    if !destinations(&director.table).any(through_v6) {
        return Vec::new();
    }
    let machine = &director.machine;
    let virtual_addresses: BTreeSet<IpAddr> =
        virtual_addresses(&director.table, &director.rules).into_iter().map(|(ip, _)| ip).collect();
    let preferred = virtual_addresses.into_iter().filter(IpAddr::is_ipv6).flat_map(|ip| machine.places_of(ip));
    let preferred = preferred.filter(|address| !address.is_deprecated);
    let finding = |address: &super::machine::Address| {
        let (ip, link) = (address.ip, machine.name_of(address.link));
        let what = format!("the virtual address {ip} on {link} may become the source of the tunnels' packets");
        let why = "a real server has that address itself, and drops packets that come from it";
        let network = format!("{ip}/{}", address.prefix);
        let change = ["ip", "address", "change", &network, "dev", link, "preferred_lft", "0"];
        let change = ShellCommand::new(change);
        Finding::problem("vip-as-source", what, why).mended_by(Remedy::DeprecateAddress, [change])
    };
    preferred.map(finding).collect()
}

fn without_destinations(director: &Director) -> Vec<Finding> {
    let is_dead = |entry: &&ipvs::TableEntry| entry.destinations().all(|state| state.destination.weight.get() == 0);
    let finding = |entry: &ipvs::TableEntry| {
        let key = entry.service().key();
        let what = match entry.destinations().next() {
            None => format!("the service {key} has no destination"),
            Some(_) => format!("all destinations of the service {key} have weight 0"),
        };
        Finding::problem("no-destination", what, "new clients are refused")
    };
    director.table.services().filter(is_dead).map(finding).collect()
}

/// `mh`, `sh` and `dh` refuse the clients whose server, by their hash, has weight 0.
fn hashed_to_weight_0(director: &Director) -> Vec<Finding> {
    let mut found = Vec::new();
    for entry in director.table.services() {
        let (service, key) = (entry.service(), entry.service().key());
        let quiesced = entry.destinations().filter(|state| state.destination.weight == Weight::ZERO).count();
        // If all have weight 0, no scheduler finds a server.
        let Some(cure) = cure(service).filter(|_| (1..entry.destinations().len()).contains(&quiesced)) else {
            continue;
        };
        let servers = if quiesced == 1 { "a destination" } else { "destinations" };
        let what =
            format!("{key} refuses some clients: it has {servers} of weight 0 and scheduler {}", service.scheduler);
        let why = "the hash still leads clients to a destination of weight 0, and they are refused";
        found.push(match cure {
            Cure::Fallback(command) => {
                Finding::problem("hashed-to-weight-0", what, why).mended_by(Remedy::HashFallback, [command])
            }
            Cure::OtherScheduler => {
                let why = format!("{why}; {} has no fallback, so it takes another scheduler", service.scheduler);
                Finding::problem("hashed-to-weight-0", what, why)
            }
        });
    }
    found
}

fn reverse_path(director: &Director) -> Option<Finding> {
    let machine = &director.machine;
    let wires: Vec<&str> = machine.wires().map(|link| link.name.as_str()).collect();
    let is_strict = |link: &&&str| machine.settings.larger(link, "rp_filter") == Some(1);
    let strict: Vec<&str> = wires.iter().filter(is_strict).copied().collect();
    if wires.len() < 2 || strict.is_empty() {
        return None;
    }
    let what = format!("rp_filter is strict on {}", strict.join(", "));
    let why = "a packet is dropped if replies to its sender would leave by another interface; with several networks, that may \
        happen to clients or real servers";
    // Not that of all interfaces: it would switch the check on where it is off, as for a tunnel.
    let own: Vec<String> = strict.iter().map(|link| of_link(link, "rp_filter")).collect();
    let loose = sysctl(own.iter().map(|path| (path.as_str(), 2)));
    Some(Finding::hint("rp-filter-strict", what, why).mended_by(Remedy::LooseReversePath, loose))
}

/// NAT on one wire: redirects show clients or real servers a path past the director.
fn redirects(director: &Director) -> Vec<Finding> {
    let machine = &director.machine;
    let nat = destinations(&director.table).filter(|(_, _, how)| *how == Forwarding::Masquerade);
    let towards: BTreeSet<u32> = nat
        .filter_map(|(_, ip, _)| match machine.route(ip, 0) {
            Route::Out { link, .. } if ip.is_ipv4() => Some(*link),
            _ => None,
        })
        .collect();
    let virtual_addresses = virtual_addresses(&director.table, &director.rules);
    let has_virtual = |link: &u32| {
        virtual_addresses.iter().flat_map(|(ip, _)| machine.places_of(*ip)).any(|address| address.link == *link)
    };
    let names = towards.into_iter().filter(has_virtual).map(|link| machine.name_of(link));
    let redirecting =
        names.filter(|name| machine.settings.larger(name, "send_redirects").is_some_and(|value| value != 0));
    let finding = |name: &str| {
        let what = format!("send_redirects is on, and NAT has clients and real servers on {name}");
        let why = "redirects show the real servers a shorter path to clients, past the director, and clients then get \
            replies from an unknown address";
        let (all, own) = (of_link("all", "send_redirects"), of_link(name, "send_redirects"));
        let off = sysctl([(all.as_str(), 0), (own.as_str(), 0)]);
        Finding::hint("redirects", what, why).mended_by(Remedy::NoRedirects, off)
    };
    redirecting.map(finding).collect()
}

const NODEST: &str = "net/ipv4/vs/expire_nodest_conn";
const QUIESCENT: &str = "net/ipv4/vs/expire_quiescent_template";
const CONNTRACK: &str = "net/ipv4/vs/conntrack";

fn connections(director: &Director) -> Vec<Finding> {
    let settings = &director.machine.settings;
    let is_off = |path: &str| settings.get(path) == Some(0);
    let hint = |path: &'static str, id, remedy, why| {
        let what = format!("{} is 0", path.replace('/', "."));
        Finding::hint(id, what, why).mended_by(remedy, sysctl([(path, 1)]))
    };
    let mut found = Vec::new();
    if is_off(NODEST) && destinations(&director.table).next().is_some() {
        let why = "when a real server is deleted, packets of its connections are dropped silently until they time out; with 1 the \
            connections are ended, and clients connect again";
        found.push(hint(NODEST, "expire-nodest-conn", Remedy::ExpireNodest, why));
    }
    let is_persistent = director.table.services().any(|entry| entry.service().persistence.is_some());
    if is_off(QUIESCENT) && is_persistent {
        let why =
            "a client with a persistence template stays with a real server whose weight is 0; with 1 it gets another";
        found.push(hint(QUIESCENT, "expire-quiescent-template", Remedy::ExpireQuiescent, why));
    }
    let is_nat = destinations(&director.table).any(|(_, _, how)| how == Forwarding::Masquerade);
    let has_conntrack = settings.get("net/netfilter/nf_conntrack_max").is_some();
    if is_off(CONNTRACK) && is_nat && has_conntrack {
        let why = "connection tracking does not see connections of NAT, so firewall rules that match their state or translate \
            addresses do not apply to them";
        found.push(hint(CONNTRACK, "conntrack-off", Remedy::TrackConnections, why));
    }
    found
}

/// The table of connections is nearly full, or slow.
fn connection_table(director: &Director) -> Vec<Finding> {
    let Some(table) = director.machine.connection_table else { return Vec::new() };
    let mut found = Vec::new();
    let limit = director.machine.settings.get(CONN_MAX).filter(|limit| *limit > 0);
    if let Some(limit) = limit.filter(|limit| i64::from(table.entries) * 10 >= limit * 9) {
        let what = format!("there are {} connections, and at most {limit}: net.ipv4.vs.conn_max", table.entries);
        let why = "beyond it new connections are dropped; a higher limit takes memory";
        found.push(Finding::hint("connections-near-limit", what, why));
    }
    let [empty, .., longest] = table.chains;
    let used = table.buckets.saturating_sub(empty);
    if longest > 0 && u64::from(longest) * 10 >= u64::from(used) {
        let what = format!("{longest} of {used} buckets of the connection table have 7 entries or more");
        let why = "a packet's connection is searched among them; with a higher net.ipv4.vs.conn_lfactor there are more buckets";
        found.push(Finding::hint("long-chains", what, why));
    }
    found
}

/// A site of HTTP and HTTPS: clients go from one port to the other.
fn persistence_differs(director: &Director) -> Vec<Finding> {
    const WEB: [u16; 4] = [80, 443, 8080, 8443];
    let web = |entry: &&ipvs::TableEntry| matches!(entry.service().key(), ServiceKey::Address { protocol: Protocol::TCP, at } if WEB.contains(&at.port()));
    let servers = |entry: &ipvs::TableEntry| -> BTreeSet<IpAddr> {
        entry.destinations().map(|state| state.destination.address.ip()).collect()
    };
    let ip = |entry: &ipvs::TableEntry| match entry.service().key() {
        ServiceKey::Address { at, .. } => Some(at.ip()),
        ServiceKey::Mark { .. } => None,
    };
    let is_persistent = |entry: &ipvs::TableEntry| entry.service().persistence.is_some();
    let (with, without): (Vec<_>, Vec<_>) =
        director.table.services().filter(web).partition(|entry| is_persistent(entry));
    let mut by_ip = std::collections::BTreeMap::new();
    with.iter().for_each(|entry| {
        by_ip.entry(ip(entry)).or_insert(*entry);
    });
    let mut found = Vec::new();
    for entry in without {
        let Some(other) = by_ip.get(&ip(entry)) else { continue };
        if servers(entry).len() > 1 && servers(entry) == servers(other) {
            let (key, other) = (entry.service().key(), other.service().key());
            let what = format!("{other} is persistent, and {key} of the same real servers is not");
            let why = "a client of both may have two real servers. One service of a mark for both ports gives it one: \
                `ipvs-cli help mark`";
            found.push(Finding::hint("persistence-differs", what, why));
        }
    }
    found
}

pub(super) const CONN_MAX: &str = "net/ipv4/vs/conn_max";
pub(super) const RUN_ESTIMATION: &str = "net/ipv4/vs/run_estimation";
/// Kernels that have it estimate in threads of their own; older ones in a timer.
pub(super) const ESTIMATION_THREADS: &str = "net/ipv4/vs/est_nice";
/// The number of entries from which an old kernel delays packets noticeably.
const MANY_ENTRIES: usize = 5000;

fn estimation(director: &Director) -> Option<Finding> {
    let settings = &director.machine.settings;
    let entries: usize = director.table.services().map(|entry| 1 + entry.destinations().len()).sum();
    let is_costly = entries >= MANY_ENTRIES && settings.get(ESTIMATION_THREADS).is_none();
    match settings.get(RUN_ESTIMATION)? {
        0 if entries > 0 => {
            let what = "net.ipv4.vs.run_estimation is 0";
            let why = "counters and rates stand still, so nothing that is judged by them can be found";
            let finding = Finding::hint("estimation-off", what, why);
            let on = sysctl([(RUN_ESTIMATION, 1)]);
            Some(if is_costly { finding } else { finding.mended_by(Remedy::RunEstimation, on) })
        }
        0 => None,
        _ if is_costly => {
            let what = format!(
                "every two seconds this kernel adds up the counters of {entries} services and real servers at once"
            );
            let why = "meanwhile one processor forwards no packets; kernels from 6.2 on do it in threads, bit by bit";
            let off = sysctl([(RUN_ESTIMATION, 0)]);
            Some(Finding::hint("estimation-cost", what, why).mended_by(Remedy::StopEstimation, off))
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "director_tests.rs"]
mod tests;
