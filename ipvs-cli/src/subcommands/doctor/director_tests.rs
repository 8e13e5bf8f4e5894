use super::super::machine::joined;
use super::super::machine::{Address, Link, Neighbour, NeighbourAnswer};
use super::*;
use crate::subcommands::findings::Level;

const VIP: &str = "192.0.2.1";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn link(index: u32, name: &str, kind: LinkKind) -> Link {
    Link { index, name: name.to_owned(), kind, is_up: true, mtu: 1500, wants_checksum: false, protocol: 0 }
}

fn address(text: &str, prefix: u8, link: u32) -> Address {
    Address { ip: ip(text), prefix, link, is_deprecated: false, is_secondary: false }
}

fn table(lines: &str) -> Table {
    let mut names = ipvs_text::ipvsadm::value::NoNames;
    let mut parser = ipvs_text::ipvsadm::Parser::new(&mut names, ipvs_text::ipvsadm::Posix(false));
    crate::desired::read("test", lines.into(), &mut parser)
        .unwrap()
        .state
        .table(&Table::new().on_unknown_kernel())
        .unwrap()
}

/// A director with these services and no fault: two interfaces, the virtual address, real servers.
fn director(lines: &str) -> Director {
    let mut machine = Machine {
        links: vec![
            link(1, "lo", LinkKind::Loopback),
            link(2, "eth0", LinkKind::Wire),
            link(3, "eth1", LinkKind::Wire),
        ],
        addresses: vec![
            address("192.0.2.9", 24, 2),
            address(VIP, 32, 2),
            address("10.0.0.1", 24, 3),
            Address { is_deprecated: true, ..address("2001:db8::1", 128, 2) },
        ],
        ..Machine::default()
    };
    for own in [VIP, "2001:db8::1"] {
        machine.routes.extend([0, 10].map(|mark| ((ip(own), mark), Route::Local)));
    }
    for server in ["10.0.0.11", "10.0.0.12", "2001:db8::11"] {
        machine.routes.insert((ip(server), 0), Route::Out { link: 3, gateway: None });
    }
    for (path, value) in [("net/ipv4/ip_forward", 1), (NODEST, 1), (QUIESCENT, 1), (CONNTRACK, 1)] {
        machine.settings.set(path, value);
    }
    let (rules, marks, firewalls) = (Vec::new(), Vec::new(), Vec::new());
    Director { machine, table: table(lines), rules, marks, peer: None, traffic: None, firewalls, probes: None }
}

const NAT: &str = "-A -t 192.0.2.1:80 -p 60\n-a -t 192.0.2.1:80 -r 10.0.0.11 -m\n";
const DIRECT: &str = "-A -t 192.0.2.1:80\n-a -t 192.0.2.1:80 -r 10.0.0.11 -g\n";
const TUNNEL6: &str = "-A -t [2001:db8::1]:80\n-a -t [2001:db8::1]:80 -r 2001:db8::11 -i\n";

/// The ids of what is found, and what mends it.
fn found(director: &Director) -> Vec<(&'static str, String)> {
    judge(director).into_iter().map(|finding| (finding.id, mended(&finding))).collect()
}

fn mended(finding: &Finding) -> String {
    finding.mend.as_ref().map_or_else(String::new, |mend| joined(&mend.commands))
}

fn one(director: &Director, id: &str, mend: &str) {
    let found = found(director);
    let found: Vec<_> = found.iter().map(|(id, mend)| (*id, mend.as_str())).collect();
    assert_eq!(found, [(id, mend)]);
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    for lines in [NAT, DIRECT, TUNNEL6] {
        assert_eq!(found(&director(lines)), [], "{lines}");
    }
}

#[test]
fn nat_needs_forwarding_and_other_methods_do_not() {
    for (lines, count) in [(NAT, 1), (DIRECT, 0)] {
        let mut director = director(lines);
        director.machine.settings.set("net/ipv4/ip_forward", 0);
        let expected = [("forwarding-off", "sysctl -w net.ipv4.ip_forward=1".to_owned())];
        assert_eq!(found(&director), expected[..count], "{lines}");
    }
}

#[test]
fn what_the_director_serves_itself_needs_no_forwarding() {
    let mut local = director(NAT);
    local.machine.settings.set("net/ipv4/ip_forward", 0);
    local.machine.routes.insert((ip("10.0.0.11"), 0), Route::Local);
    one(&local, "own-server", "");
    local.machine.tcp = vec![(ip("0.0.0.0"), 80)];
    assert_eq!(found(&local), []);
}

#[test]
fn a_router_of_ipv6_keeps_its_default_route() {
    let mut director = director("-A -t [2001:db8::1]:80\n-a -t [2001:db8::1]:80 -r 2001:db8::11 -m\n");
    director.machine.settings.set("net/ipv6/conf/all/forwarding", 0);
    director.machine.settings.set(accept_ra("eth0"), 1);
    one(&director, "forwarding-off", "sysctl -w net.ipv6.conf.eth0.accept_ra=2 net.ipv6.conf.all.forwarding=1");
}

/// Three clients wait at one real server, and the other one serves.
const TWO: &str = "-A -t 192.0.2.1:80 -s rr\n-a -t 192.0.2.1:80 -r 10.0.0.11 -g\n-a -t 192.0.2.1:80 -r 10.0.0.12 -g\n";
const WAITING: &str = "\
TCP C6336401 9C41 C0000201 0050 0A00000B 0050 SYN_RECV    57
TCP C6336401 9C42 C0000201 0050 0A00000B 0050 SYN_RECV    57
TCP C6336402 9C43 C0000201 0050 0A00000B 0050 SYN_RECV    57
TCP C6336402 9C44 C0000201 0050 0A00000C 0050 ESTABLISHED 899
";

fn with_traffic(lines: &str, entries: &str) -> Director {
    Director { traffic: Some(Traffic::parse(entries)), ..director(lines) }
}

fn causes(director: &Director, id: &str) -> Vec<&'static str> {
    let found = judge(director);
    let finding = found.iter().find(|finding| finding.id == id).unwrap_or_else(|| panic!("no {id}: {found:?}"));
    finding.causes.iter().map(|cause| cause.id).collect()
}

#[test]
fn a_real_server_that_answers_nobody_is_found_by_its_connections() {
    let silent = with_traffic(TWO, WAITING);
    assert_eq!(causes(&silent, "no-answer"), ["address", "server", "way-back"]);
    let look = judge(&silent)[0].look.clone().unwrap();
    assert_eq!(look, "on 10.0.0.11: ipvs-cli doctor --real-server 192.0.2.1 --client 198.51.100.1 --tcp 80");
    let two_wait = WAITING.split_once('\n').unwrap().1;
    assert_eq!(found(&with_traffic(TWO, two_wait)), [], "two are everyday life");
    let three: String = WAITING.lines().take(3).map(|line| format!("{line}\n")).collect();
    let all = format!("{three}{}", three.replace("0A00000B", "0A00000C"));
    let of_all = judge(&with_traffic(TWO, &all));
    assert!(of_all.len() == 2 && of_all[0].why.contains("all real servers"), "{of_all:?}");
    let before = WAITING.lines().last().unwrap().replace("0A00000C", "0A00000B");
    let since = format!("{WAITING}{before}");
    assert_eq!(found(&with_traffic(TWO, &since)), [], "it answers again");
    let served = since.replace("0A00000B 0050 ESTABLISHED 899", "0A00000B 0050 ESTABLISHED 600");
    assert_eq!(causes(&with_traffic(TWO, &served), "no-answer").len(), 3, "it served before, and the other one does");
    let sticky = TWO.replace("rr", "rr -p 60");
    let one_client = served.replace("C6336402", "C6336401");
    assert_eq!(found(&with_traffic(&sticky, &one_client)), [], "it is the client that has it in common");
    let quiesced = TWO.replace("10.0.0.11 -g", "10.0.0.11 -g -w 0");
    assert_eq!(found(&with_traffic(&quiesced, WAITING)), [], "no client is sent there any more");
}

#[test]
fn only_connections_that_still_wait_count() {
    let later = Traffic::parse(&WAITING.replace("9C41", "9C61")).since(&Traffic::parse(WAITING));
    let director = Director { traffic: Some(later), ..director(TWO) };
    assert_eq!(found(&director), []);
}

#[test]
fn causes_depend_on_the_method() {
    let nat = with_traffic(&TWO.replace("-g", "-m"), WAITING);
    assert_eq!(causes(&nat, "no-answer"), ["way-back", "server"], "no packet came back");
    let tunnel = with_traffic(&TWO.replace("-g", "-i"), WAITING);
    assert_eq!(causes(&tunnel, "no-answer"), ["tunnel", "address", "server"]);
    let reset = with_traffic(&TWO.replace("-g", "-m"), &WAITING.replace("SYN_RECV   ", "CLOSE      "));
    assert_eq!(judge(&reset)[0].id, "refused");
}

#[test]
fn a_neighbour_that_does_not_answer_is_the_cause() {
    let mut director = with_traffic(TWO, WAITING);
    let neighbour = |answer, age| Neighbour { ip: ip("10.0.0.11"), link: 3, answer, age };
    let one = [("no-neighbour", Level::Problem)];
    let two = [("no-neighbour", Level::Hint), ("no-answer", Level::Problem)];
    for (answer, age, expected) in [
        (NeighbourAnswer::Missing, 3, &one[..]),
        (NeighbourAnswer::Awaited, 0, &one[..]),
        // It may be there again.
        (NeighbourAnswer::Missing, 3600, &two[..]),
    ] {
        director.machine.neighbours = vec![neighbour(answer, age)];
        let found: Vec<_> = judge(&director).iter().map(|finding| (finding.id, finding.level)).collect();
        assert_eq!(found, expected);
    }
    director.machine.neighbours = vec![neighbour(NeighbourAnswer::Came, 0)];
    assert_eq!(judge(&director)[0].id, "no-answer");
}

#[test]
fn persistence_of_one_web_port_is_known() {
    let https = TWO.replace(":80", ":443");
    assert_eq!(found(&director(&format!("{TWO}{https}"))), []);
    one(&director(&format!("{TWO}{}", https.replace("rr", "rr -p 60"))), "persistence-differs", "");
    let other = https.replace("rr", "rr -p 60").replace("0.12", "0.13");
    let found = found(&director(&format!("{TWO}{other}")));
    assert!(found.iter().all(|(id, _)| *id != "persistence-differs"), "other real servers: {found:?}");
}

#[test]
fn a_virtual_address_of_the_loopback_serves_this_machine_only() {
    let mut director = director(&TWO.replace("192.0.2.1", "127.0.0.1"));
    director.machine.routes.insert((ip("127.0.0.1"), 0), Route::Local);
    one(&director, "vip-loopback", "");
}

#[test]
fn an_interface_that_is_down_is_named() {
    let mut director = director(DIRECT);
    director.machine.links[2].is_up = false;
    one(&director, "link-down", "ip link set dev eth1 up");
}

#[test]
fn estimation_that_is_off_or_holds_up_packets_is_known() {
    let mut director = director(DIRECT);
    director.machine.settings.set(RUN_ESTIMATION, 0);
    one(&director, "estimation-off", "sysctl -w net.ipv4.vs.run_estimation=1");
    director.machine.settings.set(RUN_ESTIMATION, 1);
    let many: String =
        (1..=2500).map(|port| format!("-A -t 192.0.2.1:{port}\n-a -t 192.0.2.1:{port} -r 10.0.0.11 -g\n")).collect();
    director.table = table(&many);
    one(&director, "estimation-cost", "sysctl -w net.ipv4.vs.run_estimation=0");
    director.machine.settings.set(RUN_ESTIMATION, 0);
    one(&director, "estimation-off", "");
    director.machine.settings.set(RUN_ESTIMATION, 1);
    director.machine.settings.set(ESTIMATION_THREADS, 0);
    assert_eq!(found(&director), []);
}

#[test]
fn a_virtual_address_is_on_the_director() {
    let mut absent = director(DIRECT);
    absent.machine.routes.insert((ip(VIP), 0), Route::Out { link: 2, gateway: None });
    one(&absent, "vip-absent", "ip address add 192.0.2.1/32 dev eth0");
    assert_eq!(judge(&absent)[0].level, Level::Problem);

    // No command puts the address on a second machine, or on an interface that is not there.
    let seen = Neighbour { ip: ip(VIP), link: 2, answer: NeighbourAnswer::Came, age: 1 };
    let mut elsewhere = absent.clone();
    elsewhere.machine.neighbours = vec![seen];
    one(&elsewhere, "vip-absent", "");
    let mut without_wires = absent.clone();
    without_wires.machine.links.truncate(1);
    without_wires.machine.addresses.clear();
    one(&without_wires, "vip-absent", "");

    absent.table = table(&format!("{DIRECT}--start-daemon backup --mcast-interface lo\n"));
    assert_eq!(judge(&absent)[0].level, Level::Hint, "the other one has it");
}

#[test]
fn a_standby_of_vrrp_is_not_made_to_take_the_address() {
    let mut standby = director(DIRECT);
    standby.machine.routes.insert((ip(VIP), 0), Route::Out { link: 2, gateway: None });
    standby.machine.runs_vrrp = true;
    one(&standby, "vip-absent", "");
    assert_eq!(judge(&standby)[0].level, Level::Hint);
}

#[test]
fn the_addresses_of_a_mark_are_those_of_its_rules() {
    let rule = "iptables -t mangle -A PREROUTING -d 192.0.2.7 -p tcp --dport 80 -j MARK --set-mark 10";
    let mut marked = director("-A -f 10\n-a -f 10 -r 10.0.0.11 -g");
    marked.rules = vec![fwmark::parse(rule).unwrap().rule];
    one(&marked, "vip-absent", "ip address add 192.0.2.7/32 dev eth0");
    marked.machine.routes.insert((ip("192.0.2.7"), 10), Route::Local);
    assert_eq!(found(&marked), [], "a rule for the mark may bring it here");
}

#[test]
fn direct_routing_reaches_neighbours_only() {
    for (lines, route, expected) in [
        (DIRECT, Route::Out { link: 3, gateway: Some(ip("10.0.0.254")) }, Some("not-a-neighbour")),
        (NAT, Route::Out { link: 3, gateway: Some(ip("10.0.0.254")) }, None),
        (DIRECT, Route::Nowhere, Some("no-route")),
        (NAT, Route::Nowhere, Some("no-route")),
        (DIRECT, Route::Local, Some("own-server")),
    ] {
        let mut director = director(lines);
        director.machine.routes.insert((ip("10.0.0.11"), 0), route);
        let ids: Vec<_> = found(&director).into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, expected.into_iter().collect::<Vec<_>>(), "{lines}");
    }
}

#[test]
fn a_virtual_address_is_no_source_of_tunnels() {
    let mut director = director(TUNNEL6);
    director.machine.addresses[3].is_deprecated = false;
    one(&director, "vip-as-source", "ip address change 2001:db8::1/128 dev eth0 preferred_lft 0");
}

#[test]
fn a_service_needs_a_destination_with_weight() {
    for lines in ["-A -t 192.0.2.1:80", "-A -t 192.0.2.1:80\n-a -t 192.0.2.1:80 -r 10.0.0.11 -m -w 0"] {
        one(&director(lines), "no-destination", "");
    }
}

#[test]
fn a_strict_reverse_path_matters_with_two_wires() {
    let mut director = director(DIRECT);
    director.machine.settings.set(of_link("eth1", "rp_filter"), 1);
    one(&director, "rp-filter-strict", "sysctl -w net.ipv4.conf.eth1.rp_filter=2");
    director.machine.settings.set(of_link("all", "rp_filter"), 2);
    assert_eq!(found(&director), []);
    director.machine.settings.set(of_link("all", "rp_filter"), 1);
    director.machine.links.truncate(2);
    assert_eq!(found(&director), [], "there is one wire only");
}

#[test]
fn redirects_matter_where_nat_has_one_wire() {
    let mut director = director(NAT);
    director.machine.settings.set(of_link("all", "send_redirects"), 1);
    assert_eq!(found(&director), [], "there are two wires");
    director.machine.routes.insert((ip("10.0.0.11"), 0), Route::Out { link: 2, gateway: None });
    one(&director, "redirects", "sysctl -w net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.eth0.send_redirects=0");
}

#[test]
fn settings_of_connections_are_hints() {
    let mut director = director(NAT);
    director.machine.settings.set("net/netfilter/nf_conntrack_max", 1000);
    for (path, id) in
        [(NODEST, "expire-nodest-conn"), (QUIESCENT, "expire-quiescent-template"), (CONNTRACK, "conntrack-off")]
    {
        director.machine.settings.set(path, 0);
        one(&director, id, &joined(&sysctl([(path, 1)])));
        assert_eq!(judge(&director)[0].level, Level::Hint);
        director.machine.settings.set(path, 1);
    }
}

#[test]
fn findings_about_marks_suggest_no_command_that_refuses_clients() {
    let (mark, family) = (ipvs::FirewallMark::new(10).unwrap(), ipvs::Family::V6);
    let mut director = director(DIRECT);
    director.marks = vec![Wrong::NoService(mark, family), Wrong::NoRule(mark, family)];
    let expected = [("mark-without-service", String::new()), ("service-without-rule", String::new())];
    assert_eq!(found(&director), expected);
}

#[test]
fn a_hash_that_leads_to_weight_0_is_found() {
    const MH: &str = "-A -t 192.0.2.1:80 -s mh -p 60 -b mh-port\n-a -t 192.0.2.1:80 -r 10.0.0.11 -m -w 0\n-a -t 192.0.2.1:80 -r 10.0.0.12 -m\n";
    let of = |lines: &str| {
        let found = found(&director(lines));
        found.into_iter().filter(|(id, _)| *id == "hashed-to-weight-0").map(|(_, mend)| mend).collect::<Vec<_>>()
    };
    assert_eq!(of(MH), ["ipvsadm -E -t 192.0.2.1:80 -s mh -p 60 -b mh-fallback,mh-port"]);
    assert_eq!(of(&MH.replace("mh-port", "mh-fallback")), [""; 0]);
    assert_eq!(of(&MH.replace("-w 0", "-w 1")), [""; 0]);
    assert_eq!(of(&MH.replace("-m\n", "-m -w 0\n")), [""; 0], "another finding's matter");
    assert_eq!(of(&MH.replace("mh -p 60 -b mh-port", "dh")), [""]);
    assert_eq!(of(&MH.replace("mh -p 60 -b mh-port", "wrr")), [""; 0]);
}

const PERSISTENT: &str = "-A -t 192.0.2.1:80 -p 60\n-a -t 192.0.2.1:80 -r 10.0.0.11 -g\n";
const MASTER: &str = "--start-daemon master --mcast-interface eth0 --syncid 7 --sync-maxlen 1472\n";
const BACKUP: &str = "--start-daemon backup --mcast-interface eth0 --syncid 7 --sync-maxlen 1472\n";

#[test]
fn a_sync_daemon_needs_its_interface() {
    let up = "ip link set dev eth0 up".to_owned();
    for daemon in [MASTER, BACKUP] {
        let mut director = director(&format!("{DIRECT}{daemon}"));
        assert_eq!(found(&director), []);
        director.machine.links[1].is_up = false;
        assert_eq!(found(&director), [("link-down", up.clone()), ("sync-interface", up.clone())]);
        (director.machine.links[1].name, director.machine.links[1].is_up) = ("eth7".to_owned(), true);
        one(&director, "sync-interface", "");
    }
    let loopback = director(&format!("{DIRECT}{}", MASTER.replace("eth0", "lo")));
    assert_eq!(judge(&loopback)[0].level, Level::Hint);
}

#[test]
fn a_director_that_forwards_nothing_is_found() {
    let mut director = director(&format!("{DIRECT}{BACKUP}"));
    director.machine.settings.set(sync_daemons::BACKUP_ONLY, 1);
    one(&director, "backup-only", "sysctl -w net.ipv4.vs.backup_only=0");
    assert_eq!(judge(&director)[0].level, Level::Problem);
    director.table = table(&format!("{DIRECT}{MASTER}"));
    assert_eq!(judge(&director)[0].level, Level::Hint, "it counts only beside a backup daemon");
    // Each director is a real server of the other one: this is what it is for.
    director.table = table(&format!("{DIRECT}-a -t 192.0.2.1:80 -r 192.0.2.9 -g\n{BACKUP}"));
    director.machine.routes.insert((ip("192.0.2.9"), 0), Route::Local);
    director.machine.tcp = vec![(ip(VIP), 80)];
    one(&director, "backup-only", "");
    assert_eq!(judge(&director)[0].level, Level::Hint);
}

/// Nothing that is printed takes the address from the active director, or ends forwarding here.
#[test]
fn a_backup_is_not_made_to_take_over() {
    let mut backup = director(&format!("{DIRECT}{BACKUP}"));
    backup.machine.routes.insert((ip(VIP), 0), Route::Out { link: 2, gateway: None });
    one(&backup, "vip-absent", "");
    assert_eq!(judge(&backup)[0].level, Level::Hint);
    let mut without_daemon = director(DIRECT);
    without_daemon.peer = Some(table(&format!("{DIRECT}{MASTER}")).daemons().to_vec());
    without_daemon.machine.settings.set(sync_daemons::BACKUP_ONLY, 1);
    let backup_only = ("backup-only", "sysctl -w net.ipv4.vs.backup_only=0".to_owned());
    assert_eq!(found(&without_daemon), [backup_only, ("sync-one-sided", String::new())]);
}

#[test]
fn what_a_master_does_not_announce_is_found() {
    let set = |lines: &str, settings: &[(&str, i64)]| {
        let mut director = director(lines);
        settings.iter().for_each(|(path, value)| director.machine.settings.set(*path, *value));
        found(&director).into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    let old = (sync_daemons::VERSION, 0);
    let templates_only = (sync_daemons::PERSIST_MODE, 1);
    let persistent = format!("{PERSISTENT}{MASTER}");
    assert_eq!(set(&persistent, &[old, templates_only]), ["sync-version", "sync-persist-mode"]);
    assert_eq!(set(&format!("{DIRECT}{MASTER}"), &[templates_only]), [""; 0], "nothing is persistent");
    assert_eq!(set(&format!("{PERSISTENT}{BACKUP}"), &[old, templates_only]), [""; 0], "a backup announces nothing");
}

#[test]
fn daemons_that_do_not_receive_each_other_are_made_to() {
    let compare = |own: &str, peer: &str| {
        let mut director = director(&format!("{DIRECT}{own}"));
        director.peer = Some(table(&format!("{DIRECT}{peer}")).daemons().to_vec());
        found(&director)
    };
    let stop_and_start = |role: &str, options: &str| {
        format!("ipvsadm --stop-daemon {role}; ipvsadm --start-daemon {role} --mcast-interface eth0 {options}")
    };
    for (own, peer) in [(MASTER, BACKUP), (BACKUP, MASTER), (BACKUP, &MASTER.replace("1472", "1000"))] {
        assert_eq!(compare(own, peer), [], "{own}{peer}");
    }
    let both = format!("{MASTER}{BACKUP}");
    assert_eq!(compare(&both, &both), [], "each is the other's backup");
    assert_eq!(compare(MASTER, &BACKUP.replace("syncid 7", "syncid 0")), [], "it takes from all");
    assert_eq!(compare(MASTER, &BACKUP.replace("eth0", "eth1")), [("sync-network", String::new())]);
    for (changed, by, id, options) in [
        ("syncid 7", "syncid 8", "sync-id", "--syncid 8 --sync-maxlen 1472"),
        ("eth0", "eth0 --mcast-port 9000", "sync-group", "--syncid 7 --sync-maxlen 1472 --mcast-port 9000"),
        ("eth0", "eth0 --mcast-group 239.1.1.1", "sync-group", "--syncid 7 --sync-maxlen 1472 --mcast-group 239.1.1.1"),
        ("1472", "8972", "sync-maxlen", "--syncid 7 --sync-maxlen 8972"),
    ] {
        let expected = [(id, stop_and_start("backup", options))];
        assert_eq!(compare(BACKUP, &MASTER.replace(changed, by)), expected, "{by}");
        if id != "sync-maxlen" {
            assert_eq!(compare(MASTER, &BACKUP.replace(changed, by)), [(id, stop_and_start("master", options))]);
        }
    }
    let smaller = stop_and_start("master", "--syncid 7 --sync-maxlen 1024");
    assert_eq!(compare(MASTER, &BACKUP.replace("1472", "1024")), [("sync-maxlen", smaller)]);
    assert_eq!(compare(MASTER, MASTER).len(), 2, "neither is a backup");
    let backup = "ipvsadm --start-daemon backup --mcast-interface eth0 --syncid 7 --sync-maxlen 1472";
    assert_eq!(compare("", MASTER), [("sync-one-sided", backup.to_owned())]);
    for none in ["", BACKUP] {
        assert_eq!(compare(none, none), [("sync-one-sided", String::new())], "nobody announces");
    }
}

#[test]
fn a_connection_table_that_is_nearly_full_or_slow_is_known() {
    let with = |text: &str, limit| {
        let mut director = director(DIRECT);
        director.machine.connection_table = Some(ipvs::proc::Status::parse(text).unwrap().connections);
        director.machine.settings.set(CONN_MAX, limit);
        director
    };
    let short = "Conns:\t90\nConn buckets:\t256 (8 bits, lfactor 1)\nConn buckets empty:\t200 (1%)\nConn buckets len-7:\t5 (9%)\n";
    one(&with(short, 100), "connections-near-limit", "");
    one(&with(&short.replace("90", "89").replace("len-7:\t5", "len-7:\t6"), 100), "long-chains", "");
    assert_eq!(found(&with(&short.replace("90", "89").replace("len-7:\t5", "len-7:\t4"), 100)), []);
    assert_eq!(found(&with(&short.replace("len-7:\t5", "len-7:\t4"), 0)), [], "0 is no limit");
}
