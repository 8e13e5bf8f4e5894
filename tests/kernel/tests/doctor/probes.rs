//! `doctor --probe` on real packets: what it proves, what it leaves behind, how much it sends.

use std::net::{SocketAddr, TcpListener};

use ipvs::Protocol;
use kernel_tests::network::{Machine, Network, Speaks};
use serde_json::Value;

use super::super::{Found, answer, doctor, ids, shell};
use super::sites::{Kind, Site};

/// How often to look at healthy real servers: `PROBE_LOOKS` says it, and has all kernels tested.
fn looks() -> Option<usize> {
    let looks = std::env::var("PROBE_LOOKS").ok().map(|text| text.parse().expect("a number"));
    let looks = looks.or_else(|| kernel_tests::on_the_fastest_kernel().then_some(2));
    if looks.is_none() {
        println!("tested on another kernel");
    }
    looks
}

fn output(machine: &Machine, commands: &str) -> String {
    let run = || std::process::Command::new("sh").args(["-ec", commands]).output().expect("a shell");
    let done = machine.run(run);
    assert!(done.status.success(), "{commands}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("UTF-8")
}

/// The object that `doctor --probe` prints.
fn probed(machine: &Machine, options: &str) -> Value {
    answer(machine, &format!("--probe {options}")).1
}

fn sentences(of: &Value) -> Vec<&str> {
    of.as_array().expect("a list").iter().map(|text| text.as_str().expect("a sentence")).collect()
}

/// How many packets it says that it has sent.
fn packets(seen: &Value) -> u64 {
    let sentences = sentences(&seen["examined"]);
    let words = sentences.iter().find_map(|sentence| sentence.split_once(" by ")).expect("a number of packets").1;
    words.split(' ').next().and_then(|word| word.parse().ok()).expect("a number")
}

/// Everything that a probe could leave behind on a director.
fn state(director: &Machine) -> String {
    output(
        director,
        "ip neighbour show nud all | grep -v 'fe80::\\|ff02::\\|ff00::\\|NOARP' | cut -d' ' -f1-3 | sort
         tail -n +3 /proc/net/ip_vs_conn; ipvsadm -L -n --stats; ss -Htulnp; sysctl -a 2>/dev/null | grep -v 'random\\|uuid\\|nf_conntrack_count\\|dentry\\|inode\\|file-nr\\|net.netfilter.nf_log\\|perf_event'; ip route show table all; ip address; cat /proc/net/packet",
    )
}

#[test]
fn a_probe_leaves_nothing_behind() {
    if looks().is_none() {
        return;
    }
    for name in ["dr", "dr6", "nat", "nat6", "ipip"] {
        let Some(site) = Site::build(Kind::named(name)) else { continue };
        site.network.forget_neighbours();
        let director = &site.network.director;
        let before = state(director);
        let seen = probed(director, "");
        assert_eq!(
            seen["findings"].as_array().expect("a list").iter().filter(|found| found["level"] == "problem").count(),
            0
        );
        assert_eq!(state(director), before, "{name}");
        for server in &site.network.servers {
            assert_eq!(output(server, "ss -Htan state syn-recv; ss -Htan state established"), "", "{name}");
        }
        // Its servers were asked, and nothing else.
        for probe in seen["probes"].as_array().expect("a list") {
            let steps = probe["steps"].as_array().expect("a list");
            assert_eq!(steps[0], serde_json::json!({"step": "service", "answer": "came"}), "{name}: {probe}");
            assert_eq!(steps[1], serde_json::json!({"step": "long", "answer": "came"}), "{name}: {probe}");
        }
        site.works(2).expect("it still works");
    }
}

/// One machine with this number of real servers, each with an address of its own, beside a director
/// with services of these forwarding methods.
fn many(servers: u16, method: &str) -> Network {
    let network = Network::build(1);
    let server = |number: u16| format!("10.2.{}.{}", number / 250, number % 250 + 1);
    let own: String = (0..servers).map(|number| format!("address add {}/16 dev eth0\n", server(number))).collect();
    network.servers[0].ip(&own);
    network.director.ip("address add 10.2.255.1/16 dev eth0");
    let rules: String =
        (0..servers).map(|number| format!("-a -t 10.0.0.100:1001 -r {}:1001 {method}\n", server(number))).collect();
    shell(&network.director, &format!("ipvsadm -R <<RULES\n-A -t 10.0.0.100:1001 -s rr\n{rules}RULES"));
    shell(
        &network.director,
        "sysctl -wq net.ipv4.vs.expire_nodest_conn=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0",
    );
    network
}

/// Looks at healthy real servers: 10,000 with `PROBE_LOOKS=100`, otherwise a few.
#[test]
fn healthy_servers_are_never_found_faulty() {
    let Some(looks) = looks() else { return };
    for method in ["-g", "-m"] {
        let network = many(100, method);
        let _servers = network.serve(&[(1001, Speaks::Greeting(Protocol::TCP))]);
        for _ in 0..looks {
            let found: Vec<Found> = doctor(&network.director, "--probe --rate 10000");
            let problems: Vec<_> = found.iter().filter(|found| found.is_problem).collect();
            assert!(problems.is_empty(), "{problems:?}");
        }
        println!("{method}: {looks} looks at 100 real servers, no problem");
    }
}

/// The packets that the director sent, by its interface.
fn sent(director: &Machine) -> u64 {
    let text = output(director, "grep eth0: /proc/net/dev");
    let numbers = text.split_once(':').expect("an interface").1;
    numbers.split_ascii_whitespace().nth(9).and_then(|number| number.parse().ok()).expect("a number of packets")
}

#[test]
fn a_thousand_servers_take_five_packets_each() {
    if looks().is_none() {
        return;
    }
    let network = many(1000, "-g");
    let _servers = network.serve(&[(1001, Speaks::Greeting(Protocol::TCP))]);
    let before = sent(&network.director);
    let seen = probed(&network.director, "--rate 5000");
    let (said, counted) = (packets(&seen), sent(&network.director) - before);
    println!("1,000 real servers: {said} packets, {counted} left the interface");
    assert_eq!(seen["probes"].as_array().expect("a list").len(), 1000);
    assert!(seen["findings"].as_array().expect("a list").iter().all(|found| found["level"] == "hint"), "{seen}");
    // Two SYN and their resets, and the question for its address; some may have been lost.
    assert!((5000..6000).contains(&said), "{said}");
    // The kernel sends its own: it answers the server's questions for the director's address.
    assert!(counted >= said && counted < said + 200, "{counted}");
}

#[test]
fn what_nat_can_prove_is_proven() {
    if looks().is_none() {
        return;
    }
    let network = Network::build(1);
    let (director, server) = (&network.director, &network.servers[0]);
    let _servers = network.serve(&[(1001, Speaks::Greeting(Protocol::TCP))]);
    // The virtual address is in no network of the real server.
    shell(
        director,
        "ip address add 192.0.2.100/32 dev lo; ipvsadm -A -t 192.0.2.100:80; ipvsadm -a -t 192.0.2.100:80 -r 10.0.0.11:1001 -m
         sysctl -wq net.ipv4.conf.all.send_redirects=0",
    );
    shell(server, "ip route add default via 10.0.0.1");
    let steps = |seen: &Value| seen["probes"][0]["steps"].clone();
    let seen = probed(director, "");
    assert_eq!(steps(&seen)[2], serde_json::json!({"step": "outside", "answer": "came"}), "{seen}");
    assert!(!sentences(&seen["unread"]).iter().any(|text| text.contains("default route")), "{seen}");
    // Past the director, by a router that knows the way; then by none.
    shell(&network.client, "ip route add 192.0.2.100/32 via 10.0.0.1; sysctl -wq net.ipv4.ip_forward=1");
    shell(server, "ip route replace default via 10.0.0.2");
    let found = doctor(director, "--probe");
    assert!(found.iter().any(|found| found.id == "way-back" && !found.is_problem), "{found:?}");
    shell(server, "ip route del default");
    let found = doctor(director, "--probe");
    let silent = found.iter().find(|found| found.id == "no-answer").expect("it does not answer");
    assert_eq!(silent.causes, ["way-back", "server"]);
    // With a service for all ports, a reply to the virtual address would be balanced.
    shell(director, "ipvsadm -A -t 192.0.2.100:0 -p; ipvsadm -a -t 192.0.2.100:0 -r 10.0.0.11 -m");
    let seen = probed(director, "tcp:192.0.2.100:80");
    assert_eq!(steps(&seen).as_array().expect("a list").len(), 2, "{seen}");
    assert!(sentences(&seen["unread"]).iter().any(|text| text.contains("default route")), "{seen}");
    assert_eq!(output(director, "tail -n +3 /proc/net/ip_vs_conn"), "");
}

#[test]
fn servers_of_udp_and_sctp_are_asked() {
    if looks().is_none() {
        return;
    }
    let network = Network::build(1);
    let (director, server) = (&network.director, &network.servers[0]);
    let _servers = network.serve(&[(53, Speaks::Greeting(Protocol::UDP)), (1002, Speaks::Greeting(Protocol::UDP))]);
    for (method, vip) in [("-g", "10.0.0.100"), ("-m", "10.0.0.100"), ("-g", "[fd00::100]")] {
        let real = if vip.contains(':') { "[fd00::11]" } else { "10.0.0.11" };
        for port in [53, 1002, 1003] {
            shell(
                director,
                &format!("ipvsadm -A -u {vip}:{port}; ipvsadm -a -u {vip}:{port} -r {real}:{port} {method}"),
            );
        }
        let service = |port: u16| format!("--probe udp:{vip}:{port}");
        for port in [53, 1002] {
            let found = doctor(director, &service(port));
            assert!(!found.iter().any(|found| found.id == "no-answer" || found.id == "refused"), "{found:?}");
        }
        assert!(ids(&doctor(director, &service(1003))).contains(&"refused"), "{vip} {method}");
        shell(director, "ipvsadm -C");
    }
    // What need not answer is not at fault; what must is.
    shell(director, "ipvsadm -A -u 10.0.0.100:514; ipvsadm -a -u 10.0.0.100:514 -r 10.0.0.11:514 -g");
    let _syslog = server.run(|| std::net::UdpSocket::bind("0.0.0.0:514").expect("a free port"));
    let seen = probed(director, "udp:10.0.0.100:514");
    assert!(!seen["findings"].to_string().contains("no-answer"), "{seen}");
    assert!(sentences(&seen["unread"]).iter().any(|text| text.contains("empty packet")), "{seen}");
    shell(director, "ipvsadm -A -u 10.0.0.100:123; ipvsadm -a -u 10.0.0.100:123 -r 10.0.0.11:123 -g");
    let _clock = server.run(|| std::net::UdpSocket::bind("0.0.0.0:123").expect("a free port"));
    let found = doctor(director, "--probe udp:10.0.0.100:123");
    let silent = found.iter().find(|found| found.id == "no-answer").expect("it does not answer");
    assert_eq!(silent.causes, ["server"]);
    shell(director, "ipvsadm -C");

    // Without the module, the real server does not know the protocol.
    shell(
        director,
        "ipvsadm -A --sctp-service 10.0.0.100:5060; ipvsadm -a --sctp-service 10.0.0.100:5060 -r 10.0.0.11:5060 -g",
    );
    let found = doctor(director, "--probe sctp:10.0.0.100:5060");
    assert!(found.iter().any(|found| ["no-answer", "refused"].contains(&&*found.id)), "{found:?}");
    if !server.run(|| std::process::Command::new("modprobe").arg("sctp").status().is_ok_and(|status| status.success()))
    {
        println!("not tested: this kernel has no SCTP");
        return;
    }
    let found = doctor(director, "--probe sctp:10.0.0.100:5060");
    assert!(ids(&found).contains(&"refused"), "{found:?} {}", output(server, "cat /proc/net/sctp/snmp /proc/net/snmp"));
    let listener = server.run(|| {
        let socket = rustix::net::socket(
            rustix::net::AddressFamily::INET,
            rustix::net::SocketType::STREAM,
            Some(rustix::net::ipproto::SCTP),
        )
        .expect("a socket of SCTP");
        rustix::net::bind(&socket, &"0.0.0.0:5060".parse::<SocketAddr>().expect("an address")).expect("a free port");
        rustix::net::listen(&socket, 1).expect("a socket that can listen");
        socket
    });
    let found = doctor(director, "--probe sctp:10.0.0.100:5060");
    assert!(!found.iter().any(|found| ["no-answer", "refused"].contains(&&*found.id)), "{found:?}");
    assert_eq!(output(server, "tail -n +2 /proc/net/sctp/assocs"), "");
    drop(listener);
}

#[test]
fn a_server_that_hangs_is_found() {
    if looks().is_none() {
        return;
    }
    let network = Network::build(1);
    let (director, server) = (&network.director, &network.servers[0]);
    shell(director, "ipvsadm -A -t 10.0.0.100:1001; ipvsadm -a -t 10.0.0.100:1001 -r 10.0.0.11:1001 -g");
    // It accepts nothing, and its queue is full.
    let listener = server.run(|| {
        let listener = TcpListener::bind("0.0.0.0:1001").expect("a free port");
        rustix::net::listen(&listener, 0).expect("a socket that listens");
        listener
    });
    let address: SocketAddr = "10.0.0.11:1001".parse().expect("an address");
    let _clients: Vec<_> = (0..3)
        .map(|_| server.run(|| std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_millis(500))))
        .collect();
    let found = doctor(director, "--probe");
    let silent = found.iter().find(|found| found.id == "no-answer").expect("it does not answer");
    assert_eq!(silent.causes, ["server"], "{found:?}");
    drop(listener);
}

#[test]
fn what_can_not_be_asked_is_said() {
    if looks().is_none() {
        return;
    }
    let network = Network::build(1);
    let director = &network.director;
    shell(
        director,
        "ipvsadm -A -t 10.0.0.100:80
         ipvsadm -a -t 10.0.0.100:80 -r 10.0.0.1:80 -m; ipvsadm -a -t 10.0.0.100:80 -r 10.0.0.3:80 -g
         ipvsadm -a -t 10.0.0.100:80 -r 10.7.0.3:80 -g; ipvsadm -a -t 10.0.0.100:80 -r 10.8.0.3:80 -i
         ip route add 10.7.0.0/16 via 10.0.0.2; ip link add quiet type dummy; ip link set quiet up
         ip route add 10.8.0.0/16 dev quiet; ipvsadm -A -f 10; ipvsadm -a -f 10 -r 10.0.0.11 -g",
    );
    let seen = probed(director, "");
    let unread = sentences(&seen["unread"]).join("\n");
    for why in
        ["10.7.0.3:80: it is behind a router", "10.8.0.3:80: quiet, on the way to it, is not an interface of Ethernet"]
    {
        assert!(unread.contains(why), "{why}: {unread}");
    }
    // 10.0.0.1 is this machine: a connection shows that nothing listens.
    assert!(seen["findings"].to_string().contains("own-server"), "{seen}");
    assert!(seen["findings"].to_string().contains("no machine on eth0 answers for the real server 10.0.0.3"), "{seen}");
    for (options, message) in [
        ("tcp:10.0.0.100:81", "there is no service tcp 10.0.0.100:81"),
        ("tcp:10.0.0.100:80 10.0.0.9", "tcp 10.0.0.100:80 has no real server 10.0.0.9"),
    ] {
        let said = output(director, &format!("ipvs-cli doctor --probe {options} 2>&1 || echo status $?"));
        assert_eq!(said, format!("ipvs-cli: {message}\nstatus 2\n"));
    }
    let said = output(director, "setpriv --bounding-set -net_raw ipvs-cli doctor --probe 2>&1 || echo status $?");
    assert!(said.ends_with("Permission denied (you must be root): --probe needs CAP_NET_RAW\nstatus 2\n"), "{said}");
}
