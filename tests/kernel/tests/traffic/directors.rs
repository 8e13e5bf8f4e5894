//! More than one director: one takes over from another that dies, or both work at the same time.
//! The figures are in docs/directors.md.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;

use ipvs::{Client, Daemon, DaemonRole, Destination, Family, Protocol, Scheduler, Service, ServiceKey};
use kernel_tests::network::{
    Conversation, Machine, Network, Servers, Speaks, VIRTUAL4, client, director, go_on, server, spare, virtual_address,
};

use super::field::moved;

const PORT: u16 = 1001;
const SERVERS: u16 = 4;
const CLIENTS: u8 = 60;

/// Two directors with the same service, by direct routing.
struct Pair {
    network: Network,
    _servers: Servers,
}

impl Pair {
    fn build(scheduler: Scheduler) -> Self {
        let network = Network::build_with_spare(SERVERS);
        let servers = network.serve(&[(PORT, Speaks::Greeting(Protocol::TCP))]);
        let pair = Pair { network, _servers: servers };
        for mut director in pair.clients() {
            director.add_service(&Service::new(key()).with_scheduler(scheduler)).unwrap();
            for number in 1..=SERVERS {
                director.add_destination(&key(), &destination(number)).unwrap();
            }
        }
        pair
    }

    fn machines(&self) -> [&Machine; 2] {
        [&self.network.director, self.network.spare.as_ref().expect("it was asked for")]
    }

    fn clients(&self) -> [Client; 2] {
        self.machines().map(|machine| machine.run(|| Client::connect().unwrap()))
    }

    /// Has the clients reach the virtual address by way of these directors.
    fn lead_clients_to(&self, directors: &[IpAddr]) {
        let hops = directors.iter().map(|director| format!(" nexthop via {director}")).collect::<String>();
        self.network.client.ip(&format!("route replace {VIRTUAL4}/32{hops}"));
    }

    /// A connection of each client, held.
    fn hold_many(&self, count: u8) -> Vec<Conversation> {
        let hold = |host| self.network.hold(Protocol::TCP, client(Family::V4, 1, host), at()).unwrap();
        (1..=count).map(hold).collect()
    }

    /// Who answers each client.
    fn places(&self) -> BTreeMap<IpAddr, usize> {
        let ask = |from| {
            let answer = self.network.ask(Protocol::TCP, from, at()).unwrap_or_else(|error| panic!("{from}: {error}"));
            let number = answer.server.strip_prefix("rs").and_then(|number| number.parse().ok());
            (from, number.expect("a real server's name"))
        };
        (1..=CLIENTS).map(|host| ask(client(Family::V4, 2, host))).collect()
    }
}

fn at() -> SocketAddr {
    virtual_address(Family::V4, PORT)
}

fn key() -> ServiceKey {
    ServiceKey::tcp(at())
}

fn destination(number: u16) -> Destination {
    Destination::new((server(number, Family::V4), PORT).into())
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    for _try in 0..2400 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("not within two minutes: {what}");
}

fn start(director: &mut Client, role: DaemonRole) {
    director.start_daemon(&Daemon::new(role, "eth0".parse().unwrap())).unwrap();
}

/// The master dies, the backup takes its address: who survives?
fn survivors_of_a_death(with_daemons: bool) -> [usize; 2] {
    const COUNT: u8 = 12;
    let pair = Pair::build(Scheduler::RR);
    let [master, backup] = pair.machines();
    if with_daemons {
        let [mut one, mut other] = pair.clients();
        start(&mut one, DaemonRole::Master);
        start(&mut other, DaemonRole::Backup);
    }
    let mut conversations = pair.hold_many(COUNT);
    // The master announces a connection when it has seen some packets of it.
    for _ in 0..5 {
        assert_eq!(go_on(&mut conversations), usize::from(COUNT));
    }
    assert_eq!(master.established(PORT), usize::from(COUNT));
    if with_daemons {
        wait_until("the backup knows all connections", || backup.established(PORT) == usize::from(COUNT));
    }
    master.ip("link set eth0 down");
    backup.take_virtual_addresses();
    pair.network.client.ip("neigh flush dev eth0");
    let alive = go_on(&mut conversations);
    assert_eq!(pair.places().len(), usize::from(CLIENTS), "new connections are served");
    [alive, usize::from(COUNT)]
}

#[test]
fn established_connections_survive_the_death_of_their_director() {
    let [alive, all] = survivors_of_a_death(true);
    println!("the master dies, the backup takes its address: {alive} of {all} connections go on");
    assert_eq!(alive, all);
    let [alive, all] = survivors_of_a_death(false);
    println!("the same without sync daemons: {alive} of {all}");
    assert_eq!(alive, 0);
}

#[test]
fn two_directors_with_maglev_hashing_choose_alike() {
    let pair = Pair::build(Scheduler::MH);
    let [one, other] = [director(Family::V4), spare(Family::V4)];
    pair.network.spare.iter().for_each(Machine::take_virtual_addresses);
    let by = |director| {
        pair.lead_clients_to(&[director]);
        pair.places()
    };
    let before = by(one);
    assert_eq!(before, by(other), "the second director chooses as the first");

    for mut director in pair.clients() {
        director.delete_destination(&key(), destination(SERVERS).address).unwrap();
    }
    let after = by(one);
    assert_eq!(after, by(other), "also when a server has left");
    let last = usize::from(SERVERS);
    let [its, others] =
        [moved(&before, &after, |server| server == last), moved(&before, &after, |server| server != last)];
    println!(
        "mh on two directors, {CLIENTS} clients: both choose alike; when a server leaves, its {its} clients move, and {others} others"
    );
    assert!(others <= usize::from(CLIENTS) / 10, "{others}");
}

/// Two equal routes to the virtual address; then the first director leaves. How many connections
/// each had, and how many of all go on.
fn survivors_of_a_departure(sloppy: &str) -> ([usize; 2], usize) {
    let pair = Pair::build(Scheduler::MH);
    let [one, other] = [director(Family::V4), spare(Family::V4)];
    pair.network.spare.iter().for_each(Machine::take_virtual_addresses);
    // Whole connections take one way or the other, not all of a client.
    pair.network.client.set("net/ipv4/fib_multipath_hash_policy", "1");
    pair.machines().into_iter().for_each(|machine| machine.set("net/ipv4/vs/sloppy_tcp", sloppy));
    pair.lead_clients_to(&[one, other]);
    let mut conversations = pair.hold_many(CLIENTS);
    assert_eq!(go_on(&mut conversations), usize::from(CLIENTS));
    let shares = pair.machines().map(|machine| machine.established(PORT));
    pair.lead_clients_to(&[other]);
    (shares, go_on(&mut conversations))
}

#[test]
fn connections_move_to_another_director_with_maglev_hashing() {
    let all = usize::from(CLIENTS);
    for (sloppy, alive_of) in [("0", [0, 1]), ("1", [1, 1])] {
        let (shares, alive) = survivors_of_a_departure(sloppy);
        let [first, second] = shares;
        println!(
            "mh behind two equal routes, sloppy_tcp={sloppy}: {first} and {second} connections; when the first director leaves, \
             {alive} of {all} go on"
        );
        assert!(first > 0 && second > 0 && first + second == all, "{shares:?}");
        assert_eq!(alive, alive_of[0] * first + alive_of[1] * second);
    }
}
