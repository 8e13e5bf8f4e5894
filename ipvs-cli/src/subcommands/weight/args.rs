//! The options of `weight`.

use clap::Args;
use ipvs::Weight;

use crate::arguments::network::Network;
use crate::arguments::service;
use crate::change::args::Turn;
use crate::session::journal::Logging;
use crate::subcommands::servers::Servers;

const HELP: &str = "\
Exit status: 0 done; 1 not done, or not all of it; 2 wrong usage, or no access
to IPVS.

Examples:
  ipvs-cli weight tcp:192.0.2.1:80 192.0.2.11 192.0.2.12:8080 5
  ipvs-cli weight --all 192.0.2.11 5";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
#[command(override_usage = "ipvs-cli weight [OPTIONS] SERVICE SERVER... WEIGHT
       ipvs-cli weight [OPTIONS] --all SERVER [--all SERVER]... WEIGHT")]
pub(in crate::subcommands) struct SetWeight {
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
    pub(in crate::subcommands) quiet: bool,
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
                (Some(service::parse(service).map_err(|error| error.to_string())?), servers)
            }
            ([], false) => (None, rest),
            _ => return Err(format!("expected {expected}")),
        };
        let servers = servers.iter().map(|server| server.parse()).collect::<Result<_, _>>()?;
        Ok((Servers { service, servers, all: self.all.clone() }, weight))
    }
}
