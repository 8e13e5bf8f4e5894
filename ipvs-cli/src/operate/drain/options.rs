//! The options of `drain`, `undrain` and `weight`.

use std::time::Duration;

use clap::Args;
use ipvs::{ServiceKey, Weight};

use crate::operate::cli::{Turn, seconds};
use crate::operate::journal::Logging;
use crate::operate::network::Network;
use crate::operate::service_argument;

#[derive(Args, Debug)]
pub(in crate::operate) struct Drain {
    #[command(flatten)]
    pub(super) servers: Servers,
    /// Wait for the connections at most SECONDS
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(super) timeout: Option<Duration>,
    /// Delete the real servers once they are drained
    #[arg(long)]
    pub(super) delete: bool,
    /// Drain where the scheduler will refuse new clients; with --delete and
    /// --timeout, delete what is not drained in time with its connections
    #[arg(long)]
    pub(super) force: bool,
    /// Leave the weights alone and only wait: another program keeps new
    /// connections away
    #[arg(long)]
    pub(super) keep_weight: bool,
    #[command(flatten)]
    pub(super) turn: Turn,
    /// Print as JSON what became of each: an object on each line
    #[arg(long)]
    pub(super) json: bool,
    /// Print only what is wrong
    #[arg(long)]
    pub(in crate::operate) quiet: bool,
    #[command(flatten)]
    pub(super) logging: Logging,
}

#[derive(Args, Debug)]
pub(in crate::operate) struct Undrain {
    #[command(flatten)]
    pub(super) servers: Servers,
    /// Set this weight instead of the one that `drain` noted
    #[arg(long, value_name = "WEIGHT")]
    pub(super) weight: Option<Weight>,
    #[command(flatten)]
    pub(super) turn: Turn,
    /// Print as JSON what became of each: an object on each line
    #[arg(long)]
    pub(super) json: bool,
    /// Print only what is wrong
    #[arg(long)]
    pub(in crate::operate) quiet: bool,
    #[command(flatten)]
    pub(super) logging: Logging,
}

#[derive(Args, Debug)]
#[command(override_usage = "ipvs-cli weight [OPTIONS] SERVICE SERVER... WEIGHT
       ipvs-cli weight [OPTIONS] --all SERVER... WEIGHT")]
pub(in crate::operate) struct SetWeight {
    /// The service, its real servers and their new weight: an address means all
    /// its ports; a network means all real servers in it
    #[arg(value_name = "SERVICE SERVER... WEIGHT", required = true)]
    words: Vec<String>,
    /// This real server in all services; may be given several times
    #[arg(long, value_name = "SERVER")]
    all: Vec<Network>,
    /// Set weight 0 where the scheduler will refuse new clients
    #[arg(long)]
    pub(super) force: bool,
    #[command(flatten)]
    pub(super) turn: Turn,
    /// Print as JSON what became of each: an object on each line
    #[arg(long)]
    pub(super) json: bool,
    /// Print only what is wrong
    #[arg(long)]
    pub(in crate::operate) quiet: bool,
    #[command(flatten)]
    pub(super) logging: Logging,
}

impl SetWeight {
    /// Which destinations, and their weight.
    ///
    /// # Errors
    /// Which word is wrong, and what is expected in its place.
    pub(super) fn understand(&self) -> Result<(Servers, Weight), String> {
        let expected = if self.all.is_empty() { "SERVICE SERVER... WEIGHT" } else { "WEIGHT after --all SERVER" };
        let (last, rest) = self.words.split_last().ok_or_else(|| format!("expected {expected}"))?;
        let weight = last.parse().map_err(|error: ipvs::InvalidValue| error.to_string())?;
        let (service, servers) = match (rest, self.all.is_empty()) {
            ([service, servers @ ..], true) if !servers.is_empty() => {
                (Some(service_argument::parse(service).map_err(|error| error.to_string())?), servers)
            }
            ([], false) => (None, rest),
            _ => return Err(format!("expected {expected}")),
        };
        let servers = servers.iter().map(|server| server.parse()).collect::<Result<_, _>>()?;
        Ok((Servers { service, servers, all: self.all.clone() }, weight))
    }
}

/// Which destinations.
#[derive(Args, Debug)]
pub(super) struct Servers {
    /// The service, such as tcp:192.0.2.1:80, udp:[2001:db8::1]:53, mark:10 or
    /// mark:10:ipv6
    #[arg(value_name = "SERVICE", value_parser = service_argument::parse, required_unless_present = "all")]
    pub(super) service: Option<ServiceKey>,
    /// Its real servers: an address, which means all its ports, or an address
    /// with a port, or a network
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
