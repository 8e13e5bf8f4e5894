//! What the sockets of an in-memory kernel did, in order: for tests.

use std::sync::{Arc, Mutex};

use crate::command::Command;
use crate::service::ServiceKey;
use crate::wire::{Read, Request};

/// The events of all sockets, and the number of this one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    events: Arc<Mutex<Vec<(usize, Event)>>>,
    socket: usize,
}

/// What a socket did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Event {
    /// The kernel carried it out.
    Done(Command),
    /// All services were read.
    ReadServices,
    /// All services of IPv4 were asked for by the older interface.
    AskedServices,
    AskedService(ServiceKey),
    AskedDestinations(ServiceKey),
    /// The version of IPVS was asked for.
    AskedInfo,
}

impl Log {
    /// Of another socket of the same kernel.
    pub(crate) fn another(&self) -> Self {
        Log { events: Arc::clone(&self.events), socket: self.socket + 1 }
    }

    pub(crate) fn push(&self, event: Event) {
        self.events.lock().unwrap().push((self.socket, event));
    }

    pub(crate) fn push_read(&self, request: &Request) {
        match request {
            Request::Read(Read::Services) => self.push(Event::ReadServices),
            Request::Read(Read::Service(key)) => self.push(Event::AskedService(*key)),
            Request::Read(Read::Info) => self.push(Event::AskedInfo),
            Request::Read(Read::Destinations(key)) => self.push(Event::AskedDestinations(*key)),
            _ => {}
        }
    }

    pub(crate) fn events(&self) -> Vec<(usize, Event)> {
        self.events.lock().unwrap().clone()
    }
}
