//! Names of hosts and ports to numbers, by the system's resolver.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipvs::Protocol;

use crate::ipvsadm::names;
use crate::ipvsadm::value::Resolve;

/// Remembers what was found: a saved table has the same names on thousands of lines, and asking takes its time.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    hosts: BTreeMap<Vec<u8>, Option<Ipv4Addr>>,
    ports: BTreeMap<(Vec<u8>, Protocol), Option<u16>>,
}

impl Resolve for Lookup {
    fn host(&mut self, name: &[u8]) -> Option<Ipv4Addr> {
        *self.hosts.entry(name.to_owned()).or_insert_with(|| names::lookup_host(name))
    }

    fn port(&mut self, name: &[u8], protocol: Protocol) -> Option<u16> {
        *self.ports.entry((name.to_owned(), protocol)).or_insert_with(|| names::lookup_port(name, protocol))
    }
}
