//! The options of `top`.

use std::time::Duration;

use clap::Args;

use crate::subcommands::live::{INTERVAL, interval};

const HELP: &str = "\
Keys:
  arrows, PageUp, PageDown, Home, End   select
  s, S                                  sort by the next or previous column
  r                                     reverse the order
  /                                     show services that contain a word;
                                        Esc shows all again
  Enter                                 hide or show the destinations
  c                                     show the connections
  space                                 pause
  q                                     quit

Exit status: 0 ended; 1 no terminal; 2 wrong usage, or no access to IPVS.

Examples:
  ipvs-cli top
  ipvs-cli top --interval 5";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(in crate::subcommands) struct Top {
    /// Seconds between readings; the kernel updates its counters every two
    #[arg(long, value_name = "SECONDS", default_value = INTERVAL, allow_negative_numbers = true, value_parser = interval)]
    pub(super) interval: Duration,
}
