//! What a real master announces, as `sync listen` prints it on another director.

use std::fs::{self, File};
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use ipvs::{
    Client, Daemon, DaemonRole, Destination, Family, Forwarding, Persistence, Protocol, Scheduler, Service, ServiceKey,
};
use kernel_tests::network::{Network, Speaks, client, director, server, virtual_address};
use kernel_tests::target::Target;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const PLAIN: u16 = 1001;
const PERSISTENT: u16 = 1002;
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

fn configure(network: &Network) {
    let mut kernel = network.director.run(|| Client::connect().unwrap());
    for (family, port) in FAMILIES.into_iter().flat_map(|family| [(family, PLAIN), (family, PERSISTENT)]) {
        let key = ServiceKey::tcp(virtual_address(family, port));
        let mut service = Service::new(key).with_scheduler(Scheduler::RR);
        if port == PERSISTENT {
            service = service.with_persistence(Persistence::new(600).unwrap());
        }
        kernel.add_service(&service).unwrap();
        let server = Destination::new((server(1, family), port).into()).with_forwarding(Forwarding::DirectRoute);
        kernel.add_destination(&key, &server).unwrap();
    }
    kernel.start_daemon(&Daemon::new(DaemonRole::Master, "eth0".parse().unwrap()).with_sync_id(7)).unwrap();
}

#[test]
fn the_announcements_of_a_master_are_printed() {
    let network = Network::build_with_spare(1);
    let _servers = network.serve(&[PLAIN, PERSISTENT].map(|port| (port, Speaks::Greeting(Protocol::TCP))));
    configure(&network);
    let spare = network.spare.as_ref().unwrap();
    let path = std::env::temp_dir().join(format!("announced-{}", std::process::id()));
    let mut listen = Command::new(Target::IpvsCli.program().unwrap());
    listen.arg0("ipvs-cli").args(["sync", "listen", "--interface", "eth0", "--sync-id", "7", "--json"]);
    listen.stdout(File::create(&path).unwrap());
    let mut child = spare.run(|| listen.spawn().unwrap());
    let sockets = format!("/proc/{}/net/udp", child.id());
    let wait = |what: &str, holds: &dyn Fn() -> bool| {
        (0..1000).take_while(|_| !holds()).for_each(|_| thread::sleep(Duration::from_millis(50)));
        assert!(holds(), "{what}: {}", fs::read_to_string(&path).unwrap());
    };
    // Port 8848.
    wait("it listens", &|| fs::read_to_string(&sockets).unwrap().contains(":2290 "));
    let announced = || {
        let text = fs::read_to_string(&path).unwrap();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let is_of = |entry: &Value, from: IpAddr, is_template: bool| {
        let shown = entry["client"].as_str().unwrap();
        let is_from = if is_template { shown == from.to_string() } else { shown.contains(&format!("{from}")) };
        is_from && entry["template"] == is_template
    };
    let find = |from, is_template| announced().into_iter().find(|entry| is_of(entry, from, is_template));
    let talk = |port: u16, family: Family, host: u8| {
        let from = client(family, 1, host);
        let mut conversation = network.hold(Protocol::TCP, from, virtual_address(family, port)).unwrap();
        (0..5).for_each(|_| conversation.go_on().unwrap());
        conversation
    };
    for family in FAMILIES {
        let _held = [talk(PLAIN, family, 1), talk(PERSISTENT, family, 2)];
        let [plain, persistent] = [1, 2].map(|host| client(family, 1, host));
        for (from, port, is_template) in
            [(plain, PLAIN, false), (persistent, PERSISTENT, false), (persistent, PERSISTENT, true)]
        {
            wait(&format!("{from}, template {is_template}"), &|| find(from, is_template).is_some());
            let entry = find(from, is_template).unwrap();
            assert_eq!(entry["from"], director(Family::V4).to_string(), "{entry}");
            assert_eq!(entry["sync_id"], 7, "{entry}");
            assert_eq!(entry["service"], ServiceKey::tcp(virtual_address(family, port)).to_string(), "{entry}");
            let at = std::net::SocketAddr::new(server(1, family), port);
            assert_eq!(entry["server"], at.to_string(), "{entry}");
            assert_eq!(entry["state"], if is_template { "NONE" } else { "ESTABLISHED" }, "{entry}");
            assert_eq!(entry["active"], !is_template, "{entry}");
        }
    }
    // Then only templates are announced, as the doctor says.
    network.director.set("net/ipv4/vs/sync_persist_mode", "1");
    let _held = talk(PERSISTENT, Family::V4, 3);
    let from = client(Family::V4, 1, 3);
    wait("the template", &|| find(from, true).is_some());
    assert_eq!(find(from, false), None);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert!(child.wait().unwrap().success());
    fs::remove_file(path).unwrap();
}
