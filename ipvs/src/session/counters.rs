//! Counters that are read again and again, by `getsockopt`, whose counters of connections and
//! packets have 32 bits. Those of bytes have 64, and all of an entry are zeroed together.
//!
//! What netlink showed last says what the 32 bits lack. Netlink is asked again where that is not
//! certain:
//!
//! - A counter is smaller than before: it was zeroed, its service or destination was made anew, or
//!   it has used up its 32 bits.
//! - 8 GB have moved since netlink was asked. A packet has at least 20 bytes and a connection at
//!   least one packet, and rates are averages of two seconds: with less than that, none of them has
//!   used up its 32 bits.
//! - A counter is above 32 bits and netlink was asked five minutes ago. Only here can a reset be
//!   missed meanwhile: if 86 GB have moved after it before the next reading.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use super::copied::{Copied, CountedKeys};
use super::reading::Counts;
use super::{Session, Transport};
use crate::error::Error;
use crate::service::ServiceKey;
use crate::stats::Statistics;
use crate::table::{DestinationState, ServiceState};
use crate::wire::Detail;

/// So many bytes may move until netlink is asked again.
const MOST_MOVED: u64 = 8 << 30;

/// So long are counters above 32 bits trusted.
const MOST_TIME: Duration = Duration::from_secs(300);

/// The most that 32 bits hold.
const LOW: u64 = u32::MAX as u64;

/// If more than one service in this number has to be asked about, all are dumped.
const FEW_DOUBTFUL: usize = 10;

/// The counters of a service or destination when they were last read.
#[derive(Clone, Copy, Debug)]
struct Last {
    connections: u64,
    packets_in: u64,
    packets_out: u64,
    bytes_in: u64,
    bytes_out: u64,
    /// Of bytes in both directions when netlink was asked.
    asked_at: u64,
    /// A rate was above 32 bits then.
    is_fast: bool,
}

impl Last {
    /// As netlink has shown them.
    fn of(shown: Option<Statistics>) -> Self {
        let Statistics { connections, packets_in, packets_out, bytes_in, bytes_out, rates } = shown.unwrap_or_default();
        let asked_at = bytes_in.saturating_add(bytes_out);
        let is_fast = rates.bytes_in.max(rates.bytes_out) > LOW;
        Last { connections, packets_in, packets_out, bytes_in, bytes_out, asked_at, is_fast }
    }

    /// Completes the counters that `getsockopt` shows, if it is certain what they lack.
    fn complete(&mut self, shown: &mut Statistics, is_old: bool) -> bool {
        let is_long = self.connections > LOW || self.packets_in > LOW || self.packets_out > LOW;
        let moved = shown.bytes_in.saturating_add(shown.bytes_out).saturating_sub(self.asked_at);
        if self.is_fast
            || (is_long && is_old)
            || moved >= MOST_MOVED
            || shown.bytes_in < self.bytes_in
            || shown.bytes_out < self.bytes_out
        {
            return false;
        }
        let completed = |last: u64, shown: u64| (last & !LOW) | shown;
        shown.connections = completed(self.connections, shown.connections);
        shown.packets_in = completed(self.packets_in, shown.packets_in);
        shown.packets_out = completed(self.packets_out, shown.packets_out);
        if shown.connections < self.connections
            || shown.packets_in < self.packets_in
            || shown.packets_out < self.packets_out
        {
            return false;
        }
        *self = Last { asked_at: self.asked_at, ..Last::of(Some(*shown)) };
        true
    }
}

/// What is remembered of a service.
#[derive(Debug, Default)]
struct Known {
    /// Its counters, and when netlink was asked for them.
    service: Option<(Last, Instant)>,
    /// Those of its destinations in the kernel's order, and when netlink was asked for them.
    destinations: Option<(Vec<(SocketAddr, Last)>, Instant)>,
    /// It was there in the last reading.
    is_there: bool,
}

/// What earlier readings have shown.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    services: HashMap<ServiceKey, Known, RandomState>,
}

impl Memory {
    fn is_old(asked: Instant, now: Instant) -> bool {
        now.saturating_duration_since(asked) >= MOST_TIME
    }

    fn remember(&mut self, state: &ServiceState, now: Instant) {
        let known = self.services.entry(state.service.key()).or_default();
        known.service = Some((Last::of(state.statistics), now));
        known.is_there = true;
    }

    /// Completes the counters of a service.
    fn complete(&mut self, state: &mut ServiceState, now: Instant) -> bool {
        let Some(known) = self.services.get_mut(&state.service.key()) else { return false };
        let (Some((last, asked)), Some(shown)) = (&mut known.service, &mut state.statistics) else { return false };
        known.is_there = last.complete(shown, Self::is_old(*asked, now));
        known.is_there
    }

    /// Completes the counters of all destinations of a service.
    fn complete_all(&mut self, key: &ServiceKey, states: &mut [DestinationState], now: Instant) -> bool {
        let known = self.services.get_mut(key).and_then(|known| known.destinations.as_mut());
        let Some((lasts, asked)) = known else { return false };
        let is_old = Self::is_old(*asked, now);
        // The kernel adds new ones in front, and netlink is asked for all of them then. So what is
        // here is there, too, but for those that have gone.
        let mut at = 0;
        for state in states.iter_mut() {
            let address = state.destination.address;
            let Some(passed) = lasts.get(at..).and_then(|rest| rest.iter().position(|(last, _)| *last == address))
            else {
                return false;
            };
            if passed > 0 {
                lasts.drain(at..at + passed);
            }
            let (Some((_, last)), Some(shown)) = (lasts.get_mut(at), &mut state.statistics) else { return false };
            if !last.complete(shown, is_old) {
                return false;
            }
            at += 1;
        }
        lasts.truncate(at);
        true
    }
}

impl<C: Transport> Session<C> {
    /// All services with their counters, and the numbers of their destinations if they were asked
    /// for on the way.
    pub(crate) async fn counted_services_again(
        &mut self,
        memory: &mut Memory,
        now: Instant,
    ) -> Result<(Vec<ServiceState>, Option<CountedKeys>), Error> {
        memory.services.values_mut().for_each(|known| known.is_there = false);
        let copied =
            if memory.services.is_empty() { Copied::Unknown } else { self.copied_services(Detail::Statistics).await };
        let read = match copied {
            Copied::All(services, counts) => self.complete(memory, services, now).await?.map(|all| (all, Some(counts))),
            Copied::Few(_) | Copied::Unknown => None,
        };
        let (services, counts) = match read {
            Some(read) => read,
            None => {
                let services = self.services(Detail::Statistics).await?;
                services.iter().for_each(|state| memory.remember(state, now));
                (services, None)
            }
        };
        memory.services.retain(|_, known| known.is_there);
        Ok((services, counts))
    }

    /// Completes the counters that `getsockopt` has shown; `None` if a dump costs less.
    async fn complete(
        &mut self,
        memory: &mut Memory,
        mut services: Vec<ServiceState>,
        now: Instant,
    ) -> Result<Option<Vec<ServiceState>>, Error> {
        let mut doubtful = Vec::new();
        let mut paced = self.paced();
        for (at, state) in services.iter_mut().enumerate() {
            paced.step(1).await;
            if !memory.complete(state, now) {
                doubtful.push(at);
            }
        }
        if doubtful.len().saturating_mul(FEW_DOUBTFUL) > services.len() {
            return Ok(None);
        }
        let mut gone = Vec::new();
        for at in doubtful {
            match self.service_if_there(&services[at].service.key(), Detail::Statistics).await? {
                Some(state) => {
                    memory.remember(&state, now);
                    services[at] = state;
                }
                None => gone.push(at),
            }
        }
        for at in gone.into_iter().rev() {
            services.remove(at);
        }
        Ok(Some(services))
    }

    /// The destinations of a service with their counters.
    pub(crate) async fn counted_destinations_again(
        &mut self,
        memory: &mut Memory,
        key: &ServiceKey,
        mut counts: Option<&mut Counts>,
        now: Instant,
    ) -> Result<Vec<DestinationState>, Error> {
        if memory.services.get(key).is_some_and(|known| known.destinations.is_some()) {
            let count = counts.as_deref_mut().and_then(|counts| counts.rely_on(key));
            if let Some(mut states) = self.ask_destinations(key, count, Detail::Statistics).await {
                if memory.complete_all(key, &mut states, now) {
                    return Ok(states);
                }
            }
        }
        let (states, _) = self.dump_destinations(key, Detail::Statistics).await?;
        if let Some(counts) = counts {
            counts.note_dump(key, &states);
        }
        let lasts = states.iter().map(|state| (state.destination.address, Last::of(state.statistics)));
        memory.services.entry(*key).or_default().destinations = Some((lasts.collect(), now));
        Ok(states)
    }

    /// All services with their destinations and the counters of both.
    pub(crate) async fn counted_table_again(
        &mut self,
        memory: &mut Memory,
        now: Instant,
    ) -> Result<Vec<(ServiceState, Vec<DestinationState>)>, Error> {
        let is_first = memory.services.is_empty();
        let (services, counts) = self.counted_services_again(memory, now).await?;
        // At first they are all dumped.
        let mut counts = if is_first { None } else { self.counts(services.len(), counts).await };
        let mut all = Vec::with_capacity(services.len());
        for state in services {
            self.transport.yield_now().await;
            let key = state.service.key();
            let destinations = self.counted_destinations_again(memory, &key, counts.as_mut(), now).await?;
            all.push((state, destinations));
        }
        for (key, destinations) in self.verify(counts, Detail::Statistics).await? {
            if let Some((_, hidden)) = all.iter_mut().find(|(state, _)| state.service.key() == key) {
                *hidden = destinations;
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
#[path = "counters_law.rs"]
mod law;
