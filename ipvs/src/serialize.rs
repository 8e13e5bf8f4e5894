//! Feature `serde`: values as data, for any format.
//!
//! What prints and parses is text: `"tcp 192.0.2.1:80"`, `"wlc"`, `"255.255.255.0"`. What is a number is a number, what has
//! parts a map of them by name. What a constructor refuses is refused here, too. The names are part of this crate's interface.

use std::borrow::Cow;

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::*;

/// Types that print what they parse from.
macro_rules! as_text {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    )*};
}

as_text!(ServiceKey, Protocol, Netmask, DaemonRole, KernelVersion, Behaviors, Sysctl);

/// Names, which may be any bytes in the kernel, but not in a text.
macro_rules! as_name {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let name = std::str::from_utf8(self.as_bytes()).map_err(S::Error::custom)?;
                serializer.serialize_str(name)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = Cow::<'de, str>::deserialize(deserializer)?;
                Self::new(name.as_bytes()).map_err(D::Error::custom)
            }
        }
    )*};
}

as_name!(Scheduler, PersistenceEngine, InterfaceName);

/// Numbers with a range.
macro_rules! as_number {
    ($($type:ident: $number:ty, $get:ident, $new:expr;)*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.$get().serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let new: fn($number) -> Result<$type, InvalidValue> = $new;
                new(<$number>::deserialize(deserializer)?).map_err(D::Error::custom)
            }
        }
    )*};
}

as_number! {
    Weight: u32, get, Weight::new;
    FirewallMark: u32, get, FirewallMark::new;
    Persistence: u32, seconds, Persistence::new;
    Errno: i32, raw, |raw| Ok(Errno::new(raw));
    SchedulerFlags: u32, bits, |bits| Ok(SchedulerFlags::from_bits_retain(bits));
    TunnelFlags: u16, bits, |bits| Ok(TunnelFlags::from_bits_retain(bits));
}

/// [`Service`], whose netmask must be of its family.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Configured {
    key: ServiceKey,
    scheduler: Scheduler,
    #[serde(default)]
    scheduler_flags: SchedulerFlags,
    #[serde(default)]
    persistence: Option<Persistence>,
    #[serde(default)]
    netmask: Option<Netmask>,
    #[serde(default)]
    engine: Option<PersistenceEngine>,
    #[serde(default)]
    one_packet: bool,
}

impl Serialize for Service {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Service { scheduler, scheduler_flags, persistence, engine, one_packet, .. } = *self;
        let (key, netmask) = (self.key(), Some(self.netmask()));
        Configured { key, scheduler, scheduler_flags, persistence, netmask, engine, one_packet }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Service {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let told = Configured::deserialize(deserializer)?;
        let mut service = Service::new(told.key);
        service.scheduler = told.scheduler;
        service.scheduler_flags = told.scheduler_flags;
        service.persistence = told.persistence;
        service.engine = told.engine;
        service.one_packet = told.one_packet;
        match told.netmask {
            Some(netmask) => service.with_netmask(netmask).map_err(D::Error::custom),
            None => Ok(service),
        }
    }
}

/// A way to forward packets. What this crate has no name for is carried by its numbers.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Method {
    Masquerade,
    Local,
    DirectRoute,
    Bypass,
    Ipip,
    Gue {
        port: std::num::NonZeroU16,
        #[serde(default)]
        flags: TunnelFlags,
    },
    Gre {
        #[serde(default)]
        flags: TunnelFlags,
    },
    OtherTunnel {
        kind: u8,
        port: u16,
        flags: TunnelFlags,
    },
    Reserved(u32),
}

impl Serialize for Forwarding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Forwarding::Masquerade => Method::Masquerade,
            Forwarding::Local => Method::Local,
            Forwarding::DirectRoute => Method::DirectRoute,
            Forwarding::Bypass => Method::Bypass,
            Forwarding::Tunnel(Tunnel::Ipip) => Method::Ipip,
            Forwarding::Tunnel(Tunnel::Gue { port, flags }) => Method::Gue { port, flags },
            Forwarding::Tunnel(Tunnel::Gre { flags }) => Method::Gre { flags },
            Forwarding::Tunnel(Tunnel::Other(OtherTunnel { kind, port, flags })) => {
                Method::OtherTunnel { kind, port, flags }
            }
            Forwarding::Reserved(ReservedForwarding(number)) => Method::Reserved(number),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Forwarding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Method::deserialize(deserializer)? {
            Method::Masquerade => Forwarding::Masquerade,
            Method::Local => Forwarding::Local,
            Method::DirectRoute => Forwarding::DirectRoute,
            Method::Bypass => Forwarding::Bypass,
            Method::Ipip => Forwarding::Tunnel(Tunnel::Ipip),
            Method::Gue { port, flags } => Forwarding::Tunnel(Tunnel::Gue { port, flags }),
            Method::Gre { flags } => Forwarding::Tunnel(Tunnel::Gre { flags }),
            // Through the codec, so that what has a name gets it.
            Method::OtherTunnel { kind, port, flags } => Forwarding::Tunnel(wire::tunnel_of(kind, port, flags)),
            Method::Reserved(number @ 5..=7) => Forwarding::Reserved(ReservedForwarding(number)),
            Method::Reserved(number) => {
                return Err(D::Error::custom(format_args!("{number} is no reserved forwarding method: 5 to 7 are")));
            }
        })
    }
}

/// A service of a [`Table`] with its destinations.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    service: Service,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    statistics: Option<Statistics>,
    #[serde(default)]
    destinations: Vec<DestinationState>,
}

/// [`Table`], with services and destinations oldest first.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Director {
    behaviors: Behaviors,
    info: Info,
    #[serde(default)]
    timeouts: Timeouts,
    #[serde(default)]
    daemons: Vec<Daemon>,
    #[serde(default)]
    services: Vec<Entry>,
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entry = |entry: &TableEntry| {
            let ServiceState { service, statistics } = *entry.state();
            Entry { service, statistics, destinations: entry.destinations().copied().collect() }
        };
        Director {
            behaviors: self.behaviors(),
            info: self.info(),
            timeouts: self.timeouts(),
            daemons: self.daemons().to_vec(),
            services: self.services().map(entry).collect(),
        }
        .serialize(serializer)
    }
}

/// A table as if it were read from a kernel. That it could be one is not checked, but that nothing is there twice.
impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let told = Director::deserialize(deserializer)?;
        let count = |services: usize, destinations: usize| (services, destinations);
        let expected = count(told.services.len(), told.services.iter().map(|entry| entry.destinations.len()).sum());
        let newest_first = told.services.into_iter().rev().map(|entry| {
            let Entry { service, statistics, mut destinations } = entry;
            destinations.reverse();
            TableEntry::read(ServiceState { service, statistics }, destinations)
        });
        let table =
            Table::read(newest_first.collect(), told.timeouts, told.daemons, told.info).with_behaviors(told.behaviors);
        let there = count(table.services().len(), table.services().map(|entry| entry.destinations().len()).sum());
        if there != expected {
            return Err(D::Error::custom("a service or a destination is there twice"));
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::strategies;

    fn survives<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) -> Result<(), TestCaseError> {
        let text = serde_json::to_string(value).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let back: T = serde_json::from_str(&text).map_err(|error| TestCaseError::fail(format!("{error}: {text}")))?;
        prop_assert_eq!(&back, value, "{}", text);
        Ok(())
    }

    /// Names in the kernel may be any bytes.
    fn is_text(service: &Service) -> bool {
        let engine = service.engine.is_none_or(|engine| std::str::from_utf8(engine.as_bytes()).is_ok());
        engine && std::str::from_utf8(service.scheduler.as_bytes()).is_ok()
    }

    proptest! {
        #[test]
        fn values_survive(key in strategies::key(), service in strategies::service(),
                          state in strategies::destination_state(), timeouts in strategies::timeouts()) {
            survives(&key)?;
            survives(&state)?;
            survives(&timeouts)?;
            if is_text(&service) {
                survives(&service)?;
                survives(&Command::AddService(service))?;
            } else {
                prop_assert!(serde_json::to_string(&service).is_err());
            }
            survives(&Command::EditDestination(key, state.destination))?;
        }
    }

    fn table() -> Table {
        let mut table = Table::new();
        let daemon = Daemon::new(DaemonRole::Backup, InterfaceName::new("lo").unwrap());
        for command in [
            Command::AddService(Service::new("tcp 192.0.2.1:80".parse().unwrap())),
            Command::AddService(Service::new("mark 7 ipv6".parse().unwrap())),
            Command::AddDestination(
                "mark 7 ipv6".parse().unwrap(),
                Destination::new("[2001:db8::1]:0".parse().unwrap()),
            ),
            Command::AddDestination(
                "tcp 192.0.2.1:80".parse().unwrap(),
                Destination::new("192.0.2.11:80".parse().unwrap()),
            ),
            Command::AddDestination(
                "tcp 192.0.2.1:80".parse().unwrap(),
                Destination::new("192.0.2.12:80".parse().unwrap()),
            ),
            Command::StartDaemon(daemon),
        ] {
            table.apply(&command).unwrap();
        }
        table
    }

    #[test]
    fn a_table_survives_in_its_order() {
        let text = serde_json::to_string(&table()).unwrap();
        let back: Table = serde_json::from_str(&text).unwrap();
        assert!(crate::plan(&back, &table()).is_empty() && crate::plan(&table(), &back).is_empty());
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }

    #[test]
    fn the_names_are_these() {
        let service = Service::new("tcp 192.0.2.1:80".parse().unwrap()).with_persistence(Persistence::default());
        assert_eq!(
            serde_json::to_string(&service).unwrap(),
            r#"{"key":"tcp 192.0.2.1:80","scheduler":"wlc","scheduler_flags":0,"persistence":360,"netmask":"255.255.255.255","engine":null,"one_packet":false}"#
        );
        let server = Destination::new("192.0.2.11:80".parse().unwrap())
            .with_forwarding(Forwarding::Tunnel(Tunnel::Gre { flags: TunnelFlags::CHECKSUM }));
        assert_eq!(
            serde_json::to_string(&server).unwrap(),
            r#"{"address":"192.0.2.11:80","forwarding":{"gre":{"flags":1}},"weight":1,"upper_threshold":0,"lower_threshold":0}"#
        );
        assert_eq!(serde_json::to_string(&Command::Flush).unwrap(), r#""flush""#);
        assert_eq!(serde_json::to_string(&Errno::EEXIST).unwrap(), "17");
    }

    #[test]
    fn what_constructors_refuse_is_refused() {
        let wrong = [
            serde_json::from_str::<Weight>("2147483648").map(drop),
            serde_json::from_str::<FirewallMark>("0").map(drop),
            serde_json::from_str::<Persistence>("0").map(drop),
            serde_json::from_str::<ServiceKey>(r#""tcp 192.0.2.1""#).map(drop),
            serde_json::from_str::<Scheduler>(r#""a-name-that-is-too-long""#).map(drop),
            serde_json::from_str::<Forwarding>(r#"{"reserved":3}"#).map(drop),
            serde_json::from_str::<Service>(r#"{"key":"tcp 192.0.2.1:80","scheduler":"rr","netmask":"64"}"#).map(drop),
            serde_json::from_str::<Service>(r#"{"key":"tcp 192.0.2.1:80","scheduler":"rr","nettmask":"64"}"#).map(drop),
        ];
        for (at, result) in wrong.iter().enumerate() {
            assert!(result.is_err(), "{at}");
        }
        let mut twice: serde_json::Value = serde_json::to_value(table()).unwrap();
        let first = twice["services"][0].clone();
        twice["services"].as_array_mut().unwrap().push(first);
        let error = serde_json::from_value::<Table>(twice).unwrap_err();
        assert_eq!(error.to_string(), "a service or a destination is there twice");
    }

    #[test]
    fn a_tunnel_that_has_a_name_is_not_another() {
        let told = r#"{"other-tunnel":{"kind":0,"port":0,"flags":0}}"#;
        assert_eq!(serde_json::from_str::<Forwarding>(told).unwrap(), Forwarding::Tunnel(Tunnel::Ipip));
    }
}
