//! Feature `serde`: `Serialize` and `Deserialize` of single values. What has a place in a desired
//! state is in `desired/serialize.rs`. The rules are on the page of the crate.

use std::borrow::Cow;

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::daemon::DaemonRole;
use crate::destination::{TunnelFlags, Weight};
use crate::errno::Errno;
use crate::info::Version;
use crate::invalid_value::InvalidValue;
use crate::kernel::{Behaviors, KernelVersion};
use crate::name::{InterfaceName, PersistenceEngine, Scheduler};
use crate::service::{FirewallMark, Netmask, Persistence, Protocol, SchedulerFlags, ServiceKey};

/// Types that print what they parse from, some only after a conversion.
macro_rules! as_text {
    ($($type:ty $(as $conversion:ident)?),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self$(.$conversion())?)
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

as_text!(
    ServiceKey as without_scope_id,
    Protocol,
    Netmask,
    DaemonRole,
    KernelVersion,
    Version,
    Behaviors,
    crate::sysctl::Sysctl
);

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::{strategies, *};

    fn reread<T: Serialize + DeserializeOwned>(value: &T) -> Result<T, TestCaseError> {
        let text = serde_json::to_string(value).map_err(|error| TestCaseError::fail(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| TestCaseError::fail(format!("{error}: {text}")))
    }

    fn survives<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) -> Result<(), TestCaseError> {
        prop_assert_eq!(&reread(value)?, value);
        Ok(())
    }

    fn is_readable(daemon: &Daemon) -> bool {
        std::str::from_utf8(daemon.interface.as_bytes()).is_ok()
    }

    /// Names in the kernel may be any bytes.
    fn is_text(service: &Service) -> bool {
        let engine = service.engine.is_none_or(|engine| std::str::from_utf8(engine.as_bytes()).is_ok());
        engine && std::str::from_utf8(service.scheduler.as_bytes()).is_ok()
    }

    proptest! {
        #[test]
        fn values_survive(key in strategies::key(), service in strategies::service(),
                          state in strategies::destination_state(), timeouts in strategies::timeouts(),
                          daemon in strategies::daemon(), statistics in strategies::statistics()) {
            survives(&key)?;
            survives(&state)?;
            survives(&state.destination.forwarding)?;
            survives(&timeouts)?;
            if is_text(&service) {
                survives(&service)?;
                survives(&Command::AddService(service))?;
            } else {
                // Another name would be another service.
                let text = serde_json::to_string(&service).unwrap();
                prop_assert!(serde_json::from_str::<Service>(&text).is_err());
            }
            survives(&Command::EditDestination(key, state.destination))?;
            let daemons: Vec<_> = Some(daemon).into_iter().filter(is_readable).collect();
            for daemon in &daemons {
                survives(daemon)?;
                survives(&Command::StartDaemon(*daemon))?;
            }
            if is_text(&service) {
                let service = ServiceState { service, statistics: Some(statistics) };
                let entry = TableEntry::read(service, vec![state]);
                survives(&Table::read(vec![entry], timeouts, daemons, Table::new().info()))?;
            }
        }

        /// The kernel's table has neither zones nor flow labels.
        #[test]
        fn zones_are_left_out(address in strategies::zoned(), protocol: u16) {
            let key = ServiceKey::Address { protocol: Protocol::from_number(protocol), at: address };
            let server = Destination::new(address);
            let plain = Destination::new(crate::service::without_scope_id(address));
            prop_assert_eq!(reread(&key)?, key.without_scope_id());
            prop_assert_eq!(reread(&server)?, plain);
            for command in [
                Command::AddService(Service::new(key)),
                Command::DeleteService(key),
                Command::AddDestination(key, server),
                Command::EditDestination(key, server),
                Command::DeleteDestination(key, address),
                Command::Zero(Some(key)),
            ] {
                prop_assert_eq!(reread(&command)?, command.without_scope_ids());
            }
        }
    }

    /// What no desired state may have, but a kernel.
    #[test]
    fn values_of_a_kernel_survive() {
        let service = Service::new("tcp 192.0.2.1:80".parse().unwrap());
        for flags in 0..16 {
            survives(&service.with_scheduler_flags(SchedulerFlags::from_bits_retain(flags))).unwrap();
        }
        for number in [0, i32::MAX as u32, 1 << 31, u32::MAX] {
            survives(&service.with_persistence(Persistence::from_kernel(number))).unwrap();
            let server = Destination::new("192.0.2.11:80".parse().unwrap()).with_weight(Weight::from_kernel(number));
            survives(&Destination { upper_threshold: number, lower_threshold: u32::MAX, ..server }).unwrap();
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
        assert!(crate::change::plan(&back, &table()).is_empty() && crate::change::plan(&table(), &back).is_empty());
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
    }

    #[test]
    fn the_names_are_these() {
        let service = Service::new("tcp 192.0.2.1:80".parse().unwrap()).with_persistence(Persistence::default());
        assert_eq!(
            serde_json::to_string(&service).unwrap(),
            r#"{"address":"192.0.2.1:80","protocol":"tcp","scheduler":"wlc","persistence":360}"#
        );
        let server = Destination::new("192.0.2.11:80".parse().unwrap())
            .with_forwarding(Forwarding::Tunnel(Tunnel::Gre { flags: TunnelFlags::CHECKSUM }));
        assert_eq!(
            serde_json::to_string(&server).unwrap(),
            r#"{"address":"192.0.2.11:80","forwarding":"tunnel","tunnel":{"type":"gre","flags":["checksum"]},"weight":1}"#
        );
        assert_eq!(serde_json::to_string(&Command::Flush).unwrap(), r#""flush""#);
        assert_eq!(serde_json::to_string(&Errno::EEXIST).unwrap(), "17");
    }

    /// What `ipvs-cli show --json` writes.
    fn shown(table: &Table, statistics: bool) -> String {
        let (mut text, mut options) = (Vec::new(), crate::desired::WriteOptions::default());
        options.statistics = statistics;
        crate::desired::write_json(&mut text, table, options).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_table_is_the_json_of_desired_states() {
        let shown_table = serde_json::from_str::<serde_json::Value>(&shown(&table(), true)).unwrap();
        assert_eq!(serde_json::to_value(table()).unwrap(), shown_table);
        let text = serde_json::to_string(&table()).unwrap();
        let desired = crate::desired::read(&crate::desired::Source::new("table.json", text)).unwrap();
        let director = Table::new().with_interface(InterfaceName::new("lo").unwrap());
        assert_eq!(desired.table(&director).unwrap(), table());
    }

    #[test]
    fn a_table_is_read_from_what_is_shown() {
        for statistics in [false, true] {
            assert_eq!(serde_json::from_str::<Table>(&shown(&table(), statistics)).unwrap(), table());
        }
    }

    #[test]
    fn what_has_a_default_may_be_missing() {
        let text = r#"{"version":1,"services":[{"mark":7,"destinations":[{"address":"192.0.2.11"}]}]}"#;
        let table: Table = serde_json::from_str(text).unwrap();
        assert_eq!(table.timeouts(), Table::new().timeouts());
        let entry = table.services().next().unwrap();
        assert_eq!(*entry.service(), Service::new("mark 7".parse().unwrap()));
        let server = *entry.destinations().next().unwrap();
        assert_eq!(server.destination, Destination::new("192.0.2.11:0".parse().unwrap()));
        assert_eq!((entry.state().statistics, server.statistics), (None, None));
        let daemon: Daemon = serde_json::from_str(r#"{"role":"backup","interface":"eth0"}"#).unwrap();
        assert_eq!(daemon, Daemon::new(DaemonRole::Backup, InterfaceName::new("eth0").unwrap()));
    }

    /// Of statistics and of the kernel, older and newer versions of this crate know other keys.
    #[test]
    fn counters_come_and_go() {
        let text = r#"{"version":1,"kernel":{"flavor":"mint"},"services":[
            {"mark":7,"statistics":{"connections":5,"errors":1},"destinations":[
                {"address":"192.0.2.11","statistics":{"active_connections":2,"connections":3,"rates":{"errors":4}}}]}]}"#;
        let table: Table = serde_json::from_str(text).unwrap();
        let entry = table.services().next().unwrap();
        let connections = |connections| Some(Statistics { connections, ..Statistics::default() });
        assert_eq!(entry.state().statistics, connections(5));
        let server = entry.destinations().next().unwrap();
        assert_eq!((server.active_connections, server.statistics), (2, connections(3)));
    }

    #[test]
    fn errors_say_where_and_what_would_be_right() {
        for (text, reason) in [
            ("{\"version\":2}", "version 2 is unknown: this program reads version 1"),
            (
                "{\"version\":1,\n\"services\":[{\"mark\":1},\n{\"mark\":0}\n]}",
                "'mark' must be a whole number from 1 to 4294967295, not 0 at line 4 column 1",
            ),
            (
                "{\"version\":1,\n\"services\":[{\"mark\":1,\"shceduler\":\"rr\"}]}",
                "unknown key 'shceduler' in a service: did you mean 'scheduler'? at line 2 column 40",
            ),
            (
                "{\"version\":1,\"services\":[{\"mark\":1,\"destinations\":[{\"address\":\"192.0.2.11\",\"weight\":-1}]}]}",
                "mark 1: 'weight' must be a whole number from 0 to 2147483647, not -1 at line 1 column 90",
            ),
            ("{\"version\":1,\"services\":[{\"mark\":1,\"mark\":1}]}", "'mark' is already defined at line 1 column 45"),
        ] {
            assert_eq!(serde_json::from_str::<Table>(text).unwrap_err().to_string(), reason, "{text}");
        }
    }

    #[test]
    fn what_constructors_refuse_is_refused() {
        let wrong = [
            serde_json::from_str::<Weight>("2147483648").map(drop),
            serde_json::from_str::<FirewallMark>("0").map(drop),
            serde_json::from_str::<Persistence>("0").map(drop),
            serde_json::from_str::<ServiceKey>(r#""tcp 192.0.2.1""#).map(drop),
            serde_json::from_str::<Scheduler>(r#""a-name-that-is-too-long""#).map(drop),
            serde_json::from_str::<Version>(r#""1.2""#).map(drop),
            serde_json::from_str::<Forwarding>(r#"{"forwarding":3}"#).map(drop),
            serde_json::from_str::<Service>(r#"{"mark":1,"netmask":64}"#).map(drop),
            serde_json::from_str::<Service>(r#"{"mark":1,"nettmask":32}"#).map(drop),
            serde_json::from_str::<Service>(r#"{"mark":1,"destinations":[]}"#).map(drop),
            serde_json::from_str::<ServiceState>(r#"{"mark":1,"destinations":[]}"#).map(drop),
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
        let text = r#"{"forwarding":"tunnel","tunnel":{"type":0}}"#;
        assert_eq!(serde_json::from_str::<Forwarding>(text).unwrap(), Forwarding::Tunnel(Tunnel::Ipip));
    }
}
