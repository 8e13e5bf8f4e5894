//! The options of `drain` and `undrain`.

use std::time::Duration;

use clap::Args;
use ipvs::{ServiceKey, Weight};

use crate::operate::cli::seconds;
use crate::operate::network::Network;
use crate::operate::service_argument;

#[derive(Args, Debug)]
pub(in crate::operate) struct Drain {
    #[command(flatten)]
    pub(super) servers: Servers,
    /// Wait for so many seconds at most
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(super) timeout: Option<Duration>,
    /// Remove them when they are drained
    #[arg(long)]
    pub(super) delete: bool,
    /// After the timeout, remove them with the connections they still have
    #[arg(long, requires = "delete", requires = "timeout")]
    pub(super) force: bool,
    /// Leave the weights alone and only wait: a health checker keeps new connections away
    #[arg(long)]
    pub(super) keep_weight: bool,
    /// As JSON, an object on each line
    #[arg(long)]
    pub(super) json: bool,
    /// Say nothing but what is wrong
    #[arg(long)]
    pub(in crate::operate) quiet: bool,
}

#[derive(Args, Debug)]
pub(in crate::operate) struct Undrain {
    #[command(flatten)]
    pub(super) servers: Servers,
    /// The weight; without it the one that `drain' has noted
    #[arg(long, value_name = "WEIGHT")]
    pub(super) weight: Option<Weight>,
    /// As JSON, an object on each line
    #[arg(long)]
    pub(super) json: bool,
    /// Say nothing but what is wrong
    #[arg(long)]
    pub(in crate::operate) quiet: bool,
}

/// Which destinations.
#[derive(Args, Debug)]
pub(super) struct Servers {
    /// The service, such as tcp:192.0.2.1:80, udp:[2001:db8::1]:53, mark:10 or mark:10:ipv6
    #[arg(value_name = "SERVICE", value_parser = service_argument::parse, required_unless_present = "all")]
    pub(super) service: Option<ServiceKey>,
    /// Its real servers: an address, which means all its ports, or an address with a port, or a network
    #[arg(value_name = "SERVER", required_unless_present = "all")]
    pub(super) servers: Vec<Network>,
    /// This real server in all services; may be given several times
    #[arg(long, value_name = "SERVER", conflicts_with_all = ["service", "servers"])]
    pub(super) all: Vec<Network>,
}

impl Servers {
    /// The real servers, whatever the service.
    pub(super) fn networks(&self) -> &[Network] {
        if self.all.is_empty() { &self.servers } else { &self.all }
    }
}
