//! etcd, by its gateway for HTTP and JSON (`/v3/…`, etcd 3.4 and later).
//!
//! A client for gRPC would bring an asynchronous runtime for one watch and a few requests in ten
//! seconds.

mod address;
mod client;
#[cfg(test)]
mod fake;
mod layout;

pub(crate) use address::Address;
pub(crate) use client::{
    Access, Client, Entry, EtcdError, WATCHING, absent, compare, integer, put, range, remove, unchanged,
};
pub(crate) use layout::{Host, Keys, Status, generation};

#[cfg(test)]
pub(crate) use fake::{Fake, Store};
