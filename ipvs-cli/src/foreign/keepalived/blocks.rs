//! The blocks of `keepalived.conf` as typed values.

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::ops::RangeInclusive;

use ipvs::desired::{Place, Source};
use ipvs::{Family, Forwarding, Protocol, SchedulerFlags, Timeouts, Tunnel, TunnelFlags};

use super::super::Output;
use super::addresses::Range;
use super::lines::{Sink, Token};

/// All that is about IPVS.
#[derive(Debug, Default)]
pub(super) struct Configuration {
    pub(super) groups: Vec<Group>,
    pub(super) services: Vec<Virtual>,
    pub(super) timeouts: Option<(Place, Timeouts)>,
}

/// `virtual_server_group`
#[derive(Debug)]
pub(super) struct Group {
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) entries: Vec<(Place, Entry)>,
}

#[derive(Clone, Debug)]
pub(super) enum Entry {
    Addresses(Range, u16),
    Mark(u32, Option<Family>),
}

/// `virtual_server`
#[derive(Debug)]
pub(super) struct Virtual {
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) key: Key,
    pub(super) scheduler: Option<String>,
    pub(super) flags: SchedulerFlags,
    pub(super) forwarding: Option<Forwarding>,
    pub(super) persistence: Option<u32>,
    pub(super) granularity: Option<(Place, String)>,
    pub(super) engine: Option<String>,
    pub(super) protocol: Option<Protocol>,
    pub(super) one_packet: Option<Place>,
    pub(super) family: Option<Family>,
    pub(super) sorry: Option<Place>,
    pub(super) servers: Vec<Real>,
}

#[derive(Clone, Debug)]
pub(super) enum Key {
    Address(IpAddr, u16),
    Mark(u32),
    Group(String),
}

/// `real_server`
#[derive(Debug)]
pub(super) struct Real {
    pub(super) place: Place,
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) weight: u32,
    pub(super) forwarding: Option<Forwarding>,
    pub(super) upper: u32,
    pub(super) lower: u32,
}

/// A block that is open.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Block {
    /// Nothing in it is about the table.
    Skipped,
    Global,
    Group,
    Virtual,
    Real,
}

/// Makes blocks of tokens.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    done: Configuration,
    open: Vec<Block>,
    /// A statement that may be followed by `{`.
    last: Option<(Vec<String>, Place)>,
}

/// More than any configuration has, and a bound for what a hostile one costs.
const DEEPEST: usize = 64;

const CHECKS: [&str; 10] = [
    "HTTP_GET",
    "SSL_GET",
    "TCP_CHECK",
    "SMTP_CHECK",
    "DNS_CHECK",
    "MISC_CHECK",
    "BFD_CHECK",
    "UDP_CHECK",
    "PING_CHECK",
    "FILE_CHECK",
];
const CHECK: &str = "real servers are checked by keepalived only; all are taken as up";

/// Statements of virtual and real servers that are about checks and messages.
const NO_COUNTERPART: [(&str, &str); 5] = [
    ("quorum", "without checks there is no quorum"),
    ("quorum_up", "scripts are run by keepalived only"),
    ("quorum_down", "scripts are run by keepalived only"),
    ("notify_up", "scripts are run by keepalived only"),
    ("notify_down", "scripts are run by keepalived only"),
];
const WITHOUT_EFFECT: [&str; 15] = [
    "delay_loop",
    "warmup",
    "connect_timeout",
    "retry",
    "delay_before_retry",
    "hysteresis",
    "alpha",
    "omega",
    "inhibit_on_failure",
    "sorry_server_inhibit",
    "sorry_server_lvs_method",
    "smtp_alert",
    "virtualhost",
    "snmp_name",
    "ha_suspend",
];

impl Sink for Blocks {
    fn token(&mut self, token: Token, place: &Place, output: &mut Output) {
        match token {
            Token::Words(words) => {
                self.flush(output);
                self.last = Some((words, place.clone()));
            }
            Token::Open => self.enter(place, output),
            Token::Close => {
                self.flush(output);
                if self.open.pop().is_none() {
                    output.problem(place, "this '}' closes nothing");
                }
            }
        }
    }
}

impl Blocks {
    /// The configuration, at the end of the text.
    pub(super) fn end(mut self, source: &Source, output: &mut Output) -> Configuration {
        self.flush(output);
        if !self.open.is_empty() {
            output
                .problem(&source.line(source.text().len()), format!("{} '}}' are missing at the end", self.open.len()));
        }
        self.done
    }

    fn enter(&mut self, place: &Place, output: &mut Output) {
        let block = match (self.open.last().copied(), self.last.take()) {
            (_, None) => {
                output.problem(place, "a word must stand before '{'");
                Block::Skipped
            }
            (None, Some((words, place))) => self.at_the_top(&words, &place, output),
            (Some(Block::Virtual), Some((words, place))) => match words[0].as_str() {
                "real_server" => self.real_server(&words, &place, output),
                word => unknown_block(word, &place, output),
            },
            (Some(Block::Real), Some((words, place))) => match words[0].as_str() {
                check if CHECKS.contains(&check) => {
                    output.remark(&place, check, CHECK);
                    Block::Skipped
                }
                word => unknown_block(word, &place, output),
            },
            (Some(Block::Group), Some((words, place))) => unknown_block(&words[0], &place, output),
            (Some(Block::Skipped | Block::Global), Some(_)) => Block::Skipped,
        };
        if self.open.len() >= DEEPEST {
            output.problem(place, format!("blocks are {DEEPEST} deep, and here it stops"));
        }
        self.open.push(block);
    }

    fn at_the_top(&mut self, words: &[String], place: &Place, output: &mut Output) -> Block {
        let word = words[0].as_str();
        match word {
            "global_defs" => return Block::Global,
            "virtual_server_group" => {
                let Some(name) = words.get(1) else {
                    output.problem(place, "virtual_server_group: the name is missing");
                    return Block::Skipped;
                };
                let (place, name) = (place.clone(), name.clone());
                self.done.groups.push(Group { place, name, entries: Vec::new() });
                return Block::Group;
            }
            "virtual_server" => {
                let Some(key) = key(words) else {
                    let reason = "virtual_server must have an IP address and a port, `fwmark` and a number, or `group` and a name";
                    output.problem(place, reason);
                    return Block::Skipped;
                };
                note_rest(words, 3, place, output);
                self.done.services.push(Virtual {
                    place: place.clone(),
                    name: words[1..].join(" "),
                    key,
                    scheduler: None,
                    flags: SchedulerFlags::empty(),
                    forwarding: None,
                    persistence: None,
                    granularity: None,
                    engine: None,
                    protocol: None,
                    one_packet: None,
                    family: None,
                    sorry: None,
                    servers: Vec::new(),
                });
                return Block::Virtual;
            }
            _ if word.starts_with("vrrp_") => output.remark(place, word, "VRRP is not part of IPVS"),
            _ if word.starts_with("static_") || word.starts_with("track_") || word.starts_with("bfd_") => {
                output.remark(place, word, "this is not part of IPVS");
            }
            "SSL" | "linkbeat_interfaces" | "garp_group" | "interface_up_down_delays" => {
                output.remark(place, word, "this is not part of IPVS");
            }
            _ => output.remark(place, word, "keepalived does not know this block, and ignores it"),
        }
        Block::Skipped
    }

    fn real_server(&mut self, words: &[String], place: &Place, output: &mut Output) -> Block {
        let address = words.get(1).and_then(|text| text.parse::<IpAddr>().ok());
        let port =
            words.get(2).map_or(Some(0), |text| whole(text, 0..=65535).and_then(|port| u16::try_from(port).ok()));
        let (Some(address), Some(port)) = (address, port) else {
            output.problem(place, "real_server must have an IP address and, perhaps, the number of a port");
            return Block::Skipped;
        };
        note_rest(words, 3, place, output);
        if let Some(service) = self.done.services.last_mut() {
            let (place, forwarding) = (place.clone(), None);
            service.servers.push(Real { place, address, port, weight: 1, forwarding, upper: 0, lower: 0 });
        }
        Block::Real
    }

    /// The last statement, which no block follows.
    fn flush(&mut self, output: &mut Output) {
        let Some((words, place)) = self.last.take() else { return };
        match self.open.last() {
            None => at_the_top_alone(&words, &place, output),
            Some(Block::Skipped) => {}
            Some(Block::Global) => self.global(&words, &place, output),
            Some(Block::Group) => self.entry(&words, &place, output),
            Some(Block::Virtual) => self.of_virtual(&words, &place, output),
            Some(Block::Real) => self.of_real(&words, &place, output),
        }
    }

    fn global(&mut self, words: &[String], place: &Place, output: &mut Output) {
        match words[0].as_str() {
            "lvs_timeouts" => {
                let timeouts = &mut self.done.timeouts.get_or_insert((place.clone(), Timeouts::default())).1;
                for pair in words[1..].chunks(2) {
                    let seconds = pair.get(1).and_then(|text| whole(text, 1..=LONGEST_TIMEOUT));
                    match (pair[0].as_str(), seconds) {
                        ("tcp", Some(_)) => timeouts.tcp = seconds,
                        ("tcpfin", Some(_)) => timeouts.tcp_fin = seconds,
                        ("udp", Some(_)) => timeouts.udp = seconds,
                        _ => output.problem(place, "lvs_timeouts must have `tcp`, `tcpfin` or `udp`, and seconds behind each"),
                    }
                }
            }
            "lvs_sync_daemon" => {
                let reason = "which sync daemon runs is decided by VRRP: it stays in keepalived";
                output.remark(place, "lvs_sync_daemon", reason);
            }
            "nftables_ipvs" => output.problem(
                place,
                "nftables_ipvs: keepalived chooses the marks of services when it runs, so they can't be read from the file",
            ),
            "net_namespace" | "net_namespace_ipvs" => namespace(&words[0], place, output),
            _ => {}
        }
    }

    fn entry(&mut self, words: &[String], place: &Place, output: &mut Output) {
        let Some(group) = self.done.groups.last_mut() else { return };
        let entry = match words[0].as_str() {
            "fwmark" => {
                let family = match words.get(2).map(String::as_str) {
                    None => Some(None),
                    Some("inet") => Some(Some(Family::V4)),
                    Some("inet6") => Some(Some(Family::V6)),
                    Some(_) => None,
                };
                let mark = words.get(1).and_then(|text| whole(text, 1..=u32::MAX));
                mark.zip(family).map(|(mark, family)| Entry::Mark(mark, family))
            }
            text => {
                let port = words
                    .get(1)
                    .map_or(Some(0), |text| whole(text, 0..=65535))
                    .and_then(|port| u16::try_from(port).ok());
                Range::parse(text).zip(port).map(|(range, port)| Entry::Addresses(range, port))
            }
        };
        match entry {
            Some(entry) => group.entries.push((place.clone(), entry)),
            None => output.problem(
                place,
                "a group's line must be an IP address, a range such as 192.0.2.1-10 or 192.0.2.0/29, and a port; or `fwmark`, a number and, perhaps, `inet` or `inet6`",
            ),
        }
    }

    fn of_virtual(&mut self, words: &[String], place: &Place, output: &mut Output) {
        let Some(service) = self.done.services.last_mut() else { return };
        let word = words[0].as_str();
        let value = words.get(1).map(String::as_str);
        let mut used = 2;
        match (word, value) {
            ("lvs_sched" | "lb_algo", Some(name)) => match SCHEDULERS.contains(&name) {
                true => service.scheduler = Some(name.to_owned()),
                false => {
                    output.note(place, format!("{word}: keepalived does not know the scheduler {name}, and ignores it"))
                }
            },
            ("lvs_method" | "lb_kind", Some(_)) => {
                used = words.len();
                match forwarding(&words[1..]) {
                    Some(forwarding) => service.forwarding = Some(forwarding),
                    None => output.problem(place, METHOD),
                }
            }
            ("sh-port" | "sh-fallback" | "mh-port" | "mh-fallback" | "flag-1" | "flag-2" | "flag-3", _) => {
                used = 1;
                let (scheduler, flag) = match word {
                    "sh-port" => (Some("sh"), SchedulerFlags::SH_PORT),
                    "sh-fallback" => (Some("sh"), SchedulerFlags::SH_FALLBACK),
                    "mh-port" => (Some("mh"), SchedulerFlags::MH_PORT),
                    "mh-fallback" => (Some("mh"), SchedulerFlags::MH_FALLBACK),
                    "flag-1" => (None, SchedulerFlags::FLAG_1),
                    "flag-2" => (None, SchedulerFlags::FLAG_2),
                    _ => (None, SchedulerFlags::FLAG_3),
                };
                match scheduler {
                    Some(name) if service.scheduler.as_deref() != Some(name) => {
                        output.note(
                            place,
                            format!("{word}: keepalived ignores it, as it does not follow `lvs_sched {name}`"),
                        );
                    }
                    _ => service.flags |= flag,
                }
            }
            ("persistence_timeout", None) => service.persistence = Some(DEFAULT_PERSISTENCE),
            ("persistence_timeout", Some(text)) => match whole(text, 1..=LONGEST_TIMEOUT) {
                Some(seconds) => service.persistence = Some(seconds),
                None => output.problem(place, format!("{word} must be from 1 to {LONGEST_TIMEOUT} seconds")),
            },
            ("persistence_granularity", Some(text)) => service.granularity = Some((place.clone(), text.to_owned())),
            ("persistence_engine", Some(name)) => service.engine = Some(name.to_owned()),
            ("protocol", Some(name)) => match name.to_ascii_uppercase().as_str() {
                "TCP" => service.protocol = Some(Protocol::TCP),
                "UDP" => service.protocol = Some(Protocol::UDP),
                "SCTP" => service.protocol = Some(Protocol::SCTP),
                _ => output.problem(place, "protocol must be TCP, UDP or SCTP"),
            },
            ("ops", _) => (used, service.one_packet) = (1, Some(place.clone())),
            ("ip_family", Some("inet")) => service.family = Some(Family::V4),
            ("ip_family", Some("inet6")) => service.family = Some(Family::V6),
            ("ip_family", _) => output.problem(place, "ip_family must be inet or inet6"),
            ("sorry_server", Some(_)) => {
                used = words.len();
                service.sorry = Some(place.clone());
                let reason = "only keepalived puts it in place of real servers that are down";
                output.note(place, format!("{}: {reason}", words.join(" ")));
            }
            ("real_server", _) => output.problem(place, "'{' is missing behind real_server"),
            _ => {
                used = words.len();
                without_counterpart(words, place, output);
            }
        }
        note_rest(words, used, place, output);
    }

    fn of_real(&mut self, words: &[String], place: &Place, output: &mut Output) {
        let Some(server) = self.done.services.last_mut().and_then(|service| service.servers.last_mut()) else { return };
        let word = words[0].as_str();
        let value = words.get(1).map(String::as_str);
        let mut used = 2;
        match (word, value) {
            ("weight", _) => match value.and_then(|text| whole(text, 0..=HEAVIEST)) {
                Some(weight) => server.weight = weight,
                None => output.problem(place, format!("weight must be a number from 0 to {HEAVIEST}")),
            },
            ("lvs_method" | "lb_kind", Some(_)) => {
                used = words.len();
                match forwarding(&words[1..]) {
                    Some(forwarding) => server.forwarding = Some(forwarding),
                    None => output.problem(place, METHOD),
                }
            }
            ("uthreshold" | "lthreshold", _) => match value.and_then(|text| whole(text, 0..=u32::MAX)) {
                Some(number) if word == "uthreshold" => server.upper = number,
                Some(number) => server.lower = number,
                None => output.problem(place, format!("{word} must be a number of connections")),
            },
            (check, _) if CHECKS.contains(&check) => output.problem(place, format!("'{{' is missing behind {check}")),
            _ => {
                used = words.len();
                without_counterpart(words, place, output);
            }
        }
        note_rest(words, used, place, output);
    }
}

/// In seconds.
pub(super) const DEFAULT_PERSISTENCE: u32 = 360;
/// 31 days.
const LONGEST_TIMEOUT: u32 = 2_678_400;
const HEAVIEST: u32 = i32::MAX as u32;
const METHOD: &str = "the method must be NAT, DR or TUN; `TUN type` takes `ipip`, `gue port NUMBER` and `gre`, and the last two \
    `nocsum` or `csum`, `gue` also `remcsum`";
const SCHEDULERS: [&str; 14] =
    ["rr", "wrr", "lc", "wlc", "lblc", "sh", "mh", "dh", "fo", "ovf", "lblcr", "sed", "nq", "twos"];

fn key(words: &[String]) -> Option<Key> {
    match (words.get(1)?.as_str(), words.get(2).map(String::as_str)) {
        ("fwmark", Some(mark)) => Some(Key::Mark(whole(mark, 1..=u32::MAX)?)),
        ("group", Some(name)) => Some(Key::Group(name.to_owned())),
        (address, port) => {
            let port = port.map_or(Some(0), |text| whole(text, 0..=65535))?;
            Some(Key::Address(address.parse().ok()?, u16::try_from(port).ok()?))
        }
    }
}

/// NAT, DR or TUN with its options.
fn forwarding(words: &[String]) -> Option<Forwarding> {
    let mut words = words.iter().map(String::as_str);
    match words.next()? {
        "NAT" => words.next().is_none().then_some(Forwarding::Masquerade),
        "DR" => words.next().is_none().then_some(Forwarding::DirectRoute),
        "TUN" => {
            let (mut kind, mut port, mut flags) = ("ipip", None, TunnelFlags::empty());
            while let Some(word) = words.next() {
                match word {
                    "type" => kind = words.next()?,
                    "port" => port = Some(words.next()?.parse::<NonZeroU16>().ok()?),
                    "nocsum" => flags = TunnelFlags::empty(),
                    "csum" => flags = TunnelFlags::CHECKSUM,
                    "remcsum" => flags = TunnelFlags::REMOTE_CHECKSUM,
                    _ => return None,
                }
            }
            match (kind, port) {
                ("ipip", None) if flags.is_empty() => Some(Forwarding::Tunnel(Tunnel::Ipip)),
                ("gue", Some(port)) => Some(Forwarding::Tunnel(Tunnel::Gue { port, flags })),
                ("gre", None) if flags != TunnelFlags::REMOTE_CHECKSUM => {
                    Some(Forwarding::Tunnel(Tunnel::Gre { flags }))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// A decimal number without a sign.
fn whole(text: &str, range: RangeInclusive<u32>) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && range.contains(number))
}

/// In a virtual or real server, its `}` would be taken for that of the server.
fn unknown_block(word: &str, place: &Place, output: &mut Output) -> Block {
    output.problem(
        place,
        format!("keepalived does not know the block {word} here, and would end the outer block with it"),
    );
    Block::Skipped
}

fn at_the_top_alone(words: &[String], place: &Place, output: &mut Output) {
    match words[0].as_str() {
        word @ ("virtual_server" | "virtual_server_group") => {
            output.problem(place, format!("'{{' is missing behind {word}"))
        }
        word @ ("net_namespace" | "net_namespace_ipvs") => namespace(word, place, output),
        "instance" | "use_pid_dir" | "linkbeat_use_polling" | "namespace_with_ipsets" | "child_wait_time" => {}
        word => output.remark(place, word, "keepalived does not know this word here, and ignores it"),
    }
}

fn namespace(word: &str, place: &Place, output: &mut Output) {
    output.remark(place, word, "the services are in that network namespace: see --netns");
}

fn without_counterpart(words: &[String], place: &Place, output: &mut Output) {
    let word = words[0].as_str();
    if let Some((_, reason)) = NO_COUNTERPART.iter().find(|(known, _)| *known == word) {
        output.remark(place, word, reason);
    } else if !WITHOUT_EFFECT.contains(&word) {
        output.remark(place, word, "keepalived does not know this word here, or it lacks a value: it ignores it");
    }
}

/// keepalived reads one statement of a line, and says nothing about the rest.
fn note_rest(words: &[String], used: usize, place: &Place, output: &mut Output) {
    if let Some(word) = words.get(used) {
        output.note(place, format!("{}: keepalived ignores the rest of the line, from '{word}' on", words[0]));
    }
}
