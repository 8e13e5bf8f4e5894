//! What the fuzz targets share.

use std::ffi::OsString;
use std::io::{self, Read};
use std::net::Ipv4Addr;

use ipvs::{Client, Command, Daemon, Destination, Protocol, Service, Table, TableEntry, Timeouts};
use ipvs_cli::director::Director;
use ipvs_cli::env::Environment;
use ipvs_cli::io::Input;
use ipvs_cli::ipvsadm::request::Listed;
use ipvs_cli::ipvsadm::value::Resolve;
use ipvs_cli::ipvsadm::{Invocation, Parser, Posix, Words};

/// Datagrams that stand one behind the other, each behind its length in two bytes.
pub fn datagrams(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first_chunk()?;
        let (datagram, rest) = rest.split_at(rest.len().min(u16::from_le_bytes(*length).into()));
        data = rest;
        Some(datagram)
    })
}

/// A table with a service of each kind, so that commands have something to change.
pub fn table() -> Table {
    let mut table = Table::new();
    for key in ["tcp 192.0.2.1:80", "udp [2001:db8::1]:53", "mark 10"] {
        let service = Service::new(key.parse().expect("a service"));
        let server = if key.contains('[') { "[2001:db8::11]:53" } else { "192.0.2.11:80" };
        let server = Destination::new(server.parse().expect("an address"));
        for command in [Command::AddService(service), Command::AddDestination(service.key(), server)] {
            table.apply(&command).expect("the table was empty");
        }
    }
    table
}

/// What a call of the program comes to.
#[derive(Debug, PartialEq, Eq)]
pub struct Result {
    status: u8,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    services: Vec<TableEntry>,
    timeouts: Timeouts,
    daemons: Vec<Daemon>,
}

/// Calls the program on an in-memory kernel.
pub fn run(argv: &[OsString], stdin: &mut dyn Input) -> Result {
    let mut kernel = Director::with(Client::fake(table()));
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut environment = Environment::new(stdin, &mut stdout, &mut stderr);
    let status = ipvs_cli::run(argv, &mut environment, &mut kernel);
    let table = kernel.client().and_then(Client::table).expect("the in-memory kernel has a table");
    let services = table.services().cloned().collect();
    Result { status, stdout, stderr, services, timeouts: table.timeouts(), daemons: table.daemons().to_owned() }
}

/// A system that knows one host and one port.
#[derive(Debug)]
pub struct FewNames;

impl Resolve for FewNames {
    fn host(&mut self, name: &[u8]) -> Option<Ipv4Addr> {
        (name == b"localhost").then_some(Ipv4Addr::LOCALHOST)
    }

    fn port(&mut self, name: &[u8], _: Protocol) -> Option<u16> {
        (name == b"http").then_some(80)
    }
}

/// A system that knows no names, and whether it was asked for one.
///
/// The whole program asks the real system, which would ask the network: slow, and not the same
/// twice. So only lines that need no names are given to it.
#[derive(Debug, Default)]
pub struct NoNames {
    asked: bool,
}

impl NoNames {
    /// Can the line be carried out without a question to the system?
    pub fn are_enough(words: &Words) -> bool {
        let mut names = NoNames::default();
        let parsed = Parser::new(&mut names, Posix(false)).parse(words);
        let shows_names = match parsed {
            Ok(Invocation::List(request)) => {
                !request.numeric && !matches!(request.what, Listed::Timeouts | Listed::Daemons)
            }
            Ok(Invocation::Save { numeric }) => !numeric,
            _ => false,
        };
        !names.asked && !shows_names
    }
}

impl Resolve for NoNames {
    fn host(&mut self, _: &[u8]) -> Option<Ipv4Addr> {
        self.asked = true;
        None
    }

    fn port(&mut self, _: &[u8], _: Protocol) -> Option<u16> {
        self.asked = true;
        None
    }
}

/// Text that comes in pieces of 1, 2, 3 … bytes, with a pause before each.
#[derive(Debug)]
pub struct Pieces<'t> {
    text: &'t [u8],
    next: usize,
}

impl<'t> Pieces<'t> {
    /// The pieces of this text.
    pub fn of(text: &'t [u8]) -> Self {
        Pieces { text, next: 1 }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.next.min(buffer.len());
        self.next += 1;
        self.text.read(&mut buffer[..size])
    }
}

impl Input for Pieces<'_> {
    fn would_block(&self) -> bool {
        true
    }
}
