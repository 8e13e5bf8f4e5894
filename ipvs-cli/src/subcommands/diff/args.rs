//! The options of `diff`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::change::args::{DesiredArgs, ForeignArgs};

const HELP: &str = "\
Exit status: 0 nothing differs; 1 something does; 2 trouble.

Examples:
  ipvs-cli diff shop.toml
  ipvs-cli diff --rules shop.toml
  ipvs-cli diff yesterday.toml today.toml
  ipvs-cli diff --from keepalived /etc/keepalived/keepalived.conf";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Diff {
    #[command(flatten)]
    pub(crate) wanted: DesiredArgs,
    #[command(flatten)]
    pub(crate) foreign: ForeignArgs,
    /// A second file: show what changes from FILE to NEW; no director is asked
    #[arg(value_name = "NEW", conflicts_with_all = ["owner", "take", "undrain"])]
    pub(crate) new: Option<PathBuf>,
    /// Colour removed lines red and added ones green; auto: on a terminal,
    /// unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
    /// Print as JSON, an object on each line
    #[arg(long)]
    pub(crate) json: bool,
    /// Print each old and new line as a rule, without totals
    #[arg(long, conflicts_with = "json")]
    pub(crate) rules: bool,
}

/// When output is coloured.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}
