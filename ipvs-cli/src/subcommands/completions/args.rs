//! The options of `completions`.

use clap::Args;

use crate::completions::{Program, Shell};

const HELP: &str = "\
bash needs its package bash-completion.

Exit status: 0 written; 2 wrong usage.

Examples:
  ipvs-cli completions bash > ipvs-cli
  ipvs-cli completions fish > ~/.config/fish/completions/ipvs-cli.fish
  ipvs-cli completions zsh > /usr/local/share/zsh/site-functions/_ipvs-cli";

#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(in crate::subcommands) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(super) shell: Shell,
    /// The name by which the program is called
    #[arg(long, value_name = "NAME", default_value = "ipvs-cli")]
    pub(super) program: Program,
}
