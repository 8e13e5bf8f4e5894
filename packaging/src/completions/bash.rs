//! For bash, with the library of the package bash-completion.

use super::{
    MADE_BY, SAVE, function_name,
    table::{Command, Table, Values, forms, letters, values},
};
use ipvs_cli::ipvsadm::grammar::{ROWS, Row};

/// The script for one name of the program.
pub(super) fn script(program: &str, table: &Table) -> String {
    let name = function_name(program);
    let commands: Vec<String> = table.commands.iter().flat_map(|command| forms(command.row)).collect();
    let commands = commands.join(" ");
    let values: String = ROWS.iter().map(value_case).collect();
    let options: String = table.commands.iter().map(options_case).collect();
    format!(
        r#"# Completions of {program} for bash.
# {MADE_BY}

# What the saved table, on standard input, has behind an option in the lines of a command.
__PROGRAM_NAME_saved() {{
    local -a line
    local at
    while read -r -a line; do
        [[ ${{line[0]}} == "$1" ]] || continue
        for ((at = 1; at < ${{#line[@]}} - 1; at++)); do
            [[ ${{line[at]}} == "$2" ]] && printf '%s\n' "${{line[at + 1]}}"
        done
    done | sort -u
}}

_{name}() {{
    local cur prev words cword
    _get_comp_words_by_ref -n : cur prev words cword
    COMPREPLY=()
    if ((cword > 1)); then
        local offered=
        case $prev in
{values}            *) offered=none ;;
        esac
        if [[ $offered != none ]]; then
            mapfile -t COMPREPLY < <(compgen -W "$offered" -- "$cur")
            __ltrim_colon_completions "$cur"
            return
        fi
    fi
    if ((cword == 1)); then
        mapfile -t COMPREPLY < <(compgen -W '{commands}' -- "$cur")
        return
    fi
    local groups=
    case ${{words[1]}} in
{options}    esac
    local group word
    local -a options=()
    for group in $groups; do
        for word in "${{words[@]:2:cword-2}}"; do
            [[ ,$group, == *",$word,"* ]] && continue 2
        done
        options+=(${{group//,/ }})
    done
    mapfile -t COMPREPLY < <(compgen -W "${{options[*]}}" -- "$cur")
}}

complete -F _{name} {program}
"#
    )
    .replace("PROGRAM_NAME", &name)
}

/// The script of `ipvsadm-save`.
pub(super) fn save() -> String {
    format!("# Completions of {SAVE} for bash.\n# {MADE_BY}\n\ncomplete -W -n {SAVE}\n")
}

/// What follows an option: `-s | --scheduler) offered='rr wrr' ;;`
fn value_case(row: &Row) -> String {
    let saved = |line: &str, option: &str| {
        format!(r#"$("${{words[0]}}" -S -n 2>/dev/null | __PROGRAM_NAME_saved {line} {option})"#)
    };
    let offered = match values(row) {
        Values::None => return String::new(),
        Values::Words(words) => format!("'{}'", words.join(" ")),
        Values::Services(option) => saved("-A", &option),
        Values::Servers => saved("-a", "-r"),
        Values::Interfaces => "$(command ls /sys/class/net 2>/dev/null)".to_owned(),
        Values::Anything => String::new(),
    };
    // A letter may be the last of several in a word.
    let bundles = letters(row).map(|letter| format!("-[!-]*{letter}"));
    let patterns: Vec<String> = forms(row).chain(bundles).collect();
    format!("            {}) offered={offered} ;;\n", patterns.join(" | "))
}

/// What a command takes: `-S* | --save) groups='-n,--numeric' ;;`
fn options_case(command: &Command) -> String {
    let group = |rows: &Vec<&Row>| rows.iter().flat_map(|row| forms(row)).collect::<Vec<_>>().join(",");
    let groups: Vec<String> = command.groups.iter().map(group).collect();
    format!("        {}) groups='{}' ;;\n", patterns(command.row), groups.join(" "))
}

/// The words that are a command: `-S* | --save`, as more letters may follow in the same word.
pub(super) fn patterns(row: &Row) -> String {
    let letters = letters(row).map(|letter| format!("-{letter}*"));
    letters.chain([format!("--{}", row.long)]).collect::<Vec<_>>().join(" | ")
}
