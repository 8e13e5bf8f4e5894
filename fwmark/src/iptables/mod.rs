//! The back end iptables: rules in chains of our own, through iptables-restore.

mod save;

pub use save::setters_of_save;
