//! Commands as ipvsadm's rules: what `ipvsadm -S` prints, and `ipvsadm -R` reads.
//!
//! To print one command, its `Display` is enough. These functions append to a buffer, without
//! `std::fmt`, because tables of thousands of lines are common.
//!
//! ```
//! use ipvs::{Command, Destination, Service, Table, rule};
//! let mut table = Table::new();
//! let web = "tcp 192.0.2.1:80".parse()?;
//! table.apply(&Command::AddService(Service::new(web)))?;
//! table.apply(&Command::AddDestination(web, Destination::new("192.0.2.11:80".parse()?)))?;
//!
//! let mut saved = Vec::new();
//! for entry in table.services() {
//!     rule::service(&mut saved, entry.service());
//!     saved.push(b'\n');
//!     for state in entry.destinations() {
//!         rule::command(&mut saved, &Command::AddDestination(web, state.destination));
//!         saved.push(b'\n');
//!     }
//! }
//! assert_eq!(
//!     String::from_utf8(saved)?,
//!     "-A -t 192.0.2.1:80 -s wlc\n-a -t 192.0.2.1:80 -r 192.0.2.11:80 -g -w 1\n"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
mod flags;
mod number;

/// The parts of a line, for the listings of `ipvs-cli`: no part of the stable interface.
#[doc(hidden)]
pub mod parts {
    pub use super::address::{address, bracketed, endpoint, netmask};
    pub use super::flags::{FLAG_NAMES, FlagName, any, flag_names, listed};
    pub use super::number::decimal;
    pub use super::{configuration, destination, identity};
}

use std::fmt;
use std::net::SocketAddr;

use self::address::{endpoint as numeric, netmask};
use self::number::decimal;
use crate::command::Command;
use crate::daemon::Daemon;
use crate::destination::{Destination, Forwarding, Tunnel, TunnelFlags};
use crate::service::{Family, Protocol, Service, ServiceKey};
use crate::timeouts::Timeouts;

/// Appends the rule that asks ipvsadm for a command.
///
/// Names that are not UTF-8 are written as they are; text that came from outside must be escaped
/// before it is shown on a terminal.
///
/// ```
/// use ipvs::{Command, rule};
/// let mut line = Vec::new();
/// rule::command(&mut line, &Command::DeleteService("tcp 192.0.2.1:80".parse()?));
/// assert_eq!(line, b"-D -t 192.0.2.1:80");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn command(line: &mut Vec<u8>, command: &Command) {
    match command {
        Command::AddService(service) => service_with(line, b"-A ", service),
        Command::EditService(service) => service_with(line, b"-E ", service),
        Command::DeleteService(key) => {
            line.extend_from_slice(b"-D ");
            identity(line, key, &mut numeric);
        }
        Command::AddDestination(key, server) => destination_with(line, b"-a ", key, server),
        Command::EditDestination(key, server) => destination_with(line, b"-e ", key, server),
        Command::DeleteDestination(key, at) => {
            line.extend_from_slice(b"-d ");
            identity(line, key, &mut numeric);
            line.extend_from_slice(b" -r ");
            numeric(line, *at, None);
        }
        Command::Zero(key) => {
            line.extend_from_slice(b"-Z");
            if let Some(key) = key {
                line.push(b' ');
                identity(line, key, &mut numeric);
            }
        }
        Command::Flush => line.extend_from_slice(b"-C"),
        Command::SetTimeouts(wanted) => timeouts(line, wanted),
        Command::StartDaemon(wanted) => daemon(line, wanted),
        Command::StopDaemon(role) => {
            line.extend_from_slice(b"--stop-daemon ");
            line.extend_from_slice(role.to_string().as_bytes());
        }
    }
}

/// The rule for it, as [`rule::command`](command) writes it. Bytes that are not UTF-8 are replaced.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = Vec::new();
        command(&mut line, self);
        f.pad(&String::from_utf8_lossy(&line))
    }
}

/// Appends the rule that makes a service.
///
/// ```
/// let mut line = Vec::new();
/// ipvs::rule::service(&mut line, &ipvs::Service::new("udp 192.0.2.1:53".parse()?));
/// assert_eq!(line, b"-A -u 192.0.2.1:53 -s wlc");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn service(line: &mut Vec<u8>, service: &Service) {
    service_with(line, b"-A ", service);
}

fn service_with(line: &mut Vec<u8>, option: &[u8], service: &Service) {
    line.extend_from_slice(option);
    identity(line, &service.key(), &mut numeric);
    configuration(line, service);
}

/// Appends what the rules of all destinations of a service start with; [`destination_end`] follows.
///
/// ```
/// use ipvs::{Destination, rule};
/// let (key, mut line) = ("mark 1".parse()?, Vec::new());
/// rule::destination_start(&mut line, &key);
/// rule::destination_end(&mut line, &key, &Destination::new("192.0.2.11:0".parse()?));
/// assert_eq!(line, b"-a -f 1 -r 192.0.2.11:0 -g -w 1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn destination_start(line: &mut Vec<u8>, service: &ServiceKey) {
    line.extend_from_slice(b"-a ");
    identity(line, service, &mut numeric);
    line.extend_from_slice(b" -r ");
}

/// Appends what follows [`destination_start`].
///
/// ```
/// use ipvs::{Destination, rule};
/// let (key, mut line) = ("mark 1".parse()?, Vec::new());
/// rule::destination_end(&mut line, &key, &Destination::new("192.0.2.11:0".parse()?));
/// assert_eq!(line, b"192.0.2.11:0 -g -w 1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn destination_end(line: &mut Vec<u8>, _service: &ServiceKey, server: &Destination) {
    destination(line, server, None, &mut numeric);
}

fn destination_with(line: &mut Vec<u8>, option: &[u8], service: &ServiceKey, server: &Destination) {
    line.extend_from_slice(option);
    identity(line, service, &mut numeric);
    line.extend_from_slice(b" -r ");
    destination(line, server, None, &mut numeric);
}

/// Appends the rule that sets timeouts. 0 leaves one as it is.
///
/// ```
/// let mut line = Vec::new();
/// ipvs::rule::timeouts(&mut line, &ipvs::Timeouts::new().with_udp(60));
/// assert_eq!(line, b"--set 0 0 60");
/// ```
pub fn timeouts(line: &mut Vec<u8>, timeouts: &Timeouts) {
    line.extend_from_slice(b"--set");
    for seconds in [timeouts.tcp, timeouts.tcp_fin, timeouts.udp] {
        line.push(b' ');
        decimal(line, seconds.unwrap_or_default());
    }
}

/// Appends the rule that starts a sync daemon.
///
/// ```
/// use ipvs::{Daemon, DaemonRole, InterfaceName};
/// let mut line = Vec::new();
/// ipvs::rule::daemon(&mut line, &Daemon::new(DaemonRole::Master, InterfaceName::new("eth0")?));
/// assert_eq!(line, b"--start-daemon master --mcast-interface eth0 --syncid 0");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn daemon(line: &mut Vec<u8>, daemon: &Daemon) {
    line.extend_from_slice(b"--start-daemon ");
    line.extend_from_slice(daemon.role.to_string().as_bytes());
    line.extend_from_slice(b" --mcast-interface ");
    line.extend_from_slice(daemon.interface.as_bytes());
    line.extend_from_slice(b" --syncid ");
    decimal(line, daemon.sync_id);
    if let Some(group) = daemon.group {
        line.extend_from_slice(b" --mcast-group ");
        address::address(line, group);
    }
    // Only what is known, and not 0.
    for (option, number) in [
        (&b" --mcast-port "[..], daemon.port),
        (b" --mcast-ttl ", daemon.ttl.map(u16::from)),
        (b" --sync-maxlen ", daemon.max_len),
    ] {
        if let Some(number) = number.filter(|number| *number != 0) {
            line.extend_from_slice(option);
            decimal(line, number);
        }
    }
}

/// How `address:port` is written: in numbers, or with names.
#[doc(hidden)]
pub trait Endpoint: FnMut(&mut Vec<u8>, SocketAddr, Option<Protocol>) {}

impl<E: FnMut(&mut Vec<u8>, SocketAddr, Option<Protocol>)> Endpoint for E {}

/// Appends the option and the value that name a service.
#[doc(hidden)]
pub fn identity(line: &mut Vec<u8>, key: &ServiceKey, endpoint: &mut impl Endpoint) {
    match key {
        ServiceKey::Address { protocol, at } => {
            line.extend_from_slice(match *protocol {
                Protocol::TCP => b"-t ",
                Protocol::UDP => b"-u ",
                Protocol::SCTP => b"--sctp-service ",
                // ipvsadm writes this for other protocols, and does not read it.
                _ => b"--xxx-service ",
            });
            endpoint(line, *at, Some(*protocol));
        }
        ServiceKey::Mark { mark, family } => {
            line.extend_from_slice(b"-f ");
            decimal(line, mark.get());
            if *family == Family::V6 {
                line.extend_from_slice(b" -6");
            }
        }
    }
}

/// Appends the options of a service.
#[doc(hidden)]
pub fn configuration(line: &mut Vec<u8>, service: &Service) {
    line.extend_from_slice(b" -s ");
    line.extend_from_slice(service.scheduler.as_bytes());
    if let Some(persistence) = service.persistence {
        line.extend_from_slice(b" -p ");
        decimal(line, persistence.seconds());
        if !service.netmask().is_whole() {
            line.extend_from_slice(b" -M ");
            netmask(line, service.netmask());
        }
    }
    if let Some(engine) = service.engine {
        line.extend_from_slice(b" --pe ");
        line.extend_from_slice(engine.as_bytes());
    }
    if service.one_packet {
        line.extend_from_slice(b" -o");
    }
    if flags::any(service) {
        line.extend_from_slice(b" -b ");
        flags::saved(line, service);
    }
}

/// Appends a destination and its options. Its port may have a name if the service has a protocol.
#[doc(hidden)]
pub fn destination(
    line: &mut Vec<u8>,
    destination: &Destination,
    protocol: Option<Protocol>,
    endpoint: &mut impl Endpoint,
) {
    endpoint(line, destination.address, protocol);
    line.extend_from_slice(match destination.forwarding {
        Forwarding::Masquerade => b" -m",
        Forwarding::Tunnel(_) => b" -i",
        // The kernel makes a destination local by itself.
        Forwarding::DirectRoute | Forwarding::Local => b" -g",
        // As ipvsadm: there is no option for it.
        _ => b" (null)",
    });
    line.extend_from_slice(b" -w ");
    decimal(line, destination.weight.get());
    thresholds(line, destination.upper_threshold, destination.lower_threshold);
    if let Forwarding::Tunnel(tunnel) = destination.forwarding {
        tunnel_options(line, tunnel);
    }
}

/// ipvsadm forgets them. 0 is the default, and means none.
fn thresholds(line: &mut Vec<u8>, upper: u32, lower: u32) {
    for (option, threshold) in [(b" -x ", upper), (b" -y ", lower)] {
        if threshold != 0 {
            line.extend_from_slice(option);
            decimal(line, threshold);
        }
    }
}

fn tunnel_options(line: &mut Vec<u8>, tunnel: Tunnel) {
    match tunnel {
        Tunnel::Ipip => line.extend_from_slice(b" --tun-type ipip"),
        Tunnel::Gue { port, flags } => {
            line.extend_from_slice(b" --tun-type gue --tun-port ");
            decimal(line, port.get());
            checksum(line, flags);
        }
        Tunnel::Gre { flags } => {
            line.extend_from_slice(b" --tun-type gre");
            checksum(line, flags);
        }
        // With a port or flags that mean nothing to them.
        Tunnel::Other(ipip) if ipip.kind() == 0 => tunnel_options(line, Tunnel::Ipip),
        Tunnel::Other(gre) if gre.kind() == 2 => tunnel_options(line, Tunnel::Gre { flags: gre.flags() }),
        // As ipvsadm: it has no name for the type.
        _ => {}
    }
}

/// Both at once the kernel takes, but no option asks for: with both, restoring fails instead of
/// making something else.
fn checksum(line: &mut Vec<u8>, flags: TunnelFlags) {
    if flags.is_empty() {
        line.extend_from_slice(b" --tun-nocsum");
    }
    if flags.contains(TunnelFlags::CHECKSUM) {
        line.extend_from_slice(b" --tun-csum");
    }
    if flags.contains(TunnelFlags::REMOTE_CHECKSUM) {
        line.extend_from_slice(b" --tun-remcsum");
    }
}

/// What `write` appends.
#[cfg(test)]
pub(crate) fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut line = Vec::new();
    write(&mut line);
    String::from_utf8(line).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DaemonRole, InterfaceName, Weight};

    #[test]
    fn each_command_is_a_rule() {
        let key: ServiceKey = "tcp [2001:db8::1]:80".parse().unwrap();
        let server = Destination::new("[2001:db8::11]:8080".parse().unwrap()).with_weight(Weight::ZERO);
        let daemon =
            Daemon { port: Some(8849), ..Daemon::new(DaemonRole::Backup, InterfaceName::new("eth1").unwrap()) };
        for (command, rule) in [
            (Command::AddService(Service::new(key)), "-A -t [2001:db8::1]:80 -s wlc"),
            (Command::EditService(Service::new("mark 7 ipv6".parse().unwrap())), "-E -f 7 -6 -s wlc"),
            (Command::DeleteService(key), "-D -t [2001:db8::1]:80"),
            (Command::AddDestination(key, server), "-a -t [2001:db8::1]:80 -r [2001:db8::11]:8080 -g -w 0"),
            (Command::EditDestination(key, server), "-e -t [2001:db8::1]:80 -r [2001:db8::11]:8080 -g -w 0"),
            (Command::DeleteDestination(key, server.address), "-d -t [2001:db8::1]:80 -r [2001:db8::11]:8080"),
            (Command::Zero(None), "-Z"),
            (Command::Zero(Some(key)), "-Z -t [2001:db8::1]:80"),
            (Command::Flush, "-C"),
            (Command::SetTimeouts(Timeouts { tcp: Some(60), ..Default::default() }), "--set 60 0 0"),
            (Command::StartDaemon(daemon), "--start-daemon backup --mcast-interface eth1 --syncid 0 --mcast-port 8849"),
            (Command::StopDaemon(DaemonRole::Master), "--stop-daemon master"),
        ] {
            assert_eq!(command.to_string(), rule);
        }
    }

    #[test]
    fn only_thresholds_that_are_set_are_written() {
        for (upper, lower, expected) in [(0, 0, ""), (10, 0, " -x 10"), (10, 4, " -x 10 -y 4"), (0, 4, " -y 4")] {
            assert_eq!(text(|line| thresholds(line, upper, lower)), expected);
        }
    }

    #[test]
    fn a_tunnel_with_both_checksums_is_not_saved_as_another() {
        assert_eq!(text(|line| checksum(line, TunnelFlags::all())), " --tun-csum --tun-remcsum");
    }
}
