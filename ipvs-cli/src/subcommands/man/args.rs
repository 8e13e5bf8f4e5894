//! The options of `man`.

use std::path::PathBuf;

use clap::Args;

const HELP: &str = "\
Exit status: 0 written; 1 DIR has a page of another program, or can't be
written; 2 wrong usage.

Examples:
  ipvs-cli man /usr/local/share/man/man8";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(in crate::subcommands) struct Man {
    /// The directory, which must be there
    #[arg(value_name = "DIR")]
    pub(super) directory: PathBuf,
}
