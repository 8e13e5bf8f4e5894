//! `ipvs-cli drain` with connections: it cuts none where `ipvsadm -d` cuts some, goes on from what
//! the kernel holds, and knows who may come back.
//!
//! Prints what it measures; the figures are in docs/performance.md.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ipvs::monitor::{Action, EventKind, Monitor};
use ipvs::{
    Client, CommandKind, Destination, DestinationState, Forwarding, Persistence, Scheduler, Service, ServiceKey,
    Timeouts, Weight, drain::InUse,
};
use kernel_tests::target::Target;
use kernel_tests::{on_the_fastest_kernel, sandbox};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use network::{Network, SERVERS, VIRTUAL};
use traffic::{Clients, Report};

#[path = "reload/network.rs"]
mod network;
#[path = "../../../ipvs-cli/tests/subcommands/schema.rs"]
mod schema;
#[path = "drain/traffic.rs"]
mod traffic;

/// The one that goes.
const GOES: SocketAddr = SERVERS[0];

/// After this time something is wrong, on a slow machine, too.
const PATIENCE: Duration = Duration::from_secs(300);

fn key() -> ServiceKey {
    ServiceKey::tcp(VIRTUAL)
}

fn add(client: &mut Client, service: Service, servers: &[SocketAddr]) {
    client.add_service(&service.with_scheduler(Scheduler::WRR)).unwrap();
    for server in servers {
        let server = Destination::new(*server).with_forwarding(Forwarding::Masquerade);
        client.add_destination(&service.key(), &server.with_weight(Weight::new(3).unwrap())).unwrap();
    }
}

/// Our program.
fn start(arguments: &str) -> Child {
    let mut command = Command::new(Target::IpvsCli.program().unwrap());
    command.arg0("ipvs-cli").args(arguments.split(' '));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Its status, by a signal 128 and more, and all that it said.
fn end(child: Child) -> (i32, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status.code().unwrap_or(-1), String::from_utf8([stdout, stderr].concat()).unwrap())
}

fn run(arguments: &str) -> (i32, String) {
    end(start(arguments))
}

/// Removes a server while 30 connections are in use, a third of them to it, and new ones come all
/// the time.
fn remove_under_load(remove: impl FnOnce() + Send) -> Report {
    let network = Network::build();
    network.serve();
    network.on_director(|| {
        let mut client = Client::connect().unwrap();
        add(&mut client, Service::new(key()), &SERVERS);
        // A cut connection is to fail soon.
        fs::write("/proc/sys/net/ipv4/vs/expire_nodest_conn", "1").unwrap();
        let clients = Clients::start(&network, (0..30).map(|number| Duration::from_millis(4000 + number * 100)));
        clients.wait_for_new(20);
        remove();
        clients.wait_for_new(20);
        let report = clients.finish();
        let left: Vec<_> = client.destinations(&key()).unwrap().iter().map(|state| state.destination.address).collect();
        assert!(left.len() == 2 && !left.contains(&GOES), "{left:?}");
        report
    })
}

#[test]
fn drain_cuts_none() {
    if !on_the_fastest_kernel() {
        return println!("skipped: no kernel differs here, and once is long enough");
    }
    let report = remove_under_load(|| {
        let begun = Instant::now();
        let (status, said) = run(&format!("drain {} {GOES} --delete", word(key())));
        println!("drained in {:.1} s", begun.elapsed().as_secs_f64());
        assert_eq!((status, said), (0, format!("{GOES} at {}: drained and deleted\n", key())));
    });
    println!("ipvs-cli drain --delete: {report}");
    assert_eq!((report.long_cut, report.short_failed), (0, 0), "{report}");
    assert_eq!(report.long_ended, 30);
}

/// Shows that the load would notice.
#[test]
fn plain_deletion_cuts() {
    if !on_the_fastest_kernel() {
        return println!("skipped: no kernel differs here, and once is long enough");
    }
    let report = remove_under_load(|| {
        let mut ipvsadm = Command::new(Target::Ipvsadm.program().unwrap());
        let status = ipvsadm.args(["-d", "-t", &VIRTUAL.to_string(), "-r", &GOES.to_string()]).status().unwrap();
        assert!(status.success());
    });
    println!("ipvsadm -d: {report}");
    // Ten were to it; on a busy machine some have ended before.
    assert!(report.long_cut > 0, "{report}");
}

/// A process that another test starts meanwhile has a copy of each socket until it has become its
/// program, also of one that was closed.
fn bind(address: &str) -> UdpSocket {
    loop {
        match UdpSocket::bind(address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => thread::sleep(Duration::from_millis(5)),
            bound => return bound.unwrap(),
        }
    }
}

fn word(key: ServiceKey) -> String {
    key.to_string().replace(' ', ":")
}

/// UDP on this machine: a service whose connections end after a second.
struct World {
    client: Client,
    key: ServiceKey,
    server: SocketAddr,
    /// They answer nobody, but take what comes.
    _servers: [UdpSocket; 2],
}

impl World {
    fn new(persistence: Option<u32>) -> Self {
        sandbox::enter_network().unwrap_or_else(|error| panic!("{error}"));
        let mut client = Client::connect().unwrap();
        let key = ServiceKey::udp("127.0.0.10:53".parse::<SocketAddr>().unwrap());
        let servers = ["127.0.0.1:5301", "127.0.0.1:5302"].map(|server| server.parse().unwrap());
        let service = Service::new(key);
        let service =
            persistence.map_or(service, |seconds| service.with_persistence(Persistence::new(seconds).unwrap()));
        add(&mut client, service, &servers);
        client.set_timeouts(Timeouts::new().with_udp(1)).unwrap();
        World { client, key, server: servers[0], _servers: servers.map(|server| UdpSocket::bind(server).unwrap()) }
    }

    /// Sends datagrams from two clients; each server has one then.
    fn be_used(&self) -> [UdpSocket; 2] {
        ["127.0.0.21:4000", "127.0.0.22:4000"].map(|from| {
            let socket = bind(from);
            socket.connect("127.0.0.10:53").unwrap();
            ask(&socket);
            socket
        })
    }

    fn weight(&mut self) -> u32 {
        self.state().unwrap().destination.weight.get()
    }

    fn state(&mut self) -> Option<DestinationState> {
        let found = self.client.destinations(&self.key).unwrap();
        found.into_iter().find(|state| state.destination.address == self.server)
    }

    /// Another program gives the server this weight.
    fn weigh(&mut self, weight: u32) {
        let server = self.state().unwrap().destination.with_weight(Weight::new(weight).unwrap());
        self.client.edit_destination(&self.key, &server).unwrap();
    }

    /// How long connections last after their last packet, in seconds: of packets from now on.
    fn end_after(&mut self, seconds: u32) {
        self.client.set_timeouts(Timeouts::new().with_udp(seconds)).unwrap();
    }

    /// Adds a service of the second server, with a connection that is in use.
    fn add_busy(&mut self) -> (ServiceKey, UdpSocket) {
        let key = ServiceKey::udp("127.0.0.11:53".parse::<SocketAddr>().unwrap());
        add(&mut self.client, Service::new(key), &[self.server]);
        let client = UdpSocket::bind("127.0.0.23:4000").unwrap();
        client.connect("127.0.0.11:53").unwrap();
        ask(&client);
        (key, client)
    }

    fn wait_for_weight(&mut self, weight: u32) {
        let begun = Instant::now();
        while self.weight() != weight {
            assert!(begun.elapsed() < PATIENCE, "the weight is never {weight}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn in_use(&mut self) -> InUse {
        InUse::of(&self.state().unwrap())
    }

    /// Waits until no client uses the server of this service.
    fn wait_until_unused(&mut self, key: ServiceKey) {
        let begun = Instant::now();
        let is_unused = |state: &DestinationState| {
            let in_use = InUse::of(state);
            state.destination.address != self.server || (in_use.active, in_use.inactive) == (0, 0)
        };
        while !self.client.destinations(&key).unwrap().iter().all(is_unused) {
            assert!(begun.elapsed() < PATIENCE, "{key}: it is always in use");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts to drain and delete the server, which is in use, and holds the lock while it waits.
    /// When nobody uses the server any more, the program asks for the lock, and this returns.
    fn drain_up_to_the_lock(&mut self) -> (Child, File) {
        let _ = fs::remove_file(lock_file());
        self.end_after(100);
        let clients = self.be_used();
        let drain = start(&format!("{} --delete", self.line("drain")));
        self.wait_for_weight(0);
        let held = File::options().write(true).open(lock_file()).unwrap();
        held.lock().unwrap();
        // It had the lock for its note. It closes the file after that has been unlocked.
        wait_until_open(&drain, &lock_file(), false);
        self.end_after(1);
        clients.iter().for_each(ask);
        wait_until_open(&drain, &lock_file(), true);
        (drain, held)
    }

    fn line(&self, subcommand: &str) -> String {
        format!("{subcommand} {} {}", word(self.key), self.server)
    }
}

/// Waits until the program has looked at the service twice since this was called, and taken in
/// what it saw: it looks for the third time.
fn wait_for_looks(program: &Child, key: ServiceKey) {
    let mut monitor = Monitor::builder().without_comparison().reads(true).open().unwrap();
    let (end, mut seen) = (Instant::now() + PATIENCE, 0);
    while seen < 3 {
        assert!(Instant::now() < end, "it looks {seen} times only");
        let Some(event) = monitor.next_before(end).unwrap() else { continue };
        if let EventKind::Request { sender, action, .. } = event.kind {
            let its = Action::Read { what: CommandKind::GetDestinations, service: Some(key) };
            let is_of_program = sender.process.is_some_and(|process| process.pid == program.id());
            seen += usize::from(is_of_program && action == its);
        }
    }
}

fn ask(client: &UdpSocket) {
    assert_eq!(client.send(b"?").unwrap(), 1);
}

#[test]
fn drain_continues_from_the_kernels_table() {
    let mut world = World::new(None);
    let (key, server) = (world.key, world.server);
    let clients = world.be_used();
    // Ended by hand, and by force: the server stays quiesced.
    for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGKILL, -1)] {
        world.client.set_timeouts(Timeouts::new().with_udp(100)).unwrap();
        clients.iter().for_each(ask);
        // After the weight is 0, signals are handled.
        let before = Destination::new(server).with_forwarding(Forwarding::Masquerade);
        world.client.edit_destination(&key, &before.with_weight(Weight::new(3).unwrap())).unwrap();
        let drain = start(&world.line("drain"));
        world.wait_for_weight(0);
        kill(Pid::from_raw(i32::try_from(drain.id()).unwrap()), signal).unwrap();
        let (found, said) = end(drain);
        assert_eq!(found, status, "{said}");
        if signal != Signal::SIGKILL {
            let expected = format!(
                "ipvs-cli: {server} at {key}: not drained yet: 0 active, 1 inactive; `ipvs-cli undrain {} {server}` gives it \
                 weight 3 again\n",
                word(key)
            );
            assert!(said.ends_with(&expected), "{said}");
        }
        assert_eq!(world.weight(), 0);
    }
    let (status, said) = run(&format!("{} --timeout 0.2 --quiet", world.line("drain")));
    assert_eq!(status, 1);
    assert!(said.contains("not drained in time: 0 active, 1 inactive"), "{said}");
    let (status, said) = run(&format!("{} --timeout 0.2 --json", world.line("drain")));
    let late = &schema::objects("drained", said.lines().next().unwrap_or_default())[0];
    assert_eq!((status, &late["outcome"], &late["weight_before"]), (1, &"late".into(), &3.into()), "{said}");
    assert_eq!((&late["active_connections"], &late["inactive_connections"]), (&0.into(), &1.into()), "{said}");
    let drain = start(&world.line("drain"));
    wait_for_looks(&drain, key);
    // Its connection ends a second after the next packet.
    world.end_after(1);
    clients.iter().for_each(ask);
    let drained =
        format!("{server} at {key}: drained; `ipvs-cli undrain {} {server}` gives it weight 3 again\n", word(key));
    let (status, said) = end(drain);
    assert_eq!(status, 0, "{said}");
    assert!(said.starts_with(&drained) && said.contains("a client that keeps its port keeps its server"), "{said}");
    assert_eq!(run(&world.line("undrain")), (0, format!("{server} at {key}: weight 3\n")));
    assert_eq!(world.weight(), 3);
    assert_eq!(run(&world.line("undrain")), (0, format!("{server} at {key}: has weight 3\n")));
}

#[test]
fn clients_that_may_come_back_are_waited_for() {
    let mut world = World::new(Some(600));
    world.be_used();
    world.wait_until_unused(world.key);
    let (status, said) = run(&format!("{} --timeout 1", world.line("drain")));
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("not drained in time: 0 active, 0 inactive, 1 persistence template;"), "{said}");
    assert!(said.contains("--kill-after ends what is left at this server alone"), "{said}");
    assert!(said.contains("expire_quiescent_template=1 sends them elsewhere, and does so in all services"), "{said}");
    fs::write("/proc/sys/net/ipv4/vs/expire_quiescent_template", "1").unwrap();
    let (status, said) = run(&world.line("drain"));
    assert_eq!(status, 0, "{said}");
    assert_eq!(world.weight(), 0);
    let (status, said) = run(&format!("undrain --all {}", world.server));
    assert_eq!((status, world.weight()), (0, 3), "{said}");
}

#[test]
fn drain_notices_changes_of_other_programs() {
    let mut world = World::new(None);
    world.client.set_timeouts(Timeouts::new().with_udp(100)).unwrap();
    world.be_used();
    let (key, server) = (world.key, world.server);
    let drain = start(&world.line("drain"));
    world.wait_for_weight(0);
    let state = Destination::new(server).with_forwarding(Forwarding::Masquerade).with_weight(Weight::new(7).unwrap());
    world.client.edit_destination(&key, &state).unwrap();
    let (status, said) = end(drain);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("it has been given weight 7 meanwhile"), "{said}");
    let drain = start(&world.line("drain"));
    world.wait_for_weight(0);
    world.client.delete_destination(&key, server).unwrap();
    let (status, said) = end(drain);
    assert!(
        status == 1 && said.contains("not drained: another program has removed it with 0 active, 1 inactive"),
        "{said}"
    );
    let forced = "drain --all 127.0.0.1:5302 --timeout 0.1 --delete --force --quiet";
    assert_eq!(run(forced), (0, String::new()));
    assert!(world.client.destinations(&key).unwrap().is_empty());
}

/// The lock of this thread's network namespace.
fn lock_file() -> PathBuf {
    let number = fs::metadata("/proc/thread-self/ns/net").unwrap().ino();
    PathBuf::from(format!("/run/ipvs-cli/{number}.lock"))
}

/// Waits until the program has the file open, or has it open no more.
fn wait_until_open(program: &Child, file: &Path, open: bool) {
    let begun = Instant::now();
    let is_open = || {
        let open = fs::read_dir(format!("/proc/{}/fd", program.id())).unwrap().flatten();
        open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|open| open == file)
    };
    while is_open() != open {
        assert!(begun.elapsed() < PATIENCE, "{} is open for ever, or never", file.display());
        thread::sleep(Duration::from_millis(10));
    }
}

/// A service that drained early gets its weight and a client back while another one is still waited
/// for.
#[test]
fn a_server_that_came_back_is_not_deleted() {
    let mut world = World::new(None);
    world.end_after(100);
    let (busy, client) = world.add_busy();
    let drain = start(&format!("drain --force --delete --all {}", world.server));
    world.wait_for_weight(0);
    // Two looks make an unused one drained; the other keeps the program waiting.
    wait_for_looks(&drain, world.key);
    assert_eq!(run(&world.line("undrain --quiet")), (0, String::new()));
    let _clients = world.be_used();
    assert_eq!(world.in_use().inactive, 1, "a client uses it");
    world.end_after(1);
    ask(&client);
    let (status, said) = end(drain);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains(&format!("{} at {busy}: drained and deleted", world.server)), "{said}");
    assert!(
        said.contains(&format!("{} at {}: not drained: it has been given weight 3 meanwhile", world.server, world.key)),
        "{said}"
    );
    assert_eq!(world.weight(), 3, "it is there, and in service");
}

/// The same, and then weight 0 again: its connections are waited for.
#[test]
fn a_server_in_use_again_is_waited_for_again() {
    let mut world = World::new(None);
    world.end_after(100);
    let (busy, client) = world.add_busy();
    let drain = start(&format!("drain --force --delete --all {}", world.server));
    world.wait_for_weight(0);
    wait_for_looks(&drain, world.key);
    world.weigh(3);
    let clients = world.be_used();
    world.weigh(0);
    world.end_after(1);
    ask(&client);
    world.wait_until_unused(busy);
    // After two looks the other is drained; this one is not.
    wait_for_looks(&drain, busy);
    assert_eq!(world.in_use().inactive, 1, "not deleted");
    clients.iter().for_each(ask);
    let (status, said) = end(drain);
    assert_eq!((status, said.matches("drained and deleted").count()), (0, 2), "{said}");
    assert!(world.state().is_none());
}

/// While the lock is waited for, the server gets a weight and a client: it is asked once more
/// before it is deleted.
#[test]
fn a_server_that_came_back_during_the_wait_for_the_lock_is_not_deleted() {
    for (weight, message) in [(7, "it has been given weight 7 meanwhile"), (0, "drained and deleted")] {
        let mut world = World::new(None);
        let (drain, held) = world.drain_up_to_the_lock();
        world.end_after(100);
        world.weigh(7);
        let clients = world.be_used();
        world.weigh(weight);
        held.unlock().unwrap();
        if weight == 0 {
            wait_for_looks(&drain, world.key);
            assert!(!world.in_use().is_unused(), "not deleted");
            world.end_after(1);
            clients.iter().for_each(ask);
        }
        let (status, said) = end(drain);
        assert!(status == i32::from(weight != 0) && said.contains(message), "{status} {said}");
        assert_eq!(world.state().is_some(), weight != 0);
    }
}

#[test]
fn an_interrupted_drain_deletes_nothing_more() {
    let mut world = World::new(None);
    let (drain, held) = world.drain_up_to_the_lock();
    kill(Pid::from_raw(i32::try_from(drain.id()).unwrap()), Signal::SIGINT).unwrap();
    let (status, said) = end(drain);
    assert_eq!(status, 130, "{said}");
    assert!(said.contains("drained; `ipvs-cli undrain") && said.contains("nothing more was deleted"), "{said}");
    assert_eq!(world.client.destinations(&world.key).unwrap().len(), 2);
    drop(held);
}

/// Notes are of one network namespace, also if another one gets its number.
#[test]
fn notes_of_another_namespace_are_void() {
    let first = World::new(None);
    assert_eq!(run(&first.line("drain --quiet")), (0, String::new()));
    let notes = lock_file().with_extension("drained");
    let text = fs::read_to_string(&notes).unwrap();
    drop(first);
    // The kernel gives a number again once the namespace has ended: here, by hand.
    let mut second = World::new(None);
    second.weigh(0);
    fs::write(lock_file().with_extension("drained"), &text).unwrap();
    let (status, said) = run(&second.line("undrain"));
    assert!(status == 1 && said.contains("its weight is not noted"), "{said}");
    assert_eq!(run(&second.line("undrain --quiet --weight 3")), (0, String::new()));
    // The same text from this namespace is believed.
    assert_eq!(run(&second.line("drain --quiet")), (0, String::new()));
    assert_ne!(fs::read_to_string(lock_file().with_extension("drained")).unwrap(), text);
    assert_eq!(run(&second.line("undrain --quiet")), (0, String::new()));
    assert_eq!(second.weight(), 3);
}
