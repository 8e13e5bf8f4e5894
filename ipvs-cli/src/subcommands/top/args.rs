//! The options of `top`.

use std::time::Duration;

use clap::Args;
use ipvs::ServiceKey;

use crate::arguments::service;
use crate::subcommands::live::{INTERVAL, interval};

const HELP: &str = "\
Keys:
  arrows, PageUp, PageDown, Home, End   select
  s, S                                  sort by the next or previous column
  r                                     reverse the order
  /                                     show only lines that contain all words;
                                        Esc shows all again
  Enter                                 hide or show the lower part
  c, v                                  show connections, or their states by
                                        server
  Tab                                   go to the lower part and back; the keys
                                        above are for it then
  w, d, u                               set the weight of the selected real
                                        server, drain or undrain it; asks first
  space                                 pause
  ?                                     show the keys and colors
  q                                     quit

Exit status: 0 ended; 1 no terminal, or no such service; 2 wrong usage, or no
access to IPVS.

Examples:
  ipvs-cli top
  ipvs-cli top --interval 5 --read-only
  ipvs-cli top tcp:192.0.2.1:80";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(in crate::subcommands) struct Top {
    /// Only this service, such as tcp:192.0.2.1:80 or mark:10
    #[arg(value_name = "SERVICE", value_parser = service::parse)]
    pub(super) service: Option<ServiceKey>,
    /// Seconds between readings; the kernel updates its counters every two
    #[arg(long, value_name = "SECONDS", default_value = INTERVAL, allow_negative_numbers = true, value_parser = interval)]
    pub(super) interval: Duration,
    /// Change nothing, whatever key is pressed
    #[arg(long)]
    pub(super) read_only: bool,
}
