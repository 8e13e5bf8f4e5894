//! The options of `check`.

use std::path::PathBuf;

use clap::Args;

const HELP: &str = "\
Exit status: 0 right; 1 wrong: each line of the output names FILE:LINE; 2 wrong
usage.

Examples:
  ipvs-cli check shop.toml
  ipvs-cli check --quiet /etc/ipvsadm.rules";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Check {
    /// Desired state: rules of ipvsadm, TOML or JSON; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Print only what is wrong
    #[arg(long)]
    pub(crate) quiet: bool,
}
