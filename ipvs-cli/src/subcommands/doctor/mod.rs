//! `doctor`: what keeps packets from being balanced here, and the commands that mend it.
//!
//! `gather`, `rtnetlink`, `traffic` and `firewall` read evidence from the kernel, and `probe` asks
//! real servers. It is plain values of `machine`, `traffic`, `firewall` and `probe`, which
//! `director`, `silent`, `probed`, `sync_daemons` and `real_server` judge: what they say are
//! findings.

mod args;
mod director;
mod firewall;
mod gather;
mod machine;
mod probe;
mod probed;
mod real_server;
mod rtnetlink;
mod silent;
mod sync_daemons;
mod traffic;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use fwmark::{Backend, BackendError, Owner};
use ipvs::{Daemon, Error, ServiceKey};

use self::director::Director;
use self::machine::{Neighbour, NeighbourAnswer};
use self::probe::Probes;
use self::real_server::Role;
use self::traffic::Traffic;
use crate::change::offline::File;
use crate::exit::Exit;
use crate::session::{Session, Trouble};
use crate::subcommands::findings::marks as check;
use crate::subcommands::findings::{Finding, Level, Looked, write_json};

pub(super) use args::Doctor;

#[cfg(fuzzing)]
pub(super) fn fuzz(frame: &[u8]) {
    probe::fuzz(frame);
}

pub(super) fn run(doctor: &Doctor, session: &mut Session<'_, '_>) -> Exit {
    let done = match doctor.real_server {
        Some(vip) => match doctor.role(vip) {
            Ok(role) => real_server(&role).map(|seen| ("real-server", seen)),
            Err(wrong) => Err(Trouble::Other(wrong.to_owned())),
        },
        None => director(doctor, session).map(|seen| ("director", seen)),
    };
    let done = done.map(|(role, (looked, found))| report(doctor.json, role, &looked, &found, session));
    session.finish(done, Exit::Trouble)
}

/// What was looked at, and what was found.
type Seen = (Looked, Vec<Finding>);

/// Reports the findings. Returns the exit status.
fn report(
    is_json: bool,
    role: &'static str,
    looked: &Looked,
    found: &[Finding],
    session: &mut Session<'_, '_>,
) -> Exit {
    if is_json {
        session.display.end();
        // Errors of writing are reported at the end.
        let _ = write_json(session.environment.stdout, role, looked, found);
    } else {
        found.iter().for_each(|finding| session.report(finding));
        if found.is_empty() {
            session.report("nothing was found");
        }
        session.report(looked);
    }
    if found.iter().any(|finding| finding.level == Level::Problem) { Exit::No } else { Exit::Success }
}

fn real_server(role: &Role) -> Result<Seen, Trouble> {
    let machine = gather::machine(real_server::asked(role)).map_err(unseen)?;
    let at = ["interfaces", "addresses", "routes", "settings", "listening sockets"].map(str::to_owned).to_vec();
    let looked = Looked { at, not_at: vec!["this machine's firewall".to_owned()], probes: None };
    Ok((looked, sorted(real_server::judge(role, &machine))))
}

/// `1 service`, `2 services`
fn count(number: usize, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

fn peer(file: &Path, session: &mut Session<'_, '_>) -> Result<Vec<Daemon>, Trouble> {
    let File { text, desired, table } = File::read(session, file, false)?;
    sync_daemons::of_peer(&table, desired.state.scope)
        .map_err(|wrong| Trouble::Other(format!("{}: {wrong}", text.name())))
}

fn director(doctor: &Doctor, session: &mut Session<'_, '_>) -> Result<Seen, Trouble> {
    let peer = doctor.peer.as_deref().map(|file| peer(file, session)).transpose()?;
    session.progress("reading the director's table");
    let table = match session.director.table() {
        Ok(table) => table,
        Err(error @ Error::ModuleMissing) => {
            let looked = Looked { at: vec!["the kernel's modules".to_owned()], ..Looked::default() };
            return Ok((looked, vec![director::no_ipvs(&error.to_string())]));
        }
        Err(error) => return Err(Trouble::Kernel(error)),
    };
    session.progress("reading the rules of firewalls");
    let (rules, marks) =
        match Backend::detect(Owner::default()).and_then(|mut backend| check::look(&mut backend, Some(&table))) {
            Ok(looked) => (looked.rules, looked.wrong),
            Err(BackendError::Unavailable { .. }) => (Vec::new(), check::without_backend(&table)),
            // All the rest can still be looked at.
            Err(error) => (Vec::new(), vec![check::Wrong::Unread(error.to_string())]),
        };
    let firewalls = firewall::read();
    session.progress("reading the connections");
    let mut not_at = Vec::new();
    let traffic = Traffic::read(table.timeouts()).map_err(|error| not_at.push(format!("connections: {error}"))).ok();
    session.progress("looking at the network");
    let asked = director::asked(&table, &rules);
    let machine = gather::machine(asked.iter().copied()).map_err(unseen)?;
    let mut director = Director { machine, table, rules, marks, peer, traffic, firewalls, probes: None };
    if is_suspicious(&director) {
        look_again(&mut director, &asked, session)?;
    }
    if doctor.probe {
        director.probes = Some(probe_servers(doctor, &director, session)?);
    }
    Ok((looked(&director, not_at), sorted(director::judge(&director))))
}

/// Asks the real servers that the command line names.
fn probe_servers(doctor: &Doctor, director: &Director, session: &mut Session<'_, '_>) -> Result<Probes, Trouble> {
    let Director { table, machine, rules, .. } = director;
    if let Some(service) = &doctor.service
        && table.service(service).is_none()
    {
        return Err(Trouble::Other(format!("there is no service {service}")));
    }
    let is_asked = |service: &ServiceKey, server: SocketAddr| {
        doctor.service.is_none_or(|asked| asked == *service)
            && doctor.server.is_none_or(|network| network.contains(server))
    };
    let targets = probe::targets(table, machine, rules, &is_asked);
    if let (Some(service), Some(server), true) = (&doctor.service, &doctor.server, targets.is_empty()) {
        return Err(Trouble::Other(format!("{service} has no real server {server}")));
    }
    let names = machine.links.iter().map(|link| (link.index, link.name.clone())).collect();
    let mut progress = |what: String| session.display.progress(|| what);
    let around = probe::Surroundings { table, names, rate: doctor.rate, progress: &mut progress };
    probe::run(targets, around).map_err(Trouble::Other)
}

/// Whether what was seen may be over in a moment: connections that are being set up, neighbours
/// that are being asked.
fn is_suspicious(director: &Director) -> bool {
    let is_awaited = |neighbour: &Neighbour| neighbour.answer == NeighbourAnswer::Awaited;
    director.traffic.as_ref().is_some_and(Traffic::is_suspicious) || director.machine.neighbours.iter().any(is_awaited)
}

/// What still is so after a while, is no chance.
fn look_again(director: &mut Director, asked: &[(IpAddr, u32)], session: &mut Session<'_, '_>) -> Result<(), Trouble> {
    session.progress("waiting for connections that are being set up");
    // Counters are read, too: the kernel adds them up every two seconds.
    std::thread::sleep(SECOND_LOOK);
    director.table = session.director.table().map_err(Trouble::Kernel)?;
    director.machine = gather::machine(asked.iter().copied()).map_err(unseen)?;
    if let Some(earlier) = &director.traffic {
        director.traffic = Traffic::read(director.table.timeouts()).ok().map(|traffic| traffic.since(earlier));
    }
    Ok(())
}

/// Longer than a handshake whose first packet is lost, and sent again after a second.
const SECOND_LOOK: Duration = Duration::from_millis(2500);

fn looked(director: &Director, mut not_at: Vec<String>) -> Looked {
    let Director { table, traffic, firewalls, .. } = director;
    let destinations = table.services().map(|entry| entry.destinations().len()).sum();
    let mut at = vec![count(table.services().len(), "service"), count(destinations, "real server")];
    at.extend(traffic.is_some().then(|| "connections".to_owned()));
    at.extend(["neighbours", "interfaces", "routes", "settings", "mark rules"].map(str::to_owned));
    if firewalls.is_empty() {
        not_at.push("rules of iptables, as it has none or is not installed".to_owned());
    } else {
        at.push("rules of iptables".to_owned());
    }
    let rest = if director.probes.is_none() { ", the real servers themselves" } else { "" };
    not_at.push(format!("chains of nftables but for marks{rest}"));
    let mut looked = Looked { at, not_at, probes: None };
    probed::looked(director, &mut looked);
    looked
}

/// Problems first.
fn sorted(mut found: Vec<Finding>) -> Vec<Finding> {
    found.sort_by_key(|finding| finding.level);
    found
}

fn unseen(error: std::io::Error) -> Trouble {
    Trouble::Other(format!("the network of this machine can't be read: {error}"))
}
