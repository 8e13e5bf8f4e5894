//! What the probe's evidence says of real servers. Judges facts only.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipvs::desired::parts::Scalar;
use ipvs::{Forwarding, Protocol, ServiceKey, Weight};

use super::count;
use super::director::Director;
use super::probe::{Answer, Claim, Failure, Mac, Probe, Probes, Route, Step, Target, TunnelKind, must_answer};
use super::silent::{causes_of_absence, look_at};
use crate::subcommands::findings::{Finding, Level, Looked};

/// What the probe shows of a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It answers as it answers clients.
    Answers,
    /// There is a finding.
    Fails,
    /// Neither is certain.
    Unknown,
}

/// What the probe shows of this real server of this service.
pub(super) fn verdict(director: &Director, service: ServiceKey, server: SocketAddr) -> Verdict {
    let all = director.probes.iter().flat_map(|probes| &probes.all);
    let of_server = all.filter(|probe| (probe.target.service, probe.target.server) == (service, server));
    let verdicts: Vec<Verdict> = of_server.map(|probe| verdict_of(director, probe)).collect();
    let has = |verdict| verdicts.contains(&verdict);
    match () {
        () if has(Verdict::Fails) => Verdict::Fails,
        () if has(Verdict::Answers) => Verdict::Answers,
        () => Verdict::Unknown,
    }
}

fn verdict_of(director: &Director, probe: &Probe) -> Verdict {
    match finding(director, probe) {
        Some(_) => Verdict::Fails,
        None if probe.came(Step::Service) => Verdict::Answers,
        None => Verdict::Unknown,
    }
}

pub(super) fn judge(director: &Director) -> Vec<Finding> {
    let Some(probes) = &director.probes else { return Vec::new() };
    let claims = probes.claims.iter().map(|claim| claimed(director, probes, claim));
    claims.chain(probes.all.iter().filter_map(|probe| finding(director, probe))).collect()
}

fn finding(director: &Director, probe: &Probe) -> Option<Finding> {
    let target = &probe.target;
    let found = match (&target.route, probe.hop) {
        (Route::None(_), _) => return None,
        (Route::Local, _) => of_this_machine(probe)?,
        (Route::Out { link, hop, .. }, None) => no_neighbour(director, target, *link, *hop),
        (Route::Out { .. }, Some(_)) => of_another(director, probe)?,
    };
    // One that gets no clients may be off.
    Some(if target.weight == Weight::ZERO { Finding { level: Level::Hint, ..found } } else { found })
}

fn of_this_machine(probe: &Probe) -> Option<Finding> {
    let Target { server, service, .. } = probe.target;
    let what = match probe.answer(Step::Service)? {
        Answer::Refused => return None, // `own-server` says so.
        Answer::Came { .. } => return None,
        _ => format!("the server {server} of {service} on this machine accepts no connection"),
    };
    let why = "it did not accept the probe's connection in time, so its queue is full: the server hangs, or a firewall drops packets";
    Some(Finding::problem("no-answer", what, why))
}

fn no_neighbour(director: &Director, target: &Target, link: u32, hop: IpAddr) -> Finding {
    let link = director.machine.name_of(link);
    let server = target.server.ip();
    let asked = if hop == server { String::new() } else { format!(", the router {hop}") };
    let what = format!("no machine on {link} answers for the real server {server}{asked}");
    let how = if hop.is_ipv4() { "ARP" } else { "neighbour discovery" };
    let why = format!("the probe's {how} got no reply, so no packet can be sent");
    with_look(director, target, Finding::problem("no-neighbour", what, why).caused_by(causes_of_absence(link, hop)))
}

fn of_another(director: &Director, probe: &Probe) -> Option<Finding> {
    let Target { protocol, port, .. } = probe.target;
    let is_answered = probe.came(Step::Way);
    match probe.answer(Step::Service) {
        Some(Answer::Came { .. }) => answered(director, probe),
        Some(Answer::Refused) => Some(refused(director, &probe.target)),
        _ if protocol == Protocol::UDP || port.is_none() => {
            let silent_server = port.is_some_and(must_answer) && protocol == Protocol::UDP;
            match is_answered {
                true if silent_server => Some(no_answer(director, probe)),
                true => answered(director, probe),
                // A machine that answers no echo request, and a server that expects more than an
                // empty packet, are no fault.
                false if silent_server || is_known_to_answer(probe) => Some(no_answer(director, probe)),
                false => None,
            }
        }
        _ => Some(no_answer(director, probe)),
    }
}

/// Whether there was an answer by another way, or an error.
fn is_known_to_answer(probe: &Probe) -> bool {
    let is_any = |answer| answer != Answer::Silent;
    probe.answers().any(|(step, answer)| step != Step::Service && is_any(answer))
        || probe.answer(Step::Service).is_some_and(is_any)
}

/// It answers; what else there is to know.
fn answered(director: &Director, probe: &Probe) -> Option<Finding> {
    let target = &probe.target;
    let Target { server, service, vip, .. } = *target;
    let long = probe.answers().find_map(|(step, answer)| match step {
        Step::Long(length) => Some((length, answer)),
        _ => None,
    });
    match long {
        Some((length, Answer::Silent)) => {
            let what = format!("packets of {length} bytes do not get to the real server {server} of {service}");
            let why = "shorter ones are answered, so a machine between drops long ones: clients connect and then wait";
            let at = format!("at the MTU of all interfaces, switches and tunnels on the way to {}", server.ip());
            let finding = if target.protocol == Protocol::TCP {
                Finding::problem("mtu", what, why)
            } else {
                Finding::hint("mtu", what, why)
            };
            return Some(finding.look(at));
        }
        Some((length, Answer::Failed { from, failure: Failure::TooLong { mtu }, .. })) => {
            let what = format!(
                "packets of {length} bytes do not get to the real server {server} of {service}: {from} takes {mtu} at most"
            );
            let why = "clients must shorten their packets, which takes that ICMP reaches them";
            return Some(Finding::hint("mtu", what, why));
        }
        _ => {}
    }
    match (probe.answer(Step::Outside)?, probe.answer(Step::Service).or(probe.answer(Step::Way))?) {
        (Answer::Came { hop_limit, .. }, Answer::Came { hop_limit: near, .. }) if hop_limit < near => {
            let what = format!("replies of the real server {server} of {service} to {vip} come by a router");
            let why = "if it replies to clients in the same way, this director does not see it: NAT needs that its route to the clients leads here";
            Some(with_look(director, target, Finding::hint("way-back", what, why)))
        }
        (Answer::Came { .. }, _) => None,
        _ => {
            let what = format!(
                "the real server {server} of {service} answers {vip} not, and answers this machine's own address"
            );
            let why = "its replies to other networks do not come back through this director";
            let causes = [
                ("way-back", "its route to the clients does not lead here".to_owned()),
                ("server", format!("a firewall there drops what comes from {vip}")),
            ];
            Some(with_look(director, target, Finding::problem("no-answer", what, why).caused_by(causes)))
        }
    }
}

fn refused(director: &Director, target: &Target) -> Finding {
    let what =
        format!("the real server {} of {} refuses connections at {}", target.server, target.service, end(target));
    let why = "it answered the probe with a refusal: packets get there and back, and nothing listens";
    with_look(director, target, Finding::problem("refused", what, why))
}

/// The address and port that packets have at the real server.
fn end(target: &Target) -> String {
    let ip = if target.forwarding == Forwarding::Masquerade { target.server.ip() } else { target.vip };
    target.port.map_or_else(|| ip.to_string(), |port| SocketAddr::new(ip, port).to_string())
}

fn no_answer(director: &Director, probe: &Probe) -> Finding {
    let target = &probe.target;
    let what = format!("the real server {} of {} does not answer at {}", target.server, target.service, end(target));
    let why = format!("the probe was sent {}, and {}", way(target), seen(probe));
    with_look(director, target, Finding::problem("no-answer", what, why).caused_by(causes(probe)))
}

/// `by direct routing, from 192.0.2.1`
fn way(target: &Target) -> String {
    let how = match &target.route {
        Route::Out { tunnel: Some(tunnel), .. } => format!("through a tunnel ({})", name(tunnel.kind)),
        _ if target.forwarding == Forwarding::Masquerade => "as NAT sends it".to_owned(),
        _ => "by direct routing".to_owned(),
    };
    match &target.route {
        Route::Out { source, .. } => format!("{how}, from {source}"),
        _ => how,
    }
}

fn name(kind: TunnelKind) -> String {
    let with = |checksum| if checksum { "with a checksum" } else { "without a checksum" };
    match kind {
        TunnelKind::Ipip => "ipip".to_owned(),
        TunnelKind::Gue { port, checksum } => format!("gue at port {port} {}", with(checksum)),
        TunnelKind::Gre { checksum } => format!("gre {}", with(checksum)),
    }
}

/// What was answered and what was not.
fn seen(probe: &Probe) -> String {
    let Target { vip, server, .. } = probe.target;
    let mut words = Vec::new();
    let of = |step, what: String| probe.answer(step).map(|answer| (what, answer));
    let own = server.ip();
    let all = [
        of(Step::Service, "it".to_owned()),
        of(Step::Way, format!("an echo request to {} on this way", if own_way(probe) { own } else { vip })),
        of(Step::Unwrapped, format!("one to {own} through the tunnel")),
        of(Step::Own, format!("one to {own}")),
    ];
    for (what, answer) in all.into_iter().flatten() {
        words.push(match answer {
            Answer::Came { .. } | Answer::Refused => format!("{what} was answered"),
            Answer::Silent => format!("{what} was not answered"),
            Answer::Failed { from, failure, .. } => format!("{what} got an error of {from}: {}", error(failure)),
        });
    }
    words.join("; ")
}

fn own_way(probe: &Probe) -> bool {
    probe.target.forwarding == Forwarding::Masquerade
}

fn error(failure: Failure) -> &'static str {
    match failure {
        Failure::Port => "port unreachable",
        Failure::Protocol => "unknown protocol",
        Failure::Unreachable => "unreachable",
        Failure::Prohibited => "prohibited",
        Failure::PassedOn => "time to live exceeded",
        Failure::TooLong { .. } => "too long",
    }
}

/// What fits, the likeliest first.
fn causes(probe: &Probe) -> Vec<(&'static str, String)> {
    let target = &probe.target;
    let (vip, own) = (target.vip, target.server.ip());
    let source = if let Route::Out { source, .. } = target.route { source } else { own };
    let address = ("address", format!("it does not have {vip}, or its loopback is down"));
    let hangs = ("server", "a firewall there drops packets, or the server hangs and its queue is full".to_owned());
    let way_back =
        ("way-back", format!("its replies to {source} do not come back here: a route or reverse path check there"));
    let tunnel = (
        "tunnel",
        "it does not unwrap the packets: no device that is up, another kind, or rp_filter of the device".to_owned(),
    );
    for (step, answer) in probe.answers() {
        if let (Step::Other(kind), Answer::Came { .. } | Answer::Refused) = (step, answer) {
            return vec![other_tunnel(target, kind)];
        }
    }
    for (step, answer) in probe.answers() {
        return match (step, answer) {
            (_, Answer::Failed { is_outer: true, failure, .. }) => match (failure, tunnel_of(target)) {
                // Linux says the same of what was inside.
                (Failure::Port, Some(TunnelKind::Gue { port, .. })) => {
                    let closed = format!("nothing there takes packets of gue at UDP port {port}");
                    vec![("gue-port", closed), ("tunnel", "no device there takes what is inside".to_owned())]
                }
                (Failure::Port | Failure::Protocol, _) => vec![tunnel],
                (Failure::Prohibited, _) => vec![("server", "a firewall refuses the tunnel's packets".to_owned())],
                _ => continue,
            },
            (Step::Service | Step::Way, Answer::Failed { failure, from, is_outer: false }) => match failure {
                Failure::PassedOn | Failure::Unreachable if target.forwarding != Forwarding::Masquerade => {
                    vec![("address", format!("it does not have {vip}: it passes packets for it on"))]
                }
                Failure::Prohibited => vec![("server", format!("a firewall of {from} refuses the packets"))],
                _ => continue,
            },
            _ => continue,
        };
    }
    if probe.came(Step::Way) {
        return vec![hangs];
    }
    match target.forwarding {
        Forwarding::Masquerade if probe.came(Step::Own) => vec![hangs],
        Forwarding::Masquerade => vec![hangs, way_back],
        Forwarding::Tunnel(_) if probe.came(Step::Unwrapped) => vec![address, hangs],
        Forwarding::Tunnel(_) => vec![tunnel, address, ("server", format!("{}; or {}", hangs.1, way_back.1))],
        _ => vec![address, hangs, way_back],
    }
}

fn tunnel_of(target: &Target) -> Option<TunnelKind> {
    if let Route::Out { tunnel: Some(tunnel), .. } = target.route { Some(tunnel.kind) } else { None }
}

/// It answers through a tunnel of another kind.
fn other_tunnel(target: &Target, taken: TunnelKind) -> (&'static str, String) {
    let sent = tunnel_of(target).map_or_else(String::new, name);
    let id = match (tunnel_of(target), taken) {
        (Some(TunnelKind::Gue { port, .. }), TunnelKind::Gue { port: other, .. }) if port != other => "gue-port",
        (_, TunnelKind::Gue { .. }) => "gue-checksum",
        _ => "gre-checksum",
    };
    (id, format!("it takes {}, and this director sends {sent}", name(taken)))
}

/// Another machine answers for an address of this one.
fn claimed(director: &Director, probes: &Probes, claim: &Claim) -> Finding {
    let Claim { vip, link, mac, server } = *claim;
    let name = director.machine.name_of(link);
    let how = if vip.is_ipv4() { "ARP requests" } else { "neighbour solicitations" };
    let why = "who asks for the address may send packets there, past this director";
    match server {
        Some(server) => {
            let what = format!("the real server {server} answers {how} for the virtual address {vip} on {name}");
            let finding = Finding::problem("arp-answered", what, why);
            let mut targets = probes.all.iter().map(|probe| &probe.target);
            match targets.find(|target| target.server.ip() == server && target.vip == vip) {
                Some(target) => with_look(director, target, finding),
                None => finding,
            }
        }
        None => {
            let what = format!("the machine {} answers {how} for the virtual address {vip} on {name}", of_mac(mac));
            let at = "at that machine: another director that has the address, or a real server";
            Finding::problem("arp-answered", what, why).look(at)
        }
    }
}

fn of_mac(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The command for the real server itself.
fn look(director: &Director, target: &Target) -> Option<String> {
    let destination = director.table.services().filter(|entry| entry.service().key() == target.service);
    let destination =
        destination.flat_map(|entry| entry.destinations()).find(|state| state.destination.address == target.server);
    let to = SocketAddr::new(target.vip, target.port.unwrap_or_default());
    destination.map(|state| look_at(director, target.service, &state.destination, to))
}

fn with_look(director: &Director, target: &Target, finding: Finding) -> Finding {
    Finding { look: look(director, target), ..finding }
}

/// What was asked and proven, for the last lines.
pub(super) fn looked(director: &Director, looked: &mut Looked) {
    let Some(probes) = &director.probes else { return };
    looked.probes = Some(as_json(probes));
    let is_asked = |probe: &&Probe| {
        !matches!(probe.target.route, Route::None(_)) && (probe.hop.is_some() || probe.answers().count() > 0)
    };
    let asked: Vec<&Probe> = probes.all.iter().filter(is_asked).collect();
    let answer = asked.iter().filter(|probe| verdict_of(director, probe) == Verdict::Answers).count();
    looked.at.push(format!(
        "the way to {} by {} packets ({answer} answered as clients need it)",
        count(asked.len(), "real server"),
        probes.sent
    ));
    let mut reasons: BTreeMap<&str, Vec<&Target>> = BTreeMap::new();
    for probe in &probes.all {
        let target = &probe.target;
        match &target.route {
            Route::None(why) => reasons.entry(why).or_default().push(target),
            Route::Local if probe.answers().count() == 0 => {
                reasons.entry("it is this machine").or_default().push(target);
            }
            Route::Out { .. } if verdict_of(director, probe) == Verdict::Unknown && !probe.came(Step::Way) => {
                reasons.entry("neither it nor its server answers, which may be right").or_default().push(target);
            }
            Route::Out { .. } if !probe.came(Step::Service) && verdict_of(director, probe) == Verdict::Unknown => {
                let why = if target.port.is_none() {
                    "its port is not known, and its machine answers"
                } else {
                    "its machine answers; its server does not answer an empty packet, which may be right"
                };
                reasons.entry(why).or_default().push(target);
            }
            Route::Out { .. }
                if own_way(probe) && probe.answer(Step::Outside).is_none() && probe.came(Step::Service) =>
            {
                let why =
                    "its default route: all of this director's addresses that could be asked from are in its network";
                reasons.entry(why).or_default().push(target);
            }
            _ => {}
        }
    }
    for (why, targets) in reasons {
        let first = targets.first().map_or_else(String::new, |target| target.server.to_string());
        let more = if targets.len() > 1 { format!(" and {} more", targets.len() - 1) } else { String::new() };
        looked.not_at.push(format!("by packets: real server {first}{more}: {why}"));
    }
    looked.not_at.push(
        "by packets: this director's own firewall, and the real servers' routes and filters for other sources"
            .to_owned(),
    );
}

/// What was asked and answered, for programs.
fn as_json(probes: &Probes) -> Vec<Scalar> {
    let one = |probe: &Probe| {
        let target = &probe.target;
        let mut fields = vec![
            ("service", Scalar::text(target.service)),
            ("server", Scalar::text(target.server)),
            ("address", Scalar::text(end(target))),
        ];
        if let Route::Out { source, .. } = target.route {
            fields.push(("from", Scalar::text(source)));
        }
        fields.extend(probe.hop.map(|mac| ("mac", Scalar::text(of_mac(mac)))));
        let answer = |(step, answer): (Step, Answer)| {
            let mut fields = vec![("step", Scalar::text(word(step)))];
            fields.push((
                "answer",
                Scalar::text(match answer {
                    Answer::Came { .. } => "came",
                    Answer::Refused => "refused",
                    Answer::Failed { .. } => "error",
                    Answer::Silent => "none",
                }),
            ));
            if let Answer::Failed { failure, .. } = answer {
                fields.push(("error", Scalar::text(error(failure))));
            }
            Scalar::Table(fields)
        };
        fields.push(("steps", Scalar::List(probe.answers().map(answer).collect())));
        if let Route::None(why) = &target.route {
            fields.push(("not_asked", Scalar::text(why)));
        }
        Scalar::Table(fields)
    };
    probes.all.iter().map(one).collect()
}

fn word(step: Step) -> &'static str {
    match step {
        Step::Service => "service",
        Step::Way => "echo",
        Step::Own => "own-echo",
        Step::Unwrapped => "unwrapped-echo",
        Step::Other(_) => "other-tunnel",
        Step::Long(_) => "long",
        Step::Outside => "outside",
    }
}

#[cfg(test)]
#[path = "probed_tests.rs"]
mod tests;
