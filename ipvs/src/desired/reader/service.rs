//! One service of the list `services`.

use std::net::SocketAddr;

use super::Reader;
use super::fields::{Fields, Found, Keys};
use crate::command::Command;
use crate::desired::tree::{Kind, Value};
use crate::name::{PersistenceEngine, Scheduler};
use crate::rule::parts::{FLAG_NAMES, FlagName, flag_names};
use crate::service::{Family, FirewallMark, Netmask, Persistence, Protocol, SchedulerFlags, Service, ServiceKey};

/// The keys of a service.
pub(in crate::desired) const KEYS: Keys = Keys {
    what: "a service",
    names: &[
        "address",
        "protocol",
        "mark",
        "family",
        "group",
        "scheduler",
        "scheduler_flags",
        "persistence",
        "netmask",
        "engine",
        "one_packet",
        "destinations",
        "statistics",
    ],
    others: &[
        ("ip", "address"),
        ("port", "address"),
        ("fwmark", "mark"),
        ("packets", "group"),
        ("rules", "group"),
        ("lb_algo", "scheduler"),
        ("flags", "scheduler_flags"),
        ("timeout", "persistence"),
        ("persistence_timeout", "persistence"),
        ("mask", "netmask"),
        ("pe", "engine"),
        ("ops", "one_packet"),
        ("servers", "destinations"),
        ("real_servers", "destinations"),
    ],
};

const ADDRESS: &str = "an IP address and a port, such as \"192.0.2.1:80\" or \"[2001:db8::1]:80\"";

impl Reader<'_> {
    pub(super) fn service(&mut self, value: Value<'_>) {
        let Some(mut fields) = Fields::of(value, &KEYS, &mut self.notes) else { return };
        let key = self.key(&mut fields);
        let service = self.configuration(&mut fields, key.unwrap_or(SOME_KEY));
        fields.ignore("statistics", &mut self.notes);
        self.group(key, &mut fields);
        let destinations = fields.list("destinations", &mut self.notes).unwrap_or_default();
        if let Some(key) = key {
            if let Some(first) = self.services.insert(key, fields.at) {
                self.twice(fields.at, &format!("the service {key}"), first);
            }
            self.command(fields.at, Command::AddService(service));
        }
        self.destinations(key, destinations);
    }

    /// The identity of the service, if it is known.
    pub(in crate::desired) fn key(&mut self, fields: &mut Fields<'_>) -> Option<ServiceKey> {
        let places = ["address", "mark"].map(|key| fields.place_of(key));
        match places {
            [Some(_), None] => self.address(fields),
            [None, Some(_)] => self.mark(fields),
            [None, None] => {
                fields.missing("a service needs 'address' and 'protocol', or 'mark'", &mut self.notes);
                None
            }
            [Some(_), Some(at)] => {
                self.notes.problem(at, "a service must have 'address' or 'mark', not both");
                None
            }
        }
    }

    fn address(&mut self, fields: &mut Fields<'_>) -> Option<ServiceKey> {
        if let Some(at) = fields.place_of("family") {
            self.notes.problem(at, "'family' is only for a 'mark'");
        }
        let at = fields.text("address", &mut self.notes, ADDRESS, |text| text.parse().ok().filter(has_no_zone));
        let is = "\"tcp\", \"udp\", \"sctp\" or the number of another protocol";
        fields.require("protocol", is, &mut self.notes);
        let protocol = fields.get("protocol", &mut self.notes, is, protocol);
        Some(ServiceKey::Address { protocol: protocol?.value, at: at?.value })
    }

    fn mark(&mut self, fields: &mut Fields<'_>) -> Option<ServiceKey> {
        if let Some(at) = fields.place_of("protocol") {
            self.notes
                .problem(at, "'protocol' is only for an 'address': a firewall mark is for packets of every protocol");
        }
        let mark: Option<Found<u32>> = fields.integer("mark", 1..=u32::MAX, "", &mut self.notes);
        let family = fields.word("family", &["ipv4", "ipv6"], &[("inet", "ipv4"), ("inet6", "ipv6")], &mut self.notes);
        let family = match family {
            Some(Found { value: "ipv6", .. }) => Family::V6,
            _ => Family::V4,
        };
        Some(ServiceKey::Mark { mark: FirewallMark::new(mark?.value).ok()?, family })
    }

    pub(in crate::desired) fn configuration(&mut self, fields: &mut Fields<'_>, key: ServiceKey) -> Service {
        let mut service = Service::new(key);
        let is = "the name of a scheduler, such as \"wlc\": 1 to 15 bytes";
        if let Some(found) = fields.text("scheduler", &mut self.notes, is, |name| named(name, Scheduler::new)) {
            service.scheduler = found.value;
        }
        service.scheduler_flags = self.scheduler_flags(fields, service.scheduler);
        let shortest = u32::from(!self.is_of_kernel);
        let seconds: Option<Found<u32>> =
            fields.integer("persistence", shortest..=u32::MAX, " (seconds)", &mut self.notes);
        if let Some(Found { at, .. }) = seconds.filter(|found| found.value > Persistence::MAX) {
            let reason = format!("a kernel with 1,000 clock ticks a second shortens more than {} s", Persistence::MAX);
            self.notes.warn(at, reason);
        }
        service.persistence = seconds.map(|found| Persistence::from_kernel(found.value));
        let is = "the name of a persistence engine, such as \"sip\": 1 to 16 bytes";
        let engine = fields.text("engine", &mut self.notes, is, |name| named(name, PersistenceEngine::new));
        service.engine = engine.map(|found| found.value);
        let one_packet = fields.boolean("one_packet", &mut self.notes);
        service.one_packet = one_packet.is_some_and(|found| found.value);
        let netmask = self.netmask(fields, key);
        if service.persistence.is_none() {
            for (key, at) in [("engine", engine.map(|found| found.at)), ("netmask", netmask.map(|found| found.at))] {
                if let Some(at) = at {
                    self.notes.warn(at, format!("'{key}' has no effect without 'persistence'"));
                }
            }
        }
        self.doubt(fields.at, &service, one_packet);
        netmask.and_then(|found| service.with_netmask(found.value).ok()).unwrap_or(service)
    }

    fn netmask(&mut self, fields: &mut Fields<'_>, key: ServiceKey) -> Option<Found<Netmask>> {
        match key.family() {
            Family::V4 => {
                let is = "a mask such as \"255.255.255.0\" or a prefix length from 0 to 32, as the service is of IPv4";
                fields.get("netmask", &mut self.notes, is, |kind| match kind {
                    Kind::Text(text) => text.parse().ok().map(|mask: std::net::Ipv4Addr| Netmask::v4(mask)),
                    Kind::Integer(prefix) => prefix_mask(*prefix),
                    _ => None,
                })
            }
            Family::V6 => {
                let is = "a prefix length from 1 to 128, as the service is of IPv6";
                fields.get("netmask", &mut self.notes, is, |kind| match kind {
                    Kind::Integer(prefix) => u32::try_from(*prefix).ok().and_then(|prefix| Netmask::v6(prefix).ok()),
                    _ => None,
                })
            }
        }
    }

    fn scheduler_flags(&mut self, fields: &mut Fields<'_>, scheduler: Scheduler) -> SchedulerFlags {
        let mut flags = SchedulerFlags::empty();
        for Value { at, kind } in fields.list("scheduler_flags", &mut self.notes).unwrap_or_default() {
            match flag(&kind, scheduler, self.is_of_kernel) {
                Some(flag) => flags |= flag,
                None => self.notes.problem(
                    at,
                    format!(
                        "a flag of the scheduler {scheduler} must be {}, not {}",
                        known_flags(scheduler),
                        kind.found()
                    ),
                ),
            }
        }
        flags
    }

    /// What the kernel takes, but makes nothing of.
    fn doubt(&mut self, at: usize, service: &Service, one_packet: Option<Found<bool>>) {
        let ServiceKey::Address { protocol, at: address } = service.key() else { return };
        if let Some(found) = one_packet.filter(|found| found.value && protocol != Protocol::UDP) {
            self.notes.warn(found.at, "'one_packet' has no effect but for UDP or a firewall mark");
        }
        if address.port() == 0 && service.persistence.is_none() {
            self.notes.warn(at, "port 0 is for all ports, which needs 'persistence': without it nothing is served");
        }
    }
}

/// For the values of a service whose own key is wrong.
const SOME_KEY: ServiceKey = ServiceKey::Address {
    protocol: Protocol::TCP,
    at: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1),
};

/// The kernel's table has no zones.
pub(super) fn has_no_zone(at: &SocketAddr) -> bool {
    match at {
        SocketAddr::V4(_) => true,
        SocketAddr::V6(v6) => v6.scope_id() == 0 && v6.flowinfo() == 0,
    }
}

fn protocol(kind: &Kind<'_>) -> Option<Protocol> {
    match kind {
        Kind::Integer(number) => u16::try_from(*number).ok().map(Protocol::from_number),
        // In lower case, as the schema says, and numbers as numbers.
        Kind::Text(text) if text.parse::<u16>().is_err() && !text.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            text.parse().ok()
        }
        _ => None,
    }
}

/// A name of the kernel. U+FFFD stands for what was no text when it was written: another name than
/// that.
pub(super) fn named<N, E>(name: &str, new: impl FnOnce(Vec<u8>) -> Result<N, E>) -> Option<N> {
    if name.contains('\u{fffd}') { None } else { new(name.as_bytes().to_owned()).ok() }
}

fn prefix_mask(prefix: i64) -> Option<Netmask> {
    let prefix = u32::try_from(prefix).ok().filter(|prefix| *prefix <= 32)?;
    let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
    Some(Netmask::v4(std::net::Ipv4Addr::from_bits(mask)))
}

/// A flag by its name, or bits that have no name, as `"0x40"`.
fn flag(kind: &Kind<'_>, scheduler: Scheduler, is_of_kernel: bool) -> Option<SchedulerFlags> {
    let Kind::Text(text) = kind else { return None };
    if let Some(digits) = text.strip_prefix("0x") {
        // The lowest three have keys of their own, or are the kernel's.
        let bits = u32::from_str_radix(digits, 16).ok().filter(|bits| bits & 7 == 0 || is_of_kernel)?;
        return Some(SchedulerFlags::from_bits_retain(bits));
    }
    let is_meant = |known: &&FlagName| known.name == text && known.scheduler.is_none_or(|own| own == scheduler);
    FLAG_NAMES.iter().find(is_meant).map(|known| known.flag)
}

/// The names for a message: `"sh-fallback", "sh-port" or "flag-3"`.
fn known_flags(scheduler: Scheduler) -> String {
    let mut names: Vec<_> = flag_names(scheduler).map(|known| format!("\"{}\"", known.name)).collect();
    let last = names.pop().unwrap_or_default();
    format!("{} or {last}", names.join(", "))
}
