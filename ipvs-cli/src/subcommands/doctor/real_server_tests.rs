use super::super::machine::Address;
use super::super::machine::joined;
use super::*;

const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));
const DIRECTOR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

fn link(index: u32, name: &str, kind: LinkKind) -> Link {
    Link { index, name: name.to_owned(), kind, is_up: true, mtu: 1500, wants_checksum: false, protocol: 0 }
}

fn role(method: Method) -> Role {
    Role { vip: VIP, method, client: Some(CLIENT), udp: None, tcp: None, director: Some(DIRECTOR) }
}

const IPIP: Method = Method::Tunnel(Wrapping::Ipip, Family::V4);

/// A real server without a fault, for direct routing and IP in IP.
fn server() -> Machine {
    let mut machine = Machine {
        links: vec![
            link(1, "lo", LinkKind::Loopback),
            link(2, "eth0", LinkKind::Wire),
            link(3, "tunl0", LinkKind::Ipip),
        ],
        addresses: vec![Address { ip: VIP, prefix: 32, link: 1, is_deprecated: false, is_secondary: false }],
        ..Machine::default()
    };
    machine.routes.insert((VIP, 0), Route::Local);
    machine.routes.insert((CLIENT, 0), Route::Out { link: 2, gateway: Some([10, 0, 0, 254].into()) });
    for (link, name, value) in [("all", "arp_ignore", 1), ("eth0", "arp_announce", 2), ("all", "rp_filter", 0)] {
        machine.settings.set(of_link(link, name), value);
    }
    machine
}

fn found(role: &Role, machine: &Machine) -> Vec<(&'static str, String)> {
    let mended = |finding: &Finding| finding.mend.as_ref().map_or_else(String::new, |mend| joined(&mend.commands));
    judge(role, machine).into_iter().map(|finding| (finding.id, mended(&finding))).collect()
}

/// What one change of the facts makes found.
fn after(method: Method, change: impl FnOnce(&mut Machine)) -> Vec<(&'static str, String)> {
    let mut machine = server();
    change(&mut machine);
    found(&role(method), &machine)
}

fn one(id: &'static str, mend: &str) -> Vec<(&'static str, String)> {
    vec![(id, mend.to_owned())]
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(after(Method::DirectRoute, |_| {}), []);
    assert_eq!(after(IPIP, |_| {}), []);
}

#[test]
fn the_virtual_address_is_a_host_of_the_loopback() {
    let absent = after(Method::DirectRoute, |machine| {
        machine.addresses.clear();
        machine.routes.clear();
        machine.routes.insert((CLIENT, 0), Route::Out { link: 2, gateway: None });
    });
    assert_eq!(absent, one("vip-absent", "ip address add 192.0.2.1/32 dev lo"));
    assert_eq!(
        after(Method::DirectRoute, |machine| machine.addresses[0].prefix = 24),
        one("vip-prefix", "ip address add 192.0.2.1/32 dev lo; ip address del 192.0.2.1/24 dev lo")
    );
    assert_eq!(
        after(Method::DirectRoute, |machine| machine.addresses[0].link = 2),
        one("vip-on-wire", "ip address add 192.0.2.1/32 dev lo; ip address del 192.0.2.1/32 dev eth0")
    );
    assert_eq!(after(Method::DirectRoute, |machine| machine.addresses[0].link = 3), [], "a tunnel has no neighbours");
    let beside = Address { ip: [192, 0, 2, 11].into(), prefix: 24, link: 2, is_deprecated: false, is_secondary: true };
    assert_eq!(
        after(Method::DirectRoute, |machine| {
            (machine.addresses[0].link, machine.addresses[0].prefix) = (2, 24);
            machine.addresses.push(beside);
        }),
        one(
            "vip-on-wire",
            "ip address add 192.0.2.1/32 dev lo; sysctl -w net.ipv4.conf.eth0.promote_secondaries=1; \
             ip address del 192.0.2.1/24 dev eth0"
        ),
        "the machine keeps its own address"
    );
    let also = |link, prefix| Address { ip: VIP, prefix, link, is_deprecated: false, is_secondary: false };
    assert_eq!(
        after(Method::DirectRoute, |machine| machine.addresses.push(also(2, 32))),
        one("vip-on-wire", "ip address del 192.0.2.1/32 dev eth0"),
        "it is on lo, too"
    );
    assert_eq!(
        after(Method::DirectRoute, |machine| machine.addresses = vec![also(1, 24), also(2, 32)]),
        [
            ("vip-prefix", "ip address add 192.0.2.1/32 dev lo; ip address del 192.0.2.1/24 dev lo".to_owned()),
            ("vip-on-wire", "ip address del 192.0.2.1/32 dev eth0".to_owned()),
        ],
        "it is added once"
    );
    assert_eq!(
        after(Method::DirectRoute, |machine| machine.links[0].is_up = false),
        one("loopback-down", "ip link set dev lo up")
    );
}

#[test]
fn neighbours_learn_nothing() {
    for (name, id, all) in [("arp_ignore", "arp-ignore", 1), ("arp_announce", "arp-announce", 2)] {
        let changed = after(Method::DirectRoute, |machine| {
            for link in ["all", "eth0"] {
                machine.settings.set(of_link(link, name), all - 1);
            }
        });
        assert_eq!(changed, one(id, &format!("sysctl -w net.ipv4.conf.all.{name}={all}")));
    }
}

#[test]
fn arp_settings_do_not_matter_for_ipv6() {
    let vip: IpAddr = "2001:db8::1".parse().unwrap();
    let mut machine = server();
    machine.settings = Default::default();
    machine.settings.set(of_link("eth0", "arp_ignore"), 0);
    machine.addresses = vec![Address { ip: vip, prefix: 128, link: 1, is_deprecated: false, is_secondary: false }];
    machine.routes.insert((vip, 0), Route::Local);
    assert_eq!(found(&Role { vip, ..role(Method::DirectRoute) }, &machine), []);
}

#[test]
fn a_tunnel_needs_a_device_without_a_reverse_path_check() {
    assert_eq!(
        after(IPIP, |machine| machine.links[2].is_up = false),
        one("tunnel-device", "modprobe ipip; ip link set dev tunl0 up")
    );
    assert_eq!(
        after(IPIP, |machine| machine.settings.set(of_link("tunl0", "rp_filter"), 2)),
        one("rp-filter-tunnel", "sysctl -w net.ipv4.conf.tunl0.rp_filter=0")
    );
    let all = after(IPIP, |machine| {
        for (link, value) in [("all", 1), ("eth0", 0), ("tunl0", 0)] {
            machine.settings.set(of_link(link, "rp_filter"), value);
        }
    });
    let kept = "sysctl -w net.ipv4.conf.eth0.rp_filter=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.tunl0.rp_filter=0";
    assert_eq!(all, one("rp-filter-tunnel", kept), "other interfaces keep their check");
}

#[test]
fn each_tunnel_has_its_device() {
    let v6: IpAddr = "2001:db8::1".parse().unwrap();
    let gre = |checksum| Wrapping::Gre { checksum };
    for (vip, wrapping, over, mend) in [
        (v6, Wrapping::Ipip, Family::V4, "modprobe sit; ip link set dev sit0 up"),
        (
            VIP,
            Wrapping::Ipip,
            Family::V6,
            "modprobe ip6_tunnel; ip -6 tunnel change name ip6tnl0 mode any; ip link set dev ip6tnl0 up",
        ),
        (
            VIP,
            gre(false),
            Family::V4,
            "modprobe ip_gre; ip link add lvs type gre remote 10.0.0.1; ip link set dev lvs up",
        ),
        (
            VIP,
            gre(true),
            Family::V6,
            "modprobe ip6_gre; ip link add lvs type ip6gre remote 10.0.0.1 csum; ip link set dev lvs up",
        ),
    ] {
        let mut machine = server();
        machine.addresses.push(Address { ip: v6, prefix: 128, link: 1, is_deprecated: false, is_secondary: false });
        let found = found(&Role { vip, ..role(Method::Tunnel(wrapping, over)) }, &machine);
        assert_eq!(found, one("tunnel-device", mend), "{wrapping:?} {over:?}");
    }
}

#[test]
fn checksums_of_gre_are_those_of_the_director() {
    let with_device = |asked: bool, has: bool| {
        let method = Method::Tunnel(Wrapping::Gre { checksum: asked }, Family::V4);
        after(method, |machine| {
            machine.links[2] = Link { wants_checksum: has, ..link(3, "lvs", LinkKind::Gre) };
        })
    };
    assert_eq!(with_device(true, true), []);
    assert_eq!(with_device(false, false), []);
    assert_eq!(with_device(true, false), one("gre-checksum", "ip link set dev lvs type gre csum"));
    assert_eq!(with_device(false, true), one("gre-checksum", "ip link set dev lvs type gre nocsum"));
}

#[test]
fn gue_has_a_port() {
    let method = Method::Tunnel(Wrapping::Gue { port: 6080 }, Family::V4);
    assert_eq!(after(method, |_| {}), one("gue-port", "modprobe fou; ip fou add port 6080 gue"));
    assert_eq!(after(method, |machine| machine.udp.push(([0; 4].into(), 6080))), []);
}

#[test]
fn a_device_of_ipv6_unwraps_the_protocol() {
    let method = Method::Tunnel(Wrapping::Ipip, Family::V6);
    let with = |protocol| {
        after(method, |machine| machine.links[2] = Link { protocol, ..link(3, "ip6tnl0", LinkKind::Ip6Tunnel) })
    };
    assert_eq!(with(0), []);
    assert_eq!(with(4), []);
    assert_eq!(with(41), one("tunnel-mode", "ip -6 tunnel change name ip6tnl0 mode any"));
}

#[test]
fn a_udp_server_is_bound_to_the_virtual_address() {
    let asked = Role { udp: Some(53), ..role(Method::DirectRoute) };
    let mut machine = server();
    let ids = |machine: &Machine| found(&asked, machine).into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    assert_eq!(ids(&machine), ["udp-server"]);
    machine.udp.push(([0; 4].into(), 53));
    assert_eq!(ids(&machine), ["udp-server"]);
    machine.udp.push((VIP, 53));
    assert_eq!(ids(&machine), [""; 0]);
}

#[test]
fn answers_reach_the_client_and_with_nat_by_the_director() {
    let to_client = |machine: &mut Machine, route| machine.routes.extend([((CLIENT, 0), route)]);
    assert_eq!(after(Method::DirectRoute, |machine| to_client(machine, Route::Nowhere)), one("no-route", ""));
    let through_director = one("way-back", "ip route replace 198.51.100.1/32 via 10.0.0.1");
    assert_eq!(after(Method::Masquerade, |_| {}), through_director);
    let by_director = Route::Out { link: 2, gateway: Some(DIRECTOR) };
    assert_eq!(after(Method::Masquerade, |machine| to_client(machine, by_director)), []);
}

#[test]
fn a_tcp_server_listens_where_clients_ask() {
    let ids = |method, listening: &[IpAddr]| {
        let mut machine = server();
        machine.addresses.push(Address { ip: [10, 0, 0, 11].into(), ..machine.addresses[0].clone() });
        machine.routes.insert((CLIENT, 0), Route::Out { link: 2, gateway: Some(DIRECTOR) });
        machine.tcp = listening.iter().map(|ip| (*ip, 80)).collect();
        found(&Role { tcp: Some(80), ..role(method) }, &machine)
    };
    let (any6, own): (IpAddr, IpAddr) = ("::".parse().unwrap(), [10, 0, 0, 11].into());
    let wrong = one("tcp-server", "");
    for method in [Method::DirectRoute, IPIP] {
        assert_eq!([ids(method, &[any6]), ids(method, &[VIP])], [[], []]);
        assert_eq!([ids(method, &[]), ids(method, &[own])], [wrong.clone(), wrong.clone()]);
    }
    assert_eq!([ids(Method::Masquerade, &[own]), ids(Method::Masquerade, &[[0; 4].into()])], [[], []]);
    assert_eq!(ids(Method::Masquerade, &[[127, 0, 0, 1].into()]), wrong);
}

#[test]
fn an_interface_that_is_down_is_named() {
    let down = after(Method::DirectRoute, |machine| {
        machine.links[1].is_up = false;
        machine.addresses.push(Address { ip: [10, 0, 0, 11].into(), link: 2, ..machine.addresses[0].clone() });
    });
    assert_eq!(down, one("link-down", "ip link set dev eth0 up"));
}
