//! Completions for shells: what may stand next on a command line.
//!
//! Written from the grammar of ipvsadm and the subcommands of clap. They offer the services,
//! servers and interfaces of the director.

mod bash;
mod fish;
mod table;
mod zsh;

use clap::{Command, ValueEnum};

use self::table::Table;

/// A shell that has completions.
///
/// ```
/// use ipvs_cli::completions::{Program, Shell, script};
/// let script = script(Shell::Fish, Program::IpvsCli, &ipvs_cli::subcommands::command());
/// assert!(script.contains("complete -c ipvs-cli"));
/// ```
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// bash, with the package bash-completion
    Bash,
    /// fish
    Fish,
    /// zsh
    Zsh,
}

/// A name of the program that has a command line to complete. `ipvsadm-restore` has none.
///
/// ```
/// assert_eq!(ipvs_cli::completions::Program::IpvsadmSave.name(), "ipvsadm-save");
/// ```
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// ipvsadm's commands and the subcommands
    IpvsCli,
    /// ipvsadm's commands
    Ipvsadm,
    /// its one option
    IpvsadmSave,
}

impl Program {
    /// The program's name.
    pub fn name(self) -> &'static str {
        match self {
            Program::IpvsCli => "ipvs-cli",
            Program::Ipvsadm => "ipvsadm",
            Program::IpvsadmSave => SAVE,
        }
    }
}

/// The only option of [`SAVE`].
const SAVE: &str = "ipvsadm-save";
const SAVE_HELP: &str = "numeric output of addresses and ports";

/// The script of a program for a shell. `subcommands` is [`command`](crate::subcommands::command).
pub fn script(shell: Shell, program: Program, subcommands: &Command) -> String {
    let table = match program {
        Program::IpvsadmSave => {
            return match shell {
                Shell::Bash => bash::save(),
                Shell::Fish => fish::save(),
                Shell::Zsh => zsh::save(),
            };
        }
        Program::Ipvsadm => Table::of_ipvsadm(),
        Program::IpvsCli => Table::of_ipvs_cli(subcommands),
    };
    match shell {
        Shell::Bash => bash::script(program.name(), &table),
        Shell::Fish => fish::script(program.name(), &table),
        Shell::Zsh => zsh::script(program.name(), &table),
    }
}

/// A name that may be one of a function in all three shells.
fn function_name(program: &str) -> String {
    program.replace('-', "_")
}

const MADE_BY: &str = "Written by ipvs-cli from its own table of options.";
