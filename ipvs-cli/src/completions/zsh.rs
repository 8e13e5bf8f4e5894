//! For zsh.

use super::{
    MADE_BY, SAVE, SAVE_HELP,
    bash::patterns,
    function_name,
    table::{Choice, Command, Table, Value, Values},
};

/// The script for one name of the program.
pub(super) fn script(program: &str, table: &Table) -> String {
    let names = |words: bool| -> String {
        let names = table.commands.iter().map(|command| &command.name).filter(|name| name.is_word() == words);
        names.map(described).collect()
    };
    let (commands, subcommands) = (names(false), names(true));
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
    compadd -- ${{(u)found}}
}}

_PROGRAM_NAME() {{
    local program=$words[1]
    local -a commands subcommands options
    if (( CURRENT == 2 )); then
        commands=(
{commands}        )
        subcommands=(
{subcommands}        )
        _describe -o command commands
        (( $#subcommands )) && _describe subcommand subcommands
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
    .replace("PROGRAM_NAME", &function_name(program))
}

/// The script of `ipvsadm-save`.
pub(super) fn save() -> String {
    format!("#compdef {SAVE}\n# Completions of {SAVE} for zsh.\n# {MADE_BY}\n\n_arguments '-n[{SAVE_HELP}]'\n")
}

/// A command with what it does: `'-S:save rules to stdout'`, a line for each of its names.
fn described(name: &Choice) -> String {
    name.forms().map(|form| format!("            '{form}:{}'\n", quoted(&name.summary))).collect()
}

fn options_case(command: &Command) -> String {
    let specs = command.groups.iter().flat_map(|choices| choices.iter().map(|choice| spec(choice, choices)));
    let words = command.name.value.iter().chain(&command.words);
    let words = words.map(|value| format!("':{}:{}'", quoted(&value.name), action(value)));
    let specs: String = specs.chain(words).map(|spec| format!("            {spec}\n")).collect();
    format!("        ({})\n            options=(\n{specs}            )\n            ;;\n", patterns(&command.name))
}

/// An option for `_arguments`: what it excludes, its names, what it does, its value.
fn spec(choice: &Choice, group: &[Choice]) -> String {
    let excluded: Vec<String> = group.iter().flat_map(Choice::forms).collect();
    let excluded = excluded.join(" ");
    let names: Vec<String> = choice.forms().collect();
    // Braces around a single word would not be taken away.
    let names = match names.as_slice() {
        [only] => format!("'{only}"),
        several => format!("{{{}}}'", several.join(",")),
    };
    let value = choice.value.as_ref().map_or_else(String::new, |value| {
        let colons = if value.must { ":" } else { "::" };
        format!("{colons}{}:{}", quoted(&value.name), action(value))
    });
    let help = quoted(&choice.summary).replace('[', "\\[").replace(']', "\\]");
    format!("'({excluded})'{names}[{help}]{value}'")
}

/// What completes a value.
fn action(value: &Value) -> String {
    match &value.values {
        Values::Anything => " ".to_owned(),
        Values::Words(words) => format!("({})", words.join(" ")),
        // With a space in front no words of zsh's own are put behind the first.
        Values::Services(option) => format!(" __PROGRAM_NAME_saved -A {option}"),
        Values::Servers => " __PROGRAM_NAME_saved -a -r".to_owned(),
        Values::Interfaces => "_net_interfaces".to_owned(),
        Values::Files => "_files".to_owned(),
    }
}

/// Inside of single quotes.
fn quoted(text: &str) -> String {
    text.replace('\'', "'\\''").replace(':', "\\:")
}
