//! Words of the command line that name a service, a network, packets or a number.

pub(crate) mod network;
pub(crate) mod number;
pub(crate) mod packets;
pub(crate) mod service;
pub(crate) mod value;
