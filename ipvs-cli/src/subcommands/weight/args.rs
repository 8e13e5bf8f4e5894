//! The options of `weight`.

use clap::Args;
use ipvs::Weight;

use crate::arguments::network::Network;
use crate::arguments::service;
use crate::change::args::ChangeArgs;
use crate::subcommands::servers::Servers;

const HELP: &str = "\
Exit status: 0 done; 1 not done, or not all of it; 2 wrong usage, or no access
to IPVS; 3 the outcome is unknown, as the kernel could not be asked: run it
again.

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
    #[arg(value_name = "SERVICE SERVER... WEIGHT", required = true, allow_negative_numbers = true)]
    words: Vec<String>,
    /// This real server in all services; may be given several times
    #[arg(long, value_name = "SERVER", value_parser = service::server)]
    all: Vec<Network>,
    /// Set weight 0 where new clients will be refused: by the scheduler, or as no
    /// other real server has a weight
    #[arg(long)]
    pub(super) force: bool,
    /// Print the outcome for each server as JSON, an object on each line
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(in crate::subcommands) common: ChangeArgs,
}

impl SetWeight {
    /// Which destinations, and their weight.
    ///
    /// # Errors
    /// Which word is wrong, and what is expected in its place.
    pub(super) fn understand(&self) -> Result<(Servers, Weight), String> {
        let expected = match (self.all.is_empty(), self.words.len()) {
            (true, _) => "SERVICE SERVER... WEIGHT",
            (false, ..=1) => "WEIGHT after --all SERVER",
            (false, _) => "either SERVICE SERVER... WEIGHT or --all SERVER WEIGHT, not both",
        };
        let (last, rest) = self.words.split_last().ok_or_else(|| format!("expected {expected}"))?;
        let weight = last
            .parse()
            .map_err(|error: ipvs::InvalidValue| format!("WEIGHT must be {}, not '{last}'", error.allowed()))?;
        let (service, servers) = match (rest, self.all.is_empty()) {
            ([service, servers @ ..], true) if !servers.is_empty() => {
                (Some(service::parse(service).map_err(|error| error.to_string())?), servers)
            }
            ([], false) => (None, rest),
            _ => return Err(format!("expected {expected}")),
        };
        let server = |word: &String| service::server(word).map_err(|forms| format!("SERVER '{word}' {forms}"));
        let servers = servers.iter().map(server).collect::<Result<_, _>>()?;
        Ok((Servers { service, servers, all: self.all.clone() }, weight))
    }
}
