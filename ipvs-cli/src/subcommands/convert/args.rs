//! The options of `convert`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

const HELP: &str = "\
Exit status: 0 written; 1 wrong file, or the notation can't say the same; 2
wrong usage.

Examples:
  ipvs-cli convert --toml /etc/ipvsadm.rules > shop.toml
  ipvs-cli convert --rules shop.json";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
#[command(group = ArgGroup::new("notation").required(true))]
pub(crate) struct Convert {
    /// Desired state: rules of ipvsadm, TOML or JSON; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Write JSON
    #[arg(long, group = "notation")]
    pub(crate) json: bool,
    /// Write TOML
    #[arg(long, group = "notation")]
    pub(crate) toml: bool,
    /// Write rules of ipvsadm
    #[arg(long, group = "notation")]
    pub(crate) rules: bool,
    /// Leave out timeouts and sync daemons
    #[arg(long)]
    pub(crate) services_only: bool,
}
