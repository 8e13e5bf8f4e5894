//! What random commands reached: a generator that never gets somewhere proves nothing there.

use std::collections::BTreeMap;
use std::fmt;

use ipvs::{
    Behaviors, Cause, Command, Daemon, Destination, Family, Forwarding, Scheduler, Service, ServiceKey, Tunnel, Weight,
};

/// How often what happened.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    commands: u64,
    done: BTreeMap<String, u64>,
    /// By command and error number.
    refused: BTreeMap<String, u64>,
    causes: BTreeMap<String, u64>,
    /// Of services that were made or edited.
    schedulers: BTreeMap<String, u64>,
    /// What else was special about what was done.
    facets: BTreeMap<&'static str, u64>,
}

impl Coverage {
    /// Counts a command that was done, or was refused for this cause.
    pub(crate) fn count(&mut self, command: &Command, cause: Option<Cause>) {
        self.commands += 1;
        let kind = command.kind();
        match cause {
            Some(cause) => {
                *self.refused.entry(format!("{kind}: {:?}", cause.errno())).or_default() += 1;
                *self.causes.entry(variant(&cause)).or_default() += 1;
            }
            None => {
                *self.done.entry(kind.to_string()).or_default() += 1;
                if let Command::AddService(service) | Command::EditService(service) = command {
                    *self.schedulers.entry(service.scheduler.to_string()).or_default() += 1;
                }
                facets(command).into_iter().for_each(|facet| *self.facets.entry(facet).or_default() += 1);
            }
        }
    }

    /// What must happen in a run of some length, and did not.
    pub(crate) fn missing(&self, behaviors: Behaviors) -> Vec<String> {
        let is_signed = behaviors.contains(Behaviors::SIGNED_UPPER_THRESHOLD);
        let impossible = if is_signed { "a threshold above 2^31" } else { "UpperThreshold" };
        let schedulers = super::world::schedulers().into_iter().chain([Scheduler::NONE]).map(|name| name.to_string());
        let missing = [
            without(&self.done, &DONE),
            without(&self.refused, &REFUSED),
            without(&self.causes, &CAUSES),
            FACETS.iter().filter(|name| !self.facets.contains_key(**name)).map(|name| name.to_string()).collect(),
            schedulers.filter(|name| !self.schedulers.contains_key(name)).collect(),
        ];
        missing.into_iter().flatten().filter(|name| name != impossible).collect()
    }
}

fn without(counts: &BTreeMap<String, u64>, names: &[&str]) -> Vec<String> {
    names.iter().filter(|name| !counts.contains_key(**name)).map(|name| name.to_string()).collect()
}

/// The name of the cause, without what it is about.
fn variant(cause: &Cause) -> String {
    let text = format!("{cause:?}");
    text.chars().take_while(char::is_ascii_alphanumeric).collect()
}

const DONE: [&str; 11] = [
    "add service",
    "edit service",
    "delete service",
    "add destination",
    "edit destination",
    "delete destination",
    "zero counters",
    "flush",
    "set timeouts",
    "start sync daemon",
    "stop sync daemon",
];

const REFUSED: [&str; 21] = [
    "add service: EEXIST",
    "add service: ENOENT",
    "edit service: ESRCH",
    "edit service: ENOENT",
    "delete service: ESRCH",
    "zero counters: ESRCH",
    "add destination: ESRCH",
    "add destination: EEXIST",
    "add destination: ERANGE",
    "add destination: EINVAL",
    "edit destination: ESRCH",
    "edit destination: ENOENT",
    "edit destination: ERANGE",
    "edit destination: EINVAL",
    "delete destination: ESRCH",
    "delete destination: ENOENT",
    "set timeouts: EINVAL",
    "start sync daemon: EEXIST",
    "start sync daemon: ENODEV",
    "start sync daemon: EINVAL",
    "stop sync daemon: ESRCH",
];

/// Those that commands can have which the library's types can make.
const CAUSES: [&str; 17] = [
    "ServiceExists",
    "NoSuchService",
    "NoSuchScheduler",
    "NoSuchEngine",
    "DestinationExists",
    "NoSuchDestination",
    "MixedFamilies",
    "MixedFamiliesBesideDaemon",
    "Thresholds",
    "UpperThreshold",
    "NotAHost",
    "TimeoutTooLong",
    "GroupNotMulticast",
    "DaemonBesideMixedFamilies",
    "NoSuchInterface",
    "DaemonRuns",
    "NoSuchDaemon",
];

const FACETS: [&str; 39] = [
    "zero all",
    "zero one",
    "tcp",
    "udp",
    "sctp",
    "another protocol",
    "port 0",
    "mark ipv4",
    "mark ipv6",
    "mark above 2^31",
    "scheduler flags",
    "flags of the future",
    "persistence",
    "ipv4 netmask",
    "ipv6 prefix",
    "engine",
    "engine without persistence",
    "one-packet",
    "masquerade",
    "local",
    "direct route",
    "bypass",
    "ipip",
    "gue",
    "gre",
    "tunnel flags of the future",
    "mixed families",
    "weight 0",
    "largest weight",
    "thresholds",
    "a threshold above 2^31",
    "master",
    "backup",
    "ipv4 group",
    "ipv6 group",
    "message length",
    "message length out of bounds",
    "sync id above 255",
    "defaults of a daemon",
];

fn facets(command: &Command) -> Vec<&'static str> {
    match command {
        Command::AddService(service) | Command::EditService(service) => of_service(service),
        Command::AddDestination(key, destination) | Command::EditDestination(key, destination) => {
            of_destination(key, destination)
        }
        Command::StartDaemon(daemon) => of_daemon(daemon),
        Command::Zero(None) => vec!["zero all"],
        Command::Zero(Some(_)) => vec!["zero one"],
        _ => Vec::new(),
    }
}

fn named<const N: usize>(facets: [(bool, &'static str); N]) -> impl Iterator<Item = &'static str> {
    facets.into_iter().filter_map(|(is_so, name)| is_so.then_some(name))
}

fn of_key(key: &ServiceKey) -> impl Iterator<Item = &'static str> {
    let (protocol, port, mark) = match key {
        ServiceKey::Address { protocol, at } => (protocol.number(), Some(at.port()), None),
        ServiceKey::Mark { mark, family } => (0, None, Some((mark.get(), *family))),
    };
    named([
        (protocol == 6, "tcp"),
        (protocol == 17, "udp"),
        (protocol == 132, "sctp"),
        (protocol == 51, "another protocol"),
        (port == Some(0), "port 0"),
        (mark.is_some_and(|(_, family)| family == Family::V4), "mark ipv4"),
        (mark.is_some_and(|(_, family)| family == Family::V6), "mark ipv6"),
        (mark.is_some_and(|(mark, _)| mark >= 1 << 31), "mark above 2^31"),
    ])
}

fn of_service(service: &Service) -> Vec<&'static str> {
    let (flags, netmask, persistent) =
        (service.scheduler_flags.bits(), service.netmask(), service.persistence.is_some());
    let facets = named([
        (flags & 0x38 != 0, "scheduler flags"),
        (flags & !0x3f != 0, "flags of the future"),
        (persistent, "persistence"),
        (!netmask.is_whole() && netmask.family() == Family::V4, "ipv4 netmask"),
        (!netmask.is_whole() && netmask.family() == Family::V6, "ipv6 prefix"),
        (service.engine.is_some(), "engine"),
        (service.engine.is_some() && !persistent, "engine without persistence"),
        (service.one_packet, "one-packet"),
    ]);
    of_key(&service.key()).chain(facets).collect()
}

fn of_destination(key: &ServiceKey, destination: &Destination) -> Vec<&'static str> {
    let (upper, weight) = (destination.upper_threshold, destination.weight);
    let (method, known_flags) = match destination.forwarding {
        Forwarding::Masquerade => ("masquerade", true),
        Forwarding::Local => ("local", true),
        Forwarding::DirectRoute => ("direct route", true),
        Forwarding::Bypass => ("bypass", true),
        Forwarding::Tunnel(Tunnel::Gue { flags, .. }) => ("gue", flags.bits() < 4),
        Forwarding::Tunnel(Tunnel::Gre { flags }) => ("gre", flags.bits() < 4),
        _ => ("ipip", true),
    };
    let facets = named([
        (!known_flags, "tunnel flags of the future"),
        (destination.family() != key.family(), "mixed families"),
        (weight == Weight::ZERO, "weight 0"),
        (weight == Weight::MAX, "largest weight"),
        (destination.lower_threshold > 0, "thresholds"),
        (upper >= 1 << 31, "a threshold above 2^31"),
    ]);
    std::iter::once(method).chain(facets).collect()
}

fn of_daemon(daemon: &Daemon) -> Vec<&'static str> {
    let family = daemon.group.map(Family::of);
    let length = daemon.max_len;
    named([
        (daemon.role == ipvs::DaemonRole::Master, "master"),
        (daemon.role == ipvs::DaemonRole::Backup, "backup"),
        (family == Some(Family::V4), "ipv4 group"),
        (family == Some(Family::V6), "ipv6 group"),
        (length.is_some(), "message length"),
        (length.is_some_and(|length| length > 65_507), "message length out of bounds"),
        (daemon.sync_id > 255, "sync id above 255"),
        (length.is_none() || daemon.port.is_none() || daemon.ttl.is_none(), "defaults of a daemon"),
    ])
    .collect()
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused: u64 = self.refused.values().sum();
        writeln!(f, "{} commands, of which {refused} were refused", self.commands)?;
        for (what, counts) in [
            ("done", &self.done),
            ("refused", &self.refused),
            ("causes", &self.causes),
            ("schedulers", &self.schedulers),
        ] {
            row(f, what, counts.iter().map(|(name, count)| (name.as_str(), count)))?;
        }
        row(f, "done with", self.facets.iter().map(|(name, count)| (*name, count)))
    }
}

fn row<'c>(f: &mut fmt::Formatter<'_>, what: &str, counts: impl Iterator<Item = (&'c str, &'c u64)>) -> fmt::Result {
    let counts: Vec<_> = counts.map(|(name, count)| format!("{name} {count}")).collect();
    writeln!(f, "{what}: {}", counts.join(", "))
}
