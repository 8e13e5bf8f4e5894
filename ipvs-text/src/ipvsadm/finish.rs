//! A line at its end: what concerns it as a whole, and the command that it makes.
//!
//! The order of the checks is behaviour: the first fault is reported.

use ipvs::{
    Command, Daemon, DaemonRole, Destination, Family, Forwarding, InterfaceName, Netmask, Protocol, Scheduler,
    SchedulerFlags, Service, ServiceKey, Timeouts, Tunnel,
};

use super::line::{LONGEST_TIMEOUT, Line, Method, TunnelKind};
use super::parse::Invocation;
use super::rules::{self, Slot, Slots, Verb};
use super::scan::Plain;
use super::usage::Usage;
use super::value;
use crate::ipvsadm::request::{ListRequest, Listed, View};

impl Line {
    /// What the line asks for. `plain` are the words that belong to no option.
    pub(super) fn finish(&self, plain: Plain<'_>) -> Result<Invocation, Usage> {
        let mut used = 0;
        let mut timeouts = Timeouts::default();
        if self.verb == Verb::Set {
            timeouts = set_values(plain)?;
            used = 3;
        }
        if let Some(word) = plain.get(used) {
            return Err(Usage::UnexpectedWord(word.to_owned()));
        }
        let flags = value::scheduler_flags(&self.scheduler_flags, self.scheduler.as_ref().map(Scheduler::as_bytes))?;
        rules::of_command(self.verb).check(self.given)?;

        Ok(match self.verb {
            Verb::AddService => Invocation::Change(Command::AddService(self.service(flags)?)),
            Verb::EditService => Invocation::Change(Command::EditService(self.service(flags)?)),
            Verb::DeleteService => Invocation::Change(Command::DeleteService(self.key()?)),
            Verb::AddServer => Invocation::Change(Command::AddDestination(self.key()?, self.destination()?)),
            Verb::EditServer => Invocation::Change(Command::EditDestination(self.key()?, self.destination()?)),
            Verb::DeleteServer => Invocation::Change(Command::DeleteDestination(self.key()?, self.server()?)),
            Verb::Zero => Invocation::Change(Command::Zero(self.service.filter(|key| !stands_for_all(key)))),
            Verb::Flush => Invocation::Change(Command::Flush),
            Verb::Set => Invocation::Change(Command::SetTimeouts(timeouts)),
            Verb::StartDaemon => Invocation::Change(Command::StartDaemon(self.daemon()?)),
            Verb::StopDaemon => Invocation::Change(Command::StopDaemon(self.role()?)),
            Verb::List => Invocation::List(self.list()?),
            Verb::Save => Invocation::Save { numeric: self.given.has(Slot::Numeric) },
            Verb::Restore => Invocation::Restore,
        })
    }
}

/// The three values of `--set`; 0 leaves one as it is.
fn set_values(plain: Plain<'_>) -> Result<Timeouts, Usage> {
    let [Some(tcp), Some(tcp_fin), Some(udp)] = [0, 1, 2].map(|at| plain.get(at)) else {
        return Err(Usage::TooFewTimeouts);
    };
    let seconds = |text: &[u8]| match value::number(text, 0..=LONGEST_TIMEOUT) {
        Some(0) => Ok(None),
        Some(seconds) => Ok(Some(seconds)),
        None => Err(Usage::Invalid("timeout", text.to_owned())),
    };
    Ok(Timeouts::new().with_tcp(seconds(tcp)?).with_tcp_fin(seconds(tcp_fin)?).with_udp(seconds(udp)?))
}

/// `-Z -t 0.0.0.0:0` zeroes everything, of any protocol and family.
fn stands_for_all(key: &ServiceKey) -> bool {
    matches!(key, ServiceKey::Address { at, .. } if at.ip().is_unspecified() && at.port() == 0)
}

impl Line {
    // What a command needs was checked to be there; these say so once more instead of relying on
    // it.

    #[inline]
    fn key(&self) -> Result<ServiceKey, Usage> {
        self.service.ok_or_else(|| rules::needed(self.verb, Slot::ServiceAddress))
    }

    fn server(&self) -> Result<std::net::SocketAddr, Usage> {
        self.server.ok_or_else(|| rules::needed(self.verb, Slot::RealServer))
    }

    fn role(&self) -> Result<DaemonRole, Usage> {
        self.role.ok_or(Usage::NoCommand)
    }

    fn service(&self, scheduler_flags: SchedulerFlags) -> Result<Service, Usage> {
        let key = self.key()?;
        let one_packet = self.given.has(Slot::Ops);
        if let ServiceKey::Address { protocol, at } = key {
            if at.port() == 0 && self.persistence.is_none() {
                return Err(Usage::ZeroPort);
            }
            if one_packet && protocol != Protocol::UDP {
                return Err(Usage::OnePacketNotUdp);
            }
        }
        let mut service = Service::new(key);
        service.scheduler = self.scheduler.unwrap_or_default();
        service.scheduler_flags = scheduler_flags;
        service.persistence = self.persistence;
        service.engine = self.engine;
        service.one_packet = one_packet;
        let netmask = match key.family() {
            Family::V4 => self.mask_v4.map(Netmask::v4),
            Family::V6 => self.mask_v6.and_then(|prefix| Netmask::v6(prefix).ok()),
        };
        // Of the service's family, as it was chosen by it.
        Ok(netmask.and_then(|netmask| service.with_netmask(netmask).ok()).unwrap_or(service))
    }

    fn destination(&self) -> Result<Destination, Usage> {
        let (key, mut address) = (self.key()?, self.server()?);
        if let ServiceKey::Address { at, .. } = key
            && self.method != Method::Masquerade
        {
            // Only NAT can change the port: the packets arrive with the service's.
            address.set_port(at.port());
        }
        if Family::of(address.ip()) != key.family() && self.method != Method::Tunnel {
            return Err(Usage::MixedFamilies);
        }
        let destination = Destination::new(address).with_forwarding(self.forwarding()?).with_weight(self.weight);
        Ok(destination.with_upper_threshold(self.upper_threshold).with_lower_threshold(self.lower_threshold))
    }

    fn forwarding(&self) -> Result<Forwarding, Usage> {
        match self.method {
            Method::Tunnel => Ok(Forwarding::Tunnel(self.tunnel()?)),
            _ if self.given.intersects(rules::TUNNEL) => Err(Usage::NotATunnel),
            Method::Masquerade => Ok(Forwarding::Masquerade),
            Method::DirectRoute => Ok(Forwarding::DirectRoute),
        }
    }

    fn tunnel(&self) -> Result<Tunnel, Usage> {
        let rule = match self.tunnel {
            TunnelKind::Ipip => &rules::IPIP,
            TunnelKind::Gue => &rules::GUE,
            TunnelKind::Gre => &rules::GRE,
        };
        rule.check_tunnel(self.given)?;
        let flags = self.tunnel_flags;
        Ok(match (self.tunnel, self.tunnel_port) {
            (TunnelKind::Gue, Some(port)) => Tunnel::Gue { port, flags },
            (TunnelKind::Gre, _) => Tunnel::Gre { flags },
            (TunnelKind::Ipip | TunnelKind::Gue, _) => Tunnel::Ipip,
        })
    }

    fn daemon(&self) -> Result<Daemon, Usage> {
        let interface = match self.interface {
            Some(interface) => interface,
            None => InterfaceName::new("eth0").map_err(|_| Usage::Illegal("mcast-interface"))?,
        };
        let daemon = Daemon::new(self.role()?, interface).with_sync_id(self.sync_id).with_max_len(self.sync_max_len);
        Ok(daemon.with_group(self.group).with_port(self.group_port).with_ttl(self.ttl))
    }

    fn list(&self) -> Result<ListRequest, Usage> {
        const COUNTERS: Slots = Slots::of(&[Slot::Stats, Slot::Rate, Slot::Thresholds]);
        const NO_SERVICES: Slots = Slots::of(&[Slot::Connection, Slot::Timeout, Slot::Daemon]);
        const SETTINGS: Slots = Slots::of(&[Slot::Timeout, Slot::Daemon]);
        let given = self.given;
        if given.intersects(NO_SERVICES) && given.intersects(COUNTERS)
            || given.intersects(SETTINGS) && given.has(Slot::PersistentConn)
        {
            return Err(Usage::ListConflict);
        }
        Ok(ListRequest {
            what: self.listed(),
            view: self.view(),
            numeric: given.has(Slot::Numeric),
            exact: given.has(Slot::Exact),
            nosort: given.has(Slot::NoSort),
        })
    }

    fn listed(&self) -> Listed {
        match self.service {
            Some(key) => Listed::Service(key),
            None if self.given.has(Slot::Connection) => Listed::Connections,
            None if self.given.has(Slot::Timeout) => Listed::Timeouts,
            None if self.given.has(Slot::Daemon) => Listed::Daemons,
            None => Listed::All,
        }
    }

    fn view(&self) -> View {
        const BY_PRECEDENCE: [(Slot, View); 5] = [
            (Slot::Stats, View::Stats),
            (Slot::Rate, View::Rate),
            (Slot::Thresholds, View::Thresholds),
            (Slot::PersistentConn, View::PersistentConn),
            (Slot::TunInfo, View::TunInfo),
        ];
        let asked = BY_PRECEDENCE.iter().find(|(slot, _)| self.given.has(*slot));
        asked.map_or(View::Plain, |(_, view)| *view)
    }
}
