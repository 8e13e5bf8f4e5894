//! The commands that make a table again (`-S`).

use std::io::{self, Write};

use ipvs::rule::parts::{configuration, destination, identity};
use ipvs::{DestinationState, ServiceKey, ServiceState, Table};

use super::address::endpoint;
use super::list::names_of_ports;
use super::{Lines, order};
use crate::ipvsadm::names::Names;

/// Writes the command that makes a service, and those that give it its destinations, sorted.
// Inlined into its caller, it would be compiled for size as that is.
#[inline(never)]
pub fn service(
    out: &mut dyn Write,
    numeric: bool,
    state: &ServiceState,
    destinations: &[DestinationState],
    names: &mut Names,
) -> io::Result<()> {
    let mut names = (!numeric).then_some(names);
    let protocol = names_of_ports(&state.service.key());
    let mut id = Vec::new();
    let mut endpoint = |line: &mut Vec<u8>, at, protocol| endpoint(line, at, protocol, names.as_deref_mut());
    identity(&mut id, &state.service.key(), &mut endpoint);
    let mut lines = Lines::new(out, 1 + destinations.len());
    lines.line(|line| {
        line.extend_from_slice(b"-A ");
        line.extend_from_slice(&id);
        configuration(line, &state.service);
    })?;
    for state in order::sorted_destinations(destinations.iter().collect()) {
        lines.line(|line| {
            line.extend_from_slice(b"-a ");
            line.extend_from_slice(&id);
            line.extend_from_slice(b" -r ");
            destination(line, &state.destination, protocol, &mut endpoint);
        })?;
    }
    lines.flush()
}

/// Writes a table as `ipvsadm -S -n` does: all of it, or `only` one service.
///
/// # Errors
/// Those of `out`.
pub fn table(out: &mut dyn Write, table: &Table, only: Option<ServiceKey>) -> io::Result<()> {
    let mut services: Vec<_> = table.services().map(|entry| *entry.state()).collect();
    services.retain(|state| only.is_none_or(|key| key == state.service.key()));
    order::sort_services(&mut services);
    for state in services {
        let entry = table.service(&state.service.key());
        let destinations: Vec<_> = entry.into_iter().flat_map(|entry| entry.destinations()).copied().collect();
        self::service(out, true, &state, &destinations, &mut Names::default())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ipvs::{Destination, Forwarding, Scheduler, Service};

    use super::*;
    use crate::render::samples::{names, services, text};

    fn saved(numeric: bool) -> String {
        text(|out| {
            for (state, destinations) in services() {
                service(out, numeric, &state, &destinations, &mut names()).unwrap();
            }
        })
    }

    /// Recorded from ipvsadm 1.31 over the tables that `services` makes; the thresholds and the
    /// third flag of `sh` were added by hand.
    #[test]
    fn everything_is_as_recorded() {
        assert_eq!(saved(true), include_str!("recorded/save.txt"));
        assert_eq!(saved(false), include_str!("recorded/save-names.txt"));
    }

    #[test]
    fn what_has_no_option_is_written_as_ipvsadm_does() {
        let state = ServiceState::new(Service::new("51 192.0.2.1:80".parse().unwrap()).with_scheduler(Scheduler::RR));
        let bypass = Destination::new("192.0.2.24:80".parse().unwrap()).with_forwarding(Forwarding::Bypass);
        let local = Destination::new("192.0.2.21:80".parse().unwrap()).with_forwarding(Forwarding::Local);
        let destinations = [bypass, local].map(DestinationState::new);
        let saved = text(|out| service(out, true, &state, &destinations, &mut Names::new()).unwrap());
        assert_eq!(
            saved,
            "-A --xxx-service 192.0.2.1:80 -s rr
-a --xxx-service 192.0.2.1:80 -r 192.0.2.21:80 -g -w 1
-a --xxx-service 192.0.2.1:80 -r 192.0.2.24:80 (null) -w 1\n"
        );
    }
}
