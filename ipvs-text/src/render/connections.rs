//! The connections (`-L -c`), in the kernel's order.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipvs::{
    Family, Protocol, ServiceKey,
    proc::{Connection, Connections, ConnectionsError},
};

use super::Lines;
use super::address::endpoint;
use super::number::{decimal, left};
use crate::ipvsadm::names::Names;
use crate::ipvsadm::request::{ListRequest, View};

/// The width of an address and port.
const ENDPOINT: usize = 18;
/// Number of connections whose names are looked up together.
const BATCH: usize = 256;

/// Why a listing of connections ended early.
#[derive(Debug)]
pub enum Error {
    /// The kernel's table could not be read or understood.
    Input(ConnectionsError),
    /// The listing could not be written.
    Output(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Input(error) => error.fmt(f),
            Error::Output(error) => write!(f, "writing the connections: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Input(error) => error.source(),
            Error::Output(error) => Some(error),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Error::Output(error)
    }
}

/// Writes the connections of a table in the form of `/proc/net/ip_vs_conn`.
///
/// # Errors
/// At the first line that is not as the kernel writes it, after those before it were written.
pub fn list(
    out: &mut dyn Write,
    request: &ListRequest,
    input: &mut dyn BufRead,
    names: &mut Names,
) -> Result<(), Error> {
    let engines = request.view == View::PersistentConn;
    let mut lines = Lines::new(out, BATCH);
    lines.line(|line| titles(line, engines))?;
    let mut names = (!request.numeric).then_some(names);
    let mut connections = Connections::new(input);
    loop {
        let (batch, error) = read_batch(&mut connections);
        if let Some(names) = &mut names {
            prefetch(names, &batch);
        }
        for connection in &batch {
            lines.line(|line| row(line, connection, engines, names.as_deref_mut()))?;
        }
        match error {
            None if batch.is_empty() => return Ok(lines.flush()?),
            None => {}
            Some(error) => {
                lines.flush()?;
                return Err(Error::Input(error));
            }
        }
    }
}

/// Some connections, fewer than a batch at the end of the table or before an error.
fn read_batch(connections: &mut Connections<impl BufRead>) -> (Vec<Connection>, Option<ConnectionsError>) {
    let mut batch = Vec::with_capacity(BATCH);
    for connection in connections.take(BATCH) {
        match connection {
            Ok(connection) => batch.push(connection),
            Err(error) => return (batch, Some(error)),
        }
    }
    (batch, None)
}

fn prefetch(names: &mut Names, batch: &[Connection]) {
    let endpoints = |connection: &Connection| [connection.client, virtual_address(connection), connection.destination];
    names.prefetch_hosts(batch.iter().flat_map(endpoints).map(|at| at.ip()));
    for protocol in [Protocol::TCP, Protocol::UDP, Protocol::SCTP] {
        let of_protocol = batch.iter().filter(|connection| protocol_of(connection) == protocol);
        names.prefetch_ports(protocol, of_protocol.flat_map(endpoints).map(|at| at.port()));
    }
}

/// Titles are as wide as the columns below them.
fn titles(line: &mut Vec<u8>, engines: bool) {
    line.extend_from_slice(
        b"IPVS connection entries\npro expire state       source             virtual            destination",
    );
    if engines {
        line.extend_from_slice(b"        pe name          pe_data");
    }
}

fn row(line: &mut Vec<u8>, connection: &Connection, engines: bool, mut names: Option<&mut Names>) {
    let protocol = protocol_of(connection);
    left(line, 3, |line| protocol_name(line, protocol));
    line.push(b' ');
    left(line, 6, |line| minutes(line, connection.expires));
    line.push(b' ');
    left(line, 11, |line| line.extend_from_slice(connection.state.as_bytes()));
    line.push(b' ');
    let mut column = |line: &mut Vec<u8>, at, width| {
        left(line, width, |line| endpoint(line, at, Some(protocol), names.as_deref_mut()));
    };
    column(line, connection.client, ENDPOINT);
    line.push(b' ');
    column(line, virtual_address(connection), ENDPOINT);
    line.push(b' ');
    match connection.engine.as_ref().filter(|_| engines) {
        None => column(line, connection.destination, 0),
        Some(engine) => {
            column(line, connection.destination, 16);
            line.push(b' ');
            left(line, 18, |line| line.extend_from_slice(engine.engine.as_bytes()));
            line.push(b' ');
            line.extend_from_slice(&engine.data);
        }
    }
}

/// That of a mark's template is IP: number 0.
fn protocol_of(connection: &Connection) -> Protocol {
    match connection.target {
        ServiceKey::Address { protocol, .. } => protocol,
        ServiceKey::Mark { .. } => Protocol::from_number(0),
    }
}

/// The address as the kernel's table has it: the first word of a mark's is the mark.
fn virtual_address(connection: &Connection) -> SocketAddr {
    match connection.target {
        ServiceKey::Address { at, .. } => at,
        ServiceKey::Mark { mark, family } => {
            let address: IpAddr = match family {
                Family::V4 => Ipv4Addr::from_bits(mark.get()).into(),
                Family::V6 => Ipv6Addr::from_bits(u128::from(mark.get()) << 96).into(),
            };
            SocketAddr::new(address, 0)
        }
    }
}

/// As the kernel names them.
fn protocol_name(line: &mut Vec<u8>, protocol: Protocol) {
    line.extend_from_slice(match protocol.number() {
        0 => b"IP",
        1 => b"ICMP",
        6 => b"TCP",
        17 => b"UDP",
        58 => b"ICMPv6",
        132 => b"SCTP",
        number => {
            line.extend_from_slice(b"IP_");
            return decimal(line, number);
        }
    });
}

/// Appends `MM:SS`; hours and days are minutes, too.
fn minutes(line: &mut Vec<u8>, seconds: u32) {
    two_digits(line, seconds / 60);
    line.push(b':');
    two_digits(line, seconds % 60);
}

fn two_digits(line: &mut Vec<u8>, number: u32) {
    if number < 10 {
        line.push(b'0');
    }
    decimal(line, number);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples::{names, text};

    /// A table that Linux 6.1 wrote.
    const TABLE: &str = include_str!("recorded/ip_vs_conn.txt");

    fn listing(view: View, numeric: bool) -> String {
        let request = ListRequest { view, numeric, ..ListRequest::ALL };
        text(|out| list(out, &request, &mut TABLE.as_bytes(), &mut names()).unwrap())
    }

    /// Recorded from ipvsadm 1.31 over that table, without the line that was too long for it.
    #[test]
    fn connections_are_as_recorded() {
        assert_eq!(listing(View::Plain, true), include_str!("recorded/connections.txt"));
        assert_eq!(listing(View::PersistentConn, true), include_str!("recorded/connections-persistent.txt"));
        assert_eq!(listing(View::Plain, false), include_str!("recorded/connections-names.txt"));
    }

    /// ipvsadm takes the rest of a line of more than 255 characters for another connection.
    #[test]
    fn long_lines_are_one_connection() {
        let data = "L".repeat(300);
        let table = format!("UDP 7F000001 0000 7F00000A 13C4 7F00000A 13C4 NONE 59 sip {data}\n");
        let request = ListRequest { view: View::PersistentConn, numeric: true, ..ListRequest::ALL };
        let text = text(|out| list(out, &request, &mut table.as_bytes(), &mut Names::new()).unwrap());
        assert_eq!(text.lines().count(), 3);
        assert!(text.ends_with(&format!("127.0.0.10:5060  sip                {data}\n")), "{text}");
    }

    #[test]
    fn lines_before_a_wrong_line_are_listed() {
        let table = "TCP 7F000001 9C41 7F00000A 0050 7F00000A 0050 ESTABLISHED 899\nhuh\n";
        let request = ListRequest { numeric: true, ..ListRequest::ALL };
        let mut out = Vec::new();
        let error = list(&mut out, &request, &mut table.as_bytes(), &mut Names::new()).unwrap_err();
        assert_eq!(error.to_string(), "line 2 of the connection table has no protocol: \"huh\"");
        assert!(out.ends_with(b"ESTABLISHED 127.0.0.1:40001    127.0.0.10:80      127.0.0.10:80\n"));
    }

    #[test]
    fn other_protocols_have_the_kernels_names() {
        for (number, name) in [(0, "IP"), (1, "ICMP"), (58, "ICMPv6"), (51, "IP_51")] {
            assert_eq!(text(|line| protocol_name(line, Protocol::from_number(number))), name);
        }
    }

    #[test]
    fn minutes_may_be_many() {
        for (seconds, expected) in [(0, "00:00"), (59, "00:59"), (600, "10:00"), (2_678_399, "44639:59")] {
            assert_eq!(text(|line| minutes(line, seconds)), expected);
        }
    }
}
