use ipvs::{Table, Tunnel};

use super::super::machine::{Link, LinkKind, Machine};
use super::super::probe::Tunnel as Outer;
use super::*;

const VIP: &str = "192.0.2.1";
const SERVER: &str = "10.0.0.11";
const MAC: Mac = [2, 0, 0, 0, 0, 0x11];
const CAME: Answer = Answer::Came { hop_limit: 64, longest: None };

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn target(forwarding: Forwarding, tunnel: Option<TunnelKind>) -> Target {
    let tunnel = tunnel.map(|kind| Outer { source: ip("10.0.0.1"), server: ip(SERVER), kind });
    Target {
        service: format!("tcp {VIP}:80").parse().unwrap(),
        server: SocketAddr::new(ip(SERVER), 80),
        forwarding,
        weight: Weight::default(),
        vip: ip(VIP),
        protocol: Protocol::TCP,
        port: Some(80),
        route: Route::Out {
            link: 2,
            mtu: 1500,
            hop: ip(SERVER),
            hop_source: ip("10.0.0.1"),
            source: ip("10.0.0.1"),
            own_source: ip("10.0.0.1"),
            tunnel,
            outside: None,
            is_vip_here: true,
        },
    }
}

fn director(probe: Probe) -> Director {
    let link = Link {
        index: 2,
        name: "eth0".to_owned(),
        kind: LinkKind::Wire,
        is_up: true,
        mtu: 1500,
        wants_checksum: false,
        protocol: 0,
    };
    Director {
        machine: Machine { links: vec![link], ..Machine::default() },
        table: Table::new(),
        rules: Vec::new(),
        marks: Vec::new(),
        peer: None,
        traffic: None,
        firewalls: Vec::new(),
        probes: Some(Probes { all: vec![probe], ..Probes::default() }),
    }
}

fn direct() -> Target {
    target(Forwarding::DirectRoute, None)
}

fn through(kind: TunnelKind) -> Target {
    target(Forwarding::Tunnel(Tunnel::Ipip), Some(kind))
}

fn failed(failure: Failure, is_outer: bool) -> Answer {
    Answer::Failed { from: ip(SERVER), failure, is_outer }
}

/// The id of what is found, with those of its causes.
#[track_caller]
fn found(target: &Target, answers: &[(Step, Answer)], expected: &str) {
    let found = judge(&director(Probe::new(target.clone(), Some(MAC), answers.iter().copied())));
    let words = found.iter().map(|finding| {
        let level = if finding.level == Level::Hint { "hint " } else { "" };
        let causes: String = finding.causes.iter().map(|cause| format!(" {}", cause.id)).collect();
        format!("{level}{}{causes}", finding.id)
    });
    assert_eq!(words.collect::<Vec<_>>().join("; "), expected);
}

#[test]
fn answers_name_the_cause() {
    use Answer::{Refused, Silent};
    use Step::{Long, Other, Outside, Own, Service, Unwrapped, Way};
    let gre = |checksum| TunnelKind::Gre { checksum };
    let gue = |port, checksum| TunnelKind::Gue { port, checksum };
    let nat = target(Forwarding::Masquerade, None);
    let ipip = through(TunnelKind::Ipip);
    for (target, answers, expected) in [
        (&direct(), &[(Service, CAME), (Long(1500), CAME)][..], ""),
        (&direct(), &[(Service, Refused)], "refused"),
        (&direct(), &[(Service, CAME), (Long(1500), Silent)], "mtu"),
        (&direct(), &[(Service, CAME), (Long(1500), failed(Failure::TooLong { mtu: 1400 }, false))], "hint mtu"),
        (&direct(), &[(Service, Silent), (Way, Silent), (Own, CAME)], "no-answer address server way-back"),
        (&direct(), &[(Service, Silent), (Way, CAME), (Own, CAME)], "no-answer server"),
        (&direct(), &[(Service, Silent), (Way, Silent), (Own, Silent)], "no-answer address server way-back"),
        (&direct(), &[(Service, failed(Failure::PassedOn, false)), (Own, CAME)], "no-answer address"),
        (&direct(), &[(Service, failed(Failure::Prohibited, false)), (Own, CAME)], "no-answer server"),
        (&nat, &[(Service, Silent), (Own, CAME)], "no-answer server"),
        (&nat, &[(Service, Silent), (Own, Silent)], "no-answer server way-back"),
        (&nat, &[(Service, CAME), (Outside, CAME)], ""),
        (&nat, &[(Service, CAME), (Outside, Answer::Came { hop_limit: 63, longest: None })], "hint way-back"),
        (&nat, &[(Service, CAME), (Outside, Silent)], "no-answer way-back server"),
        (&ipip, &[(Service, Silent), (Way, Silent), (Own, CAME), (Unwrapped, CAME)], "no-answer address server"),
        (
            &ipip,
            &[(Service, Silent), (Way, Silent), (Own, CAME), (Unwrapped, Silent)],
            "no-answer tunnel address server",
        ),
        (&ipip, &[(Service, failed(Failure::Protocol, true)), (Own, CAME)], "no-answer tunnel"),
        (
            &through(gue(7000, true)),
            &[(Service, failed(Failure::Port, true)), (Own, CAME)],
            "no-answer gue-port tunnel",
        ),
        (
            &through(gue(7000, true)),
            &[(Service, failed(Failure::Port, true)), (Other(gue(6080, true)), CAME)],
            "no-answer gue-port",
        ),
        (&through(gue(7000, true)), &[(Service, Silent), (Other(gue(6080, true)), CAME)], "no-answer gue-port"),
        (&through(gue(6080, true)), &[(Service, Silent), (Other(gue(6080, false)), CAME)], "no-answer gue-checksum"),
        (&through(gre(true)), &[(Service, Silent), (Other(gre(false)), Refused)], "no-answer gre-checksum"),
    ] {
        found(target, answers, expected);
    }
}

#[test]
fn servers_of_udp_may_be_silent() {
    use Answer::Silent;
    let udp = |port| Target { protocol: Protocol::UDP, port: Some(port), ..direct() };
    for (port, answers, expected) in [
        (514, &[(Step::Service, Silent), (Step::Way, CAME)][..], ""),
        (514, &[(Step::Service, Silent), (Step::Way, Silent), (Step::Own, Silent)], ""),
        (514, &[(Step::Service, Silent), (Step::Way, Silent), (Step::Own, CAME)], "no-answer address server way-back"),
        (53, &[(Step::Service, Silent), (Step::Way, CAME)], "no-answer server"),
        (53, &[(Step::Service, Answer::Refused), (Step::Way, CAME)], "refused"),
        (514, &[(Step::Service, CAME), (Step::Way, CAME), (Step::Long(1500), Silent)], "hint mtu"),
    ] {
        found(&udp(port), answers, expected);
    }
}

#[test]
fn what_gets_no_clients_is_a_hint() {
    found(&Target { weight: Weight::ZERO, ..direct() }, &[(Step::Service, Answer::Refused)], "hint refused");
}

#[test]
fn a_machine_that_answers_for_the_virtual_address_is_named() {
    let mut director = director(Probe::new(direct(), Some(MAC), [(Step::Service, CAME)]));
    for (server, words) in
        [(Some(ip(SERVER)), "the real server 10.0.0.11 answers"), (None, "the machine 02:00:00:00:00:11 answers")]
    {
        let claim = Claim { vip: ip(VIP), link: 2, mac: MAC, server };
        director.probes.as_mut().unwrap().claims = vec![claim];
        let found = judge(&director);
        assert_eq!(found[0].id, "arp-answered");
        assert!(found[0].what.starts_with(words), "{}", found[0].what);
    }
}
