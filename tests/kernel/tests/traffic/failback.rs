//! A director dies, its backup goes on, and the director comes back with an empty table: which
//! connections of HTTP go on?
//! docs/directors.md has the figures.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use ipvs::{Client, Daemon, DaemonRole, Destination, Family, Forwarding, Scheduler, Service, ServiceKey};
use kernel_tests::network::{Machine, Network, Speaks, client, go_on, server, virtual_address};
use kernel_tests::target::Target;

const LONG: u16 = 8080;
const WEB: u16 = 80;
const SERVERS: u16 = 4;
/// Of each family.
const CLIENTS: u8 = 30;
const ALL: usize = 2 * CLIENTS as usize;
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

fn configure(machine: &Machine, forwarding: Forwarding) {
    let mut director = machine.run(|| Client::connect().unwrap());
    for (family, port) in FAMILIES.into_iter().flat_map(|family| [(family, LONG), (family, WEB)]) {
        let key = ServiceKey::tcp(virtual_address(family, port));
        director.add_service(&Service::new(key).with_scheduler(Scheduler::RR)).unwrap();
        for number in 1..=SERVERS {
            let server = Destination::new((server(number, family), port).into()).with_forwarding(forwarding);
            director.add_destination(&key, &server).unwrap();
        }
    }
}

fn daemon(machine: &Machine, role: DaemonRole) {
    let mut director = machine.run(|| Client::connect().unwrap());
    for running in director.daemons().unwrap() {
        director.stop_daemon(running.role).unwrap();
    }
    director.start_daemon(&Daemon::new(role, "eth0".parse().unwrap()).with_sync_id(7)).unwrap();
}

/// New clients are served.
fn browse(network: &Network) {
    for family in FAMILIES {
        network.fetch(client(family, 2, 1), virtual_address(family, WEB), None).unwrap();
    }
}

/// `ipvs-cli` on a director.
fn cli(machine: &Machine, line: &str, input: &[u8]) -> Vec<u8> {
    machine.run(|| {
        let mut command = Command::new(Target::IpvsCli.program().unwrap());
        command.arg0("ipvs-cli").args(line.split(' ')).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stdout));
        output.stdout
    })
}

/// How many go on after the director has died, and after it is back.
fn story(forwarding: Forwarding, loads: bool) -> [usize; 2] {
    let mut network = Network::build_with_spare(SERVERS);
    let _servers = network.serve(&[(LONG, Speaks::Http), (WEB, Speaks::Http)]);
    network.director.take_gateway();
    if forwarding == Forwarding::Masquerade {
        network.answer_through_gateway();
    }
    let spare = network.spare.take().unwrap();
    for machine in [&network.director, &spare] {
        configure(machine, forwarding);
    }
    daemon(&network.director, DaemonRole::Master);
    daemon(&spare, DaemonRole::Backup);
    let hold = |(family, host)| network.hold_http(client(family, 1, host), virtual_address(family, LONG));
    let clients = FAMILIES.into_iter().flat_map(|family| (1..=CLIENTS).map(move |host| (family, host)));
    let mut conversations: Vec<_> = clients.map(|client| hold(client).unwrap()).collect();
    for _ in 0..5 {
        assert_eq!(go_on(&mut conversations), ALL);
    }
    // An announcement can be lost. The master announces a connection again after some 50 packets.
    for _ in 0..2400 {
        if spare.established(LONG) == ALL {
            break;
        }
        assert_eq!(go_on(&mut conversations), ALL);
        thread::sleep(Duration::from_millis(50));
    }

    network.director.ip("link set eth0 down");
    spare.take_virtual_addresses();
    spare.take_gateway();
    network.spare = Some(spare);
    network.servers.iter().chain([&network.client]).for_each(|machine| machine.ip("neigh flush dev eth0"));
    let after_death = go_on(&mut conversations);
    browse(&network);
    let spare = network.spare.take().unwrap();
    daemon(&spare, DaemonRole::Master);

    network.reboot_director();
    configure(&network.director, forwarding);
    daemon(&network.director, DaemonRole::Backup);
    assert_eq!(network.director.established(LONG), 0);
    if loads {
        let saved = cli(&spare, "conns --save -", b"");
        let said = cli(&network.director, "conns --load -", &saved);
        assert!(said.starts_with(b"loaded 6"), "{}", String::from_utf8_lossy(&said));
        assert_eq!(network.director.established(LONG), ALL);
    }
    spare.give_up_addresses();
    network.director.take_virtual_addresses();
    network.director.take_gateway();
    network.spare = Some(spare);
    network.forget_neighbours();
    let after_return = go_on(&mut conversations);
    browse(&network);
    [after_death, after_return]
}

#[test]
fn connections_survive_the_reboot_of_a_director_if_they_were_loaded_before_it_returns() {
    for forwarding in [Forwarding::DirectRoute, Forwarding::Masquerade] {
        for (loads, expected) in [(true, [ALL, ALL]), (false, [ALL, 0])] {
            let alive = story(forwarding, loads);
            let how = if loads { "with conns --load" } else { "with sync daemons alone" };
            println!("{forwarding:?}, {how}: {} of {ALL} after the death, {} after the return", alive[0], alive[1]);
            assert_eq!(alive, expected, "{forwarding:?}, {how}");
        }
    }
}
