//! Completions for shells: what may stand next on a command line.

mod bash;
mod fish;
mod table;
mod zsh;

use self::table::Table;

/// The script among the names, and its only option.
const SAVE: &str = "ipvsadm-save";
const SAVE_HELP: &str = "numeric output of addresses and ports";

/// The files, each where its shell looks for it.
pub(crate) fn files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for (program, table) in [("ipvsadm", Table::of_ipvsadm()), ("ipvs-cli", Table::of_ipvs_cli())] {
        files.push((bash_path(program), bash::script(program, &table)));
        files.push((zsh_path(program), zsh::script(program, &table)));
        files.push((fish_path(program), fish::script(program, &table)));
    }
    files.push((bash_path(SAVE), bash::save()));
    files.push((zsh_path(SAVE), zsh::save()));
    files.push((fish_path(SAVE), fish::save()));
    files
}

fn bash_path(program: &str) -> String {
    format!("usr/share/bash-completion/completions/{program}")
}

fn zsh_path(program: &str) -> String {
    format!("usr/share/zsh/vendor-completions/_{program}")
}

fn fish_path(program: &str) -> String {
    format!("usr/share/fish/vendor_completions.d/{program}.fish")
}

/// A name that may be one of a function in all three shells.
fn function_name(program: &str) -> String {
    program.replace('-', "_")
}

const MADE_BY: &str = "Made by `cargo debian' from the program's own table of options.";
