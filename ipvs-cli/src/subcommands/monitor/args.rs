//! The options of `monitor`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ipvs::{InterfaceName, ServiceKey};

use crate::arguments::network::Network;
use crate::arguments::number::{seconds, whole};
use crate::arguments::service;
use crate::arguments::value::value;

const HELP: &str = "\
Changes by netlink are shown as they happen. Other changes are found by
comparing the table at intervals, and are marked. While it runs, `monitor` has a
network device of type nlmon.

Exit status: 0 ended by a signal, a closed pipe or --count, or FILE is printed;
1 FILE can't be read; 2 wrong usage, or no access to IPVS.

Examples:
  ipvs-cli monitor
  ipvs-cli monitor --who keepalived tcp:192.0.2.1:80
  ipvs-cli monitor --record changes.jsonl
  ipvs-cli monitor --replay changes.jsonl --rules | ipvs-cli -R";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Watched {
    /// Only changes of these services, such as tcp:192.0.2.1:80 or mark:10
    #[arg(value_name = "SERVICE", value_parser = service::parse)]
    pub(super) services: Vec<ServiceKey>,
    /// Only changes of these real servers: an address, a network, or either with a port
    #[arg(long, value_name = "SERVER")]
    pub(super) server: Option<Network>,
    /// Only changes by this program: its name or its parent's, its process id,
    /// port id or login uid
    #[arg(long, value_name = "WHO")]
    pub(super) who: Option<String>,
    /// Show who reads the table, too
    #[arg(long, conflicts_with = "replay")]
    pub(super) reads: bool,
    /// Print as JSON, an object on each line
    #[arg(long)]
    pub(super) json: bool,
    /// Print only the rules of accepted changes, for `ipvs-cli -R`
    #[arg(long, conflicts_with = "json")]
    pub(super) rules: bool,
    /// Write all that happens into a new file, as JSON, that only you can read
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    pub(super) record: Option<PathBuf>,
    /// Print what was recorded in FILE; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(in crate::subcommands) replay: Option<PathBuf>,
    /// End after NUMBER events
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, value_parser = whole::<u32>(0, u32::MAX))]
    pub(super) count: Option<u32>,
    /// Seconds between comparisons of the table; 0 means never
    #[arg(long, value_name = "SECONDS", default_value = "60", allow_negative_numbers = true,
        value_parser = seconds, conflicts_with = "replay")]
    pub(super) compare: Duration,
    /// Use this nlmon device, which must exist and be up
    #[arg(long, value_name = "INTERFACE", conflicts_with = "replay", value_parser = value::<InterfaceName>)]
    pub(super) device: Option<InterfaceName>,
}

impl Watched {
    /// Rules and JSON are for programs.
    pub(crate) fn is_colored(&self, colors: fn() -> bool) -> bool {
        !self.json && !self.rules && colors()
    }
}
