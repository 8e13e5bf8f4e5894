//! The options of `convert`.

use std::path::PathBuf;

use clap::Args;

use crate::change::args::ForeignArgs;
use crate::subcommands::args::NotationArgs;

const HELP: &str = "\
Exit status: 0 written; 1 wrong file, or the notation can't say the same; 2
wrong usage.

Examples:
  ipvs-cli convert --toml /etc/ipvsadm.rules > shop.toml
  ipvs-cli convert --rules shop.json
  ipvs-cli convert --from keepalived --toml keepalived.conf > shop.toml";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(in crate::subcommands) struct Convert {
    /// Desired state: rules of ipvsadm, TOML or JSON; `-` is standard input
    #[arg(value_name = "FILE", requires = "notation")]
    pub(in crate::subcommands) file: PathBuf,
    #[command(flatten)]
    pub(in crate::subcommands) notation: NotationArgs,
    #[command(flatten)]
    pub(in crate::subcommands) foreign: ForeignArgs,
    /// Leave out timeouts and sync daemons
    #[arg(long)]
    pub(in crate::subcommands) services_only: bool,
}
