//! For zsh.

use super::{
    MADE_BY, SAVE, SAVE_HELP,
    bash::patterns,
    function_name,
    table::{Command, Table, Values, forms, summary, values},
};
use ipvs_cli::ipvsadm::grammar::{Row, Takes};

/// The script for one name of the program.
pub(super) fn script(program: &str, table: &Table) -> String {
    let name = function_name(program);
    let commands: String = table.commands.iter().map(|command| described(command.row)).collect();
    let options: String = table.commands.iter().map(options_case).collect();
    format!(
        r#"#compdef {program}
# Completions of {program} for zsh.
# {MADE_BY}

# What the saved table has behind an option in the lines of a command.
__PROGRAM_NAME_saved() {{
    local -a found line
    local text at
    for text in ${{(f)"$($program -S -n 2>/dev/null)"}}; do
        line=(${{=text}})
        [[ $line[1] == $1 ]] || continue
        at=$line[(i)$2]
        (( at < $#line )) && found+=($line[at+1])
    done
    compadd -M 'r:|:=*' -- ${{(u)found}}
}}

_PROGRAM_NAME() {{
    local program=$words[1]
    local -a commands options
    if (( CURRENT == 2 )); then
        commands=(
{commands}        )
        _describe -o command commands
        return
    fi
    case $words[2] in
{options}    esac
    # The command is to the options what a program is: they stand behind it.
    shift words
    (( CURRENT-- ))
    _arguments -s -S $options
}}

_PROGRAM_NAME "$@"
"#
    )
    .replace("PROGRAM_NAME", &name)
}

/// The script of `ipvsadm-save`.
pub(super) fn save() -> String {
    format!("#compdef {SAVE}\n# Completions of {SAVE} for zsh.\n# {MADE_BY}\n\n_arguments '-n[{SAVE_HELP}]'\n")
}

/// A command with what it does: `'-S:save rules to stdout'`, a line for each of its names.
fn described(row: &Row) -> String {
    forms(row).map(|form| format!("            '{form}:{}'\n", quoted(&summary(row)))).collect()
}

fn options_case(command: &Command) -> String {
    let mut specs: Vec<String> =
        command.groups.iter().flat_map(|rows| rows.iter().map(|row| spec(row, rows))).collect();
    match command.row.takes {
        Takes::Value(_) => specs.push(format!("'1:role:{}'", action(command.row))),
        Takes::Words(names) => specs.extend(names.split(' ').map(|name| format!("':{name}: '"))),
        Takes::Nothing | Takes::MaybeValue(_) => {}
    }
    let specs: String = specs.iter().map(|spec| format!("            {spec}\n")).collect();
    format!("        ({})\n            options=(\n{specs}            )\n            ;;\n", patterns(command.row))
}

/// An option for `_arguments`: what it excludes, its names, what it does, its value.
fn spec(row: &Row, group: &[&Row]) -> String {
    let excluded: Vec<String> = group.iter().flat_map(|row| forms(row)).collect();
    let names: Vec<String> = forms(row).collect();
    // Braces around a single word would not be taken away.
    let names = match names.as_slice() {
        [only] => format!("'{only}"),
        several => format!("{{{}}}'", several.join(",")),
    };
    let excluded = excluded.join(" ");
    let value = match row.takes {
        Takes::Value(value) => format!(":{value}:{}", action(row)),
        Takes::MaybeValue(value) => format!("::{value}: "),
        Takes::Nothing | Takes::Words(_) => String::new(),
    };
    let help = quoted(&summary(row)).replace('[', "\\[").replace(']', "\\]");
    format!("'({excluded})'{names}[{help}]{value}'")
}

/// What completes a value.
fn action(row: &Row) -> String {
    match values(row) {
        Values::None | Values::Anything => " ".to_owned(),
        Values::Words(words) => format!("({})", words.join(" ")),
        // With a blank in front no words of zsh's own are put behind the first.
        Values::Services(option) => format!(" __PROGRAM_NAME_saved -A {option}"),
        Values::Servers => " __PROGRAM_NAME_saved -a -r".to_owned(),
        Values::Interfaces => "_net_interfaces".to_owned(),
    }
}

/// Inside of single quotes.
fn quoted(text: &str) -> String {
    text.replace('\'', "'\\''").replace(':', "\\:")
}
