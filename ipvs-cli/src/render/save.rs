//! The commands that make a table again (`-S`).

use std::io::{self, Write};

use ipvs::{
    Destination, DestinationState, Family, Forwarding, Protocol, Service, ServiceKey, ServiceState, Tunnel, TunnelFlags,
};

use super::address::{endpoint, netmask};
use super::list::names_of_ports;
use super::number::decimal;
use super::{Lines, flags, order};
use crate::ipvsadm::names::Names;

/// Writes the command that makes a service, and those that give it its destinations, sorted.
pub fn service(
    out: &mut impl Write,
    numeric: bool,
    state: &ServiceState,
    destinations: &mut [DestinationState],
    names: &mut Names,
) -> io::Result<()> {
    order::sort_destinations(destinations);
    let mut names = (!numeric).then_some(names);
    let protocol = names_of_ports(&state.service.key());
    let mut id = Vec::new();
    identity(&mut id, &state.service.key(), names.as_deref_mut());
    let mut lines = Lines::new(out, 1 + destinations.len());
    lines.line(|line| {
        line.extend_from_slice(b"-A ");
        line.extend_from_slice(&id);
        configuration(line, &state.service);
    })?;
    for state in destinations.iter() {
        lines.line(|line| {
            line.extend_from_slice(b"-a ");
            line.extend_from_slice(&id);
            line.extend_from_slice(b" -r ");
            destination(line, &state.destination, protocol, names.as_deref_mut());
        })?;
    }
    lines.flush()
}

/// The command that makes a service.
pub fn service_rule(line: &mut Vec<u8>, service: &Service) {
    line.extend_from_slice(b"-A ");
    identity(line, &service.key(), None);
    configuration(line, service);
}

/// The command that gives a service that is there this configuration.
pub fn service_edit(line: &mut Vec<u8>, service: &Service) {
    line.extend_from_slice(b"-E ");
    identity(line, &service.key(), None);
    configuration(line, service);
}

/// The command that gives a service a destination.
pub fn destination_rule(line: &mut Vec<u8>, service: &ServiceKey, server: &Destination) {
    destination_start(line, service);
    destination_end(line, service, server);
}

/// What the commands of all destinations of a service start with.
pub(crate) fn destination_start(line: &mut Vec<u8>, service: &ServiceKey) {
    line.extend_from_slice(b"-a ");
    identity(line, service, None);
    line.extend_from_slice(b" -r ");
}

/// What follows.
pub(crate) fn destination_end(line: &mut Vec<u8>, service: &ServiceKey, server: &Destination) {
    destination(line, server, names_of_ports(service), None);
}

fn identity(line: &mut Vec<u8>, key: &ServiceKey, names: Option<&mut Names>) {
    match key {
        ServiceKey::Address { protocol, at } => {
            line.extend_from_slice(match *protocol {
                Protocol::TCP => b"-t ",
                Protocol::UDP => b"-u ",
                Protocol::SCTP => b"--sctp-service ",
                // ipvsadm has no option for other protocols; this is what it writes, and nobody reads.
                _ => b"--xxx-service ",
            });
            endpoint(line, *at, Some(*protocol), names);
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

fn configuration(line: &mut Vec<u8>, service: &Service) {
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

fn destination(line: &mut Vec<u8>, destination: &Destination, protocol: Option<Protocol>, names: Option<&mut Names>) {
    endpoint(line, destination.address, protocol, names);
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

/// Both at once the kernel takes, but no option asks for: with both, restoring fails instead of making something else.
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

#[cfg(test)]
mod tests {
    use ipvs::Scheduler;

    use super::*;
    use crate::render::samples::{names, services, text};

    fn saved(numeric: bool) -> String {
        text(|out| {
            for (state, mut destinations) in services() {
                service(out, numeric, &state, &mut destinations, &mut names()).unwrap();
            }
        })
    }

    /// Recorded from ipvsadm 1.31 over the tables that `services` makes; the thresholds and the third flag of `sh` were added by hand.
    #[test]
    fn everything_is_as_recorded() {
        assert_eq!(saved(true), include_str!("recorded/save.txt"));
        assert_eq!(saved(false), include_str!("recorded/save-names.txt"));
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

    #[test]
    fn what_has_no_option_is_written_as_ipvsadm_does() {
        let state = ServiceState::new(Service::new("51 192.0.2.1:80".parse().unwrap()).with_scheduler(Scheduler::RR));
        let bypass = Destination::new("192.0.2.24:80".parse().unwrap()).with_forwarding(Forwarding::Bypass);
        let local = Destination::new("192.0.2.21:80".parse().unwrap()).with_forwarding(Forwarding::Local);
        let mut destinations = [bypass, local].map(DestinationState::new);
        let saved = text(|out| service(out, true, &state, &mut destinations, &mut Names::new()).unwrap());
        assert_eq!(
            saved,
            "-A --xxx-service 192.0.2.1:80 -s rr
-a --xxx-service 192.0.2.1:80 -r 192.0.2.21:80 -g -w 1
-a --xxx-service 192.0.2.1:80 -r 192.0.2.24:80 (null) -w 1\n"
        );
    }
}
