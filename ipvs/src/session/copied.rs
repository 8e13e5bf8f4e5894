//! All services by `getsockopt` alone, where it is certain that there are no others.
//!
//! It copies the services of IPv4 in one call, in the order of a dump, at a tenth of a dump's work,
//! and a dump of many services takes longer with each datagram. But it shows neither services of
//! IPv6 nor persistence engines. That there are none is known from how often the kernel's module is
//! referred to: see `sysfs.rs`, and docs/kernels.md for what is left.

use super::Session;
use super::transport::{Paced, Transport};
use crate::service::ServiceKey;
use crate::sysfs::ModuleUsers;
use crate::table::ServiceState;
use crate::wire::{Detail, sockopt};

/// Up to this number of services, a dump costs no more than to find out that there are no others.
const FEW: usize = 16;

/// How often services are copied until their number stays the same meanwhile.
const COPIES: usize = 3;

/// How often the references are counted. Another program hides a service of IPv6 only if it deletes
/// one of IPv4 before each of these, and adds it again after each.
const LOOKS: usize = 4;

/// Each service of IPv4, and how many destinations it has.
pub(crate) type CountedKeys = Vec<(ServiceKey, usize)>;

/// What `getsockopt` shows of all services.
pub(super) enum Copied {
    /// All that there are, in the order of a dump.
    All(Vec<ServiceState>, CountedKeys),
    /// Few of IPv4. There may be others.
    Few(CountedKeys),
    /// Others may be there, or it can't be used.
    Unknown,
}

impl<C: Transport> Session<C> {
    /// Counters of connections and packets have 32 bits here.
    pub(super) async fn copied_services(&mut self, detail: Detail) -> Copied {
        match self.copy_counts(FEW + 1).await {
            None => return Copied::Unknown,
            Some(counts) if counts.len() <= FEW => return Copied::Few(counts),
            Some(_) => {}
        }
        let Some(users) = self.transport.link().module_users() else { return Copied::Unknown };
        for _copy in 0..COPIES {
            let count = self.count_services().filter(|count| self.are_lone(*count, &users));
            let Some(count) = count else { continue };
            let Some((services, counts)) = self.copy_services(count, detail).await else { break };
            if services.len() == count && self.are_all_the_time(count, &users) {
                return Copied::All(services, counts);
            }
        }
        Copied::Unknown
    }

    /// Do only so many services, sync daemons and other modules refer to the kernel's module?
    fn are_lone(&mut self, services: usize, users: &ModuleUsers) -> bool {
        let Some(references) = self.transport.link().module_references(users) else { return false };
        let others = references.checked_sub(services).and_then(|others| others.checked_sub(users.modules()));
        others == Some(0) || others.is_some() && self.count_daemons() == others
    }

    /// The same, and is this the number of those of IPv4, whenever it is looked at? The looks follow
    /// no rhythm that another program may have.
    fn are_all_the_time(&mut self, services: usize, users: &ModuleUsers) -> bool {
        let has_count = |session: &mut Self| session.count_services() == Some(services);
        (1..=LOOKS).all(|look| (0..look).all(|_| has_count(self)) && self.are_lone(services, users))
            && has_count(self)
            && users.are_the_same()
    }

    /// The number of services of IPv4.
    fn count_services(&mut self) -> Option<usize> {
        sockopt::ask_info(&mut self.state.request);
        self.transport.link().ask(sockopt::GET_INFO, &mut self.state.request).ok()?;
        Some(sockopt::info(&self.state.request)?.1)
    }

    fn count_daemons(&mut self) -> Option<usize> {
        sockopt::ask_daemons(&mut self.state.request);
        self.transport.link().ask(sockopt::GET_DAEMONS, &mut self.state.request).ok()?;
        Some(sockopt::daemons(&self.state.request)?.len())
    }

    /// The services of IPv4, up to one more than this number.
    async fn copy_services(&mut self, count: usize, detail: Detail) -> Option<(Vec<ServiceState>, CountedKeys)> {
        if !self.copy(count.saturating_add(1)).await {
            return None;
        }
        let mut paced = Paced::new(&mut self.transport);
        let mut services = Vec::with_capacity(count.saturating_add(1));
        let mut counts = Vec::with_capacity(count.saturating_add(1));
        for entry in sockopt::counted_services(&self.state.request, detail) {
            paced.step(1).await;
            let (state, destinations) = entry?;
            counts.push((state.service.key(), destinations));
            services.push(state);
        }
        Some((services, counts))
    }

    /// The first services of IPv4, up to this number, with the numbers of their destinations.
    pub(super) async fn copy_counts(&mut self, room: usize) -> Option<CountedKeys> {
        if !self.copy(room).await {
            return None;
        }
        let counts = sockopt::service_counts(&self.state.request);
        self.transport.yield_now().await;
        counts
    }

    /// Has the kernel copied so many services of IPv4, or all? It does so in one call, during which
    /// none is added or deleted.
    async fn copy(&mut self, room: usize) -> bool {
        if !sockopt::IS_KNOWN || !sockopt::ask_services(&mut self.state.request, room) {
            return false;
        }
        self.transport.yield_now().await;
        let is_copied = self.transport.link().ask(sockopt::GET_SERVICES, &mut self.state.request).is_ok();
        self.transport.yield_now().await;
        is_copied
    }

    /// The services of IPv4, in the order of a dump, each with the number of its destinations;
    /// `None` where `getsockopt` can't be used.
    pub(crate) async fn ask_service_counts(&mut self, expected: usize) -> Option<CountedKeys> {
        // With one more that stays empty, all of them are there.
        let mut room = expected.saturating_add(1);
        loop {
            let counts = self.copy_counts(room).await?;
            if counts.len() < room {
                return Some(counts);
            }
            room = room.saturating_mul(2);
        }
    }
}
