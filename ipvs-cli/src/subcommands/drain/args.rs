//! The options of `drain`.

use std::time::Duration;

use clap::Args;

use crate::arguments::number::seconds;
use crate::change::args::ChangeArgs;
use crate::subcommands::servers::Servers;

const HELP: &str = "\
Exit status: 0 drained; 1 not drained, or not in time: weights that were set to
0 stay 0, and you can run the command again; 2 wrong usage, or no access to
IPVS; 3 the outcome is unknown, as the kernel could not be asked: run it again;
128 + signal: interrupted, as for 1.

Examples:
  ipvs-cli drain tcp:192.0.2.1:80 192.0.2.11
  ipvs-cli drain --timeout 600 --delete mark:10 192.0.2.11 192.0.2.12
  ipvs-cli drain --move-udp --kill-after 600 --all 192.0.2.11
  ipvs-cli drain --all 192.0.2.11";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
#[command(override_usage = "ipvs-cli drain [OPTIONS] SERVICE SERVER...
       ipvs-cli drain [OPTIONS] --all SERVER [--all SERVER]...")]
pub(in crate::subcommands) struct Drain {
    #[command(flatten)]
    pub(super) servers: Servers,
    /// Wait for the connections at most SECONDS
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = seconds)]
    pub(super) timeout: Option<Duration>,
    /// Delete the real servers once they are drained
    #[arg(long)]
    pub(super) delete: bool,
    /// Drain where new clients will be refused: by the scheduler, or as no other
    /// real server has a weight. With --delete and --timeout: delete what is
    /// not drained in time, with its connections
    #[arg(long)]
    pub(super) force: bool,
    /// Leave the weights alone and only wait: another program keeps new
    /// connections away
    #[arg(long)]
    pub(super) keep_weight: bool,
    /// After SECONDS, end the connections and persistence templates that are
    /// left; clients are reset
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = seconds)]
    pub(super) kill_after: Option<Duration>,
    /// Give the flows of UDP to other real servers of their services
    #[arg(long)]
    pub(super) move_udp: bool,
    /// Show what would be set to weight 0, moved and ended, and change nothing
    #[arg(long, conflicts_with = "json")]
    pub(in crate::subcommands) dry_run: bool,
    /// Print the outcome for each server as JSON, an object on each line
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(in crate::subcommands) common: ChangeArgs,
}
