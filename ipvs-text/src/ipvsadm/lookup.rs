//! Names of hosts and ports to numbers, by the system's resolver.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipvs::Protocol;

use crate::ipvsadm::names;
use crate::ipvsadm::value::Resolve;

/// Remembers what was found: a saved table has the same names on thousands of lines, and asking
/// takes its time.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    hosts: BTreeMap<Vec<u8>, Option<Ipv4Addr>>,
    ports: BTreeMap<(Vec<u8>, Protocol), Option<u16>>,
    hasty: bool,
    missed: bool,
}

impl Lookup {
    fn may_ask(&mut self) -> bool {
        self.missed |= self.hasty;
        !self.hasty
    }
}

impl Resolve for Lookup {
    fn host(&mut self, name: &[u8]) -> Option<Ipv4Addr> {
        match self.hosts.get(name).copied() {
            Some(known) => known,
            None if self.may_ask() => *self.hosts.entry(name.to_owned()).or_insert(names::lookup_host(name)),
            None => None,
        }
    }

    fn port(&mut self, name: &[u8], protocol: Protocol) -> Option<u16> {
        let key = (name.to_owned(), protocol);
        match self.ports.get(&key).copied() {
            Some(known) => known,
            None if self.may_ask() => *self.ports.entry(key).or_insert(names::lookup_port(name, protocol)),
            None => None,
        }
    }

    fn set_hasty(&mut self, hasty: bool) -> bool {
        self.hasty = hasty;
        std::mem::take(&mut self.missed)
    }

    fn remembers(&self) -> bool {
        !self.hosts.is_empty() || !self.ports.is_empty()
    }

    fn forget(&mut self) {
        self.hosts.clear();
        self.ports.clear();
    }
}
