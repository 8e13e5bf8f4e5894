//! The options of `restore`.

use std::path::PathBuf;

use clap::Args;

use crate::change::args::Manner;
use crate::change::claims::Ownership;

const HELP: &str = "\
Exit status: as of `ipvs-cli apply`; with --line-by-line, as of ipvsadm-restore.

Examples:
  ipvs-cli restore /etc/ipvsadm.rules
  ipvs-cli restore --dry-run shop.toml
  ipvsadm-save -n | ipvs-cli restore --netns blue";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Restore {
    /// Desired state: rules of ipvsadm, TOML or JSON; standard input without it
    #[arg(value_name = "FILE", default_value = "-", hide_default_value = true)]
    pub(crate) file: PathBuf,
    /// Clear the table, then run line by line, as ipvsadm-restore does
    #[arg(long, conflicts_with_all = ["wait", "timeout", "json", "max_deletions", "yes", "undrain", "owner", "take"])]
    pub(crate) line_by_line: bool,
    /// Give drained destinations the weights that the file gives them
    #[arg(long)]
    pub(crate) undrain: bool,
    /// All or nothing: the default
    #[arg(long, conflicts_with = "line_by_line")]
    atomic: bool,
    #[command(flatten)]
    pub(crate) ownership: Ownership,
    #[command(flatten)]
    pub(crate) manner: Manner,
}
