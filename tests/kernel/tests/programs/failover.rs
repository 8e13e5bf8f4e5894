//! Two directors with keepalived and the two files of docs/failover.md: the master dies, and comes
//! back with an empty table.

use std::fs::File;
use std::process::{Child, Stdio};

use ipvs::{Client, Destination, Family, Forwarding, Scheduler, Service, ServiceKey};
use kernel_tests::network::{Machine, Network, Speaks, VIRTUAL4, VIRTUAL6, client, go_on, server, virtual_address};
use kernel_tests::system::{Installation, System};
use kernel_tests::target::Target;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PAGE: &str = include_str!("../../../../docs/failover.md");
const PORT: u16 = 80;
const SERVERS: u16 = 4;
/// Of each family.
const CLIENTS: u8 = 30;
const ALL: usize = 2 * CLIENTS as usize;
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// The block of this language on the page.
fn block(language: &str) -> String {
    let (_, rest) = PAGE.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```\n").unwrap().0.to_owned()
}

/// keepalived on a director; killed with the test.
struct Keepalived(Child);

impl Keepalived {
    /// `loads`: with the page's script.
    fn start(system: &System, machine: &Machine, priority: u8, peer: &str, loads: bool) -> Self {
        let name = &machine.name;
        let (loaded, script) = (format!("/run/loaded-{name}"), format!("/etc/keepalived/connections-{name}"));
        let _ = std::fs::remove_file(&loaded);
        let text = block("sh").replace("192.0.2.3", peer).replace("/run/connections-loaded", &loaded);
        system.write_program(&script, if loads { &text } else { "#!/bin/sh\n" });
        let gateway = "10.0.0.4/24\n        10.0.0.100/32";
        let mut configuration = block("keepalived")
            .replace("192.0.2.1/32", gateway)
            .replace("2001:db8::1/128", &format!("{VIRTUAL6}/128\n        fd00::4/64"))
            .replace("priority 150", &format!("priority {priority}"))
            .replace("/etc/keepalived/connections", &script)
            .replace("/run/connections-loaded", &loaded);
        assert!(configuration.contains(&VIRTUAL4.to_string()) && configuration.contains(&loaded), "{configuration}");
        if !loads {
            configuration = configuration.replace("    track_script {\n        connections_are_loaded\n    }\n", "");
        }
        let path = format!("/etc/keepalived/{name}.conf");
        system.write(&path, &configuration);
        let log = File::create(format!("/var/log/keepalived-{name}.log")).unwrap();
        let mut command = system.command("/usr/sbin/keepalived");
        command.args(["--dont-fork", "--log-console", "--log-detail", "--vrrp", "-f", &path]);
        command.args(["-p", &format!("/run/{name}.pid"), "-r", &format!("/run/{name}-vrrp.pid")]);
        command.stdout(Stdio::null()).stderr(log);
        Self(machine.run(|| command.spawn().unwrap()))
    }
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

fn configure(machine: &Machine, forwarding: Forwarding) {
    let mut director = machine.run(|| Client::connect().unwrap());
    for family in FAMILIES {
        let key = ServiceKey::tcp(virtual_address(family, PORT));
        director.add_service(&Service::new(key).with_scheduler(Scheduler::RR)).unwrap();
        for number in 1..=SERVERS {
            let server = Destination::new((server(number, family), PORT).into()).with_forwarding(forwarding);
            director.add_destination(&key, &server).unwrap();
        }
    }
}

fn has_address(machine: &Machine) -> bool {
    let local = machine.run(|| std::fs::read_to_string("/proc/thread-self/net/fib_trie").unwrap());
    local.contains(&format!("-- {VIRTUAL4}\n"))
}

/// The machines' own way to another machine's programs.
fn ssh(system: &System, network: &Network) {
    let spare = network.spare.as_ref().unwrap().namespace();
    let director = network.director.namespace();
    system.write_program(
        "/usr/bin/ssh",
        &format!(
            "#!/bin/sh\nwhile [ \"$1\" = -o ]; do shift 2; done\ncase $1 in\nroot@10.0.0.1) to={director} ;;\nroot@10.0.0.3) to={spare} ;;\n*) exit 255 ;;\nesac\nshift\nexec ip netns exec $to \"$@\"\n"
        ),
    );
}

fn wait(system: &System, what: &str, holds: impl Fn() -> bool) {
    let logs =
        || ["director", "spare"].map(|name| system.read(&format!("/var/log/keepalived-{name}.log"))).join("\n---\n");
    assert!(system.wait_for(|| holds().then_some(())).is_some(), "{what}: {}", logs());
}

/// How many go on after the director has died, and after it is back.
fn story(system: &System, forwarding: Forwarding, loads: bool) -> [usize; 2] {
    system.sh("ln -sf ipvsadm /usr/sbin/ipvs-cli; rm -f /run/loaded-*");
    let mut network = Network::build_with_spare(SERVERS);
    let _servers = network.serve(&[(PORT, Speaks::Http)]);
    network.director.ip(&format!("address delete {VIRTUAL4}/32 dev eth0\naddress delete {VIRTUAL6}/128 dev eth0"));
    if forwarding == Forwarding::Masquerade {
        network.answer_through_gateway();
    }
    ssh(system, &network);
    let spare = network.spare.as_ref().unwrap();
    configure(&network.director, forwarding);
    configure(spare, forwarding);
    let first = Keepalived::start(system, &network.director, 150, "10.0.0.3", loads);
    wait(system, "the first has the address", || has_address(&network.director));
    let _second = Keepalived::start(system, spare, 100, "10.0.0.1", loads);
    let has_daemon = |machine: &Machine| !machine.run(|| Client::connect().unwrap().daemons().unwrap()).is_empty();
    // While it loads, it misses what is announced.
    wait(system, "the second has loaded", || !loads || std::fs::exists("/run/loaded-spare").unwrap());
    wait(system, "both have daemons", || has_daemon(&network.director) && has_daemon(spare));
    let hold = |(family, host)| network.hold_http(client(family, 1, host), virtual_address(family, PORT));
    let clients = FAMILIES.into_iter().flat_map(|family| (1..=CLIENTS).map(move |host| (family, host)));
    let mut conversations: Vec<_> = clients.map(|client| hold(client).unwrap()).collect();
    for _ in 0..5 {
        assert_eq!(go_on(&mut conversations), ALL);
    }
    wait(system, "the backup knows all", || spare.established(PORT) == ALL);

    network.director.ip("link set eth0 down");
    let _ = kill(Pid::from_raw(first.0.id().cast_signed()), Signal::SIGKILL);
    drop(first);
    system.sh("kill -9 $(cat /run/director-vrrp.pid); rm -f /run/director*.pid");
    wait(system, "the second has the address", || has_address(spare));
    network.forget_neighbours();
    let after_death = go_on(&mut conversations);

    network.reboot_director();
    ssh(system, &network);
    configure(&network.director, forwarding);
    let _first = Keepalived::start(system, &network.director, 150, "10.0.0.3", loads);
    wait(system, "the first has the address again", || has_address(&network.director));
    let spare = network.spare.as_ref().unwrap();
    wait(system, "the second has given it up", || !has_address(spare));
    network.forget_neighbours();
    [after_death, go_on(&mut conversations)]
}

#[test]
fn connections_survive_fail_over_and_fail_back_with_the_files_of_the_page() {
    for forwarding in [Forwarding::DirectRoute, Forwarding::Masquerade] {
        for (loads, expected) in [(true, [ALL, ALL]), (false, [ALL, 0])] {
            let alive = System::on(Installation::of(Target::IpvsCli), |system| story(system, forwarding, loads));
            let how = if loads { "with the script" } else { "alone" };
            println!(
                "{forwarding:?}, keepalived {how}: {} of {ALL} after the death, {} after the return",
                alive[0], alive[1]
            );
            assert_eq!(alive, expected, "{forwarding:?}, {how}");
        }
    }
}
