//! What `getsockopt` copies is what netlink dumps: services and their order, destinations, and
//! counters that are read again and again; beside writers here and in other network namespaces.
//!
//! `COPIED_READINGS` is the number of readings beside each kind of writer.

use std::collections::HashSet;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ipvs::{
    Client, Command, Counters, Destination, Error, Forwarding, Persistence, PersistenceEngine, Rates, Scheduler,
    Service, ServiceKey, ServiceState, Statistics, Table, change::plan,
};
use kernel_tests::sandbox;

use super::churn::{Ended, number};
use super::world::{World, calls, key, table};

/// Many enough not to be dumped for their small number.
const SERVICES: u32 = 300;

/// A long dump of services and a few calls more.
const FEW_CALLS: usize = 10;

fn of_ipv6(n: u16) -> Service {
    Service::new(format!("tcp [2001:db8::{n:x}]:80").parse().unwrap()).with_scheduler(Scheduler::WRR)
}

fn keys(services: &[ServiceState]) -> Vec<ServiceKey> {
    services.iter().map(|state| state.service.key()).collect()
}

/// Does nothing but the services of this director, schedulers and daemons refer to the module?
fn is_lone(services: usize) -> bool {
    let Ok(references) = fs::read_to_string("/sys/module/ip_vs/refcnt") else { return false };
    let Ok(holders) = fs::read_dir("/sys/module/ip_vs/holders") else { return false };
    references.trim_end() == (services + 2 * holders.count()).to_string()
}

/// Namespaces of tests that have ended go a little later.
fn become_lone(services: usize) -> bool {
    (0..100).any(|_| {
        let is_lone = is_lone(services);
        if !is_lone {
            thread::sleep(Duration::from_millis(50));
        }
        is_lone
    })
}

#[test]
fn copied_services_are_those_of_a_dump_in_its_order() {
    let mut world = World::new();
    world.hold(&table(0..SERVICES, 1));
    if become_lone(SERVICES as usize) {
        let received = calls(&world, "recvfrom", "-S -n", "");
        assert!(received < FEW_CALLS, "{received} datagrams: the services were dumped");
    } else {
        println!("other namespaces have services: these are dumped");
    }
    let copied = world.client.services_without_statistics().unwrap();
    // With statistics, netlink is asked.
    let dumped = world.client.services().unwrap();
    assert_eq!(copied.len(), SERVICES as usize);
    let without = |state: &ServiceState| state.service;
    assert_eq!(copied.iter().map(without).collect::<Vec<_>>(), dumped.iter().map(without).collect::<Vec<_>>());

    // What only netlink shows is shown.
    world.client.add_service(&of_ipv6(1)).unwrap();
    let sip = Service::new("udp 192.0.2.1:5060".parse().unwrap())
        .with_persistence(Persistence::new(60).unwrap())
        .with_engine(PersistenceEngine::SIP);
    let has_engine = world.client.add_service(&sip).is_ok();
    let read = world.client.services_without_statistics().unwrap();
    assert_eq!(read.len(), SERVICES as usize + 1 + usize::from(has_engine));
    assert!(read.iter().any(|state| state.service.key() == of_ipv6(1).key()));
    assert!(!has_engine || read.iter().any(|state| state.service == sip), "an engine");
}

/// What stays is read exactly once.
#[test]
fn copied_services_are_whole_beside_writers() {
    let readings = number("COPIED_READINGS", 100);
    let mut world = World::new();
    world.hold(&table(0..SERVICES, 1));
    let (is_over, is_elsewhere) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut writers = [(); 2].map(|()| world.client.try_clone().unwrap());
    thread::scope(|scope| {
        let ends = Ended(&is_over);
        let [here, other] = &mut writers;
        // One service of IPv4, as fast as the kernel does it: each time another is hidden.
        scope.spawn(|| {
            let service = Service::new(key(SERVICES));
            while !is_over.load(Ordering::Relaxed) {
                here.add_service(&service).unwrap();
                here.delete_service(&service.key()).unwrap();
            }
        });
        scope.spawn(|| {
            for n in (0..2).cycle() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let service = of_ipv6(100 + n);
                other.add_service(&service).unwrap();
                thread::sleep(Duration::from_millis(3));
                other.delete_service(&service.key()).unwrap();
                thread::sleep(Duration::from_millis(7));
            }
        });
        scope.spawn(|| {
            sandbox::enter_network().unwrap_or_else(|error| panic!("{error}"));
            let mut client = Client::connect().unwrap();
            let services = plan(&Table::new(), &table(0..2, 1)).commands().to_vec();
            while !is_over.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(5));
                if is_elsewhere.load(Ordering::Relaxed) {
                    client.execute_all(&services).unwrap();
                    client.execute(&Command::Flush).unwrap();
                }
            }
        });
        let mut unstable = 0;
        for stays in [0, 1, 2] {
            is_elsewhere.store(stays == 2, Ordering::Relaxed);
            let mut staying: HashSet<_> = (0..SERVICES).map(key).collect();
            if stays > 0 {
                let _ = world.client.add_service(&of_ipv6(1));
                staying.insert(of_ipv6(1).key());
            }
            for reading in 0..readings {
                let read = match world.client.services_without_statistics() {
                    Ok(services) => keys(&services),
                    Err(Error::Unstable) => {
                        unstable += 1;
                        continue;
                    }
                    Err(error) => panic!("{error}"),
                };
                let once: HashSet<_> = read.iter().copied().collect();
                assert_eq!(once.len(), read.len(), "{stays}, {reading}: one is there twice");
                let missing: Vec<_> = staying.difference(&once).collect();
                assert!(missing.is_empty(), "{stays}, {reading}: {missing:?} are missing");
            }
        }
        println!("of {} readings {unstable} reported an unstable director", 3 * readings);
        drop(ends);
    });
}

/// Without rates, which fade between two readings.
fn figures(statistics: Option<Statistics>) -> Option<Statistics> {
    statistics.map(|mut all| {
        all.rates = Rates::default();
        all
    })
}

/// The kernel counts anew every two seconds; when nothing is sent, both interfaces have the same.
#[test]
fn counters_that_are_read_again_are_those_of_netlink() {
    let mut world = World::new();
    world.hold(&table(0..SERVICES, 1));
    let counted = Service::new("udp 127.0.0.1:7000".parse().unwrap()).with_scheduler(Scheduler::RR);
    let (plain, zeroed) = (counted.key(), key(0));
    world.client.add_service(&counted).unwrap();
    for host in [1, 2] {
        let at = SocketAddr::from(([127, 0, 0, host], 7001));
        let server = Destination::new(at).with_forwarding(Forwarding::Masquerade);
        world.client.add_destination(&plain, &server).unwrap();
    }
    let is_lone = become_lone(SERVICES as usize + 1);
    let mut counters = Counters::new();
    counters.all(&mut world.client).unwrap();
    for round in 0..3 {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..100 {
            let _ = socket.send_to(b"counted", "127.0.0.1:7000");
        }
        if round == 1 {
            world.client.zero(Some(&zeroed)).unwrap();
            world.client.zero(Some(&plain)).unwrap();
        }
        thread::sleep(Duration::from_secs(5));
        let again = counters.all(&mut world.client).unwrap();
        let mut packets = 0;
        for (state, destinations) in &again {
            let key = state.service.key();
            let (service, all) = (world.client.service(&key).unwrap(), world.client.destinations(&key).unwrap());
            assert_eq!((service.service, all.len()), (state.service, destinations.len()), "{key}");
            assert_eq!(figures(service.statistics), figures(state.statistics), "{round}: {key}");
            for (read, dumped) in destinations.iter().zip(&all) {
                assert_eq!(read.destination, dumped.destination, "{key}");
                assert_eq!(figures(read.statistics), figures(dumped.statistics), "{round}: {key}");
            }
            packets += if key == plain { state.statistics.unwrap_or_default().packets_in } else { 0 };
        }
        assert_eq!(again.len(), SERVICES as usize + 1);
        println!("{packets} packets were counted; the director is {}alone", if is_lone { "" } else { "not " });
    }
}
