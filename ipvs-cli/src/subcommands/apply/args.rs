//! The options of `apply`.

use clap::Args;

use crate::change::args::{DesiredArgs, Manner};

const HELP: &str = "\
Exit status: 0 done, or nothing to change; 1 wrong file, refused, over
--max-deletions or answered no: the director is as it was; 2 wrong usage, or no
access to IPVS; 3 the director is between two states, its state is unknown, or
the list of owners was not written: run it again; 128 + signal: interrupted, and
undone.

Examples:
  ipvs-cli apply shop.toml
  ipvs-cli apply --dry-run shop.toml
  ipvs-cli apply --max-deletions 10 --wait=30 shop.toml";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Apply {
    #[command(flatten)]
    pub(crate) wanted: DesiredArgs,
    #[command(flatten)]
    pub(crate) manner: Manner,
}
