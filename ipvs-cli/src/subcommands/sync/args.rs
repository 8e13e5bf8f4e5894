//! The options of `sync`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use ipvs::InterfaceName;

use crate::arguments::number::whole;
use crate::subcommands::entries::Wanted;

/// Compare the connections of two directors, and show what a master announces
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(in crate::subcommands) struct Sync {
    #[command(subcommand)]
    pub(super) task: Task,
}

const HELP: &str = "\
Examples:
  ssh master ipvs-cli conns --save - | ipvs-cli sync verify -
  ipvs-cli sync listen --interface eth0";

const VERIFY: &str = "\
Each connection of the master must be in the backup's table ten seconds later.
The backup's table is read then, or must have been saved then. Connections that
are being set up are not compared. A flow of fewer packets than
net.ipv4.vs.sync_threshold was not announced, and is reported as missing.

Exit status: 0 all of it is there; 1 something is missing or has another real
server, or a file can't be read as a whole; 2 wrong usage, or no access to IPVS.

Examples:
  ssh master ipvs-cli conns --save - | ipvs-cli sync verify -
  ssh master ipvs-cli conns --save - | ipvs-cli sync verify - --protocol tcp
  ipvs-cli sync verify --json saved-on-master saved-on-backup";

const LISTEN: &str = "\
A machine does not receive its own master daemon: listen on the backup, or on
another machine in its network. With --interface, no privileges are needed.

Exit status: 0 ended by a signal, a closed pipe or --count; 2 trouble.

Examples:
  ipvs-cli sync listen
  ipvs-cli sync listen --interface eth0 --sync-id 7 --json";

fn multicast(text: &str) -> Result<IpAddr, &'static str> {
    let group = text.parse().ok().filter(IpAddr::is_multicast);
    group.ok_or("must be a multicast address, such as 224.0.0.81 or ff02::81")
}

#[derive(clap::Subcommand, Debug)]
pub(super) enum Task {
    /// Find what a backup director has not learned from its master
    #[command(after_help = VERIFY)]
    Verify(Verify),
    /// Print the connections that master sync daemons announce
    #[command(after_help = LISTEN)]
    Listen(Listen),
}

#[derive(Args, Debug)]
pub(super) struct Verify {
    /// The master's table, from `conns --save`; `-` is standard input
    #[arg(value_name = "MASTER")]
    pub(super) master: PathBuf,
    /// The backup's table, saved later; without it, that of this director; `-` is
    /// standard input
    #[arg(value_name = "BACKUP")]
    pub(super) backup: Option<PathBuf>,
    #[command(flatten)]
    pub(super) wanted: Wanted,
    /// Print as JSON, an object on each line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Listen {
    /// Interface; without it, with the settings of this director's backup daemon
    #[arg(long, value_name = "INTERFACE")]
    pub(super) interface: Option<InterfaceName>,
    /// Multicast group [default: 224.0.0.81]
    #[arg(long, value_name = "ADDRESS", requires = "interface", value_parser = multicast)]
    pub(super) group: Option<IpAddr>,
    /// UDP port [default: 8848]
    #[arg(long, value_name = "PORT", requires = "interface", allow_negative_numbers = true,
        value_parser = whole::<u16>(1, 65535))]
    pub(super) port: Option<u16>,
    /// Only messages of this sync id; 0 means all
    #[arg(long, value_name = "ID", requires = "interface", allow_negative_numbers = true,
        value_parser = whole::<u32>(0, 255))]
    pub(super) sync_id: Option<u32>,
    /// End after NUMBER messages
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, value_parser = whole::<u32>(0, u32::MAX))]
    pub(super) count: Option<u32>,
    /// Print as JSON, an object on each line
    #[arg(long)]
    pub(super) json: bool,
}
