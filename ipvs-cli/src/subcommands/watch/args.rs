//! The options of `watch`.

use std::time::Duration;

use clap::Args;
use ipvs::ServiceKey;

use crate::arguments::number::whole;
use crate::arguments::service;
use crate::subcommands::live::{INTERVAL, interval};

const HELP: &str = "\
Exit status: 0 after --count rounds; 1 a SERVICE was missing in the last one; 2
wrong usage, or no access to IPVS.

Examples:
  ipvs-cli watch --busy
  ipvs-cli watch --interval 10 --count 6 --json tcp:192.0.2.1:80";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(in crate::subcommands) struct Watch {
    /// Only these services, such as tcp:192.0.2.1:80 or mark:10
    #[arg(value_name = "SERVICE", value_parser = service::parse)]
    pub(super) services: Vec<ServiceKey>,
    /// Seconds between readings; the kernel updates its counters every two
    #[arg(long, value_name = "SECONDS", default_value = INTERVAL, allow_negative_numbers = true, value_parser = interval)]
    pub(super) interval: Duration,
    /// End after NUMBER rounds
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, value_parser = whole::<u32>(0, u32::MAX))]
    pub(super) count: Option<u32>,
    /// Only services with traffic
    #[arg(long)]
    pub(super) busy: bool,
    /// Print as JSON, an object on each line
    #[arg(long)]
    pub(super) json: bool,
}
