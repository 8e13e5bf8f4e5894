//! Listings of services and their destinations (`-L`), in all views.

use std::io::{self, Write};

use ipvs::rule::parts;
use ipvs::{
    DestinationState, Family, Forwarding, Info, Protocol, Rates, ServiceKey, ServiceState, Statistics, Tunnel,
    TunnelFlags,
};

use super::address::{cut_endpoint, netmask};
use super::number::{counter, decimal, left, left_number, right_number};
use super::{Lines, order};
use crate::ipvsadm::names::Names;
use crate::ipvsadm::request::{ListRequest, View};

/// The width of an address and port; longer ones of IPv4 are cut.
const ENDPOINT: usize = 28;
/// The width of what stands before a line's numbers.
const LABEL: usize = 33;

/// Writes the lines above a listing: the kernel's version, if it is given, and two lines of titles.
pub fn titles(out: &mut dyn Write, request: &ListRequest, info: Option<Info>) -> io::Result<()> {
    if let Some(info) = info {
        let size = info.connection_table_size;
        writeln!(out, "IP Virtual Server version {} (size={size})", info.version)?;
    }
    out.write_all(match request.view {
        View::Stats => {
            b"Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port\n"
        }
        View::Rate => {
            b"Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS
  -> RemoteAddress:Port\n"
        }
        // The first line of these two ends with a space.
        View::Thresholds => {
            b"Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn \n  -> RemoteAddress:Port\n"
        }
        View::PersistentConn => {
            b"Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn \n  -> RemoteAddress:Port\n"
        }
        View::TunInfo => {
            b"Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn\n"
        }
        View::Plain => {
            b"Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n"
        }
    })
}

/// Writes a service and its destinations, sorted unless the request has `--nosort`.
// Inlined into its caller, it would be compiled for size as that is.
#[inline(never)]
pub fn service(
    out: &mut dyn Write,
    request: &ListRequest,
    state: &ServiceState,
    destinations: &[DestinationState],
    names: &mut Names,
) -> io::Result<()> {
    let mut destinations: Vec<_> = destinations.iter().collect();
    if !request.nosort {
        destinations = order::sorted_destinations(destinations);
    }
    let mut names = (!request.numeric).then_some(names);
    let protocol = names_of_ports(&state.service.key());
    let mut lines = Lines::new(out, 1 + destinations.len());
    lines.line(|line| service_line(line, request, state, names.as_deref_mut()))?;
    for destination in destinations {
        lines.line(|line| {
            line.extend_from_slice(b"  -> ");
            let at = destination.destination.address;
            left(line, ENDPOINT, |line| cut_endpoint(line, ENDPOINT, at, protocol, names.as_deref_mut()));
            destination_columns(line, request, destination);
        })?;
    }
    lines.flush()
}

/// The protocol whose names ports have; those of a firewall mark's destinations have none.
pub(super) fn names_of_ports(key: &ServiceKey) -> Option<Protocol> {
    match key {
        ServiceKey::Address { protocol, .. } => Some(*protocol),
        ServiceKey::Mark { .. } => None,
    }
}

fn service_line(line: &mut Vec<u8>, request: &ListRequest, state: &ServiceState, names: Option<&mut Names>) {
    match request.view {
        View::Stats | View::Rate => {
            left(line, LABEL, |line| key(line, &state.service.key(), names));
            for number in counters(request.view, state.statistics) {
                counter(line, request.exact, number);
            }
        }
        View::Thresholds | View::PersistentConn | View::TunInfo | View::Plain => {
            key(line, &state.service.key(), names);
            configuration(line, state);
        }
    }
}

fn key(line: &mut Vec<u8>, key: &ServiceKey, names: Option<&mut Names>) {
    match key {
        ServiceKey::Address { protocol, at } => {
            line.extend_from_slice(match *protocol {
                Protocol::TCP => b"TCP  ",
                Protocol::UDP => b"UDP  ",
                Protocol::SCTP => b"SCTP ",
                _ => b"?    ",
            });
            cut_endpoint(line, ENDPOINT, *at, Some(*protocol), names);
        }
        ServiceKey::Mark { mark, family } => {
            line.extend_from_slice(b"FWM  ");
            decimal(line, mark.get());
            if *family == Family::V6 {
                line.extend_from_slice(b" IPv6");
            }
        }
    }
}

fn configuration(line: &mut Vec<u8>, state: &ServiceState) {
    let service = &state.service;
    line.push(b' ');
    line.extend_from_slice(service.scheduler.as_bytes());
    if parts::any(service) {
        line.extend_from_slice(b" (");
        parts::listed(line, service);
        line.push(b')');
    }
    if let Some(persistence) = service.persistence {
        line.extend_from_slice(b" persistent ");
        decimal(line, persistence.seconds());
        if !service.netmask().is_whole() {
            line.extend_from_slice(b" mask ");
            netmask(line, service.netmask());
        }
        if let Some(engine) = service.engine {
            line.extend_from_slice(b" pe ");
            line.extend_from_slice(engine.as_bytes());
        }
    }
    if service.one_packet {
        line.extend_from_slice(b" ops");
    }
}

/// Without statistics zeros are printed, as ipvsadm does.
fn counters(view: View, statistics: Option<Statistics>) -> [u64; 5] {
    let Statistics { connections, packets_in, packets_out, bytes_in, bytes_out, rates, .. } =
        statistics.unwrap_or_default();
    if view == View::Rate {
        let Rates { connections, packets_in, packets_out, bytes_in, bytes_out, .. } = rates;
        [connections, packets_in, packets_out, bytes_in, bytes_out]
    } else {
        [connections, packets_in, packets_out, bytes_in, bytes_out]
    }
}

fn destination_columns(line: &mut Vec<u8>, request: &ListRequest, state: &DestinationState) {
    let destination = &state.destination;
    match request.view {
        View::Stats => {
            for number in counters(View::Stats, state.statistics) {
                counter(line, request.exact, number);
            }
            return;
        }
        View::Rate => return rates(line, request, state.statistics),
        View::Thresholds => {
            left_number(line, 10, destination.upper_threshold);
            left_number(line, 10, destination.lower_threshold);
        }
        View::PersistentConn => {
            left_number(line, 9, destination.weight.get());
            left_number(line, 11, state.persistent_connections);
        }
        View::TunInfo => {
            forwarding(line, destination.forwarding);
            line.push(b' ');
            left(line, 13, |line| tunnel_info(line, destination.forwarding));
            left_number(line, 6, destination.weight.get());
        }
        View::Plain => {
            forwarding(line, destination.forwarding);
            left_number(line, 6, destination.weight.get());
        }
    }
    left_number(line, 10, state.active_connections);
    left_number(line, 10, state.inactive_connections);
}

/// Of a destination only the bytes a second are cut when large.
fn rates(line: &mut Vec<u8>, request: &ListRequest, statistics: Option<Statistics>) {
    let [counted @ .., bytes_in, bytes_out] = counters(View::Rate, statistics);
    for number in counted {
        line.push(b' ');
        right_number(line, 8, number);
    }
    counter(line, request.exact, bytes_in);
    counter(line, request.exact, bytes_out);
}

#[inline]
fn forwarding(line: &mut Vec<u8>, forwarding: Forwarding) {
    line.extend_from_slice(match forwarding {
        Forwarding::Masquerade => b" Masq   ",
        Forwarding::Local => b" Local  ",
        Forwarding::Tunnel(_) => b" Tunnel ",
        Forwarding::DirectRoute => b" Route  ",
        // What C prints for the name that ipvsadm doesn't have.
        _ => b" (null) ",
    });
}

fn tunnel_info(line: &mut Vec<u8>, forwarding: Forwarding) {
    match forwarding {
        Forwarding::Tunnel(Tunnel::Ipip) => line.extend_from_slice(b"ipip"),
        Forwarding::Tunnel(Tunnel::Gue { port, flags }) => {
            line.extend_from_slice(b"gue:");
            decimal(line, port.get());
            line.push(b':');
            line.extend_from_slice(checksum(flags));
        }
        Forwarding::Tunnel(Tunnel::Gre { flags }) => {
            line.extend_from_slice(b"gre:");
            line.extend_from_slice(checksum(flags));
        }
        // With a port or flags that mean nothing to them.
        Forwarding::Tunnel(Tunnel::Other(ipip)) if ipip.kind() == 0 => line.extend_from_slice(b"ipip"),
        Forwarding::Tunnel(Tunnel::Other(gre)) if gre.kind() == 2 => {
            line.extend_from_slice(b"gre:");
            line.extend_from_slice(checksum(gre.flags()));
        }
        _ => line.extend_from_slice(b"n/a"),
    }
}

fn checksum(flags: TunnelFlags) -> &'static [u8] {
    match flags.bits() {
        0 => b"-c",
        1 => b"+c",
        2 => b"r+c",
        // As for the methods; beyond 3 ipvsadm reads whatever follows its table.
        _ => b"(null)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipvsadm::request::Listed;
    use crate::render::samples::{names, services, text};

    fn request(view: View) -> ListRequest {
        ListRequest { what: Listed::All, view, numeric: true, exact: false, nosort: false }
    }

    fn listing(request: &ListRequest) -> String {
        text(|out| {
            titles(out, request, None).unwrap();
            for (state, destinations) in services() {
                service(out, request, &state, &destinations, &mut names()).unwrap();
            }
        })
    }

    /// Recorded from ipvsadm 1.31 over the tables that `services` makes.
    #[test]
    fn every_view_is_as_recorded() {
        for (view, recorded) in [
            (View::Plain, include_str!("recorded/plain.txt")),
            (View::TunInfo, include_str!("recorded/tun-info.txt")),
            (View::Thresholds, include_str!("recorded/thresholds.txt")),
            (View::PersistentConn, include_str!("recorded/persistent-conn.txt")),
            (View::Stats, include_str!("recorded/stats.txt")),
            (View::Rate, include_str!("recorded/rate.txt")),
        ] {
            assert_eq!(listing(&request(view)), recorded, "{view:?}");
        }
    }

    #[test]
    fn names_are_as_recorded() {
        let request = ListRequest { numeric: false, ..request(View::Plain) };
        assert_eq!(listing(&request), include_str!("recorded/names.txt"));
        let request = ListRequest { view: View::Stats, ..request };
        assert_eq!(listing(&request), include_str!("recorded/names-stats.txt"));
    }

    #[test]
    fn the_kernels_order_is_kept_on_request() {
        let request = ListRequest { nosort: true, ..request(View::Plain) };
        let (state, mut destinations) = services().remove(0);
        destinations.reverse();
        let expected: Vec<_> = destinations.iter().map(|state| state.destination.address.to_string()).collect();
        let text = text(|out| service(out, &request, &state, &destinations, &mut Names::new()).unwrap());
        let listed = text.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1));
        assert_eq!(listed.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_version_line_has_the_size() {
        let info = ipvs::Table::new().info();
        let text = text(|out| titles(out, &ListRequest::ALL, Some(info)).unwrap());
        assert_eq!(text.lines().next(), Some("IP Virtual Server version 1.2.1 (size=4096)"));
    }

    #[test]
    fn large_marks_are_not_negative() {
        for (given, expected) in
            [("mark 4294967295", "FWM  4294967295"), ("mark 2147483648 ipv6", "FWM  2147483648 IPv6")]
        {
            assert_eq!(text(|line| key(line, &given.parse().unwrap(), None)), expected);
        }
    }

    /// A service's numbers are all cut, of a destination's rates only the last two. The rest is as
    /// in `number`.
    #[test]
    fn large_counters_and_rates() {
        let (mut state, destinations) = services().remove(0);
        let mut counted = Statistics::default();
        (counted.connections, counted.packets_out) = (1_912_000_000, 1_234_567_890_123);
        (counted.rates.connections, counted.rates.packets_in, counted.rates.bytes_in) = (1 << 31, 1 << 33, 1 << 40);
        state.statistics = Some(counted);
        let mut destination = destinations[0];
        destination.statistics = state.statistics;
        let show = |view, exact| {
            let request = ListRequest { exact, ..request(view) };
            let service = text(|line| service_line(line, &request, &state, None));
            let destination = text(|line| destination_columns(line, &request, &destination));
            (service[LABEL..].to_owned(), destination)
        };
        let counters = "    1912M        0    1234G        0        0";
        assert_eq!(show(View::Stats, false), (counters.to_owned(), counters.to_owned()));
        let counters = " 1912000000        0 1234567890123        0        0";
        assert_eq!(show(View::Stats, true), (counters.to_owned(), counters.to_owned()));
        assert_eq!(show(View::Rate, false).0, "    2147M    8589M        0    1099G        0");
        assert_eq!(show(View::Rate, false).1, " 2147483648 8589934592        0    1099G        0");
        assert_eq!(show(View::Rate, true).1, " 2147483648 8589934592        0 1099511627776        0");
    }
}
