//! Linux Virtual Server (IPVS), the kernel's layer-4 load balancer, over generic netlink.
//!
//! A *director* takes connections to a *virtual service* ([`Service`]: a TCP, UDP or SCTP address
//! and port, or a firewall mark) and hands each to one of its *destinations* ([`Destination`]: a
//! real server), chosen by a [`Scheduler`]. This crate changes and reads the director's table.
//!
//! The package is called `linux-ipvs` (`ipvs` on crates.io is another project), and its library
//! `ipvs`:
//!
//! ```toml
//! [dependencies]
//! linux-ipvs = "0.1"
//! ```
//!
//! Three nouns carry it:
//!
//! - [`Command`]: one change to a director, as a plain value;
//! - [`Table`]: the state of a director as a value, with the kernel's rules for changing it;
//! - [`Client`]: sends commands to a kernel and reads its table. [`Client::fake`] is the
//!   same client over an in-memory kernel, for tests and dry runs.
//!
//! ```
//! use ipvs::{Client, Destination, Forwarding, Persistence, Scheduler, Service, Table};
//!
//! let mut director = Client::fake(Table::new()); // or Client::connect()?, as root
//! let shop = Service::new("mark 10".parse()?)
//!     .with_scheduler(Scheduler::WLC)
//!     .with_persistence(Persistence::new(600)?);
//! director.add_service(&shop)?;
//! director.add_destination(&shop.key(), &Destination::new("192.0.2.11:0".parse()?))?;
//! director.add_destination(&shop.key(), &Destination::new("192.0.2.12:0".parse()?))?;
//!
//! for server in director.destinations(&shop.key())? {
//!     println!("{}: {} active", server.destination.address, server.active_connections);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Features, none of them on by default: `tokio` for `AsyncClient`, the same client without
//! blocking its thread, and its like in [`sync`]; `desired` for desired states, files that say what
//! a director is to hold; `serde` for `Serialize` and `Deserialize`.
//!
//! # JSON
//!
//! With the feature `serde`, a [`Table`] is a desired state: what `ipvs-cli show --json
//! --statistics --daemons` writes, but for the order (a table has services and destinations oldest
//! first, `show` sorts them) and the firewall rules of marks, which no table has. So `ipvs-cli diff
//! -` and `apply -` take the JSON of a table, and a table is read from what `show --json` writes.
//! [`Service`], [`Destination`], [`Daemon`], [`Timeouts`] and the states of services and
//! destinations are its parts, with the same keys. The rules:
//!
//! - `version` is 1. It changes when a key goes, or means something else.
//! - What has a default may be missing: of a service all but its `address` and `protocol`, or
//!   `mark`. What has its default is not written, but for `scheduler`, `forwarding` and `weight`.
//! - An unknown key is an error, because to skip it could make another service. Below `statistics`
//!   and `kernel` it is ignored, and a missing counter is 0: so stored JSON is read by later
//!   versions that have more counters, and by earlier ones.
//! - The rules of a service's mark (`group`) are no part of a [`Service`] or [`Table`]: reading
//!   passes over them. `destinations` are read with a table, and an error in a service alone.
//! - Values that only a newer kernel has are written and read as numbers. A [`Weight`],
//!   [`Persistence`] or [`FirewallMark`] by itself must be one that its constructor takes.
//! - Addresses are written without zone and flow label, which the kernel's table does not have.
//! - What prints and parses is text: keys are `"tcp 192.0.2.1:80"`. A name that is not UTF-8 is
//!   written with U+FFFD, and refused when it is read.
//! - The format must be self-describing, as JSON, TOML and YAML are.
//!
//! On other systems of the Unix family, such as macOS, all of it compiles, and [`Table`],
//! [`change::Planner`] and [`Client::fake`] work: tests of a controller run there.
//! [`Client::connect`] fails with [`Error::Io`] and [`std::io::ErrorKind::Unsupported`].
//!
//! What a kernel newer than this crate adds (schedulers, flags, protocols, tunnel types,
//! attributes) is kept and sent back, never an error. The source of truth is the kernel's
//! `include/uapi/linux/ip_vs.h` and `net/netfilter/ipvs/ip_vs_ctl.c`.

#[cfg(not(unix))]
compile_error!("the crate `ipvs` needs Linux; on other systems of the Unix family, all but a real kernel works");

mod cause;
pub mod change;
mod client;
mod command;
mod daemon;
#[cfg(feature = "desired")]
pub mod desired;
mod destination;
pub mod drain;
mod errno;
mod error;
mod exchange;
mod explain;
mod fake;
#[cfg(target_os = "linux")]
mod getsockopt;
mod info;
mod invalid_value;
mod kernel;
mod link;
pub mod monitor;
mod name;
pub mod netns;
pub mod owners;
pub mod proc;
mod refusal;
mod report;
pub mod rule;
mod rules;
#[cfg(feature = "serde")]
mod serialize;
mod service;
mod session;
pub mod sockopt;
mod stats;
#[cfg(test)]
mod strategies;
pub mod sync;
pub mod sysctl;
mod sysfs;
mod table;
mod timeouts;
mod unshare;
mod wire;

#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;

pub use cause::Cause;
#[cfg(feature = "tokio")]
pub use client::{AsyncClient, AsyncPipeline};
pub use client::{Client, ClientBuilder, Counters, FakeKernel, Listing, Pipeline};
pub use command::{Command, CommandKind};
pub use daemon::{Daemon, DaemonRole};
pub use destination::{Destination, Forwarding, OtherTunnel, ReservedForwarding, Tunnel, TunnelFlags, Weight};
pub use errno::Errno;
pub use error::Error;
pub use fake::Fault;
pub use info::{Info, Version};
pub use invalid_value::InvalidValue;
pub use kernel::{Behaviors, KernelVersion};
pub use name::{InterfaceName, Module, PersistenceEngine, Scheduler};
pub use refusal::{Outcome, Refusal};
pub use report::Report;
pub use service::{
    Family, FamilyMismatch, FirewallMark, Netmask, Persistence, Protocol, SchedulerFlags, Service, ServiceKey,
};
pub use stats::{Rates, Statistics};
pub use table::{DestinationState, ServiceState, Table, TableEntry};
pub use timeouts::Timeouts;
pub use wire::WireError;

/// The examples of the crate's page.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
