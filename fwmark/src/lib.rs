//! Firewall marks that make several ports one service.
//!
//! IPVS can balance all packets that have one *mark* as one virtual service. That is how HTTP and
//! HTTPS of a shop reach the same real server: a firewall rule marks both ports with one number,
//! and the service is that number instead of an address and a port (`ipvsadm -A -f 10 -p 600`).
//!
//! ```toml
//! [dependencies]
//! fwmark = "0.1"
//! ```
//!
//! Rules are values:
//!
//! - [`MarkRule`]: which packets get which mark;
//! - [`MarkGroup`]: several addresses, protocols and ports under one mark, which yields the rules;
//! - [`CommandLine`]: an `iptables` command line, which is read ([`parse`]) and printed;
//!
//! It sets rules:
//!
//! - [`Nftables`]: in a table of its own, over netlink, in one transaction. The cost of a packet
//!   does not grow with the number of rules;
//! - [`Iptables`]: in chains of their own, through iptables-restore, for kernels without nftables;
//! - [`Backend`]: the one of them that the machine has.
//!
//! It checks rules of other programs:
//!
//! - [`Survey`]: every [`ForeignRule`], a rule of another program that writes marks, from nftables
//!   and iptables;
//! - [`check`] finds those that keep packets from their service, [`MarksInUse`] a free mark.
//!
//! ```
//! use fwmark::{Action, CommandLine, FirewallMark, MarkGroup, Protocol};
//!
//! let vip = "192.0.2.1".parse()?;
//! let mut shop = MarkGroup::new(FirewallMark::new(10)?);
//! shop = shop.with(vip, Protocol::Tcp, 80).with(vip, Protocol::Tcp, 443);
//! let lines: Vec<String> =
//!     shop.rules().map(|rule| CommandLine { action: Action::Append, rule }.to_string()).collect();
//! let line = "iptables -t mangle -A PREROUTING -d 192.0.2.1 \
//!             -p tcp -m multiport --dports 80,443 -j MARK --set-mark 10";
//! assert_eq!(lines, [line]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! All calls block. [`Family`], [`FirewallMark`], [`InvalidValue`] and [`Owner`] are those of the
//! crate `ipvs`. [`Protocol`] has only protocols with ports, so it converts from `ipvs::Protocol`
//! by `TryFrom`; so does [`InterfacePattern`] from `ipvs::InterfaceName`.
//!
//! # Which numbers a mark may have
//!
//! Many articles write that a mark lies between 0 and 99, or 1 and 99. That is wrong: the kernel
//! keeps a mark of 32 bits with each packet (`skb->mark`), and IPVS compares all of them. So any
//! mark from 1 to 4,294,967,295 can be used; 0 means "not marked".

mod backend;
mod check;
mod command_line;
mod failure;
mod group;
mod in_use;
mod interface;
mod iptables;
mod mark;
mod network;
#[doc(hidden)]
#[cfg(any(fuzzing, test))]
pub mod fuzzing {
    //! What the targets in `fuzz/` call, compiled only with `--cfg fuzzing`, which cargo-fuzz sets.
    pub use crate::nft::fuzzing::read_nftables;
}
mod foreign;
mod nft;
mod number;
mod overlap;
mod parse;
mod ports;
mod protocol;
mod rule;
mod selector;

pub use backend::{Backend, Survey};
pub use check::{Conflict, check};
pub use command_line::{Action, CommandLine};
pub use failure::BackendError;
pub use foreign::{Effect, ForeignRule};
pub use group::MarkGroup;
pub use in_use::MarksInUse;
pub use interface::InterfacePattern;
pub use iptables::{Iptables, Variant, foreign_rules_of_save};
pub use ipvs::owners::Owner;
pub use ipvs::{Family, FirewallMark, InvalidValue};
pub use mark::{SetMark, parse_mark};
pub use network::Network;
pub use nft::Nftables;
pub use parse::{ParseError, Reason, parse};
pub use ports::{PortRange, Ports};
pub use protocol::Protocol;
pub use rule::{Hook, MarkRule, MixedFamilies, Traffic};

/// The examples of the crate's page.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
