//! The options of `owners`.

use clap::Args;

const HELP: &str = "\
Exit status: 0 listed; 1 the list of owners can't be read; 2 wrong usage, or no
access to IPVS.

Examples:
  ipvs-cli owners
  ipvs-cli owners --json";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Owners {
    /// Print as JSON, an object on each line
    #[arg(long)]
    pub(crate) json: bool,
}
