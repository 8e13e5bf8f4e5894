//! `Serialize` and `Deserialize` of what has a place in a desired state, with its keys: one code
//! knows them, whatever the format.

use std::fmt;

use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::place::{Problems, Source};
use super::reader::{self, Fields, Notes, Reader, VERSION};
use super::tree::{Entry, Kind, Value};
use super::writer::fields;
use super::writer::scalar::Scalar;
use crate::daemon::Daemon;
use crate::destination::{Destination, Forwarding};
use crate::info::{Info, Version};
use crate::kernel::Behaviors;
use crate::service::{Service, ServiceKey};
use crate::stats::{Rates, Statistics};
use crate::table::{DestinationState, ServiceState, Table, TableEntry};
use crate::timeouts::Timeouts;

impl Serialize for Scalar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Scalar::Integer(value) => serializer.serialize_u64(*value),
            Scalar::Boolean(value) => serializer.serialize_bool(*value),
            Scalar::Text(text) => serializer.serialize_str(text),
            Scalar::Texts(texts) => serializer.collect_seq(texts),
            Scalar::List(values) => serializer.collect_seq(values),
            Scalar::Table(fields) => serializer.collect_map(fields.iter().map(|(key, value)| (key, value))),
        }
    }
}

/// Without places: the format's own errors have one.
impl<'de> Deserialize<'de> for Value<'static> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let kind = deserializer.deserialize_any(AnyKind)?;
        Ok(Value { at: 0, kind })
    }
}

struct AnyKind;

impl<'de> Visitor<'de> for AnyKind {
    type Value = Kind<'static>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a desired state")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Kind::Null)
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Kind::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Kind::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Kind::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(value).map_or_else(|_| Kind::Number(value.to_string().into()), Kind::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Kind::Number(value.to_string().into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Kind::Text(text.to_owned().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Kind::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = map.next_entry::<String, _>()? {
            entries.push(Entry { at: 0, key: key.into(), value });
        }
        Ok(Kind::Table(entries))
    }
}

/// Reads a value by the rules of desired states, but that it may be one of a newer kernel.
fn read<T, E: de::Error>(value: Value<'_>, read: impl FnOnce(&mut Reader<'_>, Value<'_>) -> Option<T>) -> Result<T, E> {
    let source = Source::new("", "");
    let (mut problems, mut warnings) = (Problems::default(), Problems::default());
    let notes = Notes { source: &source, problems: &mut problems, warnings: &mut warnings };
    let made = read(&mut Reader::of_kernel(notes), value);
    let reasons: Vec<_> = problems.iter().map(|problem| &*problem.reason).collect();
    made.filter(|_| reasons.is_empty()).ok_or_else(|| E::custom(reasons.join("; ")))
}

fn read_service<E: de::Error>(value: Value<'_>) -> Result<Service, E> {
    read(value, |reader, value| {
        let mut fields = Fields::of(value, &reader::service::KEYS, &mut reader.notes)?;
        if let Some(at) = fields.place_of("destinations") {
            reader.notes.problem(at, "a service alone has no 'destinations': they are read with a table");
        }
        let key = reader.key(&mut fields)?;
        Some(reader.configuration(&mut fields, key))
    })
}

/// A destination of this service, if that is known: without a port, it has the service's.
fn read_destination<E: de::Error>(service: Option<ServiceKey>, value: Value<'_>) -> Result<Destination, E> {
    read(value, |reader, value| {
        let mut fields = Fields::of(value, &reader::destination::KEYS, &mut reader.notes)?;
        reader.destination(service, &mut fields)
    })
}

/// Types that are tables of a desired state.
macro_rules! as_table {
    ($($type:ty: $write:expr, $read:expr;)*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Scalar::Table($write(self)).serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $read(Value::deserialize(deserializer)?)
            }
        }
    )*};
}

as_table! {
    Service: fields::service, read_service;
    Destination: fields::destination, |value| read_destination(None, value);
    Forwarding: |forwarding: &Forwarding| fields::forwarding(*forwarding), |value| read(value, |reader, value| {
        let mut fields = Fields::of(value, &reader::destination::KEYS, &mut reader.notes)?;
        Some(reader.forwarding(&mut fields).value)
    });
    Daemon: fields::daemon, |value| read(value, |reader, value| {
        let mut fields = Fields::of(value, &reader::daemon::KEYS, &mut reader.notes)?;
        reader.daemon(&mut fields)
    });
    Timeouts: |timeouts: &Timeouts| fields::timeouts(*timeouts), |value| read(value, |reader, value| {
        let mut fields = Fields::of(value, &reader::TIMEOUTS, &mut reader.notes)?;
        Some(reader.seconds(&mut fields))
    });
}

impl Serialize for ServiceState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Scalar::Table(fields::service_state(self)).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ServiceState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ServiceForm { service, statistics } = ServiceForm::deserialize(deserializer)?;
        Ok(ServiceState { service: read_service(service)?, statistics })
    }
}

#[derive(Deserialize)]
struct ServiceForm {
    #[serde(default)]
    statistics: Option<Statistics>,
    #[serde(flatten)]
    service: Value<'static>,
}

impl Serialize for DestinationState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Scalar::Table(fields::destination_state(self)).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for DestinationState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DestinationForm::deserialize(deserializer)?.read(None)
    }
}

#[derive(Deserialize)]
struct DestinationForm {
    #[serde(default)]
    statistics: Counted,
    #[serde(flatten)]
    destination: Value<'static>,
}

/// `statistics` of a destination.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Counted {
    active_connections: u32,
    inactive_connections: u32,
    persistent_connections: u32,
    /// Not there if counters were not read.
    connections: Option<u64>,
    packets_in: u64,
    packets_out: u64,
    bytes_in: u64,
    bytes_out: u64,
    rates: Rates,
}

impl DestinationForm {
    fn read<E: de::Error>(self, service: Option<ServiceKey>) -> Result<DestinationState, E> {
        let Counted { packets_in, packets_out, bytes_in, bytes_out, rates, .. } = self.statistics;
        let statistics = |connections| Statistics { connections, packets_in, packets_out, bytes_in, bytes_out, rates };
        Ok(DestinationState {
            destination: read_destination(service, self.destination)?,
            active_connections: self.statistics.active_connections,
            inactive_connections: self.statistics.inactive_connections,
            persistent_connections: self.statistics.persistent_connections,
            statistics: self.statistics.connections.map(statistics),
        })
    }
}

/// A service of a table with its destinations.
struct WithDestinations(ServiceState, Vec<DestinationState>);

impl<'de> Deserialize<'de> for WithDestinations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Form {
            #[serde(default)]
            destinations: Vec<DestinationForm>,
            #[serde(flatten)]
            service: ServiceForm,
        }
        let Form { destinations, service: ServiceForm { service, statistics } } = Form::deserialize(deserializer)?;
        let service: Service = read_service(service)?;
        let key = service.key();
        let destinations = destinations.into_iter().map(|form| form.read(Some(key))).collect::<Result<_, _>>();
        let in_service = |error: D::Error| de::Error::custom(format_args!("{key}: {error}"));
        Ok(WithDestinations(ServiceState { service, statistics }, destinations.map_err(in_service)?))
    }
}

/// Services and destinations are written oldest first.
impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let service = |entry: &TableEntry| {
            let mut fields = fields::service_state(entry.state());
            let destinations = entry.destinations().map(|state| Scalar::Table(fields::destination_state(state)));
            fields.push(("destinations", Scalar::List(destinations.collect())));
            Scalar::Table(fields)
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("version", &VERSION)?;
        map.serialize_entry("kernel", &Scalar::Table(fields::kernel(self)))?;
        map.serialize_entry("timeouts", &self.timeouts())?;
        map.serialize_entry("daemons", self.daemons())?;
        map.serialize_entry("services", &self.services().map(service).collect::<Vec<_>>())?;
        map.end()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Director {
    version: i64,
    #[serde(default)]
    kernel: Kernel,
    #[serde(default)]
    timeouts: Option<Timeouts>,
    #[serde(default)]
    daemons: Vec<Daemon>,
    #[serde(default)]
    services: Vec<WithDestinations>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Kernel {
    version: Option<Version>,
    connection_table_size: Option<u32>,
    behaviors: Behaviors,
}

/// A table as if it were read from a kernel. Rules of kernels are not checked, but that nothing is
/// there twice.
impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Director { version, kernel, timeouts, daemons, services } = Director::deserialize(deserializer)?;
        if version != VERSION {
            return Err(de::Error::custom(reader::unknown_version(version)));
        }
        let count = |services: usize, destinations: usize| (services, destinations);
        let expected = count(services.len(), services.iter().map(|WithDestinations(_, list)| list.len()).sum());
        let newest_first = services.into_iter().rev().map(|WithDestinations(service, mut destinations)| {
            destinations.reverse();
            TableEntry::read(service, destinations)
        });
        let fresh = Table::new();
        let info = Info {
            version: kernel.version.unwrap_or(fresh.info().version),
            connection_table_size: kernel.connection_table_size.unwrap_or(fresh.info().connection_table_size),
        };
        let timeouts = timeouts.unwrap_or(fresh.timeouts());
        let table = Table::read(newest_first.collect(), timeouts, daemons, info).with_behaviors(kernel.behaviors);
        let there = count(table.services().len(), table.services().map(|entry| entry.destinations().len()).sum());
        if there != expected {
            return Err(de::Error::custom("a service or a destination is there twice"));
        }
        Ok(table)
    }
}
