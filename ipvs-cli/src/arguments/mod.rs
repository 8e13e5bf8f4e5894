//! Words of the command line that name a service, a network or packets.

pub(crate) mod network;
pub(crate) mod packets;
pub(crate) mod service;
