//! Every scheduler shares out as it should. The figures are in docs/schedulers.md.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipvs::{Errno, Error, Family, Scheduler, SchedulerFlags, Service, ServiceKey};
use kernel_tests::network::client;

use super::field::{Field, SERVERS, held, moved, shares};
use super::marks;

const NO_FLAGS: SchedulerFlags = SchedulerFlags::empty();

fn somebody() -> IpAddr {
    client(Family::V4, 1, 1)
}

#[test]
fn round_robin_takes_turns() {
    let mut field = Field::build();
    let rr = field.share(Scheduler::RR, NO_FLAGS, [4, 1, 1, 1]);
    let order: Vec<_> = (0..12).map(|_| field.ask(somebody(), rr)).collect();
    println!("rr, weights 4 1 1 1, 12 connections: {:?}", shares(order.clone()));
    assert_eq!(shares(order.clone()), [3; SERVERS]);
    assert!(order.windows(SERVERS).all(|turn| shares(turn.iter().copied()) == [1; SERVERS]), "{order:?}");

    let wrr = field.share(Scheduler::WRR, NO_FLAGS, [4, 2, 1, 1]);
    let order: Vec<_> = (0..16).map(|_| field.ask(somebody(), wrr)).collect();
    println!("wrr, weights 4 2 1 1, 16 connections: {:?}", shares(order.clone()));
    assert_eq!(shares(order), [8, 4, 2, 2]);
}

#[test]
fn least_connections_go_where_fewest_are() {
    let mut field = Field::build();
    let lc = field.share(Scheduler::LC, NO_FLAGS, [4, 1, 1, 1]);
    let mut connections = field.hold_many(8, lc);
    println!("lc, weights 4 1 1 1, 8 connections held: {:?}", held(&connections));
    assert_eq!(held(&connections), [2; SERVERS]);
    connections.retain(|held| held.server != 2);
    field.wait_for_active(&ServiceKey::tcp(lc), 6);
    let new = field.hold_many(2, lc);
    println!("lc, when the third server's have ended, 2 more: {:?}", held(&new));
    assert_eq!(held(&new), [0, 0, 2, 0]);

    let wlc = field.share(Scheduler::WLC, NO_FLAGS, [3, 1, 0, 0]);
    let connections = field.hold_many(8, wlc);
    println!("wlc, weights 3 1 0 0, 8 connections held: {:?}", held(&connections));
    assert_eq!(held(&connections), [6, 2, 0, 0]);
    assert_eq!(held(&connections[..2]), [1, 1, 0, 0], "an idle server is as good as any");
}

#[test]
fn the_shortest_delay_counts_the_connection_to_come() {
    let mut field = Field::build();
    let sed = field.share(Scheduler::SED, NO_FLAGS, [3, 1, 0, 0]);
    let connections = field.hold_many(8, sed);
    println!(
        "sed, weights 3 1 0 0, the first 2 connections of 8 held: {:?}; all: {:?}",
        held(&connections[..2]),
        held(&connections)
    );
    assert_eq!(held(&connections[..2]), [2, 0, 0, 0], "the slow server may idle");
    assert_eq!(held(&connections), [6, 2, 0, 0]);

    let nq = field.share(Scheduler::NQ, NO_FLAGS, [3, 1, 0, 0]);
    let connections = field.hold_many(8, nq);
    println!(
        "nq, weights 3 1 0 0, the first 2 connections of 8 held: {:?}; all: {:?}",
        held(&connections[..2]),
        held(&connections)
    );
    assert_eq!(held(&connections[..2]), [1, 1, 0, 0], "no server idles");
    assert_eq!(held(&connections), [6, 2, 0, 0]);
}

#[test]
fn failover_keeps_to_one_server() {
    let mut field = Field::build();
    let fo = field.share(Scheduler::FO, NO_FLAGS, [3, 2, 1, 1]);
    let first = field.hold_many(4, fo);
    field.weigh(fo, 0, 0);
    let meanwhile = field.hold_many(4, fo);
    field.weigh(fo, 0, 3);
    let again = field.hold_many(4, fo);
    let all = [&first, &meanwhile, &again].map(|connections| held(connections));
    println!("fo, weights 3 2 1 1, 4 connections; the first server's weight is 0, 4; is 3 again, 4: {all:?}");
    assert_eq!(all, [[4, 0, 0, 0], [0, 4, 0, 0], [4, 0, 0, 0]]);
}

#[test]
fn overflow_fills_one_server_after_the_other() {
    let mut field = Field::build();
    let ovf = field.share(Scheduler::OVF, NO_FLAGS, [3, 2, 1, 0]);
    let mut connections = field.hold_many(9, ovf);
    println!("ovf, weights 3 2 1 0, 9 connections held: {:?}", held(&connections));
    assert_eq!(held(&connections), [4, 3, 2, 0], "each takes one more than its weight");
    let error = field.hold(somebody(), ovf).map(|held| held.server).unwrap_err();
    println!("ovf, the tenth: {error}");
    connections.remove(0);
    field.wait_for_active(&ServiceKey::tcp(ovf), 8);
    assert_eq!(field.hold(somebody(), ovf).unwrap().server, 0, "there is room again");
}

type Places<K> = BTreeMap<K, usize>;

/// Where each of 100 clients goes; the same the second time.
fn clients(field: &Field, at: SocketAddr) -> Places<IpAddr> {
    let once = || (1..=100).map(|host| client(Family::V4, 5, host)).map(|from| (from, field.ask(from, at))).collect();
    let places: Places<IpAddr> = once();
    assert_eq!(places, once(), "a client's server is always the same");
    places
}

#[test]
fn source_hashing_keeps_clients_apart() {
    let mut field = Field::build();
    for (scheduler, bound) in [(Scheduler::SH, 100), (Scheduler::MH, 10)] {
        let at = field.share(scheduler, NO_FLAGS, [1; SERVERS]);
        let before = clients(&field, at);
        let counts = shares(before.values().copied());
        assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
        field.remove(&ServiceKey::tcp(at), SERVERS - 1);
        let after = clients(&field, at);
        let [last, stay] = [counts[SERVERS - 1], 100 - counts[SERVERS - 1]];
        assert_eq!(moved(&before, &after, |server| server == SERVERS - 1), last);
        let others = moved(&before, &after, |server| server != SERVERS - 1);
        println!(
            "{scheduler}, 100 clients: {counts:?}; when the fourth server leaves, {others} of the other {stay} move"
        );
        assert!(others <= bound, "{others}");

        let by_port = field.share(scheduler, SchedulerFlags::FLAG_2, [1; SERVERS]);
        let one_client = shares((0..20).map(|_| field.ask(somebody(), by_port)));
        println!("{scheduler} with {scheduler}-port, 20 connections of one client: {one_client:?}");
        assert!(one_client.iter().filter(|count| **count > 0).count() > 1);
    }
}

#[test]
fn a_hash_leads_past_a_server_of_weight_0_only_with_fallback() {
    let mut field = Field::build();
    for scheduler in [Scheduler::SH, Scheduler::MH] {
        for (flags, name) in [(NO_FLAGS, "without fallback"), (SchedulerFlags::FLAG_1, "with fallback")] {
            let at = field.share(scheduler, flags, [1; SERVERS]);
            let home = field.ask(somebody(), at);
            field.weigh(at, home, 0);
            let outcome = field.hold(somebody(), at).map(|held| held.server);
            println!(
                "{scheduler} {name}, the client's server has weight 0: {:?}",
                outcome.as_ref().map(|_| "another one answers")
            );
            match outcome {
                Ok(server) => assert!(flags == SchedulerFlags::FLAG_1 && server != home),
                Err(error) => assert!(flags == NO_FLAGS, "{error}"),
            }
        }
    }
}

/// The addresses of other people's servers, to which a director before caches forwards by their
/// mark.
const ELSEWHERE: &str = "10.0.9.0/24";

fn elsewhere(host: u8, port: u16) -> SocketAddr {
    ([10, 0, 9, host], port).into()
}

/// A service of all addresses elsewhere; the port at which caches can be asked for them.
fn caches(field: &mut Field, scheduler: Scheduler, weights: [u32; SERVERS]) -> (ServiceKey, u16) {
    let port = field.free_port();
    let mark = u32::from(port);
    marks::mark(&field.network, mark, ELSEWHERE, &[port]);
    let key: ServiceKey = format!("mark {mark}").parse().unwrap();
    field.add(&Service::new(key).with_scheduler(scheduler), weights);
    (key, port)
}

fn build_caches() -> Field {
    let field = Field::build();
    for machine in field.network.servers.iter().chain([&field.network.director]) {
        machine.ip(&format!("route add local {ELSEWHERE} dev lo"));
    }
    field.network.client.ip(&format!("route add {ELSEWHERE} via {}", kernel_tests::network::director(Family::V4)));
    field
}

/// Where a client gets each of 100 addresses from.
fn addresses(field: &Field, from: IpAddr, port: u16) -> Places<u8> {
    (1..=100).map(|host| (host, field.ask(from, elsewhere(host, port)))).collect()
}

#[test]
fn destination_hashing_keeps_what_is_asked_for_apart() {
    let mut field = build_caches();
    let (key, port) = caches(&mut field, Scheduler::DH, [1; SERVERS]);
    let before = addresses(&field, somebody(), port);
    assert_eq!(before, addresses(&field, client(Family::V4, 2, 2), port), "for any client");
    let counts = shares(before.values().copied());
    assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
    field.remove(&key, SERVERS - 1);
    let after = addresses(&field, somebody(), port);
    let [last, stay] = [counts[SERVERS - 1], 100 - counts[SERVERS - 1]];
    assert_eq!(moved(&before, &after, |server| server == SERVERS - 1), last);
    let others = moved(&before, &after, |server| server != SERVERS - 1);
    println!("dh, 100 addresses: {counts:?}; when the fourth server leaves, {others} of the other {stay} move");
}

#[test]
fn locality_based_schedulers_leave_a_server_only_when_it_has_too_much() {
    let mut field = build_caches();
    for scheduler in [Scheduler::LBLC, Scheduler::LBLCR] {
        let (_, port) = caches(&mut field, scheduler, [2; SERVERS]);
        let many: Vec<_> = (1..=8).map(|host| field.hold(somebody(), elsewhere(host, port)).unwrap()).collect();
        println!("{scheduler}, weights 2 2 2 2, a connection held to each of 8 addresses: {:?}", held(&many));
        assert_eq!(held(&many), [2; SERVERS]);
        for (host, home) in (1..).zip(&many) {
            assert_eq!(field.ask(client(Family::V4, 2, 2), elsewhere(host, port)), home.server, "for any client");
        }
    }
}

#[test]
fn only_lblcr_remembers_all_servers_that_one_address_needed() {
    let mut field = build_caches();
    for (scheduler, servers) in [(Scheduler::LBLC, 1), (Scheduler::LBLCR, SERVERS)] {
        let (key, port) = caches(&mut field, scheduler, [2; SERVERS]);
        let popular = elsewhere(1, port);
        let rush: Vec<_> = (0..12).map(|_| field.hold(somebody(), popular).unwrap()).collect();
        let order: Vec<_> = rush.iter().map(|held| held.server).collect();
        assert_eq!(held(&rush), [3; SERVERS]);
        assert!(order.chunks(3).all(|three| three[0] == three[1] && three[1] == three[2]), "{order:?}");
        drop(rush);
        field.wait_for_active(&key, 0);
        let later = shares((0..12).map(|_| field.ask(somebody(), popular)));
        println!(
            "{scheduler}, weights 2 2 2 2, 12 connections held to one address, in their order: {}; later 12 short ones: {later:?}",
            order.iter().map(|server| format!("rs{}", server + 1)).collect::<Vec<_>>().join(" ")
        );
        assert_eq!(later.iter().filter(|count| **count > 0).count(), servers, "{later:?}");
    }
}

#[test]
fn two_random_choices() {
    let mut field = Field::build();
    let at = kernel_tests::network::virtual_address(Family::V4, field.free_port());
    let service = Service::new(ServiceKey::tcp(at)).with_scheduler(Scheduler::TWOS);
    match field.director.add_service(&service) {
        Err(Error::Refused(refusal)) if refusal.errno == Errno::ENOENT => println!("skipped: this kernel has no twos"),
        added => {
            added.unwrap();
            field.director.delete_service(&service.key()).unwrap();
            field.add(&service, [1; SERVERS]);
            let connections = field.hold_many(40, at);
            println!("twos, 40 connections held: {:?}", held(&connections));
            assert!(held(&connections).iter().all(|count| (5..=15).contains(count)));
        }
    }
}
