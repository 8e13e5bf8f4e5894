//! The options of `show`.

use clap::Args;

const HELP: &str = "\
Exit status: 0 shown; 1 no such service, or not all of it is known; 2 wrong
usage, or no access to IPVS.

Examples:
  ipvs-cli show
  ipvs-cli show --toml > shop.toml
  ipvs-cli show --json --statistics tcp:192.0.2.1:80";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Show {
    /// Show only this service, such as tcp:192.0.2.1:80 or "mark 10 ipv6"
    #[arg(value_name = "SERVICE", num_args = 0..=3)]
    pub(crate) service: Vec<String>,
    /// Print JSON, which `apply` reads
    #[arg(long, group = "notation")]
    pub(crate) json: bool,
    /// Print TOML, which `apply` reads
    #[arg(long, group = "notation")]
    pub(crate) toml: bool,
    /// Print rules of ipvsadm, without timeouts and sync daemons
    #[arg(long, group = "notation")]
    pub(crate) rules: bool,
    /// Add the sync daemons, which belong to this director alone
    ///
    /// With --json or --toml. Applied to another director, they run there, too: a backup becomes a second master.
    #[arg(long, conflicts_with_all = ["rules", "service"])]
    pub(crate) daemons: bool,
    /// Add counters, rates and connections
    #[arg(long, requires = "json")]
    pub(crate) statistics: bool,
}
