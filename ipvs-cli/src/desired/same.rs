//! If a text has a service exactly as `ipvsadm -S -n` would save it, nothing changes and it need
//! not be parsed. Comparing takes a quarter of the time, and most of a large table is unchanged. If
//! it has the same in other words, its lines are parsed, but go into no table.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::ptr;

use ipvs::desired::Located;
use ipvs::{
    Command, Destination, DestinationState, Family, Forwarding, Protocol, Scheduler, Service, ServiceKey, Table,
    TableEntry, Tunnel, Weight, rule,
};
use ipvs_text::ipvsadm::LONGEST_TIMEOUT;
use ipvs_text::render::order;

/// The services of a director as `ipvsadm -S -n` writes them.
#[derive(Default)]
pub(super) struct Wording<'d> {
    /// By the line that adds them.
    services: HashMap<Vec<u8>, &'d TableEntry>,
    /// The line of a destination.
    line: Vec<u8>,
}

/// Few lines are longer.
const LINE: usize = 80;

impl<'d> Wording<'d> {
    pub(super) fn for_services_of(director: &'d Table) -> Self {
        let mut services = HashMap::with_capacity(director.services().len());
        for entry in director.services().filter(|entry| is_ordinary(entry)) {
            let mut line = Vec::with_capacity(LINE);
            rule::service(&mut line, entry.service());
            services.insert(line, entry);
        }
        Wording { services, line: Vec::with_capacity(LINE) }
    }

    /// The service with whose lines the text starts, and the length of the lines. No service is
    /// returned twice.
    pub(super) fn take(&mut self, text: &[u8]) -> Option<(&'d TableEntry, usize)> {
        if !text.starts_with(b"-A ") {
            return None;
        }
        let line = &text[..memchr::memchr(b'\n', text)?];
        let entry = *self.services.get(line)?;
        let behind = &text[line.len() + 1..];
        let rest = self.without_destinations(entry, behind)?;
        self.services.remove(line);
        Some((entry, text.len() - rest.len()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// The service that is this one in other words, and its destinations in the two orders of
    /// [`take`](Self::take).
    pub(super) fn find(&mut self, service: &Service) -> Option<Same<'d>> {
        self.line.clear();
        rule::service(&mut self.line, service);
        let entry = *self.services.get(&self.line).filter(|entry| entry.service() == service)?;
        let as_added: Vec<_> = entry.destinations().collect();
        let as_saved = order::sorted_destinations(entry.destinations().rev().collect());
        Some(Same { entry, orders: [as_added, as_saved], count: 0 })
    }

    /// Not to be found again.
    pub(super) fn remove(&mut self, found: &Same<'d>) {
        self.line.clear();
        rule::service(&mut self.line, found.entry.service());
        self.services.remove(&self.line);
    }

    /// The text after the destinations of the service, if it starts with them in the order of
    /// addition or in that of `-S`.
    fn without_destinations<'t>(&mut self, entry: &TableEntry, text: &'t [u8]) -> Option<&'t [u8]> {
        let key = entry.service().key();
        let as_added: Vec<_> = entry.destinations().collect();
        self.without(&key, &as_added, text).or_else(|| {
            // The input of the sort matters (render/order.rs): the kernel lists the newest first.
            let sorted = order::sorted_destinations(entry.destinations().rev().collect());
            let is_another = sorted.iter().zip(&as_added).any(|(one, other)| !ptr::eq(*one, *other));
            if is_another { self.without(&key, &sorted, text) } else { None }
        })
    }

    fn without<'t>(
        &mut self,
        key: &ServiceKey,
        destinations: &[&DestinationState],
        text: &'t [u8],
    ) -> Option<&'t [u8]> {
        self.line.clear();
        rule::destination_start(&mut self.line, key);
        let start = self.line.len();
        let mut rest = text;
        for state in destinations {
            self.line.truncate(start);
            rule::destination_end(&mut self.line, key, &state.destination);
            self.line.push(b'\n');
            rest = rest.strip_prefix(&self.line[..])?;
        }
        self.line.truncate(start);
        (!rest.starts_with(&self.line)).then_some(rest)
    }
}

/// A service of the director whose lines are being read.
pub(super) struct Same<'d> {
    pub(super) entry: &'d TableEntry,
    orders: [Vec<&'d DestinationState>; 2],
    /// How many destinations were read.
    count: usize,
}

impl Same<'_> {
    /// Is this its next destination?
    pub(super) fn is_next(&mut self, destination: &Destination) -> bool {
        let count = self.count;
        self.count += 1;
        let is_at = |order: &Vec<&DestinationState>| order.get(count).is_some_and(|at| at.destination == *destination);
        // An order that was left stays out.
        self.orders.iter_mut().filter(|order| !order.is_empty()).fold(false, |is_next, order| {
            if !is_at(order) {
                order.clear();
            }
            is_next | !order.is_empty()
        })
    }

    /// Were all read?
    pub(super) fn is_whole(&self) -> bool {
        self.count == self.entry.destinations().len()
    }
}

/// Does parsing its lines surely give the service again? False also for a few rare ones that would.
fn is_ordinary(entry: &TableEntry) -> bool {
    let service = entry.service();
    let has_option = match service.key() {
        ServiceKey::Address { protocol, at } => {
            [Protocol::TCP, Protocol::UDP, Protocol::SCTP].contains(&protocol)
                && (at.port() != 0 || service.persistence.is_some())
        }
        ServiceKey::Mark { .. } => true,
    };
    // All else has its default: also what a line can't say.
    let mut said = Service::new(service.key()).with_scheduler(service.scheduler);
    said.persistence = service.persistence;
    has_option
        && *service == said
        && Scheduler::IN_TREE.contains(&service.scheduler)
        && service.persistence.is_none_or(|persistence| (1..=LONGEST_TIMEOUT).contains(&persistence.seconds()))
        && entry.destinations().all(|state| is_ordinary_destination(service.key(), &state.destination))
}

fn is_ordinary_destination(of: ServiceKey, destination: &Destination) -> bool {
    let has_option = match (destination.forwarding, of) {
        (Forwarding::Masquerade, _) => true,
        (Forwarding::DirectRoute | Forwarding::Tunnel(Tunnel::Ipip), ServiceKey::Address { at, .. }) => {
            destination.address.port() == at.port()
        }
        (Forwarding::DirectRoute | Forwarding::Tunnel(Tunnel::Ipip), ServiceKey::Mark { .. }) => true,
        _ => false,
    };
    // What a line can't say has its default.
    let said = Destination::new(destination.address)
        .with_forwarding(destination.forwarding)
        .with_weight(destination.weight)
        .with_upper_threshold(destination.upper_threshold)
        .with_lower_threshold(destination.lower_threshold);
    has_option
        && *destination == said
        && Family::of(destination.address.ip()) == of.family()
        && is_usual(destination.address.ip())
        && destination.weight <= Weight::MAX
        && destination.lower_threshold <= destination.upper_threshold
        && i32::try_from(destination.upper_threshold).is_ok()
}

/// Kernels take some of the others from some directors, and not from others.
fn is_usual(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(v6) => !v6.is_unicast_link_local() && v6.to_ipv4_mapped().is_none(),
    }
}

/// Do some commands change these services? Then comparing their lines is not enough.
pub(super) fn are_about(commands: &[Located], same: &[TableEntry]) -> bool {
    if commands.is_empty() || same.is_empty() {
        return false;
    }
    let keys: HashSet<ServiceKey> = same.iter().map(|entry| entry.service().key()).collect();
    commands.iter().any(|Located { command, .. }| match command.service_key() {
        Some(key) => keys.contains(&key),
        None => matches!(command, Command::Flush),
    })
}
