//! Why the kernel refuses a command: what its error number leaves open.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::daemon::{Daemon, DaemonRole};
use crate::destination::{Tunnel, Weight};
use crate::errno::Errno;
use crate::name::{InterfaceName, Module, PersistenceEngine, Scheduler};
use crate::service::{Family, ServiceKey};

/// Why a command is refused: [`Table::explain`](crate::Table::explain),
/// [`Client::explain`](crate::Client::explain).
///
/// The kernel gives an error number, and one number stands for many things. A cause is one of them,
/// and prints as a sentence. Kernel: `net/netfilter/ipvs/ip_vs_ctl.c`, `ip_vs_sync.c`.
///
/// ```
/// use ipvs::{Cause, Command, Destination, Errno, Service, Table};
/// let key = "tcp 192.0.2.1:80".parse()?;
/// let mut table = Table::new();
/// table.apply(&Command::AddService(Service::new(key)))?;
/// let add = Command::AddDestination(key, Destination::new("224.0.0.1:80".parse()?));
/// let cause = table.explain(&add).unwrap();
/// assert_eq!(cause.errno(), Errno::EINVAL);
/// assert_eq!(
///     cause.to_string(),
///     "224.0.0.1 is a multicast address, and a destination is one host"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The service is there already.
    ServiceExists(ServiceKey),
    /// The service is not there.
    NoSuchService {
        /// The service that was meant.
        key: ServiceKey,
        /// One that is there and has the same address, or the same mark.
        near: Option<ServiceKey>,
    },
    /// The kernel has no such scheduler.
    NoSuchScheduler(Scheduler),
    /// The kernel has no such persistence engine.
    NoSuchEngine(PersistenceEngine),
    /// One of the two is not there; the kernel has one error number for both, and could not be
    /// asked which.
    NoSuchSchedulerOrEngine(Scheduler, PersistenceEngine),
    /// The netmask of an IPv6 service is not a prefix length of 1 to 128.
    PrefixLength(u32),
    /// The service has this destination already.
    DestinationExists {
        /// The service.
        service: ServiceKey,
        /// The destination.
        at: SocketAddr,
    },
    /// The service has no such destination.
    NoSuchDestination {
        /// The service.
        service: ServiceKey,
        /// The destination that was meant.
        at: SocketAddr,
        /// One that the service has at the same address, of another port.
        near: Option<SocketAddr>,
    },
    /// A destination of the service's other address family, and not behind a tunnel.
    MixedFamilies {
        /// The service.
        service: ServiceKey,
        /// The destination.
        at: SocketAddr,
    },
    /// A destination of the service's other address family while a sync daemon runs.
    MixedFamiliesBesideDaemon {
        /// The service.
        service: ServiceKey,
        /// The destination.
        at: SocketAddr,
        /// The daemon.
        role: DaemonRole,
    },
    /// The weight is above [`Weight::MAX`].
    Weight(Weight),
    /// The lower threshold is above the upper one, or there is no upper one.
    Thresholds {
        /// The lower threshold.
        lower: u32,
        /// The upper threshold.
        upper: u32,
    },
    /// The upper threshold is above 2,147,483,647, and the kernel has
    /// [`SIGNED_UPPER_THRESHOLD`](crate::Behaviors::SIGNED_UPPER_THRESHOLD).
    UpperThreshold(u32),
    /// A GUE tunnel without a port.
    GueWithoutPort,
    /// The address is not that of a single host.
    NotAHost(IpAddr),
    /// No interface of the network namespace has had an address yet: the kernel then takes every
    /// address of IPv4 for one of broadcast.
    NoNetwork,
    /// A timeout of this number of seconds is more than the kernel can count.
    TimeoutTooLong(u32),
    /// The address of a sync daemon's group is not multicast.
    GroupNotMulticast(IpAddr),
    /// A sync daemon while a service has a destination of the other address family.
    DaemonBesideMixedFamilies {
        /// The service.
        service: ServiceKey,
        /// The destination.
        at: SocketAddr,
    },
    /// There is no such network interface.
    NoSuchInterface(InterfaceName),
    /// Nothing can be sent to the group through the interface: it is down, or there is no route.
    NoRoute {
        /// The interface of the sync daemon.
        interface: InterfaceName,
        /// Its group; the kernel's default, if that is not given.
        group: Option<IpAddr>,
    },
    /// The kernel takes the command, but does not know tunnels of this kind, and would make an
    /// `ipip` tunnel: see [`Behaviors::TUNNEL_KINDS`](crate::Behaviors::TUNNEL_KINDS).
    TunnelIgnored {
        /// The service.
        service: ServiceKey,
        /// The destination.
        at: SocketAddr,
        /// The tunnel that was asked for.
        tunnel: Tunnel,
    },
    /// The interface has no address to send from.
    NoAddress(InterfaceName),
    /// A sync daemon of this role runs already: this one.
    DaemonRuns(Daemon),
    /// No sync daemon of this role runs.
    NoSuchDaemon {
        /// The role.
        role: DaemonRole,
        /// The role of the daemon that does run, if there is one.
        running: Option<DaemonRole>,
    },
}

impl Cause {
    /// The error number with which the kernel refuses the command for this reason.
    ///
    /// Of [`TunnelIgnored`](Self::TunnelIgnored), where it refuses nothing,
    /// [`Errno::EOPNOTSUPP`].
    pub fn errno(&self) -> Errno {
        match self {
            Cause::ServiceExists(_) | Cause::DestinationExists { .. } | Cause::DaemonRuns(_) => Errno::EEXIST,
            Cause::NoSuchService { .. } | Cause::NoSuchDaemon { .. } => Errno::ESRCH,
            Cause::NoSuchScheduler(_) | Cause::NoSuchEngine(_) | Cause::NoSuchSchedulerOrEngine(..) => Errno::ENOENT,
            Cause::NoSuchDestination { .. } => Errno::ENOENT,
            Cause::TunnelIgnored { .. } => Errno::EOPNOTSUPP,
            Cause::NoSuchInterface(_) => Errno::ENODEV,
            Cause::NoRoute { .. } => Errno::ENETUNREACH,
            Cause::NoAddress(_) => Errno::EADDRNOTAVAIL,
            Cause::Weight(_) | Cause::Thresholds { .. } => Errno::ERANGE,
            Cause::MixedFamilies { .. } | Cause::MixedFamiliesBesideDaemon { .. } => Errno::EINVAL,
            Cause::PrefixLength(_) | Cause::UpperThreshold(_) | Cause::GueWithoutPort => Errno::EINVAL,
            Cause::NotAHost(_) | Cause::NoNetwork | Cause::TimeoutTooLong(_) => Errno::EINVAL,
            Cause::GroupNotMulticast(_) | Cause::DaemonBesideMixedFamilies { .. } => Errno::EINVAL,
        }
    }
}

impl From<Module> for Cause {
    /// The kernel has no such module.
    fn from(missing: Module) -> Self {
        match missing {
            Module::Scheduler(name) => Cause::NoSuchScheduler(name),
            Module::Engine(name) => Cause::NoSuchEngine(name),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::ServiceExists(key) => write!(f, "there is a service {key} already"),
            Cause::NoSuchService { key, near: None } => write!(f, "there is no service {key}"),
            Cause::NoSuchService { key, near: Some(near) } => write!(f, "there is no service {key}, but {near}"),
            Cause::NoSuchScheduler(name) => no_such_scheduler(f, *name),
            Cause::NoSuchEngine(name) => {
                write!(f, "the kernel says that it has no {}; Linux has sip", Module::from(*name))
            }
            Cause::NoSuchSchedulerOrEngine(scheduler, engine) => {
                let [scheduler, engine] = [Module::from(*scheduler), Module::from(*engine)];
                write!(f, "the kernel says that it has no {scheduler} or no {engine}")
            }
            Cause::PrefixLength(length) => write!(f, "an IPv6 prefix length is 1 to 128, not {length}"),
            Cause::DestinationExists { service, at } => write!(f, "{service} has a destination {at} already"),
            Cause::NoSuchDestination { service, at, near } => {
                write!(f, "{service} has no destination {at}")?;
                near.map_or(Ok(()), |near| write!(f, ", but {near}"))
            }
            Cause::MixedFamilies { service, at } => {
                differ(f, service, at)?;
                f.write_str(": that goes through a tunnel only")
            }
            Cause::MixedFamiliesBesideDaemon { service, at, role } => {
                differ(f, service, at)?;
                write!(f, ": that is impossible while a sync daemon ({role}) runs")
            }
            Cause::DaemonBesideMixedFamilies { service, at } => {
                differ(f, service, at)?;
                f.write_str(": no sync daemon can run beside that")
            }
            Cause::Weight(weight) => write!(f, "a weight is 0 to {}, not {weight}", Weight::MAX),
            Cause::Thresholds { lower, upper: 0 } => {
                write!(f, "the lower threshold, {lower}, needs an upper one that is not below it")
            }
            Cause::Thresholds { lower, upper } => {
                write!(f, "the lower threshold, {lower}, is above the upper one, {upper}")
            }
            Cause::UpperThreshold(upper) => write!(f, "an upper threshold is 0 to {}, not {upper}", i32::MAX),
            Cause::GueWithoutPort => f.write_str("a GUE tunnel needs a port, 1 to 65535"),
            Cause::TunnelIgnored { service, at, tunnel } => write!(
                f,
                "this kernel ignores the kind of a tunnel, as Linux before 5.2 does: {at} of {service} would be \
                 behind ipip, not {tunnel}"
            ),
            Cause::NotAHost(address) => write!(f, "{address} is {}, and a destination is one host", kind_of(*address)),
            Cause::NoNetwork => f.write_str(
                "this network namespace has no address yet, so the kernel takes no destination: `ip link set lo up` first",
            ),
            Cause::TimeoutTooLong(seconds) => write!(
                f,
                "a timeout of {seconds} s is too long: the most is 2147483 s where a second has 1000 clock ticks, and 21474836 s \
                 where it has 100"
            ),
            Cause::GroupNotMulticast(address) => write!(f, "{address} is not a multicast address"),
            Cause::NoSuchInterface(name) => write!(f, "there is no network interface {name}"),
            Cause::NoRoute { interface, group } => {
                f.write_str("nothing can be sent to the group")?;
                group.map_or(Ok(()), |group| write!(f, " {group}"))?;
                write!(f, " through {interface}: the interface is down, or there is no route")
            }
            Cause::NoAddress(interface) => {
                write!(f, "{interface} has no address to send from; one of IPv6 takes seconds to get ready")
            }
            Cause::DaemonRuns(Daemon { role, interface, sync_id, .. }) => {
                write!(f, "a {role} daemon runs already, on {interface} with sync id {sync_id}")
            }
            Cause::NoSuchDaemon { role, running: None } => write!(f, "no sync daemon runs, so no {role}"),
            Cause::NoSuchDaemon { role, running: Some(other) } => write!(f, "no {role} daemon runs, but a {other}"),
        }
    }
}

fn no_such_scheduler(f: &mut fmt::Formatter<'_>, name: Scheduler) -> fmt::Result {
    write!(f, "the kernel says that it has no {}", Module::from(name))?;
    if Scheduler::IN_TREE.contains(&name) {
        return Ok(());
    }
    f.write_str("; Linux has")?;
    Scheduler::IN_TREE.iter().try_for_each(|known| write!(f, " {known}"))
}

fn differ(f: &mut fmt::Formatter<'_>, service: &ServiceKey, at: &SocketAddr) -> fmt::Result {
    write!(f, "{service} is {}, its destination {at} is {}", service.family(), Family::of(at.ip()))
}

/// What an address is that is not a host's.
fn kind_of(address: IpAddr) -> &'static str {
    match address {
        _ if address.is_unspecified() => "no address",
        _ if address.is_multicast() => "a multicast address",
        IpAddr::V4(_) => "a broadcast address",
        IpAddr::V6(v6) if v6.is_unicast_link_local() => "a link-local address",
        IpAddr::V6(_) => "an IPv4 address written as IPv6",
    }
}
