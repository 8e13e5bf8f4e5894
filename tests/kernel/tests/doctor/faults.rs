//! Faults of directors and real servers on sites that work: each is found, and its commands, run as
//! they are printed, make the site work again.

use std::collections::BTreeSet;

use super::super::{Found, doctor, shell};
use super::sites::{Kind, Site};

/// Where a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Director,
    /// The first real server.
    Server,
    /// The switch between them.
    Wire,
}
use At::{Director, Server, Wire};

/// Something that breaks a site.
struct Fault {
    kind: &'static str,
    at: At,
    break_it: &'static str,
    /// What `doctor` finds on the director: an id, or the id of one of the causes; any of these
    /// words. Nothing if it can't be seen from there.
    director: &'static str,
    /// What it finds on the real server, for faults there.
    server: &'static str,
    /// What `doctor --probe` finds on the director before any client comes: as for `director`.
    /// Nothing if packets from there don't show it.
    probe: &'static str,
    /// The remedies that must have been carried out.
    remedies: &'static [&'static str],
    /// What makes up for it where no command can: the doctor only names it.
    undo: &'static str,
    /// The number of clients that get a reply in the end.
    clients: u8,
}

const fn fault(
    kind: &'static str,
    at: At,
    break_it: &'static str,
    director: &'static str,
    server: &'static str,
    remedies: &'static [&'static str],
) -> Fault {
    Fault { kind, at, break_it, director, server, probe: "", remedies, undo: "", clients: 4 }
}

const fn named(
    kind: &'static str,
    at: At,
    break_it: &'static str,
    director: &'static str,
    server: &'static str,
    undo: &'static str,
) -> Fault {
    Fault { kind, at, break_it, director, server, probe: "", remedies: &[], undo, clients: 4 }
}

impl Fault {
    const fn probed(self, probe: &'static str) -> Self {
        Fault { probe, ..self }
    }
}

/// A route to one client only mends that client.
const fn of_one_client(fault: Fault) -> Fault {
    Fault { clients: 1, ..fault }
}

const FAULTS: &[Fault] = &[
    // Direct routing: the director.
    fault("dr", Director, "ip address del 10.0.0.100/32 dev eth0", "vip-absent", "", &["add-address"]),
    fault(
        "dr",
        Director,
        "ipvsadm -E -t 10.0.0.100:1001 -s mh; ipvsadm -e -t 10.0.0.100:1001 -r 10.0.0.11:1001 -g -w 0",
        "hashed-to-weight-0",
        "",
        &["hash-fallback"],
    ),
    named(
        "dr",
        Director,
        "ip route add unreachable 10.0.0.11/32",
        "no-route",
        "",
        "ip route del unreachable 10.0.0.11/32",
    ),
    named(
        "dr",
        Director,
        "ip route add 10.0.0.11/32 via 10.0.0.12",
        "not-a-neighbour",
        "",
        "ip route del 10.0.0.11/32 via 10.0.0.12",
    ),
    named(
        "dr",
        Director,
        "for server in 11 12; do ipvsadm -e -t 10.0.0.100:1001 -r 10.0.0.$server:1001 -g -w 0; done",
        "no-destination",
        "",
        "for server in 11 12; do ipvsadm -e -t 10.0.0.100:1001 -r 10.0.0.$server:1001 -g -w 1; done",
    ),
    named(
        "dr",
        Director,
        "ipvsadm -a -t 10.0.0.100:1001 -r 10.0.0.77:1001 -g",
        "no-neighbour",
        "",
        "ipvsadm -d -t 10.0.0.100:1001 -r 10.0.0.77:1001",
    )
    .probed("no-neighbour"),
    fault(
        "dr",
        Director,
        "modprobe iptable_nat; iptables-legacy -t nat -A PREROUTING -d 10.0.0.100/32 -p tcp -m tcp --dport 1001 -j DNAT --to-destination 10.0.0.99:1",
        "nat-rule",
        "",
        &["delete-nat-rule"],
    ),
    fault(
        "dr",
        Director,
        "iptables-legacy -t nat -N KUBE-SVC; iptables-legacy -t nat -N KUBE-SEP; iptables-legacy -t nat -A PREROUTING -m comment --comment \"kube's \\\"portals\\\"\" -j KUBE-SVC; iptables-legacy -t nat -A KUBE-SVC -d 10.0.0.100/32 -p tcp -m comment --comment web -m tcp --dport 1001 -j KUBE-SEP; iptables-legacy -t nat -A KUBE-SEP -p tcp -m tcp -j DNAT --to-destination 10.0.0.99:1",
        "nat-rule",
        "",
        &["delete-nat-rule"],
    ),
    // Direct routing: a real server.
    fault("dr", Server, "ip address del 10.0.0.100/32 dev lo", "address", "vip-absent", &["add-to-loopback"])
    .probed("address"),
    // Its addresses of IPv4 are still served.
    fault("dr", Server, "ip link set lo down", "", "loopback-down", &["link-up"]),
    fault(
        "dr",
        Server,
        "ip address del 10.0.0.100/32 dev lo; ip address add 10.0.0.100/24 dev eth0",
        "",
        "vip-on-wire",
        &["move-to-loopback"],
    )
    .probed("arp-answered"),
    fault(
        "dr",
        Server,
        "ip address del 10.0.0.100/32 dev lo; ip address del 10.0.0.11/24 dev eth0; ip address add 10.0.0.100/24 dev eth0; ip address add 10.0.0.11/24 dev eth0; ip route replace 10.1.0.0/16 via 10.0.0.2",
        "",
        "vip-on-wire",
        &["move-to-loopback"],
    )
    .probed("arp-answered"),
    fault(
        "dr",
        Server,
        "ip address del 10.0.0.100/32 dev lo; ip address add 10.0.0.100/24 dev lo",
        "",
        "vip-prefix",
        &["move-to-loopback"],
    )
    .probed("no-neighbour no-answer"),
    fault("dr", Server, "sysctl -wq net.ipv4.conf.all.arp_ignore=0", "", "arp-ignore", &["arp-ignore"])
    .probed("arp-answered"),
    fault("dr", Server, "sysctl -wq net.ipv4.conf.all.arp_announce=1", "", "arp-announce", &["arp-announce"]),
    named("dr", Server, "ip route del 10.1.0.0/16", "way-back", "no-route", "ip route add 10.1.0.0/16 via 10.0.0.2"),
    // Without replies to ARP, a neighbour that was known is asked again.
    named(
        "dr",
        Server,
        "ip address del 10.0.0.11/24 dev eth0; ip address add 10.0.0.78/24 dev eth0; ip route replace 10.1.0.0/16 via 10.0.0.2",
        "no-neighbour",
        "",
        "ip address del 10.0.0.78/24 dev eth0; ip address add 10.0.0.11/24 dev eth0; ip route replace 10.1.0.0/16 via 10.0.0.2",
    )
    .probed("no-neighbour"),
    // The same over IPv6.
    fault("dr6", Director, "ip address del fd00::100/128 dev eth0", "vip-absent", "", &["add-address"]),
    fault("dr6", Server, "ip address del fd00::100/128 dev lo", "address", "vip-absent", &["add-to-loopback"])
    .probed("address"),
    fault("dr6", Server, "ip link set lo down", "address", "loopback-down", &["link-up", "add-to-loopback"])
    .probed("address"),
    fault(
        "dr6",
        Server,
        "ip address del fd00::100/128 dev lo; ip address add fd00::100/64 dev eth0 nodad",
        "",
        "vip-on-wire",
        &["move-to-loopback"],
    )
    .probed("arp-answered"),
    fault(
        "dr6",
        Server,
        "ip address del fd00::100/128 dev lo; ip address add fd00::100/64 dev lo nodad",
        "",
        "vip-prefix",
        &["move-to-loopback"],
    ),
    named("dr6", Server, "ip route del fd01::/16", "way-back", "no-route", "ip route add fd01::/16 via fd00::2"),
    // NAT.
    fault("nat", Director, "ip address del 10.0.0.100/32 dev eth0", "vip-absent", "", &["add-address"]),
    fault("nat", Director, "sysctl -wq net.ipv4.ip_forward=0", "forwarding-off", "", &["forward-ipv4"]),
    fault("nat", Director, "iptables-legacy -P FORWARD DROP", "forward-policy", "", &["accept-forwarded"]),
    fault(
        "nat",
        Director,
        "iptables-legacy -A FORWARD -j LOG; iptables-legacy -A FORWARD -j REJECT",
        "forward-policy",
        "",
        &["accept-forwarded"],
    ),
    of_one_client(fault(
        "nat",
        Server,
        "ip route replace 10.1.0.0/16 via 10.0.0.2",
        "way-back",
        "way-back",
        &["route"],
    )),
    of_one_client(fault("nat", Server, "ip route del 10.1.0.0/16", "way-back", "no-route", &["route"])),
    named(
        "nat",
        Director,
        "ipvsadm -d -t 10.0.0.100:1001 -r 10.0.0.11:1001; ipvsadm -a -t 10.0.0.100:1001 -r 10.0.0.11:1002 -m",
        "refused",
        "",
        "ipvsadm -d -t 10.0.0.100:1001 -r 10.0.0.11:1002; ipvsadm -a -t 10.0.0.100:1001 -r 10.0.0.11:1001 -m",
    )
    .probed("refused"),
    fault("nat6", Director, "ip address del fd00::100/128 dev eth0", "vip-absent", "", &["add-address"]),
    fault("nat6", Director, "sysctl -wq net.ipv6.conf.all.forwarding=0", "forwarding-off", "", &["forward-ipv6"]),
    of_one_client(fault("nat6", Server, "ip route replace fd01::/16 via fd00::2", "way-back", "way-back", &["route"])),
    of_one_client(fault("nat6", Server, "ip route del fd01::/16", "way-back", "no-route", &["route"])),
    // Tunnels.
    fault("ipip", Server, "ip link set tunl0 down", "tunnel", "tunnel-device", &["tunnel-device"])
    .probed("tunnel"),
    fault(
        "ipip",
        Server,
        "sysctl -wq net.ipv4.conf.tunl0.rp_filter=1",
        "tunnel",
        "rp-filter-tunnel",
        &["tunnel-rp-filter"],
    )
    .probed("tunnel"),
    fault(
        "ipip",
        Server,
        "sysctl -wq net.ipv4.conf.all.rp_filter=1",
        "tunnel",
        "rp-filter-tunnel",
        &["tunnel-rp-filter"],
    )
    .probed("tunnel"),
    fault("ipip", Server, "ip address del 10.0.0.100/32 dev lo", "address", "vip-absent", &["add-to-loopback"])
    .probed("address"),
    named("ipip", Server, "ip route del 10.1.0.0/16", "server", "no-route", "ip route add 10.1.0.0/16 via 10.0.0.2"),
    fault("gue", Server, "ip fou del port 6080", "tunnel", "gue-port", &["gue-port"])
    .probed("gue-port"),
    fault(
        "gue",
        Director,
        "ipvsadm -e -t 10.0.0.100:1001 -r 10.0.0.11:1001 -i --tun-type gue --tun-port 7000 --tun-nocsum",
        "tunnel",
        "gue-port",
        &["gue-port"],
    )
    .probed("gue-port"),
    fault("gue", Server, "ip link set tunl0 down", "tunnel", "tunnel-device", &["tunnel-device"])
    .probed("tunnel"),
    fault("gre", Server, "ip link del lvs", "tunnel", "tunnel-device", &["tunnel-device"])
    .probed("tunnel"),
    fault("gre", Server, "ip link set lvs down", "tunnel", "tunnel-device", &["tunnel-device"])
    .probed("tunnel"),
    fault("gre", Server, "ip link set lvs type gre csum", "tunnel", "gre-checksum", &["gre-checksum"])
    .probed("gre-checksum"),
    fault(
        "gre",
        Director,
        "ipvsadm -e -t 10.0.0.100:1001 -r 10.0.0.11:1001 -i --tun-type gre --tun-csum",
        "tunnel",
        "gre-checksum",
        &["gre-checksum"],
    )
    .probed("gre-checksum"),
    fault("ip6ip6", Server, "ip link set ip6tnl0 down", "tunnel", "tunnel-device", &["tunnel-device"])
    .probed("tunnel"),
    fault("ip6ip6", Server, "ip -6 tunnel change ip6tnl0 mode ipip6", "tunnel", "tunnel-mode", &["tunnel-mode"])
    .probed("tunnel"),
    fault("ip6ip6", Server, "ip address del fd00::100/128 dev lo", "address", "vip-absent", &["add-to-loopback"])
    .probed("address"),
    fault(
        "ip6ip6",
        Director,
        "ip address change fd00::100/128 dev eth0 preferred_lft forever",
        "vip-as-source",
        "",
        &["deprecate-address"],
    )
    .probed("tunnel"),
    // Others.
    fault("anycast", Director, "ip address del 10.0.0.100/32 dev lo", "vip-absent", "", &["add-address"]),
    fault("mark", Director, "ip address del 10.0.0.100/32 dev eth0", "vip-absent", "", &["add-address"]),
    named(
        "mark",
        Director,
        "ipvs-cli mark delete 10",
        "service-without-rule",
        "",
        "ipvs-cli mark add 10 tcp:10.0.0.100:1001",
    ),
    fault("mark", Server, "ip address del 10.0.0.100/32 dev lo", "address", "vip-absent", &["add-to-loopback"])
    .probed("address"),
    fault("local", Director, "ip address del 10.0.0.100/32 dev eth0", "vip-absent", "", &["add-address"]),
    named(
        "local",
        Director,
        "ipvsadm -d -t 10.0.0.100:1001 -r 10.0.0.1:1001; ipvsadm -a -t 10.0.0.100:1001 -r 10.0.0.1:1002 -m",
        "own-server",
        "",
        "ipvsadm -d -t 10.0.0.100:1001 -r 10.0.0.1:1002; ipvsadm -a -t 10.0.0.100:1001 -r 10.0.0.1:1001 -m",
    ),
    // A firewall of the real server, which the doctor there does not read.
    named(
        "dr",
        Server,
        "iptables-legacy -A INPUT -p tcp --dport 1001 -j DROP",
        "server",
        "",
        "iptables-legacy -D INPUT -p tcp --dport 1001 -j DROP",
    )
    .probed("server"),
    named(
        "nat",
        Server,
        "iptables-legacy -A INPUT -p tcp --dport 1001 -j DROP",
        "server",
        "",
        "iptables-legacy -D INPUT -p tcp --dport 1001 -j DROP",
    )
    .probed("server"),
    // A machine between them.
    named("dr", Wire, "ip link set rs1 mtu 1300", "", "", "ip link set rs1 mtu 1500").probed("mtu"),
    named("nat6", Wire, "ip link set rs1 mtu 1300", "", "", "ip link set rs1 mtu 1500").probed("mtu"),
    named("ipip", Wire, "ip link set rs1 mtu 1300", "", "", "ip link set rs1 mtu 1500").probed("mtu"),
    named(
        "dr",
        Server,
        "iptables-legacy -A INPUT -p tcp --dport 1001 -j REJECT --reject-with icmp-admin-prohibited",
        "",
        "",
        "iptables-legacy -D INPUT -p tcp --dport 1001 -j REJECT --reject-with icmp-admin-prohibited",
    )
    .probed("server"),
];

/// Which of the faults: all with `DOCTOR_FAULTS=all`, or those of the numbers in it. Otherwise
/// some, as each waits for clients that give up.
fn is_due(number: usize) -> bool {
    let chosen = std::env::var("DOCTOR_FAULTS");
    match chosen.as_deref() {
        Ok("all") => true,
        Ok(text) => text.split(',').any(|text| text.parse() == Ok(number)),
        Err(_) => kernel_tests::on_one_kernel() && number.is_multiple_of(16),
    }
}

#[test]
fn faults_are_found_and_mended() {
    let mut failed = Vec::new();
    let mut count = 0;
    for (number, fault) in FAULTS.iter().enumerate().filter(|(number, _)| is_due(*number)) {
        // Debian's Linux 7.2 has no tables of iptables-legacy.
        if fault.break_it.contains("iptables-legacy")
            && kernel_tests::on_the_fastest_kernel()
            && !kernel_tests::on_one_kernel()
        {
            continue;
        }
        let Some(site) = Site::build(Kind::named(fault.kind)) else { continue };
        count += 1;
        let outcome = found_and_mended(&site, fault);
        println!("{number} {} {:?}: {}: {outcome:?}", fault.kind, fault.at, fault.break_it);
        failed.extend(outcome.err().map(|why| format!("{number}: {why}")));
    }
    println!("{count} faults");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn found_and_mended(site: &Site, fault: &Fault) -> Result<String, String> {
    let Fault { at, director, server, clients, .. } = fault;
    let machine = match at {
        Director => &site.network.director,
        Server => &site.network.servers[0],
        Wire => site.network.wire(),
    };
    site.works(*clients).map_err(|error| format!("before it: {error}"))?;
    shell(machine, fault.break_it);
    site.network.forget_neighbours();
    let probed = doctor(&site.network.director, "--probe");
    if !fault.probe.is_empty() && !fault.probe.split(' ').any(|id| is_named(&probed, id)) {
        return Err(format!("{} is not found by --probe: {probed:?}", fault.probe));
    }
    site.attempts();
    let seen = doctor(&site.network.director, "");
    if !director.is_empty() && !director.split(' ').any(|id| is_named(&seen, id)) {
        return Err(format!("{director} is not found on the director: {seen:?}"));
    }
    let mut done = BTreeSet::new();
    // A route is for the client that the doctor names.
    let mut client = site.kind.client();
    for _ in 0..2 {
        mend(site, &doctor(&site.network.director, ""), &site.network.director, &mut done);
        // What the director suggests to run on the real server.
        let look = seen
            .iter()
            .filter_map(|found| found.look.as_deref())
            .find_map(|look| look.strip_prefix("on 10.0.0.11: ipvs-cli doctor "));
        let role = look.map_or_else(|| site.kind.role(), str::to_owned);
        if server.is_empty() || role.contains("CLIENT") {
            continue;
        }
        if let Some((_, rest)) = role.split_once("--client ") {
            client = rest.split(' ').next().unwrap_or_default().parse().expect("an address");
        }
        let found = doctor(&site.network.servers[0], &role);
        if done.is_empty() && !found.iter().any(|found| found.id == *server) {
            return Err(format!("{server} is not found by {role}: {found:?}"));
        }
        mend(site, &found, &site.network.servers[0], &mut done);
    }
    for remedy in fault.remedies {
        if !done.contains(*remedy) {
            return Err(format!("{remedy} is not suggested: {done:?}"));
        }
    }
    if !fault.undo.is_empty() {
        shell(machine, fault.undo);
    }
    site.network.forget_neighbours();
    let works = if *clients == 1 { site.serves(client) } else { site.works(*clients) };
    works.map_err(|error| format!("after {done:?}: {error}"))?;
    let problems: Vec<Found> =
        doctor(&site.network.director, "--probe").into_iter().filter(|found| found.is_problem).collect();
    if problems.is_empty() { Ok(format!("{done:?}")) } else { Err(format!("afterwards: {problems:?}")) }
}

/// As a finding, or among its causes, of which there are at most three.
fn is_named(found: &[Found], id: &str) -> bool {
    found.iter().any(|found| found.id == id || found.causes.len() <= 3 && found.causes.iter().any(|cause| cause == id))
}

/// Runs the commands for problems, as they are printed.
fn mend(site: &Site, found: &[Found], machine: &kernel_tests::network::Machine, done: &mut BTreeSet<String>) {
    for found in found.iter().filter(|found| found.is_problem) {
        if let Some(remedy) = &found.remedy {
            shell(machine, &found.mend.join("\n"));
            done.insert(remedy.clone());
        }
    }
    site.network.forget_neighbours();
}

/// Each way to mend that docs/doctor.md lists is carried out: for a fault here, or by the test that
/// is named.
#[test]
fn each_remedy_is_carried_out() {
    let page = include_str!("../../../../docs/doctor.md");
    let table = page.split_once("| remedy | cost |").expect("a table of remedies").1;
    let rows = table.lines().skip(2).take_while(|line| line.starts_with("| `"));
    let listed: BTreeSet<&str> = rows.filter_map(|row| row.split('`').nth(1)).collect();
    let elsewhere = [
        // `directors` in doctor.rs.
        "loose-rp-filter",
        "no-redirects",
        "expire-nodest",
        "expire-quiescent",
        "track-connections",
        "run-estimation",
        // `one_flow_of_udp_is_spread`, `estimation_of_many_services`.
        "one-packet",
        "stop-estimation",
        // `sync_daemons_of_two_directors`.
        "backup-only-off",
        "sync-version",
        "sync-all",
        "start-daemon",
        "restart-daemon",
        // tests/kernel/tests/no_module.rs.
        "load-ipvs",
    ];
    let here = FAULTS.iter().flat_map(|fault| fault.remedies).copied();
    let carried_out: BTreeSet<&str> = here.chain(elsewhere).collect();
    assert!(listed.len() > 25, "{listed:?}");
    assert_eq!(carried_out, listed);
}
