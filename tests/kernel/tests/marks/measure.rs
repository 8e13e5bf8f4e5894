//! What a packet costs with few rules and with many. Printed, not judged:
//! `cargo test --release -p kernel-tests --test marks -- --ignored cost`.

use super::nft;
use super::world::{Lacking, Test};
use fwmark::{Backend, FirewallMark, Iptables, MarkGroup, MarkRule, Owner, Protocol, Variant};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[(&str, Test)] = &[("cost_of_a_packet", cost_of_a_packet)];

const COUNTS: [u32; 5] = [0, 1, 100, 1_000, 10_000];
const PORT: u16 = 7000;
const PACKETS: u32 = 2_000;
/// The least of this many rounds is taken: other work of the machine only adds.
const ROUNDS: u32 = 50;

fn cost_of_a_packet() -> Result<(), Lacking> {
    let nftables = Backend::Nftables(nft::open(Owner::default())?);
    let rules_one_by_one = [Variant::Nft, Variant::Legacy].map(|variant| {
        // A machine may lack it.
        Iptables::open_variant(Owner::default(), variant).ok().map(Backend::Iptables)
    });
    let mut backends: Vec<Backend> = [nftables].into_iter().chain(rules_one_by_one.into_iter().flatten()).collect();
    println!("\nnanoseconds for a UDP packet over the loopback interface, to the address of the last rule:");
    let titles: Vec<String> = backends.iter().map(|backend| format!("{:>16}", backend.to_string())).collect();
    println!("{:>8} {}", "rules", titles.join(" "));
    for count in COUNTS {
        let rules: Vec<MarkRule> = (1..=count).flat_map(rules_of).collect();
        let costs = backends.iter_mut().map(|backend| format!("{:>16}", cost(backend, &rules, count).as_nanos()));
        println!("{count:>8} {}", costs.collect::<Vec<_>>().join(" "));
    }
    Ok(())
}

/// One address and port with a mark of its own.
fn rules_of(number: u32) -> Vec<MarkRule> {
    let mark = FirewallMark::new(number).expect("not 0");
    MarkGroup::new(mark).with(address(number).into(), Protocol::Udp, PORT).rules().collect()
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(127, 1, 0, 0)) + number)
}

/// Of one packet, with these rules and no others.
fn cost(backend: &mut Backend, rules: &[MarkRule], last: u32) -> Duration {
    backend.apply(rules).expect("valid rules");
    let to = SocketAddr::new(address(last).into(), PORT);
    // Nobody reads: when its buffer is full, packets are dropped there, behind the rules.
    let server = UdpSocket::bind(to).expect("an address of the loopback interface");
    let client = UdpSocket::bind("127.0.0.1:0").expect("another one");
    client.connect(to).expect("an address");
    let mut least = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..PACKETS {
            client.send(b"x").expect("the loopback interface takes it");
        }
        least = least.min(start.elapsed());
    }
    drop(server);
    backend.remove().expect("valid rules");
    least / PACKETS
}
