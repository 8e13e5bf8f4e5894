//! To which service and real server of a director an entry of the connection table belongs.

use std::fmt;
use std::net::SocketAddr;

use ipvs::proc::Connection;
use ipvs::{Family, FirewallMark, Protocol, ServiceKey, Table, TableEntry};

/// What a director has, for entries to be looked up in.
#[derive(Debug)]
pub(in crate::subcommands) struct Services(Table);

/// Why the kernel would find no real server for an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::subcommands) enum Unbound {
    /// There is no service for it.
    Service(ServiceKey),
    /// The service is there, but not the real server.
    Server(ServiceKey, SocketAddr),
    /// Services of several marks have the real server, and the table does not show which mark it
    /// was.
    Marks(ServiceKey, SocketAddr),
}

impl fmt::Display for Unbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unbound::Service(key) => write!(f, "the director has no service {key}"),
            Unbound::Server(key, at) => write!(f, "{key} has no real server {at}"),
            Unbound::Marks(key, at) => {
                write!(f, "no service {key}, and services of several marks have the real server {at}")
            }
        }
    }
}

impl Services {
    pub(in crate::subcommands) fn new(table: Table) -> Self {
        Services(table)
    }

    /// The mark of the entry's service, if it has one, for the kernel to find its real server. The
    /// kernel does not show the mark of a connection, only that of a template. (`ip_vs_find_dest`,
    /// `ip_vs_service_find`.)
    pub(in crate::subcommands) fn bind(&self, connection: &Connection) -> Result<Option<FirewallMark>, Unbound> {
        let (target, server) = (connection.target, connection.destination);
        match target {
            ServiceKey::Mark { mark, .. } => match self.0.service(&target) {
                Some(service) if has(service, server) => Ok(Some(mark)),
                Some(_) => Err(Unbound::Server(target, server)),
                None => Err(Unbound::Service(target)),
            },
            ServiceKey::Address { protocol, at } => match self.at(protocol, at) {
                Some(service) if has(service, server) => Ok(None),
                found => self.mark(&target, server, found.is_some()),
            },
        }
    }

    /// Whether all services are meant that the entry may be of: one, or each service of a mark that
    /// has its real server.
    pub(in crate::subcommands) fn are_meant(
        &self,
        connection: &Connection,
        is_meant: &dyn Fn(ServiceKey) -> bool,
    ) -> bool {
        let (target, server) = (connection.target, connection.destination);
        if let ServiceKey::Address { protocol, at } = target {
            if let Some(service) = self.at(protocol, at).filter(|service| has(service, server)) {
                return is_meant(service.service().key());
            }
            let mut marks = self.marks(target.family(), server).peekable();
            return marks.peek().is_some() && marks.all(is_meant);
        }
        is_meant(target)
    }

    /// Whether this is a service that the entry may be of.
    pub(in crate::subcommands) fn may_be_of(&self, connection: &Connection, key: ServiceKey) -> bool {
        let (target, server) = (connection.target, connection.destination);
        match (target, key) {
            (ServiceKey::Address { protocol, at }, ServiceKey::Address { .. }) => {
                self.at(protocol, at).is_some_and(|service| service.service().key() == key)
            }
            (ServiceKey::Address { .. }, _) => self.marks(target.family(), server).any(|mark| mark == key),
            _ => target == key,
        }
    }

    /// The service of an address: of this port, of FTP for its data, or of all ports.
    fn at(&self, protocol: Protocol, at: SocketAddr) -> Option<&TableEntry> {
        const FTP: u16 = 21;
        const UNPRIVILEGED: u16 = 1024;
        let on = |port| self.0.service(&ServiceKey::Address { protocol, at: SocketAddr::new(at.ip(), port) });
        let is_data = protocol == Protocol::TCP && (at.port() == FTP - 1 || at.port() >= UNPRIVILEGED);
        on(at.port()).or_else(|| on(FTP).filter(|_| is_data)).or_else(|| on(0))
    }

    /// The mark whose service has this real server, if it is only one.
    fn mark(
        &self,
        target: &ServiceKey,
        server: SocketAddr,
        has_service: bool,
    ) -> Result<Option<FirewallMark>, Unbound> {
        let mut marks = self.marks(target.family(), server);
        match (marks.next(), marks.next()) {
            (Some(ServiceKey::Mark { mark, .. }), None) => Ok(Some(mark)),
            (Some(_), Some(_)) => Err(Unbound::Marks(*target, server)),
            (None, _) if has_service => Err(Unbound::Server(*target, server)),
            _ => Err(Unbound::Service(*target)),
        }
    }

    /// The services of marks that have this real server.
    fn marks(&self, family: Family, server: SocketAddr) -> impl Iterator<Item = ServiceKey> {
        let has = move |service: &&TableEntry| has(service, server);
        self.0
            .services()
            .filter(has)
            .map(|service| service.service().key())
            .filter(move |key| matches!(key, ServiceKey::Mark { family: of_mark, .. } if *of_mark == family))
    }
}

/// On this port, or on all.
fn has(service: &TableEntry, server: SocketAddr) -> bool {
    service.destination(&server).is_some() || service.destination(&SocketAddr::new(server.ip(), 0)).is_some()
}

#[cfg(test)]
mod tests {
    use ipvs::{Command, Destination, Persistence, Service, proc::Connections};

    use super::*;

    fn services(lines: &[(&str, &[&str])]) -> Services {
        let mut table = Table::new();
        for (key, servers) in lines {
            let service = Service::new(key.parse().unwrap()).with_persistence(Persistence::new(60).unwrap());
            table.apply(&Command::AddService(service)).unwrap();
            for server in *servers {
                let server = Destination::new(server.parse().unwrap());
                table.apply(&Command::AddDestination(service.key(), server)).unwrap();
            }
        }
        Services::new(table)
    }

    fn bind(services: &Services, line: &str) -> String {
        let connection = Connections::new(line.as_bytes()).next().unwrap().unwrap();
        match services.bind(&connection) {
            Ok(None) => "bound".into(),
            Ok(Some(mark)) => format!("mark {mark}"),
            Err(unbound) => unbound.to_string(),
        }
    }

    #[test]
    fn an_entry_finds_its_service_as_in_the_kernel() {
        let director = services(&[
            ("tcp 192.0.2.1:80", &["10.1.0.1:8080"]),
            ("tcp 192.0.2.1:21", &["10.1.0.1:21", "10.1.0.1:0"]),
            ("udp 192.0.2.2:0", &["10.1.0.2:0"]),
            ("mark 7", &["10.1.0.3:0", "10.1.0.4:0"]),
            ("mark 8", &["10.1.0.4:0"]),
        ]);
        for (line, expected) in [
            ("TCP CB007109 9C41 C0000201 0050 0A010001 1F90 ESTABLISHED 899", "bound"),
            (
                "TCP CB007109 9C41 C0000201 0050 0A010001 1F91 ESTABLISHED 899",
                "tcp 192.0.2.1:80 has no real server 10.1.0.1:8081",
            ),
            ("TCP CB007109 9C41 C0000201 9C40 0A010001 9C40 ESTABLISHED 899", "bound"),
            ("TCP CB007109 9C41 C0000201 0014 0A010001 0014 ESTABLISHED 899", "bound"),
            (
                "TCP CB007109 9C41 C0000201 0051 0A010001 0051 ESTABLISHED 899",
                "the director has no service tcp 192.0.2.1:81",
            ),
            ("UDP CB007109 9C41 C0000202 0035 0A010002 0035 UDP 299", "bound"),
            ("UDP CB007109 0000 C0000202 0000 0A010002 0000 NONE 299", "bound"),
            ("IP  CB007109 0000 00000007 0000 0A010003 0000 NONE 59", "mark 7"),
            ("IP  CB007109 0000 00000007 0000 0A010009 0000 NONE 59", "mark 7 has no real server 10.1.0.9:0"),
            ("IP  CB007109 0000 00000009 0000 0A010003 0000 NONE 59", "the director has no service mark 9"),
            ("TCP CB007109 9C41 C0000203 0050 0A010003 0050 ESTABLISHED 899", "mark 7"),
            (
                "TCP CB007109 9C41 C0000203 0050 0A010004 0050 ESTABLISHED 899",
                "no service tcp 192.0.2.3:80, and services of several marks have the real server 10.1.0.4:80",
            ),
        ] {
            assert_eq!(bind(&director, line), expected, "{line}");
        }
    }
}
