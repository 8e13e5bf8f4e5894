//! What holds for all lines: a command printed parses back, and whatever the words are, there is an
//! answer.

use std::net::SocketAddr;
use std::num::NonZeroU16;

use ipvs::{
    Command, Destination, Family, FirewallMark, Forwarding, Netmask, Persistence, PersistenceEngine, Scheduler,
    Service, ServiceKey, Tunnel, TunnelFlags, Weight,
};
use proptest::prelude::*;

use super::testing::FewNames;
use super::{Invocation, Parser, Posix, Words, grammar};

/// The words that make a command, for those that ipvsadm can make.
fn print(command: &Command) -> Vec<String> {
    let mut words = Vec::new();
    let mut add = |text: String| words.extend(text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned));
    match command {
        Command::AddService(service) => {
            add(format!("-A {} -s {}", id(&service.key()), service.scheduler));
            add(format!("-M {}", service.netmask()));
            add(service.persistence.map_or(String::new(), |persistence| format!("-p {}", persistence.seconds())));
            add(service.engine.map_or(String::new(), |engine| format!("--pe {engine}")));
            add(if service.one_packet { "-o".to_owned() } else { String::new() });
        }
        Command::AddDestination(key, destination) => {
            let method = match destination.forwarding {
                Forwarding::Masquerade => "-m".to_owned(),
                Forwarding::Tunnel(Tunnel::Gue { port, .. }) => format!("-i --tun-type gue --tun-port {port}"),
                _ => "-g".to_owned(),
            };
            add(format!("-a {} -r {} {method} -w {}", id(key), destination.address, destination.weight));
            add(format!("-x {} -y {}", destination.upper_threshold, destination.lower_threshold));
        }
        other => panic!("no words for {other:?}"),
    }
    words
}

fn id(key: &ServiceKey) -> String {
    let text = key.to_string();
    let text = text.replace("tcp ", "-t ").replace("udp ", "-u ").replace("sctp ", "--sctp-service ");
    text.replace("mark ", "-f ").replace(" ipv6", " -6")
}

prop_compose! {
    fn keys()(mark in 1u32.., kind in 0..4, at in any::<SocketAddr>().prop_map(plain), v6 in any::<bool>()) -> ServiceKey {
        match kind {
            0 => ServiceKey::tcp(at),
            1 => ServiceKey::udp(at),
            2 => ServiceKey::sctp(at),
            _ => ServiceKey::Mark { mark: FirewallMark::new(mark).unwrap(), family: if v6 { Family::V6 } else { Family::V4 } },
        }
    }
}

/// Without the scope and flow label that IPVS does not have, and with a port.
fn plain(at: SocketAddr) -> SocketAddr {
    SocketAddr::new(at.ip(), at.port().max(1))
}

proptest! {
    #[test]
    fn printed_services_parse_back(
        key in keys(),
        scheduler in "[!-~]{1,15}",
        seconds in proptest::option::of(1u32..=2_678_400),
        mask in any::<[u8; 4]>(),
        prefix in 1u32..=128,
        engine in proptest::option::of("[a-z]{1,16}"),
    ) {
        let mut service = Service::new(key);
        service.scheduler = Scheduler::new(scheduler).unwrap();
        service.persistence = seconds.map(|seconds| Persistence::new(seconds).unwrap());
        service.engine = engine.map(|engine| PersistenceEngine::new(engine).unwrap());
        service.one_packet = matches!(key, ServiceKey::Mark { .. });
        let service = service.with_netmask(Netmask::v4(mask)).or_else(|_| service.with_netmask(Netmask::v6(prefix).unwrap())).unwrap();
        let command = Command::AddService(service);
        prop_assert_eq!(reparse(&command), command);
    }

    #[test]
    fn printed_destinations_parse_back(
        key in keys(),
        server in any::<SocketAddr>().prop_map(plain),
        weight in 0..=Weight::MAX.get(),
        upper in 0..=i32::MAX as u32,
        gue in 1u16..,
        method in 0..3,
    ) {
        let same_family = Family::of(server.ip()) == key.family();
        let mut destination = Destination::new(server).with_weight(Weight::new(weight).unwrap());
        destination.forwarding = match method {
            0 if same_family => Forwarding::Masquerade,
            1 if same_family => Forwarding::DirectRoute,
            _ => Forwarding::Tunnel(Tunnel::Gue { port: NonZeroU16::new(gue).unwrap(), flags: TunnelFlags::empty() }),
        };
        if let ServiceKey::Address { at, .. } = key && destination.forwarding != Forwarding::Masquerade {
            destination.address.set_port(at.port());
        }
        destination.upper_threshold = upper;
        destination.lower_threshold = upper / 2;
        let command = Command::AddDestination(key, destination);
        prop_assert_eq!(reparse(&command), command);
    }

    /// Arbitrary bytes give a command or an error.
    #[test]
    fn arbitrary_words_give_a_command_or_an_error(words in proptest::collection::vec(odd_word(), 0..12), posix: bool) {
        let mut names = FewNames;
        let mut parser = Parser::new(&mut names, Posix(posix));
        if let Err(usage) = parser.parse(&words.iter().collect::<Words>()) {
            prop_assert!([2, 255].contains(&usage.exit_status()));
        }
    }
}

/// Words that are often options, and else anything.
fn odd_word() -> impl Strategy<Value = Vec<u8>> {
    let rows = (0..grammar::ROWS.len()).prop_map(|at| &grammar::ROWS[at]);
    prop_oneof![
        rows.clone().prop_map(|row| format!("--{}", row.long).into_bytes()),
        rows.prop_map(|row| format!("-{}{}", row.letters, row.quiet_letters).into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..9),
        "[-–—!#:+.=0-9a-zA-Z\\[\\]]{0,12}".prop_map(String::into_bytes),
    ]
}

fn reparse(command: &Command) -> Command {
    let mut names = FewNames;
    match Parser::new(&mut names, Posix(false)).parse(&print(command).iter().collect::<Words>()) {
        Ok(Invocation::Change(command)) => command,
        other => panic!("{:?}: {other:?}", print(command)),
    }
}
