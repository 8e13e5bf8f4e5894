//! Firewall marks that make several ports one service.
//!
//! A load balancer such as IPVS can take all packets with one *mark* for one virtual service. That is how HTTP and
//! HTTPS of a shop reach the same real server: a firewall rule marks both ports with one number, and the service is that
//! number instead of an address and a port (`ipvsadm -A -f 10 -p 600`).
//!
//! This crate holds such rules as values:
//!
//! - [`MarkRule`]: which packets get which mark;
//! - [`MarkGroup`]: several addresses, protocols and ports under one mark, which yields the rules;
//! - [`Line`]: a rule with what to do with it, which reads ([`parse`]) and prints an `iptables` command line.
//!
//! ```
//! use fwmark::{Action, Line, Mark, MarkGroup, Protocol};
//!
//! let vip = "192.0.2.1".parse()?;
//! let shop = MarkGroup::new(Mark::new(10)?).with(vip, Protocol::Tcp, 80).with(vip, Protocol::Tcp, 443);
//! let lines: Vec<String> = shop.rules().map(|rule| Line { action: Action::Append, rule }.to_string()).collect();
//! assert_eq!(
//!     lines,
//!     ["iptables -t mangle -A PREROUTING -d 192.0.2.1 -p tcp -m multiport --dports 80,443 -j MARK --set-mark 10"]
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What is here works on values and text. The crate doesn't talk to the kernel: give the lines to a shell, as root.
//!
//! # Which numbers a mark may have
//!
//! Many articles write that a mark lies between 0 and 99, or 1 and 99. That is folklore, copied from one to the next:
//! the kernel keeps a mark of 32 bits with each packet (`skb->mark`), and IPVS compares all of them. So 1 to
//! 4,294,967,295 are free to use; 0 means "not marked".

mod error;
mod group;
mod line;
mod mark;
mod network;
mod number;
mod parse;
mod ports;
mod rule;

pub use error::{InvalidValue, MixedFamilies};
pub use group::MarkGroup;
pub use line::{Action, Line};
pub use mark::{Mark, SetMark};
pub use network::{Family, Network};
pub use parse::{ParseError, Reason, parse};
pub use ports::{PortRange, Ports};
pub use rule::{InterfaceName, MarkRule, Origin, Protocol, Traffic};
