//! What root of a user namespace, as in a rootless container, sees of its own director, which
//! netlink refuses to show.

use std::collections::HashSet;
use std::io::Read;
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ipvs::{
    Client, Daemon, DaemonRole, DestinationState, InterfaceName, Rates, ServiceKey, ServiceState, Statistics, Table,
    TableEntry, Timeouts, netns::Namespace, sockopt,
};

use super::world::{Done, World, ipvs_cli, program, start, table};

const RULES: &str = "-A -t 10.0.0.1:80 -s sh -b sh-port -p 300 -M 255.255.255.0
-a -t 10.0.0.1:80 -r 10.0.0.2 -g -w 5 -x 10 -y 3
-a -t 10.0.0.1:80 -r 10.0.0.3 -g -w 0
-A -u 10.0.0.1:53 -s rr -o
-a -u 10.0.0.1:53 -r 127.0.0.1:5353 -m
-A -f 7 -s wlc
-a -f 7 -r 127.0.0.7 -m
";

/// What getsockopt does not show.
const NOT_SHOWN: &str = "-a -t 10.0.0.1:80 -r 10.0.0.4 -i
-a -t 10.0.0.1:80 -r [2001:db8::4]:80 -i
-A -t [2001:db8::1]:80 -s sh -p 100 -M 64
-a -t [2001:db8::1]:80 -r [2001:db8::2]:80 -g
-A -f 7 -6 -s wrr
";

const ORIGIN: &str = "Netlink is refused: from getsockopt, which has IPv4 only";

/// A user namespace with a network namespace of its own, as long as it is kept.
struct Container {
    process: Child,
}

impl Container {
    fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", "sh", "-c", "echo; exec cat"]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        process.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let container = Container { process };
        // A network without any address takes none for that of a host.
        container.network().within(make_network).unwrap();
        container
    }

    fn network(&self) -> Namespace {
        Namespace::of_process(self.process.id()).unwrap()
    }

    /// Our program with the privileges of root in there, and no others.
    fn inside(&self, arguments: &str) -> Done {
        self.inside_by("env", arguments)
    }

    /// The same, run by this program.
    fn inside_by(&self, by: &str, arguments: &str) -> Done {
        let mut command = Command::new("nsenter");
        command.args(["--user", "--net", "--preserve-credentials", "--target", &self.process.id().to_string()]);
        command.args(by.split(' ')).arg(program()).args(arguments.split(' '));
        start(command, "").wait_with_output().unwrap().into()
    }

    /// Our program with the privileges of root out here, whom netlink answers.
    fn outside(&self, arguments: &str, input: &str) -> Done {
        let command = ipvs_cli(&format!("{arguments} --netns {}", self.process.id()));
        let done: Done = start(command, input).wait_with_output().unwrap().into();
        assert_eq!((done.status, done.stderr.as_str()), (0, ""), "{arguments}");
        done
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_listing_of_ipv4_is_the_same_as_by_netlink() {
    let _world = World::new();
    let container = Container::new();
    container.outside("apply --quiet -", RULES);
    let (seen, known) = (container.inside("show"), container.outside("show", ""));
    assert_eq!((seen.status, seen.stderr.as_str()), (0, ""));
    assert!(seen.stdout.starts_with(ORIGIN), "{}", seen.stdout);
    assert!(seen.stdout.ends_with(&known.stdout), "{}\n{}", seen.stdout, known.stdout);
    let (seen, known) = (container.inside("show udp:10.0.0.1:53"), container.outside("show udp:10.0.0.1:53", ""));
    assert!(seen.stdout.ends_with(&known.stdout), "{}\n{}", seen.stdout, known.stdout);
    let missing = container.inside("show udp:10.0.0.1:54");
    assert_eq!((missing.status, missing.stdout.as_str()), (1, ""), "{}", missing.stderr);
    for notation in ["--json", "--toml", "--rules"] {
        let seen = container.inside(&format!("show {notation}"));
        assert_eq!((seen.status, seen.stdout), (0, container.outside(&format!("show {notation}"), "").stdout));
        assert!(seen.stderr.contains("persistence engines are not shown; nothing of IPv6"), "{}", seen.stderr);
        assert_eq!(seen.stderr.lines().count(), 1, "{notation}: {}", seen.stderr);
        let missing = container.inside(&format!("show {notation} udp:10.0.0.1:54"));
        let said = "ipvs-cli: there is no service udp 10.0.0.1:54, but udp 10.0.0.1:53\n";
        assert_eq!((missing.status, missing.stdout.as_str(), missing.stderr.as_str()), (1, "", said));
    }
    // What goes wrong otherwise is no want of privileges: here netlink has the last file that may
    // be open.
    let failed = container.inside_by("prlimit --nofile=4", "show --json");
    assert_eq!((failed.status, failed.stdout.as_str()), (2, ""));
    assert!(failed.stderr.contains("Too many open files"), "{}", failed.stderr);
    // ipvsadm sees nothing, and changing is for netlink.
    for refused in ["-L -n", "-C"] {
        assert_eq!(container.inside(refused).status, 2, "{refused}");
    }
}

#[test]
fn what_getsockopt_lacks_is_named_or_read_elsewhere() {
    let _world = World::new();
    let container = Container::new();
    container.outside("apply --quiet -", &(RULES.to_owned() + NOT_SHOWN));
    let seen = container.inside("show");
    let (_, of_ipv6) = seen.stdout.split_once("IPv6, from /proc/net/ip_vs").unwrap();
    let (_, of_ipv6) = of_ipv6.split_once('\n').unwrap();
    let (sure, either) = of_ipv6.split_once("Of each of these marks one service is of IPv6").unwrap();
    assert_eq!(
        sure,
        "TCP  10.0.0.1:80 sh persistent 30000 ticks mask 255.255.255.0
  -> [2001:db8::4]:80             Tunnel  1      0          0
TCP  [2001:db8::1]:80 sh persistent 10000 ticks mask 64
  -> [2001:db8::2]:80             Route   1      0          0
"
    );
    // In the kernel's order.
    let (_, either) = either.split_once('\n').unwrap();
    let marks = ["FWM  7 wrr\n", "FWM  7 wlc\n  -> 127.0.0.7:0                  Masq    1      0          0\n"];
    assert!(either == marks.concat() || either == [marks[1], marks[0]].concat(), "{either}");
    let incomplete = container.inside("show --json");
    assert_eq!((incomplete.status, incomplete.stdout.as_str()), (1, ""));
    for what in [
        "  the kind of the tunnel from tcp 10.0.0.1:80 to 10.0.0.4:80\n",
        "  1 of the destinations of tcp 10.0.0.1:80, which are of IPv6\n",
        "  the service tcp [2001:db8::1]:80\n",
        "  the service mark 7 ipv6\n",
    ] {
        assert!(incomplete.stderr.contains(what), "{what:?} is not in\n{}", incomplete.stderr);
    }
    // These are known as a whole.
    for service in ["mark:7", "udp:10.0.0.1:53"] {
        let asked = format!("show --toml {service}");
        assert_eq!(container.inside(&asked).stdout, container.outside(&asked, "").stdout);
    }
    let of_ipv6 = container.inside("show tcp:[2001:db8::1]:80");
    assert!(of_ipv6.stdout.starts_with("Without privileges: from /proc/net/ip_vs"), "{}", of_ipv6.stdout);
}

/// Up to Linux 6.12 `/proc/net/ip_vs` does so when other network namespaces have services.
#[test]
fn a_file_that_leaves_services_of_ipv6_out_is_not_shown_as_whole() {
    const SERVICES: usize = 300;
    let mut elsewhere = World::new();
    elsewhere.hold(&table(0..600, 1));
    let container = Container::new();
    let rules: String = (1..=SERVICES).map(|number| format!("-A -t [2001:db8::{number:x}]:80 -s rr\n")).collect();
    container.outside("apply --quiet -", &rules);
    let seen = container.inside("show");
    let shown = seen.stdout.matches("TCP  [2001:db8::").count();
    println!("{shown} of {SERVICES}: {}", seen.stderr);
    assert_eq!(seen.status, 0);
    let is_said = seen.stderr.contains("leaves services out");
    assert_eq!((shown, is_said), if is_said { (0, true) } else { (SERVICES, false) });
    let refused = container.inside("show --json");
    assert_eq!((refused.status, refused.stdout.as_str()), (1, ""));
    assert_eq!(refused.stderr.contains("leaves services out"), is_said, "{}", refused.stderr);
}

#[test]
fn the_library_reads_what_netlink_does() {
    let _world = World::new();
    let container = Container::new();
    container.outside("apply --quiet -", RULES);
    let network = container.network();
    let mut client = Client::builder().namespace(network.clone()).connect().unwrap();
    client.set_timeouts(Timeouts::new().with_tcp(800).with_tcp_fin(100).with_udp(200)).unwrap();
    client.start_daemon(&Daemon::new(DaemonRole::Backup, InterfaceName::LOOPBACK).with_sync_id(9)).unwrap();
    network.within(send_a_packet).unwrap();
    wait_for_a_connection(&mut client, &"udp 10.0.0.1:53".parse().unwrap());
    let known = client.table().unwrap();
    let read = network.within(sockopt::Table::read).unwrap().unwrap();
    assert_eq!((read.ipv6_destinations.as_slice(), read.tunnels().count()), ([].as_slice(), 0));
    assert_same(&read.table, &known);
    assert_eq!(read.table.timeouts(), known.timeouts());
    let [backup] = read.table.daemons() else { panic!("{read:?}") };
    assert_eq!(*backup, Daemon::new(DaemonRole::Backup, InterfaceName::LOOPBACK).with_sync_id(9));
    client.stop_daemon(DaemonRole::Backup).unwrap();
}

const ECHO: &str = "-A -u 10.0.0.1:54 -s rr
-a -u 10.0.0.1:54 -r 127.0.0.1:5454 -m
";

/// With traffic for which all ten differ.
#[test]
fn all_counters_and_rates_are_netlinks() {
    let _world = World::new();
    let container = Container::new();
    container.outside("apply --quiet -", ECHO);
    let network = container.network();
    let mut client = Client::builder().namespace(network.clone()).connect().unwrap();
    let since = Instant::now();
    loop {
        network.within(converse).unwrap();
        let known = client.table().unwrap();
        let read = network.within(sockopt::Table::read).unwrap().unwrap().table;
        // The kernel may bring them up to date between the readings.
        if is_distinct(&known) && client.table().unwrap() == known {
            assert!(read.services().eq(known.services()), "{read:?}\n{known:?}");
            return;
        }
        assert!(since.elapsed() < Duration::from_secs(60), "{known:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Forty clients ask twice each, and get three answers.
fn converse() {
    let server = UdpSocket::bind("127.0.0.1:5454").unwrap();
    server.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    for _client in 0..40 {
        let client = UdpSocket::bind("0.0.0.0:0").unwrap();
        let mut from = None;
        for _question in 0..2 {
            client.send_to(b"?", "10.0.0.1:54").unwrap();
            from = Some(server.recv_from(&mut [0; 8]).unwrap().1);
        }
        for _answer in 0..3 {
            server.send_to(&[b'!'; 100], from.unwrap()).unwrap();
        }
    }
}

/// Has each of its counters and rates another value than all others, in services and destinations?
fn is_distinct(table: &Table) -> bool {
    let differ = |of: Option<Statistics>| {
        let of = of.unwrap();
        let rates = of.rates;
        let all = [of.connections, of.packets_in, of.packets_out, of.bytes_in, of.bytes_out];
        let of_rates = [rates.connections, rates.packets_in, rates.packets_out, rates.bytes_in, rates.bytes_out];
        HashSet::<u64>::from_iter([0].into_iter().chain(all).chain(of_rates)).len() == 11
    };
    table
        .services()
        .all(|entry| differ(entry.state().statistics) && entry.destinations().all(|state| differ(state.statistics)))
}

/// Linux 7.2 gives a table of this size more buckets while it is read.
#[test]
fn large_tables_are_read_whole() {
    let mut world = World::new();
    let many = table(0..400, 3);
    world.hold(&many);
    for _ in 0..5 {
        assert_same(&sockopt::Table::read().unwrap().table, &world.client.table().unwrap());
    }
}

fn make_network() {
    for words in ["link set lo up", "addr add 10.0.0.1/32 dev lo"] {
        assert!(Command::new("ip").args(words.split(' ')).status().unwrap().success());
    }
}

fn send_a_packet() {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.send_to(b"hello", "10.0.0.1:53").unwrap();
}

/// The kernel counts at once, and updates what it shows every other second.
fn wait_for_a_connection(client: &mut Client, key: &ServiceKey) {
    let since = Instant::now();
    while client.service(key).unwrap().statistics.unwrap().connections == 0 {
        assert!(since.elapsed() < Duration::from_secs(60), "the packet is not counted");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn assert_same(read: &Table, known: &Table) {
    let sorted = |table: &Table| {
        let mut all: Vec<_> = table.services().map(without_rates).collect();
        all.sort_by_key(|(state, _)| state.service.key().to_string());
        all
    };
    assert_eq!(sorted(read), sorted(known));
    assert_eq!((read.info(), read.behaviors()), (known.info(), known.behaviors()));
}

/// Rates fade between two readings.
fn without_rates(entry: &TableEntry) -> (ServiceState, Vec<DestinationState>) {
    let calm = |statistics: &mut Option<Statistics>| {
        statistics.iter_mut().for_each(|statistics| statistics.rates = Rates::default());
    };
    let (mut state, mut destinations) = (*entry.state(), entry.destinations().copied().collect::<Vec<_>>());
    calm(&mut state.statistics);
    destinations.iter_mut().for_each(|state| calm(&mut state.statistics));
    (state, destinations)
}

/// As in a rootless container with a read-only file system: marks need no right to IPVS, and no
/// lock.
#[test]
fn marks_need_no_state_directory() {
    let world = World::new();
    // The kernel loads modules only for root of the machine.
    for address in ["192.0.2.1", "[2001:db8::1]"] {
        let done = world.run(&format!("mark add 10 any:{address}"), "");
        if done.stderr.starts_with("ipvs-cli: nftables and iptables can't be used here: ") {
            println!("not tested: {}", done.stderr.trim_end());
            return;
        }
        assert_eq!(done.status, 0, "{done:?}");
    }
    let inside = |script: &str| -> Done {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", "--mount", "sh", "-ec"]);
        let lock = "export XTABLES_LOCKFILE=/tmp/xtables-rootless.lock";
        command.arg(format!("{lock}; mount -t tmpfs -o ro,mode=755 none /run; cli={}; {script}", program().display()));
        start(command, "").wait_with_output().unwrap().into()
    };
    let done = inside("$cli mark add 10 tcp:192.0.2.1:80,443; $cli mark list; $cli mark delete 10; $cli mark list");
    assert_eq!((done.status, done.stdout.matches("tcp:192.0.2.1:80,443").count()), (0, 1), "{done:?}");
    let unlocked = "ipvs-cli: /run/ipvs-cli: Read-only file system (os error 30); going on without a lock against";
    assert!(done.stderr.lines().count() == 2 && done.stderr.lines().all(|line| line.starts_with(unlocked)), "{done:?}");
    // One that was named must do what it was named for.
    let done = inside("$cli --state-dir /run mark list; $cli --state-dir /run mark add 10 tcp:192.0.2.1:80");
    let refused = "ipvs-cli: --state-dir /run: Read-only file system (os error 30); nothing was changed\n";
    assert_eq!((done.status, &*done.stdout, &*done.stderr), (2, "", refused));
}
