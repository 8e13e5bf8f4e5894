//! The options of `drain`.

use std::time::Duration;

use clap::Args;

use crate::change::args::{Turn, seconds};
use crate::session::journal::Logging;
use crate::subcommands::servers::Servers;

const HELP: &str = "\
Exit status: 0 drained; 1 not drained, or not in time: what was set to weight 0
stays there, and the command can be run again; 2 wrong usage, or no access to
IPVS; 128 + signal: interrupted, as for 1.

Examples:
  ipvs-cli drain tcp:192.0.2.1:80 192.0.2.11
  ipvs-cli drain --timeout 600 --delete mark:10 192.0.2.11 192.0.2.12
  ipvs-cli drain --all 192.0.2.11";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
#[command(override_usage = "ipvs-cli drain [OPTIONS] SERVICE SERVER...
       ipvs-cli drain [OPTIONS] --all SERVER [--all SERVER]...")]
pub(in crate::subcommands) struct Drain {
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
    pub(in crate::subcommands) quiet: bool,
    #[command(flatten)]
    pub(super) logging: Logging,
}
