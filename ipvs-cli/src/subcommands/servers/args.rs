//! The options that select real servers.

use clap::Args;
use ipvs::ServiceKey;

use crate::arguments::network::Network;
use crate::arguments::service;

/// Selects destinations.
#[derive(Args, Debug)]
pub(in crate::subcommands) struct Servers {
    /// The service, such as tcp:192.0.2.1:80, udp:[2001:db8::1]:53, mark:10 or
    /// mark:10:ipv6
    #[arg(value_name = "SERVICE", value_parser = service::parse, required_unless_present = "all")]
    pub(in crate::subcommands) service: Option<ServiceKey>,
    /// Its real servers: an address, which means all its ports, or an address
    /// with a port, a network, or the name of a host
    #[arg(value_name = "SERVER", required_unless_present = "all", value_parser = service::server)]
    pub(in crate::subcommands) servers: Vec<Network>,
    /// This real server in all services; may be given several times
    #[arg(long, value_name = "SERVER", conflicts_with_all = ["service", "servers"], value_parser = service::server)]
    pub(in crate::subcommands) all: Vec<Network>,
}

impl Servers {
    /// The real servers, of one service or of all.
    pub(in crate::subcommands) fn networks(&self) -> &[Network] {
        if self.all.is_empty() { &self.servers } else { &self.all }
    }
}
