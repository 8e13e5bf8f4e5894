//! Listings: services, and the destinations of one after the other.

use super::Client;
use crate::error::Error;
use crate::service::ServiceKey;
use crate::session::{Counts, block_on_ready};
use crate::table::{DestinationState, ServiceState};
use crate::wire::Detail;

/// A reading without statistics that keeps no table: all services, and then the destinations of
/// each when they are asked for.
///
/// For programs that print large tables. It takes less work than
/// [`Client::destinations_without_statistics`] for each service, because the kernel is asked for
/// the numbers of all destinations at once: before the first, and again by
/// [`finish`](Self::finish). The listing is whole if that returns no error, but for one case that
/// the client excludes: a service of IPv4 has destinations of IPv6, and as many of IPv4 are added
/// before its destinations are asked for, and deleted between that and `finish`.
///
/// ```
/// use ipvs::{Client, Listing, Service, Table};
/// let mut director = Client::fake(Table::new());
/// director.add_service(&Service::new("udp 192.0.2.1:53".parse()?))?;
/// let (services, mut listing) = Listing::read(&mut director)?;
/// for state in services {
///     let servers = listing.destinations(&state.service.key())?;
///     println!("{}: {} servers", state.service.key(), servers.len());
/// }
/// listing.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Listing<'c> {
    client: &'c mut Client,
    /// `None` where each service is asked for the number of its destinations.
    counts: Option<Counts>,
}

impl<'c> Listing<'c> {
    /// Reads the services, which it returns in the kernel's order, which means nothing.
    ///
    /// # Errors
    /// As [`Client::services_without_statistics`].
    pub fn read(client: &'c mut Client) -> Result<(Vec<ServiceState>, Self), Error> {
        let (services, counts) = block_on_ready(client.session.listed_services())?;
        Ok((services, Listing { client, counts }))
    }

    /// The destinations of a service, newest first, as they are now; none for a service that does
    /// not exist.
    ///
    /// # Errors
    /// As [`Client::destinations_without_statistics`].
    pub fn destinations(&mut self, key: &ServiceKey) -> Result<Vec<DestinationState>, Error> {
        let Listing { client, counts } = self;
        block_on_ready(client.session.listed_destinations(key, Detail::NoStatistics, counts.as_mut()))
    }

    /// Asks whether what was returned is whole: whether the destinations of each service had all
    /// that existed during all of this listing. Of those that were not asked for, nothing is said.
    ///
    /// # Errors
    /// [`Error::Unstable`] if one of IPv6 may be missing in a service of IPv4, because others were
    /// added or deleted there meanwhile: read it again. See [`Error`] for the rest.
    pub fn finish(self) -> Result<(), Error> {
        let hidden = block_on_ready(self.client.session.verify(self.counts, Detail::NoStatistics))?;
        if hidden.is_empty() { Ok(()) } else { Err(Error::Unstable) }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::{Destination, FakeKernel, Forwarding, Service, Table, Tunnel};

    fn key(mark: u32) -> ServiceKey {
        format!("mark {mark}").parse().unwrap()
    }

    fn server(n: u32) -> Destination {
        Destination::new(SocketAddr::from(([192, 0, 2, n as u8], 0)))
    }

    fn of_ipv6() -> Destination {
        Destination::new("[2001:db8::1]:0".parse().unwrap()).with_forwarding(Forwarding::Tunnel(Tunnel::Ipip))
    }

    /// A client that lists, and another writer. Of 400 services, the first `with_destinations` have
    /// a destination, and the `mixed` ones also one of IPv6.
    fn director(with_destinations: u32, mixed: &[u32]) -> (Client, Client) {
        let kernel = FakeKernel::new(Table::new());
        let (lister, mut other) = (kernel.client(), kernel.client());
        for mark in 1..=400 {
            other.add_service(&Service::new(key(mark))).unwrap();
            if mark <= with_destinations {
                other.add_destination(&key(mark), &server(1)).unwrap();
            }
            if mixed.contains(&mark) {
                other.add_destination(&key(mark), &of_ipv6()).unwrap();
            }
        }
        (lister, other)
    }

    fn addresses(destinations: Vec<DestinationState>) -> Vec<SocketAddr> {
        let mut addresses: Vec<_> = destinations.iter().map(|state| state.destination.address).collect();
        addresses.sort();
        addresses
    }

    fn of(destinations: &[Destination]) -> Vec<SocketAddr> {
        destinations.iter().map(|destination| destination.address).collect()
    }

    #[test]
    fn a_quiet_director_is_listed_whole() {
        for with_destinations in [1, 400] {
            let (mut lister, _) = director(with_destinations, &[1, 3]);
            let (services, mut listing) = Listing::read(&mut lister).unwrap();
            assert_eq!(services.len(), 400);
            for (mark, expected) in
                [(1, of(&[server(1), of_ipv6()])), (2, if with_destinations == 1 { of(&[]) } else { of(&[server(1)]) })]
            {
                assert_eq!(addresses(listing.destinations(&key(mark)).unwrap()), expected);
            }
            listing.finish().unwrap();
        }
    }

    /// As many destinations of IPv4 as there were of both families.
    #[test]
    fn a_hidden_destination_of_ipv6_is_reported() {
        let (mut lister, mut other) = director(400, &[1]);
        let (_, mut listing) = Listing::read(&mut lister).unwrap();
        other.add_destination(&key(1), &server(2)).unwrap();
        listing.destinations(&key(1)).unwrap();
        assert!(matches!(listing.finish(), Err(Error::Unstable)));
    }

    #[test]
    fn changes_of_ipv4_are_no_reason_to_fail() {
        let (mut lister, mut other) = director(400, &[]);
        let (_, mut listing) = Listing::read(&mut lister).unwrap();
        listing.destinations(&key(1)).unwrap();
        other.delete_destination(&key(1), server(1).address).unwrap();
        other.add_destination(&key(2), &server(2)).unwrap();
        assert_eq!(addresses(listing.destinations(&key(2)).unwrap()), of(&[server(1), server(2)]));
        listing.finish().unwrap();
    }

    /// Then the number of destinations is asked for with them, of all services after it.
    #[test]
    fn after_one_destination_of_ipv6_no_other_is_hidden() {
        let (mut lister, mut other) = director(400, &[1, 2]);
        let (_, mut listing) = Listing::read(&mut lister).unwrap();
        listing.destinations(&key(1)).unwrap();
        other.add_destination(&key(2), &server(2)).unwrap();
        assert_eq!(addresses(listing.destinations(&key(2)).unwrap()), of(&[server(1), server(2), of_ipv6()]));
        listing.finish().unwrap();
    }

    #[test]
    fn where_few_services_have_destinations_none_is_hidden() {
        let (mut lister, mut other) = director(1, &[1]);
        let (_, mut listing) = Listing::read(&mut lister).unwrap();
        other.add_destination(&key(1), &server(2)).unwrap();
        assert_eq!(addresses(listing.destinations(&key(1)).unwrap()), of(&[server(1), server(2), of_ipv6()]));
        listing.finish().unwrap();
    }

    /// Nothing of one call decides what another returns.
    #[test]
    fn a_client_remembers_no_counts() {
        let (mut reader, mut other) = director(1, &[1]);
        reader.services_without_statistics().unwrap();
        other.add_destination(&key(1), &server(2)).unwrap();
        let read = addresses(reader.destinations_without_statistics(&key(1)).unwrap());
        assert_eq!(read, of(&[server(1), server(2), of_ipv6()]));
    }
}
