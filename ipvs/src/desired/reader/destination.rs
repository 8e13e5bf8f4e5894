//! One destination of a service's list `destinations`.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::ops::RangeInclusive;

use super::Reader;
use super::fields::{Fields, Found, Keys, did_you_mean};
use super::service::has_no_zone;
use super::suggest;
use crate::command::Command;
use crate::desired::tree::{Kind, Value};
use crate::destination::{Destination, Forwarding, ReservedForwarding, Tunnel, TunnelFlags, Weight};
use crate::service::{Family, ServiceKey};

/// The keys of a destination.
pub(in crate::desired) const KEYS: Keys = Keys {
    what: "a destination",
    names: &[
        "address",
        "forwarding",
        "tunnel",
        "weight",
        "upper_threshold",
        "lower_threshold",
        "weight_before",
        "statistics",
    ],
    others: &[
        ("ip", "address"),
        ("port", "address"),
        ("method", "forwarding"),
        ("lb_kind", "forwarding"),
        ("max_connections", "upper_threshold"),
    ],
};

const TUNNEL: Keys = Keys { what: "a tunnel", names: &["type", "port", "flags"], others: &[("checksum", "flags")] };

/// The words for how packets reach a destination.
pub(super) const FORWARDING: [&str; 5] = ["direct-route", "masquerade", "tunnel", "local", "bypass"];

/// What others call them.
pub(super) const OTHER_FORWARDING: &[(&str, &str)] = &[
    ("dr", "direct-route"),
    ("route", "direct-route"),
    ("gate", "direct-route"),
    ("gatewaying", "direct-route"),
    ("-g", "direct-route"),
    ("nat", "masquerade"),
    ("masq", "masquerade"),
    ("masquerading", "masquerade"),
    ("-m", "masquerade"),
    ("tun", "tunnel"),
    ("ipip", "tunnel"),
    ("-i", "tunnel"),
    ("localnode", "local"),
];

const TUNNELS: [&str; 3] = ["ipip", "gue", "gre"];

pub(in crate::desired) const CHECKSUM: &str = "checksum";
pub(in crate::desired) const REMOTE_CHECKSUM: &str = "remote-checksum";

const ADDRESS: &str =
    "an IP address, with or without a port, such as \"192.0.2.11\", \"192.0.2.11:80\" or \"[2001:db8::11]:80\"";

impl Reader<'_> {
    /// The destinations of the service, which is none if it was wrong itself.
    pub(super) fn destinations(&mut self, service: Option<ServiceKey>, values: Vec<Value<'_>>) {
        let mut places = Vec::with_capacity(values.len());
        for value in values {
            let Some(mut fields) = Fields::of(value, &KEYS, &mut self.notes) else { continue };
            let destination = self.destination(service, &mut fields);
            let (Some(service), Some(destination)) = (service, destination) else { continue };
            places.push((destination.address, fields.at));
            self.command(fields.at, Command::AddDestination(service, destination));
        }
        if let Some(service) = service {
            self.find_duplicates(service, places);
        }
    }

    fn find_duplicates(&mut self, service: ServiceKey, mut places: Vec<(SocketAddr, usize)>) {
        places.sort_unstable();
        for same in places.chunk_by(|(address, _), (other, _)| address == other) {
            for (address, at) in &same[1..] {
                self.twice(*at, &format!("the destination {address} of {service}"), same[0].1);
            }
        }
    }

    pub(in crate::desired) fn destination(
        &mut self,
        service: Option<ServiceKey>,
        fields: &mut Fields<'_>,
    ) -> Option<Destination> {
        let address = self.destination_address(service, fields);
        let forwarding = self.forwarding(fields);
        if let (Some(service), Some(address), false) = (service, address, self.is_of_kernel) {
            self.compare(service, address, forwarding, fields.at);
        }
        let weight: Option<Found<u32>> = self
            .number_of_kernel("weight", 0..=u32::MAX, fields)
            .or_else(|| fields.integer("weight", 0..=Weight::MAX.get(), "", &mut self.notes));
        // Not every kernel takes more than an `int` holds, which the table knows.
        let upper: Option<Found<u32>> = fields.integer("upper_threshold", 0..=u32::MAX, "", &mut self.notes);
        let lower: Option<Found<u32>> = fields.integer("lower_threshold", 0..=u32::MAX, "", &mut self.notes);
        // For information, but it must be a weight.
        let _: Option<Found<u32>> = fields.integer("weight_before", 0..=Weight::MAX.get(), "", &mut self.notes);
        fields.ignore("statistics", &mut self.notes);
        let upper_threshold = upper.map_or(0, |found| found.value);
        if let Some(lower) = lower.filter(|lower| !self.is_of_kernel && lower.value > upper_threshold) {
            let reason = format!("'lower_threshold' must be at most 'upper_threshold', which is {upper_threshold}");
            self.notes.problem(lower.at, reason);
        }
        Some(Destination {
            forwarding: forwarding.value,
            weight: weight.map(|found| Weight::from_kernel(found.value)).unwrap_or_default(),
            upper_threshold,
            lower_threshold: lower.map_or(0, |found| found.value),
            ..Destination::new(address?.value)
        })
    }

    /// Without a port, it is the service's.
    fn destination_address(
        &mut self,
        service: Option<ServiceKey>,
        fields: &mut Fields<'_>,
    ) -> Option<Found<SocketAddr>> {
        fields.require("address", ADDRESS, &mut self.notes);
        let port = match service {
            Some(ServiceKey::Address { at, .. }) => at.port(),
            Some(ServiceKey::Mark { .. }) | None => 0,
        };
        fields.text("address", &mut self.notes, ADDRESS, |text| {
            let with_port = text.parse().ok().filter(has_no_zone);
            with_port.or_else(|| text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port)))
        })
    }

    /// What of the destination does not fit its service.
    fn compare(
        &mut self,
        service: ServiceKey,
        address: Found<SocketAddr>,
        forwarding: Found<Forwarding>,
        destination: usize,
    ) {
        let Found { at, value: address } = address;
        if Family::of(address.ip()) != service.family() {
            self.mixed.get_or_insert(destination);
            if !matches!(forwarding.value, Forwarding::Tunnel(_)) {
                let reason = format!(
                    "the destination {address} is of another address family than its service {service}: \
                     that needs `forwarding = \"tunnel\"`"
                );
                self.notes.problem(at, reason);
            }
        }
        let ServiceKey::Address { at: service, .. } = service else { return };
        let keeps_port = matches!(forwarding.value, Forwarding::DirectRoute | Forwarding::Tunnel(_));
        if keeps_port && service.port() != address.port() {
            let reason = format!(
                "packets arrive there with the service's port, {}: only `forwarding = \"masquerade\"` changes it",
                service.port()
            );
            self.notes.warn(at, reason);
        }
    }

    pub(in crate::desired) fn forwarding(&mut self, fields: &mut Fields<'_>) -> Found<Forwarding> {
        if let Some(Found { at, value }) = self.number_of_kernel("forwarding", 5..=7, fields) {
            return Found { at, value: Forwarding::Reserved(ReservedForwarding(value)) };
        }
        let method = fields.word("forwarding", &FORWARDING, OTHER_FORWARDING, &mut self.notes);
        let value = match method.map(|found| found.value) {
            Some("masquerade") => Forwarding::Masquerade,
            Some("local") => Forwarding::Local,
            Some("bypass") => Forwarding::Bypass,
            Some("tunnel") => {
                let tunnel = fields.table("tunnel", &TUNNEL, &mut self.notes);
                Forwarding::Tunnel(tunnel.map_or(Tunnel::Ipip, |fields| self.tunnel(fields)))
            }
            _ => Forwarding::DirectRoute,
        };
        let is_tunnel = matches!(value, Forwarding::Tunnel(_));
        if let Some(at) = fields.place_of("tunnel").filter(|_| !is_tunnel) {
            self.notes.problem(at, "'tunnel' is only for `forwarding = \"tunnel\"`");
        }
        Found { at: method.map_or(fields.at, |found| found.at), value }
    }

    /// The number under the key: what a kernel has and this crate has no name for.
    fn number_of_kernel<T>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<T>,
        fields: &mut Fields<'_>,
    ) -> Option<Found<T>>
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        let Some(&Kind::Integer(number)) = fields.peek(key).filter(|_| self.is_of_kernel) else { return None };
        let is_one = T::try_from(number).is_ok_and(|number| range.contains(&number));
        if is_one { fields.integer(key, range, "", &mut self.notes) } else { None }
    }

    fn tunnel(&mut self, mut fields: Fields<'_>) -> Tunnel {
        if let Some(Found { value: kind, .. }) = self.number_of_kernel("type", 0..=u8::MAX, &mut fields) {
            let port: Option<Found<u16>> = fields.integer("port", 0..=u16::MAX, "", &mut self.notes);
            return Tunnel::from_numbers(kind, port.map_or(0, |found| found.value), self.tunnel_flags(&mut fields));
        }
        let is_typed = fields.place_of("type").is_some();
        let kind = fields.word("type", &TUNNELS, &[], &mut self.notes).map(|found| found.value);
        let port_at = fields.place_of("port");
        let flags_at = fields.place_of("flags");
        let port: Option<Found<u16>> = fields.integer("port", 1..=u16::MAX, "", &mut self.notes);
        let flags = self.tunnel_flags(&mut fields);
        let kind = match kind {
            Some(kind) => kind,
            // Of an unknown type nothing can be said.
            None if is_typed => return Tunnel::Ipip,
            None => "ipip",
        };
        match (kind, port_at) {
            ("gue", None) => fields.missing("a tunnel of type \"gue\" needs 'port'", &mut self.notes),
            ("gue", Some(_)) => {}
            (_, Some(at)) => {
                self.notes.problem(at, format!("'port' is only for a tunnel of type \"gue\", not \"{kind}\""));
            }
            _ => {}
        }
        match (kind, flags_at) {
            ("ipip", Some(at)) => {
                self.notes.problem(at, "'flags' are only for tunnels of type \"gue\" and \"gre\", not \"ipip\"");
            }
            ("gre", Some(at)) if flags.contains(TunnelFlags::REMOTE_CHECKSUM) => {
                let reason = format!("\"{REMOTE_CHECKSUM}\" has no effect but in a tunnel of type \"gue\"");
                self.notes.warn(at, reason);
            }
            _ => {}
        }
        match (kind, port.and_then(|found| NonZeroU16::new(found.value))) {
            ("gue", Some(port)) => Tunnel::Gue { port, flags },
            ("gre", _) => Tunnel::Gre { flags },
            _ => Tunnel::Ipip,
        }
    }

    fn tunnel_flags(&mut self, fields: &mut Fields<'_>) -> TunnelFlags {
        let mut flags = TunnelFlags::empty();
        for Value { at, kind } in fields.list("flags", &mut self.notes).unwrap_or_default() {
            match flag(&kind) {
                Some(flag) => flags |= flag,
                None => {
                    let meant = match &kind {
                        Kind::Text(text) => suggest::meant(text, &[CHECKSUM, REMOTE_CHECKSUM], OTHER_FLAGS),
                        _ => None,
                    };
                    let question = did_you_mean(meant, "\"", "\"");
                    let found = kind.found();
                    let reason = format!(
                        "a tunnel's flag must be \"{CHECKSUM}\" or \"{REMOTE_CHECKSUM}\", not {found}{question}"
                    );
                    self.notes.problem(at, reason);
                }
            }
        }
        flags
    }
}

const OTHER_FLAGS: &[(&str, &str)] = &[("csum", CHECKSUM), ("remcsum", REMOTE_CHECKSUM), ("remote", REMOTE_CHECKSUM)];

/// A flag by its name, or bits that have no name, as `"0x4"`.
fn flag(kind: &Kind<'_>) -> Option<TunnelFlags> {
    let Kind::Text(text) = kind else { return None };
    match &**text {
        CHECKSUM => Some(TunnelFlags::CHECKSUM),
        REMOTE_CHECKSUM => Some(TunnelFlags::REMOTE_CHECKSUM),
        text => u16::from_str_radix(text.strip_prefix("0x")?, 16).ok().map(TunnelFlags::from_bits_retain),
    }
}
