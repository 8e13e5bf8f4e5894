//! The options of `show`.

use clap::Args;

use crate::subcommands::args::NotationArgs;

const HELP: &str = "\
Rules have neither timeouts nor sync daemons.

Exit status: 0 shown; 1 no such service, or not all of it is known; 2 wrong
usage, or no access to IPVS.

Examples:
  ipvs-cli show
  ipvs-cli show --toml > shop.toml
  ipvs-cli show --json --statistics tcp:192.0.2.1:80";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(in crate::subcommands) struct Show {
    /// Show only this service, such as tcp:192.0.2.1:80 or "mark 10 ipv6"
    #[arg(value_name = "SERVICE", num_args = 0..=3)]
    pub(in crate::subcommands) service: Vec<String>,
    #[command(flatten)]
    pub(in crate::subcommands) notation: NotationArgs,
    /// Add the sync daemons, which belong to this director alone
    ///
    /// With --json or --toml. Applied to another director, they run there, too: a backup becomes a
    /// second master.
    #[arg(long, requires = "notation", conflicts_with_all = ["rules", "service"])]
    pub(in crate::subcommands) daemons: bool,
    /// Add counters, rates and connections
    // `requires` alone is waived where `json` can't be given.
    #[arg(long, requires = "json", conflicts_with_all = ["toml", "rules"])]
    pub(in crate::subcommands) statistics: bool,
}
