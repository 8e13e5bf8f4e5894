//! Reads that are whole: what was there all the time is in them exactly once, or an error says that
//! this could not be had.
//!
//! A dump is no snapshot (see `seams.rs`). What proves it whole costs little where nothing changes:
//!
//! - one datagram with room left is whole in itself;
//! - the older interface, `getsockopt`, copies all services of IPv4 in one call, under the kernel's
//!   lock. What a dump has not of them is asked for one by one, so those of IPv4 are never a matter
//!   of luck;
//! - services of IPv6, which that interface does not know, and all where it can't be used, are
//!   dumped again, in datagrams of datagrams that are cut elsewhere, until they overlap from the
//!   beginning of the table to its end. Keys that the last dump has not are asked for one by one.
//!
//! docs/kernels.md has the faults of the kernels, the proof, and what is left.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use super::copied::{Copied, CountedKeys};
use super::seams::Runs;
use super::transport::Transport;
use super::{Received, Session};
use crate::errno::Errno;
use crate::error::Error;
use crate::exchange::Datagrams;
use crate::service::{Family, ServiceKey};
use crate::sockopt;
use crate::table::{DestinationState, ServiceState, Table, TableEntry};
use crate::wire::{self, Detail, Read, WireError};

/// How many destinations each service of IPv4 had at once, those of IPv6 included: what proves that
/// destinations that `getsockopt` showed were all. They belong to one reading.
#[derive(Debug)]
pub(crate) struct Counts {
    /// In the kernel's order.
    all: CountedKeys,
    /// Those that destinations may be compared with, and whether they were.
    trusted: HashMap<ServiceKey, (usize, bool), RandomState>,
    /// One was seen that has destinations of IPv6, too: others may have.
    is_mixed: bool,
}

impl Counts {
    /// The count to compare the destinations of a service with.
    pub(super) fn rely_on(&mut self, key: &ServiceKey) -> Option<usize> {
        let (count, is_relied_on) = self.trusted.get_mut(key).filter(|_| !self.is_mixed)?;
        *is_relied_on = true;
        Some(*count)
    }

    /// A dump has shown the destinations of a service.
    pub(super) fn note_dump(&mut self, key: &ServiceKey, destinations: &[DestinationState]) {
        self.trusted.remove(key);
        self.is_mixed |= destinations.iter().any(|state| state.destination.family() != key.family());
    }
}

/// How often a dump is made until it is proven whole.
const DUMPS: usize = 20;

/// How long to wait before the next dump: not at first, then longer each time.
fn pause_before(dump: usize) -> Duration {
    match dump.checked_sub(3) {
        None => Duration::ZERO,
        Some(more) => Duration::from_millis(1 << more.min(3)),
    }
}

/// A dump: its entries, and how many were in each datagram that had any.
struct Dump<T> {
    entries: Vec<T>,
    lengths: Vec<usize>,
    /// The last datagram with entries had room for another.
    has_room: bool,
}

impl<T> Dump<T> {
    fn is_whole(&self) -> bool {
        self.lengths.len() <= 1 && self.has_room
    }
}

/// Reads.
impl<C: Transport> Session<C> {
    pub(crate) async fn services(&mut self, detail: Detail) -> Result<Vec<ServiceState>, Error> {
        Ok(self.counted_services(detail).await?.0)
    }

    /// With the number of destinations of each, if it was asked for on the way.
    async fn counted_services(&mut self, detail: Detail) -> Result<(Vec<ServiceState>, Option<CountedKeys>), Error> {
        let copied = match detail {
            Detail::NoStatistics => self.copied_services(detail).await,
            Detail::Statistics => Copied::Unknown,
        };
        let few = match copied {
            Copied::All(services, counts) => return Ok((services, Some(counts))),
            Copied::Few(counts) => Some(counts),
            Copied::Unknown => None,
        };
        let mut known: IndexMap<ServiceKey, (ServiceState, usize), RandomState> = IndexMap::default();
        let mut runs = Runs::default();
        for number in 0..DUMPS {
            self.transport.pause(pause_before(number)).await;
            let dump = self.dump_services(detail, number).await?;
            if dump.is_whole() {
                return Ok((dump.entries, few));
            }
            let keys = || dump.entries.iter().map(|state| state.service.key());
            let of_ipv4 = keys().filter(|key| key.family() == Family::V4);
            let there = self.ask_service_counts(of_ipv4.clone().count()).await;
            let is_as_dumped = there.as_ref().is_some_and(|there| of_ipv4.eq(there.iter().map(|(key, _)| *key)));
            if number == 0 && is_as_dumped && keys().all(|key| key.family() == Family::V4) {
                return Ok((dump.entries, there));
            }
            let mut paced = self.paced();
            runs.add(keys(), &dump.lengths, dump.has_room);
            for state in &dump.entries {
                paced.step(1).await;
                known.insert(state.service.key(), (*state, number));
            }
            if runs.are_whole(&mut paced).await {
                let there = there.unwrap_or_default().into_iter().map(|(key, _)| key).collect();
                return Ok((self.still_there(known, number, there, detail).await?, None));
            }
        }
        Err(Error::Unstable)
    }

    /// Of the services that some dumps have shown, those that the last of them has, and of all
    /// others, and those that must be there, what the kernel has when asked for each.
    async fn still_there(
        &mut self,
        known: IndexMap<ServiceKey, (ServiceState, usize), RandomState>,
        last: usize,
        there: Vec<ServiceKey>,
        detail: Detail,
    ) -> Result<Vec<ServiceState>, Error> {
        let missing: Vec<_> = there.into_iter().filter(|key| !known.contains_key(key)).collect();
        let mut services = Vec::with_capacity(known.len() + missing.len());
        let mut doubtful = missing;
        let mut paced = self.paced();
        for (key, (state, number)) in known {
            paced.step(1).await;
            if number == last { services.push(state) } else { doubtful.push(key) }
        }
        for key in doubtful {
            services.extend(self.service_if_there(&key, detail).await?);
        }
        Ok(services)
    }

    /// The services that one dump shows: it may leave some out that are there.
    pub(crate) async fn some_services(&mut self) -> Result<Vec<ServiceKey>, Error> {
        let mut keys = Vec::new();
        let take = |received: Received<'_>| {
            if let Received::Message(attrs) = received {
                keys.push(wire::decode_service(attrs, Detail::NoStatistics)?.service.key());
            }
            Ok(())
        };
        self.query_in(Datagrams::Long, &Read::Services, take).await?;
        Ok(keys)
    }

    async fn dump_services(&mut self, detail: Detail, number: usize) -> Result<Dump<ServiceState>, Error> {
        self.dump(&Read::Services, number, |attrs| wire::decode_service(attrs, detail)).await
    }

    /// The dump of this number in a row: the second and each other one after it come in other
    /// datagrams, so that they are cut at other places.
    async fn dump<T>(
        &mut self,
        read: &Read,
        number: usize,
        decode: impl Fn(&[u8]) -> Result<T, WireError>,
    ) -> Result<Dump<T>, Error> {
        let datagrams = match number {
            1 => Datagrams::Fresh,
            _ if number & 1 == 0 => Datagrams::Long,
            _ => Datagrams::Short,
        };
        // Ten destinations fill a page, so that dumping them again to be certain would be the rule.
        let is_certain = number > 1 || matches!(read, Read::Destinations(_));
        let mut dump = Dump { entries: Vec::new(), lengths: Vec::new(), has_room: true };
        let mut before = 0;
        let take = |received: Received<'_>| {
            match received {
                Received::Message(attrs) => dump.entries.push(decode(attrs)?),
                Received::End(_) if dump.entries.len() == before => {}
                Received::End(length) => {
                    dump.lengths.push(dump.entries.len() - before);
                    dump.has_room = datagrams.have_room(length, is_certain);
                    before = dump.entries.len();
                }
            }
            Ok(())
        };
        self.query_in(datagrams, read, take).await?;
        if dump.lengths.is_empty() {
            dump.lengths.push(0);
        }
        Ok(dump)
    }

    /// All services, without statistics, and the numbers of their destinations, if that costs less
    /// than to ask for the number of each.
    pub(crate) async fn listed_services(&mut self) -> Result<(Vec<ServiceState>, Option<Counts>), Error> {
        /// To copy the counts of this number of services costs what it costs to ask two questions
        /// more about one.
        const WORTH: usize = 10;
        let (services, counts) = self.counted_services(Detail::NoStatistics).await?;
        let counts = self.counts(services.len(), counts).await.filter(|counts| {
            let with_destinations = counts.all.iter().filter(|(_, count)| *count > 0).count();
            with_destinations.saturating_mul(WORTH) > counts.all.len()
        });
        Ok((services, counts))
    }

    /// The numbers of the destinations of about so many services, which may be known already.
    pub(super) async fn counts(&mut self, services: usize, known: Option<CountedKeys>) -> Option<Counts> {
        let all = match known {
            None => self.ask_service_counts(services).await?,
            Some(known) => known,
        };
        let mut trusted = HashMap::with_capacity_and_hasher(all.len(), RandomState::default());
        let mut paced = self.paced();
        for (key, count) in &all {
            paced.step(1).await;
            trusted.insert(*key, (*count, false));
        }
        Some(Counts { all, trusted, is_mixed: false })
    }

    /// Were the destinations that were compared with these counts all? Where a service has more or
    /// fewer now, one of IPv6 may have been hidden by one of IPv4 that was added. Returns the
    /// services where it may have been, with the destinations that they have now.
    pub(crate) async fn verify(
        &mut self,
        counts: Option<Counts>,
        detail: Detail,
    ) -> Result<Vec<(ServiceKey, Vec<DestinationState>)>, Error> {
        let mut hidden = Vec::new();
        let Some(counts) = counts else { return Ok(hidden) };
        // If it can't be asked any more, each may have changed.
        let now = self.ask_service_counts(counts.all.len()).await;
        if now.as_ref() == Some(&counts.all) {
            return Ok(hidden);
        }
        let now = now.unwrap_or_else(|| counts.all.iter().map(|(key, _)| (*key, usize::MAX)).collect());
        for (key, count) in now {
            self.transport.yield_now().await;
            if counts.trusted.get(&key).is_none_or(|(before, is_relied_on)| *before == count || !is_relied_on) {
                continue;
            }
            let (destinations, _) = self.dump_destinations(&key, detail).await?;
            if destinations.iter().any(|state| state.destination.address.is_ipv6()) {
                hidden.push((key, destinations));
            }
        }
        Ok(hidden)
    }

    pub(crate) async fn service(&mut self, key: &ServiceKey) -> Result<ServiceState, Error> {
        self.one(&Read::Service(*key), |attrs| wire::decode_service(attrs, Detail::Statistics)).await
    }

    pub(crate) async fn service_if_there(
        &mut self,
        key: &ServiceKey,
        detail: Detail,
    ) -> Result<Option<ServiceState>, Error> {
        match self.one(&Read::Service(*key), |attrs| wire::decode_service(attrs, detail)).await {
            Err(error) if error.errno() == Some(Errno::ESRCH) => Ok(None),
            found => found.map(Some),
        }
    }

    /// The service with its destinations; `None` if there is none. The kernel is asked for this one
    /// alone. If it goes between the two questions, it is read without destinations: the replies
    /// are then as old as the last question, and no older.
    pub(crate) async fn entry(&mut self, key: &ServiceKey, detail: Detail) -> Result<Option<TableEntry>, Error> {
        let Some(state) = self.service_if_there(key, detail).await? else { return Ok(None) };
        let destinations = self.destinations(key, detail).await?;
        Ok(Some(self.entry_with(state, destinations).await))
    }

    /// A service of a reading with its destinations; `None` if it has gone since.
    pub(crate) async fn entry_of(
        &mut self,
        state: ServiceState,
        detail: Detail,
        counts: Option<&mut Counts>,
    ) -> Result<Option<TableEntry>, Error> {
        let key = state.service.key();
        let (destinations, is_there) = self.destinations_if_there(&key, detail, counts).await?;
        if !is_there && self.service_if_there(&key, detail).await?.is_none() {
            return Ok(None);
        }
        Ok(Some(self.entry_with(state, destinations).await))
    }

    /// The service with these destinations, in the kernel's order.
    pub(crate) async fn entry_with(&mut self, state: ServiceState, destinations: Vec<DestinationState>) -> TableEntry {
        let mut entry = TableEntry::with_room(state, destinations.len());
        let mut paced = self.paced();
        for state in destinations.into_iter().rev() {
            paced.step(1).await;
            entry.adopt(state);
        }
        entry
    }

    /// The destinations of a service, and whether it is known to be there: netlink replies alike
    /// for one without destinations and for one that does not exist.
    async fn destinations_if_there(
        &mut self,
        key: &ServiceKey,
        detail: Detail,
        mut counts: Option<&mut Counts>,
    ) -> Result<(Vec<DestinationState>, bool), Error> {
        if detail == Detail::NoStatistics {
            let count = counts.as_deref_mut().and_then(|counts| counts.rely_on(key));
            if let Some(destinations) = self.ask_destinations(key, count, detail).await {
                return Ok((destinations, true));
            }
        }
        let dumped = self.dump_destinations(key, detail).await?;
        if let Some(counts) = counts {
            counts.note_dump(key, &dumped.0);
        }
        Ok(dumped)
    }

    /// The same by netlink.
    pub(super) async fn dump_destinations(
        &mut self,
        key: &ServiceKey,
        detail: Detail,
    ) -> Result<(Vec<DestinationState>, bool), Error> {
        let mut known: IndexMap<SocketAddr, DestinationState, RandomState> = IndexMap::default();
        let mut runs = Runs::default();
        for number in 0..DUMPS {
            self.transport.pause(pause_before(number)).await;
            let decode = |attrs: &[u8]| wire::decode_destination(attrs, key.family(), detail);
            let dump = self.dump(&Read::Destinations(*key), number, decode).await?;
            let is_there = !dump.entries.is_empty();
            if dump.is_whole() || number == 0 && self.are_all_of(key, &dump.entries).await {
                return Ok((dump.entries, is_there));
            }
            let address = |state: &DestinationState| state.destination.address;
            runs.add(dump.entries.iter().map(address), &dump.lengths, dump.has_room);
            let mut paced = self.paced();
            for state in &dump.entries {
                paced.step(1).await;
                known.insert(address(state), *state);
            }
            if runs.are_whole(&mut paced).await {
                // One that has gone meanwhile may be among them.
                return Ok((known.into_values().collect(), is_there));
            }
        }
        Err(Error::Unstable)
    }

    pub(crate) async fn destinations(
        &mut self,
        key: &ServiceKey,
        detail: Detail,
    ) -> Result<Vec<DestinationState>, Error> {
        self.listed_destinations(key, detail, None).await
    }

    /// The destinations of a service of a reading.
    pub(crate) async fn listed_destinations(
        &mut self,
        key: &ServiceKey,
        detail: Detail,
        counts: Option<&mut Counts>,
    ) -> Result<Vec<DestinationState>, Error> {
        Ok(self.destinations_if_there(key, detail, counts).await?.0)
    }

    /// By the older interface, whose counters of connections and packets have 32 bits; `None` if
    /// that does not know all of it, or refuses, for whatever reason.
    pub(super) async fn ask_destinations(
        &mut self,
        key: &ServiceKey,
        count: Option<usize>,
        detail: Detail,
    ) -> Option<Vec<DestinationState>> {
        let link = self.transport.link();
        let ask = |option, buffer: &mut [u8]| link.ask(option, buffer);
        let destinations = sockopt::all_destinations(&mut self.state.request, key, count, detail, ask);
        self.paced().step(destinations.as_ref().map_or(0, Vec::len)).await;
        destinations
    }

    /// Does the older interface, which copies the destinations of a service in one call, know the
    /// same ones?
    async fn are_all_of(&mut self, key: &ServiceKey, destinations: &[DestinationState]) -> bool {
        self.paced().step(destinations.len()).await;
        let link = self.transport.link();
        let ask = |option, buffer: &mut [u8]| link.ask(option, buffer);
        let addresses = destinations.iter().map(|state| state.destination.address);
        let are_all = sockopt::has_addresses(&mut self.state.request, key, addresses, ask);
        self.paced().step(destinations.len()).await;
        are_all
    }

    pub(crate) async fn table(&mut self, detail: Detail) -> Result<Table, Error> {
        let (services, mut counts) = match detail {
            Detail::NoStatistics => self.listed_services().await?,
            Detail::Statistics => (self.services(detail).await?, None),
        };
        let mut entries = Vec::with_capacity(services.len());
        for state in services {
            self.transport.yield_now().await;
            entries.extend(self.entry_of(state, detail, counts.as_mut()).await?);
        }
        for (key, destinations) in self.verify(counts, detail).await? {
            if let Some(entry) = entries.iter_mut().find(|entry| entry.service().key() == key) {
                *entry = self.entry_with(*entry.state(), destinations).await;
            }
        }
        let (timeouts, daemons, info) = (self.timeouts().await?, self.daemons().await?, self.info().await?);
        let table = Table::read(Vec::new(), timeouts, daemons, info).with_behaviors(self.transport.link().behaviors());
        Ok(self.filled(table, entries).await)
    }

    /// The table with these services, in the kernel's order. With many of them it yields, as
    /// reading them does.
    pub(crate) async fn filled(&mut self, mut table: Table, entries: Vec<TableEntry>) -> Table {
        table.make_room(entries.len());
        let mut paced = self.paced();
        for entry in entries.into_iter().rev() {
            paced.step(1).await;
            table.adopt(entry);
        }
        table
    }
}

#[cfg(test)]
#[path = "reading_laws.rs"]
pub(crate) mod laws;
