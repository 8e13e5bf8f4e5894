//! `ipvs-cli doctor` on real machines: each setting is broken, found, and mended by the command
//! that it suggests.

use std::ffi::OsString;
use std::process::Command;
use std::thread;
use std::time::Duration;

use ipvs::{Family, Protocol};
use ipvs_cli::director::Director;
use ipvs_cli::env::Environment;
use kernel_tests::network::{Machine, Network, Speaks, client, virtual_address};
use kernel_tests::on_the_fastest_kernel;
use serde_json::Value;

#[path = "../../../ipvs-cli/tests/subcommands/schema.rs"]
mod schema;

mod doctor {
    mod faults;
    mod healthy;
    mod probes;
    mod sites;
}

/// One thing found: its level, its id, and the commands that mend it.
#[derive(Debug)]
struct Found {
    is_problem: bool,
    id: String,
    /// The ids of causes that fit.
    causes: Vec<String>,
    /// Where to look next.
    look: Option<String>,
    mend: Vec<String>,
    /// The name of what the commands do.
    remedy: Option<String>,
}

/// The object that the doctor prints on this machine, and its exit status.
fn answer(machine: &Machine, options: &str) -> (u8, Value) {
    let line = format!("ipvs-cli doctor --json {options}");
    let argv: Vec<OsString> = line.split_ascii_whitespace().map(OsString::from).collect();
    let (status, text) = machine.run(|| {
        let (mut stdin, mut stdout, mut stderr) = (&b""[..], Vec::new(), Vec::new());
        let mut environment = Environment::new(&mut stdin, &mut stdout, &mut stderr);
        let status = ipvs_cli::run(&argv, &mut environment, &mut Director::of_this_machine());
        assert_eq!(String::from_utf8_lossy(&stderr), "", "{line}");
        (status, stdout)
    });
    (status, schema::objects("findings", &String::from_utf8(text).expect("UTF-8")).remove(0))
}

/// What the doctor finds on this machine.
fn doctor(machine: &Machine, options: &str) -> Vec<Found> {
    let (status, answer) = answer(machine, options);
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let found = |value: &Value| Found {
        is_problem: value["level"] == "problem",
        id: text(&value["id"]),
        causes: value["causes"].as_array().expect("a list").iter().map(|cause| text(&cause["id"])).collect(),
        look: value.get("look").map(text),
        remedy: value.get("remedy").map(text),
        mend: value["mend"].as_array().expect("a list").iter().map(text).collect(),
    };
    let all: Vec<Found> = answer["findings"].as_array().expect("a list").iter().map(found).collect();
    assert_eq!(status, u8::from(all.iter().any(|found| found.is_problem)), "{options}: {all:?}");
    all
}

fn ids(found: &[Found]) -> Vec<&str> {
    found.iter().map(|found| found.id.as_str()).collect()
}

fn shell(machine: &Machine, commands: &str) {
    let done = machine.run(|| Command::new("sh").args(["-ec", commands]).output().expect("a shell"));
    assert!(done.status.success(), "{}: {commands}: {}", machine.name, String::from_utf8_lossy(&done.stderr));
}

/// Breaks the machine; exactly this is found then, and gone after the commands that are suggested.
fn broken_found_and_mended(machine: &Machine, options: &str, expected: &str, break_it: &str) {
    let before = doctor(machine, options);
    assert!(!ids(&before).contains(&expected), "{expected} before {break_it}");
    shell(machine, break_it);
    let found = doctor(machine, options);
    let new: Vec<&Found> = found.iter().filter(|found| !ids(&before).contains(&found.id.as_str())).collect();
    assert_eq!(new.len(), 1, "after {break_it}: {found:?}");
    assert_eq!(new[0].id, expected, "after {break_it}: {found:?}");
    let mend = new[0].mend.join("\n");
    assert!(!mend.is_empty(), "{expected} can be mended");
    shell(machine, &mend);
    assert_eq!(ids(&doctor(machine, options)), ids(&before), "after {break_it}, and then {mend}");
    println!("{options} {expected}: broken by {break_it}; mended by {}", mend.replace('\n', "; "));
}

/// Kernels do not differ in any of this.
fn is_elsewhere() -> bool {
    if !on_the_fastest_kernel() {
        println!("tested on the newest kernel");
    }
    !on_the_fastest_kernel()
}

#[test]
fn directors() {
    if is_elsewhere() {
        return;
    }
    let network = Network::build(1);
    let director = &network.director;
    shell(director, "sysctl -wq net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0");
    shell(
        director,
        "printf '%s\\n' '-A -t 10.0.0.100:80 -p 60' '-a -t 10.0.0.100:80 -r 10.0.0.11 -m' \
         '-A -t [fd00::100]:80' '-a -t [fd00::100]:80 -r fd00::11 -i' | ipvsadm -R",
    );
    shell(director, "sysctl -wq net.ipv4.vs.expire_nodest_conn=1 net.ipv4.vs.expire_quiescent_template=1");
    // Where connections are tracked at all.
    shell(director, "modprobe nf_conntrack; sysctl -wq net.ipv4.vs.conntrack=1");
    let problems: Vec<Found> = doctor(director, "").into_iter().filter(|found| found.is_problem).collect();
    assert!(problems.is_empty(), "{problems:?}");
    for (expected, break_it) in [
        ("forwarding-off", "sysctl -wq net.ipv4.ip_forward=0"),
        ("vip-absent", "ip address del 10.0.0.100/32 dev eth0"),
        ("vip-absent", "ip address del fd00::100/128 dev eth0"),
        ("vip-as-source", "ip address change fd00::100/128 dev eth0 preferred_lft forever"),
        ("expire-nodest-conn", "sysctl -wq net.ipv4.vs.expire_nodest_conn=0"),
        ("conntrack-off", "sysctl -wq net.ipv4.vs.conntrack=0"),
        ("estimation-off", "sysctl -wq net.ipv4.vs.run_estimation=0"),
        ("expire-quiescent-template", "sysctl -wq net.ipv4.vs.expire_quiescent_template=0"),
        ("redirects", "sysctl -wq net.ipv4.conf.eth0.send_redirects=1 net.ipv4.conf.all.send_redirects=1"),
        (
            "rp-filter-strict",
            "ip link add other type veth peer name end; ip link set other up; sysctl -wq net.ipv4.conf.all.rp_filter=1",
        ),
    ] {
        broken_found_and_mended(director, "", expected, break_it);
    }
    for (expected, break_it) in [
        ("no-destination", "ipvsadm -A -t 10.0.0.100:81"),
        ("not-a-neighbour", "ip route add 10.9.0.0/16 via 10.0.0.11; ipvsadm -a -t 10.0.0.100:81 -r 10.9.0.1 -g"),
        ("no-route", "ip route add unreachable 10.9.0.0/17"),
    ] {
        shell(director, break_it);
        assert!(ids(&doctor(director, "")).contains(&expected), "{expected} after {break_it}");
    }
}

/// Older kernels add up all counters in a timer; then it is one command to stop it, and none starts
/// it again.
#[test]
fn estimation_of_many_services() {
    let network = Network::build(1);
    let director = &network.director;
    let service = "-A -t 10.0.0.100:&\\n-a -t 10.0.0.100:& -r 10.0.0.11:& -g";
    shell(director, &format!("seq 1 2500 | sed 's/.*/{service}/' | ipvsadm -R"));
    let found = doctor(director, "");
    let costly = found.iter().find(|found| found.id == "estimation-cost");
    let has_threads = director.run(|| std::path::Path::new("/proc/sys/net/ipv4/vs/est_nice").exists());
    assert_eq!(costly.is_none(), has_threads, "{:?}", ids(&found));
    if let Some(costly) = costly {
        shell(director, &costly.mend.join("\n"));
        let after = doctor(director, "");
        assert!(!ids(&after).contains(&"estimation-cost"));
        let off = after.iter().find(|found| found.id == "estimation-off").expect("it is known");
        assert_eq!(off.mend, [""; 0]);
    }
}

/// A flow of UDP goes to one real server. After the command, each packet is scheduled.
#[test]
fn one_flow_of_udp_is_spread() {
    if is_elsewhere() {
        return;
    }
    let network = Network::build(2);
    let director = &network.director;
    let service = "-u 10.0.0.100:1002";
    shell(director, &format!("ipvsadm -A {service} -s rr"));
    (11..13).for_each(|server| shell(director, &format!("ipvsadm -a {service} -r 10.0.0.{server}:1002 -g")));
    let send = || {
        let socket = network.client.run(|| std::net::UdpSocket::bind("10.1.0.1:0").expect("an address of the client"));
        (0..60).for_each(|_| assert_eq!(socket.send_to(b"x", "10.0.0.100:1002").expect("it is sent"), 1));
    };
    send();
    // The kernel adds up counters every two seconds.
    let until = |is_done: &dyn Fn() -> bool| {
        (0..200).any(|_| {
            let done = is_done();
            if !done {
                thread::sleep(Duration::from_millis(100));
            }
            done
        })
    };
    assert!(until(&|| ids(&doctor(director, "")).contains(&"one-flow")));
    let found = doctor(director, "");
    let one = found.iter().find(|found| found.id == "one-flow").expect("it was found");
    assert_eq!(one.remedy.as_deref(), Some("one-packet"));
    shell(director, &one.mend.join("\n"));
    send();
    let least = || {
        let table = director.run(|| ipvs::Client::connect().and_then(|mut client| client.table()).expect("a table"));
        let entry = table.services().next().expect("one service");
        entry.destinations().map(|state| state.statistics.expect("counters").packets_in).min()
    };
    assert!(until(&|| least() >= Some(30)), "{:?}", least());
    assert!(!ids(&doctor(director, "")).contains(&"one-flow"));
}

#[test]
fn sync_daemons_of_two_directors() {
    if is_elsewhere() {
        return;
    }
    let network = Network::build_with_spare(1);
    let (director, spare) = (&network.director, network.spare.as_ref().expect("a second one"));
    for machine in [director, spare] {
        shell(machine, "sysctl -wq net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0");
        let services = "'-A -t 10.0.0.100:1001 -p 60' '-a -t 10.0.0.100:1001 -r 10.0.0.11 -g'";
        shell(machine, &format!("printf '%s\\n' {services} | ipvsadm -R"));
    }
    let file = |name: &str| std::env::temp_dir().join(format!("doctor-{name}-{}", std::process::id()));
    let [of_master, of_backup] = ["master", "backup"].map(file);
    for (machine, role, path) in [(director, "master", &of_master), (spare, "backup", &of_backup)] {
        shell(machine, &format!("ipvsadm --start-daemon {role} --mcast-interface eth0 --syncid 7"));
        shell(machine, &format!("ipvs-cli show --toml --daemons > {}", path.display()));
    }
    let beside = |path: &std::path::Path| format!("--peer {}", path.display());
    for (expected, options) in [
        ("sync-id", "--syncid 8"),
        ("sync-group", "--syncid 7 --mcast-port 9000"),
        ("sync-group", "--syncid 7 --mcast-group 239.1.1.1"),
        ("sync-maxlen", "--syncid 7 --sync-maxlen 1024"),
    ] {
        let start = |role: &str| {
            format!("ipvsadm --stop-daemon {role}; ipvsadm --start-daemon {role} --mcast-interface eth0 {options}")
        };
        broken_found_and_mended(spare, &beside(&of_master), expected, &start("backup"));
        if expected != "sync-maxlen" {
            broken_found_and_mended(director, &beside(&of_backup), expected, &start("master"));
        }
    }
    broken_found_and_mended(spare, &beside(&of_master), "sync-one-sided", "ipvsadm --stop-daemon backup");
    broken_found_and_mended(spare, "", "backup-only", "sysctl -wq net.ipv4.vs.backup_only=1");
    broken_found_and_mended(director, "", "sync-version", "sysctl -wq net.ipv4.vs.sync_version=0");
    broken_found_and_mended(director, "", "sync-persist-mode", "sysctl -wq net.ipv4.vs.sync_persist_mode=1");
    // All is as it should be.
    let known = |machine: &Machine| machine.run(|| ipvs::proc::Connections::open().expect("it is there").count());
    let (from, to) = (client(Family::V4, 1, 1), virtual_address(Family::V4, 1001));
    let _servers = network.serve(&[(1001, Speaks::Greeting(Protocol::TCP))]);
    let mut conversation = network.hold(Protocol::TCP, from, to).expect("it is served");
    (0..5).for_each(|_| conversation.go_on().expect("it goes on"));
    (0..500).take_while(|_| known(spare) < 2).for_each(|_| thread::sleep(Duration::from_millis(50)));
    assert_eq!(known(spare), 2, "a connection and its template");
    // A director that has the virtual address, forwards nothing.
    spare.take_virtual_addresses();
    shell(spare, "sysctl -wq net.ipv4.vs.backup_only=1");
    let found = doctor(spare, "");
    assert!(found.iter().any(|found| found.id == "backup-only" && found.is_problem), "{found:?}");

    let other = "ip link add other type veth peer name end; ip link set other up; ip address add 10.8.0.1/24 dev other";
    let move_it = "ipvsadm --stop-daemon master; ipvsadm --start-daemon master --mcast-interface other";
    shell(director, &format!("{other}; {move_it}"));
    broken_found_and_mended(director, "", "sync-interface", "ip link set other down");
    [of_master, of_backup].iter().for_each(|path| std::fs::remove_file(path).expect("it was written"));
}

#[test]
fn marks_of_directors() {
    let network = Network::build(1);
    let director = &network.director;
    let can_mark = director.run(|| fwmark::Backend::detect(fwmark::Owner::default()));
    if let Err(error) = can_mark {
        println!("not tested: {error}");
        return;
    }
    shell(director, "ipvsadm -A -f 10; ipvsadm -a -f 10 -r 10.0.0.11 -g");
    assert!(ids(&doctor(director, "")).contains(&"service-without-rule"));
    shell(director, "ipvs-cli mark add 10 tcp:10.0.0.100:80,443");
    let ready = doctor(director, "");
    assert!(ready.iter().all(|found| !found.is_problem), "{ready:?}");
    shell(director, "ipvs-cli mark add 11 tcp:10.0.0.100:8080");
    let found = doctor(director, "");
    let without = found.iter().find(|found| found.id == "mark-without-service").expect("it is found");
    // A service without real servers would refuse what a service of the address serves.
    assert_eq!((without.is_problem, without.mend.len()), (false, 0));
    shell(director, "ipvs-cli mark delete 11");
    broken_found_and_mended(director, "", "vip-absent", "ip address del 10.0.0.100/32 dev eth0");
    shell(director, "iptables -t mangle -A PREROUTING -d 10.0.0.100 -j MARK --set-mark 5");
    assert!(ids(&doctor(director, "")).contains(&"mark-conflict"));
    // Into a chain of fwmark.
    shell(
        director,
        "iptables -t mangle -A $(iptables -t mangle -S | grep -om1 'ipvs-fwmark-[a-z]*') -j MARK --set-mark 6",
    );
    assert!(ids(&doctor(director, "")).contains(&"rules-unread"));
}

#[test]
fn real_servers_of_direct_routing() {
    if is_elsewhere() {
        return;
    }
    let network = Network::build(1);
    let server = &network.servers[0];
    let options = "--real-server 10.0.0.100 --client 10.1.0.1";
    assert_eq!(ids(&doctor(server, options)), [""; 0]);
    // While the loopback is down, it loses its addresses of IPv6.
    broken_found_and_mended(server, "--real-server fd00::100", "vip-absent", "ip address del fd00::100/128 dev lo");
    for (expected, break_it) in [
        ("arp-ignore", "sysctl -wq net.ipv4.conf.all.arp_ignore=0"),
        ("arp-announce", "sysctl -wq net.ipv4.conf.all.arp_announce=1"),
        ("vip-absent", "ip address del 10.0.0.100/32 dev lo"),
        ("vip-on-wire", "ip address del 10.0.0.100/32 dev lo; ip address add 10.0.0.100/24 dev eth0"),
        ("vip-on-wire", "ip address add 10.0.0.100/24 dev eth0"),
        ("vip-prefix", "ip address del 10.0.0.100/32 dev lo; ip address add 10.0.0.100/24 dev lo"),
        ("loopback-down", "ip link set lo down"),
    ] {
        broken_found_and_mended(server, options, expected, break_it);
    }
    let socket = server.run(|| std::net::UdpSocket::bind("0.0.0.0:53").expect("a free port"));
    let options = format!("{options} --udp 53");
    assert_eq!(ids(&doctor(server, &options)), ["udp-server"]);
    drop(socket);
    let _socket = server.run(|| std::net::UdpSocket::bind("10.0.0.100:53").expect("a free port"));
    assert_eq!(ids(&doctor(server, &options)), [""; 0]);
}

#[test]
fn real_servers_of_nat() {
    if is_elsewhere() {
        return;
    }
    let network = Network::build(1);
    network.answer_through_director();
    let options = "--real-server 10.0.0.100 --forwarding masquerade --director 10.0.0.1 --client 10.1.0.1";
    assert_eq!(ids(&doctor(&network.servers[0], options)), [""; 0]);
    let server = &network.servers[0];
    broken_found_and_mended(server, options, "way-back", "ip route replace 10.1.0.0/16 via 10.0.0.2");
    broken_found_and_mended(server, options, "no-route", "ip route flush 10.1.0.0/16; ip route flush root 10.1.0.1");
}

#[test]
fn real_servers_of_tunnels() {
    if is_elsewhere() {
        return;
    }
    let network = Network::build(1);
    let server = &network.servers[0];
    shell(server, "sysctl -wq net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0");
    let modules = "modprobe ipip && modprobe sit && modprobe ip6_tunnel && modprobe fou && modprobe ip_gre";
    let there = server.run(|| Command::new("sh").args(["-c", modules]).output().expect("a shell"));
    if !there.status.success() {
        println!("not tested: {}", String::from_utf8_lossy(&there.stderr));
        return;
    }
    let tunnel = |vip: &str, rest: &str| format!("--real-server {vip} --forwarding tunnel {rest}");
    shell(
        server,
        "ip link set tunl0 up; ip link set sit0 up; ip -6 tunnel change ip6tnl0 mode any; ip link set ip6tnl0 up;
         sysctl -wq net.ipv4.conf.tunl0.rp_filter=0 net.ipv4.conf.ip6tnl0.rp_filter=0; ip fou add port 6080 gue;
         ip link add lvs type gre remote 10.0.0.1 csum; ip link set lvs up; sysctl -wq net.ipv4.conf.lvs.rp_filter=0",
    );
    let (v4, v6) = ("10.0.0.100", "fd00::100");
    for (options, expected, break_it) in [
        (tunnel(v4, ""), "tunnel-device", "ip link set tunl0 down"),
        (tunnel(v4, ""), "rp-filter-tunnel", "sysctl -wq net.ipv4.conf.tunl0.rp_filter=2"),
        (tunnel(v6, ""), "tunnel-device", "ip link set sit0 down"),
        (tunnel(v4, "--over ipv6"), "tunnel-mode", "ip -6 tunnel change ip6tnl0 mode ip6ip6"),
        (tunnel(v6, "--over ipv6"), "tunnel-device", "ip link set ip6tnl0 down"),
        (tunnel(v4, "--tunnel gue"), "gue-port", "ip fou del port 6080"),
        (tunnel(v4, "--tunnel gre --checksum"), "gre-checksum", "ip link set lvs type gre nocsum"),
        (tunnel(v4, "--tunnel gre --checksum --director 10.0.0.1"), "tunnel-device", "ip link del lvs"),
    ] {
        broken_found_and_mended(server, &options, expected, break_it);
    }
}

/// Names that a shell, `ip` or `sysctl` would take for something else. The kernel forbids only
/// white space, `/` and `:`.
const ODD: [&str; 13] =
    ["x;reboot", "$(id)", "`id`", "a'b", "a\"b", "*", "-x", "~", "a&b|c>d", "#c", "a=b", "a\u{1b}b", "\u{202e}c"];

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[test]
fn commands_for_odd_interfaces_mend_them() {
    if is_elsewhere() {
        return;
    }
    let network = Network::build(1);
    let server = &network.servers[0];
    for name in ODD.map(quoted) {
        let new =
            format!("ip link add name {name} type veth peer name peer; ip link set dev {name} up; ip link set peer up");
        let place = format!("ip address del 10.0.0.100/32 dev lo; ip address add 10.0.0.100/32 dev {name}");
        shell(server, &new);
        shell(server, &format!("echo 1 > /proc/sys/net/ipv4/conf/{name}/arp_ignore"));
        broken_found_and_mended(server, "--real-server 10.0.0.100", "vip-on-wire", &place);
        shell(server, "ip link delete peer");
    }
    let director = &network.director;
    for name in ODD.map(quoted) {
        let new =
            format!("ip link add name {name} type veth peer name peer; ip link set dev {name} up; ip link set peer up");
        let nat = "ipvsadm -A -t 10.9.0.100:80; ipvsadm -a -t 10.9.0.100:80 -r 10.9.0.11 -m";
        let addresses = format!("ip address add 10.9.0.1/24 dev {name}; ip address add 10.9.0.100/32 dev {name}");
        shell(director, &format!("{new}; {addresses}; {nat}; sysctl -wq net.ipv4.ip_forward=1"));
        shell(
            director,
            &format!("for of in all {name}; do echo 0 > /proc/sys/net/ipv4/conf/\"$of\"/send_redirects; done"),
        );
        let break_it = format!("echo 1 > /proc/sys/net/ipv4/conf/{name}/send_redirects");
        broken_found_and_mended(director, "", "redirects", &break_it);
        shell(director, "ipvsadm -C; ip link delete peer");
    }
}
