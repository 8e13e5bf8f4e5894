//! The older interface of the kernel, `getsockopt`: fixed structures in place of attributes.
//!
//! It says less (IPv4 only, no persistence engines, no kinds of tunnels, counters of 32 bits), but
//! costs the kernel a tenth, and it serves root of a user namespace, whom netlink refuses. A
//! listing without statistics needs of it how many destinations a service has, and the
//! destinations; [`sockopt::Table`](crate::sockopt::Table) needs the rest, too.
//!
//! One file a noun, with both ways: questions and replies for the client, and what the kernel makes
//! of them for the in-memory one. The numbers in the names of fields are their places in the
//! structures of `include/uapi/linux/ip_vs.h`. A reply comes in the question's place. The kernel
//! does not say how much of a table it has written; what it has not is 0: where a destination would
//! have its address, or, as a mark's service has none, all of a service.

mod destination;
mod director;
mod question;
mod service;
mod statistics;

pub(crate) use destination::{ask_destinations, destinations, put_destinations};
pub(crate) use director::{
    ask_daemons, ask_info, ask_timeouts, daemons, info, put_daemons, put_info, put_timeouts, timeouts,
};
pub(crate) use question::Question;
pub(crate) use service::{
    ask_service, ask_services, counted_services, destination_count, put_service, put_services, service_counts, services,
};

/// `IP_VS_BASE_CTL`.
const BASE: i32 = 64 + 1024 + 64;
/// `IP_VS_SO_GET_INFO`: version, size, and how many services of IPv4 there are.
pub(crate) const GET_INFO: i32 = BASE + 1;
/// `IP_VS_SO_GET_SERVICES`: all services.
pub(crate) const GET_SERVICES: i32 = BASE + 2;
/// `IP_VS_SO_GET_SERVICE`: one service.
pub(crate) const GET_SERVICE: i32 = BASE + 3;
/// `IP_VS_SO_GET_DESTS`: the destinations of one service.
pub(crate) const GET_DESTINATIONS: i32 = BASE + 4;
/// `IP_VS_SO_GET_TIMEOUT`: the timeouts of connections.
pub(crate) const GET_TIMEOUTS: i32 = BASE + 6;
/// `IP_VS_SO_GET_DAEMON`: the sync daemons.
pub(crate) const GET_DAEMONS: i32 = BASE + 7;

/// Does this target lay the structures out as written here? Numbers of 64 bits in them must start
/// at multiples of eight bytes.
pub(crate) const IS_KNOWN: bool = align_of::<u64>() == 8;

/// Zeros, the beginning of every request.
fn blank(buffer: &mut Vec<u8>, length: usize) {
    buffer.clear();
    buffer.resize(length, 0);
}

/// The longest table that is asked for: of more than two million services. A count that needs more
/// is none of a kernel's.
const LONGEST: usize = 256 << 20;

/// The same for a table: a header, and this number of entries; the number as the kernel takes it,
/// or `None` if they would be too long.
fn blank_table(buffer: &mut Vec<u8>, header: usize, entries: usize, size: usize) -> Option<u32> {
    let length = entries.checked_mul(size)?.checked_add(header)?;
    if length > LONGEST {
        return None;
    }
    blank(buffer, length);
    u32::try_from(entries).ok()
}

/// The entries that were written.
fn written(entries: &[u8], size: usize) -> impl Iterator<Item = &[u8]> {
    entries.chunks_exact(size).take_while(|entry| entry.iter().any(|byte| *byte != 0))
}

/// A name, up to the NUL that ends it.
fn name(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
