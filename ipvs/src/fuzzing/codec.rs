//! The codec with nothing around it, for the program `tests/codec`, whose instructions are counted:
//! what a client does with commands until they are sent, and with replies once they have come.

use super::FAMILY;
use crate::command::Command;
use crate::error::Error;
use crate::exchange::{Query, SequenceNumbers, Window};
use crate::service::ServiceKey;
use crate::table::{DestinationState, ServiceState};
use crate::wire::{self, Detail, Read, WireError, sockopt};

/// The number of a request, and of its reply.
const SEQUENCE: u32 = 1;

/// Commands that are sent together.
#[derive(Debug, Default)]
pub struct Requests(Window);

impl Requests {
    /// Writes those for these commands, in place of all before.
    pub fn write(&mut self, commands: &[Command]) -> &[u8] {
        self.0.clear();
        let mut numbers = SequenceNumbers::default();
        for command in commands {
            self.0.push(FAMILY, &mut numbers, command);
        }
        self.0.datagram()
    }
}

/// A dump that was asked for, number 1 on its socket.
#[derive(Debug)]
pub struct Dump {
    query: Query,
    detail: Detail,
}

impl Dump {
    /// That of all services.
    pub fn of_services(with_statistics: bool) -> Self {
        Self::of(&Read::Services, with_statistics)
    }

    /// That of a service's destinations.
    pub fn of_destinations(key: ServiceKey, with_statistics: bool) -> Self {
        Self::of(&Read::Destinations(key), with_statistics)
    }

    fn of(read: &Read, with_statistics: bool) -> Self {
        let query = Query::read(&mut Vec::new(), FAMILY, SEQUENCE, read);
        Dump { query, detail: if with_statistics { Detail::Statistics } else { Detail::NoStatistics } }
    }

    /// Hands on each service of a datagram.
    ///
    /// # Errors
    /// [`Error::Decode`] and [`Error::Refused`].
    pub fn services(&self, datagram: &[u8], mut take: impl FnMut(&ServiceState)) -> Result<(), Error> {
        self.read(datagram, |attrs| {
            take(&wire::decode_service(attrs, self.detail)?);
            Ok(())
        })
    }

    /// Hands on each destination of a datagram, of a service of IPv4.
    ///
    /// # Errors
    /// [`Error::Decode`] and [`Error::Refused`].
    pub fn destinations(&self, datagram: &[u8], mut take: impl FnMut(&DestinationState)) -> Result<(), Error> {
        let family = crate::service::Family::V4;
        self.read(datagram, |attrs| {
            take(&wire::decode_destination(attrs, family, self.detail)?);
            Ok(())
        })
    }

    /// As a client does.
    fn read(&self, datagram: &[u8], mut take: impl FnMut(&[u8]) -> Result<(), WireError>) -> Result<(), Error> {
        let mut misunderstood = None;
        let mut take = |attrs: &[u8]| {
            if misunderstood.is_none() {
                misunderstood = take(attrs).err();
            }
        };
        self.query.feed(datagram, &mut take)?;
        misunderstood.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// The services in a reply of `getsockopt`, as `sockopt::Table` gets them.
pub fn sockopt_services(reply: &[u8]) -> Option<Vec<ServiceState>> {
    sockopt::services(reply)
}

/// The destinations in a reply of `getsockopt`, as a listing without statistics gets them.
pub fn sockopt_destinations(reply: &[u8]) -> Option<Vec<DestinationState>> {
    sockopt::destinations(reply, Detail::NoStatistics, None)
}
