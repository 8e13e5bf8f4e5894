//! The kernel's rules: what it refuses, in the order in which it looks.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::cause::Cause;
use crate::command::Command;
use crate::daemon::{Daemon, DaemonRole};
use crate::destination::{Destination, Forwarding, Tunnel};
use crate::kernel::Behaviors;
use crate::service::{Service, ServiceKey};
use crate::table::{Table, TableEntry};
use crate::timeouts::Timeouts;

impl Table {
    /// Why the kernel would refuse this command, or carry it out otherwise than asked: `None` if it
    /// would do what it says.
    ///
    /// ```
    /// use ipvs::{Cause, Command, Service, Table};
    /// let mut table = Table::new();
    /// table.apply(&Command::AddService(Service::new("tcp 192.0.2.1:80".parse()?)))?;
    /// let cause = table.explain(&Command::DeleteService("tcp 192.0.2.1:8080".parse()?)).unwrap();
    /// assert_eq!(
    ///     cause.to_string(),
    ///     "there is no service tcp 192.0.2.1:8080, but tcp 192.0.2.1:80"
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn explain(&self, command: &Command) -> Option<Cause> {
        let command = command.without_scope_ids();
        match self.check(&command) {
            Ok(()) => self.ignored(&command),
            Err(cause) => Some(self.with_near(cause)),
        }
    }

    /// What the kernel would carry out without a value that it does not know.
    fn ignored(&self, command: &Command) -> Option<Cause> {
        match command {
            Command::AddDestination(service, destination) | Command::EditDestination(service, destination) => {
                let tunnel = destination.tunnel_with_kind()?;
                let cause = Cause::TunnelIgnored { service: *service, at: destination.address, tunnel };
                (!self.behaviors().contains(Behaviors::TUNNEL_KINDS)).then_some(cause)
            }
            _ => None,
        }
    }

    /// Would the kernel carry this command out? If not, why; what is near is not looked for.
    pub(crate) fn check(&self, command: &Command) -> Result<(), Cause> {
        match command {
            Command::AddService(service) => self.check_new_service(service),
            Command::EditService(service) => self.entry(&service.key()).and_then(|_| self.check_service(service)),
            Command::DeleteService(key) | Command::Zero(Some(key)) => self.entry(key).map(drop),
            Command::AddDestination(key, destination) => self.check_new_destination(key, destination),
            Command::EditDestination(key, destination) => {
                let entry = self.check_destination(key, destination)?;
                check_has(entry, destination.address)
            }
            Command::DeleteDestination(key, at) => check_has(self.entry(key)?, *at),
            Command::Zero(None) | Command::Flush => Ok(()),
            Command::SetTimeouts(timeouts) => check_timeouts(timeouts),
            Command::StartDaemon(daemon) => self.check_new_daemon(daemon),
            Command::StopDaemon(role) => self.check_runs(*role),
        }
    }

    fn entry(&self, key: &ServiceKey) -> Result<&TableEntry, Cause> {
        self.service(key).ok_or(Cause::NoSuchService { key: *key, near: None })
    }

    fn check_new_service(&self, service: &Service) -> Result<(), Cause> {
        // The kernel looks for the service before it looks at anything else.
        if self.service(&service.key()).is_some() {
            return Err(Cause::ServiceExists(service.key()));
        }
        self.check_service(service)
    }

    fn check_service(&self, service: &Service) -> Result<(), Cause> {
        // In the kernel's order.
        if let Some(missing) = service.modules().find(|module| self.has_module(*module) == Some(false)) {
            return Err(missing.into());
        }
        match service.netmask().as_v6() {
            Some(length) if !(1..=128).contains(&length) => Err(Cause::PrefixLength(length)),
            _ => Ok(()),
        }
    }

    fn check_new_destination(&self, key: &ServiceKey, destination: &Destination) -> Result<(), Cause> {
        let entry = self.check_destination(key, destination)?;
        if entry.destination(&destination.address).is_some() {
            return Err(Cause::DestinationExists { service: *key, at: destination.address });
        }
        match destination.address.ip() {
            ip if !may_be_destination(ip) => Err(Cause::NotAHost(ip)),
            IpAddr::V4(_) if self.has_no_network() => Err(Cause::NoNetwork),
            _ => Ok(()),
        }
    }

    /// What adding and editing have in common.
    fn check_destination(&self, key: &ServiceKey, destination: &Destination) -> Result<&TableEntry, Cause> {
        let entry = self.entry(key)?;
        self.check_family(*key, destination)?;
        check_numbers(destination, self.behaviors())?;
        Ok(entry)
    }

    fn check_family(&self, service: ServiceKey, destination: &Destination) -> Result<(), Cause> {
        let at = destination.address;
        if destination.family() == service.family() {
            return Ok(());
        }
        if !matches!(destination.forwarding, Forwarding::Tunnel(_)) {
            return Err(Cause::MixedFamilies { service, at });
        }
        match self.daemons().first() {
            Some(daemon) => Err(Cause::MixedFamiliesBesideDaemon { service, at, role: daemon.role }),
            None => Ok(()),
        }
    }

    fn check_new_daemon(&self, daemon: &Daemon) -> Result<(), Cause> {
        if let Some(group) = daemon.group.filter(|group| !group.is_multicast()) {
            return Err(Cause::GroupNotMulticast(group));
        }
        if let Some((service, at)) = self.services().find_map(other_family) {
            return Err(Cause::DaemonBesideMixedFamilies { service, at });
        }
        if self.interface(daemon.interface).is_none() {
            return Err(Cause::NoSuchInterface(daemon.interface));
        }
        match self.daemons().iter().find(|running| running.role == daemon.role) {
            Some(running) => Err(Cause::DaemonRuns(*running)),
            None => Ok(()),
        }
    }

    fn check_runs(&self, role: DaemonRole) -> Result<(), Cause> {
        if self.daemons().iter().any(|daemon| daemon.role == role) {
            return Ok(());
        }
        Err(Cause::NoSuchDaemon { role, running: self.daemons().first().map(|daemon| daemon.role) })
    }
}

/// A destination of another family than its service.
fn other_family(entry: &TableEntry) -> Option<(ServiceKey, SocketAddr)> {
    let key = entry.service().key();
    let mut destinations = entry.destinations().map(|state| &state.destination);
    destinations.find(|destination| destination.family() != key.family()).map(|destination| (key, destination.address))
}

fn check_has(entry: &TableEntry, at: SocketAddr) -> Result<(), Cause> {
    match entry.destination(&at) {
        Some(_) => Ok(()),
        None => Err(Cause::NoSuchDestination { service: entry.service().key(), at, near: None }),
    }
}

fn check_numbers(destination: &Destination, behaviors: Behaviors) -> Result<(), Cause> {
    const LARGEST: u32 = i32::MAX as u32;
    let (lower, upper) = (destination.lower_threshold, destination.upper_threshold);
    if destination.weight.get() > LARGEST {
        return Err(Cause::Weight(destination.weight));
    }
    if lower > upper {
        return Err(Cause::Thresholds { lower, upper });
    }
    if upper > LARGEST && behaviors.contains(Behaviors::SIGNED_UPPER_THRESHOLD) {
        return Err(Cause::UpperThreshold(upper));
    }
    match destination.forwarding {
        // Of its type it has no other port than 0.
        Forwarding::Tunnel(Tunnel::Other(other))
            if other.kind() == 1 && behaviors.contains(Behaviors::TUNNEL_KINDS) =>
        {
            Err(Cause::GueWithoutPort)
        }
        _ => Ok(()),
    }
}

fn check_timeouts(wanted: &Timeouts) -> Result<(), Cause> {
    // A second has at least 100 clock ticks; the kernel counts in an int.
    const LONGEST: u32 = i32::MAX as u32 / 100;
    let mut given = [wanted.tcp, wanted.tcp_fin, wanted.udp].into_iter().flatten();
    given.find(|seconds| *seconds > LONGEST).map_or(Ok(()), |seconds| Err(Cause::TimeoutTooLong(seconds)))
}

/// Of 127.0.0.1/8, which every loopback has.
const LOOPBACK_BROADCAST: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 255);

/// Would the kernel take this address for a single host that it can reach?
fn may_be_destination(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast() || v4 == LOOPBACK_BROADCAST),
        IpAddr::V6(v6) => {
            !(v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some())
        }
    }
}

/// What may have been meant instead.
impl Table {
    /// The cause, with what is near to what is not there.
    fn with_near(&self, cause: Cause) -> Cause {
        match cause {
            Cause::NoSuchService { key, .. } => Cause::NoSuchService { key, near: self.service_near(key) },
            Cause::NoSuchDestination { service, at, .. } => {
                Cause::NoSuchDestination { service, at, near: self.destination_near(&service, at) }
            }
            other => other,
        }
    }

    fn service_near(&self, key: ServiceKey) -> Option<ServiceKey> {
        let near = self.services().filter_map(|entry| {
            let other = entry.service().key();
            Some((distance(key, other)?, other))
        });
        near.min().map(|(_, key)| key)
    }

    fn destination_near(&self, service: &ServiceKey, at: SocketAddr) -> Option<SocketAddr> {
        let mut there = self.service(service)?.destinations().map(|state| state.destination.address);
        there.find(|other| other.ip() == at.ip())
    }
}

/// How easily the one is taken for the other; `None`: not at all.
fn distance(one: ServiceKey, other: ServiceKey) -> Option<u8> {
    match (one, other) {
        (ServiceKey::Mark { mark, .. }, ServiceKey::Mark { mark: other, .. }) => (mark == other).then_some(0),
        (ServiceKey::Address { protocol, at }, ServiceKey::Address { protocol: other, at: there }) => {
            let same_host = at.ip() == there.ip();
            same_host.then_some(if at.port() == there.port() { 0 } else { 1 + u8::from(protocol != other) })
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
