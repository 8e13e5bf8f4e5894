//! What ipvsadm prints, byte for byte: pure functions of the kernel's replies.
//!
//! Listings of thousands of lines are common, so a line is built in a buffer by the writers of
//! `number` and `address`, without formatting machinery and without a string of its own.

pub mod address;
pub mod connections;
pub mod daemon;
pub mod list;
pub mod number;
pub mod order;
pub mod save;
pub mod timeouts;
pub mod unprivileged;

#[cfg(test)]
mod samples;

use std::io::{self, Write};

use ipvs::{DestinationState, Protocol, ServiceKey, ServiceState};

use crate::ipvsadm::names::Names;

/// Looks up all names of these services in as few runs of the resolver as possible.
pub fn prefetch(names: &mut Names, services: &[(ServiceState, Vec<DestinationState>)]) {
    let endpoints = |(state, destinations): &(ServiceState, Vec<DestinationState>)| {
        let at = match state.service.key() {
            ServiceKey::Address { at, .. } => Some(at),
            ServiceKey::Mark { .. } => None,
        };
        let destinations = destinations.iter().map(|state| state.destination.address);
        at.into_iter().chain(destinations).collect::<Vec<_>>()
    };
    names.prefetch_hosts(services.iter().flat_map(endpoints).map(|at| at.ip()));
    for protocol in [Protocol::TCP, Protocol::UDP, Protocol::SCTP] {
        let of_protocol =
            services.iter().filter(|(state, _)| list::names_of_ports(&state.service.key()) == Some(protocol));
        names.prefetch_ports(protocol, of_protocol.flat_map(endpoints).map(|at| at.port()));
    }
}

/// Lines on their way out: handed on some at a time.
#[expect(missing_debug_implementations, reason = "the output need not have one")]
pub struct Lines<'w> {
    out: &'w mut dyn Write,
    pending: Vec<u8>,
}

impl<'w> Lines<'w> {
    /// A system call's worth.
    const ENOUGH: usize = 32 << 10;
    /// No line without names is longer. (A longer one makes the buffer grow.)
    const LINE: usize = 128;

    /// For about this many lines.
    pub fn new(out: &'w mut dyn Write, lines: usize) -> Self {
        Lines { out, pending: Vec::with_capacity((lines * Self::LINE).min(Self::ENOUGH + Self::LINE)) }
    }

    /// Adds what `write` appends, and a newline.
    ///
    /// # Errors
    /// Those of the output.
    pub fn line(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        write(&mut self.pending);
        self.pending.push(b'\n');
        if self.pending.len() < Self::ENOUGH { Ok(()) } else { self.flush() }
    }

    /// Hands on what is left.
    ///
    /// # Errors
    /// Those of the output.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.pending)?;
        self.pending.clear();
        Ok(())
    }
}
