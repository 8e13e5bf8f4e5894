//! Both of the kernel's interfaces count a destination's connections alike, and so do both programs
//! that show them.

use std::time::{Duration, Instant};

use ipvs::{Client, DestinationState, Family, Protocol, ServiceKey};
use kernel_tests::network::{Network, Speaks, client, virtual_address};
use kernel_tests::on_one_kernel;
use kernel_tests::target::Target;

use super::tables::make;

const PATIENCE: Duration = Duration::from_secs(60);

/// Active and inactive connections, and clients that persistence knows, of each destination.
fn counts(states: &[DestinationState]) -> Vec<[u32; 3]> {
    let count =
        |state: &DestinationState| [state.active_connections, state.inactive_connections, state.persistent_connections];
    states.iter().map(count).collect()
}

/// What netlink says, as soon as it is so; the older interface must say the same.
fn both_say(network: &Network, key: &ServiceKey, is_so: fn(u32, u32) -> bool) -> Vec<[u32; 3]> {
    network.director.run(|| {
        let mut client = Client::connect().unwrap();
        let begun = Instant::now();
        loop {
            let [first, other, last] = [true, false, true].map(|netlink| {
                let read = if netlink { client.destinations(key) } else { client.destinations_without_statistics(key) };
                counts(&read.unwrap())
            });
            let sum = |column: usize| first.iter().map(|row| row[column]).sum();
            // What changes between them says nothing.
            if first == last && is_so(sum(0), sum(1)) {
                assert_eq!(other, first);
                return first;
            }
            assert!(begun.elapsed() < PATIENCE, "{first:?}");
        }
    })
}

#[test]
fn connections_are_counted_alike_by_both_interfaces() {
    if !on_one_kernel() {
        return println!("skipped: no kernel differs here");
    }
    let network = Network::build(2);
    let _servers = network.serve(&[(22, Speaks::Greeting(Protocol::TCP)), (53, Speaks::Greeting(Protocol::UDP))]);
    let lines = "-A -t 10.0.0.100:22 -s rr -p 600\n-a -t 10.0.0.100:22 -r 10.0.0.11\n-a -t 10.0.0.100:22 -r 10.0.0.12\n\
                 -A -u 10.0.0.100:53 -s rr\n-a -u 10.0.0.100:53 -r 10.0.0.11\n-a -u 10.0.0.100:53 -r 10.0.0.12\n";
    make(&network, Target::IpvsCli, lines);
    let at = |port| virtual_address(Family::V4, port);
    let client = |number| client(Family::V4, 1, number);
    let mut held: Vec<_> = (1..=5).map(|number| network.hold(Protocol::TCP, client(number), at(22)).unwrap()).collect();
    (1..=3).for_each(|number| drop(network.ask(Protocol::UDP, client(number), at(53)).unwrap()));
    let tcp = ServiceKey::tcp(at(22));
    both_say(&network, &tcp, |active, inactive| (active, inactive) == (5, 0));
    held.truncate(3);
    let counted = both_say(&network, &tcp, |active, inactive| (active, inactive) == (3, 2));
    assert_eq!(counted.iter().map(|row| row[2]).sum::<u32>(), 5, "a template each: {counted:?}");
    both_say(&network, &ServiceKey::udp(at(53)), |active, inactive| (active, inactive) == (0, 3));
    // `ipvs-cli` asks the older interface for this listing, the original asks netlink.
    let [ipvs_cli, ipvsadm] = [Target::IpvsCli, Target::Ipvsadm].map(|program| {
        let path = program.program().unwrap();
        network.director.run(|| std::process::Command::new(path).args(["-L", "-n"]).output().unwrap().stdout)
    });
    assert_eq!(String::from_utf8_lossy(&ipvs_cli), String::from_utf8_lossy(&ipvsadm));
}
